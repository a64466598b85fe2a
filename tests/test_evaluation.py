"""What all scores share: which samples count under `limit_test_batches`, versions, and validation passes."""

import io
from functools import cache
from types import SimpleNamespace

import lightning.pytorch as pl
import pytest
import torch
import yaml
from lightning.pytorch.callbacks import ModelCheckpoint
from lightning.pytorch.cli import LightningArgumentParser
from test_families import build, trainer

import lit_ae.training.lightning_cli  # noqa: F401 - knows every callback by name
from lit_ae.callbacks.scores.denoising import Denoising
from lit_ae.callbacks.scores.reconstruction_scores import ReconstructionScores
from lit_ae.callbacks.scores.sparsity import Sparsity
from lit_ae.callbacks.scores.standardised_mse import StandardisedMSE
from lit_ae.data.base import BaseDataModule
from lit_ae.data.containers import ArrayDataset, Splits
from lit_ae.evaluation.access import scored_split, whole_split_is_scored
from lit_ae.evaluation.code_sources import code_sources
from lit_ae.evaluation.evaluation import Evaluation
from lit_ae.evaluation.score_callback import ScoreCallback
from lit_ae.models.ae import AE
from lit_ae.models.conditional_vae import ConditionalVAE
from lit_ae.models.dec import DEC
from lit_ae.models.denoising_ae import DenoisingAE
from lit_ae.models.hopfield import Hopfield
from lit_ae.models.nmn import NMN
from lit_ae.models.vae import VAE
from lit_ae.objectives.likelihoods import Bernoulli, Gaussian
from lit_ae.plots.style import styled
from lit_ae.samplers import FittedGaussian, Mixture, Normal, TwoStageVAE
from lit_ae.samplers.gibbs import Gibbs
from lit_ae.settings.files import config_folder
from lit_ae.tracking.logger import RunLogger

SIDE, CLASSES, LIMIT = 8, 3, 8
TERMS = {f"test/{term}" for term in ("loss", "nll", "penalty", "mse", "mse_corrupted", "kl")}
# Scores and figures that do not use samples of the split
INDEPENDENT = {"ClassSamples", "HopfieldRecall", "ReconstructionKL", "SamplesGrid", "ValidSet"}
FAMILIES = {  # for callbacks that need more than a Gaussian code
    "ClassSamples": lambda shape: ConditionalVAE(input_shape=shape, latent_dim=4, num_classes=CLASSES),
    "ClusterAssignments": lambda shape: DEC(input_shape=shape, latent_dim=4, clusters=CLASSES),
    "Denoising": lambda shape: DenoisingAE(input_shape=shape, latent_dim=4),
    "HiddenCodes": lambda shape: NMN(input_shape=shape, latent_dim=4, likelihood=Bernoulli()),
    "HopfieldRecall": lambda shape: Hopfield(input_shape=shape, latent_dim=4),
}
SMALL = {  # smaller settings than in the YAML
    "ActiveLearning": {"pool": 40, "start": 6, "step": 6, "budget": 12, "members": 2, "repeats": 1},
    "GenerationScores": {"splits": 2},
    "LatentPlot": {"methods": ["tsne", "pca"], "iterations": 250},
    "LogLikelihood": {"k": 4},
    "MinorityAugmentation": {"few": 2, "per_class": 5, "repeats": 1},
    "ReconstructionGrid": {"n": 12},
    "ValidSet": {"n": 40, "lowest_entropy": 0.8, "rounded": 5},
}


class Everything(BaseDataModule):
    """Images with labels, factors and valid images, a class left out; test samples beyond the limit are noise."""

    name, num_classes, factor_names = "everything", CLASSES, ("kind", "size")

    def __init__(self, flat: bool = False, cut: bool = False) -> None:
        super().__init__(batch_size=20, eval_batch_size=LIMIT, leave_out=2)
        self.input_shape = (SIDE * SIDE,) if flat else (1, SIDE, SIDE)
        self.cut = cut

    def valid_set(self):
        return self.split("train").x[:30]

    def load(self):
        generator = torch.Generator().manual_seed(0)

        def part(n):
            y = torch.arange(n) % CLASSES
            size = torch.randint(1, 4, (n,), generator=generator) / 4  # values that several samples share
            x = 80 * y[:, None] + 60 * size[:, None] + 30 * torch.rand(n, SIDE * SIDE, generator=generator)
            x = x.to(torch.uint8).view(n, *self.input_shape)
            return ArrayDataset(x, y, torch.stack([y.float(), size], 1))

        train, val, test = part(90), part(30), part(2 * LIMIT)
        test.x[LIMIT:] = torch.randint(256, test.x[LIMIT:].shape, generator=generator).to(torch.uint8)
        test.y[LIMIT:] = 1
        test.factors[LIMIT:] *= -3
        return Splits(train, val, test.subset(torch.arange(LIMIT)) if self.cut else test)


