"""The extended protocol: prepared statements and portals of one connection."""

from dataclasses import dataclass
from typing import Any, Protocol

import pyarrow as pa

from spanledger_ingest.pgwire import _messages as messages
from spanledger_ingest.pgwire import _types as types
from spanledger_ingest.pgwire._errors import LIMIT, NO_PORTAL, NO_STATEMENT, PROTOCOL, SYNTAX, WireError
from spanledger_ingest.pgwire._limits import Limits
from spanledger_ingest.pgwire._params import parameter_oids, sample_values, values_of
from spanledger_ingest.pgwire._statements import split


class Asker(Protocol):
    """Answers statements, and sends."""

    async def answer(self, statement: str, values: list[Any] | None = None) -> tuple[pa.Table | None, str]:
        """Return the rows of a statement, if it has any, and its tag."""
        ...

    async def columns(self, statement: str, values: list[Any]) -> pa.Schema | None:
        """Return the columns of a statement's rows, ``None`` if it has no rows."""
        ...

    async def send_rows(self, table: pa.Table, formats: list[int]) -> None:
        """Send rows."""
        ...

    async def send(self, data: bytes) -> None:
        """Send messages."""
        ...


@dataclass(slots=True)
class _Statement:
    sql: str
    oids: list[int]
    schema: pa.Schema | None = None
    """Columns as the client was told, once it has asked."""


@dataclass(slots=True)
class _Portal:
    statement: _Statement
    values: list[Any]
    codes: list[int]
    """Formats of the result as the client asked for them."""
    table: pa.Table | None = None
    tag: str = ""
    ran: bool = False
    sent: int = 0


