"""Layers narrower than the code: none by default or in the studies, one warning where settings ask for one."""

import math
import warnings
from functools import partial

import pytest
import torch
import yaml

from lit_ae.errors import SettingError
from lit_ae.models import AE, GAN, VAE, Classifier, ConditionalAE
from lit_ae.nets import Decoder, Encoder, MLPDecoder, MLPEncoder
from lit_ae.nets.conv import ConvDecoder, ConvEncoder
from lit_ae.nets.report_conv import ReportConvDecoder, ReportConvEncoder
from lit_ae.settings.files import config_folder

IMAGE = (1, 28, 28)
FAMILIES = [AE, VAE, GAN, partial(ConditionalAE, num_classes=3), partial(Classifier, num_classes=3)]


def narrow(build):
    """The warnings about layers narrower than the code that building a model gives."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        build()
    return [str(one.message) for one in caught if "independent dimensions" in str(one.message)]


def code_rank(module):
    """Rank of the codes of many random samples: their number of independent dimensions."""
    with torch.no_grad():
        x = torch.rand(1500, *IMAGE, generator=torch.Generator().manual_seed(0)).sign() * torch.randn(1500, *IMAGE)
        codes = module.double().encode(x.double()).mu
    return int(torch.linalg.matrix_rank(codes - codes.mean(0), rtol=1e-9))


def test_a_default_network_is_as_wide_as_its_code():
    assert code_rank(AE(input_shape=IMAGE, latent_dim=300)) == 300
    assert code_rank(AE(input_shape=IMAGE, latent_dim=300, encoder=partial(MLPEncoder, widths=[256]))) == 256


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("latent_dim", [16, 256, 300])
def test_default_networks_give_no_warning(family, latent_dim):
    assert not narrow(lambda: family(input_shape=IMAGE, latent_dim=latent_dim))


@pytest.mark.parametrize("latent_dim", [16, 256])
def test_default_networks_of_small_codes_keep_256_units(latent_dim):
    module = VAE(input_shape=IMAGE, latent_dim=latent_dim)
    assert [tuple(p.shape) for p in module.encoder.parameters()] == [
        (256, 784),
        (256,),
        (2 * latent_dim, 256),
        (2 * latent_dim,),
    ]
    assert [tuple(p.shape) for p in module.decoder.parameters()] == [(256, latent_dim), (256,), (784, 256), (784,)]


@pytest.mark.parametrize("family", FAMILIES)
def test_a_narrower_layer_is_named_with_both_settings(family):
    settings = (
        {} if getattr(family, "func", family) is Classifier else {"decoder": partial(MLPDecoder, widths=[300, 90])}
    )
    if getattr(family, "func", family) is not GAN:
        settings["encoder"] = partial(MLPEncoder, widths=[80, 300])
    messages = narrow(lambda: family(input_shape=IMAGE, latent_dim=100, **settings))
    assert sorted(message.split()[0] for message in messages) == sorted(f"model.{name}" for name in settings)
    assert all("model.latent_dim 100" in message and "\n" not in message for message in messages)
    assert {"80", "90"} >= {message.split("layer of ")[1].split()[0] for message in messages}


@pytest.mark.parametrize("channels", [[4], [8, 16], [2, 3, 5]])
@pytest.mark.parametrize("nets", [(ConvEncoder, ConvDecoder), (ReportConvEncoder, ReportConvDecoder)])
def test_convolutional_networks_state_the_sizes_of_their_maps(nets, channels):
    """The stated sizes are those of the feature maps that a forward pass makes."""
    encoder = nets[0](IMAGE, 10, channels=channels)
    decoder = nets[1](10, IMAGE, channels=channels[::-1])
    for net, batch in ((encoder, torch.rand(1, *IMAGE)), (decoder, torch.rand(1, 10))):
        seen: list[tuple[str, int]] = []
        for layer in net.layers.modules():
            layer.register_forward_hook(
                lambda module, _, out, seen=seen: seen.append((type(module).__name__, out[0].numel()))
            )
        net(batch)
        last = "MaxPool2d" if isinstance(net, ReportConvEncoder) else "ReLU"
        sizes = [size for name, size in seen if name == last]
        assert list(net.hidden_sizes) == sizes[: len(channels)]


def test_a_convolutional_bottleneck_is_named():
    build = partial(AE, input_shape=IMAGE, latent_dim=100, decoder=partial(MLPDecoder, widths=[]))
    assert narrow(lambda: build(encoder=partial(ConvEncoder, channels=[8, 2])))[0].startswith(
        "model.encoder has a layer of 98"
    )
    assert not narrow(lambda: build(encoder=partial(ConvEncoder, channels=[8, 3])))


def test_a_scaled_input_is_the_input_times_the_scale():
    torch.manual_seed(0)
    plain = MLPEncoder(IMAGE, 3, widths=[7])
    torch.manual_seed(0)
    scaled = MLPEncoder(IMAGE, 3, widths=[7], input_scale=2.988)
    x = torch.rand(5, *IMAGE)
    torch.testing.assert_close(scaled(x), plain(2.988 * x))
    assert (scaled(x) - plain(x)).abs().max() > 1e-2
    with pytest.raises(SettingError, match=r"model\.encoder\.input_scale is 0: it must be above 0"):
        MLPEncoder(IMAGE, 3, input_scale=0)


def test_networks_of_the_users_own_need_not_state_their_sizes():
    class Own(Encoder):
        def __init__(self, shape, n):
            super().__init__(shape, n)
            self.net = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(math.prod(shape), n))

    class Plain(Decoder):
        pass

    assert not narrow(lambda: AE(input_shape=IMAGE, latent_dim=500, encoder=Own, decoder=Plain))
    assert not narrow(lambda: AE(input_shape=IMAGE, latent_dim=500, decoder=lambda n, shape: torch.nn.Linear(n, 784)))


@pytest.mark.parametrize(
    "path", sorted((config_folder().parent / "experiments").glob("*.yaml")), ids=lambda path: path.stem
)
def test_no_layer_of_a_study_is_narrower_than_its_code(path):
    """Widths and code size of every row, as its configuration and its changes give them."""
    study = yaml.safe_load(path.read_text("utf-8"))
    for name, row in study["models"].items():
        model = yaml.safe_load((config_folder() / "model" / f"{row['config']}.yaml").read_text("utf-8"))["model"]
        settings = model["init_args"]
        for profile in ("", *study["profiles"]):
            args = [*study["profiles"].get(profile, {}).get("args", []), *row.get("args", [])]
            args += row.get("profile_args", {}).get(profile, [])
            changed = dict(arg.removeprefix("--model.").split("=", 1) for arg in args if arg.startswith("--model."))
            latent_dim = int(changed.get("latent_dim", settings["latent_dim"]))
            for net in ("encoder", "decoder"):
                own = (settings.get(net) or {}).get("init_args", {}).get("widths", [])
                widths = yaml.safe_load(changed[f"{net}.widths"]) if f"{net}.widths" in changed else own
                assert min(widths, default=latent_dim) >= latent_dim, (name, profile, net)


def test_the_code_sweep_leaves_room_behind_every_code():
    """In the study of the size of the code, every hidden layer is the same and wider than the largest code."""
    study = yaml.safe_load((config_folder().parent / "experiments" / "guide_latent.yaml").read_text("utf-8"))
    rows = [row["args"] for row in study["models"].values() if row["config"] == "ae"]
    sizes = [int(args[0].split("=")[1]) for args in rows]
    others = {tuple(args[1:]) for args in rows}
    assert len(others) == 1
    widths = [yaml.safe_load(arg.split("=")[1]) for arg in others.pop()]
    assert len(widths) == 2
    assert min(*widths[0], *widths[1]) > max(sizes)
