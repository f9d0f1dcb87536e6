"""A budget as people write it: a table of the configuration file, or a JSON object."""

import re
from collections.abc import Mapping, Sequence
from datetime import date, datetime
from decimal import Decimal, InvalidOperation
from functools import cache
from typing import Any, Final
from zoneinfo import available_timezones

from spanledger_alerts._hints import nearest
from spanledger_alerts.budgets._calendar import MINUTE_NS, WEEKDAYS, Cycle, parse_cycle
from spanledger_alerts.budgets._definition import (
    DEFAULT_FORECAST,
    DEFAULT_THRESHOLDS,
    DIMENSIONS,
    MONTHLY_BURN,
    Budget,
    BurnPair,
)
from spanledger_alerts.budgets._money import amount_of, converted, nano_of
from spanledger_alerts.errors import BudgetError

KEYS: Final = (
    "amount",
    "currency",
    "rate",
    "rates",
    "period",
    "timezone",
    "week_start",
    *DIMENSIONS,
    "each",
    "overrides",
    "thresholds",
    "forecast",
    "burn",
    "burn_floor",
    "unpriced",
    "mode",
    "estimate",
    "allow_unseen",
)

_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_MOST: Final = Decimal(10**9)
_MOST_NANO: Final = 9 * 10**18
_MINUTES: Final = {"m": 1, "h": 60, "d": 1440}
_MOST_VALUES: Final = 100
_MOST_OVERRIDES: Final = 10_000


def parse_budget(name: str, body: Mapping[str, Any], *, owner: str = "") -> Budget:
    """Return the budget that a table describes.

    Args:
        name: letters, digits, dots, dashes and underscores.
        body: the table; ``docs/budgets.md`` lists its keys.
        owner: the tenant whose calls alone it may see; ``""`` for all.

    Raises:
        BudgetError: something in it cannot be meant, or no call could ever count for it.
    """
    table = _Table(name, body)
    scope = table.scope()
    each = table.each(scope)
    _check_owner(table, scope, owner, each=each)
    cycle = table.cycle()
    table.check_limits(each=each)
    return Budget(
        name=name,
        owner=owner,
        scope=scope,
        each_tenant=each,
        amount=table.amount("amount"),
        overrides=table.overrides(each=each),
        currency=table.currency(),
        rates=table.rates(),
        cycle=cycle,
        thresholds=table.percents("thresholds", DEFAULT_THRESHOLDS),
        forecast=table.percents("forecast", DEFAULT_FORECAST),
        burn=table.burn(cycle),
        burn_floor=table.amount("burn_floor", default="1", zero=True),
        unpriced=table.whole("unpriced", 1),
        mode=table.choice("mode", ("notify", "soft", "hard")),  # type: ignore[arg-type] # one of the three
        estimate=table.choice("estimate", ("worst", "p95")),  # type: ignore[arg-type] # one of the two
        allow_unseen=table.switch("allow_unseen"),
        body=dict(body),
    )


