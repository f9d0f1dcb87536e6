"""PostgreSQL's own clients against the running service."""

import asyncio
import os
import shutil
import socket
import ssl
import struct
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import UUID

import asyncpg  # type: ignore[import-untyped]  # it has no types
import psycopg
import pytest
from psycopg import errors

from spanledger_ingest.auth import Audit, KeyRing, StateDb
from spanledger_ingest.settings import ServerConfig, TlsConfig

Site = Any
"""The class of the same name in ``conftest``, which test modules cannot import."""

TYPES = """SELECT true AS flag, 7::SMALLINT AS small, -7::INTEGER AS middle, 9223372036854775807 AS large,
    1.5::FLOAT AS single, -0.1::DOUBLE AS real, 0.001000000::DECIMAL(18,9) AS money, 'ü''x' AS text,
    DATE '2026-03-03' AS day, TIMESTAMP '2026-03-03 12:00:00.5' AS naive, TIMESTAMPTZ '1969-12-31 23:59:59Z' AS moment,
    NULL AS nothing, {'a': [1, NULL]} AS json, ['x', NULL] AS list"""
WANTED = (
    True, 7, -7, 9223372036854775807, 1.5, -0.1, Decimal("0.001000000"), "ü'x", date(2026, 3, 3),
    datetime(2026, 3, 3, 12, 0, 0, 500_000),  # noqa: DTZ001 - a time without a zone
    datetime(1969, 12, 31, 23, 59, 59, tzinfo=UTC), None,
    {"a": [1, None]}, ["x", None],
)  # fmt: skip


@pytest.mark.parametrize("binary", [False, True])
def test_psycopg_reads_every_type(site: Site, *, binary: bool) -> None:
    with site.connect("acme") as connection:
        assert connection.execute(TYPES, binary=binary).fetchone() == WANTED
        assert connection.execute(TYPES, prepare=True, binary=binary).fetchone() == WANTED


@pytest.mark.parametrize("text", ["0.001000000", "10000", "-123456789.000010000", "0", "99999999999999999999.5", "0.1"])
def test_numbers_are_exact_in_binary(site: Site, text: str) -> None:
    with site.connect("acme") as connection:
        sql = f"SELECT '{text}'::DECIMAL(38,9), {text}::DECIMAL(38,9) * 10, %s::DECIMAL(38,9)"
        found = connection.execute(sql, [Decimal(text)], binary=True).fetchone()
        assert found == (Decimal(text), Decimal(text) * 10, Decimal(text))


def test_psycopg_binds_values(site: Site) -> None:
    moment = datetime(2026, 3, 3, 12, 0, 5, tzinfo=UTC)
    sql = "SELECT count(*) FROM llm_calls WHERE time >= %s AND tenant_id = %s AND input_tokens > %s AND stream = %s"
    hostile = "' OR 1=1 --"
    with site.connect("acme") as connection:
        for formats in ("%s", "%b", "%t"):
            bound = sql.replace("%s", formats)
            values = (moment, "acme", 5, False)
            assert connection.execute(bound, values).fetchone() == (16,)
            assert connection.execute(bound, (moment, hostile, 5, False)).fetchone() == (0,)
        assert connection.execute("SELECT %s::text, %s::date + 1", (hostile, date(2026, 3, 3))).fetchone() == (
            hostile,
            date(2026, 3, 4),
        )
        with connection.cursor() as cursor:
            cursor.executemany("SELECT %s::int + 1", [(1,), (2,)], returning=True)
            assert cursor.fetchone() == (2,)


def test_transactions_are_kept_as_postgresql_keeps_them(site: Site) -> None:
    with site.connect("acme", autocommit=False) as connection:
        assert connection.execute("SELECT 1").fetchone() == (1,)
        with pytest.raises(errors.UndefinedTable):
            connection.execute("SELECT * FROM nowhere")
        with pytest.raises(errors.InFailedSqlTransaction):
            connection.execute("SELECT 1")
        connection.rollback()
        assert connection.execute("SELECT 2").fetchone() == (2,)
        with connection.transaction():
            assert connection.execute("SELECT 3").fetchone() == (3,)


