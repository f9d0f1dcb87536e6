"""Clients that do not mean well, or do not know the protocol: nothing breaks, no row of another tenant comes out."""

import os
import random
import struct
from collections.abc import Callable
from typing import Any

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from spanledger_ingest.pgwire._limits import Limits

Site = Any
Raw = Any
Connect = Callable[[Any], Any]
Code = Callable[[tuple[bytes, bytes]], str]

SECRET = "zeta-secret"
ROUNDS = int(os.environ.get("SPANLEDGER_FUZZ_ROUNDS", "1"))


def alive(site: Site) -> None:
    with site.connect("acme" if site.keys else "anyone", "acme") as connection:
        assert connection.execute("SELECT 1").fetchone() == (1,)


@pytest.mark.parametrize(
    ("first", "code"),
    [
        (b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", "08P01"),
        (struct.pack("!ii", 8, 2 << 16), "0A000"),
        (struct.pack("!ii", 4, 0), "08P01"),
        (struct.pack("!ii", -1, 3 << 16), "08P01"),
        (struct.pack("!ii", 2**31 - 1, 3 << 16), "08P01"),
        (struct.pack("!ii", 9, 3 << 16) + b"\0", "28000"),
        (struct.pack("!ii", 13, 3 << 16) + b"user\xff", "08P01"),
        (struct.pack("!ii", 12, 3 << 16) + b"\xff\xff\xff\0", "22021"),
    ],
)
def test_first_messages_that_are_none(open_door: Site, raw: Connect, sqlstate: Code, first: bytes, code: str) -> None:
    client = raw(open_door)
    client.socket.sendall(first)
    (answer,) = client.rest()
    assert sqlstate(answer) == code
    alive(open_door)


def test_encryption_is_declined_and_never_injected(open_door: Site, raw: Connect) -> None:
    client = raw(open_door)
    for code in (80877103, 80877104):
        client.socket.sendall(struct.pack("!ii", 8, code))
        assert client.exactly(1) == b"N"
    client.start(version=(3 << 16) + 2, **{"_pq_.odd": "1"})
    kinds = [kind for kind, _ in client.until(b"Z")]
    assert kinds[:2] == [b"v", b"R"]


@pytest.mark.parametrize("steps", [0, 1, 2])
def test_logins_that_go_wrong(site: Site, raw: Connect, sqlstate: Code, steps: int) -> None:
    """Garbage at every step of SCRAM, and a stranger's nonce in a well-formed one."""
    client = raw(site)
    client.start("acme")
    assert client.message()[0] == b"R"
    if steps:
        first = b"n,,n=,r=abcdefghijkl"
        client.send(b"p", b"SCRAM-SHA-256\0" + struct.pack("!i", len(first)) + first)
        assert client.message()[0] == b"R"
    if steps < 2:
        client.send(b"p", b"\xff\xfe")
    else:
        client.send(b"p", b"c=biws,r=abcdefghijklMINE,p=" + b"A" * 43 + b"=")
    (answer,) = client.rest()
    assert sqlstate(answer) == "08P01"
    alive(site)


def test_nothing_is_served_before_the_login(site: Site, raw: Connect, sqlstate: Code) -> None:
    client = raw(site)
    client.start("acme")
    client.message()
    client.send(b"Q", b"SELECT 1\0")
    (answer,) = client.rest()
    assert sqlstate(answer) == "08P01"


def test_users_that_exist_look_like_those_that_do_not(site: Site, raw: Connect) -> None:
    said = []
    for user in ("acme", "nobody"):
        client = raw(site)
        client.start(user)
        client.message()
        first = b"n,,n=,r=abcdefghijkl"
        client.send(b"p", b"SCRAM-SHA-256\0" + struct.pack("!i", len(first)) + first)
        _, challenge = client.message()
        nonce, salt, rounds = challenge[4:].split(b",")
        client.send(b"p", b"c=biws," + nonce + b",p=" + b"A" * 43 + b"=")
        said.append((len(salt), rounds, client.rest()[0][1].replace(user.encode(), b"?")))
    assert said[0] == said[1]


def test_a_cancel_needs_the_right_secret(site: Site, raw: Connect) -> None:
    with site.connect("acme") as connection:
        pid = connection.pgconn.backend_pid
        for body in (struct.pack("!II", pid, 0), b"", b"\0" * 3, struct.pack("!II", 2**32 - 1, 1)):
            client = raw(site)
            client.socket.sendall(struct.pack("!ii", len(body) + 8, 80877102) + body)
            client.rest()
        assert connection.execute("SELECT 1").fetchone() == (1,)


@pytest.mark.parametrize(
    ("kind", "body", "code"),
    [
        (b"Q", b"SELECT 1", "08P01"),
        (b"Q", b"SELECT '\xff'\0", "22021"),
        (b"Q", b"SELECT 1\0more", "08P01"),
        (b"B", b"", "08P01"),
        (b"B", b"p\0missing\0" + b"\0" * 6, "26000"),
        (b"D", b"Pmissing\0", "34000"),
        (b"D", b"Smissing\0", "26000"),
        (b"E", b"missing\0\0\0\0\0", "34000"),
        (b"C", b"X\0", "08P01"),
        (b"P", b"\0SELECT 1; SELECT 2\0\0\0", "42601"),
        (b"P", b"\0SELECT $999\0\0\0", "54023"),
        (b"P", b"\0SELECT 1\0\xff\xff", "08P01"),
        (b"Q", b";".join([b"SELECT 1"] * 33) + b"\0", "54000"),
    ],
)
def test_messages_that_make_no_sense_are_told(
    logged_in: Raw, sqlstate: Code, kind: bytes, body: bytes, code: str
) -> None:
    for _ in range(2):
        logged_in.send(kind, body)
        logged_in.send(b"S")
        answers = logged_in.until(b"Z") if kind != b"Q" else [*logged_in.until(b"Z"), *logged_in.until(b"Z")]
        assert sqlstate(answers[0]) == code
    logged_in.send(b"Q", b"SELECT 7\0")
    assert [kind for kind, _ in logged_in.until(b"Z")] == [b"T", b"D", b"C", b"Z"]


@pytest.mark.parametrize("kind", [b"F", b"d", b"p", b"\xff"])
def test_unknown_messages_end_the_connection(logged_in: Raw, sqlstate: Code, kind: bytes) -> None:
    logged_in.send(kind, b"x")
    (answer,) = logged_in.rest()
    assert sqlstate(answer) in ("0A000", "08P01")


def test_a_message_too_large_is_not_read(logged_in: Raw, sqlstate: Code) -> None:
    logged_in.socket.sendall(b"Q" + struct.pack("!i", 2**30))
    (answer,) = logged_in.rest()
    assert sqlstate(answer) == "08P01"


def test_what_a_connection_may_hold_is_limited(logged_in: Raw, sqlstate: Code) -> None:
    limits = Limits()
    for number in range(limits.statements + 1):
        logged_in.send(b"P", f"s{number}\0SELECT 1\0\0\0".encode())
    logged_in.send(b"S")
    assert [sqlstate(message) for message in logged_in.until(b"Z") if message[0] == b"E"] == ["54000"]
    for number in range(limits.portals + 1):
        logged_in.send(b"B", f"p{number}\0s0\0".encode() + b"\0" * 6)
    logged_in.send(b"S")
    assert [sqlstate(message) for message in logged_in.until(b"Z") if message[0] == b"E"] == ["54000"]


def test_portals_suspend_and_end_with_the_transaction(logged_in: Raw, sqlstate: Code) -> None:
    logged_in.send(b"Q", b"BEGIN\0")
    assert logged_in.until(b"Z")[-1][1] == b"T"
    logged_in.send(b"P", b"\0SELECT * FROM range(5)\0\0\0")
    logged_in.send(b"B", b"c\0\0" + b"\0" * 6)
    kinds = []
    for _ in range(3):
        logged_in.send(b"E", b"c\0\0\0\0\x02")
        logged_in.send(b"S")
        kinds.append(b"".join(kind for kind, _ in logged_in.until(b"Z")))
    assert kinds == [b"12DDsZ", b"DDsZ", b"DCZ"]
    logged_in.send(b"Q", b"COMMIT\0")
    logged_in.until(b"Z")
    logged_in.send(b"E", b"c\0\0\0\0\0")
    logged_in.send(b"S")
    assert sqlstate(logged_in.until(b"Z")[0]) == "34000"


ATTACKS = [
    "SELECT * FROM priv.llm_calls",
    "SELECT user_id FROM ledger.llm_calls",
    "SELECT * FROM llm_calls; SELECT * FROM priv.llm_calls",
    "BEGIN; SET search_path = priv; SELECT * FROM llm_calls; COMMIT",
    "SET search_path TO priv; SELECT user_id FROM llm_calls",
    "SELECT * FROM llm_calls WHERE tenant_id = 'zeta'",
    "SELECT * FROM llm_calls WHERE tenant_id = 'zeta' OR owner = 'zeta'",
    "WITH pg_class AS (SELECT * FROM priv.llm_calls) SELECT * FROM pg_class",
    "SELECT * FROM pg_catalog.llm_calls",
    "SELECT * FROM information_schema.tables, llm_calls",
    "SELECT * FROM pg_class, priv.llm_calls",
    "SELECT (SELECT max(user_id) FROM priv.llm_calls), version()",
    "SELECT version() FROM duckdb_tables()",
    "SELECT * FROM pg_catalog.duckdb_settings()",
    "SELECT pg_catalog.read_text('/etc/passwd')",
    "SELECT current_setting('home_directory'), getenv('PATH')",
    "SELECT * FROM '/etc/passwd', pg_class",
    "SELECT pg_read_file('/etc/passwd')",
    "SELECT lo_import('/etc/passwd')",
    "SELECT * FROM query('SELECT * FROM priv.llm_calls')",
    "SELECT dblink('x', 'y')",
    "COPY (SELECT 1) TO PROGRAM 'id'",
    "DO $$ BEGIN RAISE NOTICE 'x'; END $$",
    "SELECT $$;$$ || (SELECT max(user_id) FROM priv.llm_calls)",
    "SELECT 1 /* ; */; -- ;\nSELECT user_id FROM priv.llm_calls",
    "SELECT E'\\'; SELECT user_id FROM priv.llm_calls --'",
    "DECLARE c CURSOR FOR SELECT * FROM priv.llm_calls; FETCH ALL FROM c",
    "PREPARE p AS SELECT * FROM priv.llm_calls; EXECUTE p",
    "EXPLAIN ANALYZE SELECT * FROM priv.llm_calls",
    "SELECT set_config('search_path', 'priv', false); SELECT user_id FROM llm_calls",
    "SELECT len(range(1000000000)), version()",
    "SELECT has_table_privilege('priv.llm_calls', 'x'), (SELECT max(text) FROM span_content)",
    "SELECT $1 FROM llm_calls",
    "SELECT * FROM llm_calls WHERE owner = $1",
]


@pytest.mark.parametrize("sql", ATTACKS)
def test_no_row_of_another_tenant_comes_out(site: Site, sql: str) -> None:
    with site.connect("acme") as connection:
        found: list[Any] = []
        try:
            cursor = connection.execute(sql)
            found = [cursor.fetchall()] if cursor.description else []
            while cursor.nextset():
                found += [cursor.fetchall()] if cursor.description else []
        except psycopg.Error as error:
            found.append(str(error))
        assert SECRET not in repr(found)
        assert "root:" not in repr(found)
        rows = connection.execute("SELECT DISTINCT tenant_id FROM llm_calls").fetchall()
        assert rows == [("acme",)]
        if "$1" not in sql:
            sql = sql.replace("'zeta'", "%s")
        try:
            found = connection.execute(sql, ["zeta"] * sql.count("%s") or None, prepare=True).fetchall()
        except psycopg.Error as error:
            found = [str(error)]
        assert SECRET not in repr(found)


@given(parts=st.lists(st.binary(max_size=80), min_size=1, max_size=6), inside=st.booleans())
@settings(
    max_examples=60 * ROUNDS, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture], database=None
)
def test_random_bytes_break_nothing(
    site: Site, open_door: Site, raw: Connect, parts: list[bytes], *, inside: bool
) -> None:
    client = raw(open_door if inside else site)
    if inside:
        client.start()
        client.until(b"Z")
    try:
        client.socket.sendall(b"".join(parts))
        client.socket.shutdown(1)
        client.rest()
    except OSError:
        return  # the server hung up first


