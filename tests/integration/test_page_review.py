"""Labels by page: who may give them, that no other site can, what is kept of them, and what the page says of scores."""

import re
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

from spanledger_analytics.quality import inclusion
from spanledger_analytics.queries import Window
from spanledger_analytics.records import Batch, Call, Content, Span
from spanledger_analytics.testing import SECOND, T0, a_call, a_span
from spanledger_dashboards.page import board_path
from spanledger_ingest.api import add_routes, build_app
from spanledger_ingest.auth import Audit, Authenticator, KeyRing, Role, StateDb, api_door
from spanledger_ingest.page import Pages
from spanledger_ingest.pipeline import Stats
from spanledger_ingest.scoring import Quality
from spanledger_ingest.settings import ContentConfig, ScoringConfig
from spanledger_ingest.store import DatabaseConfig, DuckDBStore

GOOD = "The shop opens at nine in the morning, from Monday to Friday."
BAD = "I'm sorry, but I cannot help with that request today."
SPAN = "from=2000-01-01T00:00:00Z&to=2100-01-01T00:00:00Z"
REVIEW = f"/review?{SPAN}&score=refusal_risk"


def answered(number: int, owner: str) -> tuple[Span, Call, list[Content]]:
    times: dict[str, Any] = {"start_ns": T0 + number * SECOND, "end_ns": T0 + (number + 1) * SECOND}
    call = a_call(number, owner=owner, **times)
    version = "v3" if number % 2 else "v4"
    facts = replace(call.facts, finish_reason="stop", prompt_name="greeting", prompt_version=version)
    ids: dict[str, Any] = {"owner": owner, "tenant_id": owner, "time_ns": times["start_ns"]}
    ids |= {"trace_id": call.own.trace_id, "span_id": call.own.span_id}
    output = BAD if version == "v4" and number % 3 else GOOD
    texts = [Content(**ids, kind="input", text="When?"), Content(**ids, kind="output", text=output)]
    return a_span(number, owner=owner, **times), replace(call, facts=facts), texts


def _no_stats() -> Stats:
    raise NotImplementedError


class Site:
    def __init__(self, directory: Path) -> None:
        self.store = DuckDBStore(directory / "s.duckdb", DatabaseConfig(threads=1))
        self.state = StateDb(directory)
        self.keys = KeyRing(self.state)
        self.authenticator = Authenticator(self.keys, required=True)
        spans, calls, contents = zip(
            *(answered(number, "zeta" if number > 230 else "acme") for number in range(1, 241)), strict=True
        )
        self.store.append(Batch(spans=spans, calls=calls, contents=[text for texts in contents for text in texts]))
        quality = Quality(self.store, self.state, ScoringConfig(), ContentConfig(), float)
        quality.scoring.score(self.store.evidence.calls_of_window(Window(), None, 1000))
        self.audit = Audit(self.state)
        self.pages = Pages(self.store, self.authenticator, self.state, None)
        self.app = build_app(self.store, stats=_no_stats, authenticate=api_door(self.authenticator), audit=self.audit)
        add_routes(self.app, self.pages.router)

    def browser(self, tenant: str = "acme", role: Role = "engineer", scopes: tuple[str, ...] = ()) -> TestClient:
        _, secret = self.keys.create([tenant], role, scopes=scopes, actor="test")
        self.authenticator.refresh()
        client = TestClient(self.app, base_url="http://127.0.0.1", follow_redirects=False)
        assert client.post("/login", data={"key": secret.reveal(), "next": "/review"}).status_code == 303
        return client

    def labels(self) -> list[dict[str, Any]]:
        return self.store.run_sql("SELECT * FROM labels ORDER BY time").to_pylist()

    def refusal(self, owner: str = "acme") -> dict[str, Any]:
        sql = "SELECT * FROM scores WHERE name = 'refusal_risk' AND label = 'fail' AND tenant_id = $1 ORDER BY time"
        found: dict[str, Any] = self.store.run_sql(sql, values=[owner]).to_pylist()[0]
        return found


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    made = Site(tmp_path_factory.mktemp("review"))
    yield made
    made.pages.close()
    with closing(made.state), closing(made.store):
        pass


def form_of(page: str, row: dict[str, Any], label: str = "pass") -> dict[str, str]:
    token = re.search(r'name="form_token" value="([0-9a-f]{64})"', page)
    assert token is not None
    names = ("trace_id", "span_id", "name")
    return {name: row[name] for name in names} | {"form_token": token[1], "label": label, "reason": "fine so"}


def test_the_page_shows_rates_with_interval_and_coverage(site: Site) -> None:
    browser = site.browser()
    overview = browser.get(f"/review?{SPAN}").text
    assert "citation_accuracy" in overview
    assert "no context 230" in overview
    page = browser.get(REVIEW).text
    assert re.search(r"acme, [^<]*greeting@v3", page)
    assert re.search(r"\d+\.\d % to \d+\.\d %", page)
    assert "115 of 115" in page
    assert "cannot help" not in page


@pytest.mark.parametrize("choice", ["tenant", "model", "provider", "use_case", "service"])
def test_none_narrows_to_answers_without_one(site: Site, choice: str) -> None:
    column = {"tenant": "tenant_id", "service": "service_name"}.get(choice, choice)
    sql = f"SELECT count(*) FILTER ({column} IS NULL) FROM llm_calls"  # noqa: S608 - of the above
    without = site.store.run_sql(sql, owner_scope="acme").column(0)[0].as_py()
    assert ("of 115" in site.browser().get(f"{REVIEW}&{choice}=(none)").text) is (without > 0)


