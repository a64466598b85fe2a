"""The page: one HTML file with samples, codes and networks in it, which loads nothing else."""

import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from lit_ae.data.base import BaseDataModule
from lit_ae.data.containers import ArrayDataset, as_float
from lit_ae.errors import SettingError
from lit_ae.explorer.layers import Op, Precision, decoder_ops, encoder_ops, rounded, run, size
from lit_ae.explorer.packing import packed, packed_ops
from lit_ae.explorer.subjects import Subject
from lit_ae.models.capabilities import Conditional
from lit_ae.plots.style import PALETTE
from lit_ae.settings.whole_files import write_whole

LIMIT = 8_000_000  # bytes of a page that is handed on as a file
SERVED = 64_000_000  # characters of weights in a page from the server, which decodes larger networks itself
LEAST = 20  # samples, below which a page is of no use
ERRORS = 200  # codes on which the error of rounded weights is measured


@dataclass(frozen=True)
class Networks:
    """The networks of a run as the page has them; None: not in the page."""

    decoder: list[Op] | None
    encoder: list[Op] | None
    precision: Precision
    error: float  # largest difference of a decoded value from that with unrounded weights


def write(subjects: list[Subject], data: BaseDataModule, path: Path) -> str:
    """Write a page that needs no server, and return a sentence about it.

    Raises:
        SettingError: a decoder is of an unknown kind or too large, or the file cannot be written.
    """
    networks = _networks(subjects, data, LIMIT)
    for subject, network in zip(subjects, networks, strict=True):
        if network.decoder is None:
            raise SettingError(
                f"--html: the decoder of {subject.source} is too large for a page of {LIMIT / 1e6:g} MB, or has a "
                "layer that the page cannot compute: leave --html out, so that a server on this machine decodes"
            )
    n = max(len(subject.codes) for subject in subjects)
    text = html(subjects, data, networks, n)
    fixed = len(html(subjects, data, networks, 0).encode()) if n else 0
    while (total := len(text.encode())) > LIMIT:
        n = int(0.97 * n * (LIMIT - fixed) / (total - fixed))
        if n < LEAST:
            raise SettingError(f"--html: the page would have more than {LIMIT / 1e6:g} MB: leave --html out")
        text = html(subjects, data, networks, n)
    write_whole(path, text.encode(), "give --html another path")
    worst = max(network.error for network in networks)
    return (
        f"{path}: {n:,} test samples, {total / 1e6:.1f} MB; weights as {networks[0].precision}, "
        + (f"which changes a decoded value by at most {worst:.1e}" if worst else "unrounded")
        + ". It opens in any browser, without a server."
    )


def is_page(path: Path) -> bool:
    """Whether a file is a page that `write` made."""
    with path.open("rb") as file:
        return b"<title>Explorer: " in file.read(1000)


def served(subjects: list[Subject], data: BaseDataModule) -> str:
    """The page for the server of this package, which decodes what is too large for it."""
    networks = _networks(subjects, data, None)
    return html(subjects, data, networks, max(len(subject.codes) for subject in subjects))


# -- which networks fit, and how finely -------------------------------------------------------------------------------


def _networks(subjects: list[Subject], data: BaseDataModule, limit: int | None) -> list[Networks]:
    x, y = _tensors(data.split("test").first(ERRORS))
    codes, both = [], []
    for subject in subjects:
        z = torch.from_numpy(subject.codes[:ERRORS])
        if not len(z):
            z = torch.randn(ERRORS, subject.model.latent_dim, generator=torch.Generator().manual_seed(0))
        labels = y[: len(z)] if isinstance(subject.model, Conditional) else None
        codes.append((z, labels))
        both.append((decoder_ops(subject.model, z, labels), encoder_ops(subject.model, x)))
    precision, encoders = _fitting([d or [] for d, _ in both], [e or [] for _, e in both], limit)
    made = []
    for (decoder, encoder), (z, labels) in zip(both, codes, strict=True):
        if decoder is None or precision is None:
            made.append(Networks(None, None, precision or "float32", 0.0))
            continue
        error = float((run(rounded(decoder, precision), z, labels) - run(decoder, z, labels)).abs().max())
        made.append(Networks(decoder, encoder if encoders else None, precision, error))
    return made


def _fitting(decoders: list[list[Op]], encoders: list[list[Op]], limit: int | None) -> tuple[Precision | None, bool]:
    """The finest precision at which the weights leave room for samples, and whether the encoders fit too."""
    room = limit or SERVED
    shares: tuple[tuple[Precision, float, bool], ...] = (
        ("float32", 0.3, True),
        ("float16", 0.45, True),
        ("uint8", 0.65, True),
        ("float16", 0.65, False),
        ("uint8", 0.65, False),
    )
    for precision, share, with_encoders in shares if limit else (("float32", 1.0, True), ("float32", 1.0, False)):
        nets = decoders + (encoders if with_encoders else [])
        if sum(size(ops, precision) for ops in nets) <= share * room:
            return precision, with_encoders
    return None, False


# -- what the page holds -----------------------------------------------------------------------------------------------


