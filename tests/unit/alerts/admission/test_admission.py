"""Admission at its desk: what is held, until when, and what is left of it after a crash."""

from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from spanledger_alerts.admission import Ask, Bound, Cap, Core, Ledger

SECOND = 10**9
USD = 10**9
KEY = ("", "all", "", 0)


def test_calls_are_allowed_then_clamped_then_denied_with_the_time_of_the_reset(office: Any) -> None:
    office.budget(amount="0.25", period="day")
    desk = office.desk()
    decisions = [desk.ask(office.question()).answer for _ in range(4)]
    assert [(one.decision, one.tokens) for one in decisions] == [
        ("allow", 100),
        ("allow", 100),
        ("clamp", 50),
        ("deny", 0),
    ]
    assert decisions[-1].resets_ns == office.clock() + 14 * 3600 * SECOND
    assert decisions[-1].cap.key[1] == "all"


def test_all_budgets_or_none(office: Any) -> None:
    office.budget("all", amount=1)
    office.budget("acme", amount="0.1", tenant="acme", allow_unseen=True)
    desk = office.desk()
    acme = {"row": {"tenant": "acme"}}
    assert desk.ask(office.question(**acme)).answer.decision == "allow"
    assert desk.ask(office.question(**acme)).answer.decision == "deny"
    assert desk.held()[0] == USD // 10, "the refused call must hold nothing of the other budget"
    allowed = [desk.ask(office.question()).answer.decision for _ in range(10)]
    assert allowed.count("allow") == 9


def test_only_hard_budgets_and_only_their_calls(office: Any) -> None:
    office.budget("soft", amount="0.000001", mode="soft")
    office.budget("other", amount="0.000001", model="other", allow_unseen=True)
    answer = office.desk().ask(office.question()).answer
    assert (answer.decision, answer.hold) == ("allow", None)


