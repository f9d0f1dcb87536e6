"""A client that has logged in: its messages, one after the other."""

from typing import TYPE_CHECKING, Any, Final

import pyarrow as pa

from spanledger_ingest.pgwire import _messages as messages
from spanledger_ingest.pgwire._answers import Answers, shown
from spanledger_ingest.pgwire._channel import Channel
from spanledger_ingest.pgwire._errors import ABORTED, PROTOCOL, UNSUPPORTED, WireError
from spanledger_ingest.pgwire._extended import Prepared
from spanledger_ingest.pgwire._limits import Limits
from spanledger_ingest.pgwire._statements import Command, Show, command_of, split
from spanledger_ingest.pgwire._types import data_rows, fields

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Mapping

BATCH_ROWS: Final = 2_000


class Session:
    """Runs the simple and the extended protocol until the client leaves."""

    def __init__(self, channel: Channel, answers: Answers, limits: Limits) -> None:
        self._channel = channel
        self._answers = answers
        self._limits = limits
        self._status = b"I"
        self._skipping = False
        self._prepared = Prepared(self, limits)
        prepared = self._prepared
        self._handlers: Mapping[bytes, Callable[[messages.Body], Coroutine[Any, Any, None]]] = {
            b"Q": self._simple,
            b"P": prepared.parse,
            b"B": prepared.bind,
            b"D": prepared.describe,
            b"E": prepared.execute,
            b"C": prepared.close,
            b"H": self._flush,
        }

    async def run(self) -> None:
        """Serve until the client says goodbye.

        Raises:
            WireError: something after which the connection cannot go on; it is to be told.
            GoneError: the client left.
        """
        await self.send(messages.ready(self._status))
        while True:
            kind = await self._channel.read(1)
            size = int(messages.INT32.unpack(await self._channel.read(4))[0])
            if not 4 <= size <= self._limits.frame_bytes:
                raise WireError(PROTOCOL, f"a message has at most {self._limits.frame_bytes} bytes", fatal=True)
            body = messages.Body(await self._channel.read(size - 4))
            if kind == b"X":
                return
            if kind == b"S":
                await self._sync()
            elif not self._skipping:
                await self._handle(kind, body)

    async def _handle(self, kind: bytes, body: messages.Body) -> None:
        handler = self._handlers.get(kind)
        if handler is None:
            code = UNSUPPORTED if kind in (b"F", b"d", b"c", b"f") else PROTOCOL
            raise WireError(code, f"messages of the kind {kind!r} are not spoken here", fatal=True)
        try:
            await handler(body)
        except WireError as error:
            if error.fatal:
                raise
            await self._failed(kind, error)

    async def _failed(self, kind: bytes, error: WireError) -> None:
        if self._status == b"T":
            self._status = b"E"
        await self.send(messages.error(error))
        if kind == b"Q":
            await self.send(messages.ready(self._status))
        else:
            self._skipping = True  # until the client synchronises

    async def _sync(self) -> None:
        self._skipping = False
        if self._status == b"I":
            self._prepared.end_transaction()
        await self.send(messages.ready(self._status))

    async def _flush(self, _: messages.Body) -> None:
        """Do nothing: everything is sent at once."""

    async def _simple(self, body: messages.Body) -> None:
        statements = split(body.text())
        body.end()
        if not statements:
            await self.send(messages.EMPTY)
        for statement in statements:
            table, tag = await self.answer(statement)
            if table is not None:
                described = fields(table.schema)
                await self.send(messages.row_description(described, [0] * len(described)))
                await self.send_rows(table, [0] * len(described))
            await self.send(messages.complete(tag))
        if self._status == b"I":
            self._prepared.end_transaction()
        await self.send(messages.ready(self._status))

    async def answer(self, statement: str, values: list[Any] | None = None) -> tuple[pa.Table | None, str]:
        """Return the rows of a statement, if it has any, and its tag.

        Raises:
            WireError: it is refused or failed.
        """
        command = command_of(statement)
        if self._status == b"E" and not (isinstance(command, Command) and command.does == "end"):
            raise WireError(ABORTED, "the transaction has failed: roll it back first")
        if isinstance(command, Command):
            return None, self._obey(command)
        if isinstance(command, Show):
            return shown(command.name), "SHOW"
        table = await self._answers.rows(statement, values or ())
        return table, f"SELECT {table.num_rows}"

    async def columns(self, statement: str, values: list[Any]) -> pa.Schema | None:
        """Return the columns of a statement's rows, ``None`` if it has no rows.

        Raises:
            WireError: it is refused or failed.
        """
        command = command_of(statement)
        if isinstance(command, Command):
            return None
        if isinstance(command, Show):
            return shown(command.name).schema
        return (await self._answers.rows(statement, values, columns_only=True)).schema

    def _obey(self, command: Command) -> str:
        if command.does == "begin":
            self._status = b"T"
        elif command.does == "end":
            failed, self._status = self._status == b"E", b"I"
            self._prepared.end_transaction()
            return "ROLLBACK" if failed else command.tag
        elif command.does == "discard":
            self._prepared.forget_all()
        elif command.does == "deallocate":
            self._prepared.forget(command.argument)
        return command.tag

    async def send_rows(self, table: pa.Table, formats: list[int]) -> None:
        """Send rows, no faster than the client takes them.

        Raises:
            WireError: a value cannot be sent.
            GoneError: the client left.
        """
        for batch in table.to_batches(max_chunksize=BATCH_ROWS):
            await self.send(await self._answers.encode(data_rows, batch, formats))

    async def send(self, data: bytes) -> None:
        """Send messages.

        Raises:
            GoneError: the client left.
        """
        await self._channel.write(data)
