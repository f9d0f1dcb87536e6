"""Labelled incidents: what is done to the traffic on purpose, so that a detector can be judged against the truth.

An incident changes drafts of calls while they are planned. The ledger keeps what the call would have used without it,
which makes the expected impact exact.
"""

from dataclasses import dataclass
from typing import Any, Protocol

from spanledger_ingest.traffic._catalogue import Usage


class Incident(Protocol):
    """A change to the calls of a scope between two times (ns)."""

    @property
    def id(self) -> str:
        """Name of the incident, unique in its world."""
        ...

    @property
    def onset_ns(self) -> int:
        """First moment at which calls are changed."""
        ...

    @property
    def end_ns(self) -> int:
        """First moment at which calls are as before."""
        ...

    def concerns(self, tenant_id: str, use_case: str) -> bool:
        """Tell whether calls of this tenant and use case are in its scope."""
        ...

    def usage(self, usage: Usage) -> Usage:
        """Return the tokens that a call in scope uses because of the incident."""
        ...

    @property
    def new_version(self) -> str | None:
        """The prompt version that came with it, if one did."""
        ...

    def describe(self) -> dict[str, Any]:
        """Return its entry in the truth file: kind, cause, scope, magnitude and root cause."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class PromptGrowth:
    """Someone deploys a prompt ``factor`` times as long; answers and the cached prefix stay the same."""

    id: str
    tenant_id: str
    use_case: str
    new_version: str
    factor: int
    onset_ns: int
    end_ns: int

    def concerns(self, tenant_id: str, use_case: str) -> bool:
        """See `Incident.concerns`."""
        return tenant_id == self.tenant_id and use_case == self.use_case

    def usage(self, usage: Usage) -> Usage:
        """See `Incident.usage`."""
        return usage._replace(input=usage.input * self.factor)

    def describe(self) -> dict[str, Any]:
        """See `Incident.describe`."""
        return {
            "kind": "cost_spike",
            "cause": "prompt_growth",
            "scope": {"tenant_id": self.tenant_id, "use_case": self.use_case},
            "magnitude": self.factor,
            "affected": ["input_tokens", "cost_usd"],
            "root_cause": {"prompt_version": self.new_version},
        }
