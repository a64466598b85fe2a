"""Whether data are those that a run was trained on."""

from collections.abc import Sequence

from lit_ae.errors import SettingError

DIGEST = "data_digest"  # tag of a run, and key of its checkpoints: that of all its samples


def refuse_other_data(of: str, trained_on: str, name: str, digest: str, differing: Sequence[str] = ()) -> None:
    """Refuse data whose splits are not those of a run's training: their test samples may be among its training samples.

    Args:
        of: what was trained, such as `run ID`.
        trained_on: digest of the data of that training.
        name: name of the data set.
        digest: that of the data now, as `BaseDataModule.digest` gives it.
        differing: what their settings are and what those of the training were, in words.

    Raises:
        SettingError: the digests differ.
    """
    if trained_on == digest:
        return
    digests = f"their digest was {trained_on} and is {digest}"
    if differing:
        raise SettingError(
            f"the data of {name} are not those that {of} was trained on ({digests}), so that training and test "
            f"samples would be mixed: {'; '.join(differing)}. Use the run's own settings of the data, or train a new "
            "run with these"
        )
    raise SettingError(
        f"the data of {name} have changed since {of} was trained ({digests}): training and test samples would "
        "be mixed; restore the file, or train a new run"
    )