class Recorder(RunLogger):
    """Keeps the pixels of figures."""

    def __init__(self):
        super().__init__()
        self.figures, self.versions = {}, []

    def log_figure(self, figure, name):
        buffer = io.BytesIO()
        with styled():
            figure.savefig(buffer, format="raw", dpi=40)
        self.figures[name] = buffer.getvalue()


@cache
def listed():
    """Settings of every score and figure in configs/callbacks by class name, the first of each class."""
    found = {}
    for path in sorted((config_folder() / "callbacks").glob("*.yaml")):
        for spec in yaml.safe_load(path.read_text())["trainer"]["callbacks+"]:
            found.setdefault(spec["class_path"], spec.get("init_args", {}))
    return {name: SMALL.get(name, settings) for name, settings in found.items() if name in scores()}


def scores():
    """Names of all score callbacks that this package defines."""
    pending, found = [ScoreCallback, StandardisedMSE], set()
    while pending:
        cls = pending.pop()
        pending += cls.__subclasses__()
        found |= {cls.__name__} if cls.__module__.startswith("lit_ae.") else set()
    return found


def made(name):
    parser = LightningArgumentParser()
    parser.add_argument("--callbacks", type=list[pl.Callback])
    config = parser.parse_object({"callbacks": [{"class_path": name, "init_args": listed()[name]}]})
    (callback,) = parser.instantiate_classes(config).callbacks
    return callback


def outcome(name, cut, limit):
    """Values, figures and protocol."""
    pl.seed_everything(0, verbose=False)
    data = Everything(flat=name == "HiddenCodes", cut=cut)
    family = FAMILIES.get(name, lambda shape: VAE(input_shape=shape, latent_dim=4))
    logger, evaluation = Recorder(), Evaluation([Normal()])
    run = trainer(callbacks=[evaluation, made(name)], limit_test_batches=limit)
    run.logger = logger
    (values,) = run.test(family(data.input_shape), datamodule=data, verbose=False)
    evaluation.protocol.pop("extractor_accuracy", None)  # of the classifier, on the whole test split
    return values, logger.figures, evaluation.protocol


def test_the_configs_list_scores():
    assert {"Anomaly", "GenerationScores", "LatentPlot", "NoisyInputs", "StandardisedMSE"} <= listed().keys()


@pytest.mark.parametrize("name", sorted(listed()))
def test_only_samples_within_the_limit_are_scored(name):
    limited, cut = outcome(name, cut=False, limit=1), outcome(name, cut=True, limit=1.0)
    # Some processors round float32 features of a batch of another size differently; another sample changes far more
    assert limited[0] == pytest.approx(cut[0], rel=1e-5, nan_ok=True)
    assert limited[1:] == cut[1:]
    whole = outcome(name, cut=False, limit=1.0)
    own = [{k: v for k, v in values.items() if k not in TERMS} for values in (limited[0], whole[0])]
    assert (own[0] == own[1] and limited[1] == whole[1]) == (name in INDEPENDENT)


@pytest.mark.parametrize(
    ("world", "limit", "expected"), [(1, 2, 14), (2, 1, 14), (2, 2, 21), (2, 1.0, 21), (1, 0.4, 7)]
)
def test_the_scored_samples_are_the_same_on_every_rank(world, limit, expected):
    """21 samples in batches of 7: rank 0 of 2 has 11 of them in 2 batches."""
    data = Everything()
    data.eval_batch_size = 7
    data.setup()
    data._splits = data._splits._replace(test=data.split("test").subset(torch.arange(21) % 16))
    for rank in range(world):
        run = SimpleNamespace(
            testing=True, limit_test_batches=limit, world_size=world, global_rank=rank, datamodule=data
        )
        assert len(scored_split(run)) == expected
        assert whole_split_is_scored(run) == (expected == 21)


# -- versions --------------------------------------------------------------------------------------------------------


class Newer(ScoreCallback):
    """A score whose code has changed."""

    version = 3
    needs_images = True

    def score(self, trainer, evaluation):
        return {"newer": 1.0}


