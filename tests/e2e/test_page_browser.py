"""The built-in page in a real browser: filter, trace, log in, tenants apart, dark and light, narrow, by keyboard.

Each test leaves pictures in ``artefacts/page``.
"""

import json
import os
import shutil
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import closing
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Status
from playwright.sync_api import Browser, Page, sync_playwright

from spanledger_dashboards.boards import BOARDS
from spanledger_dashboards.page import board_path
from spanledger_ingest.auth import KeyRing, Role, StateDb
from spanledger_ingest.service import Service, build_service
from spanledger_ingest.settings import ContentConfig, ServerConfig, Settings, StoreConfig

PICTURES = Path(__file__).parents[2] / "artefacts" / "page"
ATTACK = "<img src=x onerror=\"document.title='taken'\">"
PAGES = {**{board.id: board_path(board.id) for board in BOARDS}, "calls": "/calls"}

CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")
if CHROMIUM is None and not os.environ.get("SPANLEDGER_REQUIRE_TOOLS"):
    pytest.skip("Chromium is not installed; .ci/run installs it", allow_module_level=True)

Open = Callable[..., Page]


def traffic(tenant: str, calls: int = 60) -> bytes:
    """An agent run per call: a root, and a model call below it, spread over 20 hours."""
    message = ExportTraceServiceRequest()
    group = message.resource_spans.add()
    group.resource.attributes.add(key="service.name").value.string_value = f"{tenant}-bot"
    scope = group.scope_spans.add()
    now = time.time_ns()
    for number in range(calls):
        digest = sha256(f"{tenant} {number}".encode()).digest()
        start = now - (number + 1) * 20 * 60 * 10**9
        root = scope.spans.add(trace_id=digest[:16], span_id=digest[16:24], name="answer a question", kind=2)
        root.start_time_unix_nano, root.end_time_unix_nano = start, start + 3 * 10**9
        call = scope.spans.add(
            trace_id=digest[:16], span_id=digest[8:16], parent_span_id=digest[16:24], name="chat gpt-4o", kind=3
        )
        call.start_time_unix_nano, call.end_time_unix_nano = start + 10**8, start + 2 * 10**9
        said = [{"role": "user", "parts": [{"type": "text", "content": f"{ATTACK} asks {tenant}"}]}]
        texts = {
            "gen_ai.operation.name": "chat",
            "gen_ai.provider.name": "openai",
            "gen_ai.request.model": "gpt-4o" if number % 3 else "gpt-4o-mini",
            "gen_ai.response.id": digest.hex(),
            "gen_ai.input.messages": json.dumps(said),
            "spanledger.use_case": ATTACK if number % 2 else "support",
        }
        for key, value in texts.items():
            call.attributes.add(key=key).value.string_value = value
        call.attributes.add(key="gen_ai.usage.input_tokens").value.int_value = 1000 + number
        call.attributes.add(key="gen_ai.usage.output_tokens").value.int_value = 100
        call.status.code = Status.STATUS_CODE_ERROR if number % 10 == 0 else Status.STATUS_CODE_OK
    return bytes(message.SerializeToString())


