import sqlite3
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spanledger_alerts.alert_tables import TABLES
from spanledger_alerts.engine import AlertEngine, Inhibition, Policy, Route, Routes, Tracked, build_routes, muting
from spanledger_alerts.errors import MatcherError, RuleError
from spanledger_alerts.matchers import Matcher, match_all, parse_all
from spanledger_alerts.records import Finding, Notification, Severity
from spanledger_alerts.rules import AT_ONCE, DAY, HOUR, MINUTE, SECOND, EventRule, Grouping, Rule

T0 = 1_790_000_000 * SECOND


class Memory:
    """An SQLite database that nested transactions can share, and that lives on when the engine is made anew."""

    def __init__(self) -> None:
        self.connection = sqlite3.connect(":memory:", isolation_level=None)
        for statement in TABLES.split(";"):
            self.connection.execute(statement)

    @contextmanager
    def transaction(self) -> Iterator[None]:
        if self.connection.in_transaction:
            yield
            return
        self.connection.execute("BEGIN")
        try:
            yield
        except BaseException:
            self.connection.rollback()
            raise
        self.connection.commit()

    def execute(self, sql: str, values: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        return self.connection.execute(sql, values).fetchall()


class KilledError(Exception):
    pass


class Rig:
    """An engine with a clock of its own; ``restart`` is a new process on the same database."""

    def __init__(self, *rules: Rule, routes: Routes | None = None, inhibitions: Sequence[Inhibition] = ()) -> None:
        self.database = Memory()
        self.policy = Policy(
            rules={rule.name: rule for rule in rules},
            routes=routes or Routes(default=("ops",)),
            inhibitions=inhibitions,
            max_per_message=3,
        )
        self.sent: list[Notification] = []
        self.now = T0
        self.kill = False
        self.restart()

    def restart(self) -> None:
        self.engine = AlertEngine(self.database, self.policy, self.take)

    def take(self, notification: Notification) -> None:
        self.sent.append(notification)
        if self.kill:
            self.kill = False
            raise KilledError

    def finding(self, *, active: bool = True, rule: str = "r", owner: str = "acme", **changes: Any) -> Finding:
        labels = changes.pop("labels", {"tenant": "acme"})
        return Finding(rule=rule, owner=owner, labels=labels, active=active, at_ns=self.now, **changes)

    def found(self, *findings: Finding, rule: str = "r") -> None:
        self.engine.evaluated(rule, findings, self.now)

    def wait(self, nanoseconds: int, step: int = 5 * SECOND) -> list[Notification]:
        """Let time pass; return what was told meanwhile."""
        before = len(self.sent)
        end = self.now + nanoseconds
        while self.now < end:
            self.now = min(self.now + step, end)
            self.engine.tick(self.now)
        return self.sent[before:]

    def states(self) -> list[str]:
        return [one.state for one in self.engine.page(owner=None, states=["pending", "firing", "no_data", "resolved"])]


def told(notification: Notification) -> list[tuple[str, str]]:
    return [(alert.labels.get("model", ""), alert.status) for alert in notification.alerts]


def test_a_condition_must_hold_for_the_time_that_the_rule_says() -> None:
    rig = Rig(Rule(name="r", for_=2 * MINUTE))
    rig.found(rig.finding())
    assert rig.states() == ["pending"]
    assert rig.wait(MINUTE) == []
    rig.found(rig.finding(active=False))
    assert rig.states() == []
    rig.found(rig.finding())
    rig.wait(2 * MINUTE)
    rig.found(rig.finding())
    assert rig.states() == ["firing"]


def test_it_goes_on_firing_for_the_time_that_the_rule_says() -> None:
    rig = Rig(Rule(name="r", keep_firing_for=2 * MINUTE))
    rig.found(rig.finding())
    rig.wait(MINUTE)
    rig.found(rig.finding(active=False))
    assert rig.states() == ["firing"]
    rig.wait(MINUTE)
    rig.found(rig.finding(active=False))
    assert rig.states() == ["resolved"]


def test_what_has_a_key_is_one_alert_whatever_becomes_of_its_labels() -> None:
    rig = Rig(Rule(name="r"))
    rig.found(rig.finding(key="an_1", labels={"tenant": "acme"}, summary="acme pays more"))
    (firing,) = rig.wait(MINUTE)
    narrower = {"tenant": "acme", "model": "gpt-4o"}
    rig.found(rig.finding(key="an_1", labels=narrower, summary="acme pays more for gpt-4o"))
    rig.restart()
    assert rig.wait(HOUR, step=MINUTE) == []
    rig.found(rig.finding(key="an_1", labels=narrower, active=False))
    (resolved,) = rig.wait(10 * MINUTE)
    assert [alert.id for alert in resolved.alerts] == [alert.id for alert in firing.alerts]
    assert (resolved.alerts[0].labels, resolved.alerts[0].summary) == ({"tenant": "acme"}, "acme pays more for gpt-4o")


def test_fire_and_resolve_are_told_with_one_id() -> None:
    rig = Rig(Rule(name="r"))
    rig.found(rig.finding(summary="bad", value=3.0, threshold=2.0))
    (firing,) = rig.wait(MINUTE)
    assert firing.status == "firing"
    assert firing.group_labels == {"rule": "r", "tenant": "acme"}
    assert firing.created_ns == T0 + 30 * SECOND
    rig.found(rig.finding(active=False, summary="good", value=1.0))
    (resolved,) = rig.wait(10 * MINUTE)
    assert resolved.status == "resolved"
    assert (resolved.alerts[0].summary, resolved.alerts[0].value) == ("bad", 3.0)
    assert [alert.id for alert in resolved.alerts] == [alert.id for alert in firing.alerts]
    assert resolved.alerts[0].resolved_ns == T0 + MINUTE
    assert resolved.alerts[0].fingerprint == firing.alerts[0].fingerprint
    assert resolved.id != firing.id
    assert rig.wait(DAY, step=MINUTE) == []


def test_what_recovers_before_the_first_message_is_not_told() -> None:
    rig = Rig(Rule(name="r"))
    rig.found(rig.finding())
    rig.wait(10 * SECOND)
    rig.found(rig.finding(active=False))
    assert rig.wait(HOUR) == []


def test_what_joins_a_group_waits_for_the_interval() -> None:
    rig = Rig(Rule(name="r"))
    one, two = ({"tenant": "acme", "model": model} for model in ("one", "two"))
    rig.found(rig.finding(labels=one))
    rig.wait(10 * SECOND)
    rig.found(rig.finding(labels=one), rig.finding(labels=two))
    (first,) = rig.wait(MINUTE)
    assert told(first) == [("one", "firing"), ("two", "firing")]
    rig.found(rig.finding(labels=one), rig.finding(labels=two, active=False))
    (second,) = rig.wait(6 * MINUTE)
    assert second.created_ns == first.created_ns + 5 * MINUTE
    assert second.status == "firing"
    assert told(second) == [("one", "firing"), ("two", "resolved")]


def test_what_does_not_change_is_repeated_after_four_hours() -> None:
    rig = Rig(Rule(name="r"))
    rig.found(rig.finding())
    messages = rig.wait(9 * HOUR, step=20 * SECOND)
    assert [b.created_ns - a.created_ns for a, b in pairwise(messages)] == [4 * HOUR, 4 * HOUR]
    assert len({message.id for message in messages}) == 3


def test_an_alert_that_becomes_worse_is_told_again() -> None:
    rig = Rig(Rule(name="r"))
    rig.found(rig.finding(severity="warning"))
    rig.wait(MINUTE)
    rig.found(rig.finding(severity="critical"))
    (worse,) = rig.wait(10 * MINUTE)
    assert worse.alerts[0].severity == "critical"
    rig.found(rig.finding(severity="warning"))
    assert rig.wait(10 * MINUTE) == []


def test_events_are_told_once_and_at_once() -> None:
    rig = Rig(EventRule(name="budget", grouping=AT_ONCE))
    rig.engine.observe([rig.finding(rule="budget", once=True)])
    (message,) = rig.wait(SECOND, step=SECOND)
    assert (message.status, message.alerts[0].status) == ("firing", "firing")
    assert rig.states() == ["resolved"]
    assert rig.wait(DAY, step=MINUTE) == []
    rig.engine.observe([rig.finding(rule="budget", once=True)])
    (again,) = rig.wait(SECOND, step=SECOND)
    assert again.alerts[0].id != message.alerts[0].id
    assert again.alerts[0].fingerprint == message.alerts[0].fingerprint


def test_the_rule_of_an_event_is_found_by_the_part_before_the_colon() -> None:
    rig = Rig(EventRule(name="budget", grouping=AT_ONCE, levels={"80": "info"}))
    rig.engine.observe([rig.finding(rule="budget:team", once=True, labels={"threshold": "80"})])
    (message,) = rig.wait(SECOND, step=SECOND)
    assert (message.alerts[0].rule, message.alerts[0].severity) == ("budget:team", "info")


def test_missing_data_resolve_or_hold_or_fire_as_the_rule_says() -> None:
    states = {}
    for missing in ("ok", "no_data", "alert"):
        rig = Rig(Rule(name="r", missing=missing))
        rig.found(rig.finding())
        rig.wait(MINUTE)
        rig.found()
        states[missing] = rig.states()
    assert states == {"ok": ["resolved"], "no_data": ["no_data"], "alert": ["firing"]}


def test_without_data_for_a_day_an_alert_is_over() -> None:
    rig = Rig(Rule(name="r", missing="no_data"))
    rig.found(rig.finding())
    rig.wait(MINUTE)
    rig.found()
    assert rig.wait(HOUR) == []
    rig.now += DAY
    rig.found()
    assert rig.states() == ["resolved"]
    assert [message.status for message in rig.wait(10 * MINUTE)] == ["resolved"]


def test_a_message_has_so_many_alerts_and_the_number_of_the_rest() -> None:
    rig = Rig(Rule(name="r"))
    worst = rig.finding(labels={"tenant": "acme", "model": "worst"}, severity="critical")
    rig.found(*(rig.finding(labels={"tenant": "acme", "model": f"m{n}"}) for n in range(6)), worst)
    (message,) = rig.wait(MINUTE)
    assert (len(message.alerts), message.truncated) == (3, 4)
    assert told(message)[0] == ("worst", "firing")
    rig.found()
    (over,) = rig.wait(10 * MINUTE)
    assert (over.status, len(over.alerts), over.truncated) == ("resolved", 3, 4)


def test_a_rule_has_at_most_so_many_alerts() -> None:
    rig = Rig(Rule(name="r", max_alerts=2))
    findings = [rig.finding(labels={"model": f"m{n}"}) for n in range(5)]
    rig.found(*findings)
    assert (len(rig.states()), rig.engine.dropped) == (2, {"r": 3})
    rig.found(*(replace(one, active=False) for one in findings[:2]), *findings[2:])
    assert rig.engine.dropped == {"r": 3}
    rig.found(*findings[2:])
    assert sorted(rig.states()) == ["firing", "firing", "resolved", "resolved"]


def test_a_rule_that_is_gone_resolves_what_it_left() -> None:
    rig = Rig(Rule(name="r"))
    rig.found(rig.finding())
    rig.wait(MINUTE)
    rig.engine.retire(["other"], rig.now)
    assert [message.status for message in rig.wait(10 * MINUTE)] == ["resolved"]


def test_messages_never_mix_owners() -> None:
    rig = Rig(Rule(name="r", grouping=Grouping(by=())))
    rig.found(*(rig.finding(owner=owner, labels={"model": "m"}) for owner in ("acme", "globex")))
    messages = rig.wait(MINUTE)
    assert sorted({alert.owner for alert in message.alerts} == {"acme"} for message in messages) == [False, True]


def test_the_first_route_that_matches_wins_unless_it_continues() -> None:
    tables: list[dict[str, Any]] = [
        {"match": ['severity="critical"'], "receivers": ["pager"], "continue": True},
        {"match": ["tenant=~acme|globex"], "receivers": ["team"], "group_wait": "0s"},
        {"match": ["tenant=quiet"], "receivers": []},
    ]
    routes = build_routes(tables, ["mail"], ["pager", "team", "mail"], Grouping())

    def receivers(tenant: str, severity: Severity) -> list[str]:
        finding = Finding(rule="r", owner="", labels={"tenant": tenant}, active=True, at_ns=0, severity=severity)
        return [target.receiver for target in routes.targets(finding, None)]

    assert receivers("acme", "critical") == ["pager", "team"]
    assert receivers("acme", "info") == ["team"]
    assert receivers("other", "critical") == ["pager", "mail"]
    assert receivers("quiet", "info") == []


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ({"receivers": ["nobody"]}, "no receiver 'nobody'; there is ops"),
        ({"recievers": []}, "no such setting; did you mean 'receivers'"),
        ({"match": ["x"]}, "is no matcher; write"),
        ({"match": 3}, "write a list of matchers"),
        ({"continue": "yes"}, "neither true nor false"),
        ({"group_wait": "soon"}, "is no duration"),
    ],
)
def test_a_route_that_cannot_be_meant_is_refused(table: dict[str, Any], message: str) -> None:
    with pytest.raises(RuleError, match=message):
        build_routes([table], [], ["ops"], Grouping())


