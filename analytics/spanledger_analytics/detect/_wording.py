"""One sentence for each incident."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final

NAMES: Final = {
    "requests": "requests",
    "error_rate": "error rate",
    "retry_rate": "share of retries",
    "length_rate": "share of answers that were cut off",
    "filter_rate": "share of answers that were filtered",
    "cache_rate": "share of prompt cache hits",
    "input_tokens": "input tokens per request",
    "output_tokens": "output tokens per request",
    "latency": "time per output token",
    "first_token": "time to first token",
    "unit_price": "cost per token",
    "one_user": "requests of one user",
}
_SHARES: Final = ("error_rate", "retry_rate", "length_rate", "filter_rate", "cache_rate")


def scope_words(dimensions: Mapping[str, str]) -> tuple[str, str]:
    """Return whose and on what: ``("acme's ", " on gpt-4o")``."""
    whose = f"{dimensions['tenant']}'s " if dimensions.get("tenant") else ""
    rest = [value for name, value in dimensions.items() if name not in ("tenant", "provider") and value]
    if not rest and dimensions.get("provider"):
        rest = [dimensions["provider"]]
    return whose, f" on {' in '.join(rest)}" if rest else ("" if whose else " of all calls")


def moment(minute: int) -> str:
    """Return a time of the day, UTC."""
    return datetime.fromtimestamp(minute * 60, UTC).strftime("%H:%M UTC")


def changed(metric: str, expected: float, observed: float) -> str:
    """Return how the metric changed."""
    if metric == "requests":
        return f"fell to none (usual: {expected:,.0f} an hour)"
    if metric in _SHARES:
        return f"{'rose' if observed > expected else 'fell'} from {expected:.1%} to {observed:.1%}"
    factor = observed / expected if expected else 0.0
    if factor >= 1.0:
        return f"rose {factor:.1f}x" if factor >= 1.95 else f"rose by {factor - 1:.0%}"
    return f"fell by {1 - factor:.0%}"


def money(nano_per_hour: float) -> str:
    """Return ``+$41/h``."""
    usd = abs(nano_per_hour) / 1e9
    digits = 0 if usd >= 10 else 2 if usd >= 0.01 else 4
    return f"{'+' if nano_per_hour >= 0 else '-'}${usd:,.{digits}f}/h"


def because(facts: Mapping[str, Any], dimensions: Mapping[str, str], share: float) -> str:
    """Return the cause, as far as it is known."""
    if "served" in facts:
        return f"the served model changed from {facts['served'][0]} to {facts['served'][1]}"
    if "prompt" in facts:
        return f"the prompt changed from {facts['prompt'][0]} to {facts['prompt'][1]}"
    if "user" in facts:
        return f"one user sends {facts['user']:.0%} of the requests"
    if "error" in facts:
        return f"of errors, mostly {facts['error']}"
    named = " and ".join(f"{name.replace('_', ' ')} {value}" for name, value in dimensions.items() if value)
    if not named:
        return "all calls changed alike"
    return f"of {named}, which explains {share:.0%} of the change"


def sentence(metric: str, dimensions: Mapping[str, str], minute: int, change: str, cause: str, impact: str) -> str:
    """Put the parts together."""
    whose, where = scope_words(dimensions)
    start = f"{whose}{NAMES[metric]}{where}" if whose else f"{NAMES[metric][0].upper()}{NAMES[metric][1:]}{where}"
    return f"{start} {change} at {moment(minute)} because {cause}; {impact}"
