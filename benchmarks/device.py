"""`python benchmarks/device.py OUT.json`: what one GPU makes of the project, in at most eight minutes.

Each family trains and is scored for one epoch on the GPU, and its checkpoint is scored again on the CPU; training
speed at several batch sizes against a bare loop, its CUDA graph and `torch.compile`; several runs that share the GPU;
DDP on one device; and the first report's study with one seed, if the data are there. Prints lines
`NAME VALUE UNIT` and writes them, with the card's name and the versions, as JSON.
"""

import argparse
import json
import math
import os
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path

import torch
import torch.nn.functional as F
import yaml
from torch import Tensor, nn

BATCHES = (64, 512, 4096)
RUNS = (1, 4, 10)  # that share the device
IMAGES = 55_000
# terms computed from drawn codes or noise, which differ from device to device
DRAWN = ("loss", "nll", "penalty", "uncertainty", "generator_loss", "discriminator_loss", "mse_noisy_input")
DRAWN += ("mi", "tc", "dimension_kl")
FOUND: dict[str, float | str] = {}
OUT: list[Path] = []  # the file that all figures so far are in


def tell(name: str, value: float | str, unit: str = "") -> None:
    """Print a line and keep it, also in the file: a run that is stopped loses nothing."""
    FOUND[name] = value
    shown = value if isinstance(value, str) else f"{value:.4g}"
    print(f"{name} {shown} {unit}".rstrip(), flush=True)
    if OUT:
        OUT[0].write_text(json.dumps(FOUND, indent=1) + "\n")


# -- every family: one epoch on the device, scored there and on the CPU ----------------------------------------------


def families(device: str, models: Path) -> None:
    """Fit and test each family on the device, test the same checkpoint on the CPU, compare what is not drawn anew."""
    from lit_ae import tracking
    from lit_ae.settings.files import config_folder
    from lit_ae.training.lightning_cli import AutoencoderCLI

    scores = Path("scores.yaml")
    names = ["Evaluation", "ReconstructionScores", "Clustering", "LinearProbe", "GenerationScores"]
    scores.write_text(yaml.safe_dump({"trainer": {"callbacks+": [{"class_path": name} for name in names]}}))
    seen: set[str] = set()
    for path in sorted(models.glob("*.yaml")):
        family = yaml.safe_load(path.read_text())["model"]["class_path"]
        if family in seen:
            continue
        seen.add(family)
        data = config_folder() / "data" / ("one_hot.yaml" if family == "NMN" else "digits.yaml")
        common = ["--config", str(path), "--config", str(data), "--trainer.enable_progress_bar=false"]
        common += ["--trainer.max_epochs=1", *([] if family == "NMN" else ["--data.limit=400"])]
        start = time.perf_counter()
        try:
            AutoencoderCLI(["fit", *common, f"--trainer.accelerator={device}"])
            run = tracking.search("lit_ae", model=family)[0]
            tested = []
            for accelerator in (device, "cpu"):
                rest = ["--config", str(scores), "--run_id", run.id, f"--trainer.accelerator={accelerator}"]
                AutoencoderCLI(["test", *common, *rest])
                tested.append(tracking.get_run(run.id).metrics)
        except Exception as error:  # the other families are still to be tried
            tell(f"family/{family}", f"FAILED {type(error).__name__}: {str(error).splitlines()[0][:200]}")
            continue
        here, there = tested
        fixed = [key for key in here if key.startswith("test/") and key.rpartition("/")[2] not in DRAWN]
        differences = {key: abs(here[key] - there[key]) / max(abs(there[key]), 1e-3) for key in fixed}
        worst = max(differences, key=lambda key: differences[key], default="none")
        finite = all(math.isfinite(value) for value in here.values())
        seconds = time.perf_counter() - start
        tell(f"family/{family}/finite", str(finite))
        tell(f"family/{family}/largest_relative_difference_to_cpu", differences.get(worst, 0.0), f"({worst})")
        tell(f"family/{family}/seconds", seconds, "s")


# -- speed of training -------------------------------------------------------------------------------------------------


