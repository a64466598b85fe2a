"""Texts for Markdown, in which it finds neither HTML nor links nor the end of a table's cell."""

import re
from typing import Any


def md_escaped(content: Any) -> Any:
    """Texts in which Markdown finds neither HTML nor links; everything else stays as it is."""
    if isinstance(content, dict):
        return {key: md_escaped(value) for key, value in content.items()}
    if isinstance(content, list):
        return [md_escaped(value) for value in content]
    if isinstance(content, str):
        return re.sub(r"<(?=[A-Za-z/!?])", "&lt;", content).replace("](", r"]\(")
    return content


def md_cell(value: object) -> str:
    """A text on one line, without the bar that ends a cell."""
    return re.sub(r"\s+", " ", str(value)).replace("|", r"\|")
