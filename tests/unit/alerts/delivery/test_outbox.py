"""The outbox: order, once, collapse, replay, and an end for every message."""

from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spanledger_alerts.delivery import Attempt, Message, Outbox

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.unit.alerts.delivery.conftest import Tools

OK = Attempt("ok", 200)
LATER = Attempt("retry", 503, "503")
NO = Attempt("refused", 400, "400")
DAY = 86_400


def states(outbox: Outbox) -> dict[str, str]:
    return {message.id: message.state for message in outbox.messages(limit=1000)}


def due(outbox: Outbox, receiver: str = "ops") -> list[str]:
    return [message.id for message in outbox.due(receiver, 100)]


def take(outbox: Outbox) -> Message:
    return outbox.due("ops", 1)[0]


def test_the_messages_of_a_group_come_one_after_the_other(tools: "Tools") -> None:
    outbox = tools.outbox()
    for id_, group in (("a1", "a"), ("b1", "b"), ("a2", "a")):
        outbox.enqueue(tools.firing(id_, group=group))
    assert due(outbox) == ["a1", "b1"]
    outbox.record([(take(outbox), OK)])
    assert due(outbox) == ["b1", "a2"]


def test_the_next_of_a_group_waits_for_the_first_to_be_tried_again(tools: "Tools") -> None:
    outbox = tools.outbox()
    outbox.enqueue(tools.firing("1"))
    outbox.enqueue(tools.firing("2"))
    outbox.record([(take(outbox), LATER)])
    assert due(outbox) == []
    tools.clock.advance(5)
    assert due(outbox) == ["1"]
    outbox.record([(take(outbox), NO)])
    assert due(outbox) == ["2"]
    assert states(outbox) == {"1": "dead", "2": "pending"}


def test_the_same_id_again_changes_nothing(tools: "Tools") -> None:
    outbox = tools.outbox()
    outbox.enqueue(tools.firing("1"))
    outbox.enqueue(tools.firing("1"))
    outbox.record([(take(outbox), OK)])
    outbox.enqueue(tools.firing("1"))
    assert states(outbox) == {"1": "delivered"}


def test_a_message_is_part_of_the_transaction_that_makes_it(tools: "Tools") -> None:
    outbox = tools.outbox()

    def fail() -> None:
        with tools.database.transaction():
            outbox.enqueue(tools.firing("1"))
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert states(outbox) == {}


def test_a_firing_that_resolves_before_it_was_delivered_is_told_in_one_message(tools: "Tools") -> None:
    outbox = tools.outbox()
    outbox.enqueue(tools.firing("fired"))
    outbox.record([(take(outbox), LATER)])
    outbox.enqueue(tools.firing("fired again"))
    outbox.enqueue(tools.resolved("resolved"))
    outbox.enqueue(tools.firing("new"))
    tools.clock.advance(5)
    assert outbox.collapse(take(outbox))
    message = take(outbox)
    assert (message.id, message.collapsed) == ("resolved", True)
    assert states(outbox) == {"fired": "collapsed", "fired again": "collapsed", "resolved": "pending", "new": "queued"}
    assert {m.detail for m in outbox.messages(state="collapsed")} == {"said by resolved"}


def test_only_the_alert_that_resolved_is_collapsed_where_each_has_a_message_of_its_own(tools: "Tools") -> None:
    outbox = tools.outbox()
    first, second = tools.alert(1), tools.alert(2)
    outbox.enqueue(tools.notification("n1", first, second))
    outbox.enqueue(tools.notification("n2", tools.alert(1, "resolved"), second))
    assert outbox.collapse(take(outbox))
    assert states(outbox) == {"n1.0": "collapsed", "n1.1": "pending", "n2.0": "queued", "n2.1": "queued"}
    assert not outbox.collapse(take(outbox))


def test_what_a_shape_for_groups_says_stays_one_message(tools: "Tools") -> None:
    outbox = tools.outbox(tools.receiver(shape="slack"))
    outbox.enqueue(tools.notification("n1", tools.alert(1), tools.alert(2)))
    assert due(outbox) == ["n1"]
    assert len(take(outbox).notification.alerts) == 2


def test_a_notification_is_kept_exactly(tools: "Tools") -> None:
    outbox = tools.outbox()
    said = tools.notification("n1", tools.alert(1, "resolved", labels={"a": "\u20ac \ud800"}, value=None))
    outbox.enqueue(said)
    assert take(outbox).notification == said


def test_resolutions_are_skipped_where_they_are_not_wanted(tools: "Tools") -> None:
    outbox = tools.outbox(tools.receiver(send_resolved=False))
    outbox.enqueue(tools.resolved("1"))
    outbox.enqueue(tools.firing("2"))
    assert states(outbox) == {"1": "skipped", "2": "pending"}


