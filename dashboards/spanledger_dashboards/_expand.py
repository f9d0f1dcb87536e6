"""Makes of a panel's SQL the text that Grafana's PostgreSQL data source sends.

Grafana does it in three steps, which are followed here in order: the browser puts in variables (``${name:sqlstring}``,
``$__interval``), the server the interval once more, and the data source its macros. A macro ends at the first closing
bracket, and one that groups by time gets the name ``time`` where a comma follows it at once, as there.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Final, TypeAlias

from spanledger_dashboards.errors import PanelError

Value: TypeAlias = str | Sequence[str]
"""What is chosen for a variable: one text or several."""

ALL: Final = "$__all"
"""The choice "All", also the meaning of a variable that is not given."""

ALL_SQL: Final = "'*'"
"""What stands for "All" in the SQL: conditions let every row through when they find it, NULL included."""

_VARIABLE: Final = re.compile(r"\$\{(?P<name>\w+)(?::(?P<format>\w+))?\}")
_MACRO: Final = re.compile(r"\$([_a-zA-Z0-9]+)\(([^)]*)\)")
_INTERVAL: Final = re.compile(r"(\d+(?:\.\d+)?)(ms|[smhdwMy])")
_SECONDS: Final = {
    "ms": 0.001,
    "s": 1.0,
    "m": 60.0,
    "h": 3600.0,
    "d": 86_400.0,
    "w": 604_800.0,
    "M": 2_592_000.0,
    "y": 31_536_000.0,
}
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_STEPS: Final = (
    "1s", "2s", "5s", "10s", "15s", "20s", "30s", "1m", "2m", "5m", "10m", "15m", "20m", "30m", "1h", "2h", "3h", "6h",
    "12h", "1d", "7d", "30d",
)  # fmt: skip


def expand(
    sql: str,
    *,
    from_ns: int,
    to_ns: int,
    interval: str = "1m",
    variables: Mapping[str, Value] | None = None,
    timescaledb: bool = True,
) -> str:
    """Return the SQL with its variables and macros put in.

    Args:
        sql: The text of a panel, variable or annotation.
        from_ns: Start of the shown time, ns since the epoch.
        to_ns: Its end, included.
        interval: Length of a step in time, as Grafana writes it (``30s``, ``5m``, ``1h``).
        variables: What is chosen; what is missing is :data:`ALL`.
        timescaledb: Whether the data source has that option set, as ours has.

    Raises:
        PanelError: the text uses a macro or a format that is not known, or the interval is none.
    """
    text = _VARIABLE.sub(lambda match: _variable(match, variables or {}), sql)
    text = text.replace("$__interval_ms", str(round(seconds(interval) * 1000))).replace("$__interval", interval)
    first, last = _moment(from_ns), _moment(to_ns)
    macros = _macros(first, last, timescaledb=timescaledb)

    def macro(match: re.Match[str]) -> str:
        name, arguments = match[1], [part.strip(" ") for part in match[2].split(",")]
        if name not in macros:
            raise PanelError(f"there is no macro ${name}")
        made = macros[name](arguments)
        # Where it stands first: Grafana looks there, whichever of equal ones it replaces.
        follows = text[text.index(match[0]) + len(match[0]) :]
        return f'{made} AS "time"' if name == "__timeGroup" and follows.startswith(",") else made

    return _MACRO.sub(macro, text)


def seconds(interval: str) -> float:
    """Return the length of an interval.

    Raises:
        PanelError: it is none.
    """
    match = _INTERVAL.fullmatch(interval.strip("'"))
    if match is None or not float(match[1]):
        raise PanelError(f"{interval!r} is not an interval such as 30s, 5m or 1h")
    return float(match[1]) * _SECONDS[match[2]]


def auto_interval(from_ns: int, to_ns: int, points: int = 200, least: str = "1m") -> str:
    """Return the step that shows a period in about so many points, of the steps that people know."""
    wanted = max((to_ns - from_ns) / 1e9 / points, seconds(least))
    return next((step for step in _STEPS if seconds(step) >= wanted), _STEPS[-1])


def sqlstring(value: Value) -> str:
    """Return texts as Grafana's format ``sqlstring`` does: quoted, joined by commas."""
    values = [value] if isinstance(value, str) else value
    return ",".join("'" + text.replace("'", "''") + "'" for text in values)


def _variable(match: re.Match[str], variables: Mapping[str, Value]) -> str:
    if match["format"] != "sqlstring":
        raise PanelError(f"{match[0]} must have the format sqlstring, which quotes")
    value = variables.get(match["name"], ALL)
    is_all = value == ALL or (not isinstance(value, str) and (ALL in value or not value))
    return ALL_SQL if is_all else sqlstring(value)


def _macros(first: str, last: str, *, timescaledb: bool) -> dict[str, Callable[[list[str]], str]]:
    group = _time_bucket if timescaledb else _floored
    return {
        "__timeFilter": lambda arguments: f"{arguments[0]} BETWEEN {first} AND {last}",
        "__timeFrom": lambda _: first,
        "__timeTo": lambda _: last,
        "__timeGroup": group,
        "__timeGroupAlias": lambda arguments: f'{group(arguments)} AS "time"',
    }


def _time_bucket(arguments: list[str]) -> str:
    column, length = _grouping(arguments)
    return f"time_bucket('{length:.3f}s',{column})"


def _floored(arguments: list[str]) -> str:
    column, length = _grouping(arguments)
    return f"floor(extract(epoch from {column})/{_go(length)})*{_go(length)}"


def _grouping(arguments: list[str]) -> tuple[str, float]:
    if len(arguments) < 2:
        raise PanelError("$__timeGroup needs a column and an interval")
    return arguments[0], seconds(arguments[1])


def _go(number: float) -> str:
    """Write a number as Go's ``%v`` does: the shortest digits, and an exponent from a million on."""
    if number < 1e6:
        return f"{number:.9g}"
    digits, exponent = f"{number:.16e}".split("e")
    return f"{digits.rstrip('0').rstrip('.')}e{int(exponent):+03d}"


def _moment(at_ns: int) -> str:
    """Write a moment as Go's RFC3339Nano does: no zeros at the end of the second."""
    whole, fraction = divmod(at_ns, 10**9)
    stamp = f"{_EPOCH + timedelta(seconds=whole):%Y-%m-%dT%H:%M:%S}"
    part = f".{fraction:09d}".rstrip("0") if fraction else ""
    return f"'{stamp}{part}Z'"
