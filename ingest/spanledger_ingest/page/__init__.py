"""The built-in page: routes, and sessions of browsers."""

from spanledger_ingest.page._boards import BoardReader
from spanledger_ingest.page._routes import Pages

__all__ = ["BoardReader", "Pages"]