@pytest.mark.parametrize(
    ("limit", "expected"), [(1.0, [{"Evaluation": 2, "Newer": 3, "Sparsity": 1, "StandardisedMSE": 2}]), (1, [])]
)
def test_versions_are_stored_with_scores_of_the_whole_split(limit, expected):
    """A score that these data cannot have is included, or a study would compute it again and again."""
    logger, data = Recorder(), Everything(flat=True)
    logger.log_score_versions = lambda versions: logger.versions.append(versions)
    run = trainer(callbacks=[Evaluation([Normal()]), Sparsity(), Newer(), StandardisedMSE()], limit_test_batches=limit)
    run.logger = logger
    (values,) = run.test(VAE(input_shape=data.input_shape, latent_dim=4), datamodule=data, verbose=False)
    assert "test/newer" not in values
    assert logger.versions == expected


def test_the_protocol_says_where_each_sampler_has_its_codes_from():
    fitted = {"gaussian": FittedGaussian(), "mixture_300": Mixture(300), "two_stage": TwoStageVAE()}
    assert code_sources({"normal": Normal(), **fitted, "gibbs": Gibbs(None)}) == (
        "normal: N(0, I); gibbs: drawn by the model; "
        "fitted to the mean codes of the training split: gaussian, mixture_300; "
        "fitted to draws of the codes of the training split: two_stage"
    )
    assert code_sources({"normal": Normal()}) == "normal: N(0, I)"


# -- validation ------------------------------------------------------------------------------------------------------


def test_validation_is_read_only_if_a_score_is_due(monkeypatch, tmp_path):
    """A checkpoint callback also has an `every_n_epochs`, but it is not a score."""
    epochs = []
    original = Evaluation.read
    monkeypatch.setattr(
        Evaluation, "read", lambda self, run, outputs: epochs.append(run.current_epoch) or original(self, run, outputs)
    )
    data = Everything()
    callbacks = [Evaluation([Normal()]), Sparsity(every_n_epochs=2), Denoising(), ReconstructionScores()]
    run = pl.Trainer(
        accelerator="cpu", max_epochs=3, logger=False, enable_progress_bar=False, enable_model_summary=False,
        callbacks=[*callbacks, ModelCheckpoint(tmp_path, every_n_epochs=1)],
    )  # fmt: skip
    run.fit(VAE(input_shape=data.input_shape, latent_dim=4), datamodule=data)
    assert epochs == [1, 1, 1], "the three batches of the second epoch"
    assert "val/used_share" in run.callback_metrics
    assert "val/psnr" not in run.callback_metrics


class Signed(BaseDataModule):
    """Images from -1 to 1, of a data module of another project."""

    name, num_classes, input_shape = "signed", 2, (1, SIDE, SIDE)

    def load(self):
        x = 2 * torch.rand(30, *self.input_shape, generator=torch.Generator().manual_seed(0)) - 1
        return Splits(*[ArrayDataset(x, torch.arange(30) % 2)] * 3)


def test_scores_of_pixels_from_0_to_1_are_left_out_for_others():
    evaluation = Evaluation()
    callbacks = [evaluation, *(made(name) for name in ("Compression", "NoisyInputs", "Interpolation", "Denoising"))]
    torch.manual_seed(0)
    module = AE(input_shape=Signed.input_shape, latent_dim=2, likelihood=Gaussian(output="tanh"))
    run = pl.Trainer(accelerator="cpu", logger=False, enable_progress_bar=False, callbacks=callbacks)
    (found,) = run.test(module, datamodule=Signed(), verbose=False)
    assert not [key for key in found if "psnr" in key or "compression" in key]
    assert set(evaluation.left_out.values()) == {"the samples of signed are not within [0, 1]"}


def test_the_first_generated_images_of_a_conditional_model_are_of_all_classes(monkeypatch):
    model = build("conditional_vae", (1, SIDE, SIDE), num_classes=3)
    model.decoder.frequencies.fill_(1 / 3)
    seen = {}
    monkeypatch.setattr("lit_ae.evaluation.evaluation.decoded", lambda module, z, y: seen.update(y=y) or z)
    run = SimpleNamespace(lightning_module=model, global_rank=0, world_size=1)
    Evaluation().generate(run, Normal().fit(torch.zeros(2, model.latent_dim)), 300)
    assert torch.bincount(seen["y"]).tolist() == [100, 100, 100]
    assert torch.bincount(seen["y"][:60], minlength=3).min() > 8
