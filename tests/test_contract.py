"""`check_family`: all families keep to the contract, and those that break it are found out."""

import doctest
import random

import pytest
import torch
from test_families import EACH, QUICK, shapes_of
from torch import nn

from lit_ae.models import AE, GAN, IWAE, SAE, VAE, VQVAE, BetaTCVAE, Classifier, ConditionalVAE, Latent
from lit_ae.settings.files import config_folder
from lit_ae.testing import check_family, contract

SETTINGS = {**QUICK, "hopfield": {"latent_dim": 20, "sweeps": 2}}  # no more patterns than there are samples


RESUMED = ("ae", "vae", "gan", "dec", "rbm")  # the others go on from a checkpoint among the slow tests


@pytest.mark.parametrize("name", EACH)
def test_families_of_the_yaml_files_keep_to_the_contract(name, monkeypatch):
    if name not in RESUMED:
        monkeypatch.setattr(contract, "check_resumed", lambda subject: None)
    check_family(config_folder() / "model" / f"{name}.yaml", shapes_of(name)[0], **SETTINGS.get(name, {}))


@pytest.mark.slow
@pytest.mark.parametrize("name", EACH)
def test_trainings_of_all_families_go_on_from_a_checkpoint(name):
    check_family(config_folder() / "model" / f"{name}.yaml", shapes_of(name)[0], **SETTINGS.get(name, {}))


@pytest.mark.parametrize("family", [AE, VAE, BetaTCVAE, IWAE, VQVAE, ConditionalVAE, GAN, Classifier])
def test_families_keep_to_the_contract_with_the_defaults_of_their_class(family):
    check_family(family, input_shape=(6,), latent_dim=4)


def test_settings_reach_the_family_and_the_data_are_as_asked():
    seen = []

    class Watched(SAE):
        def encode(self, x, y=None):
            seen.append((self.sigma, tuple(x.shape[1:]), int(y.max())))
            return super().encode(x, y)

    check_family(Watched, input_shape=(2, 5, 3), samples=33, classes=4, sigma=0.7, latent_dim=2)
    assert {sigma for sigma, _, _ in seen} == {0.7}
    assert {shape for _, shape, _ in seen} == {(2, 5, 3)}
    assert max(largest for _, _, largest in seen) == 3


def test_the_examples_of_the_docstring():
    assert doctest.testmod(contract) == doctest.TestResults(failed=0, attempted=4)


def test_the_caller_s_random_numbers_are_left_alone():
    torch.manual_seed(4)
    expected = torch.rand(3)
    torch.manual_seed(4)
    check_family(AE, input_shape=(4,), latent_dim=2)
    assert torch.equal(torch.rand(3), expected)


# -- families that break the contract ------------------------------------------------------------------------------


class ScalarPenalty(AE):
    def penalty(self, x, x_in, latent, raw):
        return latent.mu.square().mean()


class ScalarTerm(AE):
    def penalty(self, x, x_in, latent, raw):
        size = latent.mu.square().sum(1)
        return size, {"size": size.mean()}


class ScalarTracked(AE):
    def reconstruct_batch(self, batch, stage):
        self.track(stage, largest=batch.x.max())
        return super().reconstruct_batch(batch, stage)


class TakenName(AE):
    def penalty(self, x, x_in, latent, raw):
        size = latent.mu.square().sum(1)
        return size, {"loss": size}


class OtherLoss(AE):
    def reconstruct_batch(self, batch, stage):
        r = super().reconstruct_batch(batch, stage)
        return r._replace(loss=r.loss + 1)


class HalfLoss(AE):
    def reconstruct_batch(self, batch, stage):
        return super().reconstruct_batch(batch, stage)

    def _step(self, batch, stage):
        r = super()._step(batch, stage)
        return r._replace(loss=r.loss / 2)


class RemembersLabels(AE):
    def encode(self, x, y=None):
        self.y = y
        return super().encode(x, y)

    def raw(self, z, y=None):
        return super().raw(z) + self.y.view(-1, 1)


class RemembersTheBatch(AE):
    level = 0.0

    def encode(self, x, y=None):
        self.level = x.mean()
        return super().encode(x, y)

    def raw(self, z, y=None):
        return super().raw(z) + self.level


class ChangesInEvaluation(AE):
    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.seen = nn.Buffer(torch.zeros(()))

    def encode(self, x, y=None):
        self.seen += len(x)
        return super().encode(x, y)


class OutsideTheState(AE):
    scale = 1.0

    def on_train_epoch_end(self):
        super().on_train_epoch_end()
        self.scale = 1.5

    def raw(self, z, y=None):
        return self.scale * super().raw(z)


