"""Tables of the user's own: numbers as features, one column of labels, everything else refused in one line."""

import numpy as np
import pandas as pd
import pytest

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
        ("a,b\n1,x\n2,y\n", "columns 'b' hold no numbers"),
        ("a,b\n1,2\n3,\n", "1 values are missing or infinite, the first in row 2, column 'b'"),
        ("a,b\n1,inf\n", "1 values are missing or infinite, the first in row 1, column 'b'"),
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


def test_broken_parquet_is_refused(tmp_path):
    (tmp_path / "table.parquet").write_bytes(b"PAR1 and no more")
    with pytest.raises(SettingError, match="cannot be read as a table"):
        read_table(tmp_path / "table.parquet")
