"""`lit-ae`: finds the subcommand before anything slow is imported, so that help is printed at once."""

import argparse
import os
import signal
import sys
from collections.abc import Iterable, Sequence
from contextlib import closing
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, NoReturn

from lit_ae.errors import SettingError
from lit_ae.settings.suggestions import near_match
from lit_ae.training.faults import explained

if TYPE_CHECKING:
    from lit_ae.studies.spec import Profile, Study

HELP = """usage: lit-ae COMMAND ...

Compare autoencoder families: train them with Lightning, track them in MLflow, test differences across seeds.

One run; its settings come from YAML files, later ones overriding earlier ones, and from options:
  fit         train:     lit-ae fit --config configs/model/vae.yaml --config configs/data/digits.yaml
  test        score:     lit-ae test (the same settings) --config configs/callbacks/scores.yaml
  validate    compute the losses of the validation split
  predict     compute codes and reconstructions of the test split
  `lit-ae fit --help` lists all settings.

A study (models x seeds) and its report:
  study run EXPERIMENT.yaml ...   do the runs that are missing or whose settings have changed, then write the report
  study status EXPERIMENT.yaml    show which runs are done, running and missing
  report EXPERIMENT.yaml ...      write the report's tables, figures and page from the runs in MLflow

Environment variables: LIT_AE_DATA (folder of the data sets), LIT_AE_CACHE (folder of cached classifiers),
MLFLOW_TRACKING_URI (MLflow store; by default ./mlruns).
"""
TRAINER_COMMANDS = ("fit", "validate", "test", "predict")


class _Parser(argparse.ArgumentParser):
    """Prints an error as one line, without the usage text."""

    def error(self, message: str) -> NoReturn:
        raise SettingError(f"{message}; see `{self.prog} --help`")


def _study_parser() -> argparse.ArgumentParser:
    parser = _Parser("lit-ae study", description="Run a study, or show its progress.")
    commands = parser.add_subparsers(dest="command", required=True, metavar="run|status")
    run = commands.add_parser(
        "run", help="do the runs that are missing or whose settings have changed, then write the report"
    )
    status = commands.add_parser("status", help="show which runs are done, running and missing")
    _add_study_arguments(run, several=True)
    _add_study_arguments(status, several=False)
    run.add_argument("--workers", type=int, help="number of runs at the same time (default: one for each core)")
    run.add_argument(
        "--reports", type=Path, default=Path("experiments/reports"), help="folder that reports are written to"
    )
    status.add_argument("--json", action="store_true", help="print JSON, for scripts")
    return parser


def _report_parser() -> argparse.ArgumentParser:
    parser = _Parser("lit-ae report", description="Write a study's report from its runs in MLflow.")
    _add_study_arguments(parser, several=True)
    parser.add_argument(
        "--reports", type=Path, default=Path("experiments/reports"), help="folder that reports are written to"
    )
    return parser


def _add_study_arguments(parser: argparse.ArgumentParser, several: bool) -> None:
    what = "study file, such as experiments/stochastic.yaml" + ("; several are done in turn" if several else "")
    count = "+" if several else 1
    parser.add_argument("experiments", type=Path, nargs=count, metavar="EXPERIMENT.yaml", help=what)
    parser.add_argument("--profile", default="quick", help="profile in that file (default: %(default)s)")


def _study(argv: Sequence[str]) -> int:
    args = _study_parser().parse_args(argv)
    from lit_ae.studies import runner, status
    from lit_ae.studies.workers import Pool

    if args.command == "status":
        ((study, profile),) = _load(args)
        return status.print_status(study, profile, as_json=args.json)
    studies = _load(args)
    with Pool(args.workers) as pool, closing(runner.run_studies(studies, pool)) as outcomes:
        return _write_reports(outcomes, len(studies), args.reports)


def _report(argv: Sequence[str]) -> int:
    args = _report_parser().parse_args(argv)
    studies = _load(args)
    return _write_reports(((study, profile, 0) for study, profile in studies), len(studies), args.reports)


def _load(args: argparse.Namespace) -> "list[tuple[Study, Profile]]":
    """All studies, in the page's order. They are loaded first, so that a mistake in the last file costs no runs."""
    from lit_ae.studies.load import load_study

    studies = [load_study(path) for path in args.experiments]
    return [(study, study.profile(args.profile)) for study in sorted(studies, key=lambda study: study.order)]


def _write_reports(outcomes: "Iterable[tuple[Study, Profile, int | SettingError]]", n: int, folder: Path) -> int:
    """Write the report of each study when its runs have ended; 1 if a run or one of several studies failed."""
    from lit_ae.report import build_report, print_table

    status = 0
    for study, profile, failed in outcomes:
        try:
            if isinstance(failed, SettingError):
                raise failed
            paths = build_report(study, profile.name, folder / profile.name)
            print_table(study, profile.name)
            print(f"report: {paths.markdown} and {paths.html}", flush=True)
        except SettingError as error:
            if n == 1:
                raise
            print(f"error: {study.name}: {' '.join(str(error).split())}", file=sys.stderr)
            failed = 1
        status = 1 if failed else status
    return status


def _train(argv: Sequence[str]) -> int:
    from lit_ae.training.lightning_cli import AutoencoderCLI

    AutoencoderCLI(argv)
    return 0


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
    signal.signal(signal.SIGTERM, _on_sigterm)
    try:
        with explained(argv):
            if command == "study":
                return _study(argv[1:])
            if command == "report":
                return _report(argv[1:])
            if command in TRAINER_COMMANDS:
                return _train(argv)
            raise SettingError(f"no command {command!r}{near_match(command, [*TRAINER_COMMANDS, 'study', 'report'])}")
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
    """The console script."""
    os.environ.setdefault("PYTHONWARNINGS", "ignore::DeprecationWarning")
    sys.exit(main(sys.argv[1:]))


if __name__ == "__main__":
    entry_point()
