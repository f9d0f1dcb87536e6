"""A span that is sent again, in whatever company, changes no bill: exporters repeat what they heard no answer to."""

import random
import re
from pathlib import Path

import pytest

from spanledger_analytics.memory import MemoryStore
from spanledger_analytics.queries import CallsQuery
from spanledger_analytics.records import Span
from spanledger_ingest.normalise import normalise, normalise_log
from spanledger_ingest.otlp import Decoded, decode
from spanledger_ingest.pipeline import Steps
from spanledger_ingest.pipeline._prepare import prepare
from spanledger_ingest.pipeline._process import Work, process
from spanledger_ingest.settle import related_keys, settle

CORPUS = Path(__file__).parent.parent / "data" / "corpus"
STEPS = Steps(
    normalise=normalise,
    normalise_log=normalise_log,
    related_keys=related_keys,
    settle=settle,
    price=lambda call: call,
    keep_content=lambda content: content,
)


def cases() -> list[str]:
    names = {path.name.removesuffix(".binpb") for path in CORPUS.glob("*.binpb") if ".logs" not in path.name}
    return sorted({re.sub(r"\.\d+$", "", name) for name in names})


def spans_of(case: str) -> list[Span]:
    paths = sorted((*CORPUS.glob(f"{case}.binpb"), *CORPUS.glob(f"{case}.[0-9].binpb")))
    items = [item for path in paths for item in decode("traces", path.read_bytes(), "protobuf", "").items]
    return [item for item in items if isinstance(item, Span)]


def deliver(store: MemoryStore, spans: list[Span]) -> str:
    store.append(process(Work(items=prepare(Decoded(signal="traces", items=[*spans]), STEPS)), store, STEPS))
    rows = store.calls(CallsQuery(limit=1000)).to_pylist()
    return "\n".join(sorted(map(str, rows)))


@pytest.mark.parametrize("case", cases())
def test_spans_that_are_sent_again_change_no_bill(case: str) -> None:
    spans, store = spans_of(case), MemoryStore()
    billed = deliver(store, spans)
    for span in spans:
        assert deliver(store, [span]) == billed
    chance = random.Random(case)  # noqa: S311 -- the same companies at every run
    for _ in range(5):
        assert deliver(store, chance.sample(spans, chance.randint(1, len(spans)))) == billed
