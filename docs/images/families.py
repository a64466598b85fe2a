"""Train every family briefly and draw the pictures of families.md: python docs/images/families.py [NAME ...]."""

import os
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch
import yaml
from matplotlib.figure import Figure
from matplotlib.patheffects import withStroke
from PIL import Image

import lit_ae
from lit_ae.cli import main as command
from lit_ae.models import NMN, Classifier, Hopfield
from lit_ae.models.base import GenerativeModule, ReconstructionModule
from lit_ae.models.capabilities import Conditional
from lit_ae.plots.style import PALETTE, STYLE

FOLDER = Path(__file__).parent / "families"
SETTINGS = Path(__file__).parent.parent / "families.yaml"
LARGEST = 25_000  # bytes of a picture
ROWS, COLUMNS = 5, 6  # of samples


def trained(config: str, epochs: int) -> tuple[torch.nn.Module, lit_ae.data.BaseDataModule]:
    """The model of configs/model/CONFIG.yaml after these epochs on the embedded digits with seed 0, and its data."""
    data = "one_hot" if config == "nmn" else "digits"
    options = ("--trainer.accelerator=cpu", "--trainer.enable_progress_bar=false", f"--trainer.max_epochs={epochs}")
    sys.argv = ["lit-ae"]
    if command(["fit", "--config", config, "--config", data, *options]):
        raise SystemExit(f"{config} was not trained")
    checkpoints = Path("mlruns/artifacts").glob("*/artifacts/checkpoints/last.ckpt")
    newest = max(checkpoints, key=lambda path: path.stat().st_mtime)
    return lit_ae.load(newest), lit_ae.load_data(newest)


def tiled(images: torch.Tensor, columns: int) -> np.ndarray:
    """Images [N, 1, H, W] as one [rows · (H + 2), columns · (W + 2)], with white between them."""
    framed = torch.nn.functional.pad(images[:, 0], (1, 1, 1, 1), value=1.0)
    rows = [torch.cat(list(row), 1) for row in framed.split(columns)]
    return torch.cat(rows).numpy()


def show_images(axes, images: torch.Tensor, columns: int, title: str) -> None:
    """Images [N, 1, H, W] in rows of so many columns."""
    axes.imshow(tiled(images.float(), columns), cmap="gray", vmin=0, vmax=1)
    axes.set_title(title)
    axes.axis("off")


def show_codes(axes, codes: np.ndarray, y: np.ndarray) -> None:
    """Two principal components of codes [N, D], coloured by class; the digit stands at the median of its class."""
    centred = codes - codes.mean(0)
    points = centred @ np.linalg.svd(centred, full_matrices=False)[2][:2].T
    for k in range(10):
        own = points[y == k]
        axes.scatter(*own.T, s=5, color=PALETTE[k], linewidths=0, alpha=0.8)
    for k in range(10):
        outline = [withStroke(linewidth=2.5, foreground="white")]
        place = np.median(points[y == k], axis=0)
        axes.text(*place, str(k), ha="center", va="center", fontweight="bold", path_effects=outline)
    axes.set(xlabel="first principal component", ylabel="second principal component", title="codes of test digits")
    axes.locator_params(nbins=4)


def drawn(model: torch.nn.Module, data: lit_ae.data.BaseDataModule, prior: bool) -> tuple[torch.Tensor, str]:
    """Samples of a model, and from which density their codes are."""
    y = torch.arange(ROWS).repeat_interleave(COLUMNS) if isinstance(model, Conditional) else None  # a class a row
    what = "samples" if y is None else f"0 to {ROWS - 1},"
    if prior:
        return model.sample(ROWS * COLUMNS, y=y), f"{what} from its prior"
    train = data.split("train")
    labels = train.y if isinstance(model, Conditional) else None
    gaussian = lit_ae.FittedGaussian().fit(model.embed(train.x[:], y=labels))
    return model.sample(ROWS * COLUMNS, sampler=gaussian, y=y), f"{what} from a fitted Gaussian"


def picture(model: torch.nn.Module, data: lit_ae.data.BaseDataModule, prior: bool) -> Figure:
    """Samples and codes; of families without one of them what shows them best."""
    both = isinstance(model, ReconstructionModule)
    figure = Figure(figsize=(5.4, 2.7) if both else (2.7, 2.7), layout="constrained")
    test = data.split("test")
    x, y = test.x[:], test.y.numpy()
    if isinstance(model, Classifier):
        with torch.no_grad():
            codes = model.encoder(x.float() / 255)[:, : model.latent_dim].numpy()
        show_codes(figure.subplots(), codes, y)
        return figure
    left, right = figure.subplots(1, 2, width_ratios=(1.0, 1.1)) if both else (figure.subplots(), None)
    if isinstance(model, NMN):
        codes, outputs = model.embed(x), model.reconstruct(x)
        for axes, values, title, label in ((left, outputs, "outputs", "output"), (right, codes, "hidden code", "unit")):
            axes.imshow(values, cmap="cividis", vmin=0, vmax=1)
            axes.set(title=f"{title} for each input", xlabel=label, ylabel="input")
            axes.set_xticks(range(values.shape[1]))
            axes.set_yticks(range(len(values)))
        return figure
    if isinstance(model, Hopfield):
        patterns = (model.patterns[:COLUMNS].view(-1, *model.input_shape) + 1) / 2
        damaged = torch.where(
            torch.rand(patterns.shape, generator=torch.Generator().manual_seed(0)) < 0.2, 1 - patterns, patterns
        )
        states = model.retrieve(2 * damaged.flatten(1) - 1)[-1].view_as(patterns)
        show_images(left, torch.cat([patterns, damaged, (states + 1) / 2]), COLUMNS, "stored, damaged, retrieved")
    else:
        assert isinstance(model, GenerativeModule)
        samples, title = drawn(model, data, prior)
        show_images(left, samples, COLUMNS, title)
    if right is not None:
        show_codes(right, model.embed(x, y=test.y if isinstance(model, Conditional) else None).numpy(), y)
    return figure


def write(figure: Figure, path: Path) -> None:
    """A PNG with as many colours as `LARGEST` allows."""
    figure.savefig(path, dpi=110)
    image = Image.open(path).convert("RGB")
    for colours in (128, 64, 32, 16):
        image.quantize(colours, Image.Quantize.MAXCOVERAGE).save(path, optimize=True)
        if path.stat().st_size <= LARGEST:
            break
    print(path.name, path.stat().st_size, "bytes", flush=True)


def main() -> None:
    """Everything, or the families that are named, in a temporary folder."""
    import matplotlib

    matplotlib.rcParams.update(STYLE | {"font.size": 8.0, "axes.titlesize": 8.5, "axes.labelsize": 8.0})
    settings = yaml.safe_load(SETTINGS.read_text("utf-8"))
    FOLDER.mkdir(exist_ok=True)
    with TemporaryDirectory() as folder:
        os.environ["LIT_AE_CACHE"] = folder
        os.chdir(folder)
        for name in sys.argv[1:] or settings:
            of = settings[name]["picture"]
            model, data = trained(of["config"], of["epochs"])
            write(picture(model, data, of.get("prior", False)), FOLDER / f"{name}.png")


if __name__ == "__main__":
    main()
