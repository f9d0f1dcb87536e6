import random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spanledger_analytics.evaluation import Evidence, Message, Passage, Verdict
from spanledger_analytics.ports import Scorer
from spanledger_analytics.scorers import Groundedness, default_scorers
from spanledger_analytics.testing import ScorerContract

TOWER = (
    "The tower was finished in 1969 and stands in Paris. It is 55 metres high.",
    "Visitors are welcome every day. The tower opens at nine and closes at two thousand hours.",
)
_words = st.sampled_from(
    [
        "tower",
        "Paris",
        "Berlin",
        "1969",
        "two",
        "thousand",
        "not",
        "n't",
        "opens",
        "the",
        ".",
        "!",
        "\n- ",
        "ß",
        "İ",
        "日本",
    ]
)
_texts = st.lists(_words, max_size=25).map(" ".join) | st.text(max_size=120)


class TestGroundednessContract(ScorerContract):
    def scorer(self) -> Scorer:
        return Groundedness()


def judged(answer: str, *context: str, question: str = "", scorer: Groundedness | None = None) -> Verdict:
    evidence = Evidence(
        messages=[Message("user", question)] if question else [],
        output=answer,
        context=[Passage(str(number), text) for number, text in enumerate(context, 1)],
    )
    (verdict,) = (scorer or Groundedness()).score(evidence)
    return verdict


def value(answer: str, *context: str, **known: Any) -> float:
    found = judged(answer, *context, **known).value
    assert found is not None
    return found


def places(verdict: Verdict, answer: str) -> list[tuple[str, str]]:
    return [(answer[one.start : one.end], one.reason) for one in verdict.explanation.offences]


def test_is_one_of_the_default_scorers() -> None:
    assert any("groundedness" in scorer.names for scorer in default_scorers())


def test_what_the_context_says_passes() -> None:
    found = judged("The tower was finished in 1969. It opens at nine.", *TOWER)
    assert (found.label, found.confidence) == ("pass", None)
    assert found.explanation.offences == []


@pytest.mark.parametrize(
    ("answer", "word", "reason"),
    [
        ("The tower was finished in 1972 and stands in Paris.", "1972", "number not in context"),
        ("The tower was finished in 1969 and stands in Berlin.", "Berlin", "name not in context"),
    ],
)
def test_says_what_is_not_in_the_context(answer: str, word: str, reason: str) -> None:
    found = judged(f"It opens at nine. {answer}", *TOWER)
    assert found.label != "pass"
    assert places(found, f"It opens at nine. {answer}")[0][0] == answer
    assert (word, reason) in places(found, f"It opens at nine. {answer}")
    assert found.explanation.support is not None
    assert found.explanation.support.source == "1"


def test_a_denial_counts_against_an_answer() -> None:
    plain, denied = "The tower opens at nine.", "The tower does not open at nine."
    assert value(denied, *TOWER) < value(plain, *TOWER)
    told = places(judged(f"{denied} It was built by Romans in Wales.", *TOWER), f"{denied} It was built by Romans.")
    assert (denied, "negation differs from the closest sentence") in told


@pytest.mark.parametrize(
    ("answer", "context"),
    [
        ("The fine is 5,000 euros there.", "They charge a fine of 5000 euros."),
        ("The fine is five million euros.", "They charge a fine of 5,000,000 euros."),
        ("It has twelve rooms for guests.", "There are 12 rooms for guests in it."),
        ("He joined the BBC in London.", "He joined the British Broadcasting Corporation in London."),
        ("It was opened on 3 September.", "It was opened on 3 Sept."),
    ],
)
def test_other_ways_of_writing_are_the_same(answer: str, context: str) -> None:
    reasons = [reason for _, reason in places(judged(answer, context), answer)]
    assert not [reason for reason in reasons if "number" in reason or "name" in reason]


@pytest.mark.parametrize(
    ("known", "reason"),
    [
        ({"output": None}, "no_content"),
        ({"output": "The tower is high.", "context": []}, "no_context"),
        ({"output": "The tower is high.", "context": [Passage("1", "  ")]}, "no_context"),
        ({"output": "Yes."}, "too_short"),
        ({"output": "Oh yes, I really do think so!"}, "too_short"),
        ({"output": "I'm sorry, but the context does not mention the price."}, "refusal"),
        ({"output": "Der Turm ist im Jahr 1969 fertig geworden und er steht nicht in der Stadt."}, "non_english"),
        ({"output": '{"year": 1969}'}, "structured"),
    ],
)
def test_has_no_number_where_nothing_can_be_known(known: dict[str, Any], reason: str) -> None:
    evidence = {"context": [Passage("1", TOWER[0])], **known}
    (found,) = Groundedness().score(Evidence(**evidence))
    assert (found.label, found.value, found.explanation.reason) == ("not_evaluable", None, reason)


@given(_texts, st.lists(_texts, min_size=1, max_size=4), st.integers(0, 2**32))
def test_order_and_repetition_of_the_context_do_not_matter(answer: str, context: list[str], seed: int) -> None:
    passages = [Passage(str(number), text) for number, text in enumerate(context)]
    again = passages + random.Random(seed).choices(passages, k=3)  # noqa: S311 - no secret
    random.Random(seed).shuffle(again)  # noqa: S311 - no secret
    one, other = (Groundedness().score(Evidence(output=answer, context=given)) for given in (passages, again))
    assert one == other


@given(_texts, st.lists(_texts, min_size=1, max_size=3))
def test_places_are_in_the_text_and_trimmed(answer: str, context: list[str]) -> None:
    explanation = judged(answer, *context).explanation
    for one in explanation.offences:
        assert 0 <= one.start < one.end <= len(answer)
        assert answer[one.start : one.end].strip() == answer[one.start : one.end]
    if explanation.support is not None:
        text = context[int(explanation.support.source or 0) - 1]
        assert 0 <= explanation.support.start < explanation.support.end <= len(text)


@given(st.lists(st.tuples(_texts, _texts), min_size=1, max_size=5))
def test_what_was_judged_before_does_not_matter(pairs: list[tuple[str, str]]) -> None:
    used = Groundedness()
    for _ in range(2):
        for answer, context in pairs:
            assert judged(answer, context, scorer=used) == judged(answer, context)


@given(_texts, _texts)
def test_more_context_never_makes_an_answer_less_grounded_in_words(answer: str, context: str) -> None:
    before = judged(answer, context).explanation.features.get("cover")
    after = judged(answer, context, "Another passage about a lighthouse.").explanation.features.get("cover")
    if isinstance(before, float) and isinstance(after, float):
        assert after >= before


def test_forgets_contexts_that_take_too_much_room() -> None:
    from spanledger_analytics.scorers.groundedness._context import Contexts

    contexts = Contexts(characters=100)
    first = contexts.of([Passage("1", "a" * 60)])
    assert contexts.of([Passage("1", "a" * 60)]) is first
    contexts.of([Passage("1", "b" * 60)])
    assert contexts.of([Passage("1", "a" * 60)]) is not first
