"""Callbacks that draw: which figures, of what, and where there are none."""

import subprocess
import sys
from functools import partial
from types import SimpleNamespace

import matplotlib as mpl
import numpy as np
import pytest
import torch
from lightning.pytorch import Trainer, seed_everything
from torch import nn

from lit_ae import tracking
from lit_ae.callbacks.figures.class_samples import ClassSamples
from lit_ae.callbacks.figures.code_distributions import CodeDistributions
from lit_ae.callbacks.figures.factor_correlation import FactorCorrelation
from lit_ae.callbacks.figures.latent_plot import LatentPlot, embed
from lit_ae.callbacks.figures.loss_curves import LossCurves
from lit_ae.callbacks.figures.reconstruction_grid import ReconstructionGrid
from lit_ae.callbacks.figures.reconstruction_kl import ReconstructionKL
from lit_ae.callbacks.figures.samples_grid import SamplesGrid
from lit_ae.callbacks.figures.traversals import Traversals, most_active
from lit_ae.callbacks.scores.generation_scores import GenerationScores
from lit_ae.callbacks.scores.interpolation import Interpolation
from lit_ae.callbacks.scores.zeroed_dimensions import ZeroedDimensions
from lit_ae.data.base import BaseDataModule
from lit_ae.data.containers import ArrayDataset, Splits
from lit_ae.errors import SettingError
from lit_ae.evaluation.evaluation import Evaluation
from lit_ae.metrics.codes.zeroing import zeroing_errors
from lit_ae.models.ae import AE
from lit_ae.models.conditional_vae import ConditionalVAE
from lit_ae.models.gan import GAN
from lit_ae.models.pca import PCA
from lit_ae.models.vae import VAE
from lit_ae.nets import MLPDecoder, MLPEncoder
from lit_ae.objectives.likelihoods import Bernoulli, Gaussian
from lit_ae.tracking.logger import RunLogger

SIDE, CLASSES = 8, 3


class Made(BaseDataModule):
    """Random images with labels, two factors or none; `kind` says what is missing."""

    name = "made"
    input_shape = (1, SIDE, SIDE)
    num_classes = CLASSES

    def __init__(self, kind="factors", n=40):
        super().__init__(batch_size=20)
        self.kind, self.n = kind, n
        if kind == "factors":
            self.factor_names = ("kind", "size")
        if kind == "vectors":
            self.input_shape = (SIDE * SIDE,)
        if kind == "unlabelled":
            self.num_classes = 0

    def load(self):
        x = torch.rand(self.n, *self.input_shape, generator=torch.Generator().manual_seed(0))
        y = torch.arange(self.n) % CLASSES
        if self.kind == "one class":
            y = y * 0
        if self.kind == "unlabelled":
            y = y * 0 - 1
        factors = torch.stack([y, x.flatten(1).mean(1)], 1) if self.kind == "factors" else None
        part = ArrayDataset(x, y, factors)
        return Splits(part, part, part)


class Recorder(RunLogger):
    """Keeps the figures."""

    def __init__(self):
        super().__init__()
        self.figures, self.protocol = {}, {}

    def log_figure(self, figure, name):
        assert name not in self.figures
        self.figures[name] = figure

    def log_protocol(self, protocol, renewed=None):
        self.protocol = protocol

    def log_sampler(self, sampler):
        pass


NETS = {"encoder": partial(MLPEncoder, widths=[16]), "decoder": partial(MLPDecoder, widths=[16])}
ADAM = partial(torch.optim.Adam, lr=1e-2)


def model(cls, data, **kwargs):
    seed_everything(0, verbose=False)
    options = {"latent_dim": 5, "optimizer": ADAM, "likelihood": Gaussian(), **NETS, **kwargs}
    return cls(input_shape=data.input_shape, **options)


