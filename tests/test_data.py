"""Data sets: splits, batches, transfers, files on disk, and sampling by several processes."""

import gzip
import hashlib
import os
import re
import struct
from collections.abc import Callable, Iterator
from functools import partial
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from urllib.error import URLError

import numpy as np
import pytest
import torch
import torchvision
from lightning.pytorch import LightningModule, Trainer, seed_everything
from lightning.pytorch.callbacks import ModelCheckpoint
from torch.utils.data import DistributedSampler

from lit_ae.data import (
    MNIST,
    Array,
    ArrayDataset,
    BaseDataModule,
    Batch,
    Digits,
    FashionMNIST,
    PhotoPatches,
    Shapes,
    Splits,
    download,
)
from lit_ae.data.containers import SPLITS, as_batch
from lit_ae.data.epoch_order import EpochOrder, permutation
from lit_ae.data.one_hot import OneHot
from lit_ae.data.shapes import KINDS, SIZES, render, stencil
from lit_ae.data.subsets import seeded_split
from lit_ae.errors import SettingError, require_at_least
from lit_ae.models.ae import AE
from lit_ae.models.base import Reconstruction
from lit_ae.settings.suggestions import near_match
from lit_ae.training.loop import several_steps_a_call

TRAIN, TEST = 120, 30  # images in the files that the tests make
NAMES = [f"{part}-{what}-ubyte" for part in ("train", "t10k") for what in ("images-idx3", "labels-idx1")]


class Counted(BaseDataModule):
    """Sample i of 101 is the number i: shows which samples a loader gives."""

    name = "counted"
    input_shape = (1,)
    num_classes = 0

    def load(self) -> Splits:
        part = ArrayDataset(torch.arange(101.0).unsqueeze(1), torch.arange(101))
        return Splits(part, part, part)


