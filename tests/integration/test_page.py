"""The built-in page of a running service: who gets in, what they see, and what a browser is told about it."""

import re
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field
from hashlib import sha256
from http.cookies import SimpleCookie
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Status

from spanledger_dashboards.boards import BOARDS
from spanledger_dashboards.page import board_path, static_files
from spanledger_ingest.auth import LIFE_SECONDS, Authenticator, CredentialError, KeyRing, Role, Sessions, StateDb
from spanledger_ingest.page._login import local_address
from spanledger_ingest.service import Service, build_service
from spanledger_ingest.settings import ContentConfig, ServerConfig, Settings, StoreConfig

ATTACK = "<script>alert(1)</script>\"'><img src=x onerror=alert(2)>"
NOW = time.time_ns()
PAGES = [*(board_path(board.id) for board in BOARDS), "/calls"]


@dataclass
class Answer:
    status: int
    text: str
    headers: dict[str, str] = field(default_factory=dict)


class _Stay(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_: Any) -> None:
        return None


OPENER = urllib.request.build_opener(_Stay)


class Browser:
    """Keeps a cookie, sends forms, follows nothing."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.cookie = ""

    def ask(self, path: str, form: dict[str, str] | None = None, **headers: str) -> Answer:
        body = None if form is None else urllib.parse.urlencode(form).encode()
        request = urllib.request.Request(self.url + path, data=body)  # noqa: S310 - our own address
        for name, value in headers.items():
            request.add_header(name.replace("_", "-"), value)
        if self.cookie:
            request.add_header("Cookie", self.cookie)
        try:
            with OPENER.open(request, timeout=30) as answer:
                return Answer(answer.status, answer.read().decode(), dict(answer.headers))
        except urllib.error.HTTPError as error:
            with error:
                return Answer(error.code, error.read().decode(), dict(error.headers))

    def login(self, key: str, **headers: str) -> Answer:
        answer = self.ask("/login", {"key": key, "next": "/calls"}, **headers)
        if "set-cookie" in answer.headers:
            self.cookie = answer.headers["set-cookie"].partition(";")[0]
        return answer


def trace_of(seed: str) -> str:
    return sha256(seed.encode()).hexdigest()[:32]


def a_span(tenant: str, text: str) -> bytes:
    """One model call, with a text in every attribute that a page shows."""
    digest = sha256(tenant.encode()).digest()
    message = ExportTraceServiceRequest()
    group = message.resource_spans.add()
    group.resource.attributes.add(key="service.name").value.string_value = f"service {text}"
    span = group.scope_spans.add().spans.add(trace_id=digest[:16], span_id=digest[16:24], name=f"chat {text}", kind=3)
    span.start_time_unix_nano, span.end_time_unix_nano = NOW - 10**9, NOW
    said = f'[{{"role": "user", "parts": [{{"type": "text", "content": "secret of {tenant}"}}]}}]'
    texts = {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "openai",
        "gen_ai.request.model": f"model {text}",
        "gen_ai.input.messages": said,
        "spanledger.use_case": f"use {text}",
        "user.id": text,
        "gen_ai.prompt.name": text,
        "error.type": f"error {text}",
        f"x {text}": text,
    }
    for key, value in texts.items():
        span.attributes.add(key=key).value.string_value = value
    span.attributes.add(key="gen_ai.usage.input_tokens").value.int_value = 10
    span.status.MergeFrom(Status(code=Status.STATUS_CODE_ERROR, message=text))
    return message.SerializeToString()


class Site:
    def __init__(self, service: Service, data: Path) -> None:
        self.service = service
        self.data = data
        self.url = service.http_url

    def key(self, tenant: str, role: Role, **more: Any) -> str:
        with closing(StateDb(self.data)) as state:
            _, secret = KeyRing(state).create([tenant], role, actor="test", **more)
        self.service._authenticator.refresh()
        return secret.reveal()

    def browser(self, tenant: str = "acme", role: Role = "engineer", **more: Any) -> Browser:
        browser = Browser(self.url)
        assert browser.login(self.key(tenant, role, **more)).status == 303
        return browser

    def send(self, key: str, body: bytes) -> None:
        headers = {"Content-Type": "application/x-protobuf", "Authorization": f"Bearer {key}"}
        request = urllib.request.Request(self.url + "/v1/traces", body, headers)  # noqa: S310 - our own address
        urllib.request.urlopen(request, timeout=30).close()  # noqa: S310 - our own address
        self.service.writer.wait_until_stored()

    def audit(self) -> list[tuple[str, str]]:
        with closing(StateDb(self.data)) as state:
            return [tuple(row) for row in state.execute("SELECT action, reason FROM audit ORDER BY seq")]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    data = tmp_path_factory.mktemp("page")
    settings = Settings(
        server=ServerConfig(port=0, grpc_port=0), store=StoreConfig(data=data), content=ContentConfig(policy="full")
    )
    service = build_service(settings)
    service.start()
    site = Site(service, data)
    for tenant in ("acme", "zeta"):
        site.send(site.key(tenant, "ingest"), a_span(tenant, ATTACK if tenant == "acme" else "of zeta"))
    yield site
    service.stop()


def form_token(page: str) -> str:
    found = re.search(r'name="form_token" value="([0-9a-f]{64})"', page)
    assert found is not None
    return found[1]


def test_without_a_key_the_page_asks_for_one(site: Site) -> None:
    for path in (*PAGES, f"/traces/{trace_of('acme')}"):
        answer = Browser(site.url).ask(f"{path}?range=7d")
        assert answer.status == 401
        assert answer.headers["www-authenticate"].startswith("Bearer")
        assert f'value="{path}?range=7d"' in answer.text
        assert "model" not in answer.text


def test_a_login_gives_a_strict_cookie_and_leads_on(site: Site) -> None:
    answer = Browser(site.url).login(site.key("acme", "engineer"))
    assert answer.status == 303
    assert answer.headers["location"] == "/calls"
    (cookie,) = SimpleCookie(answer.headers["set-cookie"]).values()
    assert cookie.key == "spanledger_session"
    assert (cookie["httponly"], cookie["samesite"].lower(), cookie["path"]) == (True, "strict", "/")
    assert int(cookie["max-age"]) == LIFE_SECONDS
    assert not cookie["secure"]


def test_behind_tls_the_cookie_is_secure(site: Site) -> None:
    browser = Browser(site.url)
    host = site.url.removeprefix("http://")
    answer = browser.login(site.key("acme", "engineer"), Origin=f"https://{host}")
    (cookie,) = SimpleCookie(answer.headers["set-cookie"]).values()
    assert (cookie.key, cookie["secure"]) == ("__Host-spanledger_session", True)
    assert browser.ask("/").status == 200


@pytest.mark.parametrize("key", ["", "sl_noise", "x" * 20_000, "\x00\ud7ff"])
def test_a_wrong_key_lets_nobody_in(site: Site, key: str) -> None:
    answer = Browser(site.url).login(key)
    assert answer.status in (401, 413)
    assert "set-cookie" not in answer.headers


def test_a_key_that_sends_may_not_read(site: Site) -> None:
    answer = Browser(site.url).login(site.key("acme", "ingest"))
    assert answer.status == 403
    assert "set-cookie" not in answer.headers


@pytest.mark.parametrize(
    "headers", [{"Origin": "https://evil.example"}, {"Origin": "null"}, {"Sec_Fetch_Site": "cross-site"}]
)
def test_forms_of_other_sites_are_refused(site: Site, headers: dict[str, str]) -> None:
    assert Browser(site.url).login(site.key("acme", "engineer"), **headers).status == 403
    browser = site.browser()
    token = form_token(browser.ask("/").text)
    assert browser.ask("/logout", {"form_token": token}, **headers).status == 403
    assert browser.ask("/").status == 200


def test_logging_out_takes_the_token_of_the_session_and_ends_it(site: Site) -> None:
    browser, other = site.browser(), site.browser()
    foreign = form_token(other.ask("/").text)
    assert browser.ask("/logout", {}).status == 403
    assert browser.ask("/logout", {"form_token": foreign}).status == 403
    answer = browser.ask("/logout", {"form_token": form_token(browser.ask("/").text)})
    assert (answer.status, answer.headers["location"]) == (303, "/login")
    assert browser.ask("/").status == 401
    assert other.ask("/").status == 200


def test_a_session_ends_with_its_key(site: Site) -> None:
    key, browser = site.key("acme", "engineer"), Browser(site.url)
    browser.login(key)
    assert browser.ask("/").status == 200
    with closing(StateDb(site.data)) as state:
        KeyRing(state).revoke(key[3:15], actor="test")
    site.service._authenticator.refresh()
    answer = browser.ask("/")
    assert answer.status == 401
    assert "revoked" in answer.text


def test_each_page_shows_the_readers_tenant_only(site: Site) -> None:
    zeta = site.browser("zeta", "compliance")
    seen = ""
    for path in PAGES:
        answer = zeta.ask(f"{path}?range=7d")
        assert answer.status == 200, path
        assert "acme" not in answer.text, path
        assert "could not be read" not in answer.text, path
        seen += answer.text
    assert "model of zeta" in seen
    assert "/traces/" not in zeta.ask("/calls?tenant=acme").text
    assert zeta.ask(f"/traces/{trace_of('zeta')}").status == 200
    assert zeta.ask(f"/traces/{trace_of('acme')}").status == 404
    assert zeta.ask("/calls", form=None).text.count("/traces/") == 1


def test_who_sees_all_tenants_sees_both(site: Site) -> None:
    text = site.browser("*", "sre").ask("/calls").text
    assert text.count("/traces/") == 2


def test_roles_see_what_their_scopes_say(site: Site) -> None:
    product = site.browser(role="product")
    assert product.ask("/").status == 200
    assert "/traces/" not in product.ask("/calls").text
    answer = product.ask(f"/traces/{trace_of('acme')}")
    assert answer.status == 403
    assert "read:traces" in answer.text
    engineer = site.browser()
    assert "takes the scope <code>read:content</code>" in engineer.ask(f"/traces/{trace_of('acme')}").text
    token = form_token(engineer.ask("/").text)
    assert engineer.ask(f"/traces/{trace_of('acme')}/text", {"form_token": token}).status == 403


def test_text_is_shown_once_the_reading_is_written_down(site: Site) -> None:
    browser = site.browser(role="compliance")
    path = f"/traces/{trace_of('acme')}"
    page = browser.ask(path).text
    assert "secret of acme" not in page
    token = form_token(page)
    assert browser.ask(f"{path}/text", {"reason": "a complaint"}).status == 403
    before = site.audit().count(("content.read", "a complaint"))
    refused = browser.ask(f"{path}/text", {"form_token": token})
    assert refused.status == 403
    assert "secret of acme" not in refused.text
    shown = browser.ask(f"{path}/text", {"form_token": token, "reason": "a complaint"})
    assert shown.status == 200
    assert "secret of acme" in shown.text
    assert site.audit().count(("content.read", "a complaint")) == before + 1
    assert browser.ask(f"/traces/{trace_of('zeta')}/text", {"form_token": token, "reason": "curious"}).status == 404
    assert ("content.read", "curious") not in site.audit()


def test_stored_markup_stays_text_on_every_page(site: Site) -> None:
    browser = site.browser(role="compliance")
    pages = [browser.ask(f"{path}?range=7d").text for path in PAGES]
    pages.append(browser.ask(f"/traces/{trace_of('acme')}").text)
    pages += [browser.ask(f"{path}?tenant={urllib.parse.quote(ATTACK)}").text for path in PAGES]
    assert sum("&lt;script&gt;alert(1)" in page for page in pages) >= len(PAGES)
    for page in pages:
        assert "<script>alert" not in page
        assert "<img" not in page
        assert re.findall(r"<script(?! src=\"/static/| type=\"application/json\" id=\"chart-[a-z0-9-]+\")", page) == []


def test_browsers_are_told_to_run_nothing_else(site: Site) -> None:
    browser = site.browser()
    for path in (*PAGES, f"/traces/{trace_of('acme')}", "/login", "/traces/none", "/calls?nonsense=1"):
        headers = browser.ask(path).headers
        policy = headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "script-src 'self'" in policy
        assert "unsafe" not in policy
        assert "http" not in policy
        assert headers["x-frame-options"] == "DENY"
        assert headers["cache-control"] == "no-store"
        assert headers["referrer-policy"] == "same-origin"


def test_pages_load_only_our_own_files(site: Site) -> None:
    browser = site.browser()
    page = browser.ask("/").text
    loaded = re.findall(r'(?:src|href)="(/static/[^"]+)"', page)
    assert len(loaded) == len(static_files())
    for address in loaded:
        answer = Browser(site.url).ask(address)
        assert answer.status == 200
        assert "immutable" in answer.headers["cache-control"]
    assert not re.findall(r'(?:src|href|action)="(?:https?:)?//', page)
    assert Browser(site.url).ask("/static/page.css?v=old").headers["cache-control"] == "public, max-age=300"


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/traces/none", 404),
        (f"/traces/{'0' * 32}", 404),
        ("/boards/none", 404),
        ("/static/none.js", 404),
        ("/calls?nonsense=1", 422),
        ("/calls?cursor=%00", 422),
        ("/calls?trace_id=xyz", 422),
        ("/?range=2h", 422),
        ("/?range=1h&from=2026-01-01T00:00:00Z", 422),
        ("/?from=2026-01-02T00:00:00Z&to=2026-01-01T00:00:00Z", 422),
        ("/?from=yesterday", 422),
        ("/?from=0001-01-01T00:00:00-23:00&to=9999-12-31T23:59:59Z", 200),
        ("/?from=2026-01-01T00:00&to=2026-01-02T00:00", 200),
        ("/?tenant=%27%3B%20DROP%20TABLE%20spans", 200),
        ("/?refresh=7", 200),
    ],
)
def test_addresses_that_are_wrong_say_so(site: Site, path: str, status: int) -> None:
    answer = site.browser().ask(path)
    assert answer.status == status
    assert "Traceback" not in answer.text


def test_filters_narrow_the_calls(site: Site) -> None:
    browser = site.browser("*", "sre")

    def calls(**filters: str) -> int:
        return browser.ask(f"/calls?{urllib.parse.urlencode(filters)}").text.count('href="/traces/')

    assert calls() == 2
    assert calls(tenant="zeta") == 1
    assert calls(model=f"model {ATTACK}") == 1
    assert calls(status="ok") == 0
    assert calls(status="error") == 2
    assert calls(finish_reason="error") + calls(finish_reason="stop") <= 2
    assert calls(billable="false") == 0
    assert calls(tenant="(none)") == 0
    assert calls(trace_id=trace_of("acme"), range="1h") == 1


def test_an_empty_service_says_how_to_begin(tmp_path: Path) -> None:
    service = build_service(Settings(server=ServerConfig(port=0, grpc_port=0), store=StoreConfig(data=tmp_path)))
    service.start()
    try:
        browser = Browser(service.http_url)
        for path in PAGES:
            answer = browser.ask(path)
            assert answer.status == 200
            assert "<code>import spanledger.auto</code>" in answer.text
            assert f"SPANLEDGER_ENDPOINT={service.http_url}" in answer.text
            assert "could not be read" not in answer.text
        assert browser.ask("/", Host="evil.example").status == 403
    finally:
        service.stop()


@pytest.mark.parametrize(
    "address", ["//evil.example", "/\\evil.example", "https://evil.example", "evil", "", "/a\r\nb"]
)
def test_a_login_leads_nowhere_else(address: str) -> None:
    assert local_address(address) == "/"


def test_sessions_end_by_the_clock_and_the_oldest_make_room(tmp_path: Path) -> None:
    now = [1000.0]
    with closing(StateDb(tmp_path)) as state:
        keys = KeyRing(state, clock=lambda: now[0])
        sessions = Sessions(state, Authenticator(keys), clock=lambda: now[0])
        _, secret = keys.create(["acme"], "engineer", actor="test")
        first = sessions.open(secret.reveal())
        assert sessions.find(first.token).principal.tenant == "acme"
        now[0] += LIFE_SECONDS - 1
        assert sessions.find(first.token) == first
        for _ in range(100):
            now[0] += 0.001
            last = sessions.open(secret.reveal())
        with pytest.raises(CredentialError):
            sessions.find(first.token)
        now[0] += LIFE_SECONDS
        with pytest.raises(CredentialError, match="over"):
            sessions.find(last.token)
        assert first.token not in str(state.execute("SELECT * FROM sessions"))
