"""Fills the panels of a board: asks their questions side by side, each with the reader's own rows."""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, Protocol

import pyarrow as pa

from spanledger_analytics import schema
from spanledger_analytics.errors import SqlRefusedError, SqlTimeoutError, SqlTooLargeError
from spanledger_analytics.ports import SpanStore
from spanledger_dashboards.boards import BOARDS
from spanledger_dashboards.page import (
    Answer,
    Choice,
    Mark,
    Panel,
    Question,
    State,
    choices_of,
    choices_sql,
    marks_of,
    marks_sql,
    panel_of,
    question_of,
)
from spanledger_dashboards.panels import Annotation, Board, PanelSpec
from spanledger_ingest.api import SqlReader
from spanledger_ingest.auth import VIEW_SCOPES, Principal
from spanledger_ingest.store import EvidenceReader, QualityReader

_AT_ONCE: Final = 4
"""As many as the store answers at a time."""
_MAX_ROWS: Final = 5_000
_TIMEOUT_S: Final = 10.0

_Rows = list[tuple[Any, ...]]


class PageStore(SpanStore, SqlReader, Protocol):
    """What pages need of a store."""

    evidence: EvidenceReader
    quality: QualityReader

    def put_rows(self, table: schema.Table, rows: pa.Table, key: Sequence[str]) -> None:
        """Write rows, replacing those of an equal key."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Filled:
    """What a board shows."""

    panels: Sequence[Panel]
    choices: Sequence[Choice]
    calls: bool
    """Whether there are any calls in the period that the reader may see."""


class _MissingScopeError(Exception):
    """The reader may not see a view."""


class BoardReader:
    """Asks the store what boards show. Nothing is kept between requests.

    Args:
        store: what is asked.
    """

    def __init__(self, store: SqlReader) -> None:
        self._store = store
        self._pool = ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="page")

    def close(self) -> None:
        """Ask no more. Idempotent."""
        self._pool.shutdown(cancel_futures=True)

    def board(self, board: Board, state: State, principal: Principal) -> Filled:
        """Return the content of a board.

        Raises:
            StoreError: the database itself is the problem.
        """
        choices = self._pool.submit(self._rows, choices_sql(board.variables, state), principal)
        marks = [(one, self._pool.submit(self._marks, one, state, principal)) for one in board.annotations]
        questions = [(spec, question_of(spec, state)) for spec in board.panels]
        asked = [(question, self._pool.submit(self._answer, spec, question, principal)) for spec, question in questions]
        found = [mark for _, future in marks for mark in future.result()]
        _, values = choices.result()
        return Filled(
            panels=[panel_of(future.result(), state, question.step, found) for question, future in asked],
            choices=choices_of(values, state),
            calls=any(name == "tenant" for name, _ in values),
        )

    def choices(self, state: State, principal: Principal) -> tuple[list[Choice], bool]:
        """Return the fields of the filters, and whether there are any calls in the period."""
        _, values = self._rows(choices_sql(BOARDS[0].variables, state), principal)
        return choices_of(values, state), any(name == "tenant" for name, _ in values)

    def latest(self, principal: Principal) -> datetime | None:
        """Return when the latest call that the reader may see began."""
        _, rows = self._rows("SELECT max(time) FROM llm_calls", principal)
        moment: datetime | None = rows[0][0]
        return moment

    def _answer(self, spec: PanelSpec, question: Question, principal: Principal) -> Answer:
        try:
            columns, rows = self._rows(question.sql, principal)
        except _MissingScopeError as error:
            return Answer(spec=spec, error=str(error))
        except SqlTimeoutError:
            return Answer(spec=spec, error="This took too long: choose a shorter time.")
        except (SqlRefusedError, SqlTooLargeError) as error:
            return Answer(spec=spec, error=f"This could not be read: {error}")
        return Answer(spec=spec, columns=columns, rows=rows)

    def _marks(self, annotation: Annotation, state: State, principal: Principal) -> list[Mark]:
        try:
            columns, rows = self._rows(marks_sql(annotation, state), principal)
        except (_MissingScopeError, SqlRefusedError, SqlTimeoutError, SqlTooLargeError):
            return []  # a chart without marks is still right
        return marks_of(annotation, columns, rows)

    def _rows(self, sql: str, principal: Principal) -> tuple[list[str], _Rows]:
        found = self._store.run_sql(
            sql, owner_scope=principal.tenant, max_rows=_MAX_ROWS, timeout_s=_TIMEOUT_S, permit=_permit(principal)
        )
        return found.column_names, rows_of(found)


def rows_of(table: pa.Table) -> _Rows:
    """Return the rows of a table as Python values."""
    return list(zip(*(column.to_pylist() for column in table.columns), strict=True))


def _permit(principal: Principal) -> Callable[[frozenset[str]], None]:
    def permit(used: frozenset[str]) -> None:
        if "span_content" in used:
            raise _MissingScopeError("Text is only shown in a trace, where each reading is recorded.")
        for view in sorted(used & VIEW_SCOPES.keys()):
            if VIEW_SCOPES[view] not in principal.scopes:
                raise _MissingScopeError(f"Your key lacks the scope {VIEW_SCOPES[view]}, which this panel takes.")

    return permit