def idx(array: np.ndarray) -> bytes:
    return bytes([0, 0, 8, array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape) + array.tobytes()


def md5(content: bytes) -> str:
    return hashlib.md5(content).hexdigest()


@pytest.fixture
def contents(monkeypatch: pytest.MonkeyPatch) -> dict[str, bytes]:
    """Small idx files whose checksums MNIST and torchvision are made to expect; no network."""
    rng = np.random.default_rng(0)
    made = {}
    for part, n in (("train", TRAIN), ("t10k", TEST)):
        made[f"{part}-images-idx3-ubyte"] = idx(rng.integers(0, 256, (n, 28, 28), dtype=np.uint8))
        made[f"{part}-labels-idx1-ubyte"] = idx(rng.integers(0, 10, n, dtype=np.uint8))
    packed = {f"{name}.gz": gzip.compress(made[name], mtime=0) for name in NAMES}
    resources = [(file, md5(content)) for file, content in packed.items()]
    monkeypatch.setattr(torchvision.datasets.MNIST, "resources", resources)
    monkeypatch.setattr(MNIST, "unpacked_md5", {name: md5(made[name]) for name in NAMES})
    monkeypatch.setattr(download, "urlopen", no_network)
    return made | packed


def no_network(*args: Any, **kwargs: Any) -> None:
    raise URLError("no network here")


def write(root: Path, contents: dict[str, bytes], packed: bool = True) -> Path:
    folder = root / "MNIST" / "raw"
    folder.mkdir(parents=True)
    for file, content in contents.items():
        if file.endswith(".gz") == packed:
            (folder / file).write_bytes(content)
    return folder


def rows(part: ArrayDataset) -> set[bytes]:
    return {image.numpy().tobytes() for image in part.x}


@pytest.mark.parametrize(
    ("make", "sizes"),
    [(Digits, (1257, 180, 360)), (Shapes, (6672, 834, 834)), (partial(Shapes, hues=2), (13344, 1668, 1668))],
    ids=["digits", "shapes", "colour shapes"],
)
def test_splits(make: Callable[..., BaseDataModule], sizes: tuple[int, int, int]) -> None:
    data = make()
    parts = [data.split(name) for name in ("train", "val", "test")]
    assert tuple(map(len, parts)) == sizes
    assert all(part.x.shape[1:] == data.input_shape and part.x.dtype == torch.uint8 for part in parts)
    assert all(part.y.dtype == torch.int64 and part.y.unique().numel() == data.num_classes for part in parts)
    images = [rows(part) for part in parts]
    assert len(set.union(*images)) == sum(sizes)  # disjoint: no image is in two splits, nor twice in one
    assert all(part.x.amin() == 0 and part.x.amax() == 255 for part in parts)

    again, other = make(), make(split_seed=1)
    assert torch.equal(again.split("test").x, data.split("test").x)
    assert again.digest() == data.digest()
    assert rows(other.split("test")) != images[2]
    assert other.digest() != data.digest()
    assert set.union(*(rows(other.split(name)) for name in ("train", "val", "test"))) == set.union(*images)


def test_seeded_split_refuses_more_than_there_is() -> None:
    data = ArrayDataset(torch.zeros(4, 1), torch.zeros(4))
    with pytest.raises(ValueError, match="from 4"):
        seeded_split(data, (3, 2), seed=0)


def test_digits_keep_the_picture() -> None:
    from sklearn.datasets import load_digits

    data = Digits()
    whole = torch.cat([data.split(name).x for name in ("train", "val", "test")]).double() / 255
    labels = torch.cat([data.split(name).y for name in ("train", "val", "test")])
    bunch = load_digits()
    assert whole.mean().item() == pytest.approx(bunch.images.mean() / 16, abs=2e-3)
    assert labels.bincount().tolist() == np.bincount(bunch.target).tolist()


def test_photo_patches_put_together_are_the_photographs() -> None:
    from PIL import Image
    from sklearn.datasets import load_sample_images

    data = PhotoPatches()
    parts = [data.split(name) for name in ("train", "val", "test")]
    assert tuple(map(len, parts)) == (462, 66, 132)
    found = {image.numpy().tobytes(): int(label) for part in parts for image, label in zip(part.x, part.y, strict=True)}
    assert len(found) == 660  # no patch is in two splits, nor twice in one
    for label, photo in enumerate(load_sample_images().images):
        grey = np.asarray(Image.fromarray(photo).convert("L"))
        cells = [(28 * row, 28 * column) for row in range(15) for column in range(22)]
        cut = [grey[top : top + 28, left : left + 28].tobytes() for top, left in cells]
        assert [found[patch] for patch in cut] == [label] * 330


@pytest.mark.parametrize("num_workers", [0, 1])
def test_batches(num_workers: int) -> None:
    data = Digits(batch_size=100, eval_batch_size=150, num_workers=num_workers)
    torch.manual_seed(0)
    batches = list(data.train_dataloader())
    assert [len(batch.x) for batch in batches] == [100] * 12 + [57]
    assert all(type(batch) is Batch and batch.x.dtype == torch.uint8 for batch in batches)
    assert all(batch.x.shape[1:] == (1, 28, 28) and batch.y.dtype == torch.int64 for batch in batches)
    # each image with its own label, every one once, in another order than that of the split
    train = data.split("train")
    pairs = {(x.numpy().tobytes(), int(y)) for batch in batches for x, y in zip(*batch, strict=True)}
    assert pairs == {(x.numpy().tobytes(), int(y)) for x, y in zip(train.x, train.y, strict=True)}
    assert not torch.equal(torch.cat([batch.y for batch in batches]), train.y)

    for loader, name in ((data.val_dataloader(), "val"), (data.test_dataloader(), "test")):
        assert torch.equal(torch.cat([batch.x for batch in loader]), data.split(name).x)
    assert torch.equal(torch.cat([batch.y for batch in data.predict_dataloader()]), data.split("test").y)


def test_order_of_batches_depends_on_the_seed_alone() -> None:
    def order(seed: int, draws: int) -> list[list[int]]:
        torch.manual_seed(seed)
        torch.rand(draws)  # as a model's initialisation would
        loader = Digits().train_dataloader()
        return [torch.cat([batch.y for batch in loader]).tolist() for _ in range(2)]

    first, second = order(0, draws=0)
    assert [first, second] == order(0, draws=7)
    assert first != second
    assert first != order(1, draws=0)[0]


def test_orders_of_all_seeds_and_epochs_differ() -> None:
    """The sum of seed and epoch, or the low half of a seed, would give some of these pairs the same order."""
    pairs = [(seed + high, epoch) for seed in range(6) for high in (0, 2**32, 2**33) for epoch in range(6)]
    orders = {tuple(permutation(50, seed, epoch).tolist()) for seed, epoch in pairs}
    assert len(orders) == len(pairs)
    assert all(sorted(order) == list(range(50)) for order in orders)
    assert permutation(50, 3, 1).tolist() == permutation(50, 3, 1).tolist()


def test_places_in_a_shuffled_order_are_uniform() -> None:
    """Over seeds and epochs: the mean place of a sample and the correlation of two epochs are those of chance."""
    orders = np.array([permutation(20, seed, epoch) for seed in range(100) for epoch in range(20)])
    assert abs(orders.mean(0) - 9.5).max() < 4.5 * orders.std() / len(orders) ** 0.5
    correlations = [np.corrcoef(before, after)[0, 1] for before, after in pairwise(orders)]
    assert abs(np.mean(correlations)) < 4 / (19 * len(correlations)) ** 0.5


@pytest.mark.parametrize("size", [40, 41])
def test_shares_of_all_processes_are_the_order_of_one(size: int) -> None:
    def order(rank: int, processes: int) -> list[int]:
        sampler = EpochOrder(Digits(limit=size).split("train"), 5, processes, rank)
        sampler.set_epoch(3)
        assert len(sampler) == len(list(sampler))
        return list(sampler)

    whole = order(0, 1)
    shares = [order(rank, 3) for rank in range(3)]
    together = [sample for places in zip(*shares, strict=True) for sample in places]
    assert together[:size] == whole
    assert together[size:] == whole[: len(together) - size]  # repeated, so that all have equally many
    assert len(together) == 42


class Order:
    """The samples of each training step, by the sums of their pixels."""

    def __init__(self) -> None:
        self.seen: dict[int, list[float]] = {}

    def watch(self, module: AE) -> None:
        step = module._step

        def watched(batch: Batch, stage: str) -> Reconstruction:
            if stage == "train":
                self.seen.setdefault(module.current_epoch, []).extend(batch.x.flatten(1).sum(1).tolist())
            return step(batch, stage)

        module._step = watched  # type: ignore[method-assign, assignment]


def order_of(folder: Path, workers: int = 0, steps: int = 1, sanity: int = 0, resumed: bool = False) -> Order:
    """The order of four epochs, of which the last two are those of another process if the training is `resumed`."""
    order = Order()
    checkpoint = None
    for epochs in (2, 4) if resumed else (4,):
        seed_everything(7)
        data = Digits(limit=120, batch_size=16, num_workers=workers)
        module = AE(input_shape=data.input_shape)
        order.watch(module)
        trainer = Trainer(
            default_root_dir=folder, accelerator="cpu", max_epochs=epochs, logger=False, num_sanity_val_steps=sanity,
            enable_progress_bar=False, enable_model_summary=False,
            callbacks=[ModelCheckpoint(dirpath=folder, filename="last")],
        )  # fmt: skip
        with several_steps_a_call(trainer, module, data, steps) as calls:
            trainer.fit(module, datamodule=data, ckpt_path=checkpoint, weights_only=True)
            assert calls.steps == steps
        checkpoint = folder / "last.ckpt"
    assert set(order.seen) == {0, 1, 2, 3}
    assert all(len(samples) == 120 for samples in order.seen.values())
    return order


@pytest.mark.parametrize(
    "changes",
    [{"workers": 2}, {"steps": 3}, {"steps": 3, "workers": 1}, {"sanity": 2}, {"resumed": True},
     {"resumed": True, "steps": 3}, {"resumed": True, "workers": 1}],
    ids=str,
)  # fmt: skip
def test_order_of_a_training_is_one_of_seed_and_epoch(changes: dict[str, int], tmp_path: Path) -> None:
    data = Digits(limit=120)
    sums = (data.split("train").x.float() / 255).flatten(1).sum(1)
    expected = {epoch: sums[permutation(120, 7, epoch)].tolist() for epoch in range(4)}
    found = order_of(tmp_path, **changes).seen
    assert {epoch: pytest.approx(samples, rel=1e-5) for epoch, samples in found.items()} == expected


def test_random_numbers_of_a_model_are_untouched_by_loaders() -> None:
    data = Digits(limit=60, num_workers=1)
    torch.manual_seed(3)
    before = torch.get_rng_state()
    for loader in (data.train_dataloader(), data.val_dataloader(), data.test_dataloader()):
        assert sum(len(batch.x) for batch in loader) == 60
    assert torch.equal(torch.get_rng_state(), before)


def test_transfer_scales_pixels_only() -> None:
    data = Digits()
    batch = next(iter(data.val_dataloader()))
    moved = data.on_after_batch_transfer(batch, 0)
    assert moved.x.dtype == torch.float32
    assert torch.equal(moved.x, batch.x / 255)
    assert (moved.x.min(), moved.x.max()) == (0, 1)
    assert moved.y is batch.y
    elsewhere = data.on_after_batch_transfer(Batch(batch.x.to("meta"), batch.y), 0).x
    assert (elsewhere.dtype, elsewhere.device.type) == (torch.float32, "meta")
    floats = Batch(torch.tensor([[-3.0, 300.0]]), torch.tensor([-1]))
    assert data.on_after_batch_transfer(floats, 0) is floats


def test_pixel_statistics() -> None:
    data = Digits()
    x = data.split("train").x.double() / 255
    assert data.pixel_mean == pytest.approx(x.mean().item(), rel=1e-6)
    assert data.pixel_std == pytest.approx(x.std(correction=0).item(), rel=1e-6)
    assert Counted().pixel_mean == pytest.approx(50)
    assert Counted().pixel_std == pytest.approx(np.arange(101).std())


def test_limit_keeps_the_first_of_every_split() -> None:
    whole, few = Shapes(), Shapes(limit=20)
    for name in ("train", "val", "test"):
        assert torch.equal(few.split(name).x, whole.split(name).x[:20])
        assert torch.equal(few.split(name).factors, whole.split(name).factors[:20])
    assert few.digest() != whole.digest()


def test_all_samples_are_in_every_split_and_once_among_everything() -> None:
    parts, whole = Digits(), Digits(all_samples=True)
    sizes = [len(whole.split(name)) for name in SPLITS]
    assert sizes == [1797] * 3
    assert torch.equal(whole.split("train").x, parts.everything().x)
    assert torch.equal(whole.split("test").y, parts.everything().y)
    assert len(whole.everything()) == 1797
    squares = (whole.split("train").x.double() / 255).square().mean().item()
    assert (whole.pixel_mean**2 + whole.pixel_std**2) == pytest.approx(squares)
    assert [len(Digits(all_samples=True, limit=40).split(name)) for name in SPLITS] == [40] * 3


def test_factors_stay_with_all_samples() -> None:
    whole = Shapes(all_samples=True).split("test")
    assert whole.factors is not None
    first = Shapes().split("train")
    assert first.factors is not None
    assert torch.equal(whole.factors[: len(first)], first.factors)
    assert len(whole.factors) == len(whole)


def test_array_keeps_the_order_of_its_file_with_all_samples(tmp_path: Path) -> None:
    x = np.random.default_rng(0).random((30, 4), dtype=np.float32)
    np.save(tmp_path / "x.npy", x)
    data = Array(tmp_path / "x.npy", all_samples=True)
    assert all(np.array_equal(data.split(name).x[:].numpy(), x) for name in SPLITS)


@pytest.mark.parametrize("setting", ["batch_size", "eval_batch_size", "limit", "labels_per_class", "num_workers"])
def test_impossible_sizes_are_named(setting: str) -> None:
    least = 0 if setting == "num_workers" else 1
    with pytest.raises(SettingError, match=f"--data.{setting} is -1: it must be at least {least}$"):
        Digits(**{setting: -1})
    with pytest.raises(SettingError, match=f"--data.{setting} is {least - 1}: "):
        Digits(**{setting: least - 1})
    assert getattr(Digits(**{setting: least}), setting) == least


def test_a_bound_is_not_checked_for_settings_that_are_null() -> None:
    require_at_least(1, "{} of the test", a=None, b=1, c=1.5)
    with pytest.raises(SettingError, match=r"^c of the test is 0\.5: it must be at least 1$"):
        require_at_least(1, "{} of the test", a=None, b=1, c=0.5)


def test_names_get_a_suggestion_or_the_whole_list() -> None:
    assert near_match("vea", ["GAN", "VAE"]) == ": did you mean 'VAE'?"
    assert near_match("xyz", ["GAN", "VAE"]) == ": choose one of GAN, VAE"


def test_batches_of_any_loader_become_float_batches() -> None:
    x, y = torch.tensor([[0, 255], [51, 102]], dtype=torch.uint8), torch.tensor([3, 1])
    for given, labels in ((x, [-1, -1]), ((x,), [-1, -1]), ([x, y], [3, 1]), (Batch(x, y), [3, 1])):
        batch = as_batch(given)
        assert torch.equal(batch.x, torch.tensor([[0.0, 1.0], [0.2, 0.4]]))
        assert batch.y.tolist() == labels
    with pytest.raises(SettingError, match=r"the data loader gives a dict: let a batch be a tensor x or a pair"):
        as_batch({"x": x})
    with pytest.raises(SettingError, match=r"gives a list of Tensor and tuple: let a batch be a tensor x or a pair"):
        as_batch([x, ("cat.png", "dog.png")])
    with pytest.raises(
        SettingError, match=r"gives x of shape \[2, 2\] with y of shape \[1\]: give each sample a label"
    ):
        as_batch((x, y[:1]))


class Own(BaseDataModule):
    """A user's own data module: given samples and labels as every split."""

    name = "own"
    input_shape = (1, 8, 8)
    num_classes = 3

    def __init__(self, x: Any, y: Any) -> None:
        super().__init__()
        self.part = ArrayDataset(x, y)

    def load(self) -> Splits:
        return Splits(self.part, self.part, self.part)


X, Y = torch.zeros(5, 1, 8, 8), torch.tensor([0, 1, 2, -1, 0])


@pytest.mark.parametrize(
    ("x", "y", "said"),
    [
        (X[:, 0], Y, r"samples of shape [8, 8], but input_shape is [1, 8, 8]: reshape them to [N, 1, 8, 8]"),
        (X.movedim(1, 3), Y, "samples of shape [8, 8, 1], but input_shape is [1, 8, 8]"),
        (X.long(), Y, "samples of type torch.int64: give bytes (uint8), which mean 0 to 1, or floats"),
        (X.bool(), Y, "samples of type torch.bool: give bytes"),
        (X.numpy(), Y, "x and y of type ndarray and Tensor: give tensors"),
        (X, Y.numpy(), "x and y of type Tensor and ndarray: give tensors"),
        (X, Y[:4], "5 samples and labels y of shape [4]: give each sample a label"),
        (X, Y.int(), "labels y of type torch.int32: give whole numbers (int64)"),
        (X, Y + 1, "the label 3, but num_classes is 3: give labels from 0 to 2"),
    ],
)
def test_samples_and_labels_of_another_shape_or_type_are_refused(x: Any, y: Any, said: str) -> None:
    with pytest.raises(SettingError, match=re.escape(f"the train split of the data (--data) has {said}")):
        Own(x, y).setup()
    assert len(Own(X, Y).split("test")) == 5


def test_shapes_count_and_factors() -> None:
    images = render()
    assert len(images) == 8340 == len(KINDS) * sum((28 - size + 1) ** 2 for size in SIZES)
    assert len(rows(images)) == 8340
    assert torch.equal(Shapes(limit=5).valid_set(), images.x)
    assert set(images.x.unique().tolist()) == {0, 255}

    assert Shapes.factor_names == ("shape", "size", "x", "y")
    assert torch.equal(images.factors[:, 0].long(), images.y)
    for index in range(0, 8340, 37):
        kind, size, x, y = images.factors[index].tolist()
        on_y, on_x = images.x[index, 0].nonzero().T.double()
        assert on_x.max() - on_x.min() + 1 == size == on_y.max() - on_y.min() + 1
        assert (on_x.min() + size / 2, on_y.min() + size / 2) == (x, y)
        assert images.x[index].count_nonzero() == stencil(KINDS[int(kind)], int(size)).count_nonzero()


def test_shapes_in_colour_have_a_known_hue() -> None:
    data = Shapes(hues=3)
    assert (data.name, data.input_shape) == ("colour_shapes", (3, 28, 28))
    assert data.factor_names == ("shape", "size", "x", "y", "hue")
    white, images = render(), data.valid_set()
    part = data.split("test")
    assert len(images) == 3 * len(white)
    for hue, rgb in ((0, (255, 0, 0)), (120, (0, 255, 0)), (240, (0, 0, 255))):
        own = part.subset((part.factors[:, 4] == hue).nonzero().flatten())
        assert 200 < len(own) < 1600
        assert torch.equal(own.x.amax((0, 2, 3)), torch.tensor(rgb, dtype=torch.uint8))
    shapes = {image.numpy().tobytes(): row for image, row in zip(white.x, white.factors, strict=True)}
    for x, y, factors in zip(part.x[::50], part.y[::50], part.factors[::50], strict=True):
        assert torch.equal(shapes[x.amax(0, keepdim=True).numpy().tobytes()], factors[:4])
        assert y == factors[0]
    assert set(Shapes(hues=6).split("val").factors[:, 4].tolist()) == {0, 48, 96, 144, 192, 240}
    assert Shapes().input_shape == (1, 28, 28)
    for wrong in (1, -2):
        with pytest.raises(SettingError, match=f"--data.hues is {wrong}: it must be at least 2"):
            Shapes(hues=wrong)


@pytest.mark.parametrize("size", SIZES)
def test_stencils_have_the_area_of_the_shape(size: int) -> None:
    areas = {kind: int(stencil(kind, size).count_nonzero()) for kind in KINDS}
    assert areas["square"] == size**2
    assert areas["circle"] == pytest.approx(np.pi * size**2 / 4, rel=0.1)
    assert areas["triangle"] == pytest.approx(size**2 / 2, abs=size)


@pytest.mark.parametrize("packed", [True, False])
def test_mnist_reads_what_is_there(tmp_path: Path, contents: dict[str, bytes], packed: bool) -> None:
    folder = write(tmp_path, contents, packed)
    before = sorted(folder.iterdir())
    data = MNIST(root=tmp_path)
    assert [len(data.split(name)) for name in ("train", "val", "test")] == [110, 10, TEST]
    assert sorted(folder.iterdir()) == before  # nothing written beside the files

    torchvision.datasets.MNIST(tmp_path, download=True)  # unpacks; the reference
    train, test = (torchvision.datasets.MNIST(tmp_path, train=flag) for flag in (True, False))
    assert torch.equal(data.split("test").x.squeeze(1), test.data)
    assert torch.equal(data.split("test").y, test.targets)
    labels = {image.numpy().tobytes(): int(y) for image, y in zip(train.data, train.targets, strict=True)}
    ours = [data.split("train"), data.split("val")]
    assert set.union(*map(rows, ours)) == set(labels)
    for part in ours:
        assert all(labels[x.numpy().tobytes()] == int(y) for x, y in zip(part.x, part.y, strict=True))


def test_data_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("LIT_AE_DATA", "")
    assert MNIST().folder == tmp_path / "cache" / "lit_ae" / "MNIST" / "raw"
    monkeypatch.setenv("LIT_AE_DATA", str(tmp_path / "env"))
    assert FashionMNIST().folder == tmp_path / "env" / "FashionMNIST" / "raw"
    assert FashionMNIST(root=tmp_path / "given").folder == tmp_path / "given" / "FashionMNIST" / "raw"


def test_cache_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setenv("LIT_AE_CACHE", "")
    assert download.cache_root() == tmp_path / ".cache" / "lit_ae"
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert download.cache_root() == tmp_path / "xdg" / "lit_ae"
    monkeypatch.setenv("LIT_AE_CACHE", "~/own")
    assert download.cache_root() == tmp_path / "own"


@pytest.mark.parametrize("name", ["train-images-idx3-ubyte", "t10k-labels-idx1-ubyte"])
def test_missing_file_names_file_folder_and_remedies(tmp_path: Path, contents: dict[str, bytes], name: str) -> None:
    folder = write(tmp_path, contents)
    (folder / f"{name}.gz").unlink()
    data = MNIST(root=tmp_path)
    with pytest.raises(SettingError) as caught:
        data.split("train")
    message = str(caught.value)
    for part in (
        f"{name}.gz",
        str(folder),
        "no network here",
        "--data.root",
        "LIT_AE_DATA",
        "network access",
    ):
        assert part in message
    assert "\n" not in message
    with pytest.raises(SettingError, match="has not been downloaded"):
        data.load()
    assert not list(folder.glob("*.part"))


def test_unwritable_folder_is_named(tmp_path: Path, contents: dict[str, bytes]) -> None:
    (tmp_path / "MNIST").write_text("a file where the folder should be")
    with pytest.raises(SettingError, match=r"not in .*MNIST/raw and it could not be downloaded"):
        MNIST(root=tmp_path).prepare_data()


@pytest.mark.parametrize("packed", [True, False])
def test_wrong_checksum_names_the_file(tmp_path: Path, contents: dict[str, bytes], packed: bool) -> None:
    folder = write(tmp_path, contents, packed)
    path = folder / ("t10k-images-idx3-ubyte" + ".gz" * packed)
    path.write_bytes(path.read_bytes()[:-1] + b"?")
    with pytest.raises(SettingError, match="wrong checksum") as caught:
        MNIST(root=tmp_path).split("val")
    assert str(path) in str(caught.value)
    assert "delete the file" in str(caught.value)


def test_download(
    tmp_path: Path,
    contents: dict[str, bytes],
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    """The first mirror has no files, so the second is used; a file with a wrong checksum is not kept."""
    mirror = write(tmp_path / "mirror", contents)
    monkeypatch.undo()
    monkeypatch.setattr(
        torchvision.datasets.MNIST,
        "resources",
        [(f"{name}.gz", md5(contents[f"{name}.gz"])) for name in NAMES],
    )
    monkeypatch.setattr(torchvision.datasets.MNIST, "mirrors", [f"{tmp_path.as_uri()}/none/", f"{mirror.as_uri()}/"])
    data = MNIST(root=tmp_path / "root")
    assert len(data.split("test")) == TEST
    assert sorted(path.name for path in data.folder.glob("*.*z*")) == sorted(f"{name}.gz" for name in NAMES)
    assert "train-images-idx3-ubyte.gz" in capfd.readouterr().err  # the progress bar

    (mirror / f"{NAMES[0]}.gz").write_bytes(b"please log in")
    spoilt = MNIST(root=tmp_path / "spoilt")
    with pytest.raises(SettingError, match="has a wrong checksum"):
        spoilt.prepare_data()
    assert not list(spoilt.folder.glob("*gz*"))


def test_evaluation_is_shared_out_without_padding() -> None:
    seen: list[int] = []
    for rank in range(2):
        data = Counted(eval_batch_size=20)
        strategy = SimpleNamespace(root_device=torch.device("cpu"))
        data.trainer = SimpleNamespace(  # type: ignore[assignment]
            strategy=strategy, distributed_sampler_kwargs={"num_replicas": 2, "rank": rank}
        )
        for loader in (data.val_dataloader(), data.test_dataloader(), data.predict_dataloader()):
            assert isinstance(loader.sampler, DistributedSampler)
        seen += [int(y) for batch in data.test_dataloader() for y in batch.y]
    assert sorted(seen) == list(range(101))


class Recorder(LightningModule):
    """Records which samples this process receives."""

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self.folder, self.weight = folder, torch.nn.Parameter(torch.zeros(1))
        self.seen: dict[str, list[int]] = {"train": [], "val": [], "test": []}

    def training_step(self, batch: Batch, _: int) -> torch.Tensor:
        self.seen["train"] += batch.y.tolist()
        return (self.weight * batch.x).mean()

    def validation_step(self, batch: Batch, _: int) -> None:
        self.seen["val"] += batch.y.tolist()

    def test_step(self, batch: Batch, batch_idx: int) -> None:
        self.seen["test"] += batch.y.tolist()

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), lr=0.0)

    def on_fit_end(self) -> None:
        torch.save(self.seen, self.folder / f"fit-{self.global_rank}.pt")

    def on_test_end(self) -> None:
        torch.save(self.seen, self.folder / f"test-{self.global_rank}.pt")


