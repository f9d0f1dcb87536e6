"""What is stored of an API key so that it can be the password of a PostgreSQL client (SCRAM-SHA-256, RFC 5802, 7677).

The client never sends the password, so the digest of the key is of no use; a verifier of its own stands beside it. The
salt is the same for all keys of a user, because the server names it before it can know which of them the client has.
That is no weakness: a salt protects guessable passwords, and a key is 256 random bits.
"""

import hashlib
import hmac
from typing import Final, NamedTuple

from spanledger_ingest.auth._roles import ALL_TENANTS

ITERATIONS: Final = 4096
ALL_USER: Final = "all"
"""The user name of keys for all tenants."""

_SALT_BYTES: Final = 16
_KEY_BYTES: Final = 32


class Verifier(NamedTuple):
    """Proves that somebody has the password, and to them that the server knew it; the password cannot be had of it."""

    stored_key: bytes
    server_key: bytes


def user_of(tenant: str) -> str:
    """Return the user name of a tenant's keys."""
    return ALL_USER if tenant == ALL_TENANTS else tenant


def salt_of(pepper: bytes, user: str) -> bytes:
    """Return the salt of a user, whether there is such a user or not."""
    return hmac.digest(pepper, b"scram salt " + user.encode("utf-8", "replace"), hashlib.sha256)[:_SALT_BYTES]


def verifier_of_password(password: str, salt: bytes) -> Verifier:
    """Return the verifier of a password."""
    salted = hashlib.pbkdf2_hmac("sha256", password.encode(), salt, ITERATIONS)
    client_key = hmac.digest(salted, b"Client Key", hashlib.sha256)
    return Verifier(hashlib.sha256(client_key).digest(), hmac.digest(salted, b"Server Key", hashlib.sha256))


def packed(verifier: Verifier) -> bytes:
    """Return the bytes to store."""
    return verifier.stored_key + verifier.server_key


def unpacked(stored: bytes) -> Verifier:
    """Read what :func:`packed` wrote."""
    return Verifier(stored[:_KEY_BYTES], stored[_KEY_BYTES:])


def proves(verifier: Verifier, message: bytes, proof: bytes) -> bool:
    """Tell whether a proof over the exchange so far was made with the verifier's password."""
    signature = hmac.digest(verifier.stored_key, message, hashlib.sha256)
    if len(proof) != len(signature):
        return False
    client_key = bytes(a ^ b for a, b in zip(proof, signature, strict=True))
    return hmac.compare_digest(hashlib.sha256(client_key).digest(), verifier.stored_key)


def server_signature(verifier: Verifier, message: bytes) -> bytes:
    """Return what proves to the client that the server knows the password's verifier."""
    return hmac.digest(verifier.server_key, message, hashlib.sha256)
