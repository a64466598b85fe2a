"""DCGAN's layer plan."""

import pytest
import torch
from torch import nn

from lit_ae.errors import SettingError
from lit_ae.nets.dcgan import DCGANDiscriminator, DCGANGenerator


@pytest.mark.parametrize(("side", "start", "widths"), [(28, 7, [128, 64]), (32, 4, [256, 128, 64])])
def test_layer_plan(side, start, widths):
    net = DCGANGenerator(100, (1, side, side))
    kinds = [type(layer).__name__ for layer in net.layers]
    block = ["ConvTranspose2d", "BatchNorm2d", "ReLU"]
    first = ["Linear", "Unflatten", "BatchNorm2d", "ReLU"]
    assert kinds == [*first, *block * (len(widths) - 1), "ConvTranspose2d"]
    assert net.layers[1].unflattened_size == (widths[0], start, start)
    assert [m.out_channels for m in net.modules() if isinstance(m, nn.ConvTranspose2d)] == [*widths[1:], 1]
    assert net(torch.randn(3, 100)).shape == (3, 1, side, side)

    net = DCGANDiscriminator((1, side, side), 1)
    kinds = [type(layer).__name__ for layer in net.layers]
    rest = ["Conv2d", "BatchNorm2d", "LeakyReLU"] * (len(widths) - 1)
    assert kinds == ["Conv2d", "LeakyReLU", *rest, "Flatten", "Linear"]
    assert [m.out_channels for m in net.modules() if isinstance(m, nn.Conv2d)] == widths[::-1]
    assert {m.negative_slope for m in net.modules() if isinstance(m, nn.LeakyReLU)} == {0.2}
    assert net.layers[-1].in_features == widths[0] * start**2
    assert net(torch.rand(3, 1, side, side)).shape == (3, 1)


def test_64_pixels_have_the_paper_s_four_layers():
    net = DCGANGenerator(100, (3, 64, 64), width=128)
    assert net.layers[1].unflattened_size == (1024, 4, 4)


def test_initial_weights_are_the_paper_s():
    torch.manual_seed(0)
    for net in (DCGANGenerator(100, (1, 28, 28)), DCGANDiscriminator((1, 28, 28), 1)):
        for module in net.modules():
            if isinstance(module, (nn.Linear, nn.Conv2d, nn.ConvTranspose2d)):
                assert module.weight.std().item() == pytest.approx(0.02, rel=0.1)
            if isinstance(module, nn.BatchNorm2d):
                assert module.weight.mean().item() == pytest.approx(1, abs=0.02)
                assert 0.01 < module.weight.std().item() < 0.03


@pytest.mark.parametrize("make", [lambda: DCGANGenerator(8, (64,)), lambda: DCGANDiscriminator((64,), 1)])
def test_vectors_are_refused(make):
    with pytest.raises(SettingError, match=r"DCGAN\w+ needs images \[C, H, W\]"):
        make()
