"""The errors that mean that the user can fix something, and the check that raises one most often."""


class SettingError(Exception):
    """A setting or an input that cannot work: one line that names it and says what to do instead.

    The command line prints it as ``error: ...`` without a traceback and exits with status 2.
    """


class NotComputable(SettingError, ValueError):  # noqa: N818 - it may be the data's nature, and no fault
    """A score or figure that cannot be had from these data; the message is the reason, in plain words.

    Among several scores it is left out alone (`Evaluation.leaving_out`); as an argument's fault it is a ValueError.
    """


def require_at_least(bound: float, where: str, **settings: float | None) -> None:
    """Refuse settings below a bound; one that is null is not checked.

    Args:
        bound: the lowest value that is allowed.
        where: how a message names a setting, with {} for its name, such as `model.{}`.
        settings: values by name.

    Raises:
        SettingError: a value is below the bound, or NaN.
    """
    for name, value in settings.items():
        if value is not None and not value >= bound:  # NaN is refused, too
            raise SettingError(f"{where.format(name)} is {value}: it must be at least {bound:g}")
