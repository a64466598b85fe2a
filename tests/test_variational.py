"""KL annealing, free bits, active units."""

import math

import pytest
import torch
from test_families import build, digits, trainer  # noqa: F401 - a fixture

from lit_ae.callbacks.scores.posterior import Posterior
from lit_ae.data.base import BaseDataModule
from lit_ae.data.containers import ArrayDataset, Splits
from lit_ae.errors import SettingError
from lit_ae.evaluation.evaluation import Evaluation
from lit_ae.models import VAE, Latent
from lit_ae.objectives.divergences import kl_standard_normal, kl_standard_normal_by_dimension
from lit_ae.objectives.schedules import CyclicalSchedule, LinearSchedule


def test_linear_schedule_rises_once():
    schedule = LinearSchedule(share=0.4)
    assert [schedule(p) for p in (0, 0.1, 0.2, 0.4, 0.7, 1)] == pytest.approx([0, 0.25, 0.5, 1, 1, 1])


def test_cyclical_schedule_starts_again_in_every_cycle():
    schedule = CyclicalSchedule(cycles=2, share=0.5)
    found = [schedule(p) for p in (0, 0.125, 0.25, 0.49, 0.5, 0.625, 0.75, 0.99)]
    assert found == pytest.approx([0, 0.5, 1, 1, 0, 0.5, 1, 1])


@pytest.mark.parametrize("share", [0, -0.1, 1.1, math.nan])
def test_share_out_of_range_is_refused(share):
    with pytest.raises(SettingError, match=r"share of the LinearSchedule schedule is .*: it must be in \(0, 1\]"):
        LinearSchedule(share)


def test_no_cycle_is_refused():
    with pytest.raises(SettingError, match="cycles of the CyclicalSchedule is 0"):
        CyclicalSchedule(cycles=0)


def test_weight_follows_the_schedule_step_by_step(digits):  # noqa: F811
    module = build("vae_annealed", beta=3)
    module.annealing = LinearSchedule(share=0.5)
    seen, validated = [], []
    penalty = module.penalty

    def watched(x, x_in, latent, raw):
        value, terms = penalty(x, x_in, latent, raw)
        assert torch.equal(terms["kl"], kl_standard_normal(latent.mu, latent.logvar))
        (seen if module.training else validated).append((value.sum() / terms["kl"].sum()).item())
        return value, terms

    module.penalty = watched
    trainer(2).fit(module, datamodule=digits)
    assert seen == pytest.approx([3 * min(step / 3, 1) for step in range(6)], rel=1e-5)
    assert validated == pytest.approx([3] * 6, rel=1e-5), "held-out data are scored with the full weight"


def test_kl_is_logged_by_itself_without_its_weight(digits):  # noqa: F811
    module, run = build("beta_vae", beta=4), trainer()
    run.fit(module, datamodule=digits)
    values = {key: value.item() for key, value in run.callback_metrics.items()}
    values |= run.test(module, datamodule=digits, verbose=False)[0]
    for stage in ("train", "val", "test"):
        assert values[f"{stage}/kl"] > 0
        assert values[f"{stage}/penalty"] == pytest.approx(4 * values[f"{stage}/kl"], rel=1e-5)


def test_annealing_needs_an_end(digits):  # noqa: F811
    with pytest.raises(SettingError, match=r"model\.annealing needs .*: set trainer\.max_epochs"):
        trainer(-1).fit(build("vae_annealed"), datamodule=digits)


def latent(n=6):
    generator = torch.Generator().manual_seed(0)
    mu, logvar = torch.randn(2, n, 100, generator=generator)
    mu[:, :50] *= 0.01
    logvar[:, :50] *= 0.01
    return Latent(mu, logvar, mu)


