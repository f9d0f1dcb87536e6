"""Compares what was stored with the truth: the generator's ledger, and the books of the fake provider."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from spanledger_ingest.demo._answers import TokenCounts
from spanledger_ingest.demo.fake_provider import ServedRequest
from spanledger_ingest.traffic import MODELS, Usage

Row = dict[str, Any]

_TOKENS = ("input_tokens", "output_tokens", "cache_read_tokens", "cache_write_tokens", "reasoning_tokens")
_COLUMNS = ("calls", "errors", *_TOKENS, "cost_usd")
_NANO = Decimal("1e-9")
_EMBEDDING_NANO_USD = {"text-embedding-3-small": 20}
_PRICES = {model.snapshot: model for model in MODELS}


@dataclass(frozen=True, slots=True)
class Check:
    """A statement about the stored numbers, and whether it holds."""

    claim: str
    holds: bool
    detail: str = ""
    """What differs, if it does not hold."""


def exact(value: Any) -> Decimal:
    """Return a number of a REST row as it was written; an unknown one adds nothing to a sum."""
    return Decimal(0) if value is None else Decimal(str(value))


def backfill_checks(truth: Row, usage: Sequence[Row]) -> list[Check]:
    """Check that every tenant and every model has exactly the calls, tokens and dollars of the truth file.

    Args:
        truth: The generator's truth.
        usage: Rows of ``/usage?by=tenant,model``; tenants that the truth does not know are left out.
    """
    named = {row["tenant_id"] for row in truth["tenants"]}
    known = [row for row in usage if row["tenant"] in named]
    expected = {row["tenant_id"]: row for row in truth["tenants"] if row["calls"]}
    asked = {row["model"]: row for row in truth["models"]}
    return [
        _compare(
            f"{len(expected)} tenants: calls, errors, tokens by class and USD are exact",
            expected,
            _sums(known, "tenant"),
        ),
        _compare(f"{len(asked)} models: the same", asked, _sums(known, "model")),
    ]


def _sums(rows: Iterable[Row], dimension: str) -> dict[str, Row]:
    """Add rows up by one dimension."""
    sums: dict[str, Row] = {}
    for row in rows:
        total = sums.setdefault(row[dimension], dict.fromkeys(_COLUMNS, Decimal(0)))
        for column in _COLUMNS:
            total[column] += exact(row[column])
    return sums


def _compare(claim: str, expected: dict[str, Row], stored: dict[str, Row]) -> Check:
    differences = [
        f"{key}: {column} is {row.get(column)}, not {want[column]}"
        for key, want in expected.items()
        for row in (stored.get(key, {}),)
        for column in _COLUMNS
        if exact(row.get(column)) != Decimal(str(want[column]))
    ]
    return Check(claim, not differences, "; ".join(differences[:5]))


def billed(served: Iterable[ServedRequest]) -> Iterator[ServedRequest]:
    """Yield the answers whose usage reached the client: those for which an exact bill can be expected."""
    return (request for request in served if request.status == 200 and request.completed and request.told_usage)


def invoice(request: ServedRequest) -> int | None:
    """Return what the provider charges for a request in nano-USD at list price, or None for a model without one."""
    usage = request.usage
    if request.model in _EMBEDDING_NANO_USD:
        return usage.input * _EMBEDDING_NANO_USD[request.model]
    model = _PRICES.get(request.model)
    if model is None:
        return None
    return model.cost(Usage(usage.input, usage.output, usage.cache_read, usage.cache_write, usage.reasoning))


def attempts(served: Iterable[ServedRequest]) -> int:
    """Count the calls that the application made: the SDK's own repetitions are part of the call that they repeat."""
    return sum(request.headers.get("x-stainless-retry-count", "0") == "0" for request in served)


def live_checks(served: Sequence[ServedRequest], calls: Sequence[Row]) -> list[Check]:
    """Check the stored live calls against the provider's books."""
    made = attempts(served)
    return [
        Check(f"{made} live calls are stored, each once", len(calls) == made, f"stored are {len(calls)}"),
        _tokens(served, calls),
        _answers(served, calls),
        _money(served, calls),
        _unpriced(served, calls),
    ]


def _tokens(served: Sequence[ServedRequest], calls: Sequence[Row]) -> Check:
    due = TokenCounts(*map(sum, zip(*(request.usage for request in billed(served)), strict=True)))
    want = (due.input, due.output, due.cache_read, due.cache_write, due.reasoning)
    have = tuple(sum(call[column] or 0 for call in calls) for column in _TOKENS)
    claim = f"tokens equal the provider's books: {due.input:,} in ({due.cache_read:,} cached), {due.output:,} out"
    return Check(claim, have == want, f"stored are {dict(zip(_TOKENS, have, strict=True))}, billed were {want}")


def _answers(served: Sequence[ServedRequest], calls: Sequence[Row]) -> Check:
    stored = {call["response_id"]: (call["input_tokens"], call["output_tokens"]) for call in calls}
    wrong = [
        request.response_id
        for request in billed(served)
        if request.response_id and stored.get(request.response_id) != (request.usage.input, request.usage.output)
    ]
    return Check("every answer is found under the provider's own id with its tokens", not wrong, ", ".join(wrong[:5]))


def _money(served: Sequence[ServedRequest], calls: Sequence[Row]) -> Check:
    due = Decimal(sum(invoice(request) or 0 for request in billed(served))) * _NANO
    have = sum((exact(call["cost_usd"]) for call in calls), Decimal(0))
    return Check(
        f"cost equals the provider's bill to a billionth: {due:.9f} USD", have == due, f"stored are {have} USD"
    )


def _unpriced(served: Sequence[ServedRequest], calls: Sequence[Row]) -> Check:
    answered = sum(request.status == 200 for request in served)
    refused, untold = attempts(served) - answered, answered - len(list(billed(served)))
    unlisted = sum(invoice(request) is None for request in billed(served))
    want = {"unpriced_model": unlisted, "no_usage": refused + untold}
    have = {status: sum(call["cost_status"] == status for call in calls) for status in want}
    costless = sum(call["cost_usd"] is None for call in calls)
    claim = (
        f"unknown stays unknown: {unlisted} call of an unlisted model, {untold} abandoned stream "
        f"and {refused} refused calls have no cost"
    )
    return Check(claim, have == want and costless == sum(want.values()), f"stored are {have}, {costless} without cost")