def _silence(rig: Rig, matcher: str, *, starts: int = 0, ends: int, owner: str | None = None) -> str:
    mute = rig.engine.mutes.add(
        kind="silence",
        owner=owner,
        matchers=[matcher],
        starts=rig.now + starts,
        ends=rig.now + ends,
        author="me",
        comment="known",
        now=rig.now,
    )
    return mute.id


def test_a_silence_holds_over_a_restart_and_ends_by_itself() -> None:
    rig = Rig(Rule(name="r"))
    _silence(rig, "tenant=acme", ends=HOUR)
    rig.found(rig.finding())
    assert rig.wait(30 * MINUTE) == []
    rig.restart()
    assert rig.wait(29 * MINUTE) == []
    (message,) = rig.wait(10 * MINUTE)
    assert T0 + HOUR <= message.created_ns <= T0 + HOUR + 5 * MINUTE


def test_a_silence_can_be_ended() -> None:
    rig = Rig(Rule(name="r"))
    silence = _silence(rig, "tenant=acme", ends=HOUR)
    rig.found(rig.finding())
    rig.wait(10 * MINUTE)
    rig.restart()
    assert rig.engine.mutes.expire(silence, kind="silence", owner="globex", now=rig.now) is None
    assert rig.engine.mutes.expire(silence, kind="silence", owner=None, now=rig.now) is not None
    assert len(rig.wait(6 * MINUTE)) == 1


