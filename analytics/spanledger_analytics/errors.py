"""The exceptions of this package and of every store adapter.

AnalyticsError
├── InvalidQueryError        the query asks for something that does not exist
├── SqlRefusedError          the SQL text is not a plain read of the caller's views
├── SqlTimeoutError          the SQL ran longer than allowed
├── SqlCancelledError        its user wants no answer any more
├── SqlTooLargeError         the SQL needs more memory, or returns more bytes, than allowed
└── StoreError          the database itself is the problem
    ├── StoreUnreadableError     the directory or file cannot be opened by this user
    ├── StoreInUseError          another process has it open
    ├── StoreDamagedError        the file is not a sound database
    ├── StoreTooNewError         a newer version of Spanledger wrote it
    └── StoreUnavailableError    a failure that a later try may not meet (disk full, out of memory, just reopened)
        └── StoreReopenedError   the database was opened again and may be older than what was written to it
"""


class AnalyticsError(Exception):
    """Root of everything this package and its adapters raise on purpose."""


class InvalidQueryError(AnalyticsError, ValueError):
    """The query asks for something that does not exist."""


class SqlRefusedError(AnalyticsError):
    """The SQL text is not a plain read of the caller's views."""


class SqlTimeoutError(AnalyticsError):
    """The SQL ran longer than allowed."""


class SqlCancelledError(AnalyticsError):
    """Whoever sent the SQL wants no answer any more."""


class SqlTooLargeError(AnalyticsError):
    """The SQL needs more memory, or returns more bytes, than allowed."""


class StoreError(AnalyticsError):
    """The database itself is the problem."""


class StoreUnreadableError(StoreError):
    """The directory or file cannot be opened by this user."""


class StoreInUseError(StoreError):
    """Another process has the database open."""


class StoreDamagedError(StoreError):
    """The file is not a sound database."""


class StoreTooNewError(StoreError):
    """A newer version of Spanledger wrote the file."""


class StoreUnavailableError(StoreError):
    """A failure that a later try may not meet: disk full, out of memory, just reopened."""


class StoreReopenedError(StoreUnavailableError):
    """The database was opened again since the last append and may be older: go on from its journal position."""
