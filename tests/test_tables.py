"""Tables of the user's own: numbers as features, one column of labels, everything else refused in one line."""

from decimal import Decimal

import numpy as np
import pandas as pd
import pytest

from lit_ae.data.array import Array
from lit_ae.data.labels import as_labels
from lit_ae.data.tables import read_table
from lit_ae.errors import SettingError

FRAME = pd.DataFrame({"height": [1.5, 2.5, 3.0], "count": [1, 2, 3], "flag": [True, False, True], "Y": ["a", "b", "a"]})


@pytest.mark.parametrize("ending", ["csv", "tsv", "parquet"])
def test_numbers_are_features_and_y_the_labels(ending, tmp_path):
    path = tmp_path / f"table.{ending}"
    if ending == "parquet":
        FRAME.to_parquet(path)
    else:
        FRAME.to_csv(path, sep="\t" if ending == "tsv" else ",", index=False)
    table = read_table(path)
    assert table.x.dtype == np.float32
    assert table.x.tolist() == [[1.5, 1, 1], [2.5, 2, 0], [3.0, 3, 1]]
    assert table.names == ("height", "count", "flag")
    assert list(table.labels) == ["a", "b", "a"]


def test_columns_name_the_features_of_the_data(tmp_path):
    FRAME.to_csv(tmp_path / "table.csv", index=False)
    assert Array(tmp_path / "table.csv").feature_names == ("height", "count", "flag")


@pytest.mark.parametrize(
    ("written", "y", "names"),
    [
        ("01 1 001 2", [1, 2, 0, 3], ("001", "01", "1", "2")),
        ("1E3 1E4 2E1 1E3", [0, 1, 2, 0], ("1E3", "1E4", "2E1")),
        ("True TRUE False True", [2, 1, 0, 2], ("False", "TRUE", "True")),
        ("TRUE FALSE TRUE TRUE", [1, 0, 1, 1], ("False", "True")),
        ("02 NA 10 02", [0, -1, 1, 0], ("02", "10")),
        ("10 9 NA 9", [1, 0, -1, 0], ("9", "10")),
        ("1.0 0.0 -1 1.0", [1, 0, -1, 1], ("0", "1")),
        ("0.000e+00 1.000e+00 1.000e+01 NA", [0, 1, 2, -1], ("0", "1", "10")),
        ("a 01 1 a", [2, 0, 1, 2], ("01", "1", "a")),
    ],
)
def test_labels_are_classes_as_they_are_written(written, y, names, tmp_path):
    path = tmp_path / "a.csv"
    path.write_text("x,label\n" + "".join(f"{i}.5,{text}\n" for i, text in enumerate(written.split())))
    found = as_labels(read_table(path).labels, 4, "a.csv")
    assert (found.y.tolist(), found.names) == (y, names)


@pytest.mark.parametrize("written", ["0.5 0.50 1 2", "1e-05 1.5 2 3"])
def test_fractions_are_no_labels_however_they_are_written(written, tmp_path):
    path = tmp_path / "a.csv"
    path.write_text("x,label\n" + "".join(f"{i}.5,{text}\n" for i, text in enumerate(written.split())))
    with pytest.raises(SettingError, match="which is no class: give whole numbers or names"):
        as_labels(read_table(path).labels, 4, "a.csv")


def test_any_column_may_be_the_labels(tmp_path):
    path = tmp_path / "table.csv"
    FRAME.drop(columns="Y").to_csv(path, index=False)
    assert read_table(path).labels is None
    table = read_table(path, "count")
    assert table.names == ("height", "flag")
    assert list(table.labels) == [1, 2, 3]
    with pytest.raises(
        SettingError, match=r"--data.labels is 'counts', and .* has the columns 'height', 'count', 'flag'"
    ):
        read_table(path, "counts")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a,b\n1,2\n2,y\n", "columns 'b' hold no numbers, the first 'y'"),
        ('a,b\n"1,5",2\n', "columns 'a' hold no numbers, the first '1,5'"),
        ("a,b\n1,2020-01-01\n", "columns 'b' hold no numbers, the first '2020-01-01'"),
        ("a,b\n1,2\n3,\n", "1 values are missing or infinite, the first, missing, in row 2, column 'b'"),
        ("a,b\n1,inf\n", "1 values are missing or infinite, the first, infinite, in row 1, column 'b'"),
        ("a,b,c\n1,2\n", "the first, missing, in row 1, column 'c'"),
        ("a,b\n1,2,3\n4,5,6\n", "rows have more values than the first line has names"),
        ("a;b;y\n1;2;x\n", "is separated by ';': write it with commas and decimal points"),
        ("a;b;y\n1,5;2,5;x\n", "is separated by ';'"),
        ("a\tb\n1\t2\n", r"is separated by '\\t'"),
        (",a,b\n0,5,6\n1,7,8\n", r"column 1 has no name: .*to_csv\(index=False\)"),
        ("Id,a\n3,1.5\n1,2.5\n", "column 'Id' numbers the rows"),
        ("5.1,3.5,1.4,setosa\n4.9,3.0,1.4,setosa\n", "the first line holds numbers"),
        ("x,y\n" + "".join(f"{2**60 + i},{i % 2}\n" for i in range(9)), "column 'x' has values too far from 0"),
        ("x,y\n", "0 rows and 1 columns of features: give a table with at least one row, and one column beside"),
        ("x,y,label\n1,2,0\n3,4,1\n", "'y', 'label' may each be the labels: choose one as --data.labels"),
        ("1,0\n0,0\n", "the first line holds numbers"),
        ("0,0,1\n1,0,1\n", "the first line holds numbers"),
        ("a,b\n", "has 0 rows and 2 columns"),
        ("y\n1\n", "1 rows and 0 columns of features"),
        ("1,2\n3,4\n", "the first line holds numbers"),
        ("", "cannot be read as a table"),
        ('a,b\n"1,2\n', "cannot be read as a table"),
    ],
)
def test_what_is_no_table_of_numbers_is_refused_in_one_line(text, words, tmp_path):
    path = tmp_path / "table.csv"
    path.write_text(text)
    with pytest.raises(SettingError, match=words) as raised:
        read_table(path)
    assert "\n" not in str(raised.value)


