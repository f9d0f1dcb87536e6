"""From the text of a credential to who acts with it."""

import logging
import threading
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Final, Protocol, get_args

from spanledger_ingest.auth._errors import AuthError, CredentialError, Reason
from spanledger_ingest.auth._keyring import KeyRing
from spanledger_ingest.auth._roles import Principal, Scope
from spanledger_ingest.auth._token import PREFIX

_log = logging.getLogger(__name__)

POLL_SECONDS: Final = 1.0
"""How long a key that another process revoked can still be used, at most; the promise is five."""
FLUSH_POLLS: Final = 60
_MAX_CHARS: Final = 8192

ANYBODY: Final = Principal(None, frozenset(get_args(Scope)), "nobody in particular")
"""Who everybody is while no credential is asked for."""


class TokenVerifier(Protocol):
    """Judges the tokens of identity providers."""

    def check(self, token: str) -> Principal:
        """Return who acts with the token.

        Raises:
            CredentialError: nobody does.
            CredentialUnavailableError: that cannot be told now.
        """
        ...

    def refresh(self) -> None:
        """Fetch what is due; never raises."""
        ...


class Authenticator:
    """Judges credentials from memory; a thread keeps that memory fresh.

    Args:
        keys: API keys.
        tokens: tokens of identity providers, if any are trusted.
        required: ask for a credential even while there are no keys.
        chores: what else is to be done once a minute, such as writing down counts.
    """

    def __init__(
        self,
        keys: KeyRing,
        tokens: TokenVerifier | None = None,
        *,
        required: bool = False,
        chores: Callable[[], None] | None = None,
    ) -> None:
        self._keys = keys
        self._tokens = tokens
        self._required = required or tokens is not None
        self._chores = chores
        self._failures: Counter[Reason] = Counter()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="auth", daemon=True)

    @property
    def required(self) -> bool:
        """Whether a credential is asked for; without one, everybody may do everything."""
        return self._required or self._keys.in_use

    @property
    def keys(self) -> KeyRing:
        """The API keys, for doors at which a key is not simply shown."""
        return self._keys

    def refused(self, reason: Reason) -> None:
        """Count a credential that was refused at another door."""
        self._failures[reason] += 1

    @property
    def failures(self) -> Mapping[Reason, int]:
        """Refused credentials by reason."""
        return self._failures.copy()

    def check(self, authorization: str | None) -> Principal:
        """Return who acts, from the value of the header ``Authorization``.

        Raises:
            CredentialError: nobody who may.
            CredentialUnavailableError: that cannot be told now.
        """
        if not self.required:
            return ANYBODY
        try:
            return self._check(authorization or "")
        except CredentialError as error:
            self._failures[error.reason] += 1
            raise

    def _check(self, authorization: str) -> Principal:
        scheme, _, text = authorization.strip().partition(" ")
        text = text.strip()
        if not text or scheme.lower() != "bearer":
            raise CredentialError("missing", "send an API key: 'Authorization: Bearer <key>'")
        if len(text) > _MAX_CHARS:
            raise CredentialError("malformed", f"the credential is longer than {_MAX_CHARS} characters")
        if text.startswith(PREFIX) or self._tokens is None:
            return self._keys.check(text)
        return self._tokens.check(text)

    def refresh(self) -> None:
        """Take up what another process changed. The thread does it every second."""
        try:
            self._keys.refresh()
        except AuthError as error:
            _log.error("cannot read the API keys, those known before stay: %s", error)
        if self._tokens is not None:
            self._tokens.refresh()

    def start(self) -> None:
        """Begin to keep up with other processes."""
        self._thread.start()

    def stop(self) -> None:
        """Stop, and write down what is only in memory. Idempotent."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join()
            self.flush()

    def flush(self) -> None:
        """Write down when keys were last used, and whatever else is due."""
        try:
            self._keys.flush_last_used()
            if self._chores is not None:
                self._chores()
        except AuthError as error:
            _log.error("cannot write down the use of API keys: %s", error)

    def _run(self) -> None:
        polls = 0
        while not self._stop.wait(POLL_SECONDS if polls else 0):
            polls += 1
            try:
                self.refresh()
                if polls % FLUSH_POLLS == 0:
                    self.flush()
            except Exception as error:  # noqa: BLE001 - the worker loop: keys must go on being followed
                _log.error("keeping credentials fresh failed: %s", type(error).__name__)
