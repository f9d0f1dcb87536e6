"""The host guard: the one place where our own failures are swallowed.

Whatever goes wrong inside Spanledger is logged once per place and never reaches the application. With
``SPANLEDGER_RAISE_ERRORS=1`` (tests, development) it is raised instead, so that a defect is seen.
"""

import logging
from types import TracebackType

_logger = logging.getLogger("spanledger")


class _Reports:
    """What was said already, and whether to raise instead."""

    def __init__(self) -> None:
        self.reraise = False
        self._seen: set[str] = set()

    def report(self, place: str, error: BaseException) -> None:
        """Log the first failure of a place; later ones of the same place are noise in the application's log."""
        if place in self._seen:
            return
        self._seen.add(place)
        _logger.warning("%s failed, and the application goes on without it (said once)", place, exc_info=error)

    def forget(self) -> None:
        """Let every place report again (tests)."""
        self._seen.clear()


reports = _Reports()


class shielded:  # noqa: N801  # reads as a statement: `with shielded("attaching openai"):`
    """Run a block of ours so that no exception of it reaches the host.

    ``BaseException`` that is not ``Exception`` (cancellation, exit) always passes: it is not ours to stop.
    """

    __slots__ = ("_place",)

    def __init__(self, place: str) -> None:
        self._place = place

    def __enter__(self) -> None:
        """Nothing to prepare."""

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _trace: TracebackType | None
    ) -> bool:
        """Swallow and report an ``Exception``, unless the guard was told to raise."""
        if not isinstance(error, Exception):
            return False
        if reports.reraise:
            return False
        reports.report(self._place, error)
        return True
