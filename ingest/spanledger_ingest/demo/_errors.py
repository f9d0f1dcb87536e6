"""What can go wrong in the demo."""

from spanledger_ingest.errors import IngestError


class DemoError(IngestError):
    """The demo could not be carried out; the message says why and, where something can be done, what."""
