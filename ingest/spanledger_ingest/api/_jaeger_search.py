"""What traces are searched by."""

import re
import time
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, Final

import orjson
from fastapi import HTTPException
from pydantic import BaseModel, ConfigDict, Field

MAX_TRACES: Final = 100
HOUR_US: Final = 3_600_000_000
LAST_US: Final = 9_000_000_000_000_000

_MAX_TAGS: Final = 10
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_UNITS: Final = {
    "ns": 1e-3, "us": 1.0, "µs": 1.0, "ms": 1e3, "s": 1e6, "m": 60e6, "h": 3600e6, "d": 86_400e6, "w": 604_800e6,
}  # fmt: skip
_LENGTH: Final = re.compile(r"([0-9]{1,12}(?:\.[0-9]{1,12})?)(ns|us|µs|ms|s|m|h|d|w)")
_KEY: Final = re.compile(r'[^"\\\x00-\x1f]{1,200}')
Microseconds = Annotated[int, Field(ge=0, le=LAST_US)]


class TraceSearch(BaseModel):
    """Parameters of ``GET /jaeger/api/traces``; those of other versions of Jaeger are ignored."""

    model_config = ConfigDict(extra="ignore", frozen=True, populate_by_name=False)

    service: Annotated[str, Field(min_length=1, max_length=1_000)]
    operation: Annotated[str, Field(max_length=1_000)] = ""
    tags: Annotated[str, Field(max_length=4_000, description="JSON object")] = ""
    min_duration: Annotated[str, Field(alias="minDuration", description="such as 1.5s")] = ""
    max_duration: Annotated[str, Field(alias="maxDuration")] = ""
    limit: Annotated[int, Field(ge=1, le=1_500, description=f"at most {MAX_TRACES} are returned")] = 20
    start: Annotated[Microseconds | None, Field(description="microseconds since the epoch")] = None
    end: Microseconds | None = None
    lookback: Annotated[str, Field(description="how far before the end, without start")] = ""

    def statement(self) -> tuple[str, list[Any]]:
        """Return the SQL that finds the ids, and its values.

        Raises:
            HTTPException: a tag or a length of time cannot be meant.
        """
        start, end = self._times()
        values: list[Any] = [self.service, moment(start), moment(end)]
        conditions = ["service_name = $1", "time >= $2::TIMESTAMPTZ", "time <= $3::TIMESTAMPTZ"]

        def add(condition: str, *more: Any) -> None:
            numbers = range(len(values) + 1, len(values) + len(more) + 1)
            conditions.append(condition.format(*(f"${number}" for number in numbers)))
            values.extend(more)

        if self.operation and self.operation != "all":
            add("name = {}", self.operation)
        if self.min_duration:
            add("duration_ms >= {}::DOUBLE", length_us(self.min_duration) / 1000)
        if self.max_duration:
            add("duration_ms <= {}::DOUBLE", length_us(self.max_duration) / 1000)
        for key, value in self._tags().items():
            if key == "error":
                add("(status = 'error') = {}::BOOLEAN", value == "true")
            else:
                add("json_extract_string(attributes, {}::VARCHAR) = {}::VARCHAR", f'$."{key}"', value)
        where = " AND ".join(conditions)
        limit = min(self.limit, MAX_TRACES)
        sql = f"SELECT trace_id FROM spans WHERE {where} GROUP BY 1 ORDER BY max(time) DESC, 1 LIMIT {limit}"  # noqa: S608 - conditions of our own
        return sql, values

    def _times(self) -> tuple[int, int]:
        end = now_us() if self.end is None else self.end
        if self.start is not None:
            return self.start, end
        back = self.lookback if self.lookback not in ("", "custom") else "1h"
        return int(end - length_us(back)), end

    def _tags(self) -> dict[str, str]:
        try:
            found = orjson.loads(self.tags or "{}")
        except orjson.JSONDecodeError:
            found = None
        if not isinstance(found, dict) or len(found) > _MAX_TAGS or not all(map(_KEY.fullmatch, found)):
            example = '{"error": "true"}'
            raise HTTPException(422, f"tags are a JSON object of at most {_MAX_TAGS} plain keys, such as {example}")
        return {key: _text(value) for key, value in found.items()}


def _text(value: Any) -> str:
    return value if isinstance(value, str) else orjson.dumps(value).decode()


def now_us() -> int:
    """Return the time in microseconds since the epoch."""
    return time.time_ns() // 1000


def moment(microseconds: int) -> datetime:
    """Return a time; what is before the epoch is the epoch."""
    return _EPOCH + timedelta(microseconds=max(microseconds, 0))


def length_us(text: str) -> float:
    """Return a length of time such as ``1.5s`` or ``1m30s`` in microseconds.

    Raises:
        HTTPException: it is none.
    """
    if not text or len(text) > 50 or _LENGTH.sub("", text):
        raise HTTPException(422, "a length of time is a number and ns, us, ms, s, m, h or d, such as 1.5s")
    return sum(float(number) * _UNITS[unit] for number, unit in _LENGTH.findall(text))
