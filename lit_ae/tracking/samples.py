"""A run's scores of single test samples: one file, `samples.npz`, from which reports test over samples."""

import zipfile
import zlib
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from lit_ae.errors import SettingError
from lit_ae.tracking.query import get_run
from lit_ae.tracking.runs import log_file
from lit_ae.tracking.unsent import sent_or_kept

if TYPE_CHECKING:
    from lit_ae.tracking.query import Run

Values = npt.NDArray[np.float32]
FILE = "samples.npz"
DAMAGED = (OSError, EOFError, ValueError, KeyError, zipfile.BadZipFile, zlib.error)  # as NumPy finds a file
DIGEST = "digest"  # its entry that says which samples these are


def log_samples(run_id: str, values: Mapping[str, Values], digest: str) -> None:
    """Store values [N] by the name of the metric whose mean they have, NaN for samples that it does not use.

    Those of other metrics are kept if they are of the same samples, which `digest` identifies.
    """
    with TemporaryDirectory() as folder:
        path = Path(folder) / FILE
        entries: dict[str, Any] = {**values, DIGEST: np.array(digest)}
        np.savez_compressed(path, **entries)
        add_samples(run_id, path)


@sent_or_kept
def add_samples(run_id: str, path: Path) -> None:
    """Store the values in a file, beside those that the run has of the same samples."""
    stored = get_run(run_id).artifact(FILE)
    before: dict[str, Any] = {}
    with np.load(path) as found:
        values = dict(found)
    if stored:
        with suppress(*DAMAGED), np.load(stored) as found:
            before = dict(found) if str(found[DIGEST]) == str(values[DIGEST]) else {}
    with TemporaryDirectory() as folder:
        merged = Path(folder) / FILE
        np.savez_compressed(merged, **{**before, **values})
        log_file(run_id, merged, "")


def sample_values(run: "Run", name: str) -> tuple[Values, str] | None:
    """A metric's values [N] of single test samples and the samples' digest; None if the run does not have them.

    Raises:
        SettingError: their file is damaged.
    """
    stored = run.artifact(FILE)
    if stored is None:
        return None
    try:
        with np.load(stored) as found:
            return (found[name], str(found[DIGEST])) if name in found else None
    except DAMAGED as error:
        raise SettingError(
            f"{stored} is damaged ({type(error).__name__}): delete it, and test the run again by `lit-ae test` with "
            f"its settings and --run_id {run.id}"
        ) from error