def test_a_silence_of_one_tenant_hides_nothing_of_another() -> None:
    rig = Rig(Rule(name="r"))
    _silence(rig, "rule=r", ends=HOUR, owner="globex")
    rig.found(rig.finding(owner="acme"), rig.finding(owner="globex", labels={"tenant": "globex"}))
    (message,) = rig.wait(MINUTE)
    assert {alert.owner for alert in message.alerts} == {"acme"}


def test_who_was_told_of_an_alert_is_told_of_its_end_even_in_a_silence() -> None:
    rig = Rig(Rule(name="r"))
    rig.found(rig.finding())
    rig.wait(MINUTE)
    _silence(rig, "tenant=acme", ends=HOUR)
    rig.found(rig.finding(active=False))
    assert [message.status for message in rig.wait(10 * MINUTE)] == ["resolved"]


def test_events_in_a_planned_change_are_recorded_and_not_told() -> None:
    rig = Rig(EventRule(name="budget", grouping=AT_ONCE))
    rig.engine.mutes.add(
        kind="planned",
        owner=None,
        matchers=['rule=~"budget.*"'],
        starts=rig.now,
        ends=rig.now + HOUR,
        author="me",
        comment="load test",
        now=rig.now,
    )
    rig.engine.observe([rig.finding(rule="budget", once=True)])
    assert rig.wait(2 * HOUR) == []
    assert rig.states() == ["resolved"]