def run(module, data, *callbacks, epochs=0):
    """Scores, figures and protocol of a test pass."""
    logger = Recorder()
    trainer = Trainer(
        max_epochs=epochs, callbacks=[Evaluation(), *callbacks], accelerator="cpu", logger=logger,
        enable_checkpointing=False, enable_progress_bar=False, enable_model_summary=False, num_sanity_val_steps=0,
    )  # fmt: skip
    if epochs:
        trainer.fit(module, datamodule=data)
    (scores,) = trainer.test(module, datamodule=data, verbose=False)
    return {key.removeprefix("test/"): value for key, value in scores.items()}, logger.figures, logger.protocol


def texts(figure):
    return [t.get_text() for t in figure.findobj(mpl.text.Text) if t.get_text()]


def all_callbacks():
    return [
        Interpolation(pairs=4), Traversals(), ZeroedDimensions(), CodeDistributions(), FactorCorrelation(),
        LatentPlot(["pca"]),
    ]  # fmt: skip


IMAGES = {"interpolation", "traversals", "zeroed", "zeroed-mse"}


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("factors", IMAGES | {"code-distributions", "factor-correlation", "pca"}),
        ("labels", IMAGES | {"code-distributions", "pca"}),
        ("unlabelled", IMAGES | {"pca"}),
        ("one class", (IMAGES - {"interpolation"}) | {"pca"}),
        ("vectors", {"code-distributions", "pca"}),
    ],
)
def test_figures_that_the_data_can_have(kind, expected):
    data = Made(kind)
    scores, figures, protocol = run(model(VAE, data), data, *all_callbacks())
    assert figures.keys() == expected
    assert all(np.isfinite(value) for value in scores.values())
    assert ("zeroed_mse_max" in scores) == (kind != "vectors")
    if kind == "one class":
        assert "samples of at least two classes" in protocol["left_out"]["Interpolation"]
        assert protocol["left_out"]["CodeDistributions"] == "all samples have the same label"


def test_samples_by_class_are_of_images_alone():
    for kind, shown_ in (("labels", {"samples-by-class"}), ("vectors", set())):
        data = Made(kind)
        assert run(model(ConditionalVAE, data, num_classes=CLASSES), data, ClassSamples())[1].keys() == shown_


def test_a_model_without_an_encoder_has_none():
    data = Made()
    seed_everything(0, verbose=False)
    gan = GAN(
        input_shape=data.input_shape, latent_dim=5, likelihood=Gaussian(), decoder=NETS["decoder"],
        discriminator=NETS["encoder"], generator_optimizer=ADAM, discriminator_optimizer=ADAM,
    )  # fmt: skip
    assert run(gan, data, *all_callbacks())[1] == {}


# -- interpolation -------------------------------------------------------------------------------------------


def test_interpolation_prints_every_alpha_and_logs_what_is_finite():
    data = Made()
    scores, figures, protocol = run(model(VAE, data), data, Interpolation(pairs=4))
    inner = {f"interpolation_{kind}/{alpha}" for kind in ("psnr", "l2") for alpha in ("0.2", "0.4", "0.6", "0.8")}
    assert {key for key in scores if key.startswith("interpolation")} == inner | {"interpolation_path_ratio"}
    said = texts(figures["interpolation"])
    assert said.count("∞") == 2  # the ends
    assert {"α", "0", "0.2", "0.4", "0.6", "0.8", "1", "mean PSNR (dB)", "mean L2 (code)"} <= set(said)
    assert f"{scores['interpolation_psnr/0.4']:.1f}" in said
    assert f"{scores['interpolation_l2/0.6']:.3g}" in said
    assert protocol["interpolation"].startswith("4 pairs of samples with different labels")
    again = run(model(VAE, data), data, Interpolation(pairs=4))[0]
    assert again == scores


def test_the_protocol_names_no_labels_where_there_are_none():
    data = Made("unlabelled")
    protocol = run(model(VAE, data), data, Interpolation(pairs=4))[2]
    assert protocol["interpolation"].startswith("4 random pairs of samples; decoded mixed codes")


