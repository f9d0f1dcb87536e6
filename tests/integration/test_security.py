"""The doors of a running service: every route, HTTP and gRPC, with every kind of credential."""

import json
import logging
import subprocess
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any

import grpc
import jwt
import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from spanledger_ingest.auth import ROLES, KeyRing, Role, StateDb
from spanledger_ingest.auth._token import new_token
from spanledger_ingest.errors import PortError
from spanledger_ingest.receiver.grpc import SCOPES as GRPC_SCOPES
from spanledger_ingest.service import Service, build_service
from spanledger_ingest.settings import (
    AuthConfig,
    ContentConfig,
    ServerConfig,
    Settings,
    StoreConfig,
)

T0 = 1_790_000_000 * 10**9
SHARED = "shared-" * 8
ISSUER = "https://id.example"
PROMPT = "CANARY-PROMPT: what is my salary?"


def spans(tenant: str | None, *, seed: str, claim: str | None = None) -> bytes:
    """One model call with a prompt, in a request of its own."""
    digest = sha256(seed.encode()).digest()
    message = ExportTraceServiceRequest()
    group = message.resource_spans.add()
    if tenant is not None:
        group.resource.attributes.add(key="tenant.id").value.string_value = tenant
    span = group.scope_spans.add().spans.add(trace_id=digest[:16], span_id=digest[16:24], name="chat gpt-4o", kind=3)
    span.start_time_unix_nano, span.end_time_unix_nano = T0, T0 + 10**9
    texts = {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "openai",
        "gen_ai.response.model": "gpt-4o",
        "gen_ai.input.messages": json.dumps([{"role": "user", "parts": [{"type": "text", "content": PROMPT}]}]),
    }
    if claim is not None:
        texts["tenant.id"] = claim
    for key, value in texts.items():
        span.attributes.add(key=key).value.string_value = value
    span.attributes.add(key="gen_ai.usage.input_tokens").value.int_value = 10
    return message.SerializeToString()


def trace_of(seed: str) -> str:
    return sha256(seed.encode()).hexdigest()[:32]


@dataclass
class Answer:
    status: int
    text: str
    headers: dict[str, str] = field(default_factory=dict)

    @property
    def json(self) -> Any:
        return json.loads(self.text)


def call(
    url: str,
    key: str | None = None,
    *,
    method: str = "GET",
    body: bytes | None = None,
    headers: Mapping[str, str] | None = None,
) -> Answer:
    request = urllib.request.Request(url, data=body, method=method)  # noqa: S310 - our own address
    if key is not None:
        request.add_header("Authorization", f"Bearer {key}")
    if body is not None:
        request.add_header("Content-Type", "application/x-protobuf")
    for name, value in (headers or {}).items():
        request.add_header(name.replace("_", "-"), value)
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:  # noqa: S310 - our own address
            return Answer(answer.status, answer.read().decode("utf-8", "replace"), dict(answer.headers))
    except urllib.error.HTTPError as error:
        with error:
            return Answer(error.code, error.read().decode("utf-8", "replace"), dict(error.headers))


class Site:
    """A service with a key of every kind."""

    def __init__(self, service: Service, data: Path) -> None:
        self.service = service
        self.data = data
        self.keys: dict[str, str] = {}
        self.ids: dict[str, str] = {}

    @property
    def url(self) -> str:
        return self.service.http_url

    @property
    def grpc(self) -> str:
        return dict(line.split(" ", 1) for line in self.service.listeners())["grpc"]

    def make(self, name: str, tenants: list[str], role: Role, **more: Any) -> str:
        with closing(StateDb(self.data)) as state:
            key, secret = KeyRing(state).create(tenants, role, name=name, actor="test", **more)
        self.keys[name], self.ids[name] = secret.reveal(), key.id
        return self.keys[name]

    def get(self, path: str, key: str | None, **headers: str) -> Answer:
        return call(self.url + path, key if key is None else self.keys.get(key, key), headers=headers)

    def send(self, body: bytes, key: str | None) -> Answer:
        found = call(self.url + "/v1/traces", key and self.keys.get(key, key), method="POST", body=body)
        self.service.writer.wait_until_stored()
        return found

    def sql(self, statement: str, key: str, **headers: str) -> Answer:
        return self.get("/api/v1/query?" + urllib.parse.urlencode({"sql": statement}), key, **headers)

    def follow(self) -> None:
        """Let the service see what another process did, without waiting for its next look."""
        self.service._authenticator.refresh()