def test_each_user_sees_their_own_rows(site: Site) -> None:
    sql = "SELECT tenant_id, count(*) FROM llm_calls GROUP BY 1 ORDER BY 1"
    for user, rows in (("acme", [("acme", 20)]), ("zeta", [("zeta", 5)]), ("all", [("acme", 20), ("zeta", 5)])):
        with site.connect(user) as connection:
            assert connection.execute(sql).fetchall() == rows
            assert connection.execute(sql, prepare=True).fetchall() == rows
            assert connection.execute("SELECT current_user").fetchone() == (user,)


@pytest.mark.parametrize(
    ("user", "key"),
    [("acme", "zeta"), ("zeta", "acme"), ("all", "acme"), ("acme", "all"), ("nobody", "acme"), ("acme", "acme ingest")],
)
def test_a_key_is_the_password_of_its_own_tenant_only(site: Site, user: str, key: str) -> None:
    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        site.connect(user, key)


def test_a_connection_ends_with_its_key(site: Site) -> None:
    site.make("brief", "acme", "product")
    site.follow()
    with site.connect("acme", "brief") as connection:
        connection.execute("SELECT 1")
        with closing(StateDb(site.data)) as state:
            KeyRing(state).revoke(site.ids["brief"], actor="test")
        site.follow()
        with pytest.raises(psycopg.OperationalError, match="revoked"):
            connection.execute("SELECT 1")


def test_content_needs_its_scope_and_is_audited(site: Site) -> None:
    sql = "SELECT text FROM span_content"
    for user, key in (("acme", "acme"), ("acme", "acme compliance")):
        with site.connect(user, key) as connection, pytest.raises(errors.InsufficientPrivilege):
            connection.execute(sql)
    with site.connect("acme") as connection, pytest.raises(errors.InsufficientPrivilege, match="read:traces"):
        connection.execute("SELECT * FROM spans")
    with site.connect("acme", "acme content") as connection:
        assert connection.execute(sql).fetchall() == [("hi",)]
    with closing(StateDb(site.data)) as state:
        entry = Audit(state).read("acme", before=10**9, limit=1)[0]
    assert (entry.action, entry.actor) == ("content.read", f"key {site.ids['acme content']}")


@pytest.mark.parametrize(
    ("sql", "error"),
    [
        ("DROP TABLE llm_calls", errors.ReadOnlySqlTransaction),
        ("SELECT * FROM priv.llm_calls", errors.InsufficientPrivilege),
        ("SELECT read_text('/etc/passwd')", errors.InsufficientPrivilege),
        ("SELECT * FROM nowhere", errors.UndefinedTable),
        ("SELECT colour FROM llm_calls", errors.UndefinedColumn),
        ("SELEC 1", errors.SyntaxError),
        ("SET ROLE zeta", errors.InsufficientPrivilege),
        ("SET SESSION AUTHORIZATION zeta", errors.InsufficientPrivilege),
        ("SHOW colour", errors.UndefinedObject),
        ("SELECT * FROM range(200000)", errors.ProgramLimitExceeded),
        ("SELECT 'x'::INTEGER", errors.InvalidTextRepresentation),
        ("COPY llm_calls TO STDOUT", errors.ReadOnlySqlTransaction),
    ],
)
def test_failures_have_the_codes_that_clients_know(site: Site, sql: str, error: type[Exception]) -> None:
    with site.connect("acme") as connection:
        for _ in range(2):
            with pytest.raises(error):
                connection.execute(sql)
        assert connection.execute("SELECT 1").fetchone() == (1,)


def test_a_statement_is_cancelled(site: Site) -> None:
    slow = "SELECT count(*) FROM range(1000000) a, range(1000000) b WHERE a.range + b.range = 7"
    with site.connect("acme") as connection:
        timer = threading.Timer(0.3, connection.cancel_safe)
        timer.start()
        with pytest.raises(errors.QueryCanceled):
            connection.execute(slow)
        timer.join()
        assert connection.execute("SELECT 1").fetchone() == (1,)


def test_a_client_that_leaves_stops_its_statement(site: Site) -> None:
    slow = "SELECT count(*) FROM range(1000000) a, range(1000000) b WHERE a.range + b.range = 7"
    cancelled = "spanledger_pg_statements_total"
    before = site.metric(cancelled)
    connection = site.connect("acme")
    connection.pgconn.send_query(slow.encode())
    connection.pgconn.flush()
    connection.close()
    deadline = datetime.now(UTC) + timedelta(seconds=20)
    while site.metric(cancelled) == before:
        assert datetime.now(UTC) < deadline
    other = site.connect("acme")
    other.pgconn.send_query(b"SELECT repeat, range FROM range(90000), (SELECT 'x' AS repeat)")
    other.pgconn.flush()
    other.close()  # in the middle of the rows
    with site.connect("acme") as third:
        assert third.execute("SELECT 1").fetchone() == (1,)