def test_linear_model_mixes_codes_as_images():
    data = Made()
    scores, figures, protocol = run(PCA(data.input_shape, 5), data, Interpolation(pairs=4), epochs=1)
    assert "4 at α = 0.2, 4 at α = 0.4, 4 at α = 0.6, 4 at α = 0.8" in protocol["interpolation"]
    assert not [key for key in scores if "psnr" in key]
    assert scores["interpolation_l2/0.4"] == pytest.approx(0, abs=1e-5)
    assert scores["interpolation_path_ratio"] == pytest.approx(1, rel=1e-4)
    assert texts(figures["interpolation"]).count("∞") == 6


def test_protocol_reports_a_decoder_that_ignores_the_code():
    """As the published contractive run: infinite PSNR together with an L2 above 0."""
    data = Made()
    module = model(AE, data)
    for layer in module.decoder.modules():
        if isinstance(layer, nn.Linear):
            nn.init.zeros_(layer.weight)
    scores, _, protocol = run(module, data, Interpolation(pairs=4))
    assert scores["interpolation_l2/0.4"] > 0
    assert not {key for key in scores if key.startswith("interpolation")} & {"interpolation_path_ratio"}
    assert not [key for key in scores if "psnr" in key]
    reasons = protocol["left_out"]
    assert reasons["interpolation_path_ratio"] == "the decoder gives the same image at both ends of every path"
    assert reasons["interpolation_psnr/0.4"] == "all pairs agree up to rounding"


def test_conditional_model_is_given_the_class():
    data = Made()
    module = model(ConditionalVAE, data, num_classes=CLASSES)
    scores, figures, _ = run(module, data, Interpolation(pairs=4), Traversals(), ZeroedDimensions())
    assert figures.keys() == IMAGES
    assert np.isfinite(scores["interpolation_psnr/0.4"])


# -- traversals ----------------------------------------------------------------------------------------------


def shown(figure):
    """The figure's rows of images by label, [H, W]."""
    return {axes.get_ylabel(): np.asarray(axes.images[0].get_array())[:, :, 0] for axes in figure.axes if axes.images}


@pytest.mark.parametrize(("family", "scale"), [(AE, "codes"), (VAE, "prior")])
def test_traversal_decodes_the_mean_code_with_one_dimension_set(family, scale):
    data = Made()
    module = model(family, data)
    _, figures, _ = run(module, data, Traversals(limit=2, steps=3, dimensions=[3]))
    with torch.no_grad():
        codes = module.encode(data.split("test").x).mu
        z = codes.mean(0).repeat(3, 1)
        if family is VAE:  # on the scale of its prior
            z[:, 3] = torch.tensor([-2.0, 0.0, 2.0])
        else:  # on the scale of the codes, which nothing else fixes
            z[:, 3] += torch.tensor([-2.0, 0.0, 2.0]) * codes[:, 3].std(correction=0)
        expected = module.decode(z)
    strip = shown(figures["traversals"])["z 3"]
    for k in range(3):
        np.testing.assert_allclose(strip[:, k * (SIDE + 1) : k * (SIDE + 1) + SIDE], expected[k, 0], atol=1e-6)
    said = texts(figures["traversals"])
    assert {"−2", "0", "2", f"σ of {scale}"} <= set(said)
    assert any(
        f"standard deviations of {'the prior' if family is VAE else 'its own'}" in " ".join(t.split()) for t in said
    )


def test_losses_are_those_of_the_epochs_that_had_them():
    data, curves = Made(), LossCurves()
    trainer = Trainer(
        max_epochs=5, check_val_every_n_epoch=2, callbacks=[curves], accelerator="cpu", logger=False,
        enable_checkpointing=False, enable_progress_bar=False, enable_model_summary=False,
    )  # fmt: skip
    trainer.fit(model(AE, data), datamodule=data)
    epochs = {name: [epoch for epoch, _ in points] for name, points in curves.series.items()}
    assert epochs == {"train/loss": [1, 2, 3, 4, 5], "val/loss": [2, 4]}