@pytest.mark.parametrize(
    ("matchers", "ends", "message"),
    [
        (["tenant=~.*"], HOUR, "mute everything"),
        ([], HOUR, "mute everything"),
        (["severity!=critical"], HOUR, "mute everything"),
        (["tenant=acme"], 0, "after the start"),
        (["tenant=acme"], 367 * DAY, "within a year"),
        (["tenant"], HOUR, "is no matcher"),
        (['tenant="acme'], HOUR, "quotes do not end"),
        (["tenant=~(a+)+"], HOUR, "none behind a group"),
        (["tenant=~a*b*c*d*"], HOUR, "at most 3"),
        (["tenant=~["], HOUR, "no regular expression"),
    ],
)
def test_a_silence_that_cannot_be_meant_is_refused(matchers: list[str], ends: int, message: str) -> None:
    rig = Rig()
    with pytest.raises(MatcherError, match=message):
        rig.engine.mutes.add(
            kind="silence",
            owner=None,
            matchers=matchers,
            starts=T0,
            ends=T0 + ends,
            author="me",
            comment="known",
            now=T0,
        )


def test_matchers_are_those_of_alertmanager() -> None:
    labels = {"tenant": "acme", "model": 'say "hi"'}
    matching = ['tenant="acme"', "tenant=acme", "tenant!=globex", 'tenant=~"ac.*|x"', "absent!=x", 'absent=""']
    matching += ['absent!~".+"', r'model="say \"hi\""', 'tenant!~"a"']
    assert all(matcher.matches(labels) for matcher in parse_all(matching))
    assert not any(matcher.matches(labels) for matcher in parse_all(["tenant=~a", 'tenant!~"acme"', "absent=x"]))
    assert parse_all([str(matcher) for matcher in parse_all(matching)]) == parse_all(matching)


