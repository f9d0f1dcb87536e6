"""Who a model call is for: the identity that travels in the OpenTelemetry context under a private key.

A private key, not baggage: with default settings HTTP instrumentation and the anthropic SDK send baggage to whatever
host they call, so tenant and user ids would reach the LLM vendors.
"""

import sys
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields, replace
from types import FrameType

from opentelemetry.context import Context, create_key, get_value

from spanledger import semconv

IDENTITY_KEY = create_key("spanledger-identity")

_BORROWERS = ("contextlib", "_pytest.", "pytest_asyncio", "anyio.pytest_plugin")
"""Modules that resume a generator to set something up for the code that runs until they resume it again."""

_CO_GENERATOR = 0x20
_CO_ASYNC_GENERATOR = 0x200


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """What is known of the caller; ``None`` means "not said", and an enclosing context may have said it."""

    tenant: str | None = None
    user: str | None = None
    session: str | None = None
    use_case: str | None = None
    prompt: str | None = None
    region: str | None = None

    def over(self, outer: "Identity | None") -> "Identity":
        """This identity with its gaps filled from the enclosing one."""
        if outer is None:
            return self
        gaps = {item.name: getattr(outer, item.name) for item in fields(self) if getattr(self, item.name) is None}
        return replace(self, **gaps)

    def attributes(self) -> dict[str, str]:
        """The span attributes that say it; a prompt ``name@version`` becomes two."""
        name, _, version = (self.prompt or "").partition("@")
        pairs = {
            semconv.TENANT_ID: self.tenant,
            semconv.USER_ID: self.user,
            semconv.SESSION_ID: self.session,
            semconv.USE_CASE: self.use_case,
            semconv.PROMPT_NAME: name,
            semconv.PROMPT_VERSION: version,
            semconv.CLOUD_REGION: self.region,
        }
        return {key: value for key, value in pairs.items() if value}


@dataclass(frozen=True, slots=True, eq=False)
class Entry:
    """An identity as it lies in the context, with its attributes worked out once.

    ``home`` is set for an entry made in a generator. Context variables do not follow the suspension of a generator, so
    whoever iterates it would inherit the identity between two items, and would lose it to other generators.
    """

    identity: Identity
    attributes: Mapping[str, str]
    outer: "Entry | None" = None
    home: "_Home | None" = None


@dataclass(frozen=True, slots=True)
class _Home:
    """The generator frame (by id: a reference would keep an abandoned generator alive) and the flow it ran in."""

    frame: int
    flow: tuple[int, int]


_live: dict[int, list[Entry]] = {}
"""Entries whose block is open, by the id of their generator's frame; nearly always empty."""


def opened(entry: Entry) -> None:
    """Note that the block of ``entry`` has begun."""
    if entry.home is not None:
        _live.setdefault(entry.home.frame, []).append(entry)


def closed(entry: Entry) -> None:
    """Note that the block of ``entry`` has ended."""
    if entry.home is not None and entry.home.frame in _live:
        entries = _live[entry.home.frame]
        entries.remove(entry)
        if not entries:
            del _live[entry.home.frame]


def home_of(frame: FrameType) -> _Home | None:
    """The home of an entry made in ``frame``: ``None`` unless that frame belongs to a generator that is iterated.

    A generator behind ``@contextmanager``, a FastAPI dependency or a pytest fixture is meant to lend its context.
    """
    flags = frame.f_code.co_flags
    if not flags & (_CO_GENERATOR | _CO_ASYNC_GENERATOR) or _is_context_manager(frame):
        return None
    flow = _flow()
    if flags & _CO_ASYNC_GENERATOR and not flow[1]:
        return None  # no asyncio task: an event loop whose tasks we cannot tell apart, so do not guess
    return _Home(id(frame), flow)


def _is_context_manager(frame: FrameType) -> bool:
    """Whether who resumes the generator only wants what it sets up."""
    resumer = frame.f_back
    return resumer is not None and str(resumer.f_globals.get("__name__")).startswith(_BORROWERS)


def current(context: Context | None = None) -> Entry | None:
    """The entry that holds in ``context``, by default the current one."""
    entry = get_value(IDENTITY_KEY, context)
    found = entry if isinstance(entry, Entry) else None
    if not _live and (found is None or found.home is None):
        return found
    return _among_generators(found)


def _among_generators(entry: Entry | None) -> Entry | None:
    """What holds while generators with open blocks exist: ``entry``, unless the stack says otherwise.

    An entry of a generator that is suspended does not hold for whoever iterates it, and the innermost generator that
    runs holds even if the variable was overwritten while it was suspended.
    """
    running = _running_homes()
    flow = _flow()
    while entry is not None and entry.home is not None and entry.home.flow == flow and entry.home.frame not in running:
        entry = entry.outer
    innermost = next((_live[frame][-1] for frame in running if frame in _live), None)
    if innermost is None or innermost in _chain(entry):
        return entry
    return innermost


def _running_homes() -> list[int]:
    """Ids of the frames on this thread's stack that belong to generators with open blocks, innermost first."""
    found = []
    frame: FrameType | None = sys._getframe(1)  # noqa: SLF001  # the only way to walk the stack cheaply
    while frame is not None:
        if id(frame) in _live:
            found.append(id(frame))
        frame = frame.f_back
    return found


def _chain(entry: Entry | None) -> Iterator[Entry]:
    while entry is not None:
        yield entry
        entry = entry.outer


def _flow() -> tuple[int, int]:
    """Identify the thread and the asyncio task that run."""
    tasks = sys.modules.get("asyncio.tasks")
    task = None
    if tasks is not None:
        try:
            task = tasks.current_task()
        except RuntimeError:
            task = None
    return threading.get_ident(), 0 if task is None else id(task)
