"""The form of an API key: ``sl_<id 12>_<secret 43>_<checksum 6>``, letters and digits.

The id names the key in lists and logs. The secret is 256 random bits. The checksum finds typing errors, and tells
scanners of leaked keys that they found one.
"""

import hashlib
import hmac
import secrets
import zlib
from typing import Final, NamedTuple

PREFIX: Final = "sl_"
ID_CHARS: Final = 12
_SECRET_CHARS: Final = 43  # the first number of base-62 digits that holds 256 bits
_SUM_CHARS: Final = 6
_DIGITS: Final = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_ALPHABET: Final = frozenset(_DIGITS)


class Token(NamedTuple):
    """A key taken apart."""

    id: str
    secret: str


def new_token() -> tuple[Token, str]:
    """Return a new key, in parts and as its owner writes it."""
    token = Token(_base62(secrets.randbits(80), ID_CHARS)[-ID_CHARS:], _base62(secrets.randbits(256), _SECRET_CHARS))
    head = f"{PREFIX}{token.id}_{token.secret}"
    return token, f"{head}_{_checksum(head)}"


def parse(text: str) -> Token | None:
    """Return the parts of a key, or ``None`` if it is not well formed."""
    head, _, checksum = text.rpartition("_")
    id_, _, secret = head.removeprefix(PREFIX).partition("_")
    if not head.startswith(PREFIX) or len(id_) != ID_CHARS or len(secret) != _SECRET_CHARS:
        return None
    if not _ALPHABET.issuperset(id_ + secret) or checksum != _checksum(head):
        return None
    return Token(id_, secret)


def digest(pepper: bytes, token: Token) -> bytes:
    """Return what is stored of a key. A secret of 256 random bits needs no slow hash."""
    return hmac.digest(pepper, f"{token.id} {token.secret}".encode(), hashlib.sha256)


def _checksum(head: str) -> str:
    return _base62(zlib.crc32(head.encode()), _SUM_CHARS)


def _base62(number: int, width: int) -> str:
    digits = []
    for _ in range(width):
        number, digit = divmod(number, 62)
        digits.append(_DIGITS[digit])
    return "".join(reversed(digits))
