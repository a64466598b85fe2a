"""Data sets read from files: Frey faces, CIFAR-10, genes, arrays and folders. Every file is written here."""

import hashlib
import io
import os
import pickle
import tarfile
import tracemalloc
from pathlib import Path
from types import SimpleNamespace

import h5py
import numpy as np
import pandas
import pytest
import torch
import torchvision
from PIL import Image
from scipy.io import savemat
from scipy.sparse import csr_matrix

from lit_ae.data import ArrayDataset, BaseDataModule, download, hdf5, numpy_files
from lit_ae.data.array import Array
from lit_ae.data.cifar10 import CIFAR10
from lit_ae.data.containers import SPLITS
from lit_ae.data.frey_faces import FreyFaces
from lit_ae.data.genes import Genes, most_variable
from lit_ae.errors import SettingError


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("LIT_AE_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("LIT_AE_DATA", raising=False)
    return tmp_path / "cache"


def whole(data: BaseDataModule) -> tuple[torch.Tensor, torch.Tensor]:
    parts = [data.split(name) for name in SPLITS]
    return torch.cat([part.x for part in parts]), torch.cat([part.y for part in parts])


def check_batches(data: BaseDataModule) -> None:
    """Loaders give every sample of the split once, in the stated shape."""
    for name, loader in zip(
        SPLITS, (data.train_dataloader(), data.val_dataloader(), data.test_dataloader()), strict=True
    ):
        batches = list(loader)
        x = torch.cat([batch.x for batch in batches])
        assert x.shape == (len(data.split(name)), *data.input_shape)
        key = lambda images: sorted(image.numpy().tobytes() for image in images)  # noqa: E731
        assert key(x) == key(data.split(name).x)
        assert data.on_after_batch_transfer(batches[0], 0).x.dtype == torch.float32


# -- Frey faces --------------------------------------------------------------------------------------------------


def frey(folder: Path, frames: int = 400) -> np.ndarray:
    """Frame i has the value i // 2 in its first pixel and i in the second, mod 256."""
    pixels = np.random.default_rng(0).integers(0, 256, (frames, 560), dtype=np.uint8)
    pixels[:, 0], pixels[:, 1] = np.arange(frames) // 2, np.arange(frames) % 256
    folder.mkdir(parents=True, exist_ok=True)
    savemat(folder / "frey_rawface.mat", {"ff": pixels.T})
    return pixels


def frames_of(part: ArrayDataset) -> torch.Tensor:
    first, second = part.x[:, 0, 0, 0].int(), part.x[:, 0, 0, 1].int()
    return torch.where(2 * first >= 256, second + 256, second)


@pytest.mark.parametrize("below", ["frey", "."])
def test_frey_faces_keep_blocks_together(tmp_path: Path, below: str) -> None:
    pixels = frey(tmp_path / below)
    data = FreyFaces(root=tmp_path, block=20)
    assert [len(data.split(name)) for name in SPLITS] == [320, 40, 40]
    frames = {name: frames_of(data.split(name)) for name in SPLITS}
    assert sorted(torch.cat(list(frames.values())).tolist()) == list(range(400))
    for name in SPLITS:
        blocks = frames[name].sort().values.view(-1, 20)
        assert torch.equal(blocks, blocks[:, :1] + torch.arange(20))  # whole
        assert not torch.equal(blocks.flatten(), frames[name]), "the frames of a split are shuffled"
        assert (blocks[:, 0] % 20 == 0).all()
        expected = torch.from_numpy(pixels).view(-1, 1, 28, 20)[frames[name].long()]
        assert torch.equal(data.split(name).x, expected)
        assert (data.split(name).y == -1).all()
    check_batches(data)
    other = FreyFaces(root=tmp_path, block=20, split_seed=1)
    assert not torch.equal(frames_of(other.split("test")), frames["test"])


def test_frey_faces_by_frame_have_neighbours_on_both_sides(tmp_path: Path) -> None:
    frey(tmp_path)

    def neighbours(data: FreyFaces) -> float:
        train = set(frames_of(data.split("train")).tolist())
        return np.mean([bool({i - 1, i + 1} & train) for i in frames_of(data.split("test")).tolist()])

    naive = FreyFaces(root=tmp_path, split_by="frames")
    assert [len(naive.split(name)) for name in SPLITS] == [320, 40, 40]
    assert neighbours(naive) > 0.9
    assert neighbours(FreyFaces(root=tmp_path, block=20)) <= 0.1


def test_frey_faces_that_cannot_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LIT_AE_DATA", str(tmp_path))
    with pytest.raises(SettingError) as caught:
        FreyFaces().split("train")
    for part in ("frey_rawface.mat", str(tmp_path / "frey"), "--data.root", "LIT_AE_DATA", "not downloaded"):
        assert part in str(caught.value)
    assert "\n" not in str(caught.value)
    frey(tmp_path, frames=40)
    with pytest.raises(SettingError, match=r"--data\.block is 50"):
        FreyFaces().split("train")
    with pytest.raises(SettingError, match=r"--data\.block is 0"):
        FreyFaces(block=0)
    for content in ({"gg": np.zeros((560, 3))}, {"ff": np.zeros((559, 3), np.uint8)}, {"ff": np.zeros((560, 30))}):
        savemat(tmp_path / "frey_rawface.mat", content)
        with pytest.raises(SettingError, match=r"frey_rawface\.mat holds .*put the original"):
            FreyFaces().split("train")
    (tmp_path / "frey_rawface.mat").write_bytes(b"nothing of the kind")
    with pytest.raises(SettingError, match="put the original"):
        FreyFaces().split("train")


# -- CIFAR-10 ----------------------------------------------------------------------------------------------------


def md5(content: bytes) -> str:
    return hashlib.md5(content).hexdigest()


@pytest.fixture
def cifar(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> SimpleNamespace:
    """A small archive whose checksums torchvision is made to expect: 5 x 8 + 10 images (`param`); no network."""

    def no_network(*args: object, **kwargs: object) -> None:
        raise OSError("no network here")

    monkeypatch.setattr(download, "urlopen", no_network)
    rng, source = np.random.default_rng(0), torchvision.datasets.CIFAR10
    files = {}
    for name, _ in source.train_list + source.test_list:
        n = getattr(request, "param", 10) if name == "test_batch" else 8
        labels = [int(label) for label in rng.integers(0, 10, n)]
        files[name] = pickle.dumps({"data": rng.integers(0, 256, (n, 3072), dtype=np.uint8), "labels": labels}, 2)
    meta = pickle.dumps({"label_names": list("abcdefghij")}, 2)
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as archive:
        for name, content in (files | {"batches.meta": meta}).items():
            member = tarfile.TarInfo(f"cifar-10-batches-py/{name}")
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    for attribute in ("train_list", "test_list"):
        listed = [[name, md5(files[name])] for name, _ in getattr(source, attribute)]
        monkeypatch.setattr(source, attribute, listed)
    monkeypatch.setattr(source, "meta", {**source.meta, "md5": md5(meta)})
    monkeypatch.setattr(source, "tgz_md5", md5(packed.getvalue()))
    return SimpleNamespace(path=tmp_path / "cifar-10-python.tar.gz", content=packed.getvalue(), root=tmp_path)


@pytest.mark.parametrize("unpacked", [False, True])
def test_cifar10_is_what_torchvision_reads(cifar: SimpleNamespace, unpacked: bool) -> None:
    cifar.path.write_bytes(cifar.content)
    if unpacked:
        with tarfile.open(cifar.path) as archive:
            archive.extractall(cifar.root, filter="data")
        cifar.path.unlink()
    before = sorted(cifar.root.rglob("*"))
    data = CIFAR10(root=cifar.root)
    assert [len(data.split(name)) for name in SPLITS] == [36, 4, 10]
    check_batches(data)
    assert sorted(cifar.root.rglob("*")) == before

    cifar.path.write_bytes(cifar.content)
    torchvision.datasets.CIFAR10(cifar.root, download=True)  # unpacks; the reference
    train, test = (torchvision.datasets.CIFAR10(cifar.root, train=flag) for flag in (True, False))
    assert np.array_equal(data.split("test").x.permute(0, 2, 3, 1).numpy(), test.data)
    assert data.split("test").y.tolist() == test.targets
    labels = {image.tobytes(): y for image, y in zip(train.data, train.targets, strict=True)}
    for name in ("train", "val"):
        for x, y in zip(*data.split(name).__getitems__(range(len(data.split(name)))), strict=True):
            assert labels.pop(x.permute(1, 2, 0).numpy().tobytes()) == int(y)
    assert not labels


def test_cifar10_missing_or_spoilt(cifar: SimpleNamespace) -> None:
    with pytest.raises(SettingError) as caught:
        CIFAR10(root=cifar.root).split("train")
    for part in ("cifar-10-python.tar.gz", str(cifar.root), "no network here", "--data.root", "LIT_AE_DATA"):
        assert part in str(caught.value)
    cifar.path.write_bytes(cifar.content[:-1] + b"?")
    with pytest.raises(SettingError, match=r"cifar-10-python\.tar\.gz has a wrong checksum"):
        CIFAR10(root=cifar.root).split("train")
    cifar.path.write_bytes(cifar.content)
    with tarfile.open(cifar.path) as archive:
        archive.extractall(cifar.root, filter="data")
    spoilt = cifar.root / "cifar-10-batches-py" / "data_batch_3"
    spoilt.write_bytes(b"cos\nsystem\n(S'false'\ntR.")
    with pytest.raises(SettingError, match="data_batch_3 has a wrong checksum"):
        CIFAR10(root=cifar.root).split("train")
    spoilt.unlink()
    assert len(CIFAR10(root=cifar.root).split("test")) == 10  # from the archive


# -- genes -------------------------------------------------------------------------------------------------------

CELLS, GENES = 60, 40


def counts(cells: int = CELLS, n: int = GENES) -> np.ndarray:
    rng = np.random.default_rng(0)
    made = rng.poisson(rng.gamma(0.5, 2, n), (cells, n))
    made[3] = 0  # a cell without counts
    return made


def dense(path: Path, values: np.ndarray, y: np.ndarray | None = None, **options: object) -> Path:
    with h5py.File(path, "w") as file:
        file.create_dataset("X", data=values, **options)
        if y is not None:
            file["Y"] = y
    return path


def h5ad(path: Path, values: np.ndarray) -> Path:
    """As AnnData writes it: X normalised, counts as a CSR layer, a categorical label with one missing."""
    matrix = csr_matrix(values)
    with h5py.File(path, "w") as file:
        file["X"] = values - 1.5
        layer = file.create_group("layers/counts")
        layer.attrs["encoding-type"], layer.attrs["shape"] = "csr_matrix", values.shape
        for key in ("data", "indices", "indptr"):
            layer[key] = getattr(matrix, key)
        kinds = file.create_group("obs/cell_type")
        codes = np.arange(len(values), dtype=np.int8) % 3
        codes[0] = -1
        kinds["codes"], kinds["categories"] = codes, np.array([b"B", b"NK", b"T"])
        columns = file.create_group("layers/columns")
        columns.attrs["encoding-type"], columns.attrs["shape"] = "csc_matrix", values.shape
    return path


def expected(values: np.ndarray, data: Genes, kept: np.ndarray) -> np.ndarray:
    """The expected values, computed for all cells at once, with the median total of the training cells."""
    order = data._order()
    totals = values.sum(1)
    train = totals[order[: len(data.split("train"))]]
    median = np.median(train[train > 0])
    return np.log1p(values / np.maximum(totals, 1)[:, None] * median)[order][:, kept]


@pytest.mark.parametrize("block", [1, 8 * GENES * 7, 10**6])
@pytest.mark.parametrize("layout", ["dense", "gzip", "csr"])
def test_genes_are_normalised_whatever_the_layout_and_blocks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, layout: str, block: int
) -> None:
    monkeypatch.setattr(hdf5, "BLOCK", block)
    values = counts()
    if layout == "csr":
        path = h5ad(tmp_path / "genes.h5ad", values)
        data = Genes(path, matrix="layers/counts", labels="obs/cell_type", n_genes=None)
        codes = np.where(np.arange(CELLS) == 0, -1, np.arange(CELLS) % 3)
        assert data.num_classes == 3
    else:
        options = {"compression": "gzip", "chunks": (CELLS, GENES)} if layout == "gzip" else {}
        path = dense(tmp_path / "genes.h5", values, 10.0 * (np.arange(CELLS) % 4), **options)
        data = Genes(path, n_genes=None)
        codes = np.arange(CELLS) % 4
        assert data.num_classes == 4
    assert data.input_shape == (GENES,)
    assert [len(data.split(name)) for name in SPLITS] == [48, 6, 6]
    x, y = whole(data)
    assert x.dtype == torch.float32
    np.testing.assert_allclose(x.numpy(), expected(values, data, np.arange(GENES)), rtol=1e-5, atol=1e-7)
    assert y.tolist() == codes[data._order()].tolist()
    check_batches(data)
    values_of_train = data.split("train").x.double()
    assert data.pixel_mean == pytest.approx(values_of_train.mean().item())
    assert data.pixel_std == pytest.approx(values_of_train.std(correction=0).item())


def test_genes_keep_the_most_variable_of_the_training_cells(tmp_path: Path) -> None:
    values = counts()
    path = dense(tmp_path / "genes.h5", values)
    data = Genes(path, n_genes=5)
    assert data.input_shape == (5,)
    assert data.num_classes == 0
    x, y = whole(data)
    assert (y == -1).all()
    whole_x = expected(values, data, np.arange(GENES))
    kept = [int(np.flatnonzero(np.isclose(whole_x, column[:, None], atol=1e-6).all(0))[0]) for column in x.numpy().T]
    assert kept == sorted(kept)
    train = data._order()[:48]
    shares = values[train] / np.maximum(values[train].sum(1), 1)[:, None]
    totals = values[train].sum(1)
    normalised = shares * np.median(totals[totals > 0])
    assert kept == most_variable(normalised.mean(0), normalised.var(0, ddof=1), 5).tolist()
    assert data.feature_names == ()
    with h5py.File(path, "a") as file:
        file["genes"] = np.array([f"gene {i}" for i in range(GENES)], dtype="S")
    assert Genes(path, n_genes=5).feature_names == tuple(f"gene {i}" for i in kept)


def test_genes_are_named_as_in_an_anndata_file(tmp_path: Path) -> None:
    path = h5ad(tmp_path / "genes.h5ad", counts())
    with h5py.File(path, "a") as file:
        names = file.create_group("var")
        names.attrs["_index"], names["symbol"] = "symbol", np.array([f"G{i}" for i in range(GENES)], dtype="S")
    data = Genes(path, matrix="layers/counts", n_genes=None)
    assert data.feature_names == tuple(f"G{i}" for i in range(GENES))


def test_most_variable_by_hand() -> None:
    mean = np.array([0.0, 1, 1, 1, 9, 9, 9, 4])
    variance = np.array([0.0, 1, 1, 8, 9, 90, 9, 4])
    # two bins of three genes: the odd one out has score (2 / 3) √3 log 8 / log 8; a gene alone in its bin has 1
    assert most_variable(mean, variance, 2).tolist() == [3, 5]
    assert most_variable(mean, variance, 3).tolist() == [3, 5, 7]
    assert most_variable(mean, variance, 8).tolist() == list(range(8))
    assert 0 not in most_variable(mean, variance, 7)
    assert most_variable(np.zeros(3), np.zeros(3), 2).tolist() == [0, 1]


def test_genes_are_prepared_once_for_the_same_file_and_settings(
    tmp_path: Path, own_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = dense(tmp_path / "genes.h5", counts())
    first = Genes(path, n_genes=5)
    digest = first.digest()
    with monkeypatch.context() as patch:
        patch.setattr(Genes, "_write", None)  # a second preparation would fail
        assert Genes(path, n_genes=5).digest() == digest
    assert Genes(path, n_genes=5, split_seed=1).digest() != digest
    assert len(list((own_cache / "genes").glob("*.f32"))) == 2
    dense(path, counts() + 1)
    os.utime(path, ns=(1, 1))
    assert Genes(path, n_genes=5).digest() != digest
    assert not list((own_cache / "genes").glob("*.part"))
    limited = Genes(path, n_genes=5, limit=4)
    assert torch.equal(limited.split("test").x, Genes(path, n_genes=5).split("test").x[:4])


def test_a_matrix_of_genes_is_never_held_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Prepared, hashed and trained on for an epoch with an eighth of the float32 matrix in memory at most."""
    cells, n = 4096, 512
    monkeypatch.setattr(hdf5, "BLOCK", 2**18)
    values = np.random.default_rng(0).poisson(0.1, (cells, n)).astype(np.int32)
    path = dense(tmp_path / "genes.h5", values, chunks=(16, n))
    del values
    Genes(path, n_genes=None, split_seed=9).split("val")  # imports, which are not the data's
    tracemalloc.start()
    try:
        data = Genes(path, n_genes=None)
        data.digest()
        rows = sum(len(batch.x) for batch in data.train_dataloader())
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert rows == len(data.split("train"))
    assert data.split("train").x.shape == (rows, n)
    assert peak < cells * n * 4 / 8
    first = data.split("train").x[0]
    with data.cached.open("r+b") as file:
        file.write(np.float32(123).tobytes())
    assert first[0] == 123  # it is the file that is read


def test_genes_that_cannot_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LIT_AE_DATA", str(tmp_path / "data"))
    with pytest.raises(SettingError) as caught:
        Genes("none.h5")
    for part in ("none.h5", str(tmp_path / "data"), "--data.path", "--data.root", "LIT_AE_DATA"):
        assert part in str(caught.value)
    (tmp_path / "data" / "genes").mkdir(parents=True)
    path = h5ad(tmp_path / "data" / "genes" / "some.h5ad", counts())
    assert Genes("some.h5ad", matrix="layers/counts").path == path
    with pytest.raises(SettingError, match=r"'raw/X': set --data\.matrix to one of .*layers/counts"):
        Genes(path, matrix="raw/X")
    with pytest.raises(SettingError, match="neither dense nor CSR"):
        Genes(path, matrix="layers/columns")
    with pytest.raises(SettingError, match=r"no labels 'obs/type': set --data\.labels .*obs/cell_type"):
        Genes(path, matrix="layers/counts", labels="obs/type")
    with pytest.raises(SettingError, match=r"60 samples but labels of shape \[3\]"):
        Genes(path, matrix="layers/counts", labels="obs/cell_type/categories")
    with pytest.raises(SettingError, match="neither dense nor CSR"):
        Genes(path, matrix="obs")
    with pytest.raises(SettingError, match=r"has no matrix 'X/counts': set --data\.matrix"):
        Genes(path, matrix="X/counts")
    with pytest.raises(SettingError, match=r"--data\.n_genes is 0"):
        Genes(path, n_genes=0)
    with pytest.raises(SettingError, match="leave a split empty"):
        Genes(path, matrix="layers/counts", val_share=0.95)
    (tmp_path / "text.h5").write_text("cells and genes")
    with pytest.raises(SettingError, match="is not an HDF5 file"):
        Genes(tmp_path / "text.h5")
    (tmp_path / "file").write_text("where the folder should be")
    monkeypatch.setenv("LIT_AE_CACHE", str(tmp_path / "file"))
    with pytest.raises(SettingError, match="LIT_AE_CACHE"):
        Genes(path, matrix="layers/counts").prepare_data()


def csr(path: Path, values: np.ndarray) -> Path:
    with h5py.File(path, "w") as file:
        group, matrix = file.create_group("X"), csr_matrix(values)
        group.attrs["encoding-type"], group.attrs["shape"] = "csr_matrix", values.shape
        for key in ("data", "indices", "indptr"):
            group[key] = getattr(matrix, key)
    return path


@pytest.mark.parametrize("write", [dense, csr])
@pytest.mark.parametrize(
    ("value", "words"),
    [
        (-1.0, r"holds -1 at index \[17, 5\], which is no count"),
        (0.25, r"holds 0\.25 at index \[17, 5\], which is no count"),
        (np.nan, r"holds nan at index \[17, 5\]: replace it"),
        (np.inf, r"holds inf at index \[17, 5\]: replace it"),
    ],
)
def test_values_that_are_no_counts_are_noticed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, write: object, value: float, words: str
) -> None:
    monkeypatch.setattr(hdf5, "BLOCK", 8 * GENES * 7)
    values = counts().astype(float)
    values[17, 5] = value
    values[20, 3] = 0.5 if np.isfinite(value) else value
    data = Genes(write(tmp_path / "genes.h5", values))
    with pytest.raises(SettingError, match=words) as caught:
        data.split("train")
    assert "\n" not in str(caught.value)
    if np.isfinite(value):
        for part in ("--data.matrix", "--data.normalise=false", "of which this file has none", "round expected counts"):
            assert part in str(caught.value)
    else:
        with pytest.raises(SettingError, match=words):
            Genes(data.path, normalise=False).split("train")


def test_the_raw_counts_of_a_file_are_pointed_out(tmp_path: Path) -> None:
    path = h5ad(tmp_path / "some.h5ad", counts())
    with pytest.raises(SettingError, match="here may be: layers/counts"):
        Genes(path).split("train")


@pytest.mark.parametrize("write", [dense, csr])
def test_normalised_values_are_taken_as_they_are(tmp_path: Path, write: object) -> None:
    """Log-normalised and scaled values, also negative ones, unchanged; the genes of largest variance are kept."""
    values = np.random.default_rng(0).standard_normal((CELLS, GENES)) * np.arange(1, GENES + 1)
    values[::2] *= values[::2] > 0  # zeros, too
    path = write(tmp_path / "genes.h5", values)
    data = Genes(path, n_genes=None, normalise=False)
    np.testing.assert_array_equal(whole(data)[0].numpy(), values[data._order()].astype(np.float32))
    some = Genes(path, n_genes=5, normalise=False)
    variance = values[some._order()[:48]].var(0)
    kept = np.sort(np.argsort(-variance)[:5])
    np.testing.assert_array_equal(whole(some)[0].numpy(), values[some._order()][:, kept].astype(np.float32))


def test_labels_in_every_form_of_anndata(tmp_path: Path) -> None:
    kinds = ["T", "B", None, "T"] * 15
    codes = np.array([{"B": 0, "T": 2, None: -1}[kind] for kind in kinds], np.int8)
    names, text = np.array([b"B", b"unused", b"T"]), h5py.string_dtype()
    with h5py.File(dense(tmp_path / "genes.h5ad", counts()), "a") as file:
        for name in ("categories", "masked", "missing", "numbers", "broken"):
            file[f"obs/{name}/codes"] = codes if name != "missing" else np.full(CELLS, -1, np.int8)
        file["obs/categories/categories"], file["obs/broken/categories"] = names, names[:1]
        file["obs/masked/categories/values"], file["obs/masked/categories/mask"] = names, [False, False, False]
        file.create_dataset("obs/missing/categories", (0,), text)
        file["obs/numbers/categories"] = [10, 3, 7]
        file["obs/old"], file["obs/__categories/old"] = codes, names  # before 0.8
        file["obs/old"].attrs["categories"] = file["obs/__categories/old"].ref
        file["obs/texts"] = [kind or "nan" for kind in kinds]
        file["obs/nullable/values"], file["obs/nullable/mask"] = [kind or "" for kind in kinds], codes < 0
        file["obs/whole/values"], file["obs/whole/mask"] = codes * 5, codes < 0
    plain = [{"T": 1, "B": 0, None: -1}[kind] for kind in kinds]
    for name, expected_names in (
        *((name, ("B", "T")) for name in ("categories", "masked", "old", "texts", "nullable")),
        ("whole", ("0", "10")),
    ):
        data = Genes(tmp_path / "genes.h5ad", labels=f"obs/{name}")
        assert data._y.tolist() == plain, name
        assert data.class_names == expected_names
    assert Genes(tmp_path / "genes.h5ad", labels="obs/numbers").class_names == ("7", "10")
    none = Genes(tmp_path / "genes.h5ad", labels="obs/missing")
    assert (none.num_classes, none._y.max()) == (0, -1)
    with h5py.File(tmp_path / "genes.h5ad", "a") as file:
        file["y"] = np.arange(CELLS) % 2
    assert Genes(tmp_path / "genes.h5ad").num_classes == 2
    for name in ("obs", "obs/old/codes", "obs/broken", "X/labels"):
        with pytest.raises(SettingError, match=f"has no labels '{name}': set --data.labels to one of"):
            Genes(tmp_path / "genes.h5ad", labels=name)


@pytest.mark.parametrize(
    ("values", "words"),
    [
        (np.full((9, 3), "a", "S1"), "9 cells of 3 genes of type |S1: set --data.matrix"),
        (np.zeros((9, 0)), "9 cells of 0 genes"),
        (np.zeros((0, 9)), "0 cells of 9 genes"),
        (np.zeros((9, 3), complex), "type complex128"),
    ],
)
def test_a_matrix_without_numbers_is_refused(tmp_path: Path, values: np.ndarray, words: str) -> None:
    with pytest.raises(SettingError, match=words.replace("|", r"\|")):
        Genes(dense(tmp_path / "genes.h5", values))


# -- arrays ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("shape", "input_shape"),
    [
        ((30, 6, 5), (1, 6, 5)),
        ((30, 6, 5, 3), (3, 6, 5)),
        ((30, 3, 6, 5), (3, 6, 5)),
        ((30, 6, 5, 1), (1, 6, 5)),
        ((30, 1, 6, 5), (1, 6, 5)),
        ((30, 9), (9,)),
    ],
)
@pytest.mark.parametrize("dtype", [np.uint8, np.float64, np.bool_])
def test_arrays(tmp_path: Path, shape: tuple[int, ...], input_shape: tuple[int, ...], dtype: type) -> None:
    x = np.random.default_rng(0).random(shape)
    x = (x * 255).astype(np.uint8) if dtype is np.uint8 else (x > 0.5) if dtype is np.bool_ else x
    np.save(tmp_path / "x.npy", x)
    data = Array(tmp_path / "x.npy", batch_size=4)
    assert data.input_shape == input_shape
    assert data.num_classes == 0
    assert [len(data.split(name)) for name in SPLITS] == [24, 3, 3]
    check_batches(data)
    images = {np.ascontiguousarray(image).tobytes() for image in whole(data)[0].numpy()}
    if len(shape) == 4 and shape[1] not in (1, 3):
        x = x.transpose(0, 3, 1, 2)
    x = x.astype(np.uint8) * np.uint8(255) if dtype is np.bool_ else x.astype(np.float32) if dtype is np.float64 else x
    assert images == {np.ascontiguousarray(image).tobytes() for image in x}


def test_npz_labels_follow_their_samples(tmp_path: Path) -> None:
    x = np.arange(40.0).reshape(20, 2)
    np.savez(tmp_path / "xy.npz", x=x, y=np.array(["b", "a", "c", "a"] * 5))
    data = Array(tmp_path / "xy.npz", val_share=0.2, test_share=0.3)
    assert data.num_classes == 3
    assert [len(data.split(name)) for name in SPLITS] == [10, 4, 6]
    samples, y = whole(data)
    assert y.tolist() == [[1, 0, 2, 0][int(first) // 2 % 4] for first in samples[:, 0]]


def test_names_may_be_capitals_and_unlabelled_samples_have_no_class(tmp_path: Path) -> None:
    x = np.arange(40.0).reshape(20, 2)
    np.savez(tmp_path / "xy.npz", X=x, Y=np.array([3, -1, 7, -1] * 5))
    data = Array(tmp_path / "xy.npz")
    assert (data.num_classes, data.class_names) == (2, ("3", "7"))
    less = Array(tmp_path / "xy.npz", leave_out=7)
    assert sorted(less.split("train").y.unique().tolist()) == [-1, 0], (
        "7 is the label in the file, and the second class"
    )
    assert less.left_out == 1
    with pytest.raises(SettingError, match=r"leave_out is 1, which is no class of the data \(3, 7\)"):
        Array(tmp_path / "xy.npz", leave_out=1).split("train")
    samples, y = whole(data)
    assert y.tolist() == [[0, -1, 1, -1][int(first) // 2 % 4] for first in samples[:, 0]]
    np.savez(tmp_path / "none.npz", x=x, y=np.full(20, np.nan))
    assert Array(tmp_path / "none.npz").num_classes == 0


def test_layout_may_be_told(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", np.random.default_rng(0).random((30, 3, 5, 3)))
    assert Array(tmp_path / "x.npy", layout="channels_first").input_shape == (3, 5, 3)
    assert Array(tmp_path / "x.npy", layout="channels_last").input_shape == (3, 3, 5)


def test_whole_numbers_of_vectors_are_kept(tmp_path: Path) -> None:
    x = np.arange(-50, 50).reshape(20, 5)
    np.save(tmp_path / "x.npy", x)
    assert sorted(whole(Array(tmp_path / "x.npy"))[0].flatten().tolist()) == list(range(-50, 50))


def test_table_with_labels(tmp_path: Path) -> None:
    rows = [f"{i},{i / 2},{'' if i % 4 == 1 else 'ab'[i % 2]}" for i in range(20)]
    (tmp_path / "table.csv").write_text("\n".join(["first,second,label", *rows]))
    data = Array(tmp_path / "table.csv")
    assert (data.input_shape, data.class_names) == ((2,), ("a", "b"))
    x, y = whole(data)
    assert {(float(a), float(b)): int(label) for (a, b), label in zip(x, y, strict=True)} == {
        (i, i / 2): -1 if i % 4 == 1 else i % 2 for i in range(20)
    }
    with pytest.raises(SettingError, match="columns 'label' hold no numbers"):
        Array(tmp_path / "table.csv", labels="first")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("y,a,b,y", "several columns called 'y'"),  # pandas calls the second y.1, which would be a feature
        ("a, a ,b,y", "several columns called 'a'"),
    ],
)
def test_columns_of_one_name_are_refused(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "table.csv").write_text("\n".join([text, *(f"{i},{i / 2},{i / 3},{i % 2}" for i in range(20))]))
    with pytest.raises(SettingError, match=message):
        Array(tmp_path / "table.csv")


def test_an_index_of_parquet_is_not_lost(tmp_path: Path) -> None:
    frame = pandas.DataFrame({"a": np.arange(20.0), "id": np.arange(20), "y": np.arange(20) % 2, "age": np.arange(20)})
    path = tmp_path / "table.parquet"
    frame[["a", "id", "y"]].set_index(["id", "y"]).to_parquet(path)
    assert Array(path).num_classes == 2
    frame[["a", "y"]].rename(columns={"y": "kind"}).set_index("kind").to_parquet(path)
    assert Array(path, labels="kind").num_classes == 2
    frame[["a", "age"]].set_index("age").to_parquet(path)
    with pytest.raises(SettingError, match=r"'age' is in the index: make it a column \(reset_index\)"):
        Array(path)


@pytest.mark.parametrize("ending", ["csv", "npy"])
def test_differences_that_float32_would_lose_are_refused(tmp_path: Path, ending: str) -> None:
    """Unix seconds within a minute are all the same number in float32."""
    seconds = 1_700_000_000 + np.arange(60)
    path = tmp_path / f"x.{ending}"
    x = np.stack([np.arange(60), seconds], 1)
    write = {
        "csv": lambda: path.write_text("\n".join(["a,time", *(f"{a},{b}" for a, b in x)])),
        "npy": lambda: np.save(path, x),
    }
    write[ending]()
    with pytest.raises(SettingError, match=r"(column 'time'|feature 1) has values too far from 0"):
        Array(path)
    x[:, 1] = 1990 + np.arange(60)
    write[ending]()
    assert sorted(whole(Array(path))[0][:, 1].tolist()) == list(range(1990, 2050))


@pytest.mark.parametrize(
    ("name", "settings_", "message"),
    [
        ("x.npy", {"size": (4, 4)}, r"--data\.size has no meaning for a \.npy file"),
        ("x.npy", {"grey": True}, r"--data\.grey has no meaning for a \.npy file"),
        ("x.npy", {"labels": "y"}, r"--data\.labels has no meaning for a \.npy file"),
        ("x.npz", {"labels": "kinds"}, r"--data\.labels is 'kinds', and .* has the arrays \['species', 'x'\]"),
        ("x.csv", {"layout": "channels_last"}, r"--data\.layout has no meaning for a \.csv file"),
        ("folder", {"labels": "y"}, r"--data\.labels has no meaning for a folder"),
    ],
)
def test_settings_of_another_kind_of_file_are_refused(tmp_path: Path, name: str, settings_: dict, message: str) -> None:
    x = np.random.default_rng(0).random((20, 3))
    np.save(tmp_path / "x.npy", x)
    np.savez(tmp_path / "x.npz", x=x, species=np.arange(20) % 2)
    (tmp_path / "x.csv").write_text("\n".join(["a,b", *(f"{i},{i / 2}" for i in range(20))]))
    images(tmp_path / "folder" / "cat")
    with pytest.raises(SettingError, match=message):
        Array(tmp_path / name, **settings_)
    assert Array(tmp_path / "x.npz", labels="species").num_classes == 2


def test_a_file_that_is_just_mapped_is_converted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With its header the file is above the limit, and its values are not."""
    x = np.arange(20 * 64).reshape(20, 8, 8) % 2 == 0
    np.save(tmp_path / "x.npy", x)
    monkeypatch.setattr(numpy_files, "IN_MEMORY", x.nbytes)
    samples = Array(tmp_path / "x.npy").split("train").x[:]
    assert samples.dtype == torch.uint8
    assert samples.unique().tolist() == [0, 255]


def test_everything_is_binarised_and_in_the_order_of_the_file(tmp_path: Path) -> None:
    x = np.tile(np.arange(20, dtype=np.uint8)[:, None, None] * 12, (1, 5, 5))
    np.save(tmp_path / "x.npy", x)
    found = Array(tmp_path / "x.npy", binarise=True).everything().x
    assert set(found.unique().tolist()) == {0, 255}
    assert (found[0] == 0).all()
    path = dense(tmp_path / "genes.h5", counts(), 10.0 * (np.arange(CELLS) % 4))
    genes = Genes(path, n_genes=None)
    samples, y = whole(genes)
    cells = genes.everything()
    assert cells.y.tolist() == (np.arange(CELLS) % 4).tolist()
    assert torch.equal(cells.x[:][torch.from_numpy(genes._order())], samples)
    assert torch.equal(cells.y[torch.from_numpy(genes._order())], y)


def images(folder: Path, n: int = 5, size: tuple[int, int] = (4, 6)) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for i in range(n):
        Image.new("RGB", size, (10 * i + 1, len(folder.name), 200)).save(folder / f"{i}.png")


def test_folder_of_images_with_subfolders_as_labels(tmp_path: Path) -> None:
    for name in ("cat", "horse"):
        images(tmp_path / name)
    (tmp_path / "cat" / "notes.txt").write_text("no image")
    (tmp_path / "empty").mkdir()
    data = Array(tmp_path)
    assert (data.input_shape, data.num_classes, data.class_names) == ((3, 6, 4), 2, ("cat", "horse"))
    x, y = whole(data)
    assert len(x) == 10
    assert y.tolist() == [int(green == 5) for green in x[:, 1, 0, 0]]
    assert sorted(set(x[:, 0, 0, 0].tolist())) == [1, 11, 21, 31, 41]
    check_batches(data)
    assert Array(tmp_path, grey=True).input_shape == (1, 6, 4)
    assert Array(tmp_path, size=(8, 3)).input_shape == (3, 8, 3)
    flat = Array(tmp_path / "cat", val_share=0.2, test_share=0.2)
    assert flat.num_classes == 0
    assert (whole(flat)[1] == -1).all()


def test_splits_in_folders_are_no_classes(tmp_path: Path) -> None:
    for split in ("train", "test"):
        for name in ("cat", "dog"):
            images(tmp_path / split / name)
    with pytest.raises(SettingError, match="subfolders test, train, which are no classes: give one of them"):
        Array(tmp_path)
    for split in ("flat/Train", "flat/val"):
        images(tmp_path / split)
    with pytest.raises(SettingError, match="subfolders Train, val, which are no classes"):
        Array(tmp_path / "flat")
    images(tmp_path / "flat" / "unlabeled")
    with pytest.raises(SettingError, match="subfolders Train, val, which are no classes"):
        Array(tmp_path / "flat")
    assert Array(tmp_path / "train").class_names == ("cat", "dog")
    images(tmp_path / "train" / "dog" / "small")  # a folder in a class is part of the class
    assert Array(tmp_path / "train").class_names == ("cat", "dog")


def test_masks_of_0_and_1_are_not_read_as_black(tmp_path: Path) -> None:
    for i in range(5):
        Image.fromarray((np.arange(24).reshape(4, 6) % (i + 2) == 0).astype(np.uint8)).save(tmp_path / f"{i}.png")
    with pytest.raises(SettingError, match="holds images of bytes from 0 to 1, where 255 means white: multiply them"):
        Array(tmp_path)
    Image.fromarray(np.full((4, 6), 0.5, np.float32)).save(tmp_path / "5.tiff")  # and bytes beside floats
    with pytest.raises(SettingError, match="bytes from 0 to 1"):
        Array(tmp_path)
    Image.fromarray(np.full((4, 6), 2, np.uint8)).save(tmp_path / "6.png")  # a dark image
    assert len(whole(Array(tmp_path, val_share=0.2, test_share=0.2))[0]) == 7


def test_classes_one_level_too_deep_are_refused(tmp_path: Path) -> None:
    for name in ("cat", "dog"):
        images(tmp_path / "animals" / name)
    with pytest.raises(SettingError, match=r"the subfolder animals alone, .* such as cat: if .*, give .*animals$"):
        Array(tmp_path)
    assert Array(tmp_path / "animals").class_names == ("cat", "dog")
    images(tmp_path / "plants")
    assert Array(tmp_path).class_names == ("animals", "plants")


def test_class_folders_may_be_numbers(tmp_path: Path) -> None:
    for name in ("2", "10", "0"):
        images(tmp_path / name)
    data = Array(tmp_path, val_share=0.2, test_share=0.2)
    assert data.class_names == ("0", "2", "10")
    x, y = whole(data)
    assert sorted(y[x[:, 1, 0, 0] == 2].tolist()) == [2] * 5  # the folder with a name of two letters


def test_class_folders_may_be_called_like_missing_values(tmp_path: Path) -> None:
    for name in ("None", "crack", "-1"):
        images(tmp_path / name)
    data = Array(tmp_path, val_share=0.2, test_share=0.2)
    assert data.class_names == ("-1", "None", "crack")
    assert whole(data)[1].min() == 0


def test_folders_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(SettingError, match="holds no images"):
        Array(tmp_path)
    images(tmp_path / "cat")
    images(tmp_path / "dog", size=(5, 5))
    with pytest.raises(SettingError, match=r"5 x 5 pixels and .* 6 x 4: set --data\.size"):
        Array(tmp_path)
    assert Array(tmp_path, size=(5, 5)).num_classes == 2
    (tmp_path / "stray.png").write_bytes((tmp_path / "cat" / "0.png").read_bytes())
    with pytest.raises(SettingError, match=r"stray\.png lies beside subfolders"):
        Array(tmp_path, size=(5, 5))
    (tmp_path / "stray.png").write_bytes(b"no picture")
    with pytest.raises(SettingError, match=r"stray\.png is no image of a known kind"):
        Array(tmp_path, size=(5, 5))
    with pytest.raises(SettingError, match=r"--data\.size is \[0, 5\]"):
        Array(tmp_path, size=(0, 5))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"z": np.zeros((9, 2))}, r"no array `x` but \['z'\]"),
        ({"x": np.zeros(9)}, r"has shape \[9\]"),
        ({"x": np.zeros((9, 4, 4, 2))[..., None]}, "has shape"),
        ({"x": np.zeros((0, 4, 4))}, "has shape"),
        ({"x": np.zeros((9, 5, 5), np.int64)}, "int64: give bytes"),
        ({"x": np.zeros((9, 5), np.complex64)}, "complex64: give whole numbers or floats"),
        ({"x": np.full((9, 4), np.inf)}, r"36 values that are not finite, the first, infinity .* at index \[0, 0\]"),
        (
            {"x": np.where(np.arange(45).reshape(9, 5) == 7, np.nan, 0)},
            r"1 values .* the first, NaN, at index \[1, 2\]",
        ),
        ({"x": np.full((9, 5), 1e300)}, "beyond float32"),
        ({"x": np.zeros((9, 28, 28, 4))}, "no such axis has 1 or 3 channels; leave out the transparency"),
        ({"x": np.zeros((9, 2, 5, 7))}, "no such axis has 1 or 3 channels; give grey or RGB images"),
        ({"x": np.zeros((9, 3, 5, 3))}, "both axes could hold the channels; set --data.layout"),
        ({"x": np.zeros((28, 28, 3))}, "images 3 pixels wide: give images as"),
        ({"data": np.zeros((9, 2)), "labels": np.zeros(9)}, r"no array `x` but \['data', 'labels'\]"),
        ({"x": np.zeros((9, 2)), "labels": np.zeros(9)}, "no array `y` but 'labels': name the labels `y`"),
        ({"x": np.zeros((9, 2)), "Y_train": np.zeros(9)}, "no array `y` but 'Y_train': name the labels `y`"),
        ({"x": np.eye(9, dtype=np.uint8)}, "bytes from 0 to 1, where 255 means white"),
        ({"x": np.eye(9, dtype=np.uint8)[:, None, :]}, "bytes from 0 to 1, where 255 means white"),
        ({"x": np.full((9, 5, 6, 3), np.nan)}, r"the first, NaN, at index \[0, 0, 0, 0\]"),
        ({"x": np.where(np.arange(810).reshape(9, 5, 6, 3) == 7, np.inf, 0)}, r"infinity .* at index \[0, 0, 2, 1\]"),
        ({"x": np.zeros((9, 2), "M8[D]")}, "type datetime64.*: give whole numbers or floats"),
        ({"x": np.zeros((9, 2)), "y": np.eye(9)}, "give the index of the 1 in each row"),
        ({"x": np.zeros((9, 2)), "X": np.zeros((9, 2))}, "has the arrays x, X: keep one"),
        ({"x": np.zeros((9, 2)), "y": np.full(9, 0.5)}, "label 0.5, which is no class"),
        ({"x": np.full((9, 5, 5), 255.0)}, r"pixels from 255 to 255: scale them to \[0, 1\]"),
        ({"x": np.zeros((9, 4)), "y": np.zeros(8)}, r"labels of shape \[8\]"),
        ({"x": np.zeros((3, 4))}, "leave a split empty"),
        (
            {"x": np.zeros((9, 2)), "y": np.array([-1, 1] * 4 + [1])},
            "no other labels than -1, which means unlabelled, and",
        ),
        ({"x": np.zeros((9, 2)), "x_test": np.zeros((9, 2))}, "has the array 'x_test', which would be left out"),
        ({"x": 2**60 + np.arange(18).reshape(9, 2)}, "feature 0 has values too far from 0"),
        (
            {"x": np.arange(18).reshape(9, 2).astype(np.uint64) + np.uint64(2**63)},
            "feature 0 has values too far from 0",
        ),
        ({"x": np.arange(18, dtype=np.longdouble).reshape(9, 2) * 1e-3 + 2**50}, "feature 0 has values too far from 0"),
        ({"x": np.array([{}, {}])}, "cannot be read as .npy or .npz"),
    ],
)
def test_arrays_that_cannot_be_used(tmp_path: Path, content: dict[str, np.ndarray], message: str) -> None:
    path = tmp_path / "x.npz"
    np.savez(path, **content)
    with pytest.raises(SettingError, match=message):
        Array(path).split("train")


