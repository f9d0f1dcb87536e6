"""How long the questions of a dashboard take, and how that grows with the number of stored calls.

    python -m benchmarks.query [--calls 100000 1000000] [--rounds 5] [--json]

Each size is a store of its own: calls spread evenly over 30 days, 200 tenants after Zipf's law, 8 models, 2 % errors,
written in SQL into the tables that the store made (what matters here is the rows, not how they came). Each query is
asked through the store as the REST API asks it, once over the last 24 hours and once over all 30 days. Figures are
medians of the rounds after one that is not counted: the time on the wall, and the CPU time of all threads. Ten million
calls: ``--calls 10000000`` (about a minute to build). The exit status is 1 where a query misses its goal at a million
calls: 100 ms over 24 hours, 1 s over 30 days.
"""
# ruff: noqa: S608 - the SQL is made of the constants below

import argparse
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

import duckdb

from spanledger_analytics import schema
from spanledger_analytics.queries import CallsQuery, Filters, UsageQuery, Window
from spanledger_ingest.store import DuckDBStore

DAY_NS: Final = 86_400 * 10**9
END_NS: Final = 1_769_904_000 * 10**9
"""2026-02-01, midnight."""
DAYS: Final = 30
WINDOWS: Final = {"24 h": 1, "30 d": DAYS}
GOALS_MS: Final = {"24 h": 100.0, "30 d": 1000.0}
_JUDGED: Final = 1_000_000
_HOUR: Final = 3600

Times = dict[str, tuple[float, float]]
"""By window: time on the wall and of the CPU, ms."""
Results = dict[int, dict[str, Times]]
"""By number of calls and name of the query."""
Ask = Callable[[DuckDBStore, Window, int], Any]
"""Takes the store, the window and the bucket that suits it, s."""


def _usage(**options: Any) -> Ask:
    bucketed = options.pop("bucketed", False)
    return lambda store, window, bucket: store.usage(
        UsageQuery(window=window, bucket=bucket if bucketed else None, limit=10_000, **options)
    )


def _calls(**filters: Any) -> Ask:
    return lambda store, window, _bucket: store.calls(CallsQuery(window=window, filters=Filters(**filters), limit=100))