def test_free_bits_put_a_floor_under_each_dimension_s_batch_mean():
    module, code = build("vae_free_bits", free_bits=0.5, beta=2), latent()
    kl = kl_standard_normal_by_dimension(code.mu, code.logvar).mean(0)
    assert (kl < 0.5).any()
    assert (kl > 0.5).any()
    penalty, terms = module.penalty(None, None, code, None)
    assert penalty.shape == (6,)
    assert torch.equal(terms["kl"], kl_standard_normal(code.mu, code.logvar)), "without β and free bits"
    assert penalty.mean().item() == pytest.approx(2 * kl.clamp(min=0.5).sum().item(), rel=1e-5)


def test_free_bits_leave_dimensions_below_the_floor_alone():
    module, code = build("vae_free_bits", free_bits=0.5), latent()
    mu = code.mu.requires_grad_()
    below = kl_standard_normal_by_dimension(mu, code.logvar).mean(0) < 0.5
    (grad,) = torch.autograd.grad(module.penalty(None, None, code, None)[0].mean(), mu)
    assert not grad[:, below].any()
    assert torch.allclose(grad[:, ~below], mu[:, ~below] / 6)


def test_free_bits_are_of_training_alone():
    module, plain, code = build("vae_free_bits", free_bits=0.5).eval(), build("vae"), latent()
    (penalty, terms), (expected, _) = (m.penalty(None, None, code, None) for m in (module, plain))
    assert torch.equal(penalty, expected)
    assert torch.equal(terms["kl"], expected)


@pytest.mark.parametrize("name", ["beta", "free_bits"])
def test_negative_weight_is_refused(name):
    with pytest.raises(ValueError, match=rf"model\.{name} is -1\.0: it must be at least 0"):  # wrapped by the parser
        build("vae", **{name: -1.0})


# -- active units ------------------------------------------------------------------------------------------------------


class ThreePixels(BaseDataModule):
    name, input_shape, num_classes = "three", (3,), 0

    def load(self):
        x = torch.rand(400, 3, generator=torch.Generator().manual_seed(0))
        split = ArrayDataset(x, torch.full((400,), -1))
        return Splits(split, split, split)


class Known(VAE):
    """μ = (x₀, 0.01 x₁, 7), σ = (0.1, 1, 1): only the first unit depends clearly on x."""

    def encode(self, x, y=None):
        mu = torch.stack([x[:, 0], 0.01 * x[:, 1], torch.full_like(x[:, 2], 7.0)], 1)
        logvar = torch.tensor([2 * math.log(0.1), 0.0, 0.0]).expand_as(mu)
        return Latent(mu, logvar, mu)


class Figures:
    def __init__(self):
        self.figures = {}

    def draws(self, name):
        return True

    def log_figure(self, figure, name):
        self.figures[name] = figure


def test_active_units_and_kl_of_a_known_posterior(monkeypatch):
    figures = Figures()
    monkeypatch.setattr("lit_ae.evaluation.access.run_logger", lambda trainer: figures)
    monkeypatch.setattr(Evaluation, "on_test_end", lambda *args: None)
    module = build("vae", (3,), latent_dim=3)
    module.__class__ = Known
    evaluation = Evaluation()
    run = trainer(callbacks=[evaluation, Posterior()])
    (values,) = run.test(module, datamodule=ThreePixels(eval_batch_size=150), verbose=False)
    assert values["test/active_units"] == 1
    x = torch.rand(400, 3, generator=torch.Generator().manual_seed(0))
    first = 0.5 * (x[:, 0].square() + 0.01 - 1 - math.log(0.01)).mean().item()
    second = 0.5 * (0.01 * x[:, 1]).square().mean().item()
    assert values["test/kl"] == pytest.approx(first + second + 24.5, rel=1e-4)
    (line,) = figures.figures["kl-by-dimension"].axes[0].lines
    assert line.get_ydata() == pytest.approx([24.5, first, second], rel=1e-3)
    assert "of 3" in evaluation.protocol["active_units"]


def test_a_point_code_has_active_units_but_no_kl(digits):  # noqa: F811
    (values,) = trainer(callbacks=[Evaluation(), Posterior(threshold=0.0)]).test(
        build("ae"), datamodule=digits, verbose=False
    )
    assert values["test/active_units"] == 100
    assert "test/kl" not in values
