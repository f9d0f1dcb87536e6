"""What every detector promises."""
# ruff: noqa: S101 - this is a test class, asserts are what it is made of

from typing import Any

from spanledger_analytics.detect import Window
from spanledger_analytics.ports import Detector


class DetectorContract:
    """Subclass, and say how to make yours and some history: two days of cells at least, the more the better."""

    def make(self) -> Detector[Any]:
        """Return the detector under test."""
        raise NotImplementedError

    def history(self) -> Window:
        """Return calls to learn from."""
        raise NotImplementedError

    def test_the_same_history_makes_the_same_state(self) -> None:
        """Nothing but the history and the seed decides: no clock, no chance, no order of dictionaries."""
        first, second = self.make(), self.make()
        assert first.dump(first.fit(self.history())) == second.dump(second.fit(self.history()))

    def test_a_state_survives_being_written_down(self) -> None:
        """A restart changes nothing."""
        detector, history = self.make(), self.history()
        half = Window(history.cells, history.end - 24 * 60)
        state = detector.fit(half)
        read = detector.load(detector.dump(state))
        assert detector.dump(detector.fit(history, read)) == detector.dump(detector.fit(history, state))
        assert detector.detect(history, read) == detector.detect(history, state)

    def test_looking_teaches_nothing(self) -> None:
        """Who only detects leaves the state as it was."""
        detector, history = self.make(), self.history()
        state = detector.fit(Window(history.cells, history.end - 60))
        before = detector.dump(state)
        detector.detect(history, state)
        assert detector.dump(state) == before

    def test_history_may_come_in_pieces(self) -> None:
        """Hour by hour or all at once is the same."""
        detector, history = self.make(), self.history()
        state = None
        for end in range(history.end - 36 * 60, history.end + 1, 7 * 60):
            state = detector.fit(Window(history.cells, end), state)
        assert detector.dump(detector.fit(history, state)) == detector.dump(detector.fit(history))
