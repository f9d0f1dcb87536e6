"""What can go wrong in the service.

IngestError
├── OtlpError                         a request cannot be taken as it is
│   ├── BadDataError                  it cannot be decoded: the client must not send it again
│   ├── TooLargeError                 it exceeds a limit: the client must send less at once
│   └── UnsupportedEncodingError
├── DataDirError                      the data directory cannot be used
│   └── DataDirInUseError             another process owns it
├── PortError                         an address cannot be listened on
└── JournalError                      the journal cannot do its work
    ├── JournalFullError              too much waits for the store
    ├── JournalUnavailableError       the disk refused a write: nothing of it counts as stored
    └── JournalClosedError
"""


class IngestError(Exception):
    """Root of every error that the service raises on purpose."""


class OtlpError(IngestError):
    """An OTLP request cannot be taken as it is."""


class BadDataError(OtlpError):
    """The request cannot be decoded; sending it again would not help."""


class TooLargeError(OtlpError):
    """The request exceeds a limit, before or after decompression."""


class UnsupportedEncodingError(OtlpError):
    """The content type or content encoding is not one the receiver reads."""


class DataDirError(IngestError):
    """The data directory cannot be used."""


class DataDirInUseError(DataDirError):
    """Another process owns the data directory."""


class PortError(IngestError):
    """An address cannot be listened on."""


class JournalError(IngestError):
    """The journal cannot take or find an entry."""


class JournalFullError(JournalError):
    """Too much of the journal waits for the store; trying again soon may help."""


class JournalUnavailableError(JournalError):
    """The disk refused a write; nothing of it counts as stored."""


class JournalClosedError(JournalError):
    """The journal was closed."""