def test_names_may_be_numbers_and_have_spaces_around(tmp_path):
    path = tmp_path / "table.csv"
    for names in (range(12), range(1, 13), [400 + 2.5 * i for i in range(12)]):
        pd.DataFrame(np.eye(12), columns=list(names)).assign(y=3).to_csv(path, index=False)
        assert (read_table(path).x == np.eye(12)).all()
    path.write_text("a, b, Y\n1, 2, x\n3, 4, z\n")
    table = read_table(path)
    assert table.names == ("a", "b")
    assert [str(label).strip() for label in table.labels] == ["x", "z"]
    path.write_bytes("label,a\nx,1\nz,2\n".encode("utf-8-sig"))
    assert list(read_table(path).labels) == ["x", "z"]


def test_parquet_of_every_type(tmp_path):
    path = tmp_path / "table.parquet"
    whole = pd.array([1, 2, 3], "Int64")
    kinds = pd.Categorical(["a", None, "c"], categories=["c", "b", "a"])
    pd.DataFrame({"a": whole, "b": pd.array([True, False, True], "boolean"), "y": kinds}).to_parquet(path)
    table = read_table(path)
    assert table.x.tolist() == [[1, 1], [2, 0], [3, 1]]
    assert [label if isinstance(label, str) else None for label in table.labels] == ["a", None, "c"]
    pd.DataFrame({0: [1.0, 2.0], 1: [3.0, 4.0]}).to_parquet(path)
    assert read_table(path).names == ("0", "1")
    pd.DataFrame({"a": [1.0, 2.0], "Y": ["p", "q"]}).set_index("Y").to_parquet(path)
    assert list(read_table(path).labels) == ["p", "q"]
    for values, words in (
        (pd.array([1, None, 3], "Int64"), "the first, missing, in row 2, column 'a'"),
        (pd.date_range("2020-01-01", periods=3), "hold no numbers, the first Timestamp"),
        (["1", "2", "3"], "columns 'a' hold numbers of type str: store them as floats"),
        ([None, Decimal("2.50"), Decimal("3.50")], "hold numbers of type Decimal: store them as floats"),
        ([None, None, None], "hold no numbers, the first None"),
        (pd.Categorical(["u", "v", "u"]), "hold no numbers, the first 'u'"),
    ):
        pd.DataFrame({"a": values}).to_parquet(path)
        with pytest.raises(SettingError, match=words):
            read_table(path)


@pytest.mark.parametrize("kind", ["int64", "Int64", "UInt64", "int64[pyarrow]", "uint64[pyarrow]"])
def test_whole_numbers_of_every_type_are_told_apart_or_refused(kind, tmp_path):
    path = tmp_path / "table.parquet"
    for values, kept in (([2**60, 2**60 + 1, 2**60 + 9], False), ([5, 2**60, 2**62], True), ([1, 2, 3], True)):
        pd.DataFrame({"a": pd.array(values, kind)}).to_parquet(path)
        if kept:
            assert read_table(path).x[:, 0].tolist() == pytest.approx(values, rel=1e-7)
        else:
            with pytest.raises(SettingError, match="column 'a' has values too far from 0"):
                read_table(path)


def test_numbers_in_the_index_are_not_lost(tmp_path):
    path = tmp_path / "table.parquet"
    table = pd.DataFrame({"a": [1.0, 2.0, 3.0]})
    for index, words in (
        (pd.Index([0.5, 1.5, 2.5]), "a column without a name is in the index"),
        (pd.Index([0.5, 1.5, 2.5], name="seconds"), "'seconds' is in the index"),
        (pd.MultiIndex.from_arrays([["p", "q", "r"], [0.5, 1.5, 2.5]]), "a column without a name is in the index"),
    ):
        table.set_axis(index).to_parquet(path)
        with pytest.raises(SettingError, match=words):
            read_table(path)
    for index in ([7, 2, 9], ["p", "q", "r"]):  # numbers of rows, and names
        table.set_axis(index).to_parquet(path)
        assert read_table(path).x.tolist() == [[1], [2], [3]]


def test_columns_that_may_be_labels_and_are_features_are_named(tmp_path, capsys):
    path = tmp_path / "table.csv"
    path.write_text("x,y,label\n1,2,0\n3,4,1\n")
    assert read_table(path, "label").names == ("x", "y")
    assert "the labels are 'label', so that 'y' counts as a feature" in capsys.readouterr().err
    path.write_text("x,z,label\n1,2,0\n3,4,1\n")
    read_table(path, "label")
    assert capsys.readouterr().err == ""


def test_broken_parquet_is_refused(tmp_path):
    (tmp_path / "table.parquet").write_bytes(b"PAR1 and no more")
    with pytest.raises(SettingError, match="cannot be read as a table"):
        read_table(tmp_path / "table.parquet")
