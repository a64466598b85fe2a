"""Regularised autoencoders: each penalty against its definition, and the slope of a normalised decoder."""

from functools import partial
from itertools import product

import pytest
import torch
from torch import nn

from lit_ae.errors import SettingError
from lit_ae.models import RAE, RAEGP, RAESN
from lit_ae.nets import MLPDecoder, MLPEncoder
from lit_ae.objectives.likelihoods import Gaussian
from lit_ae.testing import check_family

NETS = {
    "encoder": partial(MLPEncoder, widths=[9], activation="tanh"),
    "decoder": partial(MLPDecoder, widths=[9], activation="tanh"),
}


def model(family, outputs=4, **settings):
    torch.manual_seed(0)
    return family(input_shape=(outputs,), latent_dim=3, **{**NETS, **settings}).double()


def samples(outputs=4):
    return torch.rand(5, outputs, generator=torch.Generator().manual_seed(1), dtype=torch.float64)


def penalty(module, x):
    latent = module.encode(x)
    return module.penalty(x, x, latent, module.raw(latent.z))


def test_l2_penalty_is_the_squared_norm_of_code_and_decoder():
    module, x = model(RAE, beta=0.5, weight=0.25), samples()
    total, terms = penalty(module, x)
    z = module.encoder(x)
    layers = [layer for layer in module.decoder.modules() if isinstance(layer, nn.Linear)]
    squares = sum((layer.weight**2).sum().item() + (layer.bias**2).sum().item() for layer in layers)
    assert len(layers) == 2
    torch.testing.assert_close(terms["code_penalty"], (z**2).sum(1) / 2)
    assert terms["decoder_penalty"].tolist() == pytest.approx([squares] * 5)
    torch.testing.assert_close(total, 0.25 * (z**2).sum(1) + 0.25 * squares)


def slopes(module, z, step=1e-6):
    """‖∂x_hat/∂z‖²_F of codes z [B, D] by central differences, [B]."""
    moves = step * torch.eye(z.shape[1], dtype=z.dtype)
    differences = [(module.decode(z + move) - module.decode(z - move)) / (2 * step) for move in moves]
    return torch.stack(differences).square().flatten(2).sum((0, 2))


def test_gradient_penalty_has_the_mean_of_finite_differences(monkeypatch):
    """Over all directions of signs that the estimate may draw, and with the same value where no gradient is wanted."""
    module, x = model(RAEGP, likelihood=Gaussian(output="sigmoid")), samples()
    expected = slopes(module, module.encoder(x).detach())
    found, without = [], []
    for signs in product([0, 1], repeat=4):
        drawn = torch.tensor(signs, dtype=x.dtype)
        monkeypatch.setattr(torch, "randint_like", lambda h, n, drawn=drawn: drawn.expand_as(h))
        found.append(penalty(module, x)[1]["decoder_penalty"])
        with torch.inference_mode():
            without.append(penalty(module, x)[1]["decoder_penalty"])
    torch.testing.assert_close(torch.stack(found).mean(0), expected, rtol=1e-6, atol=0)
    torch.testing.assert_close(torch.stack(found), torch.stack(without))


def test_gradient_penalty_reaches_encoder_and_decoder():
    """With one output the estimate is exact, and so is its derivative by a weight."""
    module, x = model(RAEGP, outputs=1, beta=0.0, weight=1.0), samples(1)
    penalty(module, x)[0].sum().backward()
    for part in (module.encoder, module.decoder):
        weight = part.layers[0].weight
        found, step, values = weight.grad[0, 0].item(), 1e-5, []
        with torch.no_grad():
            for move in (step, -2 * step, step):
                weight[0, 0] += move
                values.append(penalty(module, x)[0].sum().item())
        assert found == pytest.approx((values[0] - values[1]) / (2 * step), rel=1e-4)
        assert abs(found) > 1e-6


def test_normalised_decoder_has_layers_of_norm_one_and_no_slope_above_it():
    module = model(RAESN, likelihood=Gaussian(output="linear")).train()
    with torch.no_grad():
        for layer in (layer for layer in module.decoder.modules() if isinstance(layer, nn.Linear)):
            layer.parametrizations.weight.original.mul_(30)
        for _ in range(100):  # power iteration
            module.decode(torch.zeros(1, 3, dtype=torch.float64))
    module.eval()
    weights = [layer.weight for layer in module.decoder.modules() if isinstance(layer, nn.Linear)]
    assert [torch.linalg.matrix_norm(weight, 2).item() for weight in weights] == pytest.approx([1, 1], abs=1e-6)
    z = 3 * torch.randn(200, 3, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    apart = torch.cdist(module.decode(z), module.decode(z)) - torch.cdist(z, z)
    assert apart.max() < 1e-6
    assert "decoder_penalty" in penalty(module, samples())[1]
    assert penalty(module, samples())[1]["decoder_penalty"].count_nonzero() == 5


def test_settings_out_of_range_are_refused():
    for family, setting in (
        (RAE, {"beta": -1.0}),
        (RAE, {"weight": -1.0}),
        (RAEGP, {"probes": 0}),
        (RAESN, {"beta": -1.0}),
    ):
        (name,) = setting
        with pytest.raises(SettingError, match=rf"model\.{name} is .*: it must be at least"):
            model(family, **setting)


@pytest.mark.parametrize("family", [RAE, RAEGP, RAESN])
def test_contract(family):
    check_family(family, input_shape=(6,), latent_dim=3)
