"""What a training says on the terminal beside Lightning's own lines."""

import shlex
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from urllib.parse import urlparse
from urllib.request import url2pathname

from lit_ae import tracking
from lit_ae.settings.files import short_name

ONLY_OF_FIT = ("--resume", "--ckpt_path", "--run_name")


def on_terminal() -> bool:
    """Whether somebody is watching: a summary of the model is then printed as well."""
    return sys.stderr.isatty()


def what_next(run: tracking.Run, args: Sequence[str]) -> str:
    """Where a finished run and its figures are, and the command that scores it.

    Args:
        run: the run.
        args: the command line of `fit`.
    """
    uri = urlparse(run.artifact_uri)
    place = url2pathname(uri.path) if uri.scheme == "file" else run.artifact_uri
    score = shlex.join(["lit-ae", "test", *_of_test(args), "--config", "scores", "--run_id", run.id])
    lines = (f"its figures:    {place}/figures", "to look at it:  lit-ae ui", f"to score it:    {score}")
    return "\n  ".join([f"run {run.id} is finished", *lines])


def _of_test(args: Sequence[str]) -> Iterator[str]:
    """The options of `fit` that `test` takes as well, files by their short names."""
    values = iter(args[1:] if args[:1] == ["fit"] else args)
    for arg in values:
        name, equals, value = arg.partition("=")
        if name in ("-c", "--config"):
            yield from ("--config", short_name(Path(value if equals else next(values, ""))))
        elif name in (*ONLY_OF_FIT, "--run_id"):
            if not equals:
                next(values, "")
        else:
            yield arg
