"""Billing identity: which spans describe the same model call, and which one of them is billed.

:func:`settle` decides, :func:`explain` says why, :func:`related_keys` names the stored facts that must take part,
:class:`Neighbours` also those that only time joins.
"""

from spanledger_ingest.settle._explain import REASONS, Explanation, explain
from spanledger_ingest.settle._keys import related_keys
from spanledger_ingest.settle._neighbours import Neighbours
from spanledger_ingest.settle._settle import settle

__all__ = ["REASONS", "Explanation", "Neighbours", "explain", "related_keys", "settle"]
