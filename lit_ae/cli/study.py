"""`lit-ae study ...`, `lit-ae report` and `lit-ae sync`."""

import argparse
import sys
from collections.abc import Iterable, Sequence
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

from lit_ae.cli.parser import Parser, at_least_one
from lit_ae.errors import SettingError
from lit_ae.settings.files import named_experiment

if TYPE_CHECKING:
    from lit_ae.studies.executors.base import Executor
    from lit_ae.studies.spec import Profile, Study


def study(argv: Sequence[str]) -> int:
    """One command on studies; returns the exit status."""
    args = _study_parser().parse_args(argv)
    from lit_ae import tracking
    from lit_ae.studies import run_export, run_import, runner, single_runs, status

    studies = _load(args)
    if args.command == "run":
        with engine(args) as executor, closing(runner.run_studies(studies, executor)) as outcomes:
            return _write_reports(outcomes, len(studies), args.reports)
    ((study, profile),) = studies
    if args.command == "status":
        return status.print_status(study, profile, as_json=args.json)
    if args.command == "jobs":
        for line in single_runs.commands(study, profile, args.experiments[0], args.format):
            print(line)
        return 0
    if args.command == "export":
        print(f"runs written to {args.folder}: {run_export.export_runs(study, profile, args.folder, args.checkpoints)}")
        return 0
    if args.command == "import":
        done = run_import.import_runs(study, profile, args.folder)
        stale = f" ({done.stale} of them with other settings than the study has now)" if done.stale else ""
        print(f"runs added to {tracking.store_uri()}: {done.added}{stale}; there already: {done.known}")
        return 0
    return single_runs.run_one(study, profile, args.model, args.seed, args.threads)


def report(argv: Sequence[str]) -> int:
    """Write reports from the store; returns the exit status."""
    args = _report_parser().parse_args(argv)
    studies = _load(args)
    outcomes = ((study, profile, 0) for study, profile in studies)
    return _write_reports(outcomes, len(studies), args.reports, args.explorer)


def sync(argv: Sequence[str]) -> int:
    """Send what was kept while MLflow servers did not answer; returns the exit status."""
    Parser("lit-ae sync", description="Send MLflow what was kept while its server did not answer.").parse_args(argv)
    from lit_ae import tracking

    sent = tracking.send_unsent(everywhere=True)
    print(f"sent: {', '.join(sent)}" if sent else f"nothing is kept in {tracking.STORE / 'unsent'}")
    return 0


def _study_parser() -> argparse.ArgumentParser:
    parser = Parser("lit-ae study", description="Run a study, or show its progress.")
    commands = parser.add_subparsers(dest="command", required=True, metavar="run|status|jobs|job|export|import")
    run = commands.add_parser(
        "run", help="do the runs that are missing or whose settings have changed, then write the report"
    )
    status = commands.add_parser("status", help="show which runs are done, running and missing")
    jobs = commands.add_parser("jobs", help="print a command for each run that is to be done, one a line")
    job = commands.add_parser("job", help="do one run of a study, as `study run` would")
    export = commands.add_parser("export", help="write the finished runs to a folder, for another machine")
    take = commands.add_parser("import", help="add the runs of such a folder to this store")
    add_study_arguments(run, several=True)
    for one in (status, jobs, job, export, take):
        add_study_arguments(one, several=False)
    add_engine(run)
    run.add_argument(
        "--reports", type=Path, default=Path("experiments/reports"), help="folder that reports are written to"
    )
    status.add_argument("--json", action="store_true", help="print JSON, for scripts")
    jobs.add_argument(
        "--format",
        choices=("shell", "slurm"),
        default="shell",
        help="commands alone, or each in an sbatch that waits for the run it starts from (default: %(default)s)",
    )
    job.add_argument("--model", required=True, help="row of the study")
    job.add_argument("--seed", type=int, required=True, help="seed of the profile")
    job.add_argument("--threads", type=at_least_one, default=1, help="number of threads (default: %(default)s)")
    for one in (export, take):
        one.add_argument("--folder", type=Path, required=True, help="folder with a folder for each run")
    export.add_argument("--checkpoints", action="store_true", help="with the trained weights, which take most space")
    return parser


