"""What FID reacts to, and how much it depends on the extractor's own training: fills the table of docs/fid.md.

    python benchmarks/fid_ladder.py --data mnist --extractors 5

The reference is the test split. Images of the training split are changed in one way after the other and scored against
it, with LeNet classifiers that differ in the seed of their training alone. Digits need no download.
"""

import argparse
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from lit_ae.data import MNIST, Digits, FashionMNIST
from lit_ae.data.base import BaseDataModule
from lit_ae.data.containers import as_float
from lit_ae.metrics.images.extractors import extract
from lit_ae.metrics.images.frechet import FrechetDistance, total_variance
from lit_ae.metrics.images.lenet import LeNet, LeNetExtractor, _trained

ROOT = Path(__file__).parent.parent
BEGIN, END = "<!-- fid_ladder: begin -->", "<!-- fid_ladder: end -->"
Change = Callable[[Tensor, Tensor], Tensor]


def gaussian_noise(sigma: float) -> Change:
    """Noise with this standard deviation, clipped to [0, 1]."""
    return lambda x, y: (x + sigma * torch.randn(x.shape, generator=torch.Generator().manual_seed(0))).clamp(0, 1)


CHANGES: dict[str, Change] = {
    "unchanged": lambda x, y: x,
    "Gaussian noise, σ = 0.05": gaussian_noise(0.05),
    "Gaussian noise, σ = 0.2": gaussian_noise(0.2),
    "one class missing": lambda x, y: x[y != y.max()],
    "half of the classes missing": lambda x, y: x[y < y.unique().median()],
    "shifted by 2 pixels": lambda x, y: x.roll((2, 2), dims=(2, 3)),
    "3 × 3 blur": lambda x, y: F.avg_pool2d(x, 3, stride=1, padding=1),
    "brightness × 0.7": lambda x, y: 0.7 * x,
    "mean image of each class": lambda x, y: torch.stack([x[y == c].mean(0) for c in y.unique()])[
        torch.searchsorted(y.unique(), y)
    ],
}


def extractors(data: BaseDataModule, number: int) -> list[LeNetExtractor]:
    """Classifiers of the data set, trained alike from different seeds."""
    found = []
    for seed in range(number):
        net = LeNet(data.input_shape[0], data.num_classes)
        stored = _trained(net, data, torch.device("cpu"), seed)
        net.load_state_dict(stored["weights"])
        found.append(LeNetExtractor(net, data.name, stored["accuracy"]))
    return found


def ladder(data: BaseDataModule, number: int) -> dict[str, Any]:
    """FID and normalised FID of each change by each extractor, and how the reference was made."""
    reference, train = data.split("test"), data.split("train")
    some = torch.randperm(len(train), generator=torch.Generator().manual_seed(0))[: len(reference)]
    x, y, real = as_float(train.x[some]), train.y[some], as_float(reference.x)
    rows: dict[str, dict[str, list[float]]] = {name: {"fid": [], "fid_normalised": []} for name in CHANGES}
    traces, accuracies = [], []
    for network in extractors(data, number):
        features = extract(network, real).features
        traces.append(total_variance(features))
        accuracies.append(network.accuracy)
        for name, change in CHANGES.items():
            metric = FrechetDistance(features.shape[1])
            metric.update(features, real=True)
            metric.update(extract(network, change(x, y)).features, real=False)
            fid = metric.compute().item()
            rows[name]["fid"].append(fid)
            rows[name]["fid_normalised"].append(fid / traces[-1])
    return {
        "data": data.name, "reference": len(real), "images": len(x), "traces": traces, "accuracies": accuracies,
        "rows": rows,
    }  # fmt: skip


def spread(values: list[float]) -> float:
    """Standard deviation (divisor n - 1) over the mean, in percent."""
    found = torch.tensor(values, dtype=torch.float64)
    return (100 * found.std() / found.mean()).item()


def table(found: dict[str, Any]) -> str:
    """The ladder as Markdown, from the smallest mean FID to the largest."""
    rows = sorted(found["rows"].items(), key=lambda row: sum(row[1]["fid"]))
    n = len(found["traces"])
    lines = [
        f"Data set `{found['data']}`: {found['images']:,} images of the training split, compared with the "
        f"{found['reference']:,} images of the test split by {n} extractors, which classify "
        f"{100 * min(found['accuracies']):.1f} to {100 * max(found['accuracies']):.1f} % of the test images correctly. "
        "Mean over the extractors, and the standard deviation over them in percent of the mean.",
        "",
        "| images | FID | spread | normalised FID | spread |",
        "|:--|--:|--:|--:|--:|",
    ]
    for name, row in rows:
        cells = (f"{sum(row[key]) / n:.{digits}f} | {spread(row[key]):.0f} %" for key, digits in FORMATS.items())
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join(lines)


FORMATS = {"fid": 1, "fid_normalised": 3}  # decimals


def main() -> None:
    """Measure, store the figures, and write the table into the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", choices=["digits", "mnist", "fashion_mnist"], nargs="+", default=["digits"])
    parser.add_argument("--extractors", type=int, default=5, help="number of extractors (at least 2)")
    settings = parser.parse_args()
    modules = {cls.name: cls for cls in (Digits, MNIST, FashionMNIST)}
    results = [ladder(modules[name](), settings.extractors) for name in settings.data]
    (ROOT / "benchmarks" / "results" / "fid_ladder.json").write_text(json.dumps(results, indent=1) + "\n")
    page = ROOT / "docs" / "fid.md"
    before, _, rest = page.read_text(encoding="utf-8").partition(BEGIN)
    after = rest.partition(END)[2]
    tables = "\n\n".join(table(found) for found in results)
    page.write_text(f"{before}{BEGIN}\n{tables}\n{END}{after}", encoding="utf-8")
    print(tables)


if __name__ == "__main__":
    main()
