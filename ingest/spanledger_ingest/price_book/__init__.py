"""The dated price book: what every call was priced with, with the user's own prices on top.

The book is made from the price list of ``spanledger.pricing`` and from ``[[prices.override]]`` tables. Its rows belong
into the store, where they are only ever added: a ``price_id`` names the rates by their content, so an id on a call
means the same rates for ever, also after the list is upgraded.
"""

from spanledger_ingest.price_book._book import PriceBook
from spanledger_ingest.price_book._bounds import bound
from spanledger_ingest.price_book._overrides import OverrideError, read_overrides
from spanledger_ingest.price_book._rows import SCHEMA, priced_from_rows

__all__ = ["SCHEMA", "OverrideError", "PriceBook", "bound", "priced_from_rows", "read_overrides"]
