"""`lit-ae explore`."""

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from lit_ae.cli.parser import Parser
from lit_ae.errors import SettingError

if TYPE_CHECKING:
    from lit_ae.callbacks.figures.latent_plot import Method


def explore(argv: Sequence[str]) -> int:
    """Write or serve the page on which the codes of runs are explored; returns the exit status."""
    args = _parser().parse_args(argv)
    if args.html is not None and args.port is not None:
        raise SettingError("--html writes a file and --port is that of a server: give one of them")
    from lit_ae.explorer.explore import explore as carried_out

    maps: tuple[Method, ...] = tuple(dict.fromkeys(args.maps))
    carried_out(args.runs, args.html, 8400 if args.port is None else args.port, args.samples, maps)
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = Parser("lit-ae explore", description="Explore the codes of trained models in a browser.")
    parser.add_argument(
        "runs",
        metavar="RUN",
        nargs="+",
        help="id or name of a run, or path of a checkpoint with its config.yaml; several on the same data side by side",
    )
    parser.add_argument("--html", type=Path, metavar="FILE", help="write one file that needs no server, at most 8 MB")
    parser.add_argument("--port", type=int, help="of the server at 127.0.0.1; 0: any that is free (default: 8400)")
    parser.add_argument(
        "--samples", type=int, default=2000, help="largest number of test samples on the page (default: %(default)s)"
    )
    parser.add_argument(
        "--maps",
        nargs="*",
        choices=("tsne", "umap"),
        default=["tsne"],
        help="embeddings to compute beside PCA; without a name none (default: tsne)",
    )
    return parser
