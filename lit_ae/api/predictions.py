"""What `lit-ae predict` has written."""

from pathlib import Path

from lit_ae import tracking
from lit_ae.api.runs import need_store
from lit_ae.errors import SettingError
from lit_ae.evaluation.predictions import FORMATS, Predictions, read_predictions


def load_predictions(source: str | Path) -> Predictions:
    """The arrays of a file of predictions, by name (`lit_ae.evaluation.predictions.Predictions`).

    Args:
        source: the file, or the id of a run for the only file among its artifacts.

    Raises:
        SettingError: there is no such file or run, the run has none or several, or the file holds something else.

    >>> import lit_ae, pathlib, tempfile, numpy
    >>> from lit_ae.evaluation.predictions import writer
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = pathlib.Path(folder, "predictions.npz")
    ...     with writer(path) as file:  # as `lit-ae predict` does, block by block
    ...         file.write({"index": numpy.arange(3), "codes": numpy.zeros((3, 2))})
    ...     lit_ae.load_predictions(path)["codes"].shape
    (3, 2)
    """
    path = Path(source).expanduser()
    if path.suffix in FORMATS:
        return read_predictions(path)
    if path.suffix or path.exists():  # ids of runs have no ending
        raise SettingError(f"{source} does not end in {' or '.join(FORMATS)}: give a file that `lit-ae predict` wrote")
    need_store()
    folder = tracking.get_run(str(source)).artifact("predictions")
    files = sorted(folder.iterdir()) if folder else []
    if len(files) != 1:
        names = ", ".join(file.name for file in files) or "none"
        raise SettingError(
            f"run {source} has {len(files)} files of predictions ({names}): "
            + ("give the path of one" if files else "write one by `lit-ae predict`")
        )
    return read_predictions(files[0])