def test_a_settled_call_is_held_at_its_cost_until_the_ledger_has_it(office: Any) -> None:
    office.budget(amount=1)
    desk = office.desk()
    hold = desk.ask(office.question(cost=USD)).answer.hold
    assert desk.ask(office.question()).answer.decision == "deny"
    assert desk.settle(hold.id, USD // 4, "trace", "span")
    assert desk.held()[0] == USD // 4
    desk.found([one.id for one in desk.waiting()], revision=7)
    desk.refresh()
    assert desk.held()[0] == USD // 4, "the ledger is not so far yet"
    office.spend(USD // 4, revision=7)
    desk.refresh()
    assert desk.held()[0] == 0, "no double counting"
    assert desk.ask(office.question(cost=3 * USD // 4)).answer.decision == "allow"
    assert desk.ask(office.question(cost=1)).answer.decision == "deny"


def test_a_call_that_is_released_leaves_nothing(office: Any) -> None:
    office.budget(amount=1)
    desk = office.desk()
    hold = desk.ask(office.question(cost=USD)).answer.hold
    assert desk.release(hold.id)
    assert not desk.release(hold.id)
    assert desk.ask(office.question(cost=USD)).answer.decision == "allow"


@pytest.mark.parametrize(("estimate", "decision"), [("worst", "deny"), ("p95", "allow")])
def test_what_is_never_heard_of_again(office: Any, estimate: str, decision: str) -> None:
    office.budget(amount=1, period="week", estimate=estimate)
    desk = office.desk()
    desk.ask(office.question(cost=USD))
    office.clock.forward(661)
    desk.refresh()
    assert desk.ask(office.question()).answer.decision == decision
    office.clock.forward(7 * 86_400)
    desk.refresh()
    assert desk.ask(office.question()).answer.decision == "allow", "a new period begins with nothing held"


def test_a_lost_call_whose_span_arrives_late_is_counted_once(office: Any) -> None:
    office.budget(amount=1)
    desk = office.desk()
    desk.ask(office.question(cost=USD, trace_id="t", span_id="s"))
    office.clock.forward(700)
    desk.refresh()
    office.spend(USD // 10, revision=9)
    desk.found([one.id for one in desk.waiting()], revision=9)
    desk.refresh()
    assert desk.held()[0] == 0
    assert desk.ask(office.question(cost=USD * 9 // 10)).answer.decision == "allow"


def test_an_expected_length_lets_more_calls_in(office: Any) -> None:
    office.budget(amount=1, estimate="p95")
    desk = office.desk()
    answers = [desk.ask(office.question(cost=USD // 2, expected=10)).answer for _ in range(20)]
    assert [answer.decision for answer in answers].count("allow") >= 10


def test_a_crash_forgets_nothing_that_was_answered(office: Any) -> None:
    office.budget(amount=10)
    desk = office.desk()
    allowed = 0
    for number in range(60):
        office.clock.forward(0.1)
        reply = desk.ask(office.question())
        if not reply.safe:
            desk.save()
        allowed += reply.answer.decision == "allow"
        if number % 7 == 0:  # the process dies without a word
            desk = office.desk()
            assert desk.held()[0] >= allowed * USD // 10
    assert allowed < 100


def test_a_clean_stop_loses_nothing(office: Any) -> None:
    office.budget(amount=10)
    desk = office.desk()
    for _ in range(20):
        desk.ask(office.question())
        desk.save()
    desk.close()
    assert office.desk().held() == (2 * USD, {"call": 20, "lease": 0, "settled": 0, "lost": 0})


def test_many_answers_share_a_write(office: Any) -> None:
    office.budget(amount=1_000_000)
    desk = office.desk()
    for _ in range(50):
        office.clock.forward(0.01)
        if not desk.ask(office.question(cost=10**6)).safe:
            desk.save()
    desk.save()
    safe = [desk.ask(office.question(cost=10**6)).safe for _ in range(10)]
    assert all(safe), "what is below the cover does not wait for the disk"


def test_a_slice_is_small_and_what_is_left_of_it_comes_back(office: Any) -> None:
    office.budget(amount=100)
    desk = office.desk()
    for _ in range(100):
        office.clock.forward(0.05)
        desk.ask(office.question(cost=USD // 100))
    piece = desk.lease(office.question(cost=USD // 100)).lease
    assert 0 < piece.parts[next(iter(piece.parts))].nano <= 99 * USD // 100
    before = desk.held()[0]
    assert desk.settle(piece.id, USD // 200, "t", "s1")
    assert desk.settle(piece.id, USD // 200, "t", "s1"), "told twice"
    assert desk.held()[0] == before, "what a call of the slice cost is only moved"
    desk.shrink(piece.id, 0)
    assert desk.held()[0] == USD + USD // 200


def test_a_tenant_that_had_no_call_has_the_whole_of_a_budget_for_each(office: Any) -> None:
    office.budget("each", amount="0.1", each="tenant")
    desk = office.desk()
    office.spend(USD // 10, 1, "each", "acme")
    desk.refresh()
    rows = {tenant: {"tenant": tenant} for tenant in ("acme", "zeta")}
    assert desk.ask(office.question(row=rows["acme"])).answer.decision == "deny"
    assert desk.ask(office.question(row=rows["zeta"])).answer.decision == "allow"


def test_another_amount_holds_at_once(office: Any) -> None:
    office.budget(amount=1)
    desk = office.desk()
    assert desk.ask(office.question(cost=USD)).answer.decision == "allow"
    office.budget(amount=2)
    desk.refresh()
    assert desk.ask(office.question(cost=USD)).answer.decision == "allow"
    office.budget(amount="0.5")
    desk.refresh()
    assert desk.ask(office.question(cost=1)).answer.decision == "deny"


STEPS = st.lists(
    st.tuples(
        st.sampled_from(["ask", "ask", "ask", "settle", "release", "arrive", "expire", "lease", "use"]),
        st.integers(0, 2**16),
        st.floats(0, 1),
    ),
    max_size=120,
)


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(STEPS, st.integers(1, 5 * USD))
def test_spent_and_held_never_exceed_the_limit_whatever_happens(
    steps: list[tuple[str, int, float]], limit: int
) -> None:
    world = World(limit)
    for step, seed, share in steps:
        getattr(world, step)(seed, share)
        assert world.truth <= limit
        assert world.core.left(world.core.caps[KEY]) >= 0
        assert world.ledger + world.on_its_way <= limit


class World:
    """Calls with their true costs, a ledger that lags, processes that die."""

    def __init__(self, limit: int) -> None:
        names = iter(range(10**9))
        self.core = Core(lambda: str(next(names)))
        self.now = 0
        self.revision = 0
        self.ledger = 0
        self.limit = limit
        self.truth = 0
        self.open: dict[str, int] = {}
        self.ended: dict[str, int] = {}
        self.slices: dict[str, int] = {}
        self._absorb()

    @property
    def on_its_way(self) -> int:
        return sum(self.ended.values())

    def _absorb(self) -> None:
        cap = Cap(KEY, self.limit, self.ledger, 10**18, 10**18)
        self.core.absorb(Ledger(self.revision, {KEY: cap}), self.now)
        self.core.sweep(self.now)

    def _ask(self, seed: int) -> Ask:
        return Ask(
            owner="",
            caps=(KEY,),
            bound=Bound(seed, 1000 * (seed % 977 + 1)),
            tokens=10_000,
            start_ns=self.now,
            ttl_ns=100,
        )

    def ask(self, seed: int, share: float) -> None:
        answer = self.core.admit(self._ask(seed), self.now)
        self.now += 1
        if answer.hold is not None:
            self.open[answer.hold.id] = int(answer.hold.parts[KEY].nano * share)
            self.truth += self.open[answer.hold.id]

    def lease(self, seed: int, _: float) -> None:
        piece = self.core.lease(self._ask(seed % 100), self.now)
        if piece is not None:
            self.slices[piece.id] = piece.parts[KEY].nano

    def use(self, seed: int, share: float) -> None:
        for name in list(self.slices)[:1]:
            cost = int(self.slices[name] * share)
            self.truth += cost
            self.slices[name] -= cost
            made = self.core.settle(name, cost, "t", f"{seed}-{self.now}")
            self.now += 1
            self.ended[name if made is None else made.id] = cost

    def settle(self, seed: int, _: float) -> None:
        for name in list(self.open)[seed % 3 :][:1]:
            cost = self.open.pop(name)
            self.core.settle(name, cost, "t", f"s{name}")
            self.ended[name] = cost

    def release(self, seed: int, _: float) -> None:
        for name in list(self.open)[seed % 3 :][:1]:
            self.truth -= self.open.pop(name)
            self.core.release(name)

    def arrive(self, seed: int, _: float) -> None:
        """The span of a call is stored; the ledger has it now, or one look later."""
        for name in list(self.ended)[:1]:
            self.revision += 1
            self.core.found([name], self.revision)
            self.ledger += self.ended.pop(name)
            if seed % 2:
                self.revision += 1
        self._absorb()

    def expire(self, _seed: int, _: float) -> None:
        """Processes die with their calls, which were made all the same."""
        self.now += 200
        self.open.clear()
        self._absorb()