class _Table:
    """Reads one table and says where something is wrong in it."""

    def __init__(self, name: str, body: Mapping[str, Any]) -> None:
        self._where = f"budgets.{name}"
        if _NAME.fullmatch(name) is None:
            raise BudgetError(
                f"{name!r} cannot name a budget: up to 64 letters, digits, dots, dashes and underscores, the first of"
                " them a letter or digit"
            )
        if not isinstance(body, Mapping):
            raise BudgetError(f"{self._where}: a table of settings is wanted")
        for key in body:
            if key not in KEYS:
                raise BudgetError(f"{self._where}.{_shown(key)}: no such setting{nearest(str(key), KEYS)}")
        self._body = body

    def fail(self, key: str, why: str) -> BudgetError:
        return BudgetError(f"{self._where}.{key}: {why}")

    def scope(self) -> dict[str, tuple[str, ...]]:
        found = {}
        for key in DIMENSIONS:
            if key not in self._body:
                continue
            value = self._body[key]
            values = [value] if isinstance(value, str) else value
            if not isinstance(values, Sequence) or not values or not all(_is_value(item) for item in values):
                raise self.fail(key, f"{value!r} is neither a name nor a list of names")
            if len(values) > _MOST_VALUES:
                raise self.fail(
                    key, f"more than {_MOST_VALUES} names: leave the dimension out, or make several budgets"
                )
            found[key] = tuple(dict.fromkeys(values))
        return found

    def each(self, scope: Mapping[str, Any]) -> bool:
        value = self._body.get("each", "")
        if value not in ("", "tenant"):
            raise self.fail("each", f"{value!r} is not 'tenant', of which alone there can be a budget each")
        if value and "tenant" in scope:
            raise self.fail("each", "a budget for each tenant is not one for those of 'tenant': keep one of the two")
        return bool(value)

    def amount(self, key: str, default: str = "", *, zero: bool = False) -> int:
        return self.money(key, self._body.get(key, default), zero=zero)

    def money(self, key: str, value: Any, *, zero: bool = False) -> int:
        number = _decimal(value)
        if number is None or number > _MOST or number < 0 or (number == 0 and not zero):
            least = "zero or more" if zero else "more than zero"
            raise self.fail(key, f"{value!r} is no amount: a number of {least}, up to {_MOST:,}")
        if number != round(number, 9):
            raise self.fail(key, f"{value!r} has more than nine places")
        return nano_of(number)

    def overrides(self, *, each: bool) -> dict[str, int]:
        value = self._body.get("overrides", {})
        if not isinstance(value, Mapping) or not all(_is_value(tenant) for tenant in value):
            raise self.fail("overrides", "a table of tenants and amounts is wanted")
        if value and not each:
            raise self.fail(
                "overrides", "only a budget for each tenant (each = 'tenant') has amounts of single tenants"
            )
        if len(value) > _MOST_OVERRIDES:
            raise self.fail("overrides", f"more than {_MOST_OVERRIDES:,}")
        return {tenant: self.money(f"overrides.{tenant}", amount) for tenant, amount in value.items()}

    def check_limits(self, *, each: bool) -> None:
        """Refuse amounts that are nothing, or too much to count, in USD."""
        amounts = {"amount": self.amount("amount"), **self.overrides(each=each)}
        for amount in amounts.values():
            for _, rate in self.rates():
                if not 0 < converted(amount, rate) <= _MOST_NANO:
                    raise self.fail("rate", f"{rate} makes {amount_of(amount):f} less than a nano-dollar or too much")

    def currency(self) -> str:
        value = self._body.get("currency", "USD")
        if not isinstance(value, str) or re.fullmatch("[A-Z]{3}", value) is None:
            raise self.fail("currency", f"{value!r} is no currency: three capital letters such as EUR")
        if value == "USD" and ("rate" in self._body or "rates" in self._body):
            raise self.fail("currency", "an amount in USD has no rate; name the currency whose rate it is")
        if value != "USD" and "rate" not in self._body and "rates" not in self._body:
            raise self.fail("currency", f"what a {value} is worth is not known: give 'rate', in USD for 1 {value}")
        return value

    def rates(self) -> tuple[tuple[str, Decimal], ...]:
        if "rate" in self._body and "rates" in self._body:
            raise self.fail("rate", "there are 'rates', too: keep one of the two")
        if "rates" not in self._body:
            return (("", self._rate("rate", self._body.get("rate", 1))),)
        tables = self._body["rates"]
        if not isinstance(tables, Sequence) or not tables or not all(isinstance(table, Mapping) for table in tables):
            raise self.fail("rates", "a list of tables such as {from = 2026-01-01, usd = '1.08'} is wanted")
        found = {}
        for table in tables:
            self._only("rates", table, ("from", "usd"))
            day = _day(table.get("from"))
            if day is None or day in found:
                raise self.fail("rates", f"from is {table.get('from')!r}: a day, written 2026-01-31, and each once")
            found[day] = self._rate("rates", table.get("usd"))
        return tuple(sorted(found.items()))

    def _rate(self, key: str, value: Any) -> Decimal:
        rate = _decimal(value)
        if rate is None or not 0 < rate <= _MOST:
            raise self.fail(key, f"{value!r} is no rate: USD for one unit of the currency, more than zero")
        return rate

    def _only(self, key: str, table: Mapping[str, Any], known: Sequence[str]) -> None:
        for name in table:
            if name not in known:
                raise self.fail(f"{key}.{_shown(name)}", f"no such setting{nearest(name, known)}")

    def cycle(self) -> Cycle:
        text = self._body.get("period", "month")
        try:
            unit, hours = parse_cycle(str(text))
        except ValueError as error:
            raise self.fail("period", str(error)) from None
        zone = self._body.get("timezone", "UTC")
        zones = _zones()
        if not isinstance(zone, str) or zone not in zones:
            raise self.fail(
                "timezone", f"{zone!r} is no time zone of the IANA list{nearest(str(zone), zones, few=True)}"
            )
        day = self._body.get("week_start", "monday")
        if day not in WEEKDAYS:
            raise self.fail("week_start", f"{day!r} is no day of the week{nearest(str(day), WEEKDAYS)}")
        return Cycle(unit, hours, zone, WEEKDAYS.index(day))

    def percents(self, key: str, default: tuple[int, ...]) -> tuple[int, ...]:
        values = self._body.get(key)
        if values is None:
            return default
        numbers = [_decimal(value) for value in values] if isinstance(values, list | tuple) else [None]
        for number in numbers:
            if number is None or not 0 < number <= 1000 or number != round(number, 3):
                raise self.fail(key, f"{values!r} is no list of percents above 0 and up to 1000, such as [50, 80, 100]")
        return tuple(sorted({int(number * 1000) for number in numbers if number is not None}))

    def burn(self, cycle: Cycle) -> tuple[BurnPair, ...]:
        tables = self._body.get("burn")
        if cycle.length_ns is None:
            if tables:
                raise self.fail("burn", "a budget without an end has no rate at which it should be used up")
            return ()
        if tables is None:
            return MONTHLY_BURN if cycle.unit == "month" else _scaled(cycle.length_ns)
        if not isinstance(tables, list | tuple) or not all(isinstance(table, Mapping) for table in tables):
            raise self.fail("burn", "a list of tables such as {factor = 14.4, long = '1h', short = '5m'} is wanted")
        return tuple(self._pair(table, cycle.length_ns) for table in tables)

    def _pair(self, table: Mapping[str, Any], length_ns: int) -> BurnPair:
        self._only("burn", table, ("factor", "long", "short", "severity"))
        factor = _decimal(table.get("factor"))
        if factor is None or not 0 < factor <= 1000:
            raise self.fail("burn.factor", f"{table.get('factor')!r} is no number above 0 and up to 1000")
        long_ns, short_ns = (self._minutes(f"burn.{key}", table.get(key)) for key in ("long", "short"))
        if not short_ns < long_ns < length_ns:
            raise self.fail("burn", "the short window is to be shorter than the long one, and that than the period")
        severity = table.get("severity", "critical")
        if severity not in ("info", "warning", "critical"):
            raise self.fail("burn.severity", f"{severity!r} is not one of info, warning, critical")
        return BurnPair(factor, long_ns, short_ns, severity)

    def _minutes(self, key: str, value: Any) -> int:
        match = re.fullmatch(r"([0-9]{1,5})([mhd])", str(value))
        if match is None or not 0 < int(match[1]) * _MINUTES[match[2]] <= 3 * 1440:
            raise self.fail(key, f"{value!r} is no window of up to 3 days, such as 5m, 6h or 3d")
        return int(match[1]) * _MINUTES[match[2]] * MINUTE_NS

    def whole(self, key: str, default: int) -> int:
        value = self._body.get(key, default)
        if type(value) is not int or not 0 <= value < 2**53:
            raise self.fail(key, f"{value!r} is no whole number of zero or more")
        return value

    def choice(self, key: str, known: Sequence[str]) -> str:
        value = self._body.get(key, known[0])
        if value not in known:
            raise self.fail(key, f"{value!r} is not one of {', '.join(known)}")
        return str(value)

    def switch(self, key: str) -> bool:
        value = self._body.get(key, False)
        if not isinstance(value, bool):
            raise self.fail(key, f"{value!r} is neither true nor false")
        return value


