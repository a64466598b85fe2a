"""VQ-VAE: straight-through gradient, moving averages, use of the codebook, prior over entries."""

import math
from functools import partial

import lightning.pytorch as pl
import pytest
import torch
from test_families import trainer
from torch.utils.data import DataLoader, TensorDataset

from lit_ae.data.containers import Batch
from lit_ae.errors import SettingError
from lit_ae.models.capabilities import DrawsCodes
from lit_ae.models.vq_vae import VQVAE
from lit_ae.nets import MLPDecoder, MLPEncoder
from lit_ae.nets.quantiser import VectorQuantiser
from lit_ae.objectives.likelihoods import Gaussian
from lit_ae.samplers.gibbs import Gibbs


def model(features=6, latent_dim=4, entries=5, entry_dim=2, **settings):
    torch.manual_seed(0)
    return VQVAE(
        input_shape=(features,),
        latent_dim=latent_dim,
        entries=entries,
        entry_dim=entry_dim,
        encoder=partial(MLPEncoder, widths=[]),
        decoder=partial(MLPDecoder, widths=[]),
        likelihood=Gaussian(output="linear"),
        **settings,
    )


def identity(entries=4):
    """A model whose encoder gives its input, with entries 0, 1, 2, … of one number each."""
    module = model(features=3, latent_dim=3, entries=entries, entry_dim=1)
    with torch.no_grad():
        module.encoder.layers[0].weight.copy_(torch.eye(3))
        module.encoder.layers[0].bias.zero_()
    module.quantiser.codebook.copy_(torch.arange(entries).unsqueeze(1))
    return module


def loader(x, batch_size=8, **settings):
    return DataLoader(TensorDataset(x), batch_size=batch_size, **settings)


# -- the code ------------------------------------------------------------------------------------------------------


def test_code_is_the_nearest_entry_at_each_position():
    module = model().eval()
    x = torch.randn(50, 6)
    latent, outputs = module.encode(x), module.encoder(x).view(50, 2, 2)
    for i in range(50):
        for position in range(2):
            distances = (outputs[i, position] - module.quantiser.codebook).norm(dim=1)
            expected = module.quantiser.codebook[distances.argmin()]
            assert torch.equal(latent.mu.view(50, 2, 2)[i, position], expected)
    assert latent.z is latent.mu
    assert latent.logvar is None
    squared = (outputs.flatten(1) - latent.mu).square().sum(1)
    assert torch.allclose(latent.terms["commitment"], squared, atol=1e-6)


@pytest.mark.parametrize("offset", [0.0, 100.0, -1000.0])
def test_code_is_the_nearest_entry_far_from_0(offset):
    torch.manual_seed(0)
    quantiser = VectorQuantiser(4, 128, 4).eval()
    quantiser.codebook.mul_(0.5).add_(offset)
    vectors = 0.5 * torch.randn(1000, 4) + offset
    distances = (vectors.double().unsqueeze(1) - quantiser.codebook.double()).norm(dim=2)
    assert torch.equal(quantiser.nearest(vectors).flatten(), distances.argmin(1))


def test_gradient_passes_straight_through_and_the_commitment_adds_its_own():
    module = model(beta=0.7).eval()
    x = torch.randn(9, 6)
    r = module.reconstruct_batch(Batch(x, torch.zeros(9)), "train")
    r.loss.sum().backward()
    weight, bias = (parameter.detach() for parameter in module.decoder.parameters())
    entries, outputs = r.latent.mu.detach(), module.encoder(x).detach()
    by_code = 2 * (entries @ weight.T + bias - x) @ weight  # of Σ (x - x_hat)², as if the code were the output
    by_output = by_code + 0.7 * 2 * (outputs - entries)
    assert torch.allclose(module.encoder.layers[0].bias.grad, by_output.sum(0), atol=1e-4)
    assert torch.allclose(module.encoder.layers[0].weight.grad, by_output.T @ x, atol=1e-4)
    assert torch.allclose(r.loss, (x - r.x_hat).square().sum(1) + 0.7 * r.terms["commitment"], atol=1e-4)


def test_evaluation_leaves_the_codebook_as_it_is():
    module = model().eval()
    before = {name: value.clone() for name, value in module.state_dict().items()}
    module.embed(torch.randn(20, 6))
    module.validation_step(Batch(torch.randn(20, 6), torch.zeros(20)), 0)
    assert all(torch.equal(value, before[name]) for name, value in module.state_dict().items())


# -- the moving averages -------------------------------------------------------------------------------------------