@contextmanager
def serving(data: Path, **settings: Any) -> Iterator[Site]:
    whole = {
        "server": ServerConfig(port=0, grpc_port=0),
        "store": StoreConfig(data=data, threads=1),
        "content": ContentConfig(policy="full"),
        **settings,
    }
    service = build_service(Settings(**whole))
    service.start()
    try:
        yield Site(service, data)
    finally:
        service.stop()


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    issuer = {"issuer": ISSUER, "audience": "spanledger", "key": SHARED}
    with serving(tmp_path_factory.mktemp("site"), auth=AuthConfig(issuer=[issuer])) as site:
        for role in ROLES:
            site.make(f"acme {role}", ["acme"], role)
            site.make(f"all {role}", ["*"], role)
        site.make("zeta ingest", ["zeta"], "ingest")
        site.make("zeta reader", ["zeta"], "compliance")
        site.make("acme content", ["acme"], "engineer", scopes=["read:content"])
        site.make("revoked", ["*"], "admin")
        site.make("expired", ["*"], "admin", expires=1)
        site.make("two tenants", ["acme", "zeta"], "gateway")
        with closing(StateDb(site.data)) as state:
            KeyRing(state).revoke(site.ids["revoked"], actor="test")
        site.follow()
        for tenant in ("acme", "zeta"):
            assert site.send(spans(tenant, seed=tenant), f"{tenant} ingest").status == 200
        yield site


def token(**changed: Any) -> str:
    now = int(time.time())
    said = {"iss": ISSUER, "aud": "spanledger", "iat": now, "exp": now + 60, "tenant": "zeta", "role": "compliance"}
    return jwt.encode(said | changed, SHARED, "HS256")


def routes(site: Site) -> list[tuple[str, str, str]]:
    """Method, path and scope of every route there is, found by walking the application, not its own list."""
    found: list[tuple[str, str]] = []
    app: Any = site.service._front._http.config.app
    pending = [("", route) for route in app.routes]
    while pending:
        prefix, route = pending.pop()
        inner = getattr(route, "original_router", None) or getattr(route, "router", None)
        nested = getattr(route, "routes", None) or getattr(inner, "routes", None)
        if nested and not hasattr(route, "endpoint"):
            context = getattr(route, "include_context", None)
            prefix += getattr(context, "prefix", "") if context is not None else getattr(route, "path", "")
            pending += [(prefix, below) for below in nested]
            continue
        found += [(method, prefix + route.path) for method in route.methods or {"POST"}]
    return sorted((method, path, app.state.scopes.get((method, path), "")) for method, path in found)


def fill(path: str, seed: str) -> str:
    return path.replace("{trace_id}", trace_of(seed))


def test_every_route_declares_a_scope(site: Site) -> None:
    found = routes(site)
    app: Any = site.service._front._http.config.app
    assert {(method, path) for method, path, _ in found} == set(app.state.scopes)
    assert len(found) >= 15
    assert [path for _, path, scope in found if not scope] == []
    public = {path for _, path, scope in found if scope == "public" and not path.startswith("/static/")}
    assert public == {"/healthz", "/readyz", "/login"}


