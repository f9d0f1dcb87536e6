import json
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from spanledger_alerts.records import Notification
from spanledger_alerts.rules import build_rules
from spanledger_ingest.auth import KeyRing, Role, StateDb
from spanledger_ingest.cli import main
from spanledger_ingest.service import Service, build_service
from spanledger_ingest.settings import RoutesConfig, ServerConfig, Settings, StoreConfig

NS = 10**9
RULES: dict[str, dict[str, Any]] = {
    "failing": {"metric": "error_rate", "threshold": 0.5, "min_volume": 3, "window": "1h", "every": "1s"},
    "seen": {
        "metric": "calls",
        "threshold": 0,
        "window": "1h",
        "by": ["service"],
        "where": {"tenant": ["zeta"]},
        "every": "1s",
        "for": "1h",
    },
    "no_data": {"enabled": False},
}

NOBODY = {"url": "https://127.0.0.1:9/", "shape": "alertmanager", "allow": ["127.0.0.0/8"], "ports": [9]}


def _span(tenant: str, service: str, number: int, *, error: bool, at_ns: int) -> dict[str, Any]:
    span: dict[str, Any] = {
        "traceId": f"{abs(hash((tenant, service, number))):032x}",
        "spanId": f"{number + 1:016x}",
        "name": "chat gpt-4o",
        "kind": 3,
        "startTimeUnixNano": str(at_ns),
        "endTimeUnixNano": str(at_ns + NS),
        "attributes": [
            {"key": key, "value": {"stringValue": value}}
            for key, value in {
                "gen_ai.operation.name": "chat",
                "gen_ai.provider.name": "openai",
                "gen_ai.request.model": "gpt-4o",
                "tenant.id": tenant,
            }.items()
        ],
    }
    if error:
        span["status"] = {"code": 2}
        span["attributes"].append({"key": "error.type", "value": {"stringValue": "timeout"}})
    return span


class Api:
    """A service with tenants of which ``acme`` has trouble and ``zeta`` two alerts that wait, and a key for each."""

    def __init__(self, data: Path) -> None:
        self.data = data
        self.keys: dict[str, str] = {}
        state = StateDb(data)
        who: list[tuple[str, str, Role]] = [("all", "*", "admin"), ("acme", "acme", "sre"), ("globex", "globex", "sre")]
        who.append(("zeta", "zeta", "sre"))
        for name, tenant, role in who:
            _, secret = KeyRing(state).create([tenant], role, scopes=["ingest:write"], actor="test")
            self.keys[name] = secret.reveal()
        state.close()
        settings = Settings(
            server=ServerConfig(port=0, grpc_port=0),
            store=StoreConfig(data=data),
            rules=RULES,
            receivers={"ops": NOBODY},
            routes=RoutesConfig(default="ops"),
        )
        self.service: Service = build_service(settings)
        self.service.start()

    def ask(self, path: str, key: str = "all", method: str = "GET", body: Any = None) -> Any:
        request = urllib.request.Request(  # noqa: S310 - our own address
            self.service.http_url + path,
            None if method == "GET" else json.dumps(body or {}).encode(),
            {"content-type": "application/json", "authorization": f"Bearer {self.keys[key]}"},
            method=method,
        )
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:  # noqa: S310 - same
                text = answer.read()
        except urllib.error.HTTPError as error:
            return {"status": error.code, **json.loads(error.read())}
        return [json.loads(line) for line in text.splitlines()] if "/replay" in path else json.loads(text)

    def send(self, tenant: str, *, errors: int, calls: int, at_ns: int, service: str = "shop") -> None:
        spans = [_span(tenant, service, number, error=number < errors, at_ns=at_ns) for number in range(calls)]
        resource = {"attributes": [{"key": "service.name", "value": {"stringValue": service}}]}
        body = {"resourceSpans": [{"resource": resource, "scopeSpans": [{"spans": spans}]}]}
        self.ask("/v1/traces", tenant, "POST", body)
        self.service.writer.wait_until_stored()


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    api = Api(tmp_path_factory.mktemp("data"))
    now = time.time_ns()
    api.send("acme", errors=4, calls=5, at_ns=now - 60 * NS)
    api.send("globex", errors=0, calls=5, at_ns=now - 60 * NS)
    for number, service in enumerate(("one", "two")):
        api.send("zeta", errors=0, calls=1, at_ns=now - (60 + number) * NS, service=service)
    yield api
    api.service.stop()