OUTAGE = Inhibition(source=parse_all(["rule=outage"]), target=parse_all(["rule=model_errors"]), equal=("provider",))


def test_an_outage_mutes_the_alerts_of_its_models() -> None:
    rig = Rig(Rule(name="outage"), Rule(name="model_errors"), inhibitions=[OUTAGE])
    models = [{"provider": provider, "model": "m"} for provider in ("openai", "anthropic")]
    rig.found(rig.finding(rule="outage", owner="", labels={"provider": "openai"}), rule="outage")
    rig.found(*(rig.finding(rule="model_errors", labels=labels) for labels in models), rule="model_errors")
    rig.restart()
    rules = {(a.rule, a.labels["provider"]) for message in rig.wait(MINUTE) for a in message.alerts}
    assert rules == {("outage", "openai"), ("model_errors", "anthropic")}
    rig.found(rule="outage")
    late = {(a.rule, a.labels["provider"]) for message in rig.wait(10 * MINUTE) for a in message.alerts}
    assert ("model_errors", "openai") in late


def test_an_alert_of_one_owner_mutes_none_of_another() -> None:
    rig = Rig(Rule(name="outage"), Rule(name="model_errors"), inhibitions=[OUTAGE])
    labels = {"provider": "openai"}
    rig.found(rig.finding(rule="outage", owner="globex", labels=labels), rule="outage")
    rig.found(rig.finding(rule="model_errors", owner="acme", labels=labels), rule="model_errors")
    assert {message.group_labels["rule"] for message in rig.wait(MINUTE)} == {"outage", "model_errors"}


def test_what_is_source_and_target_is_not_muted_by_its_like() -> None:
    both = Inhibition(source=parse_all(["rule=~a|b"]), target=parse_all(["rule=~a|b"]))
    rig = Rig(Rule(name="a"), Rule(name="b"), inhibitions=[both])
    rig.found(rig.finding(rule="a"), rule="a")
    rig.found(rig.finding(rule="b"), rule="b")
    assert len(rig.wait(MINUTE)) == 2


def test_what_thousands_of_alerts_cost_grows_with_their_number_not_its_square(monkeypatch: pytest.MonkeyPatch) -> None:
    inhibitions = [OUTAGE, Inhibition(source=parse_all(["rule=~b.*"]), target=parse_all(["threshold=50"]))]
    rig = Rig(inhibitions=inhibitions)
    alerts, asked = 600, 0
    rig.engine.observe(
        rig.finding(rule="budget", labels={"tenant": f"t{number}"}, once=True) for number in range(alerts)
    )
    matches = Matcher.matches

    def counted(matcher: Matcher, labels: Mapping[str, str]) -> bool:
        nonlocal asked
        asked += 1
        return matches(matcher, labels)

    monkeypatch.setattr(Matcher, "matches", counted)
    assert sum(len(message.alerts) for message in rig.wait(MINUTE, step=MINUTE)) == alerts
    assert asked < 20 * alerts


LABELS = st.fixed_dictionaries({"a": st.sampled_from("xy"), "b": st.sampled_from("xy"), "c": st.sampled_from("xy")})
SIDE = st.sampled_from(["a=x", "b=x", "b!=x", "a=~x|y", "c=x", "rule=r"])


