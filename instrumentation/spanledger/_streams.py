"""The one stream wrapper: looks at each item of an SDK stream, may keep items from the caller, changes nothing else.

It stands in two places with different valves: inside the instrumentor, to read facts that the instrumentor drops
(:mod:`spanledger._observe`), and outside of it, to hide the usage chunk that only we asked for.
"""

from collections import deque
from enum import Enum
from typing import TYPE_CHECKING, Any, Protocol, Self

from wrapt import ObjectProxy

from spanledger._guard import shielded

if TYPE_CHECKING:
    _ObjectProxy = ObjectProxy[Any]
else:
    _ObjectProxy = ObjectProxy  # wrapt 1 cannot be subscripted

_GUARD = shielded("reading a stream")
_MAX_TAIL = 8
"""Items that may follow the last one a caller cares for; a server that sends more is read at the caller's pace."""


class Verdict(Enum):
    """What becomes of an item."""

    PASS = "pass"  # noqa: S105  # not a password
    """The caller gets it."""
    HIDE = "hide"
    """The caller does not get it."""
    LAST = "last"
    """The caller gets it and may stop reading then, so what follows is read first."""


class Valve(Protocol):
    """Decides about the items of one stream."""

    def judge(self, item: Any) -> Verdict:
        """What becomes of ``item``."""

    def ended(self) -> None:
        """The stream is exhausted, broken, closed or dropped; may be told more than once."""


class _Tap(_ObjectProxy):
    """State of both wrappers. In no reference cycle, so that a caller who drops it drops the stream at once."""

    def __init__(self, stream: Any, valve: Valve) -> None:
        super().__init__(stream)
        self._self_valve = valve
        self._self_ready: deque[Any] = deque()
        self._self_end: BaseException | None = None

    def _self_judge(self, item: Any) -> Verdict:
        with _GUARD:
            return self._self_valve.judge(item)
        return Verdict.PASS

    def _self_held(self) -> bool:
        """Whether an item waits; raises what the tail ended with once none does any more."""
        if self._self_ready:
            return True
        if self._self_end is not None:
            end, self._self_end = self._self_end, self._self_exhausted()
            raise end
        return False

    def _self_hold(self, item: Any) -> None:
        """Keep an item of the tail for the caller, unless it is hidden."""
        if self._self_judge(item) is not Verdict.HIDE:
            self._self_ready.append(item)

    def _self_ended(self) -> None:
        with _GUARD:
            self._self_valve.ended()

    def __del__(self) -> None:
        self._self_ended()

    @staticmethod
    def _self_exhausted() -> Exception:
        raise NotImplementedError


class SyncTap(_Tap):
    """Around a synchronous stream."""

    _self_exhausted = staticmethod(StopIteration)

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> Any:
        while not self._self_held():
            item = self._self_read()
            verdict = self._self_judge(item)
            if verdict is Verdict.PASS:
                return item
            if verdict is Verdict.LAST:
                self._self_ready.append(item)
                self._self_read_tail()
        return self._self_ready.popleft()

    def __enter__(self) -> Self:
        self.__wrapped__.__enter__()
        return self

    def __exit__(self, *error: object) -> Any:
        try:
            return self.__wrapped__.__exit__(*error)
        finally:
            self._self_ended()

    def close(self) -> Any:
        try:
            return self.__wrapped__.close()
        finally:
            self._self_ended()

    def _self_read(self) -> Any:
        try:
            return next(self.__wrapped__)
        except BaseException:
            self._self_ended()
            raise

    def _self_read_tail(self) -> None:
        try:
            for _ in range(_MAX_TAIL):
                self._self_hold(self._self_read())
        except StopIteration:
            self._self_end = StopIteration()  # a fresh one: a caught one refers to this frame and so to the stream
        except Exception as end:  # noqa: BLE001  # kept for the caller, who gets the items first
            self._self_end = end


class AsyncTap(_Tap):
    """Around an asynchronous stream."""

    _self_exhausted = staticmethod(StopAsyncIteration)

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Any:
        while not self._self_held():
            item = await self._self_read()
            verdict = self._self_judge(item)
            if verdict is Verdict.PASS:
                return item
            if verdict is Verdict.LAST:
                self._self_ready.append(item)
                await self._self_read_tail()
        return self._self_ready.popleft()

    async def __aenter__(self) -> Self:
        await self.__wrapped__.__aenter__()
        return self

    async def __aexit__(self, *error: object) -> Any:
        try:
            return await self.__wrapped__.__aexit__(*error)
        finally:
            self._self_ended()

    async def close(self) -> Any:
        try:
            return await self.__wrapped__.close()
        finally:
            self._self_ended()

    async def _self_read(self) -> Any:
        try:
            return await self.__wrapped__.__anext__()
        except BaseException:
            self._self_ended()
            raise

    async def _self_read_tail(self) -> None:
        try:
            for _ in range(_MAX_TAIL):
                self._self_hold(await self._self_read())
        except StopAsyncIteration:
            self._self_end = StopAsyncIteration()
        except Exception as end:  # noqa: BLE001  # kept for the caller, who gets the items first
            self._self_end = end


def tap(stream: Any, valve: Valve) -> Any:
    """Wrap ``stream`` the way it is read; what is no stream comes back as it is."""
    if hasattr(stream, "__anext__"):
        return AsyncTap(stream, valve)
    return SyncTap(stream, valve) if hasattr(stream, "__next__") else stream
