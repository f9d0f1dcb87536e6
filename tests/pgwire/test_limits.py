"""Limits of the listener, by a server of its own with small ones."""

import asyncio
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import psycopg
import pytest

from spanledger_ingest.auth import Audit, Authenticator, KeyRing, StateDb
from spanledger_ingest.errors import PortError
from spanledger_ingest.pgwire import Limits, PgServer
from spanledger_ingest.store import DuckDBStore

OPEN = "spanledger_pg_connections"


@contextmanager
def serving(data: Path, limits: Limits) -> Iterator[PgServer]:
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    with closing(DuckDBStore(data / "s.duckdb")) as store, closing(StateDb(data)) as state:
        server = PgServer(store, Authenticator(KeyRing(state)), Audit(state), "127.0.0.1", 0, limits=limits)
        asyncio.run_coroutine_threadsafe(server.start(), loop).result(20)
        try:
            yield server
        finally:
            asyncio.run_coroutine_threadsafe(server.stop(), loop).result(20)
            server.close()
            loop.call_soon_threadsafe(loop.stop)
            thread.join()
            loop.close()


def connect(server: PgServer, user: str = "a") -> "psycopg.Connection[Any]":
    return psycopg.connect(
        host="127.0.0.1", port=server.port, user=user, dbname="x", sslmode="disable", autocommit=True
    )


def test_connections_of_a_user_and_of_all(tmp_path: Path) -> None:
    with serving(tmp_path, Limits(connections=3, connections_per_user=2)) as server:
        first, second = connect(server), connect(server)
        with pytest.raises(psycopg.OperationalError, match="too many connections of user"):
            connect(server)
        third = connect(server, "b")
        with pytest.raises(psycopg.OperationalError, match="too many connections"):
            connect(server, "c")
        for opened in (first, second, third):
            opened.close()
        for _ in range(100):  # places are free again once the server has noticed
            try:
                connect(server).close()
            except psycopg.OperationalError:
                continue
            break
        else:
            pytest.fail("no place became free")
        samples = [sample for metric in server.metrics() for sample in metric.samples]
        refused = {labels["code"]: value for labels, value in samples if "code" in labels}
        assert refused["53300"] >= 2


def test_a_login_that_takes_too_long(tmp_path: Path) -> None:
    limits = Limits(login_seconds=0.2)
    with serving(tmp_path, limits) as server, socket.create_connection(("127.0.0.1", server.port), 20) as client:
        assert b"08006" in client.recv(1000)


def test_a_statement_that_takes_too_long(tmp_path: Path) -> None:
    with serving(tmp_path, Limits(statement_seconds=0.3)) as server, connect(server) as connection:
        with pytest.raises(psycopg.errors.QueryCanceled, match="longer than"):
            connection.execute("SELECT count(*) FROM range(1000000), range(1000000)")
        assert connection.execute("SELECT 1").fetchone() == (1,)


def test_a_client_that_does_not_read_is_cut_off(tmp_path: Path) -> None:
    with serving(tmp_path, Limits(stall_seconds=0.2)) as server:
        connection = connect(server)
        text = "x" * 400  # more in all than the buffers of two sockets take
        connection.pgconn.send_query(f"SELECT range, '{text}' || range FROM range(90000)".encode())  # noqa: S608 - as above
        connection.pgconn.flush()
        with connect(server, "b") as other:
            while any(value > 1 for metric in server.metrics() if metric.name == OPEN for _, value in metric.samples):
                assert other.execute("SELECT 1").fetchone() == (1,)
        connection.close()


def test_more_rows_than_allowed_are_no_answer(tmp_path: Path) -> None:
    with serving(tmp_path, Limits(rows=10)) as server, connect(server) as connection:
        assert len(connection.execute("SELECT * FROM range(10)").fetchall()) == 10
        with pytest.raises(psycopg.errors.ProgramLimitExceeded, match="LIMIT"):
            connection.execute("SELECT * FROM range(11)")


def test_stopping_tells_who_is_connected(tmp_path: Path) -> None:
    with serving(tmp_path, Limits()) as server:
        connection = connect(server)
    with pytest.raises(psycopg.OperationalError):
        connection.execute("SELECT 1")
    connection.close()


def test_a_port_that_is_taken(open_site: Callable[..., Any]) -> None:
    from spanledger_ingest.settings import ServerConfig

    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        with pytest.raises(PortError, match="--pg-port"):
            open_site(keys=False, server=ServerConfig(port=0, grpc_port=0, pg_port=port))
