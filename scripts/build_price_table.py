"""Write the compact price list of spanledger.pricing from the installed genai-prices.

    python scripts/build_price_table.py           # write it
    python scripts/build_price_table.py --check   # exit 1 if the committed one differs

genai-prices resolves dates, times of day and price contexts while it calculates. Here that is done once: its own
``get_prices`` is asked at every moment at which an answer can change.
"""

import argparse
import json
import re
import sys
from collections.abc import Iterator
from datetime import UTC, date, datetime, time
from decimal import Decimal
from importlib.metadata import version
from pathlib import Path
from typing import Any

from genai_prices import types
from genai_prices.data import providers

TARGET = Path(__file__).parent.parent / "instrumentation" / "spanledger" / "pricing" / "prices.json"

CODES = {
    "input_mtok": "i",
    "cache_read_mtok": "r",
    "cache_write_mtok": "w",
    "cache_write_1h_mtok": "h",
    "input_audio_mtok": "ai",
    "cache_audio_read_mtok": "ar",
    "input_image_mtok": "ii",
    "cache_image_read_mtok": "ir",
    "input_video_mtok": "vi",
    "output_mtok": "o",
    "output_reasoning_mtok": "n",
    "output_citation_mtok": "c",
    "output_audio_mtok": "ao",
    "output_image_mtok": "io",
    "output_video_mtok": "vo",
    "requests_kcount": "q",
}
NOT_TOKENS = frozenset(
    {"web_searches_kcount", "storage_searches_kcount", "audio_hours", "input_audio_hours", "input_mchars"}
    | {"input_document_kpages", "input_annotated_document_kpages", "input_text_messages_kcount"}
)
"""Units that no span reports: tool fees, hours, characters, pages."""

LITERALS = {"equals": "{}", "starts_with": "{}*", "ends_with": "*{}", "contains": "*{}*"}

UNVERIFIED = re.compile(r"Imported from OpenRouter pricing; verify against(?!.*Verified against)", re.DOTALL)
"""Entries that genai-prices itself does not vouch for: they hide the models of that name, without a price."""

FREE = {("openai", "moderation")}
"""Free by the provider's own documentation. An entry without prices is otherwise unknown, not free."""

LONG_AGO = datetime(2000, 1, 1, tzinfo=UTC)
CONTEXTS = frozenset({"processing", "service_tier", "speed"})
"""What a variant may depend on for us: no span tells the route or the kind of search."""


def rule_of(clause: Any) -> Any:
    """Return a match clause in the notation of spanledger.pricing."""
    match clause:
        case types.ClauseOr(or_=parts):
            rules = [rule_of(part) for part in parts]
            return sorted(set(rules)) if all(isinstance(rule, str) for rule in rules) else rules
        case types.ClauseAnd(and_=parts):
            return {"all": [rule_of(part) for part in parts]}
        case types.ClauseRegex(regex=text):
            return f"re:{text}"
        case _:
            ((kind, text),) = clause.__dict__.items()
            return LITERALS[kind].format(text.lower())


def number(value: Decimal) -> int | float:
    """Return a price as a JSON number that reads back as the same decimal."""
    text = f"{value.normalize():f}"
    short = float(text)
    if Decimal(repr(short)) != value:
        raise ValueError(f"{value} has more digits than a double keeps")
    return int(short) if short.is_integer() else short


def rate_of(key: str, value: Any) -> Any:
    """Return USD per million, or a list of base and tiers."""
    factor = 1000 if key == "requests_kcount" else 1
    if isinstance(value, types.TieredPrices):
        steps = [number(value.base * factor)]
        for tier in value.tiers:
            steps += [tier.start, number(tier.price * factor)]
        return steps
    return number(value * factor)


def rates_of(provider: types.Provider, model: types.ModelInfo, prices: types.ModelPrice) -> dict[str, Any]:
    """Return the rates of one moment by unit code."""
    given = {key: value for key, value in prices.__dict__.items() if value is not None and key not in NOT_TOKENS}
    if UNVERIFIED.search(model.price_comments or ""):
        return {}
    if not prices.__dict__ and (model.id.endswith(":free") or (provider.id, model.id) in FREE):
        return {"i": 0, "o": 0}
    return {code: rate_of(key, given[key]) for key, code in CODES.items() if key in given} | unknown(given)


def unknown(given: dict[str, Any]) -> dict[str, Any]:
    """Refuse units this script has never heard of."""
    if strange := given.keys() - CODES.keys():
        raise ValueError(f"new units: {', '.join(sorted(strange))}; add them to CODES and to spanledger.pricing._units")
    return {}


