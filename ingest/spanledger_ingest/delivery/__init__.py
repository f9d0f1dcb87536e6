"""Delivery in the service: receivers of the configuration, the outbox in ``state.db``, the record of attempts."""

from spanledger_ingest.delivery._delivery import Delivery
from spanledger_ingest.delivery._receivers import Receivers, receivers_of

__all__ = ["Delivery", "Receivers", "receivers_of"]
