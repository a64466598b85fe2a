"""`lit-ae init`: the configs and experiments that come with lit_ae as files of one's own."""

import argparse
import shutil
from collections.abc import Sequence
from pathlib import Path

from lit_ae.cli.parser import Parser
from lit_ae.errors import SettingError
from lit_ae.settings.files import config_folder, experiment_folder

SAID = """{folder}: {copied} files copied into configs and experiments{unchanged}
Files in ./configs and ./experiments are used in place of those that come with lit_ae.

lit-ae fit --config vae --config digits   train a VAE on digits; `lit-ae list models` lists the others
lit-ae fit --config vae --config configs/own_data.yaml   on your own data, once that file names them
lit-ae study run stochastic               compare models across seeds, and write a report
lit-ae ui                                 look at the runs"""


def init(argv: Sequence[str]) -> int:
    """Copy the files; returns the exit status.

    Raises:
        SettingError: a file that is there has another content, and --overwrite is not given; nothing is copied then.
    """
    args = _parser().parse_args(argv)
    folder: Path = args.folder
    if folder.exists() and not folder.is_dir():
        raise SettingError(f"{folder} is a file: give a folder")
    configs, experiments = config_folder(), experiment_folder()
    files = {folder / "configs" / path.relative_to(configs): path for path in sorted(configs.rglob("*.yaml"))}
    files |= {folder / "experiments" / path.name: path for path in sorted(experiments.glob("*.yaml"))}
    there = {target for target in files if target.exists()}
    changed = [target for target in sorted(there) if target.read_bytes() != files[target].read_bytes()]
    if changed and not args.overwrite:
        names = ", ".join(map(str, changed[:3])) + (", ..." if len(changed) > 3 else "")
        raise SettingError(
            f"{folder} has {len(changed)} of these files with other content ({names}): nothing was copied; give "
            "another folder, or --overwrite to replace them"
        )
    wanted = [target for target in files if target not in there or target in changed]
    for target in wanted:
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(files[target], target)
    unchanged = f" ({len(there) - len(changed)} were there already)" if len(there) > len(changed) else ""
    print(SAID.format(folder=folder, copied=len(wanted), unchanged=unchanged))
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = Parser("lit-ae init", description="Copy the configs and experiments of lit_ae, to change them.")
    parser.add_argument("folder", nargs="?", type=Path, default=Path(), help="where to (default: the current folder)")
    parser.add_argument("--overwrite", action="store_true", help="replace files that differ from those of lit_ae")
    return parser
