"""The precision and the memory format that are chosen for a machine."""

import dataclasses
import os
import subprocess
import sys
from functools import partial
from pathlib import Path

import pytest
import torch
import yaml
from lightning.pytorch import Callback
from torch import nn

from lit_ae import AE, GAN, tracking
from lit_ae.nets import MLPDecoder, MLPEncoder
from lit_ae.nets.conv import ConvDecoder, ConvEncoder
from lit_ae.nets.dcgan import DCGANDiscriminator, DCGANGenerator
from lit_ae.nets.report_conv import ReportConvDecoder, ReportConvEncoder
from lit_ae.settings.files import config_folder
from lit_ae.studies.jobs import jobs
from lit_ae.studies.load import load_study
from lit_ae.studies.precision import study_precision
from lit_ae.tracking import machine
from lit_ae.training import lightning_cli, precision

GREY, RGB = (1, 28, 28), (3, 20, 24)
EXPERIMENTS = sorted((config_folder().parent / "experiments").glob("*.yaml"))

# -- which models -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("model", "large"),
    [
        (partial(AE), False),
        (partial(AE, encoder=partial(MLPEncoder, widths=[512, 256])), False),
        (partial(AE, encoder=partial(ConvEncoder, channels=[16, 32])), False),
        (partial(AE, encoder=partial(MLPEncoder, widths=[1000, 1000])), True),
        (partial(AE, decoder=partial(MLPDecoder, widths=[2000, 2000])), True),
        (partial(AE, decoder=partial(ReportConvDecoder)), True),
        (partial(GAN, decoder=partial(DCGANGenerator), discriminator=partial(DCGANDiscriminator)), True),
    ],
)
def test_only_models_with_large_layers_are_considered(model, large):
    assert precision.has_large_layers(model(input_shape=GREY)) is large


# -- which machines ---------------------------------------------------------------------------------------------------


@pytest.fixture
def cpu_only(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)


@pytest.mark.parametrize("instructions", [True, False])
@pytest.mark.parametrize("faster", [True, False])
@pytest.mark.parametrize("accelerator", ["auto", "cpu"])
def test_a_processor_needs_the_instructions_and_the_speed(cpu_only, monkeypatch, accelerator, instructions, faster):
    monkeypatch.setattr(machine, "has_bfloat16_instructions", lambda: instructions)
    monkeypatch.setattr(precision, "is_faster", lambda: faster)
    assert precision.is_native(accelerator) is (instructions and faster)


@pytest.mark.parametrize("capable", [True, False])
def test_a_gpu_is_asked_for_what_it_does_without_emulation(monkeypatch, capable):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(
        torch.cuda, "is_bf16_supported", lambda including_emulation=True: capable or including_emulation
    )
    monkeypatch.setattr(machine, "has_bfloat16_instructions", lambda: not capable)
    monkeypatch.setattr(precision, "is_faster", lambda: True)
    assert precision.is_native("auto") is precision.is_native("gpu") is capable
    assert precision.is_native("cpu") is not capable


def test_other_accelerators_stay_in_float32(monkeypatch):
    monkeypatch.setattr(machine, "has_bfloat16_instructions", lambda: True)
    monkeypatch.setattr(precision, "is_faster", lambda: True)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    assert not precision.is_native("auto")
    assert not precision.is_native("mps")
    assert not precision.is_native("tpu")
    assert not precision.is_native(object())


@pytest.mark.parametrize(
    ("cpuinfo", "found"),
    [
        ("processor\t: 0\nflags\t\t: fpu avx2 avx512f avx512_bf16 gfni\n", True),
        ("flags\t\t: fpu avx512f amx_tile amx_bf16\n", True),
        ("processor\t: 0\nFeatures\t: fp asimd sve bf16 i8mm\n", True),
        ("processor\t: 0\nflags\t\t: fpu avx2 avx512f\nbugs\t\t: amx_bf16\n", False),
        ("processor\t: 0\nmodel name\t: a processor with bf16\n", False),
    ],
)
def test_the_processors_features_are_read(monkeypatch, cpuinfo, found):
    monkeypatch.setattr(Path, "read_text", lambda self: cpuinfo)
    assert machine.has_bfloat16_instructions() is found