def test_other_arrays_of_a_file_are_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path, x = tmp_path / "x.npz", np.zeros((10, 2))
    np.savez(path, x=x, y=np.arange(10) % 2, groups=np.arange(10), sample_weight=np.ones(10))
    assert Array(path).num_classes == 2
    assert (
        capsys.readouterr().err == f"--data.path {path}: only samples and labels are used, not groups, sample_weight\n"
    )
    np.savez(path, X=x, kind=np.arange(10) % 2)
    assert Array(path, labels="kind").num_classes == 2
    assert capsys.readouterr().err == ""
    with pytest.raises(SettingError, match=r"has the arrays \['X', 'kind'\]: choose one of them, or leave it out"):
        Array(path, labels="q")


def test_large_whole_numbers_whose_differences_stay_are_taken(tmp_path: Path) -> None:
    for x in (np.linspace(-(2**62), 2**62, 20).astype(np.int64), np.full(20, 2**60 + 1), np.arange(20) + 2**20):
        np.save(tmp_path / "x.npy", x[:, None])
        assert Array(tmp_path / "x.npy").input_shape == (1,)


def test_files_that_are_no_array(tmp_path: Path) -> None:
    with pytest.raises(SettingError, match="does not exist"):
        Array(tmp_path / "x.npy")
    (tmp_path / "x.npy").write_bytes(b"")
    with pytest.raises(SettingError, match="cannot be read as"):
        Array(tmp_path / "x.npy")
    for content in (b"PK\x03\x04abc", b"\x93NUMPY"):
        (tmp_path / "x.npy").write_bytes(content)
        with pytest.raises(SettingError, match="cannot be read as"):
            Array(tmp_path / "x.npy")
    np.savez_compressed(tmp_path / "x.npz", x=np.random.default_rng(0).random((9, 9)))
    spoilt = bytearray((tmp_path / "x.npz").read_bytes())
    spoilt[150:160] = bytes(10)
    (tmp_path / "x.npz").write_bytes(spoilt)
    with pytest.raises(SettingError, match="cannot be read as"):
        Array(tmp_path / "x.npz")
    (tmp_path / "x.npy").write_bytes(pickle.dumps(print))
    with pytest.raises(SettingError, match="cannot be read as"):
        Array(tmp_path / "x.npy")