@given(
    alerts=st.lists(st.tuples(st.sampled_from(["", "acme", "globex"]), LABELS), max_size=5),
    sides=st.tuples(SIDE, SIDE, st.sampled_from([(), ("c",), ("b", "c")])),
)
def test_inhibition_is_what_a_comparison_of_each_pair_says(
    alerts: list[tuple[str, dict[str, str]]], sides: tuple[str, str, tuple[str, ...]]
) -> None:
    source, target, equal = parse_all([sides[0]]), parse_all([sides[1]]), sides[2]
    rig = Rig(Rule(name="r"))
    rig.found(*(rig.finding(owner=owner, labels=labels) for owner, labels in alerts))
    found = rig.engine.page(owner=None, states=["firing"])

    def mutes(one: Tracked, other: Tracked) -> bool:
        mine, its = one.matched(), other.matched()
        return (
            one.id != other.id
            and one.finding.owner in ("", other.finding.owner)
            and match_all(source, mine)
            and match_all(target, its)
            and not (match_all(source, its) and match_all(target, mine))
            and all(mine[name] == its[name] for name in equal)
        )

    muted = muting([Inhibition(source=source, target=target, equal=equal)], [], found)
    assert [muted(other) for other in found] == [any(mutes(one, other) for one in found) for other in found]


def test_flapping_a_hundred_times_a_minute_is_told_once_per_interval() -> None:
    rig = Rig(Rule(name="r"))
    for flap in range(3_000):
        rig.now += 600_000_000
        rig.found(rig.finding(active=flap % 2 == 0))
        rig.engine.tick(rig.now)
    gaps = [b.created_ns - a.created_ns for a, b in pairwise(rig.sent)]
    assert rig.sent
    assert all(gap >= 5 * MINUTE for gap in gaps)


def test_what_fires_again_before_its_end_was_told_stays_one_alert() -> None:
    rig = Rig(Rule(name="r"))
    rig.found(rig.finding())
    (first,) = rig.wait(MINUTE)
    rig.found(rig.finding(active=False))
    rig.wait(MINUTE)
    rig.found(rig.finding())
    assert rig.wait(20 * MINUTE) == []
    rig.found(rig.finding(active=False))
    (last,) = rig.wait(10 * MINUTE)
    assert (last.status, last.alerts[0].id) == ("resolved", first.alerts[0].id)


def test_a_kill_while_a_message_is_made_changes_neither_its_id_nor_its_content() -> None:
    rig = Rig(Rule(name="r"))
    rig.found(rig.finding())
    rig.kill = True
    with pytest.raises(KilledError):
        rig.wait(MINUTE)
    rig.restart()
    rig.wait(MINUTE)
    first, second = rig.sent
    assert (first.id, first.alerts) == (second.id, second.alerts)


def test_what_the_caller_writes_around_an_event_is_written_with_it_or_not_at_all() -> None:
    rig = Rig(EventRule(name="budget", grouping=AT_ONCE))

    def fail() -> None:
        with rig.database.transaction():
            rig.engine.observe([rig.finding(rule="budget", once=True)])
            raise KilledError

    with pytest.raises(KilledError):
        fail()
    assert rig.wait(MINUTE) == []
    assert rig.states() == []


STEP = st.one_of(
    st.tuples(st.just("find"), st.integers(0, 2), st.sampled_from(["info", "critical"]), st.booleans()),
    st.tuples(st.just("nothing"), st.just(0), st.just("info"), st.just(value=False)),
    st.tuples(st.just("wait"), st.integers(1, 400), st.just("info"), st.just(value=False)),
    st.tuples(st.just("clock"), st.integers(-7_200, 7_200), st.just("info"), st.just(value=False)),
    st.tuples(st.just("kill"), st.just(0), st.just("info"), st.just(value=False)),
    st.tuples(st.just("silence"), st.integers(0, 2), st.just("info"), st.just(value=False)),
)
RULE = st.builds(
    Rule,
    name=st.just("r"),
    for_=st.sampled_from([0, MINUTE]),
    keep_firing_for=st.sampled_from([0, MINUTE]),
    missing=st.sampled_from(["ok", "no_data", "alert"]),
    max_alerts=st.sampled_from([2, 100]),
)


