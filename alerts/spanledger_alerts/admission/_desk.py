"""Admission that outlives its process: the core, the ledger that it follows, and what is written down of it.

Not every answer waits for the disk. For each cap a *cover* is written ahead: a bound on what may be handed out beyond
what is written. While an answer stays below it, it is given at once and written within a tenth of a second; otherwise
it is given when it is written, together with all that wait. After a crash the cover counts as lost: up to 1 % of what
remained.
"""

import itertools
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from secrets import token_hex
from typing import Final, NamedTuple

from spanledger_alerts.admission._core import Core
from spanledger_alerts.admission._ledger import LedgerReader
from spanledger_alerts.admission._records import Answer, Ask, Bound, CapKey, Hold, Part
from spanledger_alerts.admission._tables import HoldTables
from spanledger_alerts.database import Database

_FOR_EVER_NS: Final = 2**63 - 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """A call that somebody wants to make."""

    row: Mapping[str, str | None]
    """``owner`` and the dimensions of budgets, as the ledger will have them."""
    bound: Bound
    tokens: int
    choices: int = 1
    least: int = 1
    expected: int | None = None
    start_ns: int
    ttl_ns: int
    trace_id: str = ""
    span_id: str = ""


class Reply(NamedTuple):
    """An answer. Unless it is ``safe``, it holds only once :meth:`Desk.save` has returned."""

    answer: Answer
    lease: Hold | None
    safe: bool


class Waiting(NamedTuple):
    """A hold whose call the store may have by now."""

    id: str
    owner: str
    trace_id: str
    span_id: str
    start_ns: int


