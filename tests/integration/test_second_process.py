"""Requests come out of the second process as they would out of this one, and its death costs nothing."""

import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spanledger_analytics.records import CallFacts
from spanledger_ingest.content import keep_content
from spanledger_ingest.journal import Received
from spanledger_ingest.normalise import normalise, normalise_log
from spanledger_ingest.otlp import DEFAULT_LIMITS
from spanledger_ingest.pipeline import Helper, Preparation, read_again, read_request
from spanledger_ingest.pipeline._helper import NoHelpError
from spanledger_ingest.pipeline._prepare import Prepared
from spanledger_ingest.pipeline._wire import dump, load

CORPUS = Path(__file__).parent.parent / "data" / "corpus"
PATIENCE = 60.0
STEPS = Preparation(normalise=normalise, normalise_log=normalise_log, keep_content=partial(keep_content, "masked"))
READ = partial(read_again, decode=partial(read_request, limits=DEFAULT_LIMITS), steps=STEPS)


def wait_until(true: Callable[[], bool]) -> None:
    until = time.monotonic() + PATIENCE
    while not true():
        assert time.monotonic() < until
        time.sleep(0.01)  # between polls; nothing is measured


def requests() -> Iterator[Received]:
    for path in sorted(CORPUS.glob("*.binpb")):
        body = path.read_bytes()
        named = re.search(r"\.(logs|metrics)\.", path.name)
        yield _received(body, named[1] if named else "traces")
    yield _received(b"\xff\xff", "traces")
    yield Received(signal="traces", encoding="json", received_ns=1, body=b"{}")
    yield Received(signal="traces", encoding="protobuf", content_encoding="gzip", received_ns=1, body=b"not gzip")


def _received(body: bytes, signal_: str) -> Received:
    return Received(signal=signal_, encoding="protobuf", owner="acme", received_ns=1, body=body)  # type: ignore[arg-type]


@pytest.fixture
def helper() -> Iterator[Helper]:
    helper = Helper(READ)
    yield helper
    helper.rest()


def process_of(helper: Helper) -> int:
    assert helper._running is not None
    return helper._running.process.pid


def test_the_second_process_reads_the_corpus_like_the_first(helper: Helper) -> None:
    wait_until(helper.ready)
    seen = 0
    for request in requests():
        here, there = READ(request), helper.read(request)
        assert there == here
        assert there.spans.schema.equals(here.spans.schema)
        seen += len(there) + len(there.rejections)
    assert seen > 100
    assert helper.losses == 0


def test_threads_get_the_answers_to_their_own_questions(helper: Helper) -> None:
    wait_until(helper.ready)
    wanted = [request for request in requests() if len(READ(request))]
    wrong: list[Received] = []

    def ask(mine: list[Received]) -> None:
        wrong.extend(request for request in mine if helper.read(request) != READ(request))

    threads = [threading.Thread(target=ask, args=(wanted[place::2],)) for place in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE)
    assert wrong == []


def test_nobody_is_asked_before_there_is_somebody(helper: Helper) -> None:
    with pytest.raises(NoHelpError):
        helper.read(next(requests()))
    assert not helper.started


def test_a_killed_process_is_noticed_and_not_waited_for(helper: Helper) -> None:
    wait_until(helper.ready)
    os.kill(process_of(helper), signal.SIGKILL)
    with pytest.raises(NoHelpError):
        helper.read(next(requests()))
    assert helper.losses == 1
    assert not helper.ready()  # not at once again: what killed it may still be there
    assert not helper.started


def test_a_wrong_answer_is_a_loss_and_not_a_failure() -> None:
    helper = Helper(cast("Any", print))
    wait_until(helper.ready)
    with pytest.raises(NoHelpError):
        helper.read(next(requests()))
    assert helper.losses == 1


def test_rest_ends_the_process_and_leaves_no_zombie(helper: Helper) -> None:
    wait_until(helper.ready)
    pid = process_of(helper)
    helper.rest()
    helper.rest()
    with pytest.raises(ChildProcessError):
        os.waitpid(pid, os.WNOHANG)
    wait_until(helper.ready)
    assert process_of(helper) != pid


def test_who_waits_when_it_is_closed_is_sent_away(helper: Helper) -> None:
    wait_until(helper.ready)
    os.kill(process_of(helper), signal.SIGSTOP)  # it does not answer any more
    sent_away = threading.Event()

    def ask() -> None:
        with pytest.raises(NoHelpError):
            helper.read(next(requests()))
        sent_away.set()

    thread = threading.Thread(target=ask)
    thread.start()
    helper.close()
    assert sent_away.wait(PATIENCE)
    thread.join(PATIENCE)
    assert not helper.ready()
    assert not helper.started


def test_the_process_ends_with_the_one_that_started_it() -> None:
    program = (
        "import time\n"
        "from spanledger_ingest.pipeline import Helper\n"
        "helper = Helper(print)\n"
        "while not helper.ready(): time.sleep(0.01)\n"
        "print(helper._running.process.pid, flush=True)\n"
        "time.sleep(600)\n"
    )
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        pid = int(parent.stdout.readline())
        parent.kill()
    wait_until(lambda: not Path(f"/proc/{pid}").exists() or "\nState:\tZ" in Path(f"/proc/{pid}/status").read_text())


texts = st.none() | st.text(max_size=5)


@given(
    facts=st.builds(
        CallFacts, owner=st.text(), trace_id=st.text(), span_id=st.text(), parent_span_id=texts,
        start_ns=st.integers(0, 2**63), end_ns=st.integers(0, 2**63), finish_reasons_raw=st.just(("a", "b")),
        reported_cost_usd=st.none() | st.decimals(allow_nan=False),
    )
)  # fmt: skip
def test_facts_survive_the_way(facts: CallFacts) -> None:
    assert load(dump(Prepared(facts=[facts, None]))).facts == [facts, None]
