"""Columns of ``llm_calls``, each made from traffic as a service would make it from the spans."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute

from spanledger.pricing import PriceTable, TokenUsage
from spanledger_ingest.traffic import _lexicon as lex
from spanledger_ingest.traffic._catalogue import MODELS, USE_CASES
from spanledger_ingest.traffic._draws import Flags, Whole, Wide, mix
from spanledger_ingest.traffic._requests import FAULTS, FINISHES, RESPONSE_SALTS
from spanledger_ingest.traffic._rows import NO_FAULT, Traffic
from spanledger_ingest.traffic._served import SERVED
from spanledger_ingest.traffic._world import World

Column = Any
"""A pyarrow array; their types say less than the schema does."""
_compute: Any = pyarrow.compute
_lists: Any = pa.ListArray
_dictionaries: Any = pa.DictionaryArray
_buffer: Any = pa.py_buffer

_DAY_US: Final = 86_400_000_000
_STATUS: Final = {"429": 429, "500": 500, "504": 504, "RateLimitError": 429, "InternalServerError": 500}
_KNOWN_FINISHES: Final = {"tool_calls": "tool_call", "max_tokens": "length", "safety": "content_filter"}
_ONE_TOKEN: Final = TokenUsage(input=1, output=1)


@dataclass(slots=True, eq=False)
class Rows:
    """Traffic, with what many columns are made of."""

    world: World
    made: Traffic

    @property
    def good(self) -> Flags:
        good: Flags = self.made.calls.fault == NO_FAULT
        return good

    @property
    def case(self) -> Whole:
        case: Whole = self.of_request(self.world.lexicon.case[self.made.requests.load])
        return case

    @property
    def provider(self) -> Whole:
        return lex.PROVIDER_OF[self.made.calls.model]

    def of_request(self, column: Any) -> Any:
        return column[self.made.calls.request]

    def tokens(self, column: Whole) -> Column:
        return pa.array(column, mask=column == 0)

    def text(self, names: Sequence[str | None], places: Whole) -> Column:
        return _dictionaries.from_arrays(pa.array(places.astype(np.int32)), pa.array(names, pa.string())).cast(
            pa.string()
        )

    def where_good(self, names: Sequence[str | None], places: Whole, otherwise: str | None = None) -> Column:
        return self.text([*names, otherwise], np.where(self.good, places, len(names)))


def _hex(*words: Wide) -> Column:
    """Return 64-bit words as hexadecimal text, one after the other."""
    table = np.stack(words, axis=1).astype(">u8").view(np.uint8)
    digits = _digits()[table].reshape(len(table), -1)
    width = digits.shape[1]
    ends = np.arange(len(table) + 1, dtype=np.int32) * width
    return pa.Array.from_buffers(pa.string(), len(table), [None, _buffer(ends), _buffer(digits)])


@cache
def _digits() -> "np.ndarray[Any, np.dtype[np.uint8]]":
    text = "".join(f"{byte:02x}" for byte in range(256)).encode()
    return np.frombuffer(text, dtype=np.uint8).reshape(256, 2)


def _money(rows: Rows) -> Column:
    cost = rows.made.calls.cost
    wide = np.zeros((len(cost), 2), dtype="<i8")
    wide[:, 0] = cost
    exact = pa.Array.from_buffers(pa.decimal128(18, 9), len(cost), [None, _buffer(wide)])
    return _compute.if_else(pa.array(rows.good), exact, pa.scalar(None, exact.type))


def _user(rows: Rows) -> Column:
    users = rows.of_request(rows.made.requests.user)
    return rows.text([f"u-{user:04d}" for user in range(int(users.max()) + 1)], users)


def _session(rows: Rows) -> Column:
    hour = pa.array(rows.of_request(rows.made.requests.hour)).cast(pa.string())
    session = _compute.binary_join_element_wise(_user(rows), hour, "-")
    return _compute.utf8_replace_slice(session, 0, 1, "s")


def _versions(rows: Rows) -> Column:
    versions = rows.of_request(rows.made.requests.version)
    return rows.text([f"v{version}" for version in range(int(versions.max()) + 1)], versions)


def _response(rows: Rows) -> Column:
    span = rows.made.calls.span
    ids = _hex(*(mix(span, salt) for salt in RESPONSE_SALTS))
    prefixes = rows.text([model.provider.id_prefix for model in MODELS], rows.made.calls.model)
    return _compute.if_else(
        pa.array(rows.good), _compute.binary_join_element_wise(prefixes, ids, ""), pa.scalar(None, pa.string())
    )


def _price_ids(rows: Rows) -> Column:
    served, days = rows.made.calls.served, rows.made.calls.start_us // _DAY_US
    key = (days - days.min()) * len(SERVED) + served
    first = int(days.min())
    names = [_price_id(place % len(SERVED), first + place // len(SERVED)) for place in range(int(key.max()) + 1)]
    return rows.where_good(names, key)


@cache
def _price_id(served: int, day: int) -> str | None:
    model = next(model for model in MODELS if model.name == SERVED[served].asked)
    at_ns = day * _DAY_US * 1000
    found = PriceTable.load().price(
        provider=model.provider.stored,
        request_model=model.name,
        response_model=SERVED[served].name,
        usage=_ONE_TOKEN,
        at_ns=at_ns,
        operation=model.provider.operation,
    )
    return found.price_id


def _errors(rows: Rows) -> Column:
    return rows.text([*_faults(), None], _fault_places(rows))


def _http_status(rows: Rows) -> Column:
    statuses = np.array([_STATUS.get(name.rpartition(".")[2], 0) for name in _faults()] + [0])
    return rows.tokens(statuses[_fault_places(rows)])


@cache
def _faults() -> tuple[str, ...]:
    providers = {model.provider.stored: model.provider for model in MODELS}
    return tuple(providers[name].error_types[fault] for name in lex.PROVIDERS for fault in FAULTS)


def _fault_places(rows: Rows) -> Whole:
    return np.where(rows.good, len(_faults()), rows.provider * len(FAULTS) + rows.made.calls.fault)


def _raw_finishes() -> list[str]:
    providers = {model.provider.stored: model.provider for model in MODELS}
    return [providers[name].finishes[finish] for name in lex.PROVIDERS for finish in FINISHES]


def _finish(rows: Rows) -> Column:
    # Google's API says "stop" when the model calls a tool.
    words = [_KNOWN_FINISHES.get(word, word) for word in _raw_finishes()]
    return rows.where_good(words, rows.provider * len(FINISHES) + rows.made.calls.finish, "error")


def _raw_finish(rows: Rows) -> Column:
    good = rows.good
    places = (rows.provider * len(FINISHES) + rows.made.calls.finish)[good]
    ends = np.concatenate([[0], np.cumsum(good)]).astype(np.int32)
    return _lists.from_arrays(pa.array(ends), rows.text(_raw_finishes(), places))


def _flag(which: Flags) -> Column:
    """Return true, or nothing: what is false is not said."""
    return pa.array(which, mask=~which)


def _constant(value: str) -> "Callable[[Rows], Column]":
    return lambda rows: pa.repeat(pa.scalar(value), len(rows.made))


COLUMNS: Final[dict[str, Callable[[Rows], Column]]] = {
    "owner": _constant(""),
    "start_ns": lambda rows: pa.array(rows.made.calls.start_us * 1000),
    "end_ns": lambda rows: pa.array(rows.made.calls.end_us * 1000),
    "time": lambda rows: pa.array(rows.made.calls.start_us).cast(pa.timestamp("us", tz="UTC")),
    "trace_id": lambda rows: _hex(*map(rows.of_request, (rows.made.requests.trace_high, rows.made.requests.trace_low))),
    "span_id": lambda rows: _hex(rows.made.calls.span),
    "parent_span_id": lambda rows: _hex(rows.of_request(rows.made.requests.span)),
    "tenant_id": lambda rows: rows.text([t.id for t in rows.world.tenants], rows.of_request(rows.made.requests.tenant)),
    "user_id": _user,
    "session_id": _session,
    "use_case": lambda rows: rows.text(lex.CASES, rows.case),
    "service_name": lambda rows: rows.text([case.service for case in USE_CASES], rows.case),
    "environment": _constant("production"),
    "region": lambda rows: rows.text(lex.REGIONS, rows.of_request(rows.made.requests.region)),
    "provider": lambda rows: rows.text(lex.PROVIDERS, rows.provider),
    "operation": lambda rows: rows.text([model.provider.operation for model in MODELS], rows.made.calls.model),
    "request_model": lambda rows: rows.text(lex.MODEL_NAMES, rows.made.calls.model),
    "response_model": lambda rows: rows.where_good([served.name for served in SERVED], rows.made.calls.served),
    "response_id": _response,
    "prompt_name": lambda rows: rows.text([case.prompt for case in USE_CASES], rows.case),
    "prompt_version": _versions,
    "input_tokens": lambda rows: rows.tokens(rows.made.calls.input),
    "output_tokens": lambda rows: rows.tokens(rows.made.calls.output),
    "cache_read_tokens": lambda rows: rows.tokens(rows.made.calls.cache_read),
    "cache_write_tokens": lambda rows: rows.tokens(rows.made.calls.cache_write),
    "reasoning_tokens": lambda rows: rows.tokens(rows.made.calls.reasoning),
    "usage_source": lambda rows: rows.text(("missing", "provider"), rows.good.astype(np.int64)),
    "cost_usd": _money,
    "cost_status": lambda rows: rows.text(("no_usage", "priced"), rows.good.astype(np.int64)),
    "price_id": _price_ids,
    "finish_reason": _finish,
    "finish_reasons_raw": _raw_finish,
    "stream": lambda rows: _flag(rows.made.calls.stream),
    "ttft_ms": lambda rows: pa.array(rows.made.calls.ttft_us / 1000, mask=~rows.made.calls.stream),
    "duration_ms": lambda rows: pa.array((rows.made.calls.end_us - rows.made.calls.start_us) / 1000),
    "status": lambda rows: rows.text(("error", "ok"), rows.good.astype(np.int64)),
    "error_type": _errors,
    "http_status": _http_status,
    "billable": lambda rows: pa.repeat(pa.scalar(value=True), len(rows.made)),
    "billing_reason": lambda rows: rows.text(("error_without_usage", "only_span"), rows.good.astype(np.int64)),
    "dialect": _constant("genai"),
    "scope_name": lambda rows: rows.text([model.provider.scope for model in MODELS], rows.made.calls.model),
    "model": lambda rows: rows.text(lex.MODEL_NAMES, rows.made.calls.model),
}
"""How each column is made; the others are null."""
