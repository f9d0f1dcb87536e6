"""Sessions of browsers: a random token in a cookie stands for an API key that was shown once."""

import hashlib
import hmac
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from spanledger_ingest.auth._audit import Audit
from spanledger_ingest.auth._authenticator import Authenticator
from spanledger_ingest.auth._errors import CredentialError
from spanledger_ingest.auth._roles import Principal
from spanledger_ingest.auth._state import StateDb
from spanledger_ingest.auth._token import parse

LIFE_SECONDS: Final = 12 * 3600
"""A session ends after a working day, whatever its reader does."""
MOST_PER_KEY: Final = 100
"""The oldest sessions of a key end when more are opened."""
_TOKEN_BYTES: Final = 32
_MAX_CHARS: Final = 128


@dataclass(frozen=True, slots=True)
class Session:
    """A session that is valid now. The token is secret: whoever has it is its owner."""

    token: str
    principal: Principal

    @property
    def form_token(self) -> str:
        """What a form must bring to prove that a page of ours was its origin."""
        return hmac.new(self.token.encode(), b"form", hashlib.sha256).hexdigest()

    def owns(self, form_token: str) -> bool:
        """Tell whether a form is of this session."""
        return hmac.compare_digest(self.form_token.encode(), form_token.encode("utf-8", "replace"))


class Sessions:
    """Sessions in ``state.db``, so that they outlive a restart; stored is a digest of each token only.

    Args:
        state: where they are.
        authenticator: judges the keys that open them, and each use of those keys.
        clock: seconds since the epoch.
    """

    def __init__(self, state: StateDb, authenticator: Authenticator, clock: Callable[[], float] = time.time) -> None:
        self._state = state
        self._authenticator = authenticator
        self._audit = Audit(state, clock)
        self._clock = clock

    def open(self, key: str) -> Session:
        """Begin a session with the text of an API key.

        Raises:
            CredentialError: the key lets nobody in.
            StateError: the disk refuses.
        """
        key_id, principal = self._check(key.strip())
        token, now = secrets.token_urlsafe(_TOKEN_BYTES), int(self._clock())
        with self._state.transaction():
            self._state.execute("DELETE FROM sessions WHERE expires <= ?", (now,))
            self._state.execute(
                "DELETE FROM sessions WHERE digest IN"
                " (SELECT digest FROM sessions WHERE key_id = ? ORDER BY created DESC LIMIT -1 OFFSET ?)",
                (key_id, MOST_PER_KEY - 1),
            )
            self._state.execute(
                "INSERT INTO sessions (digest, key_id, created, expires) VALUES (?, ?, ?, ?)",
                (_digest(token), key_id, now, now + LIFE_SECONDS),
            )
            self._audit.record(principal, "session.open", {}, "")
        return Session(token, principal)

    def _check(self, key: str) -> tuple[str, Principal]:
        try:
            principal = self._authenticator.keys.check(key)
        except CredentialError as error:
            self._authenticator.refused(error.reason)
            raise
        parsed = parse(key)
        if parsed is None:  # check() would have refused it
            raise CredentialError("malformed", "this is not an API key")
        return parsed.id, principal

    def find(self, token: str) -> Session:
        """Return the session of a token, with what its key may do now.

        Raises:
            CredentialError: there is none, it is over, or its key has ended since.
        """
        rows = (
            self._state.execute("SELECT key_id, expires FROM sessions WHERE digest = ?", (_digest(token),))
            if len(token) <= _MAX_CHARS
            else []
        )
        if not rows or rows[0][1] <= self._clock():
            raise CredentialError("expired", "the session is over: log in again")
        return Session(token, self._authenticator.keys.check_id(rows[0][0]))

    def close(self, session: Session) -> None:
        """End a session.

        Raises:
            StateError: the disk refuses.
        """
        with self._state.transaction():
            self._state.execute("DELETE FROM sessions WHERE digest = ?", (_digest(session.token),))
            self._audit.record(session.principal, "session.close", {}, "")


def _digest(token: str) -> bytes:
    # 256 random bits need no slow hash.
    return hashlib.sha256(token.encode("utf-8", "replace")).digest()
