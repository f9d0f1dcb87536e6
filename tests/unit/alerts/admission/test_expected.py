"""What the 95 % of answers cost overspends next to nothing: calls as in a public trace of conversations, simulated."""

import heapq
import random

import pytest

from spanledger_alerts.admission import Ask, Bound, Cap, Core, Ledger

SECOND = 10**9
USD = 10**9
KEY = ("", "all", "", 0)


@pytest.mark.parametrize("seed", range(5))
def test_twenty_calls_a_second_overspend_ten_dollars_by_half_a_percent_at_most(seed: int) -> None:
    assert spent_of(seed, 10 * USD, rate=20.0) <= 10 * USD * 1.005


def spent_of(seed: int, limit: int, rate: float) -> int:
    """Run until the cap refuses for good; tokens are about 1,155 in and 211 out, 3 and 15 USD for a million."""
    chance = random.Random(seed)  # noqa: S311 - not a secret
    names = iter(range(10**9))
    core = Core(lambda: str(next(names)))
    core.absorb(Ledger(0, {KEY: Cap(KEY, limit, 0, 10**18, None, "p95")}), 0)
    now, truth, refused = 0.0, 0, 0
    going: list[tuple[float, str, int]] = []
    while refused < 200:
        now += chance.expovariate(rate)
        while going and going[0][0] <= now:
            _, name, cost = heapq.heappop(going)
            core.settle(name, cost, "t", name)
        tokens_in = min(14_000, int(chance.lognormvariate(6.6, 0.9)))
        tokens_out = min(1000, int(chance.lognormvariate(5.0, 0.8)) + 1)
        moment = int(now * SECOND)
        bound = Bound(tokens_in * 3_000, 15_000_000)
        ask = Ask(owner="", caps=(KEY,), bound=bound, tokens=1024, expected=553, start_ns=moment, ttl_ns=660 * SECOND)
        answer = core.admit(ask, moment)
        refused += answer.decision == "deny"
        if answer.hold is not None:
            cost = tokens_in * 3_000 + min(tokens_out, answer.tokens) * 15_000
            truth += cost
            heapq.heappush(going, (now + 1 + 0.025 * tokens_out, answer.hold.id, cost))
    return truth
