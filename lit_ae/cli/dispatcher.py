"""`lit-ae`: finds the subcommand before anything slow is imported, so that help is printed at once."""

import os
import signal
import sys
from collections.abc import Callable, Sequence
from types import FrameType

from lit_ae.cli import explore, export, init, listing, study, tune, ui
from lit_ae.errors import SettingError
from lit_ae.settings.files import named_config
from lit_ae.settings.imports import importing
from lit_ae.settings.suggestions import near_match
from lit_ae.training.faults import explained

HELP = """usage: lit-ae COMMAND ...

Compare autoencoder families: train them with Lightning, track them in MLflow, test differences across seeds.

One run; its settings come from YAML files, later ones overriding earlier ones, and from options:
  fit         train:     lit-ae fit --config vae --config digits
  test        score:     lit-ae test --config vae --config digits --config scores
  validate    compute the losses of the validation split
  predict     compute codes and reconstructions of a split, or of your own file (--split)
  --config takes a file, or a name that `lit-ae list` lists; `lit-ae fit --help` lists all settings.

A study (models x seeds) and its report; EXPERIMENT is a file, or a name that `lit-ae list experiments` lists:
  study run EXPERIMENT ...   do the runs that are missing or whose settings have changed, then write the report
  study status EXPERIMENT    show which runs are done, running and missing
  study jobs EXPERIMENT      print a command for each missing run, for the machines or the queue of a cluster
  study job EXPERIMENT ...   do one of these runs
  study export|import EXPERIMENT --folder FOLDER   carry finished runs to another machine, as plain files
  tune EXPERIMENT            search for a row's settings on the validation split, and add the best as a row
  report EXPERIMENT ...      write the report's tables, figures and page from the runs in MLflow

What there is:
  list models|data|callbacks|experiments|scores   one line each
  init [FOLDER]                                   copy all configs and experiments, to change them
  ui                                              open MLflow on this folder's runs
  sync                                            send what was kept while an MLflow server did not answer

A trained model for other tools:
  export RUN --format onnx|torch|safetensors|mlflow [--part encoder|decoder|all] [--output PATH]

A trained model in a browser:
  explore RUN ... [--html FILE]   map of the codes, decoding, interpolation and samples

Environment variables: LIT_AE_DATA (folder of the data sets), LIT_AE_CACHE (folder of cached classifiers),
MLFLOW_TRACKING_URI (MLflow store; by default ./mlruns).
"""
TRAINER_COMMANDS = ("fit", "validate", "test", "predict")
OTHERS: dict[str, Callable[[Sequence[str]], int]] = {
    "study": study.study,
    "report": study.report,
    "sync": study.sync,
    "explore": explore.explore,
    "export": export.export,
    "init": init.init,
    "list": listing.listing,
    "tune": tune.tune,
    "ui": ui.ui,
}


def _train(argv: Sequence[str]) -> int:
    with importing():
        from lit_ae.training.lightning_cli import AutoencoderCLI

    AutoencoderCLI(argv)
    return 0


def _with_files(argv: Sequence[str]) -> list[str]:
    """The command line with the files that its --config names mean."""
    found: list[str] = []
    for before, arg in zip(["", *argv], argv, strict=False):
        name, equals, value = arg.partition("=")
        if before in ("-c", "--config"):
            arg = str(named_config(arg))
        elif equals and name in ("-c", "--config"):
            arg = f"{name}={named_config(value)}"
        found.append(arg)
    return found


stops: list[int] = []  # signals received: an error that a library raises after one is not the fault of the settings


def _on_sigterm(signum: int, frame: FrameType | None) -> None:
    stops.append(signum)
    raise KeyboardInterrupt("SIGTERM")


def main(argv: Sequence[str]) -> int:
    """Run one command and return its exit status: 2 for a wrong setting, 130 after an interrupt."""
    command = argv[0] if argv else "--help"
    if command in ("-h", "--help"):
        print(HELP, end="")
        return 0
    if command == "--version":
        from importlib.metadata import version

        print(f"lit-ae {version('lit_ae')}")
        return 0
    stops.clear()
    signal.signal(signal.SIGTERM, _on_sigterm)
    try:
        argv = _with_files(argv) if command in TRAINER_COMMANDS else argv
        with explained(argv):
            if command in OTHERS:
                return OTHERS[command](argv[1:])
            if command in TRAINER_COMMANDS:
                return _train(argv)
            raise SettingError(f"no command {command!r}{near_match(command, [*TRAINER_COMMANDS, *OTHERS])}")
    except (SettingError, FloatingPointError) as error:
        if stops:
            print("interrupted", file=sys.stderr)
            return 130
        print(f"error: {' '.join(str(error).split())}", file=sys.stderr)
        return 2 if isinstance(error, SettingError) else 1
    except (KeyboardInterrupt, SystemExit) as stop:
        if isinstance(stop, SystemExit) and not stops and not isinstance(stop.__context__, KeyboardInterrupt):
            raise
        print("interrupted", file=sys.stderr)  # Lightning exits the process when it receives the interrupt
        return 130


def entry_point() -> None:
    """The console script; classes of one's own are also found in the current folder, after all that is installed."""
    sys.path.append("")
    os.environ.setdefault("PYTHONWARNINGS", "ignore::DeprecationWarning")
    sys.exit(main(sys.argv[1:]))


if __name__ == "__main__":
    entry_point()
