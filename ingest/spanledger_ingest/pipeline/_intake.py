"""The road from a received body to its acknowledgement."""

import asyncio
import logging
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Final, Literal, NamedTuple, Protocol, TypeAlias

from spanledger_analytics.records import Rejection
from spanledger_ingest import tenancy
from spanledger_ingest.errors import (
    BadDataError,
    IngestError,
    JournalError,
    JournalFullError,
    TooLargeError,
    UnsupportedEncodingError,
)
from spanledger_ingest.journal import Journal, Received
from spanledger_ingest.otlp import DEFAULT_LIMITS, Decoded, Encoding, Limits, Signal, count_sound_spans, decode, inflate
from spanledger_ingest.pipeline._prepare import where
from spanledger_ingest.pipeline._storing import WriterStats
from spanledger_ingest.pipeline._writer import Writer

_log = logging.getLogger(__name__)

Kind: TypeAlias = Literal[
    "success",
    "partial",
    "bad_data",
    "too_large",
    "unsupported",
    "unauthenticated",
    "forbidden",
    "rate_limited",
    "overloaded",
]

_IN_THREAD_BYTES: Final = 16 * 1024
_CONTENT_ENCODINGS: Final = {"identity": "", "x-gzip": "gzip"}


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a request. ``retry_after`` is in seconds, set where sending it again can help."""

    kind: Kind
    message: str = ""
    rejected: int = 0
    retry_after: int | None = None


Authenticate: TypeAlias = Callable[[Mapping[str, str]], str | Outcome]
"""Returns whose data the credential in the headers (lower-case names) brings (:mod:`spanledger_ingest.tenancy`), or
the refusal to answer with."""

SUCCESS: Final = Outcome("success")


class Limiter(Protocol):
    """Holds tenants to what they may send."""

    def refusal(self, owner: str, signal: Signal) -> Outcome | None:
        """Let a request in, or say why not."""
        ...

    def charge(self, owner: str, signal: Signal, *, items: int = 0, size: int = 0) -> None:
        """Count what a request that was let in turned out to be; ``size`` is bytes as received."""
        ...


_MOST_REASONS: Final = 100
"""Reasons told apart in the metrics; there are some twenty today."""
_OTHER: Final = "other"
_KEEP_SECONDS: Final = 30.0
_SHORT: Final = 1
_LONGER: Final = 2
"""Seconds. The stock exporters give up ten seconds after the first try: a longer wait is a loss."""


def dev_mode(_headers: Mapping[str, str]) -> str:
    """Let everybody in without a tenant: loopback development."""
    return ""


@dataclass(frozen=True, slots=True)
class Stats:
    """A snapshot for ``/metrics``."""

    requests: Mapping[tuple[Signal, Kind], int]
    accepted_items: Mapping[Signal, int]
    rejected_items: Mapping[tuple[Signal, str], int]
    """By signal and reason."""
    received_bytes: int
    writer: WriterStats
    backlog_bytes: int
    """Journal bytes that the store does not have."""
    lag_seconds: float
    """Age of the oldest request that the store does not have."""
    journal_end: int
    journal_stored: int
    damages: int
    ready: bool
    foreign_items: int = 0
    """Items that named another tenant than their credential does."""


class Intake:
    """Validates, journals and acknowledges requests, for every receiver alike.

    Success and partial success are answered only for what is on the disk. Whatever goes wrong before that is an outcome
    with which a client that follows OTLP keeps its data, unless the data itself is bad.

    Args:
        journal: where requests are made durable.
        writer: who stores them afterwards.
        authenticate: see :data:`Authenticate`.
        limits: of one request.
        limiter: what a tenant may send; ``None`` for no end.
        max_in_flight_bytes: bodies in memory on their way to the journal, all requests together.
        clock: nanoseconds since the epoch.
    """

    def __init__(
        self,
        journal: Journal,
        writer: Writer,
        *,
        authenticate: Authenticate = dev_mode,
        limits: Limits = DEFAULT_LIMITS,
        limiter: Limiter | None = None,
        max_in_flight_bytes: int = 256 * 1024 * 1024,
        clock: Callable[[], int] = time.time_ns,
    ) -> None:
        self.limits = limits
        self._journal = journal
        self._writer = writer
        self._authenticate = authenticate
        self._limiter = limiter
        self._max_in_flight = max_in_flight_bytes
        self._in_flight = 0
        self._clock = clock
        self._pool = ThreadPoolExecutor(2, thread_name_prefix="decode")
        self._lock = threading.Lock()
        self._requests: Counter[tuple[Signal, Kind]] = Counter()
        self._accepted: Counter[Signal] = Counter()
        self._rejected: Counter[tuple[Signal, str]] = Counter()
        self._received_bytes = 0
        self._closing = False

    def admit(self, headers: Mapping[str, str], signal: Signal) -> str | Outcome:
        """Decide, before the body is read, who sends it and whether it can be taken.

        Args:
            headers: names in lower case.
            signal: what is sent.

        Returns:
            the owner of the request, or how to refuse it.
        """
        try:
            owner = self._authenticate(headers)
            limited = self._limiter and isinstance(owner, str) and self._limiter.refusal(owner, signal)
        except Exception as error:  # noqa: BLE001 - the receivers' guard: no reason to let in, nor to lose data
            _log.error("cannot check a credential: %s", where(error))
            return Outcome("overloaded", "the credential cannot be checked now", retry_after=_LONGER)
        if self._closing:
            return Outcome("overloaded", "the service is stopping", retry_after=_LONGER)
        return limited or owner

    def reserve(self, size: int) -> Outcome | None:
        """Reserve memory for a body, or say why not. What was reserved must be released."""
        with self._lock:
            if self._in_flight + size > self._max_in_flight:
                return Outcome("overloaded", "too many bytes are being received", retry_after=_SHORT)
            self._in_flight += size
            return None

    def release(self, size: int) -> None:
        """Give back what was reserved."""
        with self._lock:
            self._in_flight -= size

    async def accept(
        self, owner: str, signal: Signal, body: bytes, *, encoding: Encoding, content_encoding: str = ""
    ) -> Outcome:
        """Take one Export request.

        Args:
            owner: as :meth:`admit` returned it.
            signal: the service it was sent to.
            body: as received.
            encoding: of the message.
            content_encoding: of the body around it; empty or "identity" for none.

        Returns:
            what to answer. Never raises, except when cancelled.
        """
        coding = content_encoding.strip().lower()
        request = Received(
            signal=signal,
            encoding=encoding,
            content_encoding=_CONTENT_ENCODINGS.get(coding, coding),
            owner=owner,
            received_ns=self._clock(),
            body=body,
        )
        try:
            outcome = await self._take(request)
        except (BadDataError, TooLargeError, UnsupportedEncodingError) as error:
            outcome = self._refuse(request, error)
        except JournalFullError as error:
            outcome = Outcome("overloaded", str(error), retry_after=_LONGER)
        except JournalError as error:
            outcome = Outcome("overloaded", str(error), retry_after=_SHORT)
        except Exception as error:  # noqa: BLE001 - the receivers' guard: what is not stored must be sent again
            _log.error("cannot take a request: %s", where(error))
            outcome = Outcome("overloaded", "unexpected failure, nothing was stored", retry_after=_LONGER)
        self.note(signal, outcome, len(body))
        if self._limiter is not None and outcome.kind != "overloaded":
            self._limiter.charge(owner, signal, size=len(body))
        return outcome

    def keep(self, owner: str, body: bytes) -> None:
        """Take spans that the service itself tells of, as OTLP/JSON; they are on the disk when this returns.

        Raises:
            JournalError: they cannot be kept now.
        """
        request = Received(signal="traces", encoding="json", owner=owner, received_ns=self._clock(), body=body)
        judged = self._read(request)
        writer = self._writer
        done = self._journal.append(
            request, lambda entry: writer.enqueue(entry, judged.items, judged.decoded, judged.size)
        )
        done.result(_KEEP_SECONDS)

    def note(self, signal: Signal, outcome: Outcome, size: int = 0) -> None:
        """Count an answered request; receivers call it for those that never reach :meth:`accept`."""
        with self._lock:
            self._requests[signal, outcome.kind] += 1
            self._received_bytes += size

    async def _take(self, request: Received) -> Outcome:
        if self._closing:
            return Outcome("overloaded", "the service is stopping", retry_after=_LONGER)
        if len(request.body) > _IN_THREAD_BYTES or request.content_encoding:
            loop = asyncio.get_running_loop()
            judged = await loop.run_in_executor(self._pool, self._read, request)
        else:
            judged = self._read(request)
        if judged.items:
            writer = self._writer
            done = self._journal.append(
                request, lambda entry: writer.enqueue(entry, judged.items, judged.decoded, judged.size)
            )
            await asyncio.wrap_future(done)
        if self._limiter is not None:
            self._limiter.charge(request.owner, request.signal, items=judged.items)
        decoded = judged.decoded or Decoded(signal=request.signal)
        with self._lock:
            self._accepted[request.signal] += judged.items - decoded.rejected
            self._count_rejected(request.signal, decoded)
        return _answer(decoded)

    def _count_rejected(self, signal: Signal, decoded: Decoded) -> None:
        untold = decoded.rejected - decoded.reasons.total()
        for reason, count in (decoded.reasons + Counter({_OTHER: untold})).items():
            known = (signal, reason) in self._rejected or len(self._rejected) < _MOST_REASONS
            self._rejected[signal, reason if known else _OTHER] += count

    def _read(self, request: Received) -> "_Judged":
        plain = inflate(request.body, request.content_encoding, self.limits.max_body_bytes)
        if request.signal == "traces" and request.encoding == "protobuf" and not tenancy.is_gateway(request.owner):
            count = count_sound_spans(plain, self.limits)
            if count is not None:
                return _Judged(count, None, len(plain))
        decoded = _decoded(request, plain, self.limits)
        return _Judged(decoded.count, decoded, len(plain))

    def _refuse(self, request: Received, error: IngestError) -> Outcome:
        kind: Kind = "bad_data"
        if isinstance(error, TooLargeError):
            kind = "too_large"
        elif isinstance(error, UnsupportedEncodingError):
            kind = "unsupported"
        self._writer.reject(
            Rejection(
                owner=tenancy.label(request.owner),
                signal=request.signal,
                reason=f"request refused: {error}",
                size=len(request.body),
                time_ns=request.received_ns,
            )
        )
        return Outcome(kind, str(error))

    def stats(self) -> Stats:
        """Return the counts so far."""
        with self._lock:
            return Stats(
                requests=dict(self._requests),
                accepted_items=dict(self._accepted),
                rejected_items=dict(self._rejected),
                received_bytes=self._received_bytes,
                writer=self._writer.stats,
                backlog_bytes=self._journal.backlog_bytes,
                lag_seconds=self._writer.lag_seconds,
                journal_end=self._journal.end,
                journal_stored=self._journal.stored,
                damages=len(self._journal.damages),
                ready=self._writer.ready and not self._closing,
                foreign_items=self._writer.stats.foreign_items,
            )

    def close(self) -> None:
        """Take no more; requests on their way are finished. Idempotent."""
        self._closing = True
        self._pool.shutdown(wait=True)


class _Judged(NamedTuple):
    """What is known of a request when it is acknowledged."""

    items: int
    decoded: Decoded | None
    """``None`` if decoding will certainly take all of them, and can wait until they are stored."""
    size: int
    """Of the decompressed body."""


def read_request(request: Received, limits: Limits) -> Decoded:
    """Decompress and decode a request.

    Raises:
        BadDataError: it cannot be read.
        TooLargeError: it exceeds the limits.
        UnsupportedEncodingError: its content encoding is not read here.
    """
    return _decoded(request, inflate(request.body, request.content_encoding, limits.max_body_bytes), limits)


def _decoded(request: Received, plain: bytes, limits: Limits) -> Decoded:
    owner = tenancy.label(request.owner)
    decoded = decode(request.signal, plain, request.encoding, owner, limits=limits, received_ns=request.received_ns)
    tenancy.assign(decoded, request.owner, limits.max_kept_rejections)
    return decoded


def _answer(decoded: Decoded) -> Outcome:
    if decoded.rejected:
        reasons = Counter(rejection.reason for rejection in decoded.rejections).most_common(3)
        listed = "; ".join(f"{reason} ({count})" for reason, count in reasons)
        return Outcome("partial", f"{decoded.rejected} of {decoded.count} items rejected: {listed}", decoded.rejected)
    return Outcome("partial", decoded.warning) if decoded.warning else SUCCESS
