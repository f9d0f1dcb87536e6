"""Rates, comparisons, calibration and the review queue: their arithmetic."""

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spanledger_analytics.quality import Agreement, Calibration, Labelled, Tally, calibrate, compare, inclusion, rate_of

_AGREED = Agreement(both_fail=80, missed=20, false_alarm=30, both_pass=170, labels=300)


def test_a_flagged_share_is_corrected_by_sensitivity_and_specificity() -> None:
    # With se 0.8 and sp 0.85, a true share of 20 % is flagged 0.2 * 0.8 + 0.8 * 0.15 = 28 % of the time.
    rate = rate_of(Tally(10_000, 2_800), _AGREED)
    assert rate.method == "corrected"
    assert rate.value == pytest.approx(0.2, abs=0.01)
    assert rate.low is not None
    assert rate.high is not None
    assert rate.low < 0.2 < rate.high


@given(st.integers(0, 5_000), st.integers(0, 5_000))
def test_rates_lie_in_their_intervals(failing: int, passing: int) -> None:
    for agreement in (None, _AGREED):
        rate = rate_of(Tally(failing + passing, failing), agreement)
        if failing + passing == 0:
            assert rate.method == "none"
            continue
        assert rate.value is not None
        assert rate.low is not None
        assert rate.high is not None
        assert 0 <= rate.low <= rate.high <= 1
        assert rate.low - 0.02 <= rate.value <= rate.high + 0.02


def test_few_or_useless_labels_correct_nothing() -> None:
    assert rate_of(Tally(100, 10), Agreement(both_fail=20, both_pass=20, labels=40)).method == "uncorrected"
    noise = Agreement(both_fail=50, missed=50, false_alarm=50, both_pass=50, labels=200)
    assert rate_of(Tally(100, 10), noise).method == "uncorrected"


def test_the_interval_of_a_corrected_rate_covers_the_truth() -> None:
    rng = np.random.default_rng(3)
    covered = 0
    for _ in range(200):
        bad = rng.random(3_000) < 0.15
        flagged = np.where(bad, rng.random(3_000) < 0.75, rng.random(3_000) < 0.1)
        seen = slice(0, 400)
        tally = Tally(3_000, int(flagged.sum()))
        b, f = bad[seen], flagged[seen]
        counts = [int((b & f).sum()), int((b & ~f).sum()), int((~b & f).sum()), int((~b & ~f).sum())]
        agreed = Agreement(
            both_fail=counts[0], missed=counts[1], false_alarm=counts[2], both_pass=counts[3], labels=400
        )
        rate = rate_of(tally, agreed)
        covered += rate.low is not None and rate.high is not None and rate.low <= 0.15 <= rate.high
    assert covered >= 180


def test_comparison_says_it_in_words() -> None:
    found = compare(Tally(3_000, 300), Tally(3_000, 480))
    assert found.enough
    assert found.worse
    assert found.sentence == "enough data to say B is worse: yes, -6.0 points [3.3, 8.7]"
    better = compare(Tally(3_000, 480), Tally(3_000, 300))
    assert (better.enough, better.worse) == (True, False)
    assert "no, " in compare(Tally(200, 20), Tally(200, 22)).sentence
    assert compare(Tally(5, 0), Tally(5, 5)).difference is None


def test_looking_every_hundred_answers_errs_less_often_than_it_says() -> None:
    rng = np.random.default_rng(5)
    wrong = 0
    for _ in range(300):
        a, b = (np.cumsum(rng.random(5_000) < 0.1) for _ in range(2))
        looks = range(99, 5_000, 100)
        wrong += any(compare(Tally(n + 1, int(a[n])), Tally(n + 1, int(b[n]))).enough for n in looks)
    assert wrong <= 300 * 0.05


@settings(max_examples=20)
@given(st.integers(0, 2**31))
def test_the_review_queue_is_unbiased(seed: int) -> None:
    rng = np.random.default_rng(seed)
    values = rng.random(4_000)
    weights = [inclusion(f"{seed}-{n}", float(value)) for n, value in enumerate(values)]
    assert sum(weight or 0 for weight in weights) == pytest.approx(4_000, rel=0.5)
    assert weights == [inclusion(f"{seed}-{n}", float(value)) for n, value in enumerate(values)]


def labelled(count: int, seed: int = 1, *, telling: bool = False) -> list[Labelled]:
    rng = np.random.default_rng(seed)
    found = []
    for _ in range(count):
        value, hidden = rng.random(2)
        chance = hidden if telling else 0.1 + 0.5 * value
        found.append(Labelled(float(value), bool(rng.random() < chance), {"hidden": float(hidden)}))
    return found


def test_few_labels_calibrate_nothing() -> None:
    assert calibrate(labelled(49)) is None
    assert calibrate([Labelled(0.5, positive=True)] * 95 + [Labelled(0.5, positive=False)] * 5) is None


def test_platt_finds_the_probability_behind_the_value() -> None:
    found = calibrate(labelled(200))
    assert found is not None
    assert found.kind == "platt"
    for value in (0.1, 0.5, 0.9):
        assert found.confidence(value, {}) == pytest.approx(0.1 + 0.5 * value, abs=0.15)


def test_a_refit_has_to_win() -> None:
    kinds = [found.kind for telling in (False, True) if (found := calibrate(labelled(500, telling=telling)))]
    assert kinds == ["platt", "refit"]


def test_calibrations_are_json_and_named_by_what_they_are() -> None:
    found = calibrate(labelled(500, telling=True))
    assert found is not None
    again = Calibration.load(found.dump())
    assert (again, again.id) == (found, found.id)
    assert json.loads(found.dump())["names"] == ["logit", "hidden"]
    assert again.confidence(0.5, {"hidden": 0.9}) > again.confidence(0.5, {"hidden": 0.1})