def test_mutated_conversations_break_nothing(site: Site, open_door: Site, raw: Connect) -> None:
    """A sound conversation with bytes changed, left out and doubled: every answer is a message, and others go on."""
    chance = random.Random(4)  # noqa: S311 - a seed, so that a failure comes again
    sound = [
        (b"P", b"s\0SELECT $1::int, user_id FROM llm_calls LIMIT 3\0\0\0"),
        (b"D", b"Ss\0"),
        (b"B", b"p\0s\0\0\0\0\x01\0\0\0\x017\0\0"),
        (b"D", b"Pp\0"),
        (b"E", b"p\0\0\0\0\x02"),
        (b"C", b"Ss\0"),
        (b"Q", b"BEGIN; SELECT 1; COMMIT\0"),
        (b"H", b""),
        (b"S", b""),
    ]
    for _ in range(80 * ROUNDS):
        client = raw(open_door)
        client.start()
        client.until(b"Z")
        data = bytearray(b"".join(kind + struct.pack("!i", len(body) + 4) + body for kind, body in sound))
        for _ in range(chance.randint(1, 4)):
            at = chance.randrange(len(data))
            data[at : at + chance.randint(0, 2)] = bytes(chance.randrange(256) for _ in range(chance.randint(0, 2)))
        try:
            client.socket.sendall(data)
            client.socket.shutdown(1)
        except OSError:
            continue
        assert all(kind in b"RSKZTDCEIN12345nstv" for kind, _ in client.rest())
        client.socket.close()
    alive(open_door)
    alive(site)
    assert open_door.metric("spanledger_pg_refused_total") >= 0