def test_moving_averages_by_hand():
    layer = VectorQuantiser(2, entries=3, dim=1, decay=0.9)
    layer.codebook.copy_(torch.tensor([[0.0], [10.0], [20.0]]))
    layer.counts.copy_(torch.tensor([[1.0, 2.0, 0.0], [1.0, 0.0, 4.0]]))  # N = 2, 2, 4 and so m = 0, 20, 80
    codes = torch.tensor([[1.0, 9.0], [2.0, 12.0], [-1.0, 11.0]])
    found = layer.train()(codes)
    assert found.tolist() == [[0, 10], [0, 10], [0, 10]], "chosen before the entries move"
    # n = 3, 3, 0; Σ = 2, 32, 0
    assert torch.allclose(layer.counts, torch.tensor([[1.2, 1.8, 0.0], [0.9, 0.3, 3.6]]))
    expected = [0.1 * 2 / 2.1, (0.9 * 20 + 0.1 * 32) / 2.1, 20]
    assert layer.codebook.flatten().tolist() == pytest.approx(expected)
    layer(codes)
    number = [0.9 * 2.1 + 0.3, 0.9 * 2.1 + 0.3, 0.9 * 3.6]
    sums = [0.9 * 0.2 + 0.1 * 2, 0.9 * 21.2 + 0.1 * 32, 0.9 * 72]
    assert layer.codebook.flatten().tolist() == pytest.approx([m / n for m, n in zip(sums, number, strict=True)])


def test_entries_that_nothing_chooses_are_drawn_from_the_batch_and_no_entry_becomes_nan():
    torch.manual_seed(0)
    layer = VectorQuantiser(1, entries=4, dim=1, decay=0.5).train()
    layer.codebook.copy_(torch.tensor([[0.0], [100.0], [200.0], [300.0]]))
    codes = torch.tensor([[1.0], [2.0], [3.0], [-1.0]])
    layer(codes)
    assert layer.codebook[0].item() == pytest.approx(5 / 4), "the mean of those that chose it"
    assert {value.item() for value in layer.codebook[1:]} <= {1.0, 2.0, 3.0, -1.0}
    layer.codebook[3], layer.counts[0, 3] = 1000.0, 1.0
    for _ in range(15):
        layer(codes)
        assert layer.codebook[3].item() == pytest.approx(1000, rel=1e-3), "kept while its count has not vanished"
    for _ in range(300):  # far beyond the range of floats
        layer(codes)
    assert layer.codebook.isfinite().all()
    assert layer.codebook.max() <= 3
    assert layer.counts.sum().item() == pytest.approx(4, rel=1e-4)


def test_an_epoch_moves_the_entries_into_the_data():
    module = model(entries=8)
    x = torch.randn(64, 6) + 5
    trainer(3).fit(module, loader(x, 16))
    outputs = module.encoder(x).view(-1, 2)
    module.eval()
    chosen = module.quantiser.nearest(module.encoder(x))
    assert len(chosen.unique()) >= 6
    nearest = torch.cdist(outputs, module.quantiser.codebook).min(1).values.square().mean()
    assert nearest < 0.5 * (outputs - outputs.mean(0)).square().sum(1).mean()


# -- use of the codebook -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("stage", ["val", "test"])
def test_perplexity_and_dead_codes_of_a_known_assignment(stage):
    module = identity(entries=5)
    x = torch.tensor(
        [[0.1, 1.2, 2.0], [0.0, 0.9, 0.2], [-3.0, 0.0, 1.1], [0.0, 0.3, 0.0]]
    )  # 8 times 0, 3 times 1, once 2
    expected = math.exp(-sum(n / 12 * math.log(n / 12) for n in (8, 3, 1)))
    run = trainer()
    evaluate = run.validate if stage == "val" else run.test
    for _ in range(2):  # counts start anew with each evaluation
        (found,) = evaluate(module, loader(x, 3), verbose=False)
        assert found[f"{stage}/codebook_perplexity"] == pytest.approx(expected, rel=1e-5)
        assert found[f"{stage}/dead_codes"] == 2
        assert found[f"{stage}/commitment"] == pytest.approx((x - x.round().clamp(min=0)).square().sum().item() / 4)


def test_metrics_are_logged_after_validation_and_not_of_training():
    run = trainer(1)
    x = torch.randn(20, 6)
    run.fit(model(), loader(x), loader(x))
    names = {key for key in run.callback_metrics if "code" in key}
    assert names == {"val/codebook_perplexity", "val/dead_codes"}
    assert 1 <= run.callback_metrics["val/codebook_perplexity"] <= 5 - run.callback_metrics["val/dead_codes"] + 1e-4


