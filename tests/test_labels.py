"""Labels of every kind: what means unlabelled is -1, classes are those that occur, everything else is refused."""

import numpy as np
import pandas as pd
import pytest

from lit_ae.data.labels import as_labels
from lit_ae.errors import SettingError


@pytest.mark.parametrize(
    ("values", "y", "names"),
    [
        ([0, 1, 1, 2], [0, 1, 1, 2], ("0", "1", "2")),
        ([7, 3, 3, 7], [1, 0, 0, 1], ("3", "7")),
        ([0, -1, 5, -1], [0, -1, 1, -1], ("0", "5")),
        (np.array([0, 255, 255, 1], np.uint8), [0, 2, 2, 1], ("0", "1", "255")),
        ([0.0, 2.0, np.nan, -1.0], [0, 1, -1, -1], ("0", "2")),
        ([True, False, True, True], [1, 0, 1, 1], ("False", "True")),
        (["cat", "dog", "", "cat"], [0, 1, -1, 0], ("cat", "dog")),
        ([b"cat", b"dog", b"", b"nan"], [0, 1, -1, -1], ("cat", "dog")),
        (np.array(["cat", None, float("nan"), "ant"], object), [1, -1, -1, 0], ("ant", "cat")),
        (np.array([1, 1.0, 2, None], object), [0, 0, 1, -1], ("1", "2")),
        (np.ma.array([4, 5, 6, 4], mask=[0, 1, 0, 0]), [0, -1, 1, 0], ("4", "6")),
        (np.ma.array([4, -9, 6, 4], mask=[0, 1, 0, 0]), [0, -1, 1, 0], ("4", "6")),
        (np.ma.array([4, np.inf, 0.5, 4], mask=[0, 1, 1, 0]), [0, -1, -1, 0], ("4",)),
        (np.ma.array(["a", "b", "c", "c"], mask=[0, 0, 0, 1]), [0, 1, 2, -1], ("a", "b", "c")),
        (["NA", "N/A", "None", "cat"], [-1, -1, -1, 0], ("cat",)),
        (["null", "<NA>", "NaT", "none"], [-1, -1, -1, 0], ("none",)),
        ([b"NA", b" ", b"-1", b"cat"], [-1, -1, -1, 0], ("cat",)),
        (["10", "2", "1", "10"], [2, 1, 0, 2], ("1", "2", "10")),
        (["10", "2", "", "-1"], [1, 0, -1, -1], ("2", "10")),
        (["010", "10", "2", "2"], [0, 1, 2, 2], ("010", "10", "2")),
        (np.array([1, pd.NA, 10, 2], object), [0, -1, 2, 1], ("1", "2", "10")),
        (np.array([np.float32(1), np.float32(2), np.float32("nan"), True], object), [0, 1, -1, 2], ("1", "2", "True")),
        (np.array([2**64 - 2, 0, 0, 1], np.uint64), [2, 0, 0, 1], ("0", "1", str(2**64 - 2))),
        (pd.Series(["b", None, "b", "a"], dtype="category").array, [1, -1, 1, 0], ("a", "b")),
        (pd.Series([3, None, 7, 3], dtype="Int64").array, [0, -1, 1, 0], ("3", "7")),
        ([-1, -1, -1, -1], [-1] * 4, ()),
        ([np.nan] * 4, [-1] * 4, ()),
        ([[1], [0], [1], [1]], [1, 0, 1, 1], ("0", "1")),
    ],
)
def test_labels_of_every_kind(values, y, names):
    found = as_labels(values, 4, "--data.path labels.npy")
    assert found.y.tolist() == y
    assert found.names == names


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ([0.5, 1, 2, 3], "label 0.5, which is no class"),
        ([np.inf, 1, 2, 3], "label inf, which is no class"),
        ([-2, 1, 2, 3], "label -2: use -1 for unlabelled"),
        ([-2.0, 1, 2, 3], "label -2, which is no class"),
        ([1, 2, 3], r"4 samples but labels of shape \[3\]"),
        (np.zeros((4, 2)), r"4 samples but labels of shape \[4, 2\]: give the index of the 1 in each row"),
        (np.zeros((3, 4)), r"4 samples but labels of shape \[3, 4\]: give a label each"),
        (np.array(3), r"4 samples but labels of shape \[\]"),
        ([1e300, 1, 2, 3], r"label 1e\+300, which is no class"),
        (np.array([np.inf, "a", "b", "c"], object), "label inf, which is no class"),
        (np.array([np.float32(1.5), "a", "b", "c"], object), "label 1.5, which is no class"),
        (["-2", "1", "2", "3"], "label -2: use -1 for unlabelled"),
        (np.array([1 + 2j] * 4), "labels of type complex128"),
        (np.array(["2020-01-01"] * 4, "datetime64[D]"), "labels of type datetime64"),
        (np.array([1.5, "a", "b", "c"], object), "label 1.5, which is no class"),
    ],
)
def test_what_is_no_label_is_refused(values, words):
    with pytest.raises(SettingError, match=f"--data.path labels.npy has .*{words}"):
        as_labels(values, 4, "--data.path labels.npy")
