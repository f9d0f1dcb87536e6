"""The leaf table: what calls of one minute and one combination of dimensions add up to.

Every measure is a whole number, logarithms included (thousandths, rounded per call), so that sums are exact: the same
calls give the same cells in whatever order, batches or duplicates they arrived, and so the same findings bit by bit.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from hashlib import blake2b
from typing import Any, Final, NamedTuple, TypeAlias

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

Ints: TypeAlias = NDArray[np.int64]
Reals: TypeAlias = NDArray[np.float64]
Flags: TypeAlias = NDArray[np.bool_]

MINUTE_NS: Final = 60_000_000_000
RETRY_NS: Final = 5 * MINUTE_NS
"""A call is a retry if the one before it failed at most so long ago."""
LATENCY_OFFSET: Final = 50
"""Tokens that a model could have written before its first one: time per ``tokens + offset`` is nearly constant."""
LOG_UNIT: Final = 1000
"""Logarithms are kept in thousandths."""


class Leaf(NamedTuple):
    """The finest combination of dimensions that is told apart. Unknown ones are empty."""

    owner: str = ""
    tenant: str = ""
    model: str = ""
    provider: str = ""
    use_case: str = ""
    region: str = ""


USERS: Final = 8
"""Users are told apart by hash into so many buckets: enough to see that one of them causes a rise."""
USER_BUCKETS: Final = tuple(f"user_{number}" for number in range(USERS))
MEASURES: Final = (
    "calls",
    "errors",
    "retries",
    "length",
    "filtered",
    "answers",
    "input",
    "output",
    "cached",
    "cache_hits",
    "log_input",
    "log_input_2",
    "log_output",
    "log_output_2",
    "timed",
    "log_time",
    "log_time_2",
    "first_tokens",
    "log_first",
    "log_first_2",
    "priced",
    "cost",
    "priced_plain",
    "priced_cached",
    "priced_written",
    "priced_output",
    *USER_BUCKETS,
)
"""Columns of :attr:`Cells.values`. ``answers`` counts calls with usage, ``timed`` successful calls with a duration,
``priced`` calls with a cost, ``cost`` is in nano-USD; ``priced_*`` are tokens of priced calls by price class."""
AT: Final[Mapping[str, int]] = {name: place for place, name in enumerate(MEASURES)}

FACETS: Final = ("served", "finish", "prompt", "error")
"""What is counted beside the leaves: the model that answered, finish reasons, prompt versions, types of error."""


@dataclass(frozen=True, slots=True, eq=False)
class Cells:
    """Sparse cells, sorted by minute and leaf; one for each pair that has calls."""

    leaves: tuple[Leaf, ...]
    minute: Ints
    """Since the epoch."""
    leaf: Ints
    """Position in ``leaves``."""
    values: Ints
    """One row for each cell, columns as in :data:`MEASURES`."""
    facets: "Facets"

    @classmethod
    def empty(cls) -> "Cells":
        """Return no cells."""
        nothing = np.empty(0, np.int64)
        return cls((), nothing, nothing, np.empty((0, len(MEASURES)), np.int64), Facets.empty())

    def __len__(self) -> int:
        return len(self.minute)

    def between(self, start: int, end: int) -> "Cells":
        """Return the cells of the minutes ``[start, end)``."""
        low, high = np.searchsorted(self.minute, (start, end))
        return Cells(
            self.leaves,
            self.minute[low:high],
            self.leaf[low:high],
            self.values[low:high],
            self.facets.between(start, end),
        )

    def compact(self) -> "Cells":
        """Return the same cells, without leaves that have none."""
        used, places = np.unique(self.leaf, return_inverse=True)
        if len(used) == len(self.leaves):
            return self
        facets = replace(self.facets, leaf=np.searchsorted(used, self.facets.leaf))
        return replace(
            self, leaves=tuple(self.leaves[place] for place in used), leaf=places.astype(np.int64), facets=facets
        )

    def without(self, minutes: Iterable[tuple[str, int]]) -> "Cells":
        """Return the cells but those of the ``(owner, minute)`` pairs."""
        owners = [leaf.owner for leaf in self.leaves]
        gone = set(minutes)
        minute, leaf, values = _kept(owners, gone, self.leaf, (self.minute, self.leaf, self.values))
        return Cells(self.leaves, minute, leaf, values, self.facets.without(owners, gone))


@dataclass(frozen=True, slots=True, eq=False)
class Facets:
    """Calls by minute, leaf and one further property."""

    minute: Ints
    leaf: Ints
    kind: Ints
    """Position in :data:`FACETS`."""
    text: tuple[str, ...]
    calls: Ints

    @classmethod
    def empty(cls) -> "Facets":
        """Return none."""
        nothing = np.empty(0, np.int64)
        return cls(nothing, nothing, nothing, (), nothing)

    def between(self, start: int, end: int) -> "Facets":
        """Return those of the minutes ``[start, end)``."""
        low, high = (int(place) for place in np.searchsorted(self.minute, (start, end)))
        return Facets(
            self.minute[low:high],
            self.leaf[low:high],
            self.kind[low:high],
            self.text[low:high],
            self.calls[low:high],
        )

    def without(self, owners: Sequence[str], gone: set[tuple[str, int]]) -> "Facets":
        """Return those of other minutes."""
        numbers = np.arange(len(self.minute))
        minute, leaf, kind, kept, calls = _kept(
            owners, gone, self.leaf, (self.minute, self.leaf, self.kind, numbers, self.calls)
        )
        return Facets(minute, leaf, kind, tuple(self.text[place] for place in kept), calls)


def _kept(owners: Sequence[str], gone: set[tuple[str, int]], leaf: Ints, arrays: Sequence[Ints]) -> list[Ints]:
    minute = arrays[0].tolist()
    keep = [(owners[place], when) not in gone for place, when in zip(leaf.tolist(), minute, strict=True)]
    return [array[np.array(keep, bool)] for array in arrays]


def merge(parts: Sequence[Cells]) -> Cells:
    """Add cells up. Associative and commutative, except for the order of ``leaves``, which is sorted."""
    leaves = tuple(sorted({leaf for part in parts for leaf in part.leaves}))
    place = {leaf: number for number, leaf in enumerate(leaves)}
    maps = [np.array([place[leaf] for leaf in part.leaves], np.int64) for part in parts]
    minute = _joined([part.minute for part in parts])
    leaf = _joined([mapped[part.leaf] for mapped, part in zip(maps, parts, strict=True)])
    values = np.concatenate([part.values for part in parts]) if parts else Cells.empty().values
    (minute, leaf), values = _summed((minute, leaf), values)
    return Cells(leaves, minute, leaf, values, _merged_facets(parts, maps))


def _joined(arrays: Sequence[Ints]) -> Ints:
    return np.concatenate(arrays) if arrays else np.empty(0, np.int64)


def _summed(keys: tuple[Ints, ...], values: Ints) -> tuple[tuple[Ints, ...], Ints]:
    """Sort by the keys and add up the rows of equal ones."""
    if not len(values):
        return keys, values
    order = np.lexsort(keys[::-1])
    keys = tuple(key[order] for key in keys)
    changed = np.zeros(len(order), bool)
    changed[0] = True
    for key in keys:
        changed[1:] |= key[1:] != key[:-1]
    starts = np.flatnonzero(changed)
    return tuple(key[starts] for key in keys), np.add.reduceat(values[order], starts, axis=0)


def _merged_facets(parts: Sequence[Cells], maps: Sequence[Ints]) -> Facets:
    texts = sorted({text for part in parts for text in part.facets.text})
    number = {text: place for place, text in enumerate(texts)}
    found = [part.facets for part in parts]
    keys = (
        _joined([one.minute for one in found]),
        _joined([mapped[one.leaf] for mapped, one in zip(maps, found, strict=True)]),
        _joined([one.kind for one in found]),
        _joined([np.array([number[text] for text in one.text], np.int64) for one in found]),
    )
    (minute, leaf, kind, text), counts = _summed(keys, _joined([one.calls for one in found]))
    return Facets(minute, leaf, kind, tuple(texts[place] for place in text), counts)


CALL_COLUMNS: Final = (
    "owner",
    "start_ns",
    *("tenant_id", "model", "provider", "use_case", "region", "user_id"),
    *("status", "error_type", "finish_reason", "trace_id", "parent_span_id"),
    *("input_tokens", "output_tokens", "cache_read_tokens", "cache_write_tokens"),
    *("cost_usd", "duration_ms", "ttft_ms", "response_model", "prompt_name", "prompt_version"),
)
"""What :func:`cells_of` reads; a column that is missing counts as unknown everywhere."""


def cells_of(calls: pa.Table) -> Cells:
    """Add up calls, one row each, with the columns of ``llm_calls`` (:data:`CALL_COLUMNS`).

    A call that comes within five minutes after one that failed, in the same place of the same trace and for the same
    model, counts as a retry. ``cost_nano`` may stand in for ``cost_usd``.
    """
    column = _Columns(calls)
    keys, leaf = _numbered([column.coded(name) for name in ("owner", "tenant_id", *_LEAF_COLUMNS)])
    minute = column.numbers("start_ns", 0)[0] // MINUTE_NS
    (found_minute, found_leaf), values = _summed((minute, leaf), _measures(column))
    part = Cells(tuple(Leaf(*key) for key in keys), found_minute, found_leaf, values, _facets_of(column, minute, leaf))
    return merge([part])


_LEAF_COLUMNS: Final = ("model", "provider", "use_case", "region")
Coded: TypeAlias = tuple[Ints, list[str]]
"""Numbers of words, and the words."""


def _numbered(columns: Sequence[Coded]) -> tuple[list[tuple[str, ...]], Ints]:
    """Number the different rows."""
    table = np.stack([codes for codes, _ in columns], axis=1)
    rows, places = np.unique(table, axis=0, return_inverse=True)
    keys = [tuple(words[code] for code, (_, words) in zip(row, columns, strict=True)) for row in rows.tolist()]
    return keys, places.reshape(-1).astype(np.int64)


class _Columns:
    """Columns of a table of calls, with the unknown told apart."""

    def __init__(self, calls: pa.Table) -> None:
        self._calls = calls

    def coded(self, name: str) -> Coded:
        """Return a column of texts; the unknown are empty."""
        if name not in self._calls.column_names:
            return np.zeros(self._calls.num_rows, np.int64), [""]
        found: Any = self._calls.column(name).combine_chunks()
        if not pa.types.is_dictionary(found.type):
            found = found.dictionary_encode()
        words = ["" if word is None else str(word) for word in found.dictionary.to_pylist()]
        codes = found.indices.fill_null(len(words)).to_numpy(zero_copy_only=False).astype(np.int64)
        return codes, [*words, ""]

    def equals(self, name: str, word: str) -> Flags:
        codes, texts = self.coded(name)
        return np.array([text == word for text in texts], bool)[codes]

    def numbers(self, name: str, missing: float) -> tuple[Any, Flags]:
        """Return the values, and which of them are known."""
        if name not in self._calls.column_names:
            return np.full(self._calls.num_rows, missing), np.zeros(self._calls.num_rows, bool)
        found: Any = self._calls.column(name).combine_chunks()
        known = found.is_valid().to_numpy(zero_copy_only=False)
        return found.fill_null(missing).to_numpy(zero_copy_only=False), known

    def retries(self, failed: Flags) -> Flags:
        """Tell which calls come right after one that failed: same place of the same trace, same model."""
        keys = [self.coded(name)[0] for name in ("owner", "trace_id", "parent_span_id", "model")]
        start = self.numbers("start_ns", 0)[0].astype(np.int64)
        order = np.lexsort((start, *keys[::-1]))
        gap = start[order][1:] - start[order][:-1]
        same = (gap > 0) & (gap <= RETRY_NS)
        for key in keys:
            same &= key[order][1:] == key[order][:-1]
        found = np.zeros(len(failed), bool)
        found[order[1:]] = same & failed[order][:-1]
        return found

    def cost(self) -> tuple[Ints, Flags]:
        """Return nano-USD."""
        if "cost_nano" in self._calls.column_names or "cost_usd" not in self._calls.column_names:
            value, known = self.numbers("cost_nano", 0)
            return value.astype(np.int64), known
        column = self._calls.column("cost_usd").to_pylist()
        nano = [0 if value is None else int(value * 1_000_000_000) for value in column]
        return np.array(nano, np.int64), np.array([value is not None for value in column], bool)


@lru_cache(100_000)
def user_bucket(user: str) -> int:
    """Return the bucket of a user, -1 for an unknown one."""
    return blake2b(user.encode(), digest_size=1).digest()[0] % USERS if user else -1


def log_units(value: Any) -> Ints:
    """Return logarithms in thousandths, rounded; 0 for what has none."""
    with np.errstate(divide="ignore", invalid="ignore"):
        logs = np.where(np.asarray(value, np.float64) > 0, np.log(np.maximum(value, 1e-9)), 0.0)
    return np.asarray(np.rint(logs * LOG_UNIT), np.int64)


def _measures(column: _Columns) -> Ints:
    failed = column.equals("status", "error")
    tokens = {name: column.numbers(f"{name}_tokens", 0) for name in ("input", "output", "cache_read", "cache_write")}
    known = tokens["input"][1] & tokens["output"][1] & ~failed
    given: dict[str, Any] = {
        "calls": np.ones(len(failed), np.int64),
        "errors": failed,
        "retries": column.retries(failed),
        "length": column.equals("finish_reason", "length"),
        "filtered": column.equals("finish_reason", "content_filter"),
        "answers": known,
    }
    whole = {name: np.where(known, value, 0).astype(np.int64) for name, (value, _) in tokens.items()}
    given |= {"input": whole["input"], "output": whole["output"], "cached": whole["cache_read"]}
    given |= {"cache_hits": known & (whole["cache_read"] > 0)}
    given |= _squares("input", log_units(whole["input"]), known) | _squares("output", log_units(whole["output"]), known)
    given |= _times(column, whole["output"], ~failed) | _costs(column, whole, known)
    user, names = column.coded("user_id")
    buckets = np.array([user_bucket(name) for name in names], np.int64)[user]
    given |= {name: buckets == number for number, name in enumerate(USER_BUCKETS)}
    return np.stack([np.asarray(given[name], np.int64) for name in MEASURES], axis=1)


def _squares(name: str, logs: Ints, known: Flags) -> dict[str, Ints]:
    logs = np.where(known, logs, 0)
    return {f"log_{name}": logs, f"log_{name}_2": logs * logs}


def _times(column: _Columns, output: Ints, answered: Flags) -> dict[str, Any]:
    duration, timed = column.numbers("duration_ms", 0.0)
    timed = timed & answered & (duration > 0)
    first, started = column.numbers("ttft_ms", 0.0)
    started = started & answered & (first > 0)
    return (
        {"timed": timed, "first_tokens": started}
        | _squares("time", log_units(duration / (output + LATENCY_OFFSET)), timed)
        | _squares("first", log_units(first), started)
    )


def _costs(column: _Columns, whole: Mapping[str, Ints], known: Flags) -> dict[str, Any]:
    cost, priced = column.cost()
    priced = priced & known
    plain = np.maximum(whole["input"] - whole["cache_read"] - whole["cache_write"], 0)
    classes = {
        "plain": plain,
        "cached": whole["cache_read"],
        "written": whole["cache_write"],
        "output": whole["output"],
    }
    return {"priced": priced, "cost": np.where(priced, cost, 0)} | {
        f"priced_{name}": np.where(priced, value, 0) for name, value in classes.items()
    }


def _facets_of(column: _Columns, minute: Ints, leaf: Ints) -> Facets:
    kinds = (
        column.coded("response_model"),
        column.coded("finish_reason"),
        _prompts(column),
        column.coded("error_type"),
    )
    words = sorted({word for _, texts in kinds for word in texts if word})
    number = {word: place for place, word in enumerate(words)} | {"": -1}
    rows = []
    for kind, (codes, texts) in enumerate(kinds):
        word = np.array([number[text] for text in texts], np.int64)[codes]
        there = word >= 0
        columns = (minute[there], leaf[there], np.full(there.sum(), kind), word[there])
        rows.append(np.stack(columns, axis=1).astype(np.int64))
    table = np.concatenate(rows)
    keys = (table[:, 0], table[:, 1], table[:, 2], table[:, 3])
    (when, where, found, code), counts = _summed(keys, np.ones(len(table), np.int64))
    return Facets(when, where, found, tuple(words[place] for place in code), counts)


def _prompts(column: _Columns) -> Coded:
    """Return the versions of prompts as ``name@version``."""
    keys, places = _numbered([column.coded("prompt_name"), column.coded("prompt_version")])
    return places, [f"{name}@{version}" if version else "" for name, version in keys]
