"""Links from cells to traces and other boards."""

import json
from typing import Any, Final
from urllib.parse import quote

from spanledger_dashboards.boards import BOARDS
from spanledger_dashboards.grafana_json._target import Target
from spanledger_dashboards.panels import Link

_VALUE: Final = "${__value.raw}"
_ENCODED: Final = "${__value.raw:percentencode}"
_UIDS: Final = {board.id: board.uid for board in BOARDS}
_VARIABLES: Final = {board.id: tuple(variable.name for variable in board.variables) for board in BOARDS}


def links(link: Link, target: Target) -> list[dict[str, Any]]:
    """Return what a click on a cell offers."""
    if link.kind == "board":
        return [_link(link.title, _board(link))]
    found = [_link(link.title, _explore(target))]
    if target.page_url:
        found.append(_link("Open the trace in Spanledger", f"{target.page_url}/traces/{_ENCODED}"))
    return found


def _link(title: str, url: str) -> dict[str, Any]:
    return {"title": title, "url": url, "targetBlank": False}


def _board(link: Link) -> str:
    others = [f"${{{name}:queryparam}}" for name in _VARIABLES[link.board] if name != link.variable]
    parts = [f"var-{link.variable}={_ENCODED}", *others, "${__url_time_range}"]
    return f"/d/{_UIDS[link.board]}?{'&'.join(parts)}"


def _explore(target: Target) -> str:
    """Return Explore with the trace; what Grafana puts in must stay unquoted."""
    pane = {
        "datasource": target.traces_uid,
        "queries": [{"refId": "A", "datasource": target.traces, "query": "@value"}],
        "range": {"from": "@from", "to": "@to"},
    }
    panes = quote(json.dumps({"trace": pane}, sort_keys=True), safe="")
    for mark, text in (("@value", _VALUE), ("@from", "${__from}"), ("@to", "${__to}")):
        panes = panes.replace(quote(mark, safe=""), text)
    return f"/explore?schemaVersion=1&panes={panes}"