def test_a_receiver_is_told_of_its_tenants_only(tools: "Tools") -> None:
    outbox = tools.outbox(tools.receiver(tenants=frozenset({"acme"}), shape="slack"))
    other = tools.alert(2, owner="zeta", labels={"tenant": "zeta"})
    outbox.enqueue(tools.notification("both", tools.alert(1, "resolved"), other))
    outbox.enqueue(tools.notification("other", other, group="g2"))
    assert states(outbox) == {"both": "pending", "other": "skipped"}
    message = take(outbox)
    assert [alert.owner for alert in message.notification.alerts] == ["acme"]
    assert (message.status, message.owner) == ("resolved", "acme")


def test_a_message_to_nobody_is_accounted_for(tools: "Tools") -> None:
    outbox = tools.outbox()
    outbox.enqueue(tools.firing("1", receiver="gone"))
    [message] = outbox.messages()
    assert (message.state, message.detail) == ("dead", "there is no receiver of this name")


def test_after_72_hours_a_message_is_given_up_and_the_next_has_its_turn(tools: "Tools") -> None:
    outbox = tools.outbox()
    outbox.enqueue(tools.firing("1"))
    tools.clock.advance(2 * DAY)
    outbox.enqueue(tools.firing("2"))
    assert outbox.record([(take(outbox), LATER)]) == []
    tools.clock.advance(DAY)
    dead = outbox.record([(take(outbox), LATER)])
    assert [message.id for message in dead] == ["1"]
    assert due(outbox) == ["2"]


def test_what_never_had_its_turn_is_given_up_with_a_receiver_that_fails_for_72_hours(tools: "Tools") -> None:
    outbox = tools.outbox()
    for id_ in ("a", "b", "c"):
        outbox.enqueue(tools.firing(id_, group=id_))
    outbox.record([(take(outbox), LATER)])
    tools.clock.advance(3 * DAY - 10)
    outbox.enqueue(tools.firing("late", group="late"))
    tools.clock.advance(10)
    first = next(message for message in outbox.due("ops", 10) if message.id == "a")
    dead = outbox.record([(first, LATER)])
    assert {message.id for message in dead} == {"a", "b", "c"}
    assert states(outbox)["late"] == "pending"


def test_messages_that_wait_through_a_stop_of_the_service_are_still_tried(tools: "Tools") -> None:
    outbox = tools.outbox()
    outbox.enqueue(tools.firing("1"))
    tools.clock.advance(10 * DAY)
    outbox.record([(take(outbox), OK)])
    assert states(outbox) == {"1": "delivered"}


def test_410_disables_a_receiver_until_its_address_changes_or_somebody_replays(tools: "Tools") -> None:
    outbox = tools.outbox()
    outbox.enqueue(tools.firing("1"))
    outbox.enqueue(tools.firing("2", group="g2"))
    outbox.record([(take(outbox), Attempt("gone", 410))])
    assert due(outbox) == []
    assert list(outbox.disabled()) == ["ops"]
    assert due(tools.outbox()) == []  # after a restart too
    moved = tools.outbox(tools.receiver(url="https://new.example/hook"))
    assert due(moved) == ["2"]
    outbox.replay("1")
    assert sorted(due(outbox)) == ["1", "2"]


def test_replay_sends_again_under_the_same_id_and_is_not_collapsed(tools: "Tools") -> None:
    outbox = tools.outbox()
    for made in (tools.firing("f"), tools.resolved("r")):
        outbox.enqueue(made)
        outbox.record([(take(outbox), OK)])
    tools.clock.advance(60)
    outbox.enqueue(tools.firing("later"))
    outbox.record([(take(outbox), OK)])
    for id_ in ("f", "r"):
        assert outbox.replay(id_) is not None
    message = take(outbox)
    assert (message.id, message.attempts) == ("f", 1)
    assert not outbox.collapse(message)
    outbox.record([(message, OK)])
    assert due(outbox) == ["r"]


def test_replay_leaves_what_is_open_and_what_belongs_to_others(tools: "Tools") -> None:
    outbox = tools.outbox()
    outbox.enqueue(tools.firing("1"))
    assert outbox.replay("1") is not None
    assert outbox.replay("1", owner="zeta") is None
    assert outbox.replay("none") is None
    assert states(outbox) == {"1": "pending"}


