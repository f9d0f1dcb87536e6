"""The expander writes what Grafana's PostgreSQL data source sends; wanted texts follow Grafana's own source."""

import re
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spanledger_dashboards.errors import PanelError
from spanledger_dashboards.panels import ALL, auto_interval, expand

HOUR_NS = 3600 * 10**9
FROM_NS = 1_790_812_800 * 10**9  # 2026-10-01, midnight
TO_NS = FROM_NS + HOUR_NS + 120_000_000
FIRST, LAST = "'2026-10-01T00:00:00Z'", "'2026-10-01T01:00:00.12Z'"


@pytest.mark.parametrize(
    ("sql", "timescale", "plain"),
    [
        ("$__timeFilter(time)", f"time BETWEEN {FIRST} AND {LAST}", None),
        ("$__timeFilter( a.time )", f"a.time BETWEEN {FIRST} AND {LAST}", None),
        ("$__timeFrom()::TIMESTAMPTZ", f"{FIRST}::TIMESTAMPTZ", None),
        ("x <= $__timeTo()", f"x <= {LAST}", None),
        ("$__timeGroup(time,$__interval) AS t", "time_bucket('300.000s',time) AS t",
         "floor(extract(epoch from time)/300)*300 AS t"),
        ("$__timeGroup(time, '30s', 0)", "time_bucket('30.000s',time)",
         "floor(extract(epoch from time)/30)*30"),
        ("$__timeGroup(time,$__interval), x", "time_bucket('300.000s',time) AS \"time\", x",
         'floor(extract(epoch from time)/300)*300 AS "time", x'),
        ("$__timeGroup(time,$__interval) , x", "time_bucket('300.000s',time) , x",
         "floor(extract(epoch from time)/300)*300 , x"),
        ("$__timeGroupAlias(time,'250ms')", "time_bucket('0.250s',time) AS \"time\"",
         'floor(extract(epoch from time)/0.25)*0.25 AS "time"'),
        ("$__timeGroupAlias(time,'30d')", "time_bucket('2592000.000s',time) AS \"time\"",
         'floor(extract(epoch from time)/2.592e+06)*2.592e+06 AS "time"'),
        ("$__timeGroupAlias(time,1M)", "time_bucket('2592000.000s',time) AS \"time\"",
         'floor(extract(epoch from time)/2.592e+06)*2.592e+06 AS "time"'),
        ("$__interval $__interval_ms", "5m 300000", None),
        ("SELECT 'costs $5' AS \"$time\"", "SELECT 'costs $5' AS \"$time\"", None),
    ],
)  # fmt: skip
def test_macros(sql: str, timescale: str, plain: str | None) -> None:
    for with_it, wanted in ((True, timescale), (False, plain or timescale)):
        assert expand(sql, from_ns=FROM_NS, to_ns=TO_NS, interval="5m", timescaledb=with_it) == wanted


@pytest.mark.parametrize(
    ("value", "wanted"),
    [
        ("acme", "'acme'"),
        ("O'Neill & co", "'O''Neill & co'"),
        (["a", "b'c"], "'a','b''c'"),
        ((), "'*'"),
        (ALL, "'*'"),
        ([ALL], "'*'"),
    ],
)
def test_variables(value: str | list[str], wanted: str) -> None:
    made = expand("x IN (${tenant:sqlstring})", from_ns=0, to_ns=1, variables={"tenant": value})
    assert made == f"x IN ({wanted})"
    assert expand("${model:sqlstring}", from_ns=0, to_ns=1, variables={"tenant": value}) == "'*'"


@pytest.mark.parametrize(
    ("sql", "interval"),
    [
        ("$__unknown(time)", "1m"),
        ("$__timeGroup(time)", "1m"),
        ("$__timeGroup(time,$__interval)", "soon"),
        ("$__timeGroup(time,'0s')", "1m"),
        ("${tenant}", "1m"),
        ("${tenant:raw}", "1m"),
    ],
)
def test_mistakes_are_refused(sql: str, interval: str) -> None:
    with pytest.raises(PanelError):
        expand(sql, from_ns=0, to_ns=1, interval=interval)


@given(st.lists(st.text(st.characters(exclude_characters="$")), min_size=1))
def test_whatever_is_chosen_stays_a_text(values: list[str]) -> None:
    made = expand("(${tenant:sqlstring})", from_ns=0, to_ns=1, variables={"tenant": values})
    found = re.findall(r"'((?:[^']|'')*)'(?:,|\)$)", made[1:])
    assert [text.replace("''", "'") for text in found] == values


@given(st.integers(0, 4_000_000_000 * 10**9))
def test_moments_are_exact(at_ns: int) -> None:
    made = expand("$__timeFrom()", from_ns=at_ns, to_ns=at_ns).strip("'")
    whole, _, fraction = made.rstrip("Z").partition(".")
    seconds = int(datetime.fromisoformat(whole).replace(tzinfo=UTC).timestamp())
    assert seconds * 10**9 + int(fraction.ljust(9, "0")) == at_ns
    assert not fraction.endswith("0")


@given(st.integers(1, 400 * 24 * HOUR_NS), st.integers(10, 1000))
def test_steps_show_a_period_in_so_many_points(length: int, points: int) -> None:
    step = auto_interval(0, length, points)
    made = expand("$__interval_ms", from_ns=0, to_ns=1, interval=step)
    assert int(made) >= 60_000
    assert length / (int(made) * 10**6) <= points or step == "30d"