class Site:
    def __init__(self, service: Service, data: Path) -> None:
        self.service = service
        self.data = data
        self.url = service.http_url

    def key(self, tenant: str, role: Role) -> str:
        with closing(StateDb(self.data)) as state:
            _, secret = KeyRing(state).create([tenant], role, actor="test")
        self.service._authenticator.refresh()
        return secret.reveal()


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    data = tmp_path_factory.mktemp("page")
    PICTURES.mkdir(parents=True, exist_ok=True)
    settings = Settings(
        server=ServerConfig(port=0, grpc_port=0), store=StoreConfig(data=data), content=ContentConfig(policy="full")
    )
    service = build_service(settings)
    service.start()
    site = Site(service, data)
    for tenant in ("acme", "zeta"):
        headers = {"Content-Type": "application/x-protobuf", "Authorization": f"Bearer {site.key(tenant, 'ingest')}"}
        request = urllib.request.Request(site.url + "/v1/traces", traffic(tenant), headers)  # noqa: S310 - our own
        urllib.request.urlopen(request, timeout=30).close()  # noqa: S310 - our own address
    service.writer.wait_until_stored()
    yield site
    service.stop()


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def visit(site: Site, browser: Browser) -> Iterator[Open]:
    """Open a page in a browser of its own, logged in; every complaint of the browser fails the test."""
    complaints: list[str] = []
    contexts: list[Any] = []

    def visit(path: str, key: str = "", *, width: int = 1280, dark: bool = False, scripts: bool = True) -> Page:
        context = browser.new_context(
            viewport={"width": width, "height": 900},
            color_scheme="dark" if dark else "light",
            timezone_id="Asia/Kolkata",
            java_script_enabled=scripts,
        )
        contexts.append(context)
        page = context.new_page()
        page.on("console", lambda said: complaints.append(said.text) if said.type == "error" else None)
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("request", lambda asked: None if asked.url.startswith(site.url) else complaints.append(asked.url))
        if key:
            page.goto(f"{site.url}/login?next={path}")
            page.fill("#key", key)
            page.click("main button")
        else:
            page.goto(site.url + path)
        return page

    yield visit
    for context in contexts:
        context.close()
    assert [text for text in complaints if "401" not in text] == []


def fits(page: Page) -> bool:
    return bool(page.evaluate("document.documentElement.scrollWidth <= innerWidth"))


FULL = bool(os.environ.get("SPANLEDGER_FULL"))
LOOKS = [(1280, "light"), (390, "dark"), *([(1280, "dark"), (390, "light")] if FULL else [])]


@pytest.mark.parametrize(("width", "scheme"), LOOKS)
def test_every_page_is_drawn_and_fits(site: Site, visit: Open, width: int, scheme: str) -> None:
    page = visit("/", site.key("*", "sre"), width=width, dark=scheme == "dark")
    for name, path in PAGES.items():
        page.goto(site.url + path)
        assert page.locator("html").get_attribute("data-drawn") == "yes"
        charts = page.locator("[data-chart]").count()
        assert page.locator("[data-chart] canvas").count() == charts
        assert fits(page), f"{name} is wider than {width}"
        page.screenshot(path=PICTURES / f"{name}-{width}-{scheme}.png", full_page=True)
    background = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert background == ("rgb(17, 20, 23)" if scheme == "dark" else "rgb(246, 245, 241)")


def test_a_log_in_leads_on_and_a_log_out_ends_it(site: Site, visit: Open) -> None:
    page = visit("/calls?status=error")
    page.screenshot(path=PICTURES / "login-1280-light.png")
    page.fill("#key", "sl_wrong")
    page.click("main button")
    assert "not valid" in page.inner_text("[role=alert]")
    page.fill("#key", site.key("acme", "engineer"))
    page.click("main button")
    assert page.url.endswith("/calls?status=error")
    assert page.context.cookies()[0]["httpOnly"]
    assert page.context.cookies()[0]["sameSite"] == "Strict"
    page.click("text=Log out")
    page.goto(site.url + "/calls")
    assert page.locator("#key").is_visible()


def test_filters_apply_at_once_and_live_in_the_address(site: Site, visit: Open) -> None:
    page = visit("/calls", site.key("*", "sre"))
    assert page.locator("table.calls tbody tr").count() == 100
    page.select_option("select[name=tenant]", "zeta")
    page.wait_for_url("**tenant=zeta**")
    page.select_option("select[name=model]", "gpt-4o-mini")
    page.wait_for_url("**model=gpt-4o-mini**")
    assert page.locator("table.calls tbody tr").count() == 20
    assert "acme" not in page.inner_text("table.calls")
    page.reload()
    assert page.locator("table.calls tbody tr").count() == 20
    page.click("nav[aria-label=Pages] >> text=Cost")
    assert "tenant=zeta" in page.url
    page.click("nav[aria-label='Time range'] >> text=7d")
    assert "tenant=zeta" in page.url
    assert "range=7d" in page.url
    page.click("text=Clear")
    assert "tenant" not in page.url