def made(n: int = IMAGES) -> Tensor:
    """MNIST-sized random images, [n, 1, 28, 28] uint8."""
    return torch.randint(0, 256, (n, 1, 28, 28), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


def plain(variational: bool) -> nn.ModuleList:
    """Encoder and decoder of configs/model/ae.yaml and vae.yaml."""
    codes = 200 if variational else 100
    encoder = nn.Sequential(nn.Flatten(), nn.Linear(784, 256), nn.ReLU(), nn.Linear(256, codes))
    return nn.ModuleList([encoder, nn.Sequential(nn.Linear(100, 256), nn.ReLU(), nn.Linear(256, 784))])


def plain_loss(nets: nn.ModuleList, x: Tensor, variational: bool) -> Tensor:
    """The same objective, without anything around it."""
    z, kl = nets[0](x), x.new_zeros(())
    if variational:
        mu, logvar = z.chunk(2, 1)
        z = mu + (0.5 * logvar).exp() * torch.randn_like(mu)
        kl = 0.5 * (mu.square() + logvar.exp() - 1 - logvar).sum(1).mean()
    return F.mse_loss(nets[1](z).sigmoid(), x.flatten(1), reduction="none").sum(1).mean() + kl


def bare(batch: int, variational: bool, device: torch.device, how: str) -> float:
    """Samples/s of a bare loop over images kept on the device: `loop`, `compile` or `graph`."""
    x = made().to(device)
    nets = plain(variational).to(device)
    optimizer = torch.optim.Adam(nets.parameters(), lr=1e-3, fused=True, capturable=how == "graph")
    loss: Callable[[Tensor], Tensor] = lambda images: plain_loss(nets, images, variational)  # noqa: E731
    if how == "compile":
        loss = torch.compile(loss)

    def step(images: Tensor) -> None:
        value = loss(images.float() / 255)
        optimizer.zero_grad()
        value.backward()
        optimizer.step()

    if how == "graph":
        static = x[:batch].clone()
        stream = torch.cuda.Stream()
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            for _ in range(3):
                step(static)
        torch.cuda.current_stream().wait_stream(stream)
        graph = torch.cuda.CUDAGraph()
        optimizer.zero_grad(set_to_none=True)
        with torch.cuda.graph(graph):
            step(static)

    def epoch() -> Iterator[int]:
        for index in torch.randperm(len(x), device=device).split(batch):
            if len(index) < batch:
                return
            if how == "graph":
                static.copy_(x[index])
                graph.replay()
            else:
                step(x[index])
            yield len(index)

    return rate(epoch, device)


def rate(epoch: Callable[[], Iterator[int]], device: torch.device, seconds: float = 2.0) -> float:
    """Samples/s after a warm-up of thirty steps."""
    for _, _ in zip(range(30), epoch(), strict=False):
        pass
    synchronise(device)
    start, seen = time.perf_counter(), 0
    while time.perf_counter() - start < seconds:
        for n in epoch():
            seen += n
            if time.perf_counter() - start > seconds:
                break
    synchronise(device)
    return seen / (time.perf_counter() - start)


def synchronise(device: torch.device) -> None:
    """Wait for the device."""
    if device.type == "cuda":
        torch.cuda.synchronize()


def ours(batch: int, family: str, accelerator: str, epochs: int = 4) -> float:
    """Samples/s of the last epochs of `lit-ae fit`'s loop on made images."""
    import lightning.pytorch as pl

    import lit_ae.models
    from lit_ae.data.base import BaseDataModule
    from lit_ae.data.containers import ArrayDataset, Splits
    from lit_ae.training.loop import several_steps_a_call

    class Made(BaseDataModule):
        name, input_shape, num_classes = "made", (1, 28, 28), 0

        def load(self) -> Splits:
            return Splits(*(ArrayDataset(made(n), torch.full((n,), -1)) for n in (IMAGES, 64, 64)))

    class Clock(pl.Callback):
        times: list[float] = []

        def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
            synchronise(pl_module.device)
            self.times = [*self.times, time.perf_counter()]

        def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
            synchronise(pl_module.device)
            self.times = [*self.times, time.perf_counter()]

    clock = Clock()
    module = getattr(lit_ae.models, family)(input_shape=(1, 28, 28), latent_dim=100)
    trainer = pl.Trainer(
        accelerator=accelerator,
        devices=1,
        max_epochs=epochs,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        limit_val_batches=0,
        callbacks=[clock],
    )
    data = Made(batch_size=batch)
    with several_steps_a_call(trainer, module, data):
        trainer.fit(module, datamodule=data)
    return IMAGES * (epochs - 1) / (clock.times[-1] - clock.times[1])


def speed(device: torch.device, accelerator: str) -> None:
    """Ours against the bare loop, its graph and its compiled form."""
    for family, variational in (("AE", False), ("VAE", True)):
        for batch in BATCHES:
            mine = ours(batch, family, accelerator)
            tell(f"speed/{family}/batch_{batch}/lit_ae", mine, "samples/s")
            for how in ("loop", "graph", "compile") if device.type == "cuda" else ("loop",):
                value = bare(batch, variational, device, how)
                tell(f"speed/{family}/batch_{batch}/bare_{how}", value, "samples/s")
            tell(
                f"speed/{family}/batch_{batch}/ratio_to_bare_loop",
                mine / FOUND[f"speed/{family}/batch_{batch}/bare_loop"],
            )  # type: ignore[operator]


def shared(accelerator: str) -> None:
    """Samples/s of all runs together when 1, 4 and 10 processes train an AE at batch 64 on the device."""
    code = "import sys; sys.path[:0] = [{!r}]; import device; print(device.ours(64, 'AE', {!r}, 6))"
    command = [sys.executable, "-W", "ignore", "-c", code.format(str(Path(__file__).parent), accelerator)]
    for n in RUNS:
        processes = [
            subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) for _ in range(n)
        ]
        rates = [float(process.communicate()[0].split()[-1]) for process in processes]
        tell(f"shared/{n}_runs", sum(rates), "samples/s together")


