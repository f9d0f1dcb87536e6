"""Incidents that are planted in generated traffic come out of the service, however often it is killed on the way."""

import json
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlencode

import pytest

from spanledger_ingest.traffic import World, build_world, generate

PLANTED = {"error_burst", "unit_price", "length_surge"}


def fed(server: Any, world: World, kills: tuple[int, ...]) -> None:
    for done, hour in enumerate(generate(world)):
        for body in hour.bodies:
            assert server.post(body).status == 200
        if done in kills:
            server.kill()
            server.start()


def metric(server: Any, name: str) -> float:
    lines = server.get("/metrics").body.decode().splitlines()
    return float(next(line for line in lines if line.startswith(f"{name} ")).split()[-1])


def looks(server: Any) -> float:
    return metric(server, 'spanledger_job_runs_total{job="detection"}')


def anomalies(server: Any, **query: str) -> list[dict[str, Any]]:
    items: list[dict[str, Any]] = server.get(f"/api/v1/anomalies?{urlencode(query)}").json()["items"]
    return items


def wait_for(server: Any, tools: Any) -> None:
    tools.wait_until(lambda: metric(server, "spanledger_backlog_bytes") == 0, "everything to be stored")
    before = looks(server)
    tools.wait_until(lambda: looks(server) >= before + 2, "the detector to have looked since")
    assert metric(server, "spanledger_detection_lag_seconds") <= 180


def looked_again(server: Any, world: World) -> dict[str, Any]:
    window = [datetime.fromtimestamp(ns / 1e9, UTC).isoformat() for ns in (world.start_ns, world.end_ns)]
    query = urlencode({"from": window[0], "to": window[1]})
    answer = server.post(None, path=f"/api/v1/admin/detect?{query}", media="application/json")
    assert answer.status == 200, answer.body
    lines = [json.loads(line) for line in answer.body.splitlines()]
    assert lines[-1]["done"] == 1.0
    return {item["id"]: item for line in lines for item in line["items"] if item["metric"] != "names"}


@pytest.mark.timeout(300)
def test_planted_incidents_are_found_however_often_the_service_is_killed(server: Any, tools: Any) -> None:
    world = build_world(101, days=7, tenants=12, calls_per_day=2500)
    fed(server, world, kills=(60, 120))
    wait_for(server, tools)
    found = {
        row["id"]: row
        for row in anomalies(server, limit="500")
        if row["metric"] != "names" and row["status"] != "withdrawn"
    }
    loud = [row for row in found.values() if row["severity"] != "info"]
    assert {row["kind"] for row in loud} >= PLANTED
    for row in loud:
        assert row["summary"].endswith(("affected", "/h")), row["summary"]
        assert json.loads(row["detail"])["evidence"]
    # Who looks at the stored calls from the beginning, without any kill, finds the same.
    again = looked_again(server, world)
    assert {name: row["summary"] for name, row in again.items()} == {
        name: row["summary"] for name, row in found.items()
    }