def test_a_receiver_that_is_back_gets_everything_at_once(tools: "Tools") -> None:
    outbox = tools.outbox()
    for id_ in ("a", "b", "c"):
        outbox.enqueue(tools.firing(id_, group=id_))
    a, b, c = outbox.due("ops", 3)
    outbox.record([(a, LATER), (b, LATER), (c, Attempt("retry", 503, "503", 3600.0))])
    tools.clock.advance(5)
    retried = next(message for message in outbox.due("ops", 3) if message.id in "ab")
    outbox.record([(retried, OK)])
    assert set(due(outbox)) == {"a", "b"} - {retried.id}  # but not what was asked for later


def test_attempts_are_recorded_in_order_and_told_once(tools: "Tools") -> None:
    outbox = tools.outbox()
    outbox.enqueue(tools.firing("1"))
    outbox.record([(take(outbox), LATER)])
    tools.clock.advance(5)
    outbox.record([(take(outbox), OK)])
    rows = outbox.new_attempts("mirror", 10)
    assert [(row.id, row.attempt, row.ok, row.http_status) for row in rows] == [("1", 1, 0, 503), ("1", 2, 1, 200)]
    assert rows[0].alerts == '[["alert-1", "acme", "acme"]]'
    outbox.set_mark("mirror", rows[0].seq)
    assert outbox.new_attempts("mirror", 10) == rows[1:]


def test_what_ended_long_ago_is_forgotten_and_what_waits_is_not(tools: "Tools") -> None:
    outbox = tools.outbox()
    outbox.enqueue(tools.firing("old"))
    outbox.record([(take(outbox), OK)])
    outbox.enqueue(tools.firing("waits"))
    tools.clock.advance(DAY)
    outbox.forget(tools.clock())
    assert states(outbox) == {"waits": "pending"}
    assert len(outbox.new_attempts("deliveries", 10)) == 1  # was not mirrored yet
    outbox.set_mark("deliveries", 1)
    outbox.forget(tools.clock())
    outbox.set_mark("deliveries", 0)
    assert outbox.new_attempts("deliveries", 10) == []


def test_what_waits_for_a_receiver_that_was_removed_is_given_up_in_the_end(tools: "Tools") -> None:
    tools.outbox().enqueue(tools.firing("waits"))
    without = Outbox(tools.database, {}, clock=tools.clock)
    tools.clock.advance(2 * DAY)
    without.forget(0)
    assert states(without) == {"waits": "pending"}  # its receiver may come back
    tools.clock.advance(2 * DAY)
    without.forget(0)
    (message,) = without.messages()
    assert (message.state, message.detail) == ("dead", "there has been no receiver of this name for 72 hours")


MOVES = st.lists(
    st.one_of(
        st.tuples(st.just("enqueue"), st.sampled_from("xyz"), st.sampled_from(["firing", "resolved"])),
        st.tuples(st.just("send"), st.integers(0, 5), st.sampled_from([OK, OK, LATER, NO])),
        st.tuples(st.just("wait"), st.floats(0, 4000), st.none()),
        st.tuples(st.just("restart"), st.none(), st.none()),
    ),
    max_size=60,
)


@given(moves=MOVES)
@settings(deadline=None)
def test_a4_whatever_happens_order_holds_in_each_group_and_every_message_ends(
    make_tools: "Callable[[], Tools]", moves: Any
) -> None:
    """A4: what arrives in a group is an ordered part of what was made, and nothing is lost."""
    kit = make_tools()
    outbox = kit.outbox(kit.receiver(shape="slack"))
    made: list[str] = []
    arrived: list[str] = []

    def send(which: int, attempt: Attempt) -> None:
        found = outbox.due("ops", 10)
        if found:
            message = found[which % len(found)]
            if not outbox.collapse(message):
                outbox.record([(message, attempt)])
                arrived.extend([message.id] if attempt.ok else [])

    for number, (move, what, how) in enumerate(moves):
        if move == "enqueue":
            made.append(f"{what}{number:03}")
            outbox.enqueue(kit.notification(made[-1], kit.alert(status=how), group=what))
        elif move == "send":
            send(what, how)
        elif move == "wait":
            kit.clock.advance(what)
        else:
            outbox = kit.outbox(kit.receiver(shape="slack"))
    for _ in range(3 * len(made) + 1):
        kit.clock.advance(3700)
        send(0, OK)
    for group in "xyz":
        of_group = [id_ for id_ in arrived if id_[0] == group]
        assert of_group == sorted(of_group)
        assert len(set(of_group)) == len(of_group)
    ends = states(outbox)
    assert set(ends) == set(made)
    assert set(ends.values()) <= {"delivered", "dead", "collapsed"}
    assert {id_ for id_, state in ends.items() if state == "delivered"} == set(arrived)
    kit.database.close()