def _play(rig: Rig, step: tuple[str, int, Severity, bool], *, restart: bool) -> None:
    what, number, severity, active = step
    if what == "find":
        labels = {"tenant": "acme", "model": str(number)}
        rig.found(rig.finding(labels=labels, severity=severity, active=active))
    elif what == "nothing":
        rig.found()
    elif what == "clock":
        rig.now += number * SECOND
    elif what == "silence":
        _silence(rig, f"model={number}", ends=10 * MINUTE)
    elif what == "kill":
        rig.kill = True
    for _ in range(number if what == "wait" else 1):
        rig.now += SECOND
        try:
            rig.engine.tick(rig.now)
        except KilledError:
            rig.sent.pop()
        if restart:
            rig.restart()


@settings(max_examples=120, deadline=None)
@given(RULE, st.lists(STEP, max_size=40), st.booleans())
def test_whatever_happens_each_receiver_hears_a_consistent_story(
    rule: Rule,
    steps: list[tuple[str, int, Severity, bool]],
    restart: bool,  # noqa: FBT001 - hypothesis passes it
) -> None:
    rig = Rig(rule)
    quiet = Rig(rule)
    for step in steps:
        _play(rig, step, restart=restart)
        _play(quiet, step, restart=False)
    rig.kill = False
    rig.found()
    rig.found(*(rig.finding(labels={"tenant": "acme", "model": str(n)}, active=False) for n in range(3)))
    rig.wait(3 * MINUTE)
    rig.found(*(rig.finding(labels={"tenant": "acme", "model": str(n)}, active=False) for n in range(3)))
    rig.wait(10 * MINUTE)

    assert len({message.id for message in rig.sent}) == len(rig.sent)
    assert [m.id for m in quiet.sent] == [m.id for m in rig.sent[: len(quiet.sent)]]  # restarts change nothing
    known: dict[str, str] = defaultdict(lambda: "resolved")
    for message in rig.sent:
        listed = [alert.id for alert in message.alerts]
        assert len(set(listed)) == len(listed)
        assert (message.status == "resolved") <= all(alert.status == "resolved" for alert in message.alerts)
        for alert in message.alerts:
            assert (known[alert.id], alert.status) != ("resolved", "resolved")  # no end before a beginning, nor two
            known[alert.id] = alert.status
    assert set(known.values()) <= {"resolved"}  # whoever was told of a beginning was told of the end


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.integers(1, 90), st.integers(0, 2), st.booleans()), min_size=1, max_size=80))
def test_messages_of_a_group_keep_their_distance(events: list[tuple[int, int, bool]]) -> None:
    rig = Rig(Rule(name="r"))
    for seconds, number, active in events:
        rig.found(rig.finding(labels={"tenant": "acme", "model": str(number)}, active=active))
        rig.wait(seconds * SECOND)
    assert all(b.created_ns - a.created_ns >= 5 * MINUTE for a, b in pairwise(rig.sent))


def test_a_clock_that_is_set_back_delays_no_alert() -> None:
    rig = Rig(Rule(name="r", for_=2 * MINUTE))
    rig.found(rig.finding())
    rig.now -= HOUR
    rig.found(rig.finding())
    rig.wait(2 * MINUTE)
    rig.found(rig.finding())
    assert rig.states() == ["firing"]


def test_a_clock_that_is_set_back_delays_no_message() -> None:
    rig = Rig(Rule(name="r"))
    rig.found(rig.finding())
    rig.wait(MINUTE)
    rig.found(rig.finding(active=False))
    rig.wait(10 * MINUTE)
    rig.now -= 2 * HOUR
    rig.found(rig.finding())
    assert [message.status for message in rig.wait(10 * MINUTE)] == ["firing"]


def test_who_heard_of_the_end_hears_of_a_new_alert_when_it_fires_again() -> None:
    quick = Route(receivers=("quick",), continues=True, grouping={"wait": 0, "interval": 0})
    rig = Rig(Rule(name="r"), routes=Routes([quick], default=("slow",)))
    for active in (True, False, True):
        rig.found(rig.finding(active=active))
        rig.wait(MINUTE)
    heard = [(message.status, message.alerts[0].id) for message in rig.sent if message.receiver == "quick"]
    assert [status for status, _ in heard] == ["firing", "resolved", "firing"]
    assert heard[0][1] == heard[1][1] != heard[2][1]
    rig.wait(10 * MINUTE)
    slow = [told(message) for message in rig.sent if message.receiver == "slow"]
    assert slow == [[("", "firing")], [("", "firing"), ("", "resolved")]]
