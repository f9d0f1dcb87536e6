"""The keys that an identity provider signs with."""

import json
import logging
import time
from collections.abc import Callable, Mapping
from http.client import HTTPException
from pathlib import Path
from typing import Any, Final, NamedTuple, Protocol
from urllib.error import HTTPError

import jwt

from spanledger_ingest.auth._errors import CredentialError, CredentialUnavailableError
from spanledger_ingest.fetch import fetch
from spanledger_ingest.secret import Secret

_log = logging.getLogger(__name__)

REFETCH_SECONDS: Final = 30.0
"""Between two tries, whatever unknown keys tokens name."""
FRESH_SECONDS: Final = 300.0
STALE_SECONDS: Final = 86_400.0
"""How long known keys are used while the issuer cannot be asked."""

_MAX_BYTES: Final = 1024 * 1024
_TIMEOUT_SECONDS: Final = 5.0
_FAMILIES: Final = {"RSA": ("RS", "PS"), "EC": ("ES",), "OKP": ("Ed",)}
_UNKNOWN: Final = "the token is signed with a key that its issuer does not publish"


class VerifyingKey(NamedTuple):
    """A key, and the algorithms that it may be used with."""

    key: Any
    algorithms: frozenset[str]


class KeySource(Protocol):
    """Where the keys of an issuer come from."""

    def find(self, key_id: object) -> VerifyingKey:
        """Return the key that a token names.

        Raises:
            CredentialError: there is none.
            CredentialUnavailableError: that cannot be told now.
        """
        ...

    def refresh(self) -> bool:
        """Fetch what is due; tell whether the keys are other ones now. Never raises."""
        ...


class SharedKey:
    """One secret that issuer and service share."""

    def __init__(self, secret: Secret, algorithms: frozenset[str]) -> None:
        self._secret = secret
        self._algorithms = algorithms

    def find(self, _key_id: object) -> VerifyingKey:
        """Return it, whatever name the token gives it."""
        return VerifyingKey(self._secret.reveal().encode(), self._algorithms)

    def refresh(self) -> bool:
        """Do nothing."""
        return False


class Jwks:
    """A JSON Web Key Set at an address or in a file. Nothing is fetched but by :meth:`refresh`.

    Args:
        place: URL or path.
        algorithms: that tokens may be signed with; each key is held to those of its kind.
        clock: monotonic seconds.
    """

    def __init__(self, place: str, algorithms: frozenset[str], clock: Callable[[], float] = time.monotonic) -> None:
        self._place = place
        self._algorithms = algorithms
        self._clock = clock
        self._keys: Mapping[str | None, VerifyingKey] = {}
        self._published: Any = None
        self._tried = self._succeeded = float("-inf")
        self._wanted = True

    def find(self, key_id: object) -> VerifyingKey:
        """See :meth:`KeySource.find`."""
        now = self._clock()
        if now - self._succeeded > STALE_SECONDS:
            self._wanted = True
            raise CredentialUnavailableError("the keys of the token's issuer cannot be fetched")
        found = self._keys.get(key_id) if key_id is None or isinstance(key_id, str) else None
        if found is not None:
            return found
        if self._succeeded < self._tried or now - self._tried >= REFETCH_SECONDS:
            self._wanted = True
            raise CredentialUnavailableError("the token's key is not known yet; it is being fetched")
        raise CredentialError("invalid_token", _UNKNOWN)

    def refresh(self) -> bool:
        """See :meth:`KeySource.refresh`."""
        now = self._clock()
        due = self._wanted or now - self._succeeded >= FRESH_SECONDS
        if not due or now - self._tried < REFETCH_SECONDS:
            return False
        self._tried = now
        try:
            published = json.loads(self._read())
            keys = _keys(published, self._algorithms)
        except (OSError, HTTPException, ValueError, TypeError, RecursionError) as error:
            if isinstance(error, HTTPError):
                error.close()
            _log.warning("cannot fetch the keys at %s: %s", self._place, type(error).__name__)
            return False
        self._succeeded, self._wanted = now, False
        changed = bool(published != self._published)
        self._keys, self._published = keys, published
        return changed

    def _read(self) -> bytes:
        if "://" in self._place:
            return fetch(self._place, timeout=_TIMEOUT_SECONDS, max_bytes=_MAX_BYTES)
        with Path(self._place).open("rb") as file:
            return file.read(_MAX_BYTES)


def _keys(published: Any, allowed: frozenset[str]) -> Mapping[str | None, VerifyingKey]:
    """Return the usable keys by id; a single one also answers to tokens that name none.

    Raises:
        TypeError: it is no key set.
    """
    entries = published.get("keys") if isinstance(published, dict) else None
    if not isinstance(entries, list):
        raise TypeError("no key set")
    found: dict[str | None, VerifyingKey] = {}
    for entry in entries:
        key = _usable(entry, allowed)
        if key is not None:
            found[entry.get("kid")] = key
    if len(found) == 1:
        found[None] = next(iter(found.values()))
    return found


def _usable(entry: Any, allowed: frozenset[str]) -> VerifyingKey | None:
    """Return a public signing key; symmetric ones, and what cannot be read, are left out."""
    if not isinstance(entry, dict) or entry.get("kty") not in _FAMILIES or entry.get("use", "sig") != "sig":
        return None
    if not isinstance(entry.get("kid"), str | None):
        return None
    families = _FAMILIES[entry["kty"]]
    fitting = frozenset(name for name in allowed if name.startswith(families) and entry.get("alg") in (None, name))
    if not fitting:
        return None
    try:
        return VerifyingKey(jwt.PyJWK(entry, min(fitting)).key, fitting)
    except jwt.PyJWTError:
        return None