def _check_owner(table: _Table, scope: Mapping[str, tuple[str, ...]], owner: str, *, each: bool) -> None:
    if owner and scope.get("tenant", (owner,)) != (owner,):
        raise table.fail(
            "tenant", f"a budget of {owner} sees the calls of {owner} alone, so no other's could ever count"
        )
    if owner and each:
        raise table.fail("each", f"a budget of {owner} sees the calls of no other tenant")


def _scaled(length_ns: int) -> tuple[BurnPair, ...]:
    pairs = (pair.scaled(length_ns) for pair in MONTHLY_BURN)
    return tuple(pair for pair in pairs if pair.short_ns < pair.long_ns < length_ns)


def _is_value(value: Any) -> bool:
    """Tell whether it can be a name: what is not text in UTF-8 could be neither stored nor shown."""
    return isinstance(value, str) and 0 < len(value) <= 512 and _shown(value) == value


def _shown(name: object) -> str:
    return str(name).encode("utf-8", "backslashreplace").decode()


def _decimal(value: Any) -> Decimal | None:
    if isinstance(value, bool) or not isinstance(value, str | int | float | Decimal):
        return None
    try:
        number = Decimal(str(value))
    except InvalidOperation:
        return None
    return number if number.is_finite() and abs(number.adjusted()) < 30 else None


@cache
def _zones() -> frozenset[str]:
    return frozenset(available_timezones())  # reads a directory tree


def _day(value: Any) -> str | None:
    if isinstance(value, str):
        try:
            value = date.fromisoformat(value)
        except ValueError:
            return None
    return str(value) if isinstance(value, date) and not isinstance(value, datetime) else None
