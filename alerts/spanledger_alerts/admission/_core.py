"""The arithmetic of hard caps: nothing but memory, one thread at a time (the desk has the lock).

What is kept at all times: for each cap, what the ledger says was spent and what is held against it came to no more than
the limit when it was handed out. Nothing leaves what is held before the ledger has it, its process gave it back, or its
period is over.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import Final

from spanledger_alerts.admission._rate import Recent
from spanledger_alerts.admission._records import Answer, Ask, Cap, CapKey, Hold, Kind, Ledger, Part

LEASE_NS: Final = 30 * 10**9
"""How long calls may begin under a lease."""
LEASE_SHARE: Final = 100
"""A slice is at most this part of what remains."""


class Core:
    """Caps and holds.

    Args:
        new_id: names holds.
    """

    def __init__(self, new_id: Callable[[], str]) -> None:
        self._new_id = new_id
        self.caps: dict[CapKey, Cap] = {}
        self.holds: dict[str, Hold] = {}
        self.dirty: set[str] = set()
        """Holds that changed since they were last written, or are gone."""
        self._recent: dict[CapKey, Recent] = {}
        self._held: dict[CapKey, int] = {}

    # What the ledger says

    def put_cap(self, cap: Cap) -> None:
        """Take a cap in; what is held against it stays."""
        self.caps[cap.key] = cap

    def left(self, cap: Cap) -> int:
        """Return what can still be handed out."""
        return cap.limit - cap.spent - self._held.get(cap.key, 0)

    def absorb(self, ledger: Ledger, now_ns: int) -> None:
        """Take over what the ledger says, and in the same breath let go of the holds that it has.

        Caps that are no longer there are dropped; those of periods that were never spent in are made when asked for.
        """
        for cap in ledger.caps.values():
            self.put_cap(cap)
        for key in [key for key, cap in self.caps.items() if key not in ledger.caps and cap.ends_ns <= now_ns]:
            del self.caps[key]
            self._recent.pop(key, None)
        done = [hold.id for hold in self.holds.values() if _is_in(hold, ledger.revision)]
        for name in done:
            self._drop(name)

    def forget_caps(self) -> None:
        """Drop all caps: the budgets have changed. They are made anew when asked for."""
        self.caps.clear()

    def found(self, names: Iterable[str], revision: int) -> None:
        """Note that calls are in the store at a revision."""
        for name in names:
            if (hold := self.holds.get(name)) is not None and hold.stored_at is None:
                hold.stored_at = revision

    # Asking

    def admit(self, ask: Ask, now_ns: int) -> Answer:
        """Hold what a call can cost against all its caps, or against none of them."""
        caps = [self.caps[key] for key in ask.caps]
        if not caps:
            return Answer(decision="allow", tokens=ask.tokens)
        affordable = [_affordable(cap, ask, self.left(cap)) for cap in caps]
        tokens = min(affordable)
        tightest = caps[affordable.index(tokens)] if tokens < ask.tokens else min(caps, key=self.left)
        least = min(ask.least, ask.tokens)
        if tokens < least:
            refusing = [cap.resets_ns for cap, most in zip(caps, affordable, strict=True) if most < least]
            known = [moment for moment in refusing if moment is not None]
            resets = max(known) if len(known) == len(refusing) else None
            return Answer(decision="deny", cap=tightest, resets_ns=resets)
        hold = self._new_hold(ask, {cap.key: _need(cap, ask, tokens) for cap in caps}, "call", now_ns)
        decision = "allow" if tokens == ask.tokens else "clamp"
        bounded = any(cap.estimate == "worst" for cap in caps)
        return Answer(decision=decision, hold=hold, tokens=tokens, bounded=bounded, cap=tightest)  # type: ignore[arg-type] # one of two

    def lease(self, ask: Ask, now_ns: int) -> Hold | None:
        """Hold a slice of all caps from which a process can admit by itself; ``None`` for next to nothing."""
        caps = [self.caps[key] for key in ask.caps]
        size = min((self.slice_of(cap, now_ns) for cap in caps), default=0)
        if size < max(1, ask.bound.at(ask.least * ask.choices)):
            return None
        return self._new_hold(ask, {cap.key: size for cap in caps}, "lease", now_ns)

    def slice_of(self, cap: Cap, now_ns: int) -> int:
        """Return how much of a cap may be out of sight: 1 % of what remains, or what five seconds cost lately."""
        recent = self._recent.get(cap.key)
        spent_lately = 0 if recent is None else recent.at(now_ns)
        return max(0, min(self.left(cap) // LEASE_SHARE, spent_lately))

    def _new_hold(self, ask: Ask, amounts: Mapping[CapKey, int], kind: Kind, now_ns: int) -> Hold:
        parts = {key: Part(nano, self.caps[key].until(now_ns)) for key, nano in amounts.items()}
        hold = Hold(
            id=self._new_id(),
            owner=ask.owner,
            kind=kind,
            parts=parts,
            start_ns=ask.start_ns,
            expires_ns=now_ns + ask.ttl_ns + (LEASE_NS if kind == "lease" else 0),
            provider=ask.provider,
            model=ask.model,
            trace_id=ask.trace_id if kind == "call" else "",
            span_id=ask.span_id if kind == "call" else "",
        )
        self.put_hold(hold)
        if kind == "call":
            for key, nano in amounts.items():
                self._recent.setdefault(key, Recent()).add(nano, now_ns)
        return hold

    def put_hold(self, hold: Hold) -> None:
        """Take a hold in, as it is."""
        self._drop(hold.id)
        self.holds[hold.id] = hold
        self.dirty.add(hold.id)
        for key, part in hold.parts.items():
            self._held[key] = self._held.get(key, 0) + part.nano

    # Telling

    def settle(self, name: str, cost: int, trace_id: str, span_id: str) -> Hold | None:
        """Hold what a call has cost in the place of what it could have, until the ledger has it."""
        hold = self.holds.get(name)
        if hold is None:
            return None
        if hold.kind == "lease":
            return self._settle_from(hold, cost, trace_id, span_id)
        self.put_hold(
            replace(
                hold,
                kind="settled",
                parts={key: Part(cost, part.until_ns) for key, part in hold.parts.items()},
                trace_id=trace_id or hold.trace_id,
                span_id=span_id or hold.span_id,
            )
        )
        return self.holds[name]

    def _settle_from(self, lease: Hold, cost: int, trace_id: str, span_id: str) -> Hold:
        """Take what a call has cost out of the slice that it was admitted from."""
        name = f"{lease.id}/{span_id or self._new_id()}"
        if name in self.holds:
            return self.holds[name]  # told twice
        left = {key: Part(max(0, part.nano - cost), part.until_ns) for key, part in lease.parts.items()}
        paid = {key: Part(cost, part.until_ns) for key, part in lease.parts.items()}
        self.put_hold(replace(lease, parts=left))
        made = replace(lease, id=name, kind="settled", parts=paid, trace_id=trace_id, span_id=span_id, stored_at=None)
        self.put_hold(made)
        return made

    def shrink(self, name: str, nano: int) -> None:
        """Give a part of a slice back: no more than ``nano`` of it is still out."""
        hold = self.holds.get(name)
        if hold is not None and hold.kind == "lease":
            parts = {key: Part(min(part.nano, max(0, nano)), part.until_ns) for key, part in hold.parts.items()}
            self.put_hold(replace(hold, parts=parts))

    def release(self, name: str) -> bool:
        """Let go of what was held for a call that was not made."""
        hold = self.holds.get(name)
        if hold is None or hold.kind not in ("call", "lease"):
            return False
        self._drop(name)
        return True

    def sweep(self, now_ns: int) -> None:
        """Let go of what is over, and of what expired unless a cap takes the worst for granted."""
        for hold in list(self.holds.values()):
            expired = hold.kind in ("call", "lease") and hold.expires_ns <= now_ns
            parts = {
                key: part
                for key, part in hold.parts.items()
                if part.until_ns > now_ns and part.nano and not (expired and self._forgives(key))
            }
            if not parts and (hold.kind != "lease" or expired):
                self._drop(hold.id)
            elif expired or (parts and parts.keys() != hold.parts.keys()):
                kept: Kind = "lost" if expired else hold.kind
                self.put_hold(replace(hold, parts=parts, kind=kept))

    def _forgives(self, key: CapKey) -> bool:
        """Tell whether what was never heard of again is taken for not spent."""
        cap = self.caps.get(key)
        return cap is not None and cap.estimate == "p95"

    def _drop(self, name: str) -> None:
        hold = self.holds.pop(name, None)
        if hold is not None:
            self.dirty.add(name)
            for key, part in hold.parts.items():
                left = self._held.get(key, 0) - part.nano
                if left:
                    self._held[key] = left
                else:
                    self._held.pop(key, None)


def _is_in(hold: Hold, revision: int) -> bool:
    return hold.stored_at is not None and hold.stored_at <= revision


def _need(cap: Cap, ask: Ask, tokens: int) -> int:
    """Return what a cap holds for so many tokens of output for each choice."""
    if cap.estimate == "p95" and ask.expected is not None:
        tokens = min(tokens, ask.expected)
    return ask.bound.at(tokens * ask.choices)


def _affordable(cap: Cap, ask: Ask, left: int) -> int:
    """Return how many tokens of output for each choice a cap can pay, no more than are asked for; -1 for nothing."""
    if _need(cap, ask, ask.tokens) <= left:
        return ask.tokens
    tokens = ask.bound.tokens_for(left)
    return min(tokens // ask.choices, ask.tokens) if tokens >= 0 else -1
