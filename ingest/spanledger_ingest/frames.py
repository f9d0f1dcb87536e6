"""Tracebacks for logs: where an error came from, without its message, which can quote what somebody sent."""

import logging
import traceback
from typing import Final

_MOST: Final = 12
_CAUSES: Final = 3


def frames(error: BaseException) -> str:
    """Return the type of an error and of its causes, and the innermost lines of code each passed through."""
    found: list[str] = []
    chain: BaseException | None = error
    while chain is not None and len(found) < _CAUSES:
        passed = traceback.extract_tb(chain.__traceback__)[-_MOST:]
        steps = " > ".join(f"{frame.filename.rpartition('/')[2]}:{frame.lineno} {frame.name}" for frame in passed)
        found.append(f"{type(chain).__name__} at {steps or 'nowhere'}")
        chain = chain.__cause__
    return "; caused by ".join(found)


class WithoutMessages(logging.Filter):
    """Replaces the traceback of a record by the frames of its error."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Let every record pass, without what it would quote."""
        error = record.exc_info[1] if record.exc_info else None
        if error is not None:
            record.msg = f"{record.getMessage()}: {frames(error)}"
            record.args, record.exc_info, record.exc_text = None, None, None
        return True
