"""The nearest allowed name, for messages about a name that does not exist."""


def near_match(name: str, known: list[str]) -> str:
    """`: did you mean 'X'?` if one of the allowed names is similar, else `: choose one of` all of them."""
    import difflib

    lower = {k.lower(): k for k in known}
    close = difflib.get_close_matches(name.lower(), list(lower), n=1, cutoff=0.5)
    return f": did you mean {lower[close[0]]!r}?" if close else f": choose one of {', '.join(known)}"
