"""The deliverer with a clock that stands still: outages, circuits, failures of its own."""

import random
from collections import Counter
from typing import TYPE_CHECKING

from hypothesis import given, settings
from hypothesis import strategies as st

from spanledger_alerts.delivery import Attempt, Deliverer, Message, Schedule

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.unit.alerts.delivery.conftest import Scripted, Tools

OK = Attempt("ok", 200)
DOWN = Attempt("retry", 503, "503")
HOUR = 3600


def deliverer(tools: "Tools", seed: int = 1, **receivers: "Scripted") -> Deliverer:
    """One that runs every attempt at once, with repeatable chance."""
    schedule = Schedule(random.Random(seed))  # noqa: S311 - repeatable
    outbox = tools.outbox(*(tools.receiver(name, shape="slack") for name in receivers), schedule=schedule)
    return Deliverer(outbox, receivers, clock=tools.clock, schedule=schedule, spawn=lambda work: work())


def run(tools: "Tools", found: Deliverer, seconds: float, step: float = 5.0) -> None:
    """Let time pass."""
    until = tools.clock() + seconds * 1e9
    while tools.clock() < until:
        while found.step() == 0.0:
            pass
        tools.clock.advance(step)


def test_a2_after_an_outage_of_two_hours_everything_arrives_in_order(
    tools: "Tools", scripted: "type[Scripted]"
) -> None:
    """A2: in order in each group; few attempts meanwhile, never many at once."""
    began = tools.clock()
    tries: list[int] = []

    def answer(_: Message) -> Attempt:
        tries.append((tools.clock() - began) // 10**9)
        return OK if tools.clock() - began > 2 * HOUR * 10**9 else DOWN

    receiver = scripted(answer)
    found = deliverer(tools, ops=receiver)
    for number in range(500):
        found._outbox.enqueue(tools.notification(f"{number % 50:02}-{number // 50}", group=f"g{number % 50}"))
    run(tools, found, 2 * HOUR)
    outage = len(tries)
    run(tools, found, 2 * HOUR)
    ids = [message.id for message in receiver.got]
    assert len(ids) == len(set(ids)) == 500
    for group in range(50):
        of_group = [id_ for id_ in ids if id_.startswith(f"{group:02}")]
        assert of_group == sorted(of_group)
    per_minute = Counter(second // 60 for second in tries[:outage] if second >= 60)
    assert outage < 200  # one try at a time, five minutes apart at most, for 500 messages
    assert max(per_minute.values()) <= 5


def test_an_open_circuit_lets_one_message_through_and_leaves_the_other_receivers_alone(
    tools: "Tools", scripted: "type[Scripted]"
) -> None:
    down, good = scripted(lambda _: DOWN), scripted()
    found = deliverer(tools, down=down, good=good)
    for number in range(50):
        for name in ("down", "good"):
            found._outbox.enqueue(tools.firing(f"{name}{number}", receiver=name, group=f"g{number}"))
    while found.step() == 0.0:
        pass
    assert len(good.got) == 50
    assert len(down.tried) == 8  # four at once, and four again before the first results were counted
    assert found.open_circuits() == ["down"]


def test_collapsed_messages_are_never_sent_and_the_resolution_says_so(
    tools: "Tools", scripted: "type[Scripted]"
) -> None:
    up = False
    receiver = scripted(lambda _: OK if up else DOWN)
    found = deliverer(tools, ops=receiver)
    found._outbox.enqueue(tools.firing("f"))
    found._outbox.enqueue(tools.resolved("r"))
    run(tools, found, 600)
    up = True
    run(tools, found, HOUR)
    assert [(message.id, message.collapsed) for message in receiver.got] == [("r", True)]
    assert [message.id for message in receiver.tried].count("f") == 0


def test_what_was_given_up_is_told_to_the_fallback_once_an_hour(tools: "Tools", scripted: "type[Scripted]") -> None:
    refused, fallback = scripted(lambda _: Attempt("refused", 400, "400")), scripted()
    outbox = tools.outbox(
        tools.receiver("ops", shape="slack", fallback="mail"), tools.receiver("mail", shape="slack", fallback="ops")
    )
    found = Deliverer(outbox, {"ops": refused, "mail": fallback}, clock=tools.clock, spawn=lambda work: work())
    for number in range(5):
        outbox.enqueue(tools.firing(f"m{number}", group=f"g{number}"))
    run(tools, found, 60)
    [told] = fallback.got
    [alert] = told.notification.alerts
    assert (alert.rule, alert.severity, alert.labels) == ("delivery-failed", "critical", {"receiver": "ops"})
    assert found.stats().dead == {"ops": 5, "mail": 0}
    refused.answer, fallback.answer = fallback.answer, refused.answer  # now the fallback refuses
    outbox.enqueue(tools.firing("x", receiver="mail"))
    run(tools, found, 60)
    assert len([m for m in outbox.messages(receiver="ops") if m.id.startswith("given-up")]) == 1
    run(tools, found, 3 * HOUR, step=60)
    assert outbox.waiting() == {}  # and nobody keeps telling anybody


def test_a_failed_write_is_tried_again_and_nothing_is_sent_twice_for_it(
    tools: "Tools", scripted: "type[Scripted]"
) -> None:
    receiver = scripted()
    found = deliverer(tools, ops=receiver)
    found._outbox.enqueue(tools.firing("1"))
    record = found._outbox.record

    def full(ended: object) -> list[Message]:  # the disk is
        raise OSError(f"no space for {ended}")

    found._outbox.record = full  # type: ignore[method-assign]
    for _ in range(3):
        try:
            found.step()
        except OSError:
            continue
    found._outbox.record = record  # type: ignore[method-assign]
    run(tools, found, 10)
    assert [message.id for message in receiver.tried] == ["1"]
    assert found._outbox.messages()[0].state == "delivered"


def test_a_notifier_with_a_fault_costs_only_its_own_messages(tools: "Tools", scripted: "type[Scripted]") -> None:
    def fault(_: Message) -> Attempt:
        raise KeyError("our own mistake")

    broken, good = scripted(fault), scripted()
    found = deliverer(tools, broken=broken, good=good)
    for name in ("broken", "good"):
        found._outbox.enqueue(tools.firing(name, receiver=name))
    run(tools, found, 10)
    assert [message.id for message in good.got] == ["good"]
    [message] = found._outbox.messages(receiver="broken")
    assert (message.state, message.detail) == ("pending", "it cannot be sent (KeyError)")


@given(seed=st.integers(0, 10**6), answers=st.lists(st.sampled_from([OK, DOWN, Attempt("retry", 429, "429", 30.0)])))
@settings(deadline=None, max_examples=30)
def test_whatever_a_receiver_answers_for_a_while_all_arrive_once_and_in_order(
    make_tools: "Callable[[], Tools]", scripted: "type[Scripted]", seed: int, answers: list[Attempt]
) -> None:
    tools, left = make_tools(), list(answers)
    receiver = scripted(lambda _: left.pop() if left else OK)
    found = deliverer(tools, seed, ops=receiver)
    for number in range(20):
        found._outbox.enqueue(tools.firing(f"{number:02}", group=f"g{number % 3}"))
    run(tools, found, 2 * HOUR, step=30)
    ids = [message.id for message in receiver.got]
    assert sorted(ids) == [f"{number:02}" for number in range(20)]
    for group in range(3):
        of_group = [id_ for id_ in ids if int(id_) % 3 == group]
        assert of_group == sorted(of_group)
    tools.database.close()