class Symmetric(Made):
    """Images in [-1, 1]."""

    def load(self):
        return Splits(*(ArrayDataset(2 * part.x - 1, part.y) for part in super().load()))


def test_images_outside_the_unit_interval_are_scaled_for_figures_and_not_scored_as_pixels():
    data = Symmetric("labels")
    module = model(AE, data, likelihood=Gaussian(output="tanh"))
    drawn = (ReconstructionGrid(n=4), SamplesGrid(n=4), Traversals(), ZeroedDimensions(), GenerationScores(n=20))
    scores, figures, protocol = run(module, data, *drawn)
    x = data.split("test").x
    low, high = x.min(), x.max()
    assert low < 0
    row = shown(figures["reconstructions"])["input"]
    for k in range(4):
        part = row[:, k * (SIDE + 1) : k * (SIDE + 1) + SIDE]
        np.testing.assert_allclose(part, ((x[k, 0] - low) / (high - low)).clamp(0, 1), atol=1e-6)
    for name in ("reconstructions", "samples-normal", "traversals", "zeroed"):
        title = " ".join(figures[name].get_suptitle().split())
        assert title.endswith(f"; black is −{-low:.3g}, white {high:.3g}"), name
    assert not [key for key in scores if key.startswith(("fid", "kid", "is/"))]
    assert protocol["left_out"]["GenerationScores"] == "the samples of made are not within [0, 1]"


def test_traversals_begin_with_the_most_active_dimension_and_may_start_at_a_sample():
    data = Made()
    module = model(AE, data)
    codes = module.encode(data.split("test").x).mu.detach()
    order = codes.var(0).argsort(descending=True).tolist()
    assert most_active(codes, 3) == order[:3]
    two = (Traversals(), Traversals(n=1, limit=2, sample=7, figure="traversal"))
    _, figures, _ = run(module, data, *two)
    assert list(shown(figures["traversals"])) == [f"z {d}" for d in order]
    assert list(shown(figures["traversal"])) == [f"z {order[0]}"]


@pytest.mark.parametrize("setting", [{"dimensions": [5]}, {"dimensions": [-1]}, {"sample": 40}])
def test_traversals_refuse_dimensions_and_samples_that_do_not_exist(setting):
    data = Made()
    with pytest.raises(SettingError, match=rf"Traversals.{next(iter(setting))} is .* must lie from 0 to"):
        run(model(AE, data), data, Traversals(**setting))


# -- zeroed dimensions ---------------------------------------------------------------------------------------


def test_zeroing_a_principal_component_costs_its_variance(agrees):
    """Orthogonal components of centred codes: the increase is the component's variance over the pixels."""
    from sklearn import decomposition

    data = Made()
    scores, figures, _ = run(PCA(data.input_shape, 5), data, ZeroedDimensions(max_images=40), epochs=1)
    x = data.split("test").x.flatten(1).numpy()
    variance = decomposition.PCA(5).fit(x).explained_variance_ * (len(x) - 1) / len(x) / x.shape[1]
    line = figures["zeroed-mse"].axes[0].get_lines()[0].get_ydata()
    agrees("zeroed dimensions", "sklearn PCA's variances", "40 random images, 5 components", line, variance, 1e-3)
    assert scores["zeroed_mse_max"] == pytest.approx(line[0])


def test_zeroing_an_unused_dimension_costs_nothing():
    z, x = torch.randn(6, 3), torch.randn(6, 1, 2, 2)
    increase = zeroing_errors(lambda codes: codes[:, :2].sum(1).view(-1, 1, 1, 1).expand(-1, 1, 2, 2), z, x)
    assert increase[2] == 0
    assert (increase[:2] != 0).all()


# -- distributions and correlations --------------------------------------------------------------------------


