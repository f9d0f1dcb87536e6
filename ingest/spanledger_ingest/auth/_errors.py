"""What goes wrong with credentials.

AuthError
├── StateError                   ``state.db`` or its pepper cannot be used
├── UnknownKeyError              no key has that id
├── CredentialError              a request's credential does not let it in
└── CredentialUnavailableError   it cannot be judged now, trying again soon may help
"""

from typing import Literal, TypeAlias

from spanledger_ingest.errors import IngestError

Reason: TypeAlias = Literal["missing", "malformed", "unknown", "expired", "revoked", "invalid_token"]


class AuthError(IngestError):
    """Root of everything this package raises on purpose; messages never quote a secret."""


class StateError(AuthError):
    """The state database or its pepper cannot be used."""


class UnknownKeyError(AuthError):
    """No key has that id."""


class CredentialError(AuthError):
    """The credential of a request does not let it in. ``reason`` is for counting."""

    def __init__(self, reason: Reason, message: str) -> None:
        super().__init__(message)
        self.reason: Reason = reason


class CredentialUnavailableError(AuthError):
    """The credential cannot be judged now, because the keys of its issuer are not here yet."""