def test_two_versions_are_compared_in_a_sentence(site: Site) -> None:
    page = site.browser().get(f"{REVIEW}&by=prompt&a=greeting@v3&b=greeting@v4").text
    assert "enough data to say B is worse: yes" in page
    assert "0 of 115 judged answers fail" in page
    assert "no, there have to be" in site.browser().get(f"{REVIEW}&by=model&a=x&b=y").text


def test_the_quality_board_leads_there(site: Site) -> None:
    assert 'href="/review?' in site.browser().get(board_path("quality")).text
    assert 'href="/review?' not in site.browser().get(board_path("cost")).text


def test_a_label_is_kept_with_its_weight_and_audited(site: Site) -> None:
    browser = site.browser()
    page = browser.get(REVIEW).text
    trace = re.search(r'name="trace_id" value="([0-9a-f]{32})"', page)
    assert trace is not None
    queued = site.store.run_sql("SELECT * FROM scores WHERE name = 'refusal_risk'").to_pylist()
    (row,) = [row for row in queued if row["trace_id"] == trace[1]]
    before = len(site.labels())
    answer = browser.post("/review/label", data=form_of(page, row) | {"back": REVIEW})
    assert (answer.status_code, answer.headers["location"]) == (303, REVIEW)
    kept = site.labels()
    assert len(kept) == before + 1
    assert (kept[-1]["label"], kept[-1]["source"], kept[-1]["reason"]) == ("pass", "reviewer", "fine so")
    assert kept[-1]["author"].startswith("key ")
    assert kept[-1]["weight"] == inclusion(f"{row['trace_id']}{row['span_id']}refusal_risk", row["value"])
    assert trace[1] not in re.findall(r'name="trace_id" value="([0-9a-f]{32})"', browser.get(REVIEW).text)
    entry = site.audit.read("acme", before=2**62, limit=1)[0]
    assert (entry.action, entry.reason, entry.detail["trace_id"]) == ("labels.write", "fine so", trace[1])


def test_an_answer_that_somebody_picked_counts_as_one(site: Site) -> None:
    browser, row = site.browser(), site.refusal()
    drawn = inclusion(f"{row['trace_id']}{row['span_id']}refusal_risk", row["value"])
    page = browser.get(f"/traces/{row['trace_id']}").text
    assert "refusal_risk" in page
    assert browser.post("/review/label", data=form_of(page, row, "fail")).status_code == 303
    kept = [one for one in site.labels() if one["span_id"] == row["span_id"]][-1]  # tests in any order may label it
    assert kept["weight"] == (drawn or 1.0)
    assert "fail (reviewer)" in browser.get(f"/traces/{row['trace_id']}").text


@pytest.mark.parametrize("headers", [{"origin": "https://evil.example"}, {"sec-fetch-site": "cross-site"}])
def test_no_other_site_can_label(site: Site, headers: dict[str, str]) -> None:
    browser, row = site.browser(), site.refusal()
    before = site.labels()
    form = form_of(browser.get(REVIEW).text, row)
    assert browser.post("/review/label", data=form, headers=headers).status_code == 403
    foreign = form_of(site.browser().get(REVIEW).text, row)
    assert browser.post("/review/label", data=foreign).status_code == 403
    assert browser.post("/review/label", data={**form, "form_token": ""}).status_code == 403
    assert site.labels() == before


def test_who_may_not_write_scores_may_not_label(site: Site) -> None:
    reader = site.browser(role="ingest", scopes=("read:metrics", "read:traces"))
    page = reader.get(REVIEW).text
    assert 'action="/review/label"' not in page
    assert "scores:write" in page
    row = site.refusal()
    assert 'action="/review/label"' not in reader.get(f"/traces/{row['trace_id']}").text
    assert reader.post("/review/label", data=form_of(page, row)).status_code == 403
    assert TestClient(site.app, base_url="http://127.0.0.1").post("/review/label", data={}).status_code == 401


def test_nobody_labels_or_sees_answers_of_others(site: Site) -> None:
    zeta, row = site.browser("zeta"), site.refusal("acme")
    page = zeta.get(REVIEW).text
    assert "5 of 5" in page
    assert row["trace_id"] not in page
    assert zeta.post("/review/label", data=form_of(page, row)).status_code == 404


@pytest.mark.parametrize(
    "change",
    [{"label": "maybe"}, {"trace_id": "x"}, {"span_id": ""}, {"name": ""}, {"reason": "x" * 201}],
)
def test_forms_that_are_none_of_ours_are_refused(site: Site, change: dict[str, str]) -> None:
    browser = site.browser()
    form = form_of(browser.get(REVIEW).text, site.refusal())
    assert browser.post("/review/label", data=form | change).status_code == 422


def test_a_label_leads_to_no_other_host(site: Site) -> None:
    browser, row = site.browser(), site.refusal()
    form = form_of(browser.get(REVIEW).text, row) | {"back": "//evil.example/"}
    assert browser.post("/review/label", data=form).headers["location"] == "/"


def test_the_words_a_score_is_about_take_the_scope_and_the_audit(site: Site) -> None:
    row = site.refusal()
    compliance = site.browser(role="compliance")
    page = compliance.get(f"/traces/{row['trace_id']}").text
    assert "refusal_risk" in page
    assert "<q>" not in page
    form = form_of(page, row)
    answer = compliance.post(f"/traces/{row['trace_id']}/text", data=form)
    assert answer.status_code == 200
    assert "<q>I&#39;m sorry, but I cannot help" in answer.text
