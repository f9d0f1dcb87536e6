"""Labels: what people say of answers, kept beside the scores."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, Literal, Protocol, TypeAlias

import pyarrow as pa

from spanledger_analytics import rows, schema
from spanledger_ingest.errors import IngestError
from spanledger_ingest.store import QualityReader

Source: TypeAlias = Literal["end_user", "reviewer", "judge"]
_KEY: Final = ("owner", "trace_id", "span_id", "name", "source", "author")


class LabelStore(Protocol):
    """Where labels are kept."""

    quality: QualityReader

    def put_rows(self, table: schema.Table, rows: pa.Table, key: Sequence[str]) -> None:
        """Write rows, replacing those of an equal key."""
        ...


class UnknownCallError(IngestError):
    """There is no such call among those the caller may see."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Label:
    """``pass`` or ``fail`` under the name of a score. Thumbs of end users are kept apart from judgements."""

    trace_id: str
    span_id: str
    name: str
    label: Literal["pass", "fail"]
    source: Source
    reason: str = ""
    author: str = ""
    weight: float = 1.0


def save_label(store: LabelStore, label: Label, owner: str | None, wall: Callable[[], int] = time.time_ns) -> None:
    """Keep a label; the same author's earlier one of the same score makes place.

    Raises:
        UnknownCallError: there is no such call in the scope of ``owner``.
    """
    found = store.quality.owner_of(label.trace_id, label.span_id, owner).to_pylist()
    if len(found) != 1:
        raise UnknownCallError("there is no model call of this trace and span")
    call, now = found[0], wall()
    row = (
        call["owner"],
        now,
        now // 1000,
        label.trace_id,
        label.span_id,
        call["tenant_id"],
        label.name,
        label.label,
        label.source,
        label.reason,
        label.author,
        label.weight,
    )
    store.put_rows(schema.LABELS, rows.table_of(schema.LABELS, [row]), _KEY)
