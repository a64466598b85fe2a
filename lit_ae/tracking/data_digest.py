"""Whether data are those that a run was trained on."""

from collections.abc import Sequence

from lit_ae.errors import SettingError
from lit_ae.tracking.query import Run

DIGEST = "data_digest"  # tag of a run: that of all its samples


def refuse_other_data(run: Run, name: str, digest: str, differing: Sequence[str] = ()) -> None:
    """Refuse data whose splits are not those of a run's training: their test samples may be among its training samples.

    Args:
        run: the run; one without the tag `data_digest` is not compared.
        name: name of the data set.
        digest: that of the data now, as `BaseDataModule.digest` gives it.
        differing: what their settings are and what those of the training were, in words.

    Raises:
        SettingError: the digests differ.
    """
    trained_on = run.tags.get(DIGEST)
    if trained_on is None or trained_on == digest:
        return
    digests = f"their digest was {trained_on} and is {digest}"
    if differing:
        raise SettingError(
            f"the data of {name} are not those that run {run.id} was trained on ({digests}), so that training and test "
            f"samples would be mixed: {'; '.join(differing)}. Use the run's own settings of the data, or train a new "
            "run with these"
        )
    raise SettingError(
        f"the data of {name} have changed since run {run.id} was trained ({digests}): training and test samples would "
        "be mixed; restore the file, or train a new run"
    )