# -- whole commands ----------------------------------------------------------------------------------------------------


def command(name: str, *arguments: str) -> None:
    """Seconds of a command, or its failure."""
    start = time.perf_counter()
    done = subprocess.run([sys.executable, "-m", "lit_ae.cli", *arguments], capture_output=True, text=True)
    tell(name, time.perf_counter() - start, "s")
    if done.returncode:
        tell(f"{name}/failed", f"{done.returncode}: {(done.stderr.strip() or done.stdout).splitlines()[-1][:300]}")


def study(root: Path) -> None:
    """The first report with one seed at the full budget; its table is kept beside the figures."""
    content = yaml.safe_load((root / "experiments" / "stochastic.yaml").read_text())
    content["profiles"]["full"] |= {"seeds": [0], "published_seeds": None}
    Path("stochastic.yaml").write_text(yaml.safe_dump(content, allow_unicode=True, sort_keys=False))
    command("study/stochastic_full_one_seed", "study", "run", "stochastic.yaml", "--profile", "full", "--reports", "r")
    table = Path("r/full/stochastic.md")
    if table.is_file():
        FOUND["study/table"] = table.read_text()


def main() -> None:
    """Run the parts that are asked for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", type=Path, help="JSON file of all figures")
    parser.add_argument("--accelerator", default="gpu", help="gpu, or cpu to try the script (default: %(default)s)")
    parser.add_argument("--parts", default="families,speed,shared,ddp,study", help="which (default: %(default)s)")
    arguments = parser.parse_args()
    warnings.filterwarnings("ignore")
    gpu = arguments.accelerator == "gpu"
    device = torch.device("cuda" if gpu else "cpu")
    root, out = Path(__file__).resolve().parent.parent, arguments.out.resolve()
    os.environ["PYTHONPATH"] = os.pathsep.join([str(root), os.environ.get("PYTHONPATH", "")])
    os.chdir(tempfile.mkdtemp())
    OUT.append(out)
    tell("card", torch.cuda.get_device_name() if gpu else "none")
    tell("torch", torch.__version__)
    start = time.perf_counter()
    parts: dict[str, Callable[[], None]] = {
        "families": lambda: families(arguments.accelerator, root / "configs" / "model"),
        "speed": lambda: speed(device, arguments.accelerator),
        "shared": lambda: shared(arguments.accelerator),
        "ddp": lambda: command(
            "ddp/fit_one_device", "fit", "--config", str(root / "configs/model/vae.yaml"), "--config",
            str(root / "configs/data/digits.yaml"), "--trainer.strategy=ddp", "--trainer.devices=1",
            "--trainer.max_epochs=2", f"--trainer.accelerator={arguments.accelerator}",
        ),
        "study": lambda: study(root),
    }  # fmt: skip
    for part in arguments.parts.split(","):
        parts[part]()
        tell(f"seconds/{part}", time.perf_counter() - start, "s since the start")


if __name__ == "__main__":
    main()
