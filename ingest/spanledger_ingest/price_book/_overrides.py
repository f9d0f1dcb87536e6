"""Prices of the user's own, from the configuration."""

import difflib
from collections.abc import Iterable, Mapping, Sequence
from datetime import date, datetime
from decimal import Decimal, InvalidOperation
from typing import Any

from spanledger.pricing import CODES, STANDARD, UNITS, Model, Override, PriceTable
from spanledger_ingest.errors import IngestError
from spanledger_ingest.price_book._rows import CONFIG

_KEYS = ("model", "provider", "valid_from", "context", "above", *CODES)
_TIER_KEYS = ("tokens", *CODES)


class OverrideError(IngestError):
    """A ``[[prices.override]]`` table that cannot be meant; the message names the key and what to write."""


def read_overrides(tables: Sequence[Mapping[str, Any]], table: PriceTable) -> list[Override]:
    """Return the entries of the configuration, in its order; tables for one model of one provider make one entry.

    Each table has ``model`` (a name, or a pattern with ``*`` at either end), prices in USD per million by token class
    (``input``, ``output``, ``cache_read``, ...), and may have ``provider`` (any, if left out), ``valid_from`` (a date),
    ``context`` (``batch`` or a service tier) and ``above``, a list of ``{tokens = 200000, input = ...}``.

    Raises:
        OverrideError: an unknown key, a price that is no number of zero or more, or prices that cannot be told apart.
    """
    entries: dict[tuple[str | None, str], dict[str, dict[date | None, Any]]] = {}
    for position, override in enumerate(tables, 1):
        where = f"prices.override {position}"
        _check_keys(where, override, _KEYS)
        provider, model = _text(where, override, "provider"), _text(where, override, "model")
        if model is None or "*" in model.strip("*") or model.startswith("re:"):
            raise OverrideError(f"{where}: model is {model!r}; give a name, or a part of one with * at either end")
        seller = table.seller(provider) if provider else None
        windows = entries.setdefault((seller, model.lower()), {}).setdefault(
            _text(where, override, "context") or STANDARD, {}
        )
        valid_from = _date(where, override.get("valid_from"))
        if valid_from in windows:
            raise OverrideError(f"{where}: {model!r} has two prices for the same provider, context and valid_from")
        windows[valid_from] = _rates(where, override)
    return [_entry(seller, model, contexts) for (seller, model), contexts in entries.items()]


def _entry(seller: str | None, model: str, contexts: Mapping[str, Mapping[date | None, Any]]) -> Override:
    prices = {context: _dated(windows) for context, windows in contexts.items()}
    standard = prices.pop(STANDARD, [None])
    return Override(seller, Model(f"{CONFIG}:{seller or 'any'}", CONFIG, [model, 0, standard, prices]))


def _dated(windows: Mapping[date | None, Any]) -> list[Any]:
    days = sorted(day for day in windows if day is not None)
    later = [part for day in days for part in (day.isoformat(), windows[day])]
    return [windows.get(None), *later]


def _rates(where: str, override: Mapping[str, Any]) -> dict[str, Any]:
    steps = {CODES[key]: [_price(where, key, override[key])] for key in CODES if key in override}
    _check_units(where, steps.keys())
    for tier in _tiers(where, override.get("above", [])):
        for key, value in tier.items():
            if key != "tokens" and CODES[key] not in steps:
                raise OverrideError(f"{where}: above has a price for {key} and the table itself has none")
            if key != "tokens":
                steps[CODES[key]] += [tier["tokens"], _price(where, key, value)]
    return steps


def _tiers(where: str, tiers: Any) -> list[Mapping[str, Any]]:
    if not isinstance(tiers, list) or not all(isinstance(tier, Mapping) for tier in tiers):
        raise OverrideError(f"{where}: above is a list of tables such as {{tokens = 200000, input = 4.0}}")
    for tier in tiers:
        _check_keys(f"{where}: above", tier, _TIER_KEYS)
        if type(tier.get("tokens")) is not int or tier["tokens"] < 0:
            raise OverrideError(f"{where}: above needs tokens, the length of the input above which it holds")
    return sorted(tiers, key=lambda tier: int(tier["tokens"]))


def _check_keys(where: str, table: Mapping[str, Any], known: Sequence[str]) -> None:
    for key in table:
        if key not in known:
            near = difflib.get_close_matches(key, known, n=1)
            hint = f"did you mean {near[0]!r}?" if near else f"known are {', '.join(known)}"
            raise OverrideError(f"{where}: unknown key {key!r}; {hint}")


def _check_units(where: str, codes: Iterable[str]) -> None:
    """Refuse prices between which a token could fall: each part needs its total, two that overlap their overlap."""
    units = [UNITS[code] for code in codes]
    priced = {unit.traits for unit in units}
    if not units:
        raise OverrideError(f"{where}: no price; give at least input, in USD per million tokens")
    named = {unit.traits: unit.token_class for unit in UNITS.values()}
    for unit in units:
        totals = [other for other in named if other < unit.traits and other not in priced]
        if totals:
            raise OverrideError(f"{where}: {unit.token_class} is part of {named[totals[0]]}, which has no price")
        for other in units:
            both = unit.traits | other.traits
            if both in named and both not in priced:
                raise OverrideError(f"{where}: {unit.token_class} and {other.token_class} need {named[both]} as well")


def _price(where: str, key: str, value: Any) -> str:
    try:
        price = None if isinstance(value, bool) else Decimal(str(value))
    except InvalidOperation:
        price = None
    if price is None or not price.is_finite() or price < 0:
        raise OverrideError(f"{where}: {key} is {value!r}; a price is a number of zero or more, USD per million")
    return str(price)


def _date(where: str, value: Any) -> date | None:
    if isinstance(value, str):
        try:
            value = date.fromisoformat(value)
        except ValueError:
            value = object()
    if value is None or (isinstance(value, date) and not isinstance(value, datetime)):
        return value
    raise OverrideError(f"{where}: valid_from is a day in UTC, written 2026-01-31")


def _text(where: str, override: Mapping[str, Any], key: str) -> str | None:
    value = override.get(key)
    if value is not None and (not isinstance(value, str) or not value.strip()):
        raise OverrideError(f"{where}: {key} is {value!r}, which is not a name")
    return None if value is None else value.strip()
