"""Pricing stored calls again, after prices changed. Who is billed, and for how many tokens, stays as it is."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Final, Protocol

import pyarrow as pa

from spanledger_analytics import schema
from spanledger_analytics.ports import CallKeys, Related, SpanKey
from spanledger_analytics.queries import Window
from spanledger_analytics.records import Call, CallFacts

PAGE: Final = 2_000
"""Calls looked at in one step."""

_HOUR_NS: Final = 3600 * 10**9
_TYPES: Final[dict[str, pa.DataType]] = {
    "new_cost_usd": schema.MONEY,
    "new_cost_status": schema.TEXT,
    "new_price_id": schema.TEXT,
}
_NEW: Final = pa.schema(_TYPES)

After = tuple[int, str, str, str]
Row = dict[str, Any]


class CostStore(Protocol):
    """A store whose costs can be replaced."""

    def related(self, keys: CallKeys) -> Related:
        """Return stored facts that may share a call with those named."""
        ...

    def costs(self, window: Window, after: After | None, limit: int) -> pa.Table:
        """Return billable calls with their costs, in the order of their keys."""
        ...

    def remaining_costs(self, window: Window, after: After | None) -> int:
        """Return how many there are behind ``after``."""
        ...

    def replace_costs(self, changes: pa.Table) -> int:
        """Replace costs of calls that are still as they were read; return how many were."""
        ...


@dataclass(slots=True)
class ModelChange:
    """What changes for the calls of one model; money in USD, unknown costs count as 0."""

    model: str
    calls: int = 0
    before: Decimal = Decimal(0)
    after: Decimal = Decimal(0)


@dataclass(frozen=True, slots=True)
class Step:
    """What one step found."""

    examined: int
    changes: Sequence[ModelChange]
    replaced: int
    """Fewer than changes: new spans of a call came meanwhile, and priced it anew; or none were to be replaced."""
    after: After | None
    """Where the next step begins; ``None`` at the end."""
    remaining: int

    def as_json(self) -> Row:
        """Return what is told of it; money as decimal numbers in text."""
        changes = [
            {"model": c.model, "calls": c.calls, "before_usd": str(c.before), "after_usd": str(c.after)}
            for c in self.changes
        ]
        return {
            "examined": self.examined,
            "replaced": self.replaced,
            "remaining": self.remaining,
            "changes": changes,
        }


class Repricing:
    """Prices stored calls as arriving ones are priced now.

    Args:
        store: whose calls.
        settle: puts together what several spans say of one call: the tokens of some classes are in the facts only.
        price: gives a call its cost.
    """

    def __init__(
        self,
        store: CostStore,
        settle: Callable[[Iterable[CallFacts], Mapping[SpanKey, str | None]], Sequence[Call]],
        price: Callable[[Call], Call],
    ) -> None:
        self._store = store
        self._settle = settle
        self._price = price

    def step(self, window: Window, after: After | None = None, *, dry_run: bool = False) -> Step:
        """Look at the next calls of the window, at most ``PAGE`` of them, and replace what they cost."""
        found = self._store.costs(window, after, PAGE)
        rows: list[Row] = found.to_pylist()
        changed, news = self._changed(rows)
        replaced = 0
        if changed and not dry_run:
            table = found.take(pa.array(changed, pa.int64()))
            for name, column in zip(_NEW.names, pa.Table.from_pylist(news, schema=_NEW).columns, strict=True):
                table = table.append_column(name, column)
            replaced = self._store.replace_costs(table)
        last = rows[-1] if len(rows) == PAGE else None
        place = None if last is None else (last["start_ns"], last["owner"], last["trace_id"], last["span_id"])
        remaining = 0 if place is None else self._store.remaining_costs(window, place)
        return Step(len(rows), _by_model(rows, changed, news), replaced, place if remaining else None, remaining)

    def _changed(self, rows: Sequence[Row]) -> tuple[list[int], list[Row]]:
        calls = self._settled(rows)
        changed, news = [], []
        for place, row in enumerate(rows):
            call = calls.get((row["owner"], row["trace_id"], row["span_id"]))
            if call is None or not _is_same(call, row):
                continue
            new = {"new_cost_usd": call.cost_usd, "new_cost_status": call.cost_status, "new_price_id": call.price_id}
            if any(new[f"new_{name}"] != row[name] for name in ("cost_usd", "cost_status", "price_id")):
                changed.append(place)
                news.append(new)
        return changed, news

    def _settled(self, rows: Sequence[Row]) -> dict[SpanKey, Call]:
        if not rows:
            return {}
        keys = CallKeys(
            trace_ids={(row["owner"], row["trace_id"]) for row in rows},
            response_ids={(row["owner"], row["response_id"]) for row in rows if row["response_id"]},
            start_ns=max(0, min(row["start_ns"] for row in rows) - _HOUR_NS),
            end_ns=max(row["end_ns"] for row in rows) + _HOUR_NS,
        )
        related = self._store.related(keys)
        settled = map(self._price, self._settle(related.facts, related.parents))
        return {(call.own.owner, call.own.trace_id, call.own.span_id): call for call in settled}


def _is_same(call: Call, row: Row) -> bool:
    """Tell whether settlement finds again what the row says; where it does not, its price is not comparable."""
    usage = call.facts.usage
    counted = (usage.input, usage.output, usage.cache_read, usage.cache_write, usage.reasoning)
    return call.billable and counted == tuple(row[name] for name in schema.USAGE_TOKENS)


def _by_model(rows: Sequence[Row], changed: Sequence[int], news: Sequence[Row]) -> list[ModelChange]:
    found: dict[str, ModelChange] = {}
    for place, new in zip(changed, news, strict=True):
        name = rows[place]["model"] or "unknown model"
        change = found.setdefault(name, ModelChange(name))
        change.calls += 1
        change.before += rows[place]["cost_usd"] or 0
        change.after += new["new_cost_usd"] or 0
    return list(found.values())