def _until(condition: Callable[[], Any]) -> Any:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        found = condition()
        if found:
            return found
        time.sleep(0.1)
    raise AssertionError("it did not come to be")


def test_an_alert_is_seen_by_its_tenant_and_by_who_sees_all(api: Api) -> None:
    path = "/api/v1/alerts?state=firing"
    (alert,) = _until(lambda: api.ask(path, "acme")["items"])
    assert (alert["rule"], alert["tenant_id"], alert["value"], alert["threshold"]) == ("failing", "acme", 0.8, 0.5)
    assert alert["summary"] == "error rate 80 % (> 50 %) in 1h, 5 calls: tenant acme"
    assert api.ask(path, "globex")["items"] == []
    assert [one["id"] for one in api.ask(path)["items"]] == [alert["id"]]
    query = "/api/v1/query?sql=SELECT%20id,state%20FROM%20alerts"
    assert _until(lambda: api.ask(query, "acme")["items"]) == [{"id": alert["id"], "state": "firing"}]
    assert api.ask(query, "globex")["items"] == []


def test_alerts_are_paged(api: Api) -> None:
    path = "/api/v1/alerts?state=pending"
    both = _until(lambda: len(found := api.ask(path)["items"]) == 2 and found)
    first = api.ask(f"{path}&limit=1")
    second = api.ask(f"{path}&limit=1&cursor={first['next_cursor']}")
    assert [*first["items"], *second["items"]] == both
    assert second["next_cursor"] is None
    assert api.ask("/api/v1/alerts?state=happy")["status"] == 422
    assert api.ask("/api/v1/alerts?cursor=x")["status"] == 422


def test_a_rule_says_what_it_finds_and_who_would_be_told(api: Api) -> None:
    found = api.ask("/api/v1/alerts/rules/failing/test", method="POST")
    shown = [(one["tenant"], one["active"], one["receivers"], one["muted"]) for one in found["items"]]
    assert shown == [("acme", True, ["ops"], False), ("globex", False, ["ops"], False)]
    assert found["sent"] == []
    assert [one["tenant"] for one in api.ask("/api/v1/alerts/rules/failing/test", "globex", "POST")["items"]] == [
        "globex"
    ]
    assert "there are budget, error_burst" in api.ask("/api/v1/alerts/rules/none/test", method="POST")["detail"]


def test_the_rules_are_listed_and_only_who_sees_all_learns_how_they_do(api: Api) -> None:
    rules = {rule["name"]: rule for rule in api.ask("/api/v1/alerts/rules")["items"]}
    assert rules["failing"]["failing"] == 0
    assert set(rules) == {rule.name for rule in build_rules(RULES)}
    assert "alerts" not in api.ask("/api/v1/alerts/rules", "acme")["items"][0]


def test_a_silence_belongs_to_who_made_it(api: Api) -> None:
    ends = _text(time.time_ns() + 3_600 * NS)
    body = {"matchers": ['rule="failing"'], "ends": ends, "comment": "known"}
    made = api.ask("/api/v1/silences", "acme", "POST", body)
    assert (made["tenant"], made["state"], made["matchers"]) == ("acme", "active", ['rule="failing"'])
    assert made["author"].startswith("key ")
    assert api.ask("/api/v1/silences", "globex")["items"] == []
    assert api.ask("/api/v1/planned-changes", "acme")["items"] == []
    assert api.ask(f"/api/v1/silences/{made['id']}", "globex", "DELETE")["status"] == 404
    found = api.ask("/api/v1/alerts/rules/failing/test", method="POST")["items"]
    assert [one["muted"] for one in found] == [True, False]
    assert api.ask(f"/api/v1/silences/{made['id']}", method="DELETE")["state"] == "expired"
    assert api.ask("/api/v1/silences", "acme")["items"] == []
    assert len(api.ask("/api/v1/silences?expired=true", "acme")["items"]) == 1
    refused = api.ask("/api/v1/silences", "acme", "POST", {**body, "matchers": ["x=~.*"]})
    assert (refused["status"], "mute everything" in refused["detail"]) == (422, True)


