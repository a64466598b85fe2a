"""`lit-ae report --explorer`: pages beside a report on which the codes of its rows are explored."""

from pathlib import Path
from typing import TYPE_CHECKING

from lit_ae.errors import SettingError
from lit_ae.settings.names import file_name

if TYPE_CHECKING:
    from lit_ae.studies.spec import Study

SAMPLES = 2000  # largest number of test samples on a page, as for `lit-ae explore`


def explorer_pages(study: "Study", profile: str, folder: Path) -> dict[str, str]:
    """Write explorer/STUDY/ROW.html into the folder of a report for each row that has codes to explore.

    The page is that of the row's first seed, as `lit-ae explore RUN --html` writes it. A row whose run has no codes, or
    whose decoder is too large for a page or unknown to it, is named with the reason and left out.

    Returns:
        Row -> path of its page, relative to the folder.

    Raises:
        SettingError: unknown profile, no run at all, or a metric that no run logged.
    """
    from lit_ae.explorer.explore import explore
    from lit_ae.report.collect import collect

    pages: dict[str, str] = {}
    for row, runs in collect(study, profile).runs.items():
        if not runs:
            continue
        path = f"explorer/{study.name}/{file_name(row)}.html"
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        try:
            explore([runs[min(runs)].id], folder / path, 0, SAMPLES, ("tsne",))
        except SettingError as error:
            print(f"{row} gets no explorer page: {error}")
        else:
            pages[row] = path
    return pages
