"""From an acknowledged call to a signed webhook, through the real service and over a kill."""

import subprocess
import sys
from base64 import b64encode
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from spanledger_ingest.demo._webhooks import Received, WebhookReceiver

SECRET = f"whsec_{b64encode(bytes(range(32))).decode()}"
TENANTS = {"tenant-0", "tenant-1", "tenant-2"}
CONFIG = """
[budgets.small]
amount = "0.0001"
period = "total"
each = "tenant"

[receivers.team]
url = "{url}"
secret = "{secret}"
allow_http = true
allow = ["127.0.0.1"]
ports = [{port}]
"""


@pytest.fixture
def receiver() -> Iterator[WebhookReceiver]:
    with WebhookReceiver(SECRET) as listening:
        yield listening


@pytest.fixture
def server(new_server: Callable[..., Any], receiver: WebhookReceiver, tmp_path: Path) -> Any:
    made = new_server()
    made.config = tmp_path / "spanledger.toml"
    made.config.write_text(CONFIG.format(url=receiver.url, secret=SECRET, port=receiver.port))
    made.start()
    return made


def breaches(receiver: WebhookReceiver) -> list[Received]:
    return [message for message in receiver.received if message.is_about("budget:small", "firing", threshold="100")]


def events(server: Any) -> list[tuple[str, float]]:
    rows = server.query("SELECT tenant_id, threshold FROM budget_events")
    return [(row["tenant_id"], row["threshold"]) for row in rows]


def test_a10_a_breach_of_a_budget_is_told_by_a_signed_webhook_after_its_ack(
    server: Any, receiver: WebhookReceiver, tools: Any
) -> None:
    assert server.post(tools.numbered("one")).status == 200
    tools.wait_until(lambda: len(breaches(receiver)) == len(TENANTS), "a message for each tenant")
    assert all(message.verified for message in receiver.received)
    assert {message.body["data"]["tenant"] for message in breaches(receiver)} == TENANTS
    rows = server.get("/api/v1/budgets").json()["items"]
    spent = {row["tenant_id"]: float(row["spent_usd"]) for row in rows}
    values = {message.body["data"]["tenant"]: message.body["data"]["value"] for message in breaches(receiver)}
    assert values == pytest.approx(spent)
    tools.wait_until(lambda: len(events(server)) == 3 * len(TENANTS), "every threshold in the view")
    assert sorted(events(server)) == sorted((tenant, part) for tenant in TENANTS for part in (0.5, 0.8, 1.0))


def test_a10_an_acknowledged_breach_is_told_once_although_the_service_is_killed(
    server: Any, receiver: WebhookReceiver, tools: Any
) -> None:
    assert server.post(tools.numbered("one")).status == 200
    server.kill()
    server.start()
    tools.wait_until(lambda: len(breaches(receiver)) == len(TENANTS), "a message for each tenant")
    assert server.post(tools.numbered("two")).status == 200
    server.wait_until_stored()
    assert len(breaches(receiver)) == len(TENANTS)  # `received` has each webhook-id once
    assert all(message.verified for message in receiver.received)


def test_the_benchmark_of_the_time_to_a_webhook_runs() -> None:
    command = [sys.executable, "-m", "benchmarks.alert_latency", "--breaches", "1", "--json"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=Path(__file__).parents[2], check=False)
    assert done.returncode == 0, done.stderr
    assert '"told": 1' in done.stdout
