"""Who may do what: API keys, tokens of your identity provider, roles, limits, and the record of who read content."""

from spanledger_ingest.auth._audit import Audit, AuditEntry
from spanledger_ingest.auth._authenticator import ANYBODY, Authenticator
from spanledger_ingest.auth._doors import api_door, ingest_door, is_loopback
from spanledger_ingest.auth._errors import (
    AuthError,
    CredentialError,
    CredentialUnavailableError,
    Reason,
    StateError,
    UnknownKeyError,
)
from spanledger_ingest.auth._issuers import verifier_of
from spanledger_ingest.auth._keyring import Key, KeyRing
from spanledger_ingest.auth._limits import Limiter, RatesOf
from spanledger_ingest.auth._roles import ROLES, Principal, Role, Scope, scopes_of
from spanledger_ingest.auth._state import StateDb

__all__ = [
    "ANYBODY",
    "ROLES",
    "Audit",
    "AuditEntry",
    "AuthError",
    "Authenticator",
    "CredentialError",
    "CredentialUnavailableError",
    "Key",
    "KeyRing",
    "Limiter",
    "Principal",
    "RatesOf",
    "Reason",
    "Role",
    "Scope",
    "StateDb",
    "StateError",
    "UnknownKeyError",
    "api_door",
    "ingest_door",
    "is_loopback",
    "scopes_of",
    "verifier_of",
]
