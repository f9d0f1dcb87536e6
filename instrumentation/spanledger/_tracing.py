"""Which TracerProvider spans go to, whatever the application does with the global one and when.

The instrumentors that we attach get :class:`FollowingProvider`. Its tracers ask, for each span, which provider is in
force: that of a running test kit, else the application's global one (our processors are added to it the first time we
see it), else one that we made. So an application may set its provider before or after ``import spanledger.auto``.
"""

import logging
import os
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any
from weakref import WeakSet

from opentelemetry import trace
from opentelemetry.sdk.trace import SpanProcessor, TracerProvider

from spanledger._guard import shielded

_logger = logging.getLogger("spanledger")


class Providers:
    """The providers of this process: ours, the application's, a test kit's."""

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._processors: Sequence[SpanProcessor] = ()
        self._equipped: WeakSet[Any] = WeakSet()
        self._own: TracerProvider | None = None
        self._override: Any = None
        self._global: Any = None
        self._in_force: Any = None
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(after_in_child=self._renew_lock)

    def _renew_lock(self) -> None:
        """In a forked child: whichever thread of the parent held the lock is not here to release it."""
        self._lock = threading.RLock()

    def start(self, processors: Sequence[SpanProcessor]) -> None:
        """Equip the application's provider with ``processors``, or set one of our own if there is none yet."""
        with self._lock:
            self._processors = processors
            self._equipped = WeakSet()
            self._in_force = None
            if not _is_set():
                self._set_own()
            self.in_force()

    def stop(self) -> None:
        """Forget the processors; spans go on to the application's provider, without us."""
        with self._lock:
            self._processors = ()

    def adopt(self) -> None:
        """Equip the application's provider if it has set one since we last looked; cheap when it has not."""
        if self._processors and _global() is not self._global:
            self.in_force()

    def in_force(self) -> Any:
        """The provider for a span that starts now."""
        if self._override is not None:
            return self._override
        found = _global()
        if found is not self._global or self._in_force is None:
            with self._lock:
                self._global = found
                self._in_force = self._equip(found)
        return self._in_force

    @contextmanager
    def overridden(self, provider: TracerProvider) -> Iterator[None]:
        """Send every span of attached instrumentors to ``provider`` (the test kit)."""
        before, self._override = self._override, provider
        try:
            yield
        finally:
            self._override = before

    def _equip(self, provider: Any) -> Any:
        """Add our processors to ``provider`` once; where that is impossible, use a private provider instead."""
        if not self._processors:
            return provider
        if not _takes_processors(provider):
            if _is_set():
                _logger.warning(
                    "the global tracer provider %s takes no span processors; model calls are recorded beside it",
                    type(provider).__qualname__,
                )
            provider = self._private()
        if provider not in self._equipped:
            self._equipped.add(provider)
            for processor in self._processors:
                provider.add_span_processor(processor)
        return provider

    def _private(self) -> TracerProvider:
        if self._own is None:
            self._own = TracerProvider(shutdown_on_exit=False)
        return self._own

    def _set_own(self) -> None:
        """Make our provider the global one, so that spans of the application itself are recorded too.

        Setting is then allowed once more: an application that sets its own provider after us must not be refused.
        """
        trace.set_tracer_provider(self._private())
        with shielded("leaving the global tracer provider to the application"):
            once = trace._TRACER_PROVIDER_SET_ONCE  # noqa: SLF001  # no public way to yield to a later provider
            once._done = False  # noqa: SLF001


def _takes_processors(provider: Any) -> bool:
    return callable(getattr(provider, "add_span_processor", None))


def _global() -> Any:
    return trace.get_tracer_provider()


def _is_set() -> bool:
    """Whether the application, an agent or we have set a global provider."""
    return not isinstance(_global(), trace.ProxyTracerProvider)


providers = Providers()


class FollowingProvider(trace.TracerProvider):
    """The provider that instrumentors are given."""

    def get_tracer(self, *args: Any, **kwargs: Any) -> trace.Tracer:
        """A tracer that follows the provider in force."""
        return FollowingTracer(args, kwargs)


class FollowingTracer(trace.Tracer):
    """Starts each span with a tracer of the provider that is in force then."""

    def __init__(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        self._scope = args, kwargs
        self._provider: Any = None
        self._tracer: Any = None

    def _current(self) -> Any:
        provider = providers.in_force()
        if provider is not self._provider:
            args, kwargs = self._scope
            self._tracer, self._provider = provider.get_tracer(*args, **kwargs), provider
        return self._tracer

    def start_span(self, *args: Any, **kwargs: Any) -> trace.Span:
        """Start a span, see :meth:`opentelemetry.trace.Tracer.start_span`."""
        span: trace.Span = self._current().start_span(*args, **kwargs)
        return span

    def start_as_current_span(self, *args: Any, **kwargs: Any) -> Any:
        """Start a span as the current one, see :meth:`opentelemetry.trace.Tracer.start_as_current_span`."""
        return self._current().start_as_current_span(*args, **kwargs)

    def __getattr__(self, name: str) -> Any:
        """Whatever else instrumentors look for on an SDK tracer (id generator, sampler, resource)."""
        if name.startswith("_"):
            raise AttributeError(name)
        return getattr(self._current(), name)
