"""Incidents that are planted in generated traffic come out of the service, however often it is killed on the way."""

import json
from collections.abc import Callable
from typing import Any
from urllib.parse import urlencode

from spanledger_ingest.traffic import World, build_world, generate

PLANTED = {"error_burst", "unit_price", "length_surge"}


def fed(server: Any, world: World, kills: tuple[int, ...]) -> None:
    for done, hour in enumerate(generate(world)):
        for body in hour.bodies:
            assert server.post(body).status == 200
        if done in kills:
            server.kill()
            server.start()


def judged(server: Any) -> bool:
    metrics = server.get("/metrics").body.decode()
    series = next(line for line in metrics.splitlines() if line.startswith("spanledger_detection_series "))
    lag = next(line for line in metrics.splitlines() if line.startswith("spanledger_detection_lag_seconds "))
    backlog = next(line for line in metrics.splitlines() if line.startswith("spanledger_backlog_bytes "))
    return series.split()[1] != "0" and float(lag.split()[1]) <= 180 and float(backlog.split()[1]) == 0


def anomalies(server: Any, **query: str) -> list[dict[str, Any]]:
    items: list[dict[str, Any]] = server.get(f"/api/v1/anomalies?{urlencode(query)}").json()["items"]
    return items


def wait_for(server: Any, tools: Any) -> None:
    tools.wait_until(lambda: judged(server), "everything to be judged")
    tools.wait_until(lambda: {row["kind"] for row in anomalies(server)} >= PLANTED, "the incidents to be found")


def test_planted_incidents_are_found_and_kills_change_nothing(
    new_server: Callable[..., Any], tmp_path: Any, tools: Any
) -> None:
    world = build_world(101, days=7, tenants=12, calls_per_day=2500)
    found = []
    for name, kills in (("plain", ()), ("killed", (60, 100, 166))):
        server = new_server(tmp_path / name)
        server.start()
        fed(server, world, kills)
        wait_for(server, tools)
        found.append(anomalies(server, limit="500"))
        server.stop()
    # What is only new (a finish reason, a prompt) is told as it is seen, also while an hour is not complete yet.
    plain, killed = (
        {row["id"]: row for row in rows if row["status"] != "withdrawn" and row["metric"] != "names"} for rows in found
    )
    assert plain == killed
    loud = [row for row in plain.values() if row["severity"] != "info"]
    for row in loud:
        assert row["summary"].endswith(("affected", "/h")), row["summary"]
        assert json.loads(row["detail"])["evidence"]
    assert {row["kind"] for row in loud} >= PLANTED
