"""API keys: made, listed, rotated, revoked, and checked against a snapshot in memory."""

import hmac
import json
import os
import secrets
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from spanledger_ingest import tenancy
from spanledger_ingest.auth._audit import Audit
from spanledger_ingest.auth._errors import AuthError, CredentialError, StateError, UnknownKeyError
from spanledger_ingest.auth._roles import ALL_TENANTS, EXTRA_SCOPES, ROLES, Principal, Role, scopes_of
from spanledger_ingest.auth._scram import Verifier, packed, salt_of, unpacked, user_of, verifier_of_password
from spanledger_ingest.auth._state import Row, StateDb
from spanledger_ingest.auth._token import Token, digest, new_token, parse
from spanledger_ingest.secret import Secret

PEPPER_FILE: Final = "pepper"
MAX_OVERLAP_SECONDS: Final = 30 * 86_400

_PEPPER_BYTES: Final = 32
_COLUMNS: Final = "id, name, tenants, role, scopes, created, expires, revoked, last_used, rotated_from, scram, hash"
_INVALID: Final = "the API key is not valid"


@dataclass(frozen=True, slots=True, kw_only=True)
class Key:
    """All that is known of a key; the secret is not. Times are seconds since the epoch."""

    id: str
    name: str
    tenants: tuple[str, ...]
    """One tenant, several for a gateway, or ``*`` for all."""
    role: Role
    scopes: tuple[str, ...]
    """Granted beside those of the role."""
    created: int
    expires: int | None
    revoked: int | None
    last_used: int | None
    rotated_from: str | None

    @property
    def principal(self) -> Principal:
        """Return who acts with this key."""
        many = self.role == "gateway" or self.tenants == (ALL_TENANTS,)
        tenant = None if self.tenants == (ALL_TENANTS,) else self.tenants[0]
        return Principal(
            tenant=tenant,
            scopes=scopes_of([self.role], self.scopes, tenant=tenant),
            name=f"key {self.id}",
            owner=tenancy.gateway(self.tenants) if many else self.tenants[0],
            must_say_why=self.role == "compliance",
        )


