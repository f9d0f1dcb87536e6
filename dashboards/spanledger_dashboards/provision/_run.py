"""The query of every panel, through Grafana."""

import re
import time
from collections.abc import Iterator, Sequence
from typing import Any, Final

from spanledger_dashboards.grafana_json import Target, dashboard
from spanledger_dashboards.panels import ALL_SQL, Board, PanelSpec
from spanledger_dashboards.provision._client import Grafana
from spanledger_dashboards.provision._model import Json, PanelResult, Progress

_VARIABLE: Final = re.compile(r"\$\{\w+:sqlstring\}")
_INTERVAL_MS: Final = 600_000
_ANY_CALLS: Final = "SELECT count(*) AS calls FROM llm_calls WHERE $__timeFilter(time) AND billable"


def run_panels(
    grafana: Grafana, boards: Sequence[Board], target: Target, *, since: str = "", progress: Progress | None = None
) -> Iterator[PanelResult]:
    """Run all queries, with *All* for every variable.

    Panels that say what will fill them may be empty, and so may all while there are no calls.

    Args:
        grafana: to run them.
        boards: with the panels.
        target: the data sources there.
        since: the period up to now, as ``now-7d``; empty for that of each board.
        progress: told of each panel.
    """
    total = sum(len(board.panels) for board in boards)
    place = 0
    for board in boards:
        start = since or board.since
        any_calls = _has_calls(grafana, target, start)
        models = (model for model in dashboard(board, target)["panels"] if model["type"] != "row")
        for panel, model in zip(board.panels, models, strict=True):
            if progress is not None:
                progress(f"{board.title}: {panel.title}", place, total)
            place += 1
            query = model["targets"][0] | {"maxDataPoints": panel.points}
            yield _result(board, panel, *_ask(grafana, query, start), any_calls=any_calls)


def _has_calls(grafana: Grafana, target: Target, since: str) -> bool:
    query = {"datasource": target.sql, "format": "table", "rawQuery": True, "rawSql": _ANY_CALLS, "refId": "A"}
    answer, _ = _ask(grafana, query, since)
    return any(value for column in _columns(answer) for value in column)


def _ask(grafana: Grafana, query: Json, since: str) -> tuple[Json, int]:
    sql = _VARIABLE.sub(lambda _: ALL_SQL, query["rawSql"])
    began = time.perf_counter()
    found = grafana.query(
        {"from": since, "to": "now", "queries": [query | {"rawSql": sql, "intervalMs": _INTERVAL_MS}]}
    )
    spent = round((time.perf_counter() - began) * 1000)
    return dict(found.get(query["refId"]) or {}), spent


def _result(board: Board, panel: PanelSpec, answer: Json, spent: int, *, any_calls: bool) -> PanelResult:
    if answer.get("error") or "frames" not in answer:
        said = str(answer.get("error") or "Grafana answered no frames")
        return PanelResult(board.title, panel.title, 0, spent, "error", said)
    columns = list(_columns(answer))
    rows = max((len(column) for column in columns), default=0)
    shows = any(value is not None for column in columns[1:] or columns for value in column)
    if shows:
        return PanelResult(board.title, panel.title, rows, spent, "ok")
    expected = bool(panel.fills_when) or not any_calls
    return PanelResult(board.title, panel.title, rows, spent, "empty" if expected else "unexpectedly empty")


def _columns(answer: Json) -> Iterator[list[Any]]:
    for frame in answer.get("frames") or ():
        yield from (frame.get("data") or {}).get("values") or ()
