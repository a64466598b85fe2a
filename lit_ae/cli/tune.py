"""`lit-ae tune`."""

import argparse
from collections.abc import Sequence

from lit_ae.cli.parser import Parser
from lit_ae.cli.study import add_engine, add_study_arguments, engine
from lit_ae.errors import SettingError
from lit_ae.settings.files import named_experiment


def tune(argv: Sequence[str]) -> int:
    """Search for the settings of a row and write the best as a row of the study; returns the exit status."""
    args = _parser().parse_args(argv)
    from lit_ae.settings.extras import needs
    from lit_ae.studies.load import load_study
    from lit_ae.studies.search import search
    from lit_ae.studies.tuned_row import refuse_unwritable, write_row

    with needs("tune", "lit-ae tune"):
        import optuna  # noqa: F401 - so that its lack is said before anything is run
    path = named_experiment(args.experiments[0])
    study = load_study(path)
    if not study.tune:
        raise SettingError(f"study {study.name} has no section `tune`: docs/tuning.md shows one")
    refuse_unwritable(study, path)
    for one in study.tune:
        with engine(args) as executor:
            found = search(study, one, study.profile(args.profile), executor)
        write_row(study, one, path, found)
        print(f"{one.found_row}: {found.tuned_on.described()}\n  {' '.join(found.args)}\nwritten as a row of {path}")
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = Parser(
        "lit-ae tune",
        description="Search for the settings of one or several rows on the validation split, as the section `tune` "
        "of the study says, and add the best as a row each. A search that was stopped goes on.",
    )
    add_study_arguments(parser, several=False)
    add_engine(parser)
    return parser
