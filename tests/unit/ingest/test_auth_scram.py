"""Keys as passwords of PostgreSQL clients."""

import base64
import hashlib
import hmac
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from spanledger_ingest.auth import CredentialError, KeyRing, StateDb, proves, server_signature
from spanledger_ingest.auth._scram import ITERATIONS, verifier_of_password

NOW = 1_790_000_000


@pytest.fixture
def state(tmp_path: Path) -> Iterator[StateDb]:
    with closing(StateDb(tmp_path)) as opened:
        yield opened


def proof_of(password: str, salt: bytes, message: bytes) -> bytes:
    """What a client sends."""
    salted = hashlib.pbkdf2_hmac("sha256", password.encode(), salt, ITERATIONS)
    client_key = hmac.digest(salted, b"Client Key", "sha256")
    signature = hmac.digest(hashlib.sha256(client_key).digest(), message, "sha256")
    return bytes(a ^ b for a, b in zip(client_key, signature, strict=True))


def test_the_example_of_rfc_7677() -> None:
    salt = base64.b64decode("W22ZaJ0SNY7soEsUEjb6gQ==")
    verifier = verifier_of_password("pencil", salt)
    nonce = "rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0"
    message = f"n=user,r=rOprNGfwEbeRWgbNEkqO,r={nonce},s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096,c=biws,r={nonce}".encode()
    assert proves(verifier, message, base64.b64decode("dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ="))
    assert base64.b64encode(server_signature(verifier, message)) == b"6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4="
    assert not proves(verifier, message, b"")
    assert not proves(verifier, message, bytes(32))


def test_every_key_that_may_ask_in_sql_is_a_password_of_its_tenant(state: StateDb) -> None:
    keys = KeyRing(state, lambda: NOW)
    made = {name: keys.create([tenant], "product", actor="t") for name, tenant in (("a", "acme"), ("*", "*"))}
    keys.create(["acme"], "ingest", actor="t")
    keys.create(["acme"], "gateway", actor="t")
    second, _ = keys.rotate(made["a"][0].id, overlap_seconds=10, actor="t")
    assert keys.verifiers("acme").keys() == {made["a"][0].id, second.id}
    assert keys.verifiers("all").keys() == {made["*"][0].id}
    assert keys.verifiers("zeta") == {}
    again = KeyRing(state, lambda: NOW)  # and after a restart
    for name, user in (("a", "acme"), ("*", "all")):
        key, secret = made[name]
        proof = proof_of(secret.reveal(), again.salt(user), b"m")
        assert proves(again.verifiers(user)[key.id], b"m", proof)
        assert again.check_id(key.id).tenant == (None if user == "all" else user)


def test_an_unknown_user_has_a_salt_that_stays(state: StateDb) -> None:
    keys = KeyRing(state)
    assert keys.salt("nobody") == KeyRing(state).salt("nobody") != keys.salt("acme")
    keys.salt("\udcff")


def test_a_connection_ends_with_its_key(state: StateDb) -> None:
    moment = NOW
    keys = KeyRing(state, lambda: moment)
    key, _ = keys.create(["acme"], "product", expires=NOW + 5, actor="t")
    assert keys.check_id(key.id).tenant == "acme"
    moment += 5
    for id_ in (key.id, "nokey"):
        with pytest.raises(CredentialError):
            keys.check_id(id_)


def test_keys_from_before_there_were_verifiers_still_work_elsewhere(tmp_path: Path) -> None:
    with closing(StateDb(tmp_path)) as state:
        _, secret = KeyRing(state).create(["acme"], "product", actor="t")
    with closing(sqlite3.connect(tmp_path / "state.db")) as raw:
        raw.execute("ALTER TABLE keys DROP COLUMN scram")
        later = "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT IN ('keys', 'audit', 'quota_use')"
        for (table,) in raw.execute(later + " AND name NOT LIKE 'sqlite_%'").fetchall():
            raw.execute(f"DROP TABLE {table}")
        raw.execute("PRAGMA user_version = 1")
        raw.commit()
    with closing(StateDb(tmp_path)) as state:
        keys = KeyRing(state)
        assert keys.check(secret.reveal()).tenant == "acme"
        assert keys.verifiers("acme") == {}
