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
from spanledger_ingest.auth._roles import ROLES, VIEW_SCOPES, Principal, Role, Scope, scopes_of
from spanledger_ingest.auth._scram import ITERATIONS, Verifier, proves, server_signature
from spanledger_ingest.auth._sessions import LIFE_SECONDS, Session, Sessions
from spanledger_ingest.auth._state import FILE, StateDb
from spanledger_ingest.auth._state_copy import check_state, copy_state

__all__ = [
    "ANYBODY",
    "FILE",
    "ITERATIONS",
    "LIFE_SECONDS",
    "ROLES",
    "VIEW_SCOPES",
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
    "Session",
    "Sessions",
    "StateDb",
    "StateError",
    "UnknownKeyError",
    "Verifier",
    "api_door",
    "check_state",
    "copy_state",
    "ingest_door",
    "is_loopback",
    "proves",
    "scopes_of",
    "server_signature",
    "verifier_of",
]