class IgnoresAParameter(AE):
    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.unused = nn.Parameter(torch.ones(2))


class RandomCode(AE):
    def encode(self, x, y=None):
        mu = super().encode(x, y).mu
        mu = mu + torch.randn_like(mu)
        return Latent(mu, None, mu)


class OtherRandomNumbers(AE):
    def corrupt(self, x):
        return x + random.random()


class OtherStart(AE):
    def on_train_start(self):
        super().on_train_start()
        with torch.no_grad():
            next(self.decoder.parameters()).mul_(random.random())


class WrongShape(AE):
    def encode(self, x, y=None):
        latent = super().encode(x, y)
        return latent._replace(mu=latent.mu[:, :1])


class DrawsTheReconstruction(SAE):
    def reconstruct_batch(self, batch, stage):
        r = super().reconstruct_batch(batch, stage)
        return r._replace(x_hat=self.decode(r.latent.z))


class InfiniteGradient(AE):
    def penalty(self, x, x_in, latent, raw):
        return (0 * latent.mu).square().sum(1).sqrt()  # whose slope at 0 is NaN


class MeanOfMeans(AE):
    def track(self, stage, **terms):
        super().track(stage, **{name: term.mean().expand(16) for name, term in terms.items()})


class BytesAsTheyAre(AE):
    def on_after_batch_transfer(self, batch, dataloader_idx):
        x, y = batch
        return super().on_after_batch_transfer([x.float(), y], dataloader_idx)


class GoesOn(AE):
    def check_finite(self, loss, **terms):
        pass


class TakesAnyCheckpoint(AE):
    def on_load_checkpoint(self, checkpoint):
        pass


class ForgetsASetting(AE):
    def __init__(self, latent_dim=2, **kwargs):
        super().__init__(latent_dim=latent_dim, **kwargs)
        self.init_args = {}


class ForgetsItsEpochs(AE):
    epochs = 0

    def penalty(self, x, x_in, latent, raw):
        return (self.epochs if self.training else 0) * latent.mu.square().sum(1)

    def on_train_epoch_end(self):
        super().on_train_epoch_end()
        self.epochs += 1


@pytest.mark.parametrize(
    ("family", "message"),
    [
        (ForgetsItsEpochs, "a training that goes on from a checkpoint must end bit for bit where an uninterrupted one"),
        (ScalarPenalty, r"penalty in a train step must hold one value for each sample, shape \[5\]; it has \[\]"),
        (ScalarTerm, r"size in a train step must hold one value for each sample, shape \[5\]; it has \[\]"),
        (ScalarTracked, r"train/largest must be tracked with one value for each sample of the batch"),
        (TakenName, "terms in a train step must have names of their own; loss is taken"),
        (OtherLoss, r"loss in a train step must be nll \+ penalty"),
        (HalfLoss, r"training_step must give the mean of nll \+ penalty over the batch, .*; it gives"),
        (RemembersLabels, r"decode\(z, y\) must work on a new model; it raises AttributeError"),
        (RemembersTheBatch, r"decode\(z, y\) must depend on its arguments and the weights alone; .*keep no values"),
        (ChangesInEvaluation, "nothing may change the model in a val step; seen changes"),
        (OutsideTheState, "load_from_checkpoint must give the same output .*parameters and buffers alone"),
        (IgnoresAParameter, "the loss must depend on every parameter; unused got no gradient"),
        (RandomCode, "mu of encode must be the same each time in evaluation mode"),
        (OtherRandomNumbers, "a step must be the same after the same torch.manual_seed; it differs"),
        (OtherStart, "the same seed must give the same metrics; .*train/loss.* differ"),
        (WrongShape, r"mu of encode must hold latent_dim numbers for each sample, shape \[5, 2\]; it has \[5, 1\]"),
        (DrawsTheReconstruction, r"x_hat in a val step must be decoded from latent.mu"),
        (InfiniteGradient, "gradients must be finite; that of encoder.* is not"),
        (MeanOfMeans, r"train/loss must be logged as the mean over samples"),
        (BytesAsTheyAre, r"bytes must give what their floats in \[0, 1\] give; test/loss.* differ"),
        (GoesOn, "training must stop with a FloatingPointError at the first loss that is not a number; it stops after"),
        (TakesAnyCheckpoint, "weights of another shape must be refused with a SettingError that names .*; it is taken"),
        (ForgetsASetting, "load_from_checkpoint must rebuild the model from the file alone; it raises"),
    ],
)
def test_a_family_that_breaks_the_contract_is_found_out(family, message):
    with pytest.raises(AssertionError, match=rf"^{family.__name__}: .*{message}"):
        check_family(family, input_shape=(6,), latent_dim=2)
