"""Questions, answers and passages are read out of what every captured dialect sends."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from spanledger_analytics.records import Content
from spanledger_ingest.normalise import normalise, normalise_log
from spanledger_ingest.otlp import decode
from spanledger_ingest.scoring._conversation import answer_of, documents_of, messages_of, plain_of

CORPUS = Path(__file__).parent.parent / "data" / "corpus"
ANSWER = "The capital of France is Paris. It has been the capital since 987 AD."
QUESTION = "What is the capital of France?"


def contents(path: Path) -> Iterator[Content]:
    if path.name.endswith(".logs.binpb"):
        for log in decode("logs", path.read_bytes(), "protobuf", "").logs:
            yield from normalise_log(log).contents
        return
    for span in decode("traces", path.read_bytes(), "protobuf", "").spans:
        found = normalise(span)
        if found.facts is not None and not found.facts.rollup:
            yield from found.contents


CHATS = sorted(path for path in CORPUS.glob("*-chat.binpb") if "embed" not in path.name)


def test_there_are_many() -> None:
    assert len(CHATS) > 15


@pytest.mark.parametrize("path", CHATS, ids=lambda path: str(path.stem))
def test_a_plain_chat_is_read_as_it_was(path: Path) -> None:
    found = list(contents(path))
    asked = [messages_of(one.text)[-1] for one in found if one.kind == "input" and messages_of(one.text)]
    answered = [answer_of(one.text).text for one in found if one.kind == "output"]
    for message in asked:
        assert (message.role, message.text) == ("user", QUESTION)
    for text in answered:
        assert text.strip() == ANSWER


@pytest.mark.parametrize("path", sorted(CORPUS.glob("*.binpb")), ids=lambda path: str(path.stem))
def test_nothing_fails(path: Path) -> None:
    for one in contents(path):
        messages_of(one.text)
        answer_of(one.text)
        documents_of(one.text)
        plain_of(one.text)


def test_retrieved_documents_and_results_of_tools_are_read() -> None:
    path = CORPUS / "openinference-langchain-rag.binpb"
    spans = [normalise(span) for span in decode("traces", path.read_bytes(), "protobuf", "").spans]
    retrieved = [one.text for found in spans for one in found.contents if one.kind == "retrieval"]
    assert [document.text for document in documents_of(retrieved[0])] == [
        "Berlin is in Germany.",
        "Paris is the capital of France.",
    ]
    assert documents_of('[{"id": "7", "content": "one"}, {"id": 8, "score": 0.5}, "two"]') == [
        ("one", "7"),
        ("two", None),
    ]
    assert plain_of('{"type": "tool", "data": {"content": "18 C, rain", "type": "tool"}}') == "18 C, rain"
    assert answer_of('[{"role": "assistant", "parts": [{"type": "tool_call", "id": "1", "name": "f"}]}]') == ("", 1)
