"""The one error that is the user's to mend."""


class SettingError(Exception):
    """A setting or input that cannot work: one line that names it and says what to do instead.

    The command line prints it as ``error: ...`` without a traceback and exits with status 2.
    """
