"""API keys: their form, their life, and what of them is on the disk."""

import sqlite3
import stat
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spanledger_ingest.auth import (
    ANYBODY,
    Authenticator,
    AuthError,
    CredentialError,
    KeyRing,
    StateDb,
    StateError,
    UnknownKeyError,
)
from spanledger_ingest.auth._token import new_token, parse

NOW = 1_800_000_000.0
HOUR = 3600


class Clock:
    now = NOW

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def state(tmp_path: Path) -> Iterator[StateDb]:
    with closing(StateDb(tmp_path / "data")) as opened:
        yield opened


@pytest.fixture
def keys(state: StateDb, clock: Clock) -> KeyRing:
    return KeyRing(state, clock)


def reason(keys: KeyRing, text: str) -> str:
    with pytest.raises(CredentialError) as refused:
        keys.check(text)
    assert text not in str(refused.value)
    return refused.value.reason


def test_a_key_lets_in_whom_it_was_made_for(keys: KeyRing) -> None:
    key, secret = keys.create(["acme"], "ingest", actor="test")
    principal = keys.check(secret.reveal())
    assert (principal.tenant, principal.owner) == ("acme", "acme")
    assert principal.scopes == {"ingest:write", "budgets:admit"}
    assert principal.name == f"key {key.id}"


def test_the_secret_is_nowhere_but_in_the_answer(keys: KeyRing, state: StateDb) -> None:
    key, secret = keys.create(["acme"], "ingest", actor="test")
    text = secret.reveal()
    assert text not in f"{secret} {secret!r} {secret:>5} {key}"
    inside = text.split("_")[2].encode()
    for file in state.directory.iterdir():
        assert inside not in file.read_bytes(), file
        assert stat.S_IMODE(file.stat().st_mode) == 0o600, file


@given(st.integers(0, 68), st.sampled_from("0Az_-é "))
def test_a_mistyped_key_is_refused_without_a_look_at_the_store(place: int, typed: str) -> None:
    _, text = new_token()
    wrong = text[:place] + typed + text[place + 1 :]
    assert wrong == text or parse(wrong) is None


def test_keys_that_were_never_made_or_are_cut_are_refused(keys: KeyRing) -> None:
    assert reason(keys, new_token()[1]) == "unknown"
    assert reason(keys, new_token()[1][:-1]) == "malformed"
    _, secret = keys.create(["acme"], "ingest", actor="test")
    other = new_token()[0]
    forged = f"sl_{secret.reveal()[3:15]}_{other.secret}"
    assert reason(keys, f"{forged}_000000") == "malformed"


def test_an_expired_and_a_revoked_key_are_refused(keys: KeyRing, clock: Clock) -> None:
    _, brief = keys.create(["acme"], "ingest", expires=int(NOW) + HOUR, actor="test")
    key, revoked = keys.create(["acme"], "ingest", actor="test")
    clock.now += HOUR - 1
    keys.check(brief.reveal())
    clock.now += 1
    assert reason(keys, brief.reveal()) == "expired"
    keys.revoke(key.id, actor="test")
    assert reason(keys, revoked.reveal()) == "revoked"
    assert keys.in_use


def test_rotation_overlaps_and_then_ends_the_old_key(keys: KeyRing, clock: Clock) -> None:
    old, first = keys.create(["acme"], "sre", name="n", scopes=["read:content"], actor="test")
    new, second = keys.rotate(old.id, overlap_seconds=HOUR, actor="test")
    assert (new.rotated_from, new.role, new.scopes, new.name) == (old.id, "sre", ("read:content",), "n")
    assert keys.check(first.reveal()).scopes == keys.check(second.reveal()).scopes
    with pytest.raises(UnknownKeyError, match="being replaced already"):
        keys.rotate(old.id, overlap_seconds=0, actor="test")
    clock.now += HOUR
    assert reason(keys, first.reveal()) == "revoked"
    keys.check(second.reveal())


def test_revoking_a_key_in_its_overlap_ends_it_at_once(keys: KeyRing) -> None:
    old, first = keys.create(["acme"], "ingest", actor="test")
    keys.rotate(old.id, overlap_seconds=HOUR, actor="test")
    keys.revoke(old.id, actor="test")
    assert reason(keys, first.reveal()) == "revoked"


def test_an_overlap_has_an_end(keys: KeyRing) -> None:
    key, _ = keys.create(["acme"], "ingest", actor="test")
    with pytest.raises(AuthError, match="at most 30 days"):
        keys.rotate(key.id, overlap_seconds=31 * 24 * HOUR, actor="test")