# -- the prior -----------------------------------------------------------------------------------------------------


def test_codes_are_drawn_by_the_frequencies_of_each_position(agrees):
    module = identity()
    assert isinstance(module, DrawsCodes)
    module.quantiser.counts.copy_(torch.tensor([[1.0, 3.0, 0.0, 0.0], [0.0, 0.0, 2.0, 2.0], [1.0, 1.0, 1.0, 1.0]]))
    codes = module.draw_codes(20_000, torch.Generator().manual_seed(0))
    found = torch.stack([(codes == entry).double().mean(0) for entry in range(4)], 1)  # [M, K]
    expected = torch.tensor([[0.25, 0.75, 0, 0], [0, 0, 0.5, 0.5], [0.25, 0.25, 0.25, 0.25]])
    agrees("VQ-VAE prior", "given frequencies", "20,000 draws", found, expected, abs=0.015)
    assert not found[expected == 0].any()
    again = Gibbs(module).fit(torch.zeros(1, 3)).sample(20_000, torch.Generator().manual_seed(0))
    assert torch.equal(again, codes)


def test_before_training_all_entries_are_equally_likely():
    codes = identity().draw_codes(4000, torch.Generator().manual_seed(0))
    shares = torch.stack([(codes == entry).float().mean() for entry in range(4)])
    assert torch.allclose(shares, torch.full((4,), 0.25), atol=0.02)


def test_training_fits_the_prior():
    module = identity()
    module.quantiser.decay = 0.5
    x = torch.cat([torch.tensor([[0.0, 1.0, 2.0]]).repeat(30, 1), torch.tensor([[3.0, 1.0, 2.0]]).repeat(10, 1)])
    module.train()
    for _ in range(30):
        module.encode(x)
    counts = module.quantiser.counts
    shares = counts / counts.sum(1, keepdim=True)
    expected = torch.tensor([[0.75, 0, 0, 0.25], [0, 1, 0, 0], [0, 0, 1, 0]])
    assert torch.allclose(shares, expected, atol=1e-6)
    drawn = module.sample(5)
    assert drawn.shape == (5, 3)
    assert drawn.isfinite().all()


# -- checkpoints and settings --------------------------------------------------------------------------------------


def test_resumed_training_goes_on_from_the_codebook_and_its_counts(tmp_path):
    x = torch.randn(40, 6)

    def trained(epochs, **settings):
        module = model()
        run = trainer(epochs)
        run.fit(module, loader(x), **settings)
        return module, run

    whole, _ = trained(2)
    half, run = trained(1)
    run.save_checkpoint(tmp_path / "model.ckpt")
    seen = {}

    class Start(pl.Callback):
        def on_train_batch_start(self, trainer, module, batch, batch_idx):
            seen.setdefault("codebook", module.quantiser.codebook.clone())
            seen.setdefault("counts", module.quantiser.counts.clone())

    resumed = model()
    run = trainer(2, callbacks=[Start()])
    run.fit(resumed, loader(x), ckpt_path=tmp_path / "model.ckpt", weights_only=True)
    assert torch.equal(seen["codebook"], half.quantiser.codebook)
    assert torch.equal(seen["counts"], half.quantiser.counts)
    assert half.quantiser.counts.any()
    # all entries have been chosen by then, so that nothing is drawn at random and the runs are the same
    assert (half.quantiser.counts.sum(0) > 1e-3).all()
    for name, value in whole.state_dict().items():
        assert torch.allclose(value, resumed.state_dict()[name], atol=1e-6), name
    loaded = VQVAE.load_from_checkpoint(tmp_path / "model.ckpt").eval()
    assert torch.equal(loaded.embed(x), half.eval().embed(x))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"entries": 0}, r"model\.entries is 0: it must be at least 1"),
        ({"entry_dim": 3}, r"model\.entry_dim is 3: it must be a divisor of model\.latent_dim, which is 4"),
        ({"entry_dim": 0}, r"model\.entry_dim is 0: it must be a divisor"),
        ({"beta": -1.0}, r"model\.beta is -1\.0: it must be at least 0"),
        ({"decay": 1.0}, r"model\.decay is 1\.0: it must be at least 0 and below 1"),
    ],
)
def test_settings_that_cannot_work_are_refused(settings, message):
    with pytest.raises(SettingError, match=message):
        model(**settings)