class KeyRing:
    """The keys in ``state.db``.

    Args:
        state: where they are.
        clock: seconds since the epoch.

    Raises:
        StateError: the keys or their pepper cannot be read.
    """

    def __init__(self, state: StateDb, clock: Callable[[], float] = time.time) -> None:
        self._state = state
        self._clock = clock
        self._audit = Audit(state, clock)
        self._pepper = _pepper(state)
        self._lock = threading.Lock()
        self._used: dict[str, int] = {}
        self._version = -1
        self._keys: Mapping[str, tuple[Key, bytes, Principal]] = {}
        self._verifiers: Mapping[str, Mapping[str, Verifier]] = {}
        self.refresh()

    @property
    def in_use(self) -> bool:
        """Whether a key was ever made; a revoked one counts, so that revoking the last one opens nothing."""
        return bool(self._keys)

    def refresh(self) -> None:
        """Read the keys again if another process changed them.

        Raises:
            StateError: they cannot be read; those known before stay.
        """
        version = self._state.data_version()
        if version != self._version:
            self._read()
            self._version = version

    def _read(self) -> None:
        rows = self._state.execute(f"SELECT {_COLUMNS} FROM keys")  # noqa: S608 - a constant
        keys = [(_key(row), bytes(row[-1])) for row in rows]
        self._keys = {key.id: (key, stored, key.principal) for key, stored in keys}
        verifiers: dict[str, dict[str, Verifier]] = {}
        for (key, _), row in zip(keys, rows, strict=True):
            if row[-2] is not None and key.role != "gateway":
                verifiers.setdefault(user_of(key.tenants[0]), {})[key.id] = unpacked(row[-2])
        self._verifiers = verifiers

    def check(self, text: str) -> Principal:
        """Return who acts with this key.

        Raises:
            CredentialError: nobody does.
        """
        token = parse(text)
        if token is None:
            raise CredentialError("malformed", f"{_INVALID}: it was cut short or mistyped")
        key, stored, principal = self._keys.get(token.id, _NOBODY)
        if not hmac.compare_digest(digest(self._pepper, token), stored):
            raise CredentialError("unknown", _INVALID)
        self._check_valid(key)
        return principal

    def _check_valid(self, key: Key) -> None:
        now = self._clock()
        if key.revoked is not None and key.revoked <= now:
            raise CredentialError("revoked", "the API key was revoked")
        if key.expires is not None and key.expires <= now:
            raise CredentialError("expired", "the API key has expired")
        self._used[key.id] = int(now)

    def check_id(self, id_: str) -> Principal:
        """Return who acts with the key of this id, which was checked when their connection began.

        Raises:
            CredentialError: the key has ended since.
        """
        key, _, principal = self._keys.get(id_, _NOBODY)
        self._check_valid(key)
        return principal

    def salt(self, user: str) -> bytes:
        """Return the salt of a PostgreSQL user, which is the name of a tenant or ``all``."""
        return salt_of(self._pepper, user)

    def verifiers(self, user: str) -> Mapping[str, Verifier]:
        """Return what the password of a PostgreSQL user is checked against, by the id of the key."""
        return self._verifiers.get(user, {})

    def flush_last_used(self) -> None:
        """Write down when keys were last used.

        Raises:
            StateError: the disk refuses; it is tried again the next time.
        """
        used = self._used.copy()
        if used:
            with self._state.transaction():
                for id_, moment in used.items():
                    self._state.execute("UPDATE keys SET last_used = ? WHERE id = ?", (moment, id_))
            for id_, moment in used.items():
                if self._used.get(id_) == moment:
                    del self._used[id_]

    def list(self) -> list[Key]:
        """Return every key, the oldest first."""
        rows = self._state.execute(f"SELECT {_COLUMNS} FROM keys ORDER BY created, id")  # noqa: S608 - a constant
        return [_key(row) for row in rows]

    def create(
        self,
        tenants: Sequence[str],
        role: Role,
        *,
        name: str = "",
        scopes: Sequence[str] = (),
        expires: int | None = None,
        actor: str,
    ) -> tuple[Key, Secret]:
        """Make a key; its secret is returned this once and cannot be had again.

        Raises:
            AuthError: tenants, role or scopes do not go together; the message says what does.
        """
        _check_tenants(tenants, role)
        _check_scopes(role, scopes)
        key = Key(
            id="",
            name=name,
            tenants=tuple(tenants),
            role=role,
            scopes=tuple(sorted(scopes)),
            created=int(self._clock()),
            expires=expires,
            revoked=None,
            last_used=None,
            rotated_from=None,
        )
        return self._add(key, "key.create", actor)

    def rotate(self, id_: str, *, overlap_seconds: int, actor: str) -> tuple[Key, Secret]:
        """Make a key that replaces another; both are valid for so long.

        Raises:
            UnknownKeyError: there is none of that id that is still valid.
            AuthError: the overlap is too long.
        """
        if not 0 <= overlap_seconds <= MAX_OVERLAP_SECONDS:
            raise AuthError(f"an overlap is at most {MAX_OVERLAP_SECONDS // 86_400} days")
        old, now = self._valid(id_), int(self._clock())
        end = now + overlap_seconds
        lasting = None if old.expires is None else now + (old.expires - old.created)
        new = Key(
            id="",
            name=old.name,
            tenants=old.tenants,
            role=old.role,
            scopes=old.scopes,
            created=now,
            expires=lasting,
            revoked=None,
            last_used=None,
            rotated_from=old.id,
        )
        return self._add(new, "key.rotate", actor, retire=(end, old.id))

    def revoke(self, id_: str, *, actor: str) -> None:
        """End a key's life now.

        Raises:
            UnknownKeyError: there is none of that id.
        """
        with self._state.transaction():
            key = self._named(id_)
            now = int(self._clock())
            self._state.execute("UPDATE keys SET revoked = min(coalesce(revoked, ?1), ?1) WHERE id = ?2", (now, id_))
            self._audit.write(actor, ",".join(key.tenants), "key.revoke", {"key": id_})
        self._read()

    def _add(self, key: Key, action: str, actor: str, retire: tuple[int, str] | None = None) -> tuple[Key, Secret]:
        token, text = new_token()
        values = (
            token.id, key.name, json.dumps(key.tenants), key.role, json.dumps(key.scopes), key.created, key.expires,
            None, None, key.rotated_from, self._verifier(key, text), digest(self._pepper, token),
        )  # fmt: skip
        with self._state.transaction():
            places = ", ".join("?" * len(values))
            self._state.execute(f"INSERT INTO keys ({_COLUMNS}) VALUES ({places})", values)  # noqa: S608 - constants
            if retire is not None:
                self._state.execute("UPDATE keys SET revoked = ? WHERE id = ?", retire)
            detail = {"key": token.id, "role": key.role, "scopes": list(key.scopes), "from": key.rotated_from}
            self._audit.write(actor, ",".join(key.tenants), action, detail)
        self._read()
        return self._keys[token.id][0], Secret(text)

    def _verifier(self, key: Key, password: str) -> bytes | None:
        """Return what is stored for PostgreSQL clients; who only sends is none."""
        if "query:sql" not in key.principal.scopes:
            return None
        return packed(verifier_of_password(password, self.salt(user_of(key.tenants[0]))))

    def _named(self, id_: str) -> Key:
        rows = self._state.execute(f"SELECT {_COLUMNS} FROM keys WHERE id = ?", (id_,))  # noqa: S608 - a constant
        if not rows:
            raise UnknownKeyError(f"there is no key {id_!r}: 'spanledger keys list' shows them")
        return _key(rows[0])

    def _valid(self, id_: str) -> Key:
        key, now = self._named(id_), self._clock()
        if key.revoked is not None or (key.expires is not None and key.expires <= now):
            raise UnknownKeyError(f"key {id_!r} has ended, or is being replaced already: create a new one")
        return key