BAD: dict[str, Callable[[Site], str | None]] = {
    "none": lambda _site: None,
    "empty": lambda _site: "",
    "noise": lambda _site: "sl_noise",
    "a key that was never made": lambda _site: new_token()[1],
    "the id with another secret": lambda site: _with_another_secret(site.keys["all admin"]),
    "expired": lambda site: site.keys["expired"],
    "revoked": lambda site: site.keys["revoked"],
    "an unsigned token": lambda _site: "eyJhbGciOiJub25lIn0.eyJpc3MiOiJodHRwczovL2lkLmV4YW1wbGUifQ.",
    "an expired token": lambda _site: token(exp=int(time.time()) - 3600),
    "a token of another issuer": lambda _site: token(iss="https://evil.example"),
}


def _with_another_secret(key: str) -> str:
    from spanledger_ingest.auth._token import _checksum

    head = f"sl_{key[3:15]}_{new_token()[0].secret}"
    return f"{head}_{_checksum(head)}"


@pytest.mark.parametrize("kind", BAD)
def test_no_route_answers_a_bad_credential(site: Site, kind: str) -> None:
    key = BAD[kind](site)
    for method, path, scope in routes(site):
        body = b"" if method in ("POST", "PUT", "DELETE") else None
        answer = call(site.url + fill(path, "acme"), key, method=method, body=body)
        open_door = scope == "public" and method != "POST"  # what logs in says 401 itself
        assert answer.status == (200 if open_door else 401), (method, path)
        if not open_door:
            assert answer.headers["www-authenticate"].startswith("Bearer")
        assert not key or len(key) < 10 or key not in answer.text


@pytest.mark.parametrize("name", [f"{tenant} {role}" for tenant in ("acme", "all") for role in ROLES])
def test_every_role_gets_what_its_scopes_say_and_no_more(site: Site, name: str) -> None:
    with closing(StateDb(site.data)) as state:
        key = next(key for key in KeyRing(state).list() if key.id == site.ids[name])
    for method, path, scope in routes(site):
        mends = path.startswith("/api/v1/admin") and scope in key.principal.scopes
        if scope == "public" or mends:  # the second is slow, and shown elsewhere
            continue
        body = b"" if method in ("POST", "PUT", "DELETE") else None
        why = {"Spanledger-Reason": "a test"}
        answer = call(site.url + fill(path, "acme"), site.keys[name], method=method, body=body, headers=why)
        allowed = scope in key.principal.scopes
        assert (answer.status == 403) is not allowed, (method, path, answer)
        assert answer.status != 401


def test_no_route_shows_one_tenant_to_another(site: Site) -> None:
    for key in (site.keys["zeta reader"], token()):
        for method, path, scope in routes(site):
            if method != "GET" or scope == "public" or path.startswith(("/v1/", "/api/v1/admin")):
                continue
            answer = site.get(fill(path, "acme"), key, Spanledger_Reason="a test")
            assert answer.status in (200, 403, 404, 422), (path, answer)
            assert "acme" not in answer.text
            asked = (f"o trace {trace_of('acme')}", f'"detail":{{"trace_id":"{trace_of("acme")}"}}')
            shown = answer.text.replace(asked[0], "").replace(asked[1], "")  # what they themselves asked for
            assert trace_of("acme") not in shown
            assert PROMPT not in shown or path.endswith("/content")
        for path in ("/calls?tenant=acme", "/usage?by=tenant&tenant=acme"):
            assert site.get("/api/v1" + path, key).json["items"] == []
        for view in ("llm_calls", "spans", "span_content", "rejections", "logs", "metrics", "scores"):
            answer = site.sql(f"FROM {view}", key, Spanledger_Reason="a test")
            assert answer.status == 200, answer
            assert "acme" not in answer.text


def test_all_tenants_are_seen_by_who_may(site: Site) -> None:
    rows = site.get("/api/v1/usage?by=tenant", "all sre").json["items"]
    assert {"acme", "zeta"} <= {row["tenant"] for row in rows}


GRPC_BAD = {"none": None, **{kind: make for kind, make in BAD.items() if kind not in ("none", "empty")}}


