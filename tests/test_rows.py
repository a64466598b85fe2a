"""Splits that are views of a large array, in memory or mapped from a file."""

import re
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml

from lit_ae import tracking
from lit_ae.data import Array, Digits, numpy_files, rows
from lit_ae.data.containers import ArrayDataset
from lit_ae.data.rows import Rows, add_content
from lit_ae.errors import SettingError
from lit_ae.objectives.likelihoods import Categorical

RANDOM = np.random.default_rng(0)
ARRAYS: dict[str, Any] = {
    "bytes": RANDOM.integers(0, 256, (2100, 5, 6), dtype=np.uint8),
    "truth values": RANDOM.random((60, 5, 6)) < 0.5,
    "channels last": RANDOM.random((60, 5, 6, 3)),
    "half precision, big-endian": RANDOM.normal(size=(60, 7)).astype(">f2"),
    "whole numbers, by columns": np.asfortranarray(RANDOM.integers(-9, 9, (60, 7))),
}


def both(path: Path, monkeypatch: pytest.MonkeyPatch, **settings: Any) -> tuple[Array, Array]:
    """The data in memory, and as views of one array."""
    found = []
    for limit in (2**60, 0):
        monkeypatch.setattr(numpy_files, "IN_MEMORY", limit)
        found.append(Array(path, batch_size=7, eval_batch_size=11, **settings))
        found[-1].split("train")
    assert isinstance(found[0].split("val").x, torch.Tensor)
    assert isinstance(found[1].split("val").x, Rows)
    return found[0], found[1]