class Desk:
    """Answers from memory, writes behind a cover. For any thread.

    Args:
        database: where it is written down, and where the ledger of budgets is.
        clock: nanoseconds since the epoch.
    """

    def __init__(self, database: Database, *, clock: Callable[[], int] = time.time_ns) -> None:
        self._tables = HoldTables(database)
        self._reader = LedgerReader(database)
        self._clock = clock
        self._lock = threading.Lock()
        self._saving = threading.Lock()
        self._numbers = itertools.count(1)
        self._epoch = token_hex(6)
        self._core = Core(self._new_id)
        self._covers: dict[CapKey, Part] = {}
        self._unsaved: dict[CapKey, int] = {}
        self.counts = {"allow": 0, "clamp": 0, "deny": 0}
        self._recover()
        self.refresh()

    def _new_id(self) -> str:
        return f"{self._epoch}.{next(self._numbers)}"

    def _recover(self) -> None:
        with self._tables.transaction():
            for hold in self._tables.holds():
                self._core.put_hold(hold)
            covers = self._tables.covers()
            for key, part in covers.items():
                lost = Hold(self._new_id(), key[0], "lost", {key: part}, 0, _FOR_EVER_NS)
                self._core.put_hold(lost)
                self._tables.put(lost)
            self._tables.set_covers({key: Part(0, 0) for key in covers})
        self._core.dirty.clear()

    # Asking

    @property
    def is_needed(self) -> bool:
        """Whether there is any budget to ask about."""
        return self._reader.is_needed

    def ask(self, question: Question, *, lease: bool = False) -> Reply:
        """Decide about a call, and hand out a slice for the next ones if asked to."""
        with self._lock:
            now = self._clock()
            ask = self._ask_of(question, now)
            answer = self._core.admit(ask, now)
            self.counts[answer.decision] += 1
            made = [answer.hold]
            piece = self._core.lease(ask, now) if lease and answer.decision == "allow" and answer.hold else None
            made.append(piece)
            safe = self._covered([hold for hold in made if hold is not None])
            return Reply(answer, piece, safe)

    def lease(self, question: Question) -> Reply:
        """Hand out a slice without a call."""
        with self._lock:
            now = self._clock()
            ask = self._ask_of(question, now)
            piece = self._core.lease(ask, now) if ask.caps else None
            safe = self._covered([] if piece is None else [piece])
            return Reply(Answer(decision="allow", tokens=ask.tokens), piece, safe)

    def _ask_of(self, question: Question, now: int) -> Ask:
        caps = []
        for cap in self._reader.caps_of(question.row, question.start_ns, now):
            if cap.key not in self._core.caps:
                self._core.put_cap(cap)
            caps.append(cap.key)
        row = question.row
        return Ask(
            owner=row["owner"] or "",
            caps=tuple(caps),
            bound=question.bound,
            tokens=question.tokens,
            choices=question.choices,
            least=question.least,
            expected=question.expected,
            start_ns=question.start_ns,
            ttl_ns=question.ttl_ns,
            provider=row.get("provider") or "",
            model=row.get("model") or "",
            trace_id=question.trace_id,
            span_id=question.span_id,
        )

    def _covered(self, holds: Iterable[Hold]) -> bool:
        """Count new holds; tell whether they are within what is written ahead."""
        safe = True
        for hold in holds:
            for key, part in hold.parts.items():
                self._unsaved[key] = self._unsaved.get(key, 0) + part.nano
                cover = self._covers.get(key, Part(0, 0))
                safe = safe and self._unsaved[key] <= cover.nano
        return safe

    # Telling

    def hold(self, name: str) -> Hold | None:
        """Return a hold."""
        with self._lock:
            return self._core.holds.get(name)

    def settle(self, name: str, cost: int, trace_id: str = "", span_id: str = "") -> bool:
        """Say what a call has cost; tell whether anything was held for it."""
        with self._lock:
            return self._core.settle(name, cost, trace_id, span_id) is not None

    def shrink(self, name: str, nano: int) -> None:
        """Give a part of a slice back."""
        with self._lock:
            self._core.shrink(name, nano)

    def release(self, name: str) -> bool:
        """Say that a call was not made; tell whether anything was held for it."""
        with self._lock:
            return self._core.release(name)

    # Following the ledger

    def waiting(self) -> list[Waiting]:
        """Return the holds whose calls may be in the store by now."""
        with self._lock:
            return [
                Waiting(hold.id, hold.owner, hold.trace_id, hold.span_id, hold.start_ns)
                for hold in self._core.holds.values()
                if hold.span_id and hold.stored_at is None
            ]

    def found(self, names: Iterable[str], revision: int) -> None:
        """Say that the calls of holds are in the store, which was at a revision when they were seen."""
        with self._lock:
            self._core.found(names, revision)

    def refresh(self) -> None:
        """Take over what the ledger says, and let go of what it has."""
        now = self._clock()
        fresh = self._reader.read(now)
        with self._lock:
            if self._reader.adopt(fresh):
                self._core.forget_caps()
            self._core.absorb(fresh.ledger, now)
            self._core.sweep(now)

    def held(self) -> tuple[int, dict[str, int]]:
        """Return what is held in all, in nano-USD of the largest part, and the number of holds by kind."""
        kinds = dict.fromkeys(("call", "lease", "settled", "lost"), 0)
        total = 0
        with self._lock:
            for hold in self._core.holds.values():
                kinds[hold.kind] += 1
                total += max([part.nano for part in hold.parts.values()], default=0)
        return total, kinds

    # Writing

    def save(self) -> None:
        """Write down what changed, and the covers for what comes next. Callers that wait share one transaction."""
        with self._saving:
            self._save(self._next_covers)

    def close(self) -> None:
        """Write down everything, and that nothing more is out."""
        with self._saving:
            self._save(lambda: {key: Part(0, 0) for key in self._covers})

    def _save(self, next_covers: Callable[[], dict[CapKey, Part]]) -> None:
        with self._lock:
            names, self._core.dirty = self._core.dirty, set()
            holds = [self._core.holds[name] for name in names if name in self._core.holds]
            gone = [name for name in names if name not in self._core.holds]
            written = dict(self._unsaved)
            covers = {key: part for key, part in next_covers().items() if part != self._covers.get(key, Part(0, 0))}
            before = dict(self._covers)
            for key, part in covers.items():  # until it is written, the smaller of the two holds
                self._covers[key] = min(part, self._covers.get(key, Part(0, 0)), key=lambda cover: cover.nano)
        if not names and not covers:
            return
        try:
            self._write(holds, gone, covers)
        except BaseException:
            with self._lock:
                self._core.dirty |= names
                self._covers = before
            raise
        with self._lock:
            self._covers |= covers
            self._covers = {key: part for key, part in self._covers.items() if part.nano}
            left = {key: nano - written.get(key, 0) for key, nano in self._unsaved.items()}
            self._unsaved = {key: nano for key, nano in left.items() if nano}

    def _write(self, holds: list[Hold], gone: list[str], covers: Mapping[CapKey, Part]) -> None:
        with self._tables.transaction():
            for hold in holds:
                self._tables.put(hold)
            self._tables.delete(gone)
            self._tables.set_covers(covers)

    def _next_covers(self) -> dict[CapKey, Part]:
        """Return a cover for each cap: as much as it may have out of sight, of what it could still hand out."""
        now = self._clock()
        covers = {}
        for key, cap in self._core.caps.items():
            size = self._core.slice_of(cap, now)
            old = self._covers.get(key, Part(0, 0))
            # A cover that is about right stays: writing it again would cost a write for nothing.
            keep = size // 2 <= old.nano <= 2 * size and old.until_ns == cap.until(now)
            covers[key] = old if keep else Part(size, cap.until(now) if size else 0)
        return covers | {key: Part(0, 0) for key in self._covers if key not in self._core.caps}