class Prepared:
    """The statements and portals of a connection, and the messages about them."""

    def __init__(self, asker: Asker, limits: Limits) -> None:
        self._asker = asker
        self._limits = limits
        self._statements: dict[str, _Statement] = {}
        self._portals: dict[str, _Portal] = {}

    def end_transaction(self) -> None:
        """Forget the portals: they last as long as a transaction."""
        self._portals.clear()

    def forget_all(self) -> None:
        """Forget everything."""
        self._statements.clear()
        self._portals.clear()

    def forget(self, name: str) -> None:
        """Forget a statement, or all."""
        if name.lower() == "all":
            self._statements.clear()
        else:
            self._statements.pop(name, None)

    async def parse(self, body: messages.Body) -> None:
        """Take a statement.

        Raises:
            WireError: it is malformed or one too many.
        """
        name, text = body.text(), body.text()
        given = [body.oid() for _ in range(body.count())]
        body.end()
        statements = split(text)
        if len(statements) > 1:
            raise WireError(SYNTAX, "a prepared statement is one statement")
        if name and name not in self._statements and len(self._statements) >= self._limits.statements:
            raise WireError(LIMIT, f"a connection has at most {self._limits.statements} prepared statements")
        if name and name in self._statements:
            raise WireError("42P05", f"there is a prepared statement {name!r} already")
        sql = statements[0] if statements else ""
        self._statements[name] = _Statement(sql, parameter_oids(sql, given))
        await self._asker.send(messages.PARSE_COMPLETE)

    async def bind(self, body: messages.Body) -> None:
        """Make a portal of a statement and values.

        Raises:
            WireError: there is no such statement, or the values do not fit.
        """
        name, statement = body.text(), self._statement(body.text())
        formats = [body.int16() for _ in range(body.count())]
        sent = [body.value() for _ in range(body.count())]
        codes = [body.int16() for _ in range(body.count())]
        body.end()
        if not {0, 1}.issuperset(codes):
            raise WireError(PROTOCOL, "a format is neither text nor binary")
        if name not in self._portals and len(self._portals) >= self._limits.portals:
            raise WireError(LIMIT, f"a connection has at most {self._limits.portals} open portals")
        if name and name in self._portals:
            raise WireError("42P03", f"there is a portal {name!r} already")
        self._portals[name] = _Portal(statement, values_of(statement.oids, formats, sent), codes)
        await self._asker.send(messages.BIND_COMPLETE)

    async def describe(self, body: messages.Body) -> None:
        """Tell of what a statement or portal takes and gives.

        Raises:
            WireError: there is none of that name, or it fails.
        """
        kind, name = body.take(1), body.text()
        body.end()
        if kind == b"S":
            statement = self._statement(name)
            await self._asker.send(messages.parameter_description(statement.oids))
            if statement.sql:
                statement.schema = await self._asker.columns(statement.sql, sample_values(statement.oids))
            await self._describe_rows(statement.schema, [])
            return
        portal = self._portal(name)
        await self._run(portal)
        await self._describe_rows(None if portal.table is None else portal.table.schema, portal.codes)

    async def _describe_rows(self, schema: pa.Schema | None, codes: list[int]) -> None:
        if schema is None:
            await self._asker.send(messages.NO_DATA)
            return
        described = types.fields(schema)
        await self._asker.send(messages.row_description(described, types.formats_for(codes, len(described))))

    async def execute(self, body: messages.Body) -> None:
        """Send the rows of a portal, at most as many as asked for.

        Raises:
            WireError: there is none of that name, or it fails.
        """
        portal, most = self._portal(body.text()), body.int32()
        body.end()
        if not portal.statement.sql:
            await self._asker.send(messages.EMPTY)
            return
        await self._run(portal)
        if portal.table is None:
            await self._asker.send(messages.complete(portal.tag))
            return
        left = portal.table.num_rows - portal.sent
        count = min(left, most) if most > 0 else left
        formats = types.formats_for(portal.codes, portal.table.num_columns)
        await self._asker.send_rows(portal.table.slice(portal.sent, count), formats)
        portal.sent += count
        await self._asker.send(messages.SUSPENDED if count < left else messages.complete(_tag(portal.tag, count)))

    async def close(self, body: messages.Body) -> None:
        """Forget a statement or portal; one that is not there is no mistake.

        Raises:
            WireError: it is neither.
        """
        kind, name = body.take(1), body.text()
        body.end()
        if kind not in (b"S", b"P"):
            raise WireError(PROTOCOL, "only statements and portals can be closed")
        (self._statements if kind == b"S" else self._portals).pop(name, None)
        await self._asker.send(messages.CLOSE_COMPLETE)

    async def _run(self, portal: _Portal) -> None:
        if portal.ran or not portal.statement.sql:
            return
        portal.table, portal.tag = await self._asker.answer(portal.statement.sql, portal.values)
        portal.ran = True
        if portal.table is not None and portal.statement.schema is not None:
            portal.table = _as_told(portal.table, portal.statement.schema)

    def _statement(self, name: str) -> _Statement:
        found = self._statements.get(name)
        if found is None:
            raise WireError(NO_STATEMENT, f"there is no prepared statement {name!r}")
        return found

    def _portal(self, name: str) -> _Portal:
        found = self._portals.get(name)
        if found is None:
            raise WireError(NO_PORTAL, f"there is no portal {name!r}")
        return found


def _tag(tag: str, count: int) -> str:
    return f"SELECT {count}" if tag.startswith("SELECT") else tag


def _as_told(table: pa.Table, schema: pa.Schema) -> pa.Table:
    """Give columns the types that were told while the values were not known yet."""
    told, found = types.fields(schema), types.fields(table.schema)
    columns = list(table.columns)
    try:
        for at, column in enumerate(columns):
            if told[at].oid != found[at].oid:
                type_ = schema.field(at).type
                columns[at] = column.cast(pa.string() if pa.types.is_null(type_) else type_)
        return pa.table(columns, names=table.schema.names)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError, ValueError) as error:
        message = f"the types of the result depend on the values; cast the parameters, as in $1::bigint ({error})"
        raise WireError("42P18", message) from None