def html(subjects: list[Subject], data: BaseDataModule, networks: list[Networks], n: int) -> str:
    """The page with the first n test samples."""
    from jinja2 import Environment, PackageLoader, StrictUndefined

    templates = Environment(loader=PackageLoader("lit_ae.explorer"), autoescape=True, undefined=StrictUndefined)
    facts = _samples(data, n) | {
        "palette": PALETTE,
        "runs": [_run(subject, network, n) for subject, network in zip(subjects, networks, strict=True)],
    }
    sources = {name.replace(".", "_"): _source(name) for name in ("page.css", "network.js", "drawing.js", "view.js",
                                                                  "pane.js", "page.js")}  # fmt: skip
    titles = [subject.title for subject in subjects]
    content = json.dumps(facts, separators=(",", ":"), allow_nan=False).replace("<", "\\u003c")
    return templates.get_template("page.html.j2").render(titles=titles, facts=content, **sources)


def _source(name: str) -> str:
    return (Path(__file__).parent / "templates" / name).read_text(encoding="utf-8")


def _tensors(part: ArrayDataset) -> tuple[torch.Tensor, torch.Tensor]:
    return as_float(part.x[:]), part.y


HALF = 60_000


def _samples(data: BaseDataModule, n: int) -> dict[str, Any]:
    """Test samples with labels and factors; images as bytes, vectors as float16."""
    part = data.split("test").first(n)
    x, y = _tensors(part)
    image = len(data.input_shape) == 3
    low, high = (float(value) for value in x.aminmax()) if len(x) else (0.0, 1.0)
    if image and low >= 0 and high <= 1:  # pixels, of which these samples need not have black and white ones
        low, high = 0.0, 1.0
    high = high if high > low else low + 1.0
    exact = x.half() if not len(x) or x.abs().max() < HALF else x.float()  # float16 has nothing above 65,504
    stored = ((x - low) / (high - low) * 255).round().byte() if image else exact
    names = list(data.class_names) or [str(k) for k in range(data.num_classes)]
    factors = {} if part.factors is None else dict(zip(data.factor_names, part.factors.T, strict=True))
    return {
        "shape": list(data.input_shape),
        "range": [low, high],
        "x": packed(stored.numpy()),
        "y": packed(y.short().numpy()) if data.num_classes else None,
        "classes": names,
        "factors": {name: packed(values.float().numpy()) for name, values in factors.items()},
        "features": list(data.feature_names),
        "count": len(x),
        "background": getattr(data, "background", 0),  # behind transparent pixels of images, as training reads them
    }


def _run(subject: Subject, network: Networks, n: int) -> dict[str, Any]:
    codes = subject.codes[:n]
    model = subject.model
    return {
        "title": subject.title,
        "family": type(model).__name__,
        "size": model.latent_dim,
        "conditional": model.classes if isinstance(model, Conditional) else 0,
        "decoder": None if network.decoder is None else packed_ops(network.decoder, network.precision),
        "encoder": None if network.encoder is None else packed_ops(network.encoder, network.precision),
        "precision": network.precision,
        "error": network.error,
        "codes": packed(codes),
        "std": None if subject.std is None else packed(subject.std[:n].astype(np.float16)),
        "values": {name: packed(_floats(values[:n])) for name, values in subject.values.items()},
        "maps": _maps(subject, codes, n),
        "samplers": _samplers(subject),
        **_ranges(codes, model.latent_dim),
    }


def _maps(subject: Subject, codes: NDArray[Any], n: int) -> list[dict[str, Any]]:
    """PCA with what inverts it, and embeddings; maps of two dimensions need nothing but the codes."""
    made: list[dict[str, Any]] = []
    if len(codes) > 2 and codes.shape[1] > 2:
        mean = codes.mean(0)
        axes = np.linalg.svd(codes - mean, full_matrices=False)[2][:2]  # [2, D]
        made.append({"name": "PCA", "mean": packed(_floats(mean)), "axes": packed(_floats(axes))})
    for name, points in subject.embeddings.items():
        made.append({"name": name, "points": packed(_floats(points[:n]))})
    return made


def _samplers(subject: Subject) -> list[dict[str, Any]]:
    made: list[dict[str, Any]] = [{"name": "N(0, I)"}]
    for name, parameters in subject.samplers.items():
        made.append({"name": name, **{key: packed(value.float().numpy()) for key, value in parameters.items()}})
    return made


def _ranges(codes: NDArray[Any], latent_dim: int) -> dict[str, Any]:
    """Dimensions by activity, the most active first, with their mean and spread; without codes those of N(0, I)."""
    if len(codes) < 2:
        mean, spread = np.zeros(latent_dim), np.ones(latent_dim)
    else:
        mean, spread = codes.mean(0), codes.std(0)
    order = np.argsort(-spread, kind="stable")
    return {
        "order": [int(d) for d in order],
        "mean": packed(_floats(mean)),
        "spread": packed(_floats(spread)),
        "active": int((spread > 0.1 * max(float(spread.max()), math.ulp(1.0))).sum()),
    }


def _floats(values: NDArray[Any]) -> NDArray[np.float32]:
    return values.astype(np.float32)
