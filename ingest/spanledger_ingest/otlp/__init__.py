"""OTLP requests, decoded and validated item by item.

JSON and protobuf of the same telemetry decode to equal values. A bad item costs only itself.

Nobody outside calls more than :func:`inflate`, :func:`count_sound_spans` and :func:`decode`. A native decoder would
take the place of the last two, and be tested against them.
"""

from typing import Final

from spanledger_ingest.otlp._build import Builder
from spanledger_ingest.otlp._check import count_sound_spans
from spanledger_ingest.otlp._decoded import Decoded, Encoding, Item, Signal
from spanledger_ingest.otlp._inflate import inflate
from spanledger_ingest.otlp._json_signals import decode_json
from spanledger_ingest.otlp._limits import Limits
from spanledger_ingest.otlp._protobuf_signals import decode_protobuf

__all__ = [
    "DEFAULT_LIMITS",
    "Decoded",
    "Encoding",
    "Item",
    "Limits",
    "Signal",
    "count_sound_spans",
    "decode",
    "inflate",
]

DEFAULT_LIMITS: Final = Limits()


def decode(
    signal: Signal,
    body: bytes,
    encoding: Encoding,
    owner: str,
    *,
    limits: Limits = DEFAULT_LIMITS,
    received_ns: int = 0,
) -> Decoded:
    """Decode and validate one Export request.

    Args:
        signal: which of the three services it was sent to.
        body: the message, already decompressed.
        encoding: how it is written.
        owner: tenant of the credential, set on every item.
        limits: what is refused or cut.
        received_ns: stands in for the time of log records and data points that have none; also dates the rejections.

    Raises:
        BadDataError: the body as a whole cannot be read; nothing of it can be taken.
        TooLargeError: it holds more than the limits allow.
    """
    builder = Builder(signal, owner, limits, received_ns)
    if encoding == "json":
        decode_json(signal, body, builder)
    else:
        decode_protobuf(signal, body, builder)
    return builder.decoded