def test_a_service_follows_another_process_at_its_next_look(keys: KeyRing, clock: Clock) -> None:
    with closing(StateDb(keys._state.directory)) as elsewhere:
        other = KeyRing(elsewhere, clock)
        service = Authenticator(keys)
        assert service.check(None) is ANYBODY
        key, secret = other.create(["acme"], "ingest", actor="test")
        service.refresh()
        assert service.check(f"Bearer {secret.reveal()}").tenant == "acme"
        other.revoke(key.id, actor="test")
        service.refresh()
        with pytest.raises(CredentialError, match="revoked"):
            service.check(f"bearer  {secret.reveal()} ")
        with pytest.raises(CredentialError, match="send an API key"):
            service.check(None)
        assert service.failures == {"revoked": 1, "missing": 1}


def test_the_last_use_is_written_down_when_asked(keys: KeyRing, clock: Clock) -> None:
    _, secret = keys.create(["acme"], "ingest", actor="test")
    keys.check(secret.reveal())
    assert [key.last_used for key in keys.list()] == [None]
    clock.now += 5
    keys.check(secret.reveal())
    keys.flush_last_used()
    assert [key.last_used for key in keys.list()] == [int(NOW) + 5]


@pytest.mark.parametrize(
    ("tenants", "role", "scopes", "words"),
    [
        ([], "ingest", [], "needs a tenant"),
        ([""], "ingest", [], "cannot name a tenant"),
        (["a\x1fb"], "gateway", [], "control character"),
        (["*", "a"], "gateway", [], "all tenants already"),
        (["a", "b"], "engineer", [], "has one tenant"),
        (["a"], "king", [], "no role 'king'; known are ingest"),
        (["a"], "engineer", ["read:everything"], "no scope 'read:everything'"),
        (["a", "b"], "gateway", ["read:metrics"], "only sends"),
    ],
)
def test_keys_that_make_no_sense_are_not_made(
    keys: KeyRing, tenants: list[str], role: str, scopes: list[str], words: str
) -> None:
    with pytest.raises(AuthError, match=words):
        keys.create(tenants, role, scopes=scopes, actor="test")  # type: ignore[arg-type] # on purpose
    assert not keys.in_use


def test_who_is_bound_to_a_tenant_has_no_scope_over_the_service(keys: KeyRing) -> None:
    bound, every = (keys.create([tenant], "admin", actor="t")[1].reveal() for tenant in ("acme", "*"))
    assert keys.check(bound).tenant == "acme"
    assert keys.check(every).tenant is None
    assert keys.check(every).scopes - keys.check(bound).scopes == {"ops:read", "admin:keys", "admin:data"}
    assert "read:content" not in keys.check(every).scopes


def test_keys_without_their_pepper_are_an_error_that_says_so(state: StateDb, keys: KeyRing) -> None:
    keys.create(["acme"], "ingest", actor="test")
    pepper = state.directory / "pepper"
    pepper.unlink()
    with pytest.raises(StateError, match=r"pepper is gone.*restore it from a backup"):
        KeyRing(state)
    pepper.write_bytes(b"short")
    with pytest.raises(StateError, match="damaged"):
        KeyRing(state)


def test_a_file_of_a_newer_version_or_of_something_else_is_refused(tmp_path: Path) -> None:
    StateDb(tmp_path).close()
    with closing(sqlite3.connect(tmp_path / "state.db")) as raw:
        raw.execute("PRAGMA user_version = 99")
    with pytest.raises(StateError, match="newer Spanledger"):
        StateDb(tmp_path)
    other = tmp_path / "other"
    other.mkdir()
    (other / "state.db").write_bytes(b"not a database at all" * 100)
    with pytest.raises(StateError, match="restore it from a backup"):
        StateDb(other)


def test_changes_of_keys_are_in_the_audit(keys: KeyRing) -> None:
    key, _ = keys.create(["acme"], "ingest", actor="cli ann")
    keys.rotate(key.id, overlap_seconds=0, actor="cli ann")
    keys.revoke(key.id, actor="cli bob")
    found = keys._audit.read("acme", before=2**62, limit=10)
    assert [(entry.action, entry.actor) for entry in found] == [
        ("key.revoke", "cli bob"),
        ("key.rotate", "cli ann"),
        ("key.create", "cli ann"),
    ]
    assert keys._audit.read("zeta", before=2**62, limit=10) == []