def test_a_time_of_ones_own_is_in_the_readers_zone(site: Site, visit: Open) -> None:
    page = visit("/calls", site.key("acme", "engineer"))
    page.click("summary:has-text('Custom')")
    page.fill("input[name=from]", "2026-01-01T05:30:00")
    page.fill("input[name=to]", "2026-01-02T05:30:00")
    page.click("form.pop button")
    page.wait_for_url("**from=2026-01-01T00**")
    assert "to=2026-01-02T00%3A00%3A00Z" in page.url
    assert "Nothing happened in this period" in page.inner_text("main")
    page.click("text=Show the time around it")
    assert page.locator("table.calls tbody tr").count() > 0
    moment = page.locator("td time").first
    assert moment.get_attribute("title").endswith("UTC")  # type: ignore[union-attr]  # it has one
    assert moment.inner_text() not in str(moment.get_attribute("title"))


def test_a_trace_shows_its_spans_and_its_text_as_text(site: Site, visit: Open) -> None:
    page = visit("/calls", site.key("acme", "compliance"))
    page.locator("table.calls a").first.click()
    assert page.locator(".span").count() == 2
    page.locator(".span summary").nth(1).click()
    assert page.locator(".span .billing").first.inner_text().startswith("Billed")
    page.fill("section.text input[name=reason]", "a test")  # scores may have forms of their own by now
    page.click("button:has-text('Show the text')")
    said = page.locator(".said pre").first
    assert said.inner_text() == f"{ATTACK} asks acme"
    assert page.locator(".said figcaption").first.inner_text() == "user"
    assert page.title() != "taken"
    assert page.locator("main img").count() == 0
    page.screenshot(path=PICTURES / "trace-1280-light.png", full_page=True)
    page.set_viewport_size({"width": 390, "height": 800})
    assert fits(page)
    page.screenshot(path=PICTURES / "trace-390-light.png", full_page=True)


def test_tenants_are_apart(site: Site, visit: Open) -> None:
    page = visit("/", site.key("zeta", "engineer"))
    for path in PAGES.values():
        page.goto(site.url + path)
        assert "acme" not in page.content()
    trace = sha256(b"acme 1").hexdigest()[:32]
    page.goto(f"{site.url}/traces/{sha256(b'zeta 1').hexdigest()[:32]}")
    assert page.locator(".span").count() == 2
    answer = page.context.request.get(f"{site.url}/traces/{trace}")
    assert answer.status == 404


def test_the_keyboard_reaches_everything(site: Site, visit: Open) -> None:
    page = visit("/", site.key("acme", "engineer"))
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.className") == "skip"
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.id") == "main"
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "1h"
    page.locator(".about summary").first.focus()
    page.keyboard.press("Enter")
    assert page.locator(".about p").first.is_visible()
    page.keyboard.press("Escape")
    assert not page.locator(".about p").first.is_visible()
    outline = page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
    assert outline == "solid"


def test_charts_tell_their_numbers(site: Site, visit: Open) -> None:
    page = visit("/", site.key("acme", "engineer"))
    chart = page.locator("[data-chart]").first
    assert "answered in total 54 calls" in str(chart.get_attribute("aria-label"))
    chart.hover()
    page.mouse.move(*_middle(chart))
    assert page.locator(".tip:not([hidden])").count() == 1
    page.click("text=Numbers >> nth=0")
    assert page.locator(".tall table tbody tr").count() >= 50
    assert page.locator("h1").count() == 1


def _middle(chart: Any) -> tuple[float, float]:
    box = chart.bounding_box()
    return box["x"] + box["width"] / 2, box["y"] + box["height"] / 2


def test_without_scripts_everything_but_the_curves_is_there(site: Site, visit: Open) -> None:
    page = visit("/boards/cost", site.key("acme", "engineer"), scripts=False)
    assert "Charts need JavaScript" in page.inner_text("main")
    page.click("text=Numbers >> nth=0")
    assert page.locator(".tall table tbody tr").count() >= 10
    page.goto(site.url + "/calls")
    assert page.locator("table.calls tbody tr").count() == 60