@pytest.fixture
def environment() -> Iterator[None]:
    """Restores the environment variables that Lightning's launcher sets."""
    before = dict(os.environ)
    yield
    os.environ.clear()
    os.environ.update(before)


@pytest.mark.usefixtures("environment")
def test_two_processes_under_lightning(tmp_path: Path) -> None:
    trainer = Trainer(
        accelerator="cpu",
        devices=2,
        strategy="ddp_fork",
        max_epochs=1,
        num_sanity_val_steps=0,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    data = Counted(batch_size=10, eval_batch_size=20)
    trainer.fit(Recorder(tmp_path), data)
    trainer.test(Recorder(tmp_path), data)

    def seen(stage: str, name: str) -> list[list[int]]:
        return [torch.load(tmp_path / f"{stage}-{rank}.pt")[name] for rank in range(2)]

    first, second = seen("fit", "train")
    assert len(first) == len(second) == 51  # padded to the same number of steps
    assert set(first) | set(second) == set(range(101))
    assert len(set(first) & set(second)) <= 1
    for stage, name in (("fit", "val"), ("test", "test")):
        assert sorted([*seen(stage, name)[0], *seen(stage, name)[1]]) == list(range(101))


def test_binarised_pixels_are_drawn_once_with_their_grey_value_as_probability():
    grey, binary = Digits(), Digits(binarise=True)
    for name in SPLITS:
        x = binary.split(name).x
        assert set(x.unique().tolist()) == {0, 255}
        assert torch.equal(x, Digits(binarise=True).split(name).x)
        assert torch.equal(binary.split(name).y, grey.split(name).y)
    before, after = grey.split("train").x.double() / 255, binary.split("train").x.double() / 255
    standard_error = (before * (1 - before)).sum().sqrt() / before.numel()
    assert abs(before.mean() - after.mean()) < 4 * standard_error
    assert torch.equal(after[before == 0], before[before == 0])
    assert torch.equal(after[before == 1], before[before == 1])


def test_pixels_drawn_in_every_epoch_follow_from_seed_and_epoch_alone():
    def epochs(seed, **settings):
        torch.manual_seed(seed)
        data = Digits(binarise="every_epoch", **settings)
        loader = data.train_dataloader()
        found = []
        for epoch in range(2):
            loader.sampler.set_epoch(epoch)
            torch.rand(7)  # a model's own draws have no part in it
            x = torch.cat([batch.x for batch in loader])
            found.append(torch.empty_like(x).index_copy_(0, torch.from_numpy(permutation(len(x), seed, epoch)), x))
        return data, found

    data, (first, second) = epochs(3)
    assert set(first.unique().tolist()) == {0, 255}
    assert (first != second).any()
    _, others = epochs(3, batch_size=100)
    assert torch.equal(others[0], first)
    assert torch.equal(others[1], second)
    assert (epochs(4)[1][0] != first).any()
    grey = Digits().split("train").x.double() / 255
    standard_error = (grey * (1 - grey)).sum().sqrt() / grey.numel()
    for x in (first, second):
        assert abs(grey.mean() - x.double().mean() / 255) < 4 * standard_error
        assert torch.equal((x / 255.0)[grey == 1], torch.ones_like(grey[grey == 1]).float())
        assert not x[grey == 0].any()
    for name in SPLITS:  # scores are of the pixels that are drawn once
        assert torch.equal(data.split(name).x, Digits(binarise=True).split(name).x)
    with pytest.raises(SettingError, match="set num_workers to 0"):
        Digits(binarise="every_epoch", num_workers=1)


def test_binary_pixels_of_a_split_do_not_depend_on_another():
    whole = Digits(binarise=True)
    for fewer in ({"leave_out": 3}, {"labels_per_class": 5}):
        for name in ("val", "test") if "labels_per_class" in fewer else ("test",):
            assert torch.equal(Digits(binarise=True, **fewer).split(name).x, whole.split(name).x)
    assert not torch.equal(Digits(binarise=True, split_seed=1).split("test").x, whole.split("test").x)


def test_values_that_are_no_bytes_are_not_binarised():
    with pytest.raises(SettingError, match=r"--data\.binarise is for images of bytes"):
        OneHot(binarise=True).split("train")
