"""Price entries: one model's rates by context and time, as ``prices.json`` writes them."""

from bisect import bisect_right
from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any, NamedTuple

from spanledger.pricing._match import Matcher, matcher
from spanledger.pricing._rates import Rate, Rates

STANDARD = "standard"
DAY_S = 86_400


class Window(NamedTuple):
    """Rates from a date on (UTC, ``None`` for ever), by time of day where that decides."""

    valid_from: date | None
    start_ns: int
    day_starts: tuple[int, ...]
    """Seconds after midnight UTC at which ``rates`` begin; the first is 0."""
    rates: tuple[Rates, ...]

    def at(self, at_ns: int) -> Rates:
        """Return the rates of the time of day."""
        return self.rates[bisect_right(self.day_starts, at_ns // 10**9 % DAY_S) - 1]


class Model:
    """One entry of a price table: its match rule and, by context, its windows in order of time.

    ``raw`` is ``[id, rule, prices]`` or ``[id, rule, prices, {context: prices}]``; the rule is 0 where the model is
    matched by its id alone. ``prices`` is ``rates`` or ``[rates, "2026-01-01", rates, ...]``, the first ``rates`` null
    where nothing is known before that date; ``rates`` is ``{unit: rate}`` or ``{"00:00": {unit: rate}, ...}``; a rate
    is USD per million, or ``[base, start, rate above start, ...]``.
    """

    __slots__ = ("_prices", "_windows", "id", "matches", "provider", "rule", "source")

    def __init__(self, provider: str, source: str, raw: Sequence[Any]) -> None:
        self.provider = provider
        self.source = source
        self.id: str = raw[0]
        self.rule: Any = raw[1] or raw[0].lower()
        self.matches: Matcher = matcher(self.rule)
        self._prices: dict[str, Any] = {STANDARD: raw[2], **(raw[3] if len(raw) > 3 else {})}
        self._windows: dict[str, tuple[Window, ...]] = {}

    @property
    def contexts(self) -> tuple[str, ...]:
        """The contexts with prices of their own, ``standard`` first."""
        return tuple(self._prices)

    def rates_at(self, context: str, at_ns: int) -> Rates | None:
        """Return the rates of a context at a time, ``None`` where they are not known."""
        for window in reversed(self.windows(context)):
            if at_ns >= window.start_ns:
                return window.at(at_ns)
        return None

    def windows(self, context: str) -> tuple[Window, ...]:
        """Return the windows of a context in order of time; none for a context without prices."""
        if context not in self._windows:
            if context not in self._prices:
                return ()
            self._windows[context] = self._read(context)
        return self._windows[context]

    def _read(self, context: str) -> tuple[Window, ...]:
        prices = self._prices[context]
        dated = [None, *prices] if isinstance(prices, list) else [None, prices]
        name = f"{self.provider}/{self.id}" + ("" if context == STANDARD else f"+{context}")
        pairs = zip(dated[::2], dated[1::2], strict=True)
        return tuple(self._window(name, day, raw) for day, raw in pairs if raw is not None)

    def _window(self, name: str, day: str | None, raw: Mapping[str, Any]) -> Window:
        if day is not None:
            name += f"@{day}"
        by_time = raw if any(":" in key for key in raw) else {"00:00": raw}
        starts = tuple(60 * (60 * int(time[:2]) + int(time[3:])) for time in by_time)
        rates = tuple(Rates(name, self.source, _rates(prices)) for prices in by_time.values())
        valid_from = None if day is None else date.fromisoformat(day)
        return Window(valid_from, _midnight_ns(valid_from), starts, rates)


def _rates(prices: Mapping[str, Any]) -> dict[str, Rate]:
    return {code: _rate(value if isinstance(value, list) else [value]) for code, value in prices.items()}


def _rate(steps: Sequence[Any]) -> Rate:
    tiers = zip(steps[1::2], steps[2::2], strict=True)
    return Rate(Decimal(steps[0]), tuple((int(start), Decimal(price)) for start, price in tiers))


def _midnight_ns(day: date | None) -> int:
    if day is None:
        return -(2**63)
    return int(datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp()) * 10**9