def test_many_rows_arrive_whole(site: Site) -> None:
    with site.connect("acme") as connection:
        rows = connection.execute("SELECT range, 'text ' || range FROM range(50000)").fetchall()
    assert len(rows) == 50_000
    assert rows[-1] == (49_999, "text 49999")


def test_asyncpg_prepares_describes_and_fetches(site: Site) -> None:
    async def run() -> None:
        connection: Any = await asyncpg.connect(
            host="127.0.0.1", port=site.port, user="acme", password=site.keys["acme"], ssl=False, database="x"
        )
        try:
            row = await connection.fetchrow(TYPES)
            assert tuple(row)[:-2] == WANTED[:-2]
            sql = (
                "SELECT count(*) FROM llm_calls WHERE tenant_id = $1 AND time >= $2::timestamptz AND input_tokens > $3"
            )
            sql += "::int"
            assert await connection.fetchval(sql, "acme", datetime(2026, 3, 3, 12, 0, 5, tzinfo=UTC), 5) == 16
            assert await connection.fetchval("SELECT $1", "x") == "x"
            assert await connection.fetchval("SELECT $1::uuid::text", UUID(int=1)) == str(UUID(int=1))
            async with connection.transaction():
                numbers = [
                    record[0] async for record in connection.cursor("SELECT range FROM range(1000)", prefetch=70)
                ]
            assert numbers == list(range(1000))
            with pytest.raises(asyncpg.PostgresError):
                await connection.fetch("SELECT nothing FROM llm_calls")
            with pytest.raises(TimeoutError):
                await connection.fetch("SELECT count(*) FROM range(1000000), range(1000000)", timeout=0.3)
            await connection.reset()
            assert await connection.fetchval("SELECT 5") == 5
        finally:
            await connection.close()

    asyncio.run(run())


@pytest.fixture
def psql(site: Site) -> Callable[..., str]:
    if shutil.which("psql") is None:
        assert os.environ.get("SPANLEDGER_REQUIRE_TOOLS") != "1", "psql is missing (Debian: postgresql-client)"
        pytest.skip("psql is missing")

    def run(*commands: str) -> str:
        options = [word for command in commands for word in ("-c", command)]
        base = ["psql", "-X", "-A", "-t", "-h", "127.0.0.1", "-p", str(site.port), "-U", "acme", "-d", "spanledger"]
        done = subprocess.run(
            [*base, *options],
            env={**os.environ, "PGPASSWORD": site.keys["acme"]},
            capture_output=True,
            text=True,
            check=True,
        )
        return done.stdout + done.stderr

    return run


def test_psql_asks_and_describes(psql: Callable[..., str]) -> None:
    assert psql("SELECT tenant_id, count(*) FROM llm_calls GROUP BY 1") == "acme|20\n"
    assert "public|llm_calls|view|spanledger" in psql("\\dv")
    assert "cost_usd|numeric" in psql("\\d llm_calls")
    assert "spanledger" in psql("\\l")
    assert psql("BEGIN", "SELECT 1; SELECT 2", "COMMIT") == "BEGIN\n1\n2\nCOMMIT\n"
    assert psql("-- ping", ";", "") == ""


GRAFANA = {
    "SELECT current_setting('server_version_num')::int/100 AS version": [(1600,)],
    "SELECT extversion FROM pg_extension WHERE extname = 'timescaledb'": [],
    """SELECT quote_ident(column_name) AS "column", data_type AS "type" FROM information_schema.columns
       WHERE CASE WHEN array_length(parse_ident('scores'),1) = 2
       THEN quote_ident(table_schema) = (parse_ident('scores'))[1]
           AND quote_ident(table_name) = (parse_ident('scores'))[2]
       ELSE quote_ident(table_name) = 'scores' END AND data_type = 'double precision'""": [
        ("value", "double precision"),
        ("confidence", "double precision"),
    ],
    """SELECT CASE WHEN quote_ident(table_schema) = 'public' THEN quote_ident(table_name)
       ELSE quote_ident(table_schema) || '.' || quote_ident(table_name) END AS "table" FROM information_schema.tables
       WHERE quote_ident(table_schema) NOT IN ('information_schema', 'pg_catalog')
       AND quote_ident(table_name) = 'spans'""": [("spans",)],
    "SELECT count(*) FROM llm_calls WHERE time BETWEEN '2026-03-03T12:00:01Z' AND '2026-03-03T12:00:03.9Z'": [(3,)],
    "SELECT floor(extract(epoch from time)/300)*300 AS time, sum(input_tokens) FROM llm_calls GROUP BY 1": [
        (1772539200.0, 2000)
    ],
    "SELECT time_bucket('300.000s',time) AS time, model AS metric, sum(cost_usd) FROM llm_calls GROUP BY 1, 2": [
        (datetime(2026, 3, 3, 12, tzinfo=UTC), "gpt-5-mini", Decimal("0.020000000"))
    ],
}