def constraints(model: types.ModelInfo, context: str | None) -> Iterator[Any]:
    """Yield what makes the price of a context depend on time."""
    if isinstance(model.prices, list):
        yield from (price.constraint for price in model.prices if price.constraint)
    for variant in model.price_variants or ():
        if variant.constraint and context in variant.when.values():
            yield variant.constraint


def by_time(provider: types.Provider, model: types.ModelInfo, day: date, when: dict[str, str]) -> Any:
    """Return the rates of a day, by time of day if they change within it."""
    times = {time(0)}
    for constraint in constraints(model, None):
        if isinstance(constraint, types.TimeOfDateConstraint):
            times |= {constraint.start_time.replace(tzinfo=None), constraint.end_time.replace(tzinfo=None)}
    segments: dict[str, Any] = {}
    for moment in sorted(times):
        at = datetime.combine(day, moment, tzinfo=UTC)
        rates = rates_of(provider, model, model.get_prices(at, when))
        if not segments or rates != list(segments.values())[-1]:
            segments[f"{moment:%H:%M}"] = rates
    return segments if len(segments) > 1 else segments["00:00"]


def dated(provider: types.Provider, model: types.ModelInfo, when: dict[str, str]) -> Any:
    """Return the rates of a context by the date from which they hold."""
    context = next(iter(when.values()), None)
    starts = {item.start_date for item in constraints(model, context) if isinstance(item, types.StartDateConstraint)}
    windows: list[Any] = []
    for day in sorted({LONG_AGO.date(), *starts}):
        rates = by_time(provider, model, day, when) if is_known(model, day, when) else None
        if day == LONG_AGO.date():
            windows = [rates]
        elif rates != windows[-1]:
            windows += [day.isoformat(), rates]
    return windows[0] if len(windows) == 1 else windows


def is_known(model: types.ModelInfo, day: date, when: dict[str, str]) -> bool:
    """Tell whether a context has a price of its own on a day: the standard price is not a guess at the batch price."""
    at = datetime.combine(day, time(0), tzinfo=UTC)
    return not when or any(
        variant.when == when and (variant.constraint is None or variant.constraint.active(at))
        for variant in model.price_variants or ()
    )


def contexts(provider: types.Provider, model: types.ModelInfo) -> dict[str, Any]:
    """Return the prices of batch and of service tiers."""
    found = [variant.when for variant in model.price_variants or () if variant.when.keys() <= CONTEXTS]
    named = {next(iter(when.values())): when for when in found}
    return {name: dated(provider, model, when) for name, when in sorted(named.items()) if name != "default"}


def entry(provider: types.Provider, model: types.ModelInfo) -> list[Any]:
    """Return the entry of a model; see spanledger.pricing._models.Model."""
    rule = rule_of(model.match)
    others = contexts(provider, model)
    return [
        model.id,
        0 if rule == model.id.lower() else rule,
        dated(provider, model, {}),
        *([others] if others else []),
    ]


def lines() -> Iterator[str]:
    """Yield the file line by line, an entry a line, in the order of genai-prices: the first match wins."""
    yield f'{{"version":"genai-prices {version("genai-prices")}","date":"{data_date()}","providers":{{\n'
    for position, provider in enumerate(sorted(providers, key=lambda item: item.id)):
        head: dict[str, Any] = {}
        if provider.model_match is not None:
            head["claims"] = rule_of(provider.model_match)
        if provider.fallback_model_providers:
            head["fallbacks"] = provider.fallback_model_providers
        opening = compact(head)[:-1] + ("," if head else "")
        yield f'{"," if position else ""}"{provider.id}":{opening}"models":[\n'
        yield ",\n".join(compact(entry(provider, model)) for model in provider.models)
        yield "\n]}\n"
    yield "}}\n"


def data_date() -> str:
    """Return the last day on which an entry says that it was verified; the package carries no date of its own."""
    comments = " ".join(model.price_comments or "" for provider in providers for model in provider.models)
    return max(found[1] for found in re.finditer(r"[Vv]erified[^.;]{0,40}? on (\d{4}-\d\d-\d\d)", comments))


def compact(value: Any) -> str:
    """Return JSON without spaces."""
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)


def main() -> int:
    """Write or check the table."""
    parser = argparse.ArgumentParser(
        description="Write spanledger/pricing/prices.json from the installed genai-prices."
    )
    parser.add_argument("--check", action="store_true", help="only compare; exit 1 if the committed file differs")
    text = "".join(lines())
    if not parser.parse_args().check:
        TARGET.write_text(text, encoding="utf-8")
        print(f"wrote {TARGET} ({len(text.encode()):,} bytes)")
        return 0
    if TARGET.read_text(encoding="utf-8") == text:
        return 0
    print(f"{TARGET} is not what genai-prices {version('genai-prices')} says: run {sys.argv[0]}", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main())