@pytest.mark.parametrize("kind", ARRAYS)
def test_views_of_a_mapped_file_are_the_same_data(kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    np.save(tmp_path / "x.npy", ARRAYS[kind])
    memory, mapped = both(tmp_path / "x.npy", monkeypatch, limit=1500)
    assert rows.mapping(mapped.split("train").x.source) is not None
    assert mapped.input_shape == memory.input_shape
    assert mapped.digest() == memory.digest()
    assert (mapped.pixel_mean, mapped.pixel_std) == (memory.pixel_mean, memory.pixel_std)
    for loader in ("train_dataloader", "val_dataloader", "test_dataloader"):
        for ours, theirs in zip(getattr(mapped, loader)(), getattr(memory, loader)(), strict=True):
            assert ours.x.dtype == theirs.x.dtype
            assert torch.equal(ours.x, theirs.x)
            assert torch.equal(ours.y, theirs.y)
    for part, whole in ((data.split("train"), other.split("train")) for data, other in [(mapped, memory)]):
        assert (part.x.shape, part.x.dtype) == (whole.x.shape, whole.x.dtype)
        assert part.value_range() == whole.value_range()
        assert torch.equal(part.x[-1], whole.x[-1])
        assert torch.equal(part[3].x, whole[3].x)


@pytest.mark.parametrize(
    "settings", [{"leave_out": 1}, {"labels_per_class": 2}, {"binarise": True}, {"limit": 3}], ids=str
)
def test_variants_of_the_data(settings: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    np.savez(tmp_path / "xy.npz", x=ARRAYS["bytes"][:90], y=np.arange(90) % 3)
    monkeypatch.setattr(numpy_files, "IN_MEMORY", 0)
    mapped = Array(tmp_path / "xy.npz", **settings)
    monkeypatch.setattr(numpy_files, "IN_MEMORY", 2**60)
    assert Array(tmp_path / "xy.npz", **settings).digest() == mapped.digest()


@pytest.mark.parametrize(
    "index",
    [3, -1, slice(None), slice(2, 9, 3), slice(0), [4, 4, 0], torch.tensor([5, 1]), torch.arange(20) % 3 == 0],
    ids=str,
)
def test_indices_are_those_of_a_tensor(index: Any) -> None:
    x = torch.arange(40).view(20, 2).to(torch.uint8)
    order = torch.randperm(20, generator=torch.Generator().manual_seed(0))
    some = Rows(x.numpy(), lambda part: part).view(order)
    assert torch.equal(some[index], x[order][index])
    if not isinstance(index, int):
        assert torch.equal(some.view(index)[:], x[order][index])
    with pytest.raises(IndexError):
        some[20]
    assert [len(part) for part in some.split(8)] == [8, 8, 4]


def test_the_first_samples_are_a_view() -> None:
    x, labels = torch.arange(12).view(6, 2).to(torch.uint8), torch.arange(6)
    for samples in (x, Rows(x.numpy(), lambda part: part)):
        first = ArrayDataset(samples, labels, labels.float()).first(4)
        assert torch.equal(first.x[:], x[:4])
        assert torch.equal(first.y, labels[:4])
        assert first.factors is not None
        assert len(first.factors) == 4
        source = first.x.source if isinstance(first.x, Rows) else first.x.numpy()
        assert np.shares_memory(source, x.numpy())


def test_neither_splits_nor_checks_nor_an_epoch_hold_the_array(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An eighth of its bytes is enough for all that an epoch needs."""
    n, size = 24_000, 400
    np.save(tmp_path / "x.npy", RANDOM.integers(0, 256, (n, size), dtype=np.uint8))
    monkeypatch.setattr(numpy_files, "IN_MEMORY", 0)
    np.save(tmp_path / "few.npy", RANDOM.integers(0, 256, (50, size), dtype=np.uint8))
    Array(tmp_path / "few.npy").digest()  # imports, which are not the data's
    tracemalloc.start()
    try:
        data = Array(tmp_path / "x.npy")
        data.digest()
        assert 0 < data.pixel_mean < 1
        data.split("train").value_range()
        seen = sum(len(batch.x) for batch in data.train_dataloader())
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert seen == len(data.split("train"))
    assert peak < n * size / 8


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (lambda x: x.__setitem__((2345, 1), np.nan), r"holds 1 values .* NaN, at index \[2345, 1\]"),
        (lambda x: x.__setitem__((slice(1500, 3000), 2), -np.inf), r"holds 1,500 values .* infinity .* \[1500, 2\]"),
        (lambda x: x.__setitem__((2999, 0), 1e39), r"holds 1 values .* float32\), at index \[2999, 0\]"),
    ],
    ids=["NaN", "infinity", "beyond float32"],
)
def test_values_that_are_refused_far_from_the_start(
    values: Callable[[Any], None], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    x = RANDOM.random((3000, 4))
    values(x)
    np.save(tmp_path / "x.npy", x)
    monkeypatch.setattr(numpy_files, "IN_MEMORY", 0)
    with pytest.raises(SettingError, match=message):
        Array(tmp_path / "x.npy")


def test_images_that_are_refused_far_from_the_start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(numpy_files, "IN_MEMORY", 0)
    x = RANDOM.random((3000, 4, 5))
    x[2001, 1, 1] = -0.5
    np.save(tmp_path / "x.npy", x)
    with pytest.raises(SettingError, match=r"pixels from -0\.5 to 0\.99"):
        Array(tmp_path / "x.npy")
    np.save(tmp_path / "x.npy", (x > 0.5).astype(np.uint8))
    with pytest.raises(SettingError, match="bytes from 0 to 1"):
        Array(tmp_path / "x.npy")
    with pytest.raises(SettingError, match="Categorical"):
        Categorical().check_samples(Rows((x > 0.5).astype(np.uint8), lambda part: part))


def test_a_hash_of_parts_is_that_of_the_whole() -> None:
    x = torch.from_numpy(ARRAYS["bytes"])
    found: list[bytes] = []
    add_content(lambda part: found.append(bytes(part)), x, "train ")
    assert b"".join(found) == b"train torch.uint8 (2100, 5, 6)" + ARRAYS["bytes"].tobytes()
    assert max(map(len, found)) < x.numel()


@pytest.mark.skipif(not Path("/proc/self/smaps").exists(), reason="needs Linux")
def test_parts_of_a_mapped_file_are_given_back(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", np.ones((4000, 1000), np.uint8))
    x = np.load(tmp_path / "x.npy", mmap_mode="r")

    def resident() -> int:
        found = re.search(r"Rss: +(\d+) kB", Path("/proc/self/smaps").read_text().split(str(tmp_path / "x.npy"))[1])
        assert found is not None
        return int(found[1])

    assert x.sum() == x.size
    assert resident() > 0
    assert sum(int(part.sum()) for part in rows.parts_of(x)) == x.size
    assert resident() == 0


def test_pages_of_an_array_that_can_be_written_stay(tmp_path: Path) -> None:
    """A private map would lose what was written to it."""
    np.save(tmp_path / "x.npy", np.zeros((10, 3), np.uint8))
    x = np.load(tmp_path / "x.npy", mmap_mode="c")
    x[4] = 7
    rows.give_back(x)
    assert (x[4] == 7).all()


@pytest.mark.slow
def test_scores_of_views_are_those_of_data_in_memory(
    lit_ae: Any, store: Path, settings: Any, scores: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every kind of score takes them, here of labelled images in memory."""
    digits = Digits().split("train")
    np.savez("xy.npz", x=digits.x[:600].numpy(), y=digits.y[:600].numpy())
    others = ["LayerRetention", "InputProbe", "CodeScores", "LogLikelihood", "Interpolation", "LinearProbe"]
    Path("others.yaml").write_text(yaml.safe_dump({"trainer": {"callbacks+": [{"class_path": c} for c in others]}}))
    own = ["--data=Array", "--data.path=xy.npz", "--data.limit=150"]
    found = []
    for limit in (2**60, 0):
        monkeypatch.setattr(numpy_files, "IN_MEMORY", limit)
        assert lit_ae("fit", *settings("vae"), *own) == 0
        assert lit_ae("test", *settings("vae"), *own, "--config", scores, "--config", "others.yaml") == 0
        run = max(tracking.search("lit_ae", kind="single"), key=lambda run: run.start)
        found.append({key: value for key, value in run.metrics.items() if not re.search("second|memory", key)})
    assert len(found[0]) > 40
    assert found[0] == found[1]