def test_distributions_are_grouped_by_the_first_factor_or_the_one_named():
    data = Made()
    module = model(AE, data)
    _, figures, _ = run(module, data, CodeDistributions(n=2))
    figure = figures["code-distributions"]
    codes = module.encode(data.split("test").x).mu.detach()
    assert [axes.get_title() for axes in figure.axes] == [f"z {d}" for d in sorted(most_active(codes, 2))]
    assert figure.get_supxlabel() == "kind"
    assert [t.get_text() for t in figure.axes[0].get_xticklabels()] == ["0", "1", "2"]
    with pytest.raises(SettingError, match="factor is colour, which is not a factor of made: choose one of kind, size"):
        run(module, data, CodeDistributions(factor="colour"))


def test_factor_correlation_shows_the_numbers_of_the_metric():
    from lit_ae.metrics.codes.factors import factor_code_correlation

    data = Made()
    module = model(AE, data)
    _, figures, _ = run(module, data, FactorCorrelation(n=3))
    part = data.split("test")
    r = factor_code_correlation(module.encode(part.x).mu.detach(), part.factors, nominal=[0])
    columns = r.abs().amax(0).argsort(descending=True)[:3].sort().values
    axes = figures["factor-correlation"].axes[0]
    np.testing.assert_allclose(np.asarray(axes.images[0].get_array()), r[:, columns].T, atol=1e-6)
    assert [t.get_text() for t in axes.get_xticklabels()] == ["kind (η)", "size"]
    assert axes.get_ylabel() == "code dimension"
    assert len(axes.texts) == 6


# -- embeddings ----------------------------------------------------------------------------------------------


def test_pca_is_that_of_scikit_learn(agrees):
    from sklearn import decomposition

    codes = np.random.default_rng(0).normal(size=(60, 7)) * np.arange(1, 8)
    theirs = decomposition.PCA(2).fit_transform(codes)
    ours = embed(codes, "pca", 0)
    agrees("PCA embedding", "scikit-learn", "60 x 7 codes", np.abs(ours), np.abs(theirs), 1e-8)  # signs are free


@pytest.mark.parametrize("method", ["pca", "tsne", "umap"])
def test_equal_codes_lie_on_one_point_and_too_few_are_refused(method):
    assert not embed(np.ones((9, 3), np.float32), method, 0).any()
    with pytest.raises(ValueError, match="3 codes are too few"):
        embed(np.eye(3), method, 0)


COMPILED = """
import numpy as np
from lit_ae.callbacks.figures.latent_plot import embed
points = embed(np.random.default_rng(0).normal(size=(60, 4)).astype("f4"), "umap", 0)
from umap import layouts, umap_
used = umap_.smooth_knn_dist, umap_.compute_membership_strengths, layouts._nb_optimize_layout_euclidean_single_epoch
print([sum(function.stats.cache_hits.values()) for function in used], points.tobytes().hex())
"""


@pytest.mark.slow
def test_what_umap_compiles_is_kept_for_later_processes():
    first, second = (
        subprocess.run([sys.executable, "-W", "ignore", "-c", COMPILED], capture_output=True, text=True, check=True)
        for _ in range(2)
    )
    assert second.stdout.startswith("[1, 1, 1] ")
    assert first.stdout.partition("] ")[2] == second.stdout.partition("] ")[2], "the same points"


@pytest.mark.parametrize("method", ["pca", "tsne"])
def test_codes_of_one_dimension_are_embedded(method):
    points = embed(np.linspace(0, 1, 20, dtype=np.float32)[:, None], method, 0, iterations=250)
    assert points.shape == (20, 2)
    assert np.isfinite(points).all()


def test_embeddings_stand_side_by_side_and_too_few_points_are_reported():
    data = Made()
    _, figures, _ = run(model(AE, data), data, LatentPlot(["tsne", "pca"], perplexity=5, iterations=300, max_points=30))
    assert figures.keys() == {"tsne", "pca", "embeddings"}
    panels = figures["embeddings"].axes
    assert [axes.get_title() for axes in panels] == ["t-SNE", "PCA"]
    assert sum(len(points.get_offsets()) for points in panels[1].collections) == 30
    _, figures, protocol = run(model(AE, data), data, LatentPlot(["pca"], max_points=3))
    assert (figures, protocol["left_out"]["LatentPlot"]) == ({}, "3 codes are too few to embed: at least 4 are needed")


