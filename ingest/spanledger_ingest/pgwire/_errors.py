"""What a client of the PostgreSQL wire is told, as SQLSTATE and message."""

from typing import Final

from spanledger_analytics.errors import (
    AnalyticsError,
    SqlCancelledError,
    SqlRefusedError,
    SqlTimeoutError,
    SqlTooLargeError,
    StoreError,
)
from spanledger_ingest.errors import IngestError

PROTOCOL: Final = "08P01"
SYNTAX: Final = "42601"
FORBIDDEN: Final = "42501"
READ_ONLY: Final = "25006"
TOO_MANY: Final = "53300"
LIMIT: Final = "54000"
CANCELLED: Final = "57014"
SHUTDOWN: Final = "57P01"
BAD_LOGIN: Final = "28P01"
NOT_ALLOWED: Final = "28000"
ABORTED: Final = "25P02"
UNSUPPORTED: Final = "0A000"
BAD_VALUE: Final = "22P02"
NO_STATEMENT: Final = "26000"
NO_PORTAL: Final = "34000"
INTERNAL: Final = "XX000"

_CODES: Final[tuple[tuple[type[AnalyticsError], str], ...]] = (
    (SqlCancelledError, CANCELLED),
    (SqlTimeoutError, CANCELLED),
    (SqlTooLargeError, LIMIT),
    (StoreError, "57P03"),
)
_REFUSALS: Final = (
    ("there is no table", "42P01"),
    ("Referenced column", "42703"),
    ("Referenced table", "42P01"),
    ("only a plain SELECT", READ_ONLY),
    ("is not allowed", FORBIDDEN),
    ("are not allowed", FORBIDDEN),
    ("Conversion Error", BAD_VALUE),
)


class WireError(IngestError):
    """Something that the client is told; ``fatal`` ends the connection."""

    def __init__(self, code: str, message: str, *, fatal: bool = False) -> None:
        super().__init__(message)
        self.code = code
        self.fatal = fatal


class GoneError(IngestError):
    """The client is no longer there."""


def told(error: AnalyticsError) -> WireError:
    """Return how a failure of the store reads on the wire."""
    message = str(error)
    if isinstance(error, SqlRefusedError):
        return WireError(next((code for sign, code in _REFUSALS if sign in message), SYNTAX), message)
    return WireError(next((code for kind, code in _CODES if isinstance(error, kind)), INTERNAL), message)