def test_a_replay_says_when_the_rule_would_have_fired_and_only_to_whom_it_belongs(api: Api) -> None:
    at = time.time_ns() - 10 * 86_400 * NS
    api.send("acme", errors=3, calls=4, at_ns=at)
    window = (_text(at - 3_600 * NS), _text(at + 3 * 3_600 * NS))
    path = f"/api/v1/alerts/rules/failing/replay?from={window[0]}&to={window[1]}"
    *progress, result = api.ask(path, "acme", "POST")
    (alert,) = result["alerts"]
    assert alert["state"] == "resolved"
    assert _seconds(alert["started"]) - at / NS == pytest.approx(30, abs=31)
    assert _seconds(alert["resolved"]) - _seconds(alert["started"]) == pytest.approx(3_600, abs=61)
    assert [message["status"] for message in result["notifications"]] == ["firing", "resolved"]
    assert [step["done"] for step in progress] == sorted(step["done"] for step in progress)
    assert api.ask(path, "globex", "POST")[-1]["alerts"] == []
    refused = api.ask(path.replace("failing", "ingest_lag"), "acme", "POST")
    assert refused["detail"] == "ingest_lag does not follow from stored data, so there is nothing to replay"


def _text(at_ns: int) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(at_ns // NS))


def _seconds(text: str) -> float:
    from datetime import datetime

    return datetime.fromisoformat(text).timestamp()


def test_a_test_message_is_marked_and_goes_to_the_receivers(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    from spanledger_ingest.alerting import trial

    sent: list[Notification] = []
    original = trial._message

    def noted(*arguments: Any) -> Notification:
        sent.append(original(*arguments))
        return sent[-1]

    monkeypatch.setattr(trial, "_message", noted)
    found = api.ask("/api/v1/alerts/rules/failing/test?send=true", method="POST")
    assert found["sent"] == [{"id": sent[0].id, "receiver": "ops"}]
    assert sent[0].group_labels["test"] == "true"
    assert sent[0].alerts[0].summary.startswith("TEST, nothing is wrong")


def test_the_command_line_shows_the_same(
    api: Api, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SPANLEDGER_API_KEY", api.keys["all"])
    target = ["--url", api.service.http_url, "--json"]

    def run(*words: str) -> Any:
        assert main([*words, *target]) == 0
        return json.loads(capsys.readouterr().out)

    assert run("alerts", "list", "--state", "firing") == api.ask("/api/v1/alerts?state=firing")["items"]
    assert len(run("alerts", "rules")) == len(build_rules(RULES))
    assert {one["tenant"] for one in run("alerts", "test", "--rule", "failing")["items"]} == {"acme", "globex"}
    assert run("alerts", "replay", "--rule", "failing", "--from", "2h")["step_seconds"] == 60
    made = run("silences", "add", "rule=failing", "severity!=info", "--until", "2h", "--comment", "known")
    assert [one["id"] for one in run("silences", "list")] == [made["id"]]
    assert run("silences", "expire", made["id"])["state"] == "expired"
    assert run("silences", "list", "--planned") == []
    assert main(["alerts", "test", "--rule", "none", *target]) == 1
    assert "there is no rule 'none'" in capsys.readouterr().err


def test_the_command_line_works_on_a_stopped_service_too(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    settings = Settings(server=ServerConfig(port=0, grpc_port=0), store=StoreConfig(data=tmp_path))
    service = build_service(settings)
    service.start()
    service.stop()
    target = ["--data", str(tmp_path)]

    def run(*words: str) -> str:
        assert main([*words, *target]) == 0
        return capsys.readouterr().out

    assert "0 alerts, 0 messages" in run("alerts", "replay", "--rule", "error_burst", "--from", "1h")
    assert "error_burst" in run("alerts", "rules")
    assert run("alerts", "list", "--json").strip() == "[]"
    made = json.loads(
        run(
            "silences",
            "add",
            "rule=x",
            "--until",
            _text(time.time_ns() + 86_400 * NS),
            "--comment",
            "move",
            "--planned",
            "--json",
        )
    )
    assert made["id"] in run("silences", "list", "--planned")
    assert json.loads(run("silences", "expire", made["id"], "--planned", "--json"))["state"] == "expired"
    assert main(["silences", "add", "x", "--until", "1h", "--comment", "c", *target]) == 1
    assert "is no matcher; write" in capsys.readouterr().err
