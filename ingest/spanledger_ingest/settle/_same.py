"""When two spans may be talking about the same model call: the questions asked of a pair, and nothing about trees."""

from collections.abc import Iterable
from functools import lru_cache

from spanledger_analytics.records import CallFacts, Usage

HOUR_NS = 3_600_000_000_000
SECOND_NS = 1_000_000_000
_GENERATION = frozenset(("chat", "text_completion", "generate_content"))
_MIN_ID_LENGTH = 16
_MIN_ID_DIGITS = 3


def has_usage(facts: CallFacts) -> bool:
    """Return whether the provider's own token counts are known; an instrumentation's guess does not count."""
    return facts.usage_source == "provider"


def answered(facts: CallFacts) -> bool:
    """Return whether a model answered: the call went well, or counted tokens before it broke."""
    return facts.status == "ok" or has_usage(facts)


def same_usage(one: Usage, other: Usage) -> bool:
    """Return whether both say the same totals, as far as both say anything, and both say something."""
    pairs = [(one.input, other.input), (one.output or None, other.output or None)]
    known = [(a, b) for a, b in pairs if a is not None and b is not None]
    return bool(known) and all(a == b for a, b in known)


def contradict(one: CallFacts, other: CallFacts) -> bool:
    """Return whether both know their usage and it differs."""
    return has_usage(one) and has_usage(other) and not same_usage(one.usage, other.usage)


def same_kind(one: CallFacts, other: CallFacts) -> bool:
    """Return whether the operations can be one: an embedding inside a chat is a call of its own."""
    first, second = (_family(facts.operation) for facts in (one, other))
    return first is None or second is None or first == second


def same_model(one: Iterable[str | None], other: Iterable[str | None]) -> bool:
    """Return whether some name of one model fits some name of the other, or one of them has no name."""
    first, second = ([name for name in names if name] for names in (one, other))
    return not first or not second or any(_fits(a, b) for a in first for b in second)


def is_unique(response_id: str) -> bool:
    """Return whether an id looks issued once: long, with digits. ``emb-0001`` and ``0`` are answered to everybody."""
    return len(response_id) >= _MIN_ID_LENGTH and sum(map(str.isdigit, response_id)) >= _MIN_ID_DIGITS


def gap_ns(one: CallFacts, other: CallFacts) -> int:
    """Return the time between two spans; 0 or less if they overlap."""
    return max(one.start_ns, other.start_ns) - min(one.end_ns, other.end_ns)


def _family(operation: str | None) -> str | None:
    return "generation" if operation in _GENERATION else operation


@lru_cache(maxsize=8192)
def _fits(one: str, other: str) -> bool:
    """Compare model names: an alias starts its dated snapshot, and routers put the provider in front."""
    shorter, longer = sorted((one.rsplit("/", 1)[-1].lower(), other.rsplit("/", 1)[-1].lower()), key=len)
    return longer.startswith(shorter) or longer.endswith(shorter)