# -- curves by epoch -----------------------------------------------------------------------------------------


def recon_kl(term, likelihood):
    """Axes by y label of the figure of a run that logged nll 30, 20 and a term 4, 6 (both + 1 in validation)."""
    logger, figures = RunLogger(), {}
    logger.run_id = tracking.create_run("figures", "a run", {})
    for epoch, (nll, other) in enumerate([(30.0, 4.0), (20.0, 6.0)]):
        values = {"train/nll": nll, f"train/{term}": other, "val/nll": nll + 1, f"val/{term}": other + 1}
        logger.log_metrics({"epoch": epoch, **values})
    logger.write_held()
    logger.log_figure = lambda figure, name: figures.update({name: figure})
    module = model(VAE, Made(), likelihood=likelihood)
    trainer = SimpleNamespace(lightning_module=module, loggers=[logger], testing=True)
    assert ReconstructionKL().score(trainer, Evaluation()) == {}
    axes = figures["recon-kl"].axes if figures else []
    return {a.get_ylabel(): {line.get_label(): list(line.get_ydata()) for line in a.get_lines()} for a in axes}


def test_recon_kl_shows_the_logged_terms(store):
    kl = {"training": [4, 6], "validation": [5, 7]}
    nll = {"training": [30, 20], "validation": [31, 21]}
    assert recon_kl("kl", Bernoulli()) == {
        "reconstruction nll (nats)": nll, "KL divergence from the prior (nats)": kl,
    }  # fmt: skip
    assert recon_kl("kl", Bernoulli("mean")) == {
        "reconstruction nll (nats per pixel)": nll, "KL divergence from the prior (nats)": kl,
    }  # fmt: skip


def test_runs_without_a_logged_kl_have_no_recon_kl(store):
    assert recon_kl("penalty", Bernoulli()) == {}


# -- the figures that are wanted -------------------------------------------------------------------------------


def test_a_figure_that_is_not_wanted_is_neither_made_nor_changes_a_score(monkeypatch):
    data = Made("factors")
    everything, figures, _ = run(model(AE, data), data, *all_callbacks())
    embedded = []
    monkeypatch.setattr("lit_ae.callbacks.figures.latent_plot.embed", lambda *args: embedded.append(args))
    monkeypatch.setattr(Recorder, "draws", lambda self, name: name == "zeroed-mse")
    monkeypatch.setattr("lit_ae.plots.codes.distributions", None)
    monkeypatch.setattr("lit_ae.plots.image_rows", None)
    scores, drawn, protocol = run(model(AE, data), data, *all_callbacks())
    assert (drawn.keys(), embedded, "left_out" in protocol) == ({"zeroed-mse"}, [], False)
    assert scores == everything
    assert len(figures) > len(IMAGES)


def test_embeddings_that_are_only_shown_side_by_side_are_computed(monkeypatch):
    data = Made()
    monkeypatch.setattr(Recorder, "draws", lambda self, name: name == "embeddings")
    _, figures, _ = run(model(AE, data), data, LatentPlot(["tsne", "pca"], perplexity=5, iterations=250, max_points=30))
    assert figures.keys() == {"embeddings"}
    assert len(figures["embeddings"].axes) == 2


# -- files ---------------------------------------------------------------------------------------------------


def test_a_run_holds_every_figure_as_png_and_as_pdf(store):
    from lit_ae import plots

    logger = RunLogger()
    logger.run_id = tracking.create_run("figures", "a run", {})
    logger.log_figure(plots.curves({"A": [(1, 1.0), (2, 2.0)]}, "x", "y", "t"), "loss")
    run = tracking.get_run(logger.run_id)
    assert run.artifact("figures/loss.png").read_bytes().startswith(b"\x89PNG")
    assert run.artifact("vector/loss.pdf").read_bytes().startswith(b"%PDF")