@pytest.mark.parametrize(("answer", "found"), [("1\n", True), ("0\n", False), (None, False)])
def test_without_that_list_the_system_is_asked(monkeypatch, answer, found):
    def no_file(self):
        raise FileNotFoundError

    def asked(command, **settings):
        assert command[-1] == "hw.optional.arm.FEAT_BF16"
        if answer is None:
            raise FileNotFoundError
        return answer

    monkeypatch.setattr(Path, "read_text", no_file)
    monkeypatch.setattr(subprocess, "check_output", asked)
    assert machine.has_bfloat16_instructions() is found


@pytest.mark.slow
@pytest.mark.skipif(torch.backends.cpu.get_cpu_capability() not in ("AVX2", "AVX512"), reason="for x86 processors")
def test_emulated_bfloat16_is_measured_to_be_slower():
    """The library is told to use AVX2 alone; the processor's list of features says what it always says."""
    code = "from lit_ae.training.precision import is_faster; print(is_faster())"
    limited = {**os.environ, "ONEDNN_MAX_CPU_ISA": "AVX2", "OMP_NUM_THREADS": "1"}
    done = subprocess.run([sys.executable, "-c", code], env=limited, capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"


def test_the_measurement_leaves_the_random_state_alone():
    before = torch.get_rng_state()
    precision.is_faster.__wrapped__()
    assert torch.equal(torch.get_rng_state(), before)


# -- a run ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("native", [True, False])
@pytest.mark.parametrize("widths", [[256], [1000, 1000]])
def test_model_and_machine_decide_together(monkeypatch, native, widths):
    monkeypatch.setattr(precision, "is_native", lambda accelerator: native and accelerator == "cpu")
    model = AE(GREY, encoder=partial(MLPEncoder, widths=widths))
    assert precision.precision_for(model, "cpu") == ("bf16-mixed" if native and len(widths) == 2 else "32-true")


@pytest.mark.parametrize(
    ("model", "args", "stored"),
    [
        ("report_conv_ae", [], "bf16-mixed"),
        ("report_conv_ae", ["--trainer.precision=32-true"], "32-true"),
        ("ae", [], "32-true"),
        ("ae", ["--trainer.precision=bf16-mixed"], "bf16-mixed"),
    ],
)
def test_a_run_stores_the_precision_unless_it_is_given(store, lit_ae, monkeypatch, model, args, stored):
    monkeypatch.setattr(precision, "is_native", lambda accelerator: True)
    files = ("--config", config_folder() / f"model/{model}.yaml", "--config", config_folder() / "data/digits.yaml")
    quiet = ("--trainer.accelerator=cpu", "--trainer.enable_progress_bar=false", "--trainer.max_epochs=1")
    assert lit_ae("fit", *files, *quiet, "--data.limit=20", *args) == 0
    (run,) = tracking.search("lit_ae")
    assert run.params["trainer.precision"] == stored
    assert f"precision: {stored}\n" in run.artifact("config.yaml").read_text("utf-8")


# -- a study ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("own", ["bf16-mixed", "32-true"])
def test_a_run_goes_on_and_is_tested_in_its_own_precision(store, lit_ae, settings, monkeypatch, own):
    """The measurement that chooses it may come out otherwise the next time, as on a busy machine."""
    used = []
    kept = lightning_cli.AutoencoderCLI._execute
    monkeypatch.setattr(
        lightning_cli.AutoencoderCLI,
        "_execute",
        lambda cli, command: used.append((command, cli.trainer.precision)) or kept(cli, command),
    )
    other = {"bf16-mixed": "32-true", "32-true": "bf16-mixed"}[own]
    monkeypatch.setattr(lightning_cli, "precision_for", lambda module, accelerator: own)
    assert lit_ae("fit", *settings("ae")) == 0
    monkeypatch.setattr(lightning_cli, "precision_for", lambda module, accelerator: other)
    (run,) = tracking.search("lit_ae")
    assert lit_ae("fit", *settings("ae"), f"--run_id={run.id}", "--trainer.max_epochs=3") == 0
    assert lit_ae("test", *settings("ae")) == 0
    assert used == [("fit", own), ("fit", own), ("test", own)]
    assert lit_ae("fit", *settings("ae")) == 0, "a new run asks the machine"
    assert used[-1] == ("fit", other)
    assert not [name for name in tracking.get_run(run.id).params if name.startswith("trainer.precision/")]


def test_no_study_sets_the_precision():
    assert not [path.stem for path in EXPERIMENTS if "--trainer.precision" in path.read_text(encoding="utf-8")]


def test_the_precision_of_a_study_is_no_part_of_what_makes_runs_valid():
    study = load_study(next(path for path in EXPERIMENTS if path.stem == "shapes"))
    assert study.reduced_precision
    other = dataclasses.replace(study, reduced_precision=False)
    assert jobs(study, study.profile("quick")) == jobs(other, other.profile("quick"))


def made_run(job, used):
    params = {} if used is None else {"trainer.precision": used}
    tags = {"config_hash": job.config_hash}
    return tracking.Run("id", job.model, job.seed, job.data, "FINISHED", {}, tags, params, 0.0, 1.0)


class Tells(Callback):
    """Logs the precision that the trainer computes in."""

    def on_train_start(self, trainer, pl_module):
        tracking.set_tags(trainer.logger.run_id, {"computed_in": trainer.precision})


@pytest.mark.slow
@pytest.mark.parametrize("native", [True, False])
def test_all_rows_of_a_study_are_computed_in_one_precision(store, lit_ae, monkeypatch, capsys, native):
    """The driver decides for its workers; only a row with a setting of its own differs."""
    monkeypatch.setattr(precision, "is_native", lambda accelerator: native)
    quick = ["--data.limit=40", "--trainer.max_epochs=1", "--trainer.enable_progress_bar=false"]
    study = {
        "name": "tiny",
        "title": "A tiny study",
        "question": "In which precision?",
        "reduced_precision": True,
        "profiles": {
            "quick": {"data": "digits", "seeds": [0], "args": [*quick, f"--trainer.callbacks+={__name__}.Tells"]}
        },
        "models": {
            "AE": {"config": "ae"},
            "own": {"config": "ae", "args": ["--trainer.precision=64-true"]},
        },
        "columns": [{"metric": "test/mse", "label": "MSE"}],
    }
    Path("tiny.yaml").write_text(yaml.safe_dump(study, sort_keys=False))
    assert lit_ae("study", "run", "tiny.yaml", "--workers", 1) == 0
    chosen = "bf16-mixed" if native else "32-true"
    assert f"trainer.precision: {chosen}" in capsys.readouterr().out
    found = {run.model: run for run in tracking.study_runs("tiny", "quick")}
    assert {model: run.tags["computed_in"] for model, run in found.items()} == {
        "AE": chosen,
        "own": "64-true",
    }
    assert {model: run.params["trainer.precision"] for model, run in found.items()} == {
        model: run.tags["computed_in"] for model, run in found.items()
    }


@pytest.mark.parametrize(
    ("used", "native", "chosen"),
    [
        ([], True, "bf16-mixed"),
        ([], False, "32-true"),
        (["bf16-mixed"], True, "bf16-mixed"),
        (["bf16-mixed"], False, "32-true"),  # emulated, it would take twelve times as long
        (["32-true"], True, "32-true"),
        ([None], True, "32-true"),  # runs of the time before the precision was stored
        (["bf16-mixed", "32-true"], True, "32-true"),
    ],
)
def test_a_study_goes_on_in_the_precision_of_its_valid_runs(monkeypatch, used, native, chosen):
    study = load_study(next(path for path in EXPERIMENTS if path.stem == "shapes"))
    profile = study.profile("quick")
    valid = [made_run(job, name) for job, name in zip(jobs(study, profile), used, strict=False)]
    stale = dataclasses.replace(made_run(jobs(study, profile)[0], "32-true"), tags={"config_hash": "other"})
    monkeypatch.setattr(tracking, "study_runs", lambda name, profile: [*valid, stale])
    asked = []
    monkeypatch.setattr(precision, "is_native", lambda accelerator: asked.append(accelerator) or native)
    assert study_precision(study, profile) == chosen
    assert set(asked) <= {"auto"}
    assert study_precision(dataclasses.replace(study, reduced_precision=False), profile) == "32-true"


def test_a_study_looks_at_the_device_that_it_asks_for(monkeypatch):
    study = load_study(next(path for path in EXPERIMENTS if path.stem == "shapes"))
    profile = dataclasses.replace(study.profile("quick"), args=["--trainer.accelerator=cpu"])
    monkeypatch.setattr(tracking, "study_runs", lambda name, profile: [])
    monkeypatch.setattr(precision, "is_native", lambda accelerator: accelerator == "cpu")
    assert study_precision(study, profile) == "bf16-mixed"


# -- memory format ----------------------------------------------------------------------------------------------------


def pair(encoder, decoder, shape):
    """In evaluation mode: in a batch norm's own mode, the gradient of a bias before it is zero but for rounding."""
    torch.manual_seed(0)
    return nn.Sequential(encoder(shape, 5), decoder(5, shape)).eval()


PAIRS = [(ConvEncoder, ConvDecoder), (ReportConvEncoder, ReportConvDecoder), (DCGANDiscriminator, DCGANGenerator)]


@pytest.mark.parametrize("shape", [GREY, RGB], ids=["grey", "RGB"])
@pytest.mark.parametrize(("encoder", "decoder"), PAIRS)
def test_the_memory_format_changes_neither_weights_nor_results(encoder, decoder, shape, monkeypatch):
    """Against the same networks with contiguous weights and images; float32 has a unit round-off of 6e-8."""
    x = torch.rand(4, *shape, generator=torch.Generator().manual_seed(1))
    net = pair(encoder, decoder, shape)
    images = [part for part in net.modules() if isinstance(part, (nn.Conv2d, nn.ConvTranspose2d))]
    assert images
    assert all(part.weight.is_contiguous(memory_format=torch.channels_last) for part in images)
    with monkeypatch.context() as patch:
        patch.setattr(torch, "channels_last", torch.contiguous_format)
        plain = pair(encoder, decoder, shape)
        for name, value in plain.state_dict().items():
            assert torch.equal(value, net.state_dict()[name]), name
        wanted = plain(x)
        wanted.square().sum().backward()
    found = net(x)
    found.square().sum().backward()
    assert torch.allclose(found, wanted, rtol=1e-4, atol=1e-5)
    for (name, ours), theirs in zip(net.named_parameters(), plain.parameters(), strict=True):
        scale = theirs.grad.abs().max().item()
        assert torch.allclose(ours.grad, theirs.grad, rtol=1e-4, atol=1e-4 * scale), name


@pytest.mark.parametrize("shape", [GREY, RGB], ids=["grey", "RGB"])
@pytest.mark.parametrize(("encoder", "decoder"), PAIRS)
def test_convolutional_networks_run_in_bfloat16(encoder, decoder, shape):
    """Close to float32 within 2 % of the output's scale: ten roundings of 2⁻⁹ each."""
    net = pair(encoder, decoder, shape)
    x = torch.rand(4, *shape, generator=torch.Generator().manual_seed(1))
    wanted = net(x)
    with torch.autocast("cpu", torch.bfloat16):
        found = net(x)
    assert found.shape == wanted.shape
    assert (found.float() - wanted).abs().max() <= 10 * 2**-9 * wanted.abs().max()
