"""What was probably meant."""

import difflib
from collections.abc import Callable, Iterable


def nearest(word: str, known: Iterable[str], *, few: bool = False) -> str:
    """Return a hint at the name that was probably meant, else at what there is; with ``few``, only the former."""
    names = sorted(known)
    folded = {name.casefold(): name for name in names}
    match: Callable[..., list[str]] = difflib.get_close_matches
    near = match(word.casefold(), list(folded), n=1)
    if near:
        return f"; did you mean {folded[near[0]]!r}?"
    return "" if few or not names else f"; known are {', '.join(names)}"