def _key(row: Row) -> Key:
    return Key(
        id=row[0],
        name=row[1],
        tenants=tuple(json.loads(row[2])),
        role=row[3],
        scopes=tuple(json.loads(row[4])),
        created=row[5],
        expires=row[6],
        revoked=row[7],
        last_used=row[8],
        rotated_from=row[9],
    )


_NO_KEY: Final = Key(
    id="",
    name="",
    tenants=("nobody",),
    role="ingest",
    scopes=(),
    created=0,
    expires=0,
    revoked=0,
    last_used=None,
    rotated_from=None,
)
_NOBODY: Final = (_NO_KEY, digest(secrets.token_bytes(_PEPPER_BYTES), Token("", "")), _NO_KEY.principal)
"""Compared with where no key has the id, so that a guess costs the same either way."""


def _check_tenants(tenants: Sequence[str], role: str) -> None:
    if role not in ROLES:
        raise AuthError(f"there is no role {role!r}; known are {', '.join(ROLES)}")
    if not tenants:
        raise AuthError("a key needs a tenant")
    if ALL_TENANTS in tenants and len(tenants) > 1:
        raise AuthError("'*' stands for all tenants already")
    for tenant in tenants:
        if tenant != ALL_TENANTS and not tenancy.is_tenant(tenant):
            raise AuthError(f"{tenant!r} cannot name a tenant: 1 to 128 characters, none of them a control character")
    if len(tenants) > 1 and role != "gateway":
        raise AuthError(f"a key of the role {role} has one tenant, or '*' for all; several are for the role gateway")


def _check_scopes(role: str, scopes: Sequence[str]) -> None:
    if role == "gateway" and any(scopes):
        raise AuthError("a gateway only sends: make another key for reading")
    unknown = sorted(set(scopes) - EXTRA_SCOPES)
    if unknown:
        raise AuthError(f"there is no scope {unknown[0]!r}; known are {', '.join(sorted(EXTRA_SCOPES))}")


def _pepper(state: StateDb) -> bytes:
    """Return the secret of this installation. It is a file of its own, so that a copy of the database lets nobody in.

    Raises:
        StateError: it cannot be read, or is gone while there are keys that were made with it.
    """
    path = state.directory / PEPPER_FILE
    try:
        with state.transaction():  # two processes may start at once
            if not path.exists():
                _make_pepper(state, path)
        pepper = path.read_bytes()
    except OSError as error:
        raise StateError(f"cannot use {path}: {error.strerror}: mend its owner and rights") from error
    if len(pepper) != _PEPPER_BYTES:
        raise StateError(f"{path} is damaged: restore it from a backup")
    return pepper


def _make_pepper(state: StateDb, path: Path) -> None:
    if state.execute("SELECT 1 FROM keys LIMIT 1"):
        raise StateError(f"{path} is gone, and no API key can be checked without it: restore it from a backup")
    temporary = path.with_suffix(".new")
    temporary.unlink(missing_ok=True)
    file = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with os.fdopen(file, "wb") as stream:
        stream.write(secrets.token_bytes(_PEPPER_BYTES))
        stream.flush()
        os.fsync(file)
    temporary.rename(path)