def add_engine(parser: argparse.ArgumentParser) -> None:
    """The settings of the engine that does the runs."""
    parser.add_argument("--workers", type=int, help="number of runs at the same time (default: as many as fit)")
    parser.add_argument(
        "--engine",
        choices=("local", "ray"),
        default="local",
        help="worker processes of this machine, or a Ray cluster (see docs/clusters.md); default: %(default)s",
    )
    parser.add_argument(
        "--address", help="of the Ray cluster; by default RAY_ADDRESS, else a Ray of this machine alone"
    )
    parser.add_argument(
        "--cpus-per-run", type=float, default=1, help="cores for each run on Ray (default: %(default)s)"
    )
    parser.add_argument(
        "--gpus-per-run", type=float, default=0, help="GPUs for each run on Ray, such as 0.25 (default: %(default)s)"
    )


def engine(args: argparse.Namespace) -> "Executor":
    """The engine that the settings describe."""
    if args.engine == "ray":
        from lit_ae.studies.executors.ray import RayExecutor

        return RayExecutor(args.address, args.cpus_per_run, args.gpus_per_run, args.workers)
    from lit_ae.studies.executors.local import LocalExecutor

    if args.address or args.gpus_per_run or args.cpus_per_run != 1:
        raise SettingError("--address, --cpus-per-run and --gpus-per-run are settings of Ray: add --engine ray")
    return LocalExecutor(args.workers)


def _report_parser() -> argparse.ArgumentParser:
    parser = Parser("lit-ae report", description="Write a study's report from its runs in MLflow.")
    add_study_arguments(parser, several=True)
    parser.add_argument(
        "--reports", type=Path, default=Path("experiments/reports"), help="folder that reports are written to"
    )
    parser.add_argument(
        "--explorer",
        action="store_true",
        help="also write and link a page for each row on which the codes of its first seed are explored",
    )
    return parser


def add_study_arguments(parser: argparse.ArgumentParser, several: bool) -> None:
    """The study, or several, and the profile."""
    what = "study file, or a name that `lit-ae list experiments` lists" + ("; several: in turn" if several else "")
    count = "+" if several else 1
    parser.add_argument("experiments", type=Path, nargs=count, metavar="EXPERIMENT", help=what)
    parser.add_argument("--profile", default="quick", help="profile in that file (default: %(default)s)")


def _load(args: argparse.Namespace) -> "list[tuple[Study, Profile]]":
    """All studies, in the page's order. They are loaded first, so that a mistake in the last file costs no runs."""
    from lit_ae.studies.data_sets import expanded
    from lit_ae.studies.load import load_study

    given, args.experiments = args.experiments, [named_experiment(path) for path in args.experiments]
    studies = [load_study(path, name) for path, name in zip(args.experiments, given, strict=True)]
    pairs = [(study, study.profile(args.profile)) for study in sorted(studies, key=lambda study: study.order)]
    return [(expanded(study, profile), profile) for study, profile in pairs]


def _write_reports(
    outcomes: "Iterable[tuple[Study, Profile, int | SettingError]]", n: int, folder: Path, explorer: bool = False
) -> int:
    """Write the report of each study when its runs have ended; 1 if a run or one of several studies failed."""
    from lit_ae.cli.explorer_pages import explorer_pages
    from lit_ae.report.analyse import analyse
    from lit_ae.report.collect import collect
    from lit_ae.report.render import print_results, write_report

    status = 0
    for study, profile, failed in outcomes:
        try:
            if isinstance(failed, SettingError):
                raise failed
            pages = explorer_pages(study, profile.name, folder / profile.name) if explorer else {}
            results = analyse(collect(study, profile.name))
            paths = write_report(results, folder / profile.name, pages)
            print_results(results)
            print(f"report: {paths.markdown} and {paths.html}", flush=True)
        except SettingError as error:
            if n == 1:
                raise
            print(f"error: {study.name}: {' '.join(str(error).split())}", file=sys.stderr)
            failed = 1
        status = 1 if failed else status
    return status