@pytest.mark.parametrize("sql", GRAFANA)
def test_what_grafana_asks(site: Site, sql: str) -> None:
    with site.connect("acme") as connection:
        assert connection.execute(sql).fetchall() == GRAFANA[sql]


def test_grafana_lists_tables_by_its_search_path(site: Site) -> None:
    sql = """select quote_ident(table_name) as "table" from information_schema.tables
        where quote_ident(table_schema) not in ('information_schema', 'pg_catalog') and quote_ident(table_schema) IN (
        SELECT CASE WHEN trim(s[i]) = '"$user"' THEN user ELSE trim(s[i]) END FROM generate_series(
        array_lower(string_to_array(current_setting('search_path'),','),1),
        array_upper(string_to_array(current_setting('search_path'),','),1)) as i,
        string_to_array(current_setting('search_path'),',') s)"""
    with site.connect("acme") as connection:
        assert ("llm_calls",) in connection.execute(sql).fetchall()


def test_the_catalogue_has_views_and_nothing_else(site: Site) -> None:
    with site.connect("acme") as connection:
        tables = connection.execute("SELECT table_schema, table_name FROM information_schema.tables").fetchall()
        assert {schema for schema, _ in tables} == {"public"}
        assert {"llm_calls", "spans", "scores"} <= {name for _, name in tables}
        for sql in (
            "SELECT * FROM pg_class, llm_calls",
            "SELECT version(), getenv('HOME')",
            "SELECT * FROM pg_settings",
        ):
            with pytest.raises(psycopg.ProgrammingError):
                connection.execute(sql)


def test_without_keys_this_machine_may_read(open_door: Site) -> None:
    with open_door.connect("anyone") as connection:
        assert connection.execute("SELECT count(*) FROM llm_calls").fetchone() == (25,)


@contextmanager
def _certified(folder: Path) -> Iterator[TlsConfig]:
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), 1, now - timedelta(days=1), now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .sign(key, hashes.SHA256())
    )
    (folder / "cert.pem").write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    (folder / "key.pem").write_bytes(private)
    yield TlsConfig(cert=str(folder / "cert.pem"), key=str(folder / "key.pem"))


def test_encrypted(open_site: Callable[..., Site], tmp_path: Path) -> None:
    with _certified(tmp_path) as tls:
        site = open_site(tls=tls, server=ServerConfig(port=0, grpc_port=0))
        try:
            with site.connect(
                "acme",
                sslmode="verify-full",
                sslrootcert=str(tmp_path / "cert.pem"),
                host="localhost",
                hostaddr="127.0.0.1",
            ) as connection:
                assert connection.pgconn.ssl_in_use
                assert len(connection.execute("SELECT range FROM range(20000)").fetchall()) == 20_000

            async def run() -> None:
                context = ssl.create_default_context(cafile=str(tmp_path / "cert.pem"))
                connection: Any = await asyncpg.connect(
                    host="localhost", port=site.port, user="acme", password=site.keys["acme"], ssl=context, database="x"
                )
                assert await connection.fetchval("SELECT 5") == 5
                await connection.close()

            asyncio.run(run())
            with socket.create_connection(("127.0.0.1", site.port), 20) as client:
                # What follows the request unencrypted is never taken for encrypted.
                client.sendall(struct.pack("!ii", 8, 80877103) + struct.pack("!ii", 9, 3 << 16) + b"\0")
                said = b""
                while part := client.recv(1000):
                    said += part
            assert said.startswith(b"SE")
            assert b"08P01" in said
        finally:
            site.service.stop()
