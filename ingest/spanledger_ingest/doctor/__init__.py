"""What may be wrong with a service, its machine and an application beside it, and how to mend it."""

from spanledger_ingest.doctor._examine import examine
from spanledger_ingest.doctor._finding import Finding, State

__all__ = ["Finding", "State", "examine"]
