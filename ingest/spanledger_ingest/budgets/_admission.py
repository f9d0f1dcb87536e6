"""Admission in one service: the desk, the prices that it reckons with, and the jobs that keep it going."""

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final, Protocol

import pyarrow as pa

from spanledger.pricing import TokenUsage
from spanledger_alerts.admission import Bound, Desk, Question, Reply
from spanledger_alerts.budgets import nano_of
from spanledger_alerts.database import Database
from spanledger_ingest.api import Metric
from spanledger_ingest.jobs import Job
from spanledger_ingest.normalise import plain_model, provider_of
from spanledger_ingest.price_book import PriceBook, bound

_SAVE_SECONDS: Final = 0.1
_FOLLOW_SECONDS: Final = 0.5
_LENGTHS_SECONDS: Final = 600.0
_LENGTHS_NS: Final = 7 * 86_400 * 10**9
_ENOUGH_CALLS: Final = 200
"""So many calls of a model in a week before their lengths say anything."""
_DEFAULT_TOKENS: Final = 16_384
"""Of output, for a call that sets no limit: it gets this one."""
_SECOND_NS: Final = 10**9
_MARGIN_NS: Final = 60 * _SECOND_NS
_EARLIEST_NS: Final = 60 * _SECOND_NS

_TYPES: Final[dict[str, pa.DataType]] = {
    **dict.fromkeys(("id", "owner", "trace_id", "span_id"), pa.string()),
    "start_ns": pa.int64(),
}
_KEYS: Final = pa.schema(_TYPES)


class AdmissionStore(Protocol):
    """A store that can be asked about calls."""

    def stored_calls(self, keys: pa.Table) -> tuple[list[str], int]:
        """Return the ids of the calls that are stored, and a revision at which they were."""
        ...

    def output_lengths(self, since_ns: int, least: int) -> pa.Table:
        """Return ``owner``, ``model`` and ``p95`` of the tokens of output."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class AdmitRequest:
    """What an application says of the call that it wants to make."""

    owner: str
    model: str
    provider: str = ""
    names: Mapping[str, str] = field(default_factory=dict)
    """Tenant, use case, service and environment."""
    input_tokens: int = 0
    max_tokens: int | None = None
    min_tokens: int = 1
    choices: int = 1
    classes: tuple[str, ...] | None = None
    service_tier: str | None = None
    timeout_seconds: float = 600.0
    start_ns: int | None = None
    trace_id: str = ""
    span_id: str = ""


class Admission:
    """Answers questions before calls are made.

    Args:
        state: keeps what is held.
        store: knows which calls arrived.
        prices: what calls cost.
    """

    def __init__(
        self,
        state: Database,
        store: AdmissionStore,
        prices: PriceBook,
        *,
        clock: Callable[[], int] = time.time_ns,
    ) -> None:
        self.desk = Desk(state, clock=clock)
        self._store = store
        self._prices = prices
        self._clock = clock
        self._lengths: dict[tuple[str, str], int] = {}
        self._unpriced = 0

    def ask(self, request: AdmitRequest, *, lease: bool = False) -> Reply | None:
        """Decide about a call; ``None`` where its price is not known, so that nothing can be held for it."""
        question = self._question(request)
        return None if question is None else self.desk.ask(question, lease=lease)

    def lease(self, request: AdmitRequest) -> Reply | None:
        """Hand out a slice for calls like this one."""
        question = self._question(request)
        return None if question is None else self.desk.lease(question)

    def bound(self, request: AdmitRequest, now: int) -> Bound | None:
        """Return what a call can cost at most."""
        rates = self._prices.rates(*_named(request), now, request.service_tier)
        return None if rates is None else Bound(*bound(rates, request.input_tokens, request.classes))

    def expected(self, request: AdmitRequest) -> int | None:
        """Return what 95 % of the owner's answers of a model stay below."""
        return self._lengths.get((request.owner, request.model))

    def _question(self, request: AdmitRequest) -> Question | None:
        now = self._clock()
        most = self.bound(request, now)
        if most is None:
            self._unpriced += 1
            return None
        provider, model = _named(request)
        row: dict[str, str | None] = dict.fromkeys(("tenant", "use_case", "service", "environment"))
        row |= {**request.names, "owner": request.owner, "provider": provider, "model": model}
        start = now if request.start_ns is None else min(now, max(request.start_ns, now - _EARLIEST_NS))
        return Question(
            row=row,
            bound=most,
            tokens=_DEFAULT_TOKENS if request.max_tokens is None else request.max_tokens,
            choices=request.choices,
            least=request.min_tokens,
            expected=self.expected(request),
            start_ns=start,
            ttl_ns=int(request.timeout_seconds * _SECOND_NS) + _MARGIN_NS,
            trace_id=request.trace_id,
            span_id=request.span_id,
        )

    def cost(self, name: str, usage: TokenUsage, service_tier: str | None) -> int | None:
        """Return what usage costs of the model that a hold is for, in nano-USD; ``None`` if that is not known."""
        hold = self.desk.hold(name)
        if hold is None:
            return None
        amount = self._prices.cost(hold.provider or None, hold.model, usage, hold.start_ns, service_tier)
        return None if amount is None else nano_of(amount)

    # Jobs

    def follow(self) -> bool:
        """Let go of what the ledger has."""
        waiting = self.desk.waiting()
        if waiting:
            keys = pa.Table.from_pylist([one._asdict() for one in waiting], schema=_KEYS)
            self.desk.found(*self._store.stored_calls(keys))
        self.desk.refresh()
        return False

    def measure(self) -> bool:
        """Look how long answers are, where that is asked for."""
        if self.desk.is_needed:
            rows = self._store.output_lengths(self._clock() - _LENGTHS_NS, _ENOUGH_CALLS).to_pylist()
            self._lengths = {(row["owner"], row["model"]): row["p95"] for row in rows}
        return False

    def save(self) -> bool:
        """Write down what was answered."""
        self.desk.save()
        return False

    def metrics(self) -> Iterator[Metric]:
        """Yield what was decided, and what is held."""
        counts = [({"decision": decision}, count) for decision, count in self.desk.counts.items()]
        counts.append(({"decision": "unpriced"}, self._unpriced))
        yield Metric("spanledger_admissions_total", "counter", "Calls asked about, by what was decided.", counts)
        nano, kinds = self.desk.held()
        holds = [({"kind": kind}, number) for kind, number in kinds.items()]
        yield Metric("spanledger_admission_holds", "gauge", "Amounts held for calls, by kind.", holds)
        yield Metric("spanledger_admission_held_usd", "gauge", "USD held for calls.", [({}, nano / 1e9)])


def _named(request: AdmitRequest) -> tuple[str | None, str]:
    """Return provider and model as the call will be stored under."""
    provider = provider_of(request.provider) if request.provider else None
    return provider, plain_model(request.model, provider)


def admission_jobs(admission: Admission) -> list[Job]:
    """Return what has to be done all the time."""
    return [
        Job("admission-save", _SAVE_SECONDS, admission.save),
        Job("admission-follow", _FOLLOW_SECONDS, admission.follow),
        Job("admission-lengths", _LENGTHS_SECONDS, admission.measure),
    ]