@pytest.mark.parametrize("kind", GRPC_BAD)
def test_no_grpc_method_takes_a_bad_credential(site: Site, kind: str) -> None:
    make = GRPC_BAD[kind]
    metadata = () if make is None else (("authorization", f"Bearer {make(site)}"),)
    with grpc.insecure_channel(site.grpc) as channel:
        for method in GRPC_SCOPES:
            assert _refused(channel, method, metadata) is grpc.StatusCode.UNAUTHENTICATED
        assert _refused(channel, "/a.b.C/D", metadata) is grpc.StatusCode.UNIMPLEMENTED


def test_grpc_takes_ingest_keys_only(site: Site) -> None:
    with grpc.insecure_channel(site.grpc) as channel:
        for method in GRPC_SCOPES:
            reader = (("authorization", f"Bearer {site.keys['acme admin']}"),)
            assert _refused(channel, method, reader) is grpc.StatusCode.PERMISSION_DENIED
            sender = (("authorization", f"Bearer {site.keys['acme ingest']}"),)
            channel.unary_unary(method, lambda sent: sent, lambda got: got)(b"", metadata=sender, timeout=20)


def _refused(channel: grpc.Channel, method: str, metadata: Any) -> grpc.StatusCode:
    with pytest.raises(grpc.RpcError) as caught:
        channel.unary_unary(method, lambda sent: sent, lambda got: got)(b"", metadata=metadata, timeout=20)
    error: Any = caught.value
    code: grpc.StatusCode = error.code()
    return code


def test_every_registered_grpc_method_is_known_to_these_tests(site: Site) -> None:
    registered = site.service._front._grpc.methods
    assert set(registered) == set(GRPC_SCOPES)


def test_a_span_that_claims_another_tenant_stays_with_its_key_and_is_flagged(site: Site) -> None:
    before = _metric(site, "spanledger_foreign_items_total")
    assert site.send(spans(None, seed="liar", claim="omega"), "zeta ingest").status == 200
    row = site.get(f"/api/v1/traces/{trace_of('liar')}", "zeta reader").json["items"][0]
    assert row["tenant_id"] == "zeta"
    assert row["attributes"]["spanledger.claimed_tenant"] == "omega"
    assert site.get(f"/api/v1/traces/{trace_of('liar')}", "acme engineer").status == 404
    assert _metric(site, "spanledger_foreign_items_total") == before + 1


def _metric(site: Site, name: str) -> float:
    text = site.get("/metrics", "all sre").text
    return float(next(line for line in text.splitlines() if line.startswith(name)).split()[-1])


def test_a_gateway_sends_for_its_tenants_and_no_others(site: Site) -> None:
    for tenant in ("acme", "zeta"):
        assert site.send(spans(tenant, seed=f"gw {tenant}"), "two tenants").text == ""
    for body in (spans("omega", seed="gw omega"), spans(None, seed="gw none")):
        answer = site.send(body, "two tenants")
        assert answer.status == 200
        assert "1 of 1 items rejected" in answer.text
    assert site.get(f"/api/v1/traces/{trace_of('gw acme')}", "acme engineer").status == 200
    assert site.get(f"/api/v1/traces/{trace_of('gw zeta')}", "zeta reader").status == 200
    assert site.get(f"/api/v1/traces/{trace_of('gw omega')}", "all admin").status == 404
    reasons = [row["reason"] for row in site.get("/api/v1/ingest/rejected", "all admin").json["items"]]
    assert any("does not stand for" in reason for reason in reasons)
    assert site.get("/api/v1/ingest/rejected", "acme admin").json["items"] == []
    assert site.send(spans("omega", seed="gw any"), "all gateway").status == 200
    assert site.get(f"/api/v1/traces/{trace_of('gw any')}", "all admin").json["items"][0]["tenant_id"] == "omega"


