"""Attach exactly one instrumentor to each LLM library, when the application imports it and not before."""

import importlib
import logging
import sys
import threading
from collections.abc import Callable, Iterable, Iterator
from importlib.metadata import PackageNotFoundError, distribution, version
from typing import Any

import wrapt

from spanledger._guard import shielded
from spanledger._libraries import LIBRARIES, PROXY, Instrumentor, Library
from spanledger._runtime import runtime

_logger = logging.getLogger("spanledger")


class Attachments:
    """What is attached in this process."""

    def __init__(self, libraries: Iterable[Library] = LIBRARIES) -> None:
        self._libraries = tuple(libraries)
        self._lock = threading.RLock()
        self._watched: set[str] = set()
        self._attached: dict[str, str] = {}

    @property
    def attached(self) -> dict[str, str]:
        """Library name to the distribution of the instrumentor that we attached (or ``"foreign"``)."""
        return dict(self._attached)

    def attach(self) -> None:
        """Watch for every library of the table; those imported already are instrumented at once. Idempotent."""
        settings = runtime.settings
        if settings.disabled:
            return
        watched = [library for library in self._libraries if library.name not in settings.skip]
        fresh = [library for library in watched if library.name not in self._watched]
        if not fresh:
            return
        self._watched.update(library.name for library in fresh)
        _announce(fresh)
        for library in fresh:
            with shielded(f"watching for the import of {library.module}"):
                wrapt.register_post_import_hook(self._hook(library), library.module)
                if library.waits_for:
                    wrapt.register_post_import_hook(self._hook(library), library.waits_for.partition(":")[0])

    def _hook(self, library: Library) -> Callable[[Any], None]:
        def imported(_module: Any) -> None:
            with shielded(f"instrumenting {library.name}"), self._lock:
                if library.name in self._attached or runtime.settings.disabled or _must_wait(library):
                    return
                self._instrument(library)

        return imported

    def _instrument(self, library: Library) -> None:
        taken = _foreign_wrapper(library)
        if taken:
            self._attached[library.name] = "foreign"
            _logger.info("%s is instrumented already (%s); left as it is", library.name, taken)
        refusals: list[str] = []
        chosen = None if taken else next(_fitting(library, refusals), None)
        if refusals:
            outcome = f"using {chosen.distribution} instead" if chosen else "nothing else is installed for it"
            _logger.log(logging.INFO if chosen else logging.WARNING, "%s; %s", "; ".join(refusals), outcome)
        from spanledger import _patches  # noqa: PLC0415  # what surrounds an SDK is loaded with the SDK

        with shielded(f"preparing {library.name}"):
            _patches.before(library.name, instrumented=bool(taken or chosen))
        if chosen is not None and self._start(library, chosen):
            self._attached[library.name] = chosen.distribution
        if library.name in self._attached:
            with shielded(f"completing {library.name}"):
                _patches.after(library.name)

    def _start(self, library: Library, chosen: Instrumentor) -> bool:
        from spanledger import _capture  # noqa: PLC0415  # what surrounds an SDK is loaded with the SDK
        from spanledger._tracing import FollowingProvider  # noqa: PLC0415  # loaded already unless disabled

        instrumentor = getattr(importlib.import_module(chosen.module), chosen.name)()
        _capture.follow_setting()
        # The range was checked above; the package's own check would log errors and cannot tell "absent" from "too new".
        instrumentor.instrument(tracer_provider=FollowingProvider(), skip_dep_check=True)
        _logger.debug("%s: attached %s %s", library.name, chosen.distribution, _version(chosen.distribution))
        return True


def _fitting(library: Library, refusals: list[str]) -> Iterator[Instrumentor]:
    """The installed instrumentors whose declared range admits the installed library; says in ``refusals`` which not."""
    for candidate in library.instrumentors:
        if _version(candidate.distribution) is None:
            continue
        conflict = _conflict(candidate.distribution)
        if conflict:
            refusals.append(f"{candidate.distribution} {_version(candidate.distribution)} refuses {conflict}")
        else:
            yield candidate


def _conflict(name: str) -> str:
    """What of the ``instruments`` extra of a distribution the environment contradicts: ``google-genai 3.4.0 (<3)``.

    A library of that list that is not installed contradicts nothing: the one that matters has just been imported.
    """
    from packaging.requirements import Requirement  # noqa: PLC0415  # comes with every instrumentor, not with us

    for text in distribution(name).requires or ():
        requirement = Requirement(text)
        marker = requirement.marker
        if marker is None or marker.evaluate({"extra": ""}) or not marker.evaluate({"extra": "instruments"}):
            continue
        found = _version(requirement.name)
        if found is not None and not requirement.specifier.contains(found, prereleases=True):
            return f"{requirement.name} {found} (it takes {requirement.specifier})"
    return ""


def _foreign_wrapper(library: Library) -> str:
    """Who has instrumented ``library`` before us: a wrapped entry method or an active instrumentor; empty if nobody."""
    known = [(one.module, one.name) for one in library.instrumentors]
    known += [(module, name) for module, _, name in (item.partition(":") for item in library.foreign)]
    for module, name in known:
        cls = getattr(sys.modules.get(module), name, None)
        if getattr(cls, "_instance", None) is not None and _is_active(cls):
            return f"{module}.{name}"
    return library.entry if library.entry and _is_wrapped(library.entry) else ""


def _must_wait(library: Library) -> bool:
    """Whether the module that ``library`` waits for is half imported."""
    module, _, name = library.waits_for.partition(":")
    return module in sys.modules and not hasattr(sys.modules[module], name)


def _is_active(cls: Any) -> bool:
    return bool(getattr(cls(), "is_instrumented_by_opentelemetry", False))


def _is_wrapped(entry: str) -> bool:
    """Whether ``module:Class.method`` is a wrapt proxy. Only looks at modules that the SDK has loaded itself."""
    module, _, path = entry.partition(":")
    found: Any = sys.modules.get(module)
    for name in path.split("."):
        found = vars(found).get(name) if isinstance(found, type) else getattr(found, name, None)
    return isinstance(found, PROXY)


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def _announce(libraries: Iterable[Library]) -> None:
    """One INFO line: what will be instrumented by what, what is missing and how to get it."""
    if not _logger.isEnabledFor(logging.INFO):
        return
    ready, missing = [], []
    for library in libraries:
        if _version(library.distribution) is None:
            continue
        found = next((one for one in library.instrumentors if _version(one.distribution)), None)
        if found is None:
            missing.append(library.name)
        else:
            ready.append(f"{library.name} ({found.distribution} {_version(found.distribution)})")
    extras = ",".join(missing)
    hint = f"; no instrumentor for {extras}: pip install 'spanledger[{extras}]'" if missing else ""
    _logger.info("spanledger instruments %s%s", ", ".join(ready) or "nothing that is installed", hint)


attachments = Attachments()
