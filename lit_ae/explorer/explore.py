"""`lit-ae explore`: a page as a file, or from a server on this machine."""

from collections.abc import Sequence
from pathlib import Path

from lit_ae.callbacks.figures.latent_plot import Method
from lit_ae.data.base import BaseDataModule
from lit_ae.errors import SettingError, require_at_least
from lit_ae.explorer import page
from lit_ae.explorer.server import Server
from lit_ae.explorer.subjects import Subject, subject


def explore(sources: Sequence[str], html: Path | None, port: int, samples: int, maps: tuple[Method, ...]) -> None:
    """Write the page to a file, or serve it until the process is interrupted.

    Args:
        sources: ids or names of runs, or paths of checkpoints; all were trained on the same data.
        html: the file; None: serve it.
        port: of the server; 0: any that is free.
        samples: largest number of test samples.
        maps: embeddings to compute beside PCA.

    Raises:
        SettingError: a run cannot be explored, runs have different test samples, or the file cannot be
            written, or holds something else already.
    """
    require_at_least(page.LEAST, "--{}", samples=samples)
    if html is not None and not html.parent.is_dir():
        raise SettingError(f"--html {html}: there is no folder {html.parent}: make it first")
    if html is not None and html.is_file() and html.stat().st_size and not page.is_page(html):
        raise SettingError(
            f"--html {html} is there already and is no page of `lit-ae explore`, so it is not replaced: give another "
            "name, or remove it first"
        )
    subjects, data = _read(sources, samples, maps)
    if html is not None:
        print(page.write(subjects, data, html))
        return
    with Server(page.served(subjects, data), subjects, port) as server:
        print(f"open {server.address} in a browser; Ctrl-C ends the server", flush=True)
        try:
            server.serve_forever()
        except KeyboardInterrupt:
            print("ended")


def _read(sources: Sequence[str], samples: int, maps: tuple[Method, ...]) -> tuple[list[Subject], BaseDataModule]:
    subjects: list[Subject] = []
    first: BaseDataModule | None = None
    for source in sources:
        made, data = subject(source, samples, maps)
        if first is not None and (data.input_shape != first.input_shape or data.digest() != first.digest()):
            raise SettingError(
                f"RUN {source} was trained on other data than {sources[0]}, so that their samples cannot be linked: "
                "give runs with the same data and split_seed, or explore them one by one"
            )
        first = first or data
        subjects.append(made)
    assert first is not None
    return subjects, first