QUERIES: Final[dict[str, Ask]] = {
    "totals": _usage(),
    "everything over time": _usage(bucketed=True),
    "by model over time": _usage(by=("model",), bucketed=True),
    "by provider and operation": _usage(by=("provider", "operation")),
    "tenants by cost": _usage(by=("tenant",), order="cost"),
    "tenants and models by cost": _usage(by=("tenant", "model"), order="cost"),
    "by use case over time": _usage(by=("use_case",), bucketed=True),
    "by prompt version": _usage(by=("prompt",), order="calls"),
    "how calls end": _usage(by=("finish_reason", "status")),
    "errors over time": _usage(by=("error_type",), bucketed=True, filters=Filters(status="error")),
    "one tenant over time": _usage(by=("model",), bucketed=True, filters=Filters(tenant="tenant-005")),
    "users of one tenant": _usage(by=("user",), order="cost", filters=Filters(tenant="tenant-001")),
    "latest calls": _calls(),
    "latest calls of a tenant": _calls(tenant="tenant-150"),
    "latest errors": _calls(status="error"),
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Build, ask, print, judge."""
    options = _parser().parse_args(arguments)
    results: Results = {}
    for calls in options.calls:
        with tempfile.TemporaryDirectory(prefix="spanledger-bench-") as folder:
            path = Path(folder) / "spanledger.duckdb"
            build(path, calls)
            store = DuckDBStore(path)
            results[calls] = {name: _measure(store, ask, options.rounds) for name, ask in QUERIES.items()}
            store.close()
    print(json.dumps(results, indent=2) if options.json else _table(results))
    return 1 if any(_missed(results)) else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description="How long the questions of a dashboard take.")
    parser.add_argument("--calls", type=int, nargs="+", default=[100_000, 1_000_000], help="stored calls, ascending")
    parser.add_argument("--rounds", type=int, default=5, help="rounds of each query (default 5)")
    parser.add_argument("--json", action="store_true", help="print JSON")
    return parser


def build(path: Path, calls: int, days: int = DAYS) -> None:
    """Make a store with so many calls, over the last so many days."""
    DuckDBStore(path).close()
    values = dict.fromkeys(schema.LLM_CALLS.arrow.names, "NULL") | _VALUES
    selected = ", ".join(f"{sql} AS {name}" for name, sql in values.items())
    step = days * DAY_NS // calls
    drawn = f"""
        SELECT n, {END_NS - days * DAY_NS} + n * {step} AS began, random() AS a, random() AS b, random() AS c,
            random() AS d, random() AS e, random() AS f FROM range({calls}) AS numbers(n)"""
    with duckdb.connect(str(path)) as connection:
        connection.execute("SELECT setseed(0.5)")
        connection.execute(f"INSERT INTO priv.llm_calls SELECT {selected} FROM ({drawn}) ORDER BY began")


_TENANT: Final = "'tenant-' || lpad(CAST(CAST(floor(exp(a * ln(200.0))) AS INTEGER) AS VARCHAR), 3, '0')"
"""Ranks whose logarithm is even follow Zipf's law."""
_MODEL: Final = (
    "['gpt-4o-mini', 'gpt-4o', 'claude-sonnet-4-0', 'gpt-4.1-mini', 'claude-3-5-haiku-latest', 'gpt-4.1', 'o3-mini', "
    "'gpt-4.1-nano'][1 + CAST(floor(8 * b * b) AS INTEGER)]"
)
_FAILED: Final = "c < 0.02"
_DURATION: Final = "400 * exp(2 * d)"
_VALUES: Final = {
    "owner": "''",
    "start_ns": "began",
    "end_ns": f"began + CAST({_DURATION} * 1000000 AS BIGINT)",
    "time": "make_timestamptz(began // 1000)",
    "trace_id": "md5(CAST(n AS VARCHAR))",
    "span_id": "left(md5(CAST(n + 7 AS VARCHAR)), 16)",
    "tenant_id": _TENANT,
    "user_id": f"{_TENANT} || '-user-' || CAST(CAST(floor(e * 50) AS INTEGER) AS VARCHAR)",
    "session_id": "'session-' || CAST(n // 5 AS VARCHAR)",
    "use_case": "['chat', 'summary', 'extraction', 'search'][1 + CAST(floor(4 * f) AS INTEGER)]",
    "service_name": "'assistant'",
    "environment": "'production'",
    "provider": f"CASE WHEN {_MODEL} LIKE 'claude%' THEN 'anthropic' ELSE 'openai' END",
    "operation": "'chat'",
    "request_model": _MODEL,
    "response_model": _MODEL,
    "response_id": "'chatcmpl-' || md5(CAST(n AS VARCHAR))",
    "prompt_name": "['greeting', 'support', 'digest'][1 + CAST(floor(3 * e) AS INTEGER)]",
    "prompt_version": "CAST(1 + CAST(floor(7 * f) AS INTEGER) AS VARCHAR)",
    "input_tokens": "CAST(exp(5 + 4 * e) AS BIGINT)",
    "output_tokens": f"CASE WHEN NOT {_FAILED} THEN CAST(exp(4 + 3 * f) AS BIGINT) END",
    "cache_read_tokens": "CASE WHEN e < 0.3 THEN CAST(exp(5 + 2 * e) AS BIGINT) ELSE 0 END",
    "usage_source": f"CASE WHEN {_FAILED} THEN 'missing' ELSE 'provider' END",
    "cost_usd": f"CASE WHEN NOT {_FAILED} THEN CAST(exp(5 + 4 * e) * 2.5e-6 AS DECIMAL(18, 9)) END",
    "cost_status": f"CASE WHEN {_FAILED} THEN 'no_usage' ELSE 'priced' END",
    "finish_reason": f"CASE WHEN {_FAILED} THEN 'error' WHEN f < 0.9 THEN 'stop' ELSE 'length' END",
    "finish_reasons_raw": "['stop']",
    "stream": "d < 0.5",
    "ttft_ms": f"CASE WHEN d < 0.5 AND NOT {_FAILED} THEN 100 * exp(2 * f) END",
    "duration_ms": _DURATION,
    "status": f"CASE WHEN {_FAILED} THEN 'error' ELSE 'ok' END",
    "error_type": f"CASE WHEN {_FAILED} THEN ['rate_limit', 'timeout', '500'][1 + CAST(floor(3 * e) AS INTEGER)] END",
    "billable": "true",
    "billing_reason": "'only_span'",
    "dialect": "'genai'",
    "scope_name": "'opentelemetry.instrumentation.genai.openai'",
    "model": _MODEL,
    "own": "'{}'",
}


def _measure(store: DuckDBStore, ask: Ask, rounds: int) -> Times:
    return {name: _median_ms(store, ask, days, rounds) for name, days in WINDOWS.items()}


def _median_ms(store: DuckDBStore, ask: Ask, days: int, rounds: int) -> tuple[float, float]:
    window = Window(END_NS - days * DAY_NS, END_NS)
    wall, cpu = [], []
    for _ in range(rounds + 1):
        started, started_cpu = time.perf_counter(), time.process_time()
        ask(store, window, _HOUR if days > 1 else _HOUR // 4)
        cpu.append((time.process_time() - started_cpu) * 1000)
        wall.append((time.perf_counter() - started) * 1000)
    return statistics.median(wall[1:]), statistics.median(cpu[1:])


def _missed(results: Results) -> list[str]:
    found = results.get(_JUDGED, {})
    return [
        f"{name}, {window}"
        for name, times in found.items()
        for window in WINDOWS
        if times[window][0] > GOALS_MS[window]
    ]


def _table(results: Results) -> str:
    sizes = list(results)
    lines = [
        f"{'ms, wall/CPU':<28}" + "".join(f"{f'{size:,} calls':>26}" for size in sizes),
        f"{'':<28}" + "".join(f"{window:>13}" for _ in sizes for window in WINDOWS) + "   growth",
    ]
    for name in QUERIES:
        cells = [results[size][name][window] for size in sizes for window in WINDOWS]
        growth = results[sizes[-1]][name]["30 d"][1] / results[sizes[0]][name]["30 d"][1]
        lines.append(
            f"{name:<28}" + "".join(f"{f'{wall:.0f}/{cpu:.0f}':>13}" for wall, cpu in cells) + f"{growth:>8.1f}x"
        )
    lines.append(f"growth: CPU time over 30 days from {sizes[0]:,} to {sizes[-1]:,} calls")
    if _JUDGED in results:
        missed = ", ".join(_missed(results))
        goal = f"at {_JUDGED:,} calls every query within 100 ms (24 h) and 1 s (30 d)"
        lines.append(f"MISSED  {goal}: {missed}" if missed else f"met     {goal}")
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
