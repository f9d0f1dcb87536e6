"""``spanledger.context``: put an identity on every span of a block, a function or a generator."""

import inspect
import sys
from collections.abc import AsyncGenerator, Callable, Generator
from contextlib import AbstractContextManager
from functools import wraps
from types import FrameType, TracebackType
from typing import Any, ParamSpec, Self, TypeVar, cast

from opentelemetry.context import Context, attach, get_current, set_value

from spanledger import _propagation
from spanledger._guard import shielded
from spanledger._identity import IDENTITY_KEY, Entry, Identity, closed, current, home_of, opened
from spanledger._runtime import runtime

P = ParamSpec("P")
R = TypeVar("R")


class Scope(AbstractContextManager["Scope"]):
    """What :func:`context` returns: a context manager and a decorator.

    As a decorator it works on functions, coroutine functions, generators and async generators; a decorated generator
    keeps its own context from item to item, and whoever iterates it never sees it.
    """

    __slots__ = ("_entered", "_identity", "_propagate")

    def __init__(self, identity: Identity, *, propagate: bool) -> None:
        self._identity = identity
        self._propagate = propagate
        self._entered: list[tuple[Context, Entry | None]] = []

    def __enter__(self) -> Self:
        """Attach the identity to the current context."""
        before = get_current()
        within, entry = self.applied_to(before, sys._getframe(1))  # noqa: SLF001  # generators need a look at their frame
        self._entered.append((before, entry))
        if entry is not None:
            opened(entry)
        attach(within)
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        """Put back what was there before.

        By attaching it, not by resetting the variable: a generator may be closed from another thread or task, where a
        reset is an error that OpenTelemetry logs.
        """
        before, entry = self._entered.pop()
        if entry is not None:
            closed(entry)
        attach(before)

    def __call__(self, function: Callable[P, R]) -> Callable[P, R]:
        """Decorate ``function``: every call of it runs in this context."""
        return cast("Callable[P, R]", _decorated(function, self))

    def applied_to(self, base: Context, frame: FrameType | None = None) -> tuple[Context, Entry | None]:
        """The context ``base`` with this identity in it, filled from the identity that ``base`` has."""
        with shielded("spanledger.context"):
            return self._applied_to(base, frame)
        return base, None

    def _applied_to(self, base: Context, frame: FrameType | None) -> tuple[Context, Entry]:
        _propagation.adopt_provider()
        outer = current(base)
        identity = self._identity.over(outer.identity if outer else None)
        entry = Entry(identity, identity.attributes(), outer, None if frame is None else home_of(frame))
        result = set_value(IDENTITY_KEY, entry, base)
        if self._propagate and not runtime.settings.disabled:  # nothing would keep the baggage from the vendors
            result = _propagation.with_baggage(entry.attributes, result)
        return result, entry


class _Suspended:
    """A generator's own context: current while a step of it runs, put aside between two steps."""

    __slots__ = ("_before", "_own", "_scope")

    def __init__(self, scope: Scope) -> None:
        self._scope = scope
        self._own: Context | None = None

    def __enter__(self) -> None:
        self._before = get_current()
        attach(self._scope.applied_to(self._before)[0] if self._own is None else self._own)

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        self._own = get_current()
        attach(self._before)


def _decorated(function: Callable[..., Any], scope: Scope) -> Callable[..., Any]:
    if inspect.isasyncgenfunction(function):
        return _decorated_async_generator(function, scope)
    if inspect.isgeneratorfunction(function):
        return _decorated_generator(function, scope)
    if inspect.iscoroutinefunction(function):

        @wraps(function)
        async def in_context_async(*args: Any, **kwargs: Any) -> Any:
            with _Suspended(scope):
                return await function(*args, **kwargs)

        return in_context_async

    @wraps(function)
    def in_context(*args: Any, **kwargs: Any) -> Any:
        with _Suspended(scope):
            return function(*args, **kwargs)

    return in_context


def _decorated_generator(function: Callable[..., Any], scope: Scope) -> Callable[..., Any]:
    @wraps(function)
    def generate(*args: Any, **kwargs: Any) -> Generator[Any, Any, Any]:
        own, generator = _Suspended(scope), function(*args, **kwargs)
        resume, argument = generator.send, None
        while True:
            try:
                with own:
                    item = resume(argument)
            except StopIteration as end:
                return end.value
            try:
                resume, argument = generator.send, (yield item)
            except GeneratorExit:
                with own:
                    generator.close()
                raise
            except BaseException as error:  # noqa: BLE001  # handed on to the generator, as `yield from` does
                resume, argument = generator.throw, error

    return generate


def _decorated_async_generator(function: Callable[..., Any], scope: Scope) -> Callable[..., Any]:
    @wraps(function)
    async def generate(*args: Any, **kwargs: Any) -> AsyncGenerator[Any, Any]:
        own, generator = _Suspended(scope), function(*args, **kwargs)
        resume, argument = generator.asend, None
        while True:
            try:
                with own:
                    item = await resume(argument)
            except StopAsyncIteration:
                return
            try:
                resume, argument = generator.asend, (yield item)
            except GeneratorExit:
                with own:
                    await generator.aclose()
                raise
            except BaseException as error:  # noqa: BLE001  # handed on to the generator, as `yield from` does
                resume, argument = generator.athrow, error

    return generate


def context(  # one keyword per fact, all optional
    *,
    tenant: str | None = None,
    user: str | None = None,
    session: str | None = None,
    use_case: str | None = None,
    prompt: str | None = None,
    region: str | None = None,
    propagate: bool = False,
) -> Scope:
    """Put an identity on every span that starts inside, however deep: ``with spanledger.context(tenant="acme"): ...``.

    Contexts nest: an inner one overrides what it names and inherits the rest. Asyncio tasks inherit the context they
    were created in; for threads and executors wrap the function with :func:`propagate`. Also a decorator.

    Args:
        tenant: Whom the call is billed to (``tenant.id``).
        user: The end user (``user.id``).
        session: A real session or conversation of yours; never make one up (``session.id``, and
            ``gen_ai.conversation.id`` on model calls that do not know their own).
        use_case: What the call is for (``spanledger.use_case``).
        prompt: ``name`` or ``name@version`` (``gen_ai.prompt.name``, ``gen_ai.prompt.version``).
        region: Region of the provider endpoint (``cloud.region``), where the address does not tell.
        propagate: Also write the identity into W3C baggage for your own services downstream. Requests to LLM vendors
            never carry it.
    """
    identity = Identity(tenant=tenant, user=user, session=session, use_case=use_case, prompt=prompt, region=region)
    return Scope(_strings(identity), propagate=propagate)


def _strings(identity: Identity) -> Identity:
    """Accept ids that are not strings (ints, UUIDs): an attribute must have one type everywhere."""
    values = {name: getattr(identity, name) for name in Identity.__slots__}
    if all(value is None or type(value) is str for value in values.values()):
        return identity
    return Identity(**{name: None if value is None else str(value) for name, value in values.items()})


def propagate(function: Callable[P, R]) -> Callable[P, R]:
    """Bind ``function`` to the current context, for a thread or an executor: ``pool.submit(propagate(work), item)``.

    The whole OpenTelemetry context goes along, so spans of the thread are children of the current span.
    """
    captured = get_current()

    @wraps(function)
    def bound(*args: P.args, **kwargs: P.kwargs) -> R:
        before = get_current()
        attach(captured)
        try:
            return function(*args, **kwargs)
        finally:
            attach(before)

    return bound
