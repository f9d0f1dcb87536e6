"""The price book as rows, and back: what the store keeps of prices."""

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from spanledger.pricing import CODES, UNITS, Model, Priced, PriceTable, Rate, Rates, TokenUsage, Window

_TEXT, _DAY = pa.string(), pa.date32()
_PRICE = pa.decimal128(38, 18)
"""Wide enough for every price that is a double somewhere upstream, such as 0.08333333333333334."""

_COLUMNS: list[tuple[str, pa.DataType]] = [
    ("price_id", _TEXT),
    ("provider", _TEXT),
    ("model", _TEXT),
    ("match", _TEXT),
    ("context", _TEXT),
    ("valid_from", _DAY),
    ("time_of_day", _TEXT),
    ("unit", _TEXT),
    ("tier_above", pa.int64()),
    ("usd_per_million", _PRICE),
    ("source", _TEXT),
    ("price_version", _TEXT),
]

SCHEMA = pa.schema(_COLUMNS)
"""One row per unit price and tier; ``(price_id, unit, tier_above)`` is unique.

``match`` is the match rule as JSON. ``context`` is ``standard``, ``batch`` or a service tier. ``valid_from`` is a day
in UTC, null for since ever; ``time_of_day`` are UTC spans such as ``01:00-04:00,06:00-10:00``, null for the whole day.
``unit`` is a token class or ``requests``; the price holds for every token of a call whose whole input is longer than
``tier_above`` (0 is the base price). ``source`` is ``config`` for the user's own prices, ``price_version`` the list in
which the row was first seen.
"""

CONFIG = "config"
_DAY_MINUTES = 24 * 60


def rows_of(table: PriceTable) -> pa.Table:
    """Return all prices of a table in the order in which they are tried."""
    rows = [row for model in table.models() for row in _rows_of_model(model)]
    return pa.Table.from_pylist(rows, schema=SCHEMA)


def priced_from_rows(stored: pa.Table, price_id: str, usage: TokenUsage) -> Priced | None:
    """Price a usage by stored rows; ``None`` if the rows do not have the id."""
    rows = stored.filter(pc.field("price_id") == price_id).to_pylist()
    if not rows:
        return None
    rows.sort(key=lambda row: row["tier_above"])
    units = {row["unit"]: [step for step in rows if step["unit"] == row["unit"]] for row in rows}
    prices = {CODES[unit]: _rate(steps) for unit, steps in units.items()}
    return Rates(price_id.rpartition("#")[0], rows[0]["price_version"], prices).bill(usage)


def _rate(steps: Sequence[Mapping[str, Any]]) -> Rate:
    base, *tiers = steps
    return Rate(base["usd_per_million"], tuple((tier["tier_above"], tier["usd_per_million"]) for tier in tiers))


def _rows_of_model(model: Model) -> Iterator[dict[str, Any]]:
    for context in model.contexts:
        for window in model.windows(context):
            for rates, time_of_day in _by_rates(window):
                head = {
                    "price_id": rates.price_id,
                    "provider": model.provider.removeprefix(f"{CONFIG}:"),
                    "model": model.id,
                    "match": json.dumps(model.rule),
                    "context": context,
                    "valid_from": window.valid_from,
                    "time_of_day": time_of_day,
                    "source": CONFIG if model.source == CONFIG else "genai-prices",
                    "price_version": model.source,
                }
                yield from (head | prices for prices in _unit_prices(rates))


def _unit_prices(rates: Rates) -> Iterator[dict[str, Any]]:
    for code, rate in rates.prices.items():
        for above, price in [(0, rate.base), *rate.tiers]:
            yield {"unit": UNITS[code].token_class, "tier_above": above, "usd_per_million": price}


def _by_rates(window: Window) -> Iterator[tuple[Rates, str | None]]:
    """Yield the different rates of a day with the times at which they hold."""
    starts = [start // 60 for start in window.day_starts]
    times: dict[str, list[str]] = {}
    for rates, start, end in zip(window.rates, starts, [*starts[1:], _DAY_MINUTES], strict=True):
        times.setdefault(rates.price_id, []).append(f"{_clock(start)}-{_clock(end)}")
    for rates in {rates.price_id: rates for rates in window.rates}.values():
        yield rates, ",".join(times[rates.price_id]) if len(times) > 1 else None


def _clock(minute: int) -> str:
    return f"{minute // 60:02}:{minute % 60:02}"