def test_content_is_read_with_its_scope_and_every_read_is_audited(site: Site) -> None:
    path = f"/api/v1/traces/{trace_of('acme')}/content"
    statement = "WITH x AS (SELECT text FROM span_content) SELECT * FROM x"
    for name in ("acme engineer", "acme admin", "acme product", "all sre"):
        assert site.get(path, name).status == 403
        refused = site.sql(statement, name)
        assert refused.status == 403
        assert "read:content" in refused.text
    assert site.sql("SELECT * FROM spans", "acme product").status == 403
    assert PROMPT in site.get(path, "acme content").text
    assert PROMPT in site.sql(statement, "acme content", Spanledger_Reason="ticket 7").text
    assert site.get(path, "zeta reader").status == 403  # compliance says why
    audit = site.get("/api/v1/audit?limit=2", "acme compliance").json
    assert [(row["action"], row["actor"], row["reason"]) for row in audit["items"]] == [
        ("content.read", f"key {site.ids['acme content']}", "ticket 7"),
        ("content.read", f"key {site.ids['acme content']}", ""),
    ]
    assert audit["items"][0]["detail"] == {"sql": statement}
    older = site.get(f"/api/v1/audit?cursor={audit['next_cursor']}", "acme compliance").json["items"]
    assert older[0]["action"].startswith(("key.", "content.", "alerts.", "session."))
    assert PROMPT not in site.get("/api/v1/audit", "all compliance").text


def test_a_revoked_key_ends_within_five_seconds_while_the_service_runs(site: Site) -> None:
    key = site.make("brief", ["acme"], "engineer")
    until = time.monotonic() + 5
    while site.get("/api/v1/calls", key).status != 200:
        assert time.monotonic() < until
        time.sleep(0.05)  # between polls
    program = str(Path(sys.executable).parent / "spanledger")
    command = [program, "keys", "revoke", site.ids["brief"], "--data", str(site.data)]
    subprocess.run(command, check=True, capture_output=True)
    until = time.monotonic() + 5
    while site.get("/api/v1/calls", key).status != 401:
        assert time.monotonic() < until
        time.sleep(0.05)  # between polls


def test_a_service_without_keys_is_open_on_loopback_says_so_and_closes_with_the_first_key(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO), serving(tmp_path) as site:
        assert [record.message for record in caplog.records if "no API key exists" in record.message]
        assert site.send(spans("anyone", seed="x"), None).status == 200
        assert site.get("/api/v1/calls", None).json["items"][0]["tenant_id"] == "anyone"
        rebound = call(site.url + "/api/v1/calls", headers={"Host": "evil.example"})
        assert rebound.status == 403
        assert "loopback" in rebound.text
        site.make("first", ["acme"], "ingest")
        site.follow()
        assert site.get("/api/v1/calls", None).status == 401
        assert site.send(spans("anyone", seed="y"), None).status == 401


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1", "spans.example"])  # noqa: S104 - refused
def test_an_open_service_does_not_listen_beyond_loopback(tmp_path: Path, host: str) -> None:
    with pytest.raises(PortError, match="spanledger keys create"):
        build_service(
            Settings(server=ServerConfig(host=host, port=0, grpc_port=0), store=StoreConfig(data=tmp_path / "d"))
        )
    with serving(tmp_path / "d"):  # the refusal left nothing locked
        pass


def test_with_a_key_it_does(tmp_path: Path) -> None:
    with closing(StateDb(tmp_path)) as state:
        _, secret = KeyRing(state).create(["acme"], "ingest", actor="test")
    with serving(tmp_path, server=ServerConfig(host="0.0.0.0", port=0, grpc_port=0)) as site:  # noqa: S104 - the test
        url = site.url.replace("0.0.0.0", "127.0.0.1")  # noqa: S104 - the test
        assert call(url + "/v1/traces", method="POST", body=b"").status == 401
        assert call(url + "/v1/traces", secret.reveal(), method="POST", body=b"").status == 200
        assert call(url + "/docs").status == call(url + "/metrics").status == 401
