"""Jaeger's query API, as far as Grafana's Jaeger data source asks it."""

from collections.abc import Sequence
from typing import Annotated, Any, Final

import pyarrow as pa
from fastapi import APIRouter, Path, Query, Response

from spanledger_ingest.api._auth import requires
from spanledger_ingest.api._jaeger_search import HOUR_US, LAST_US, MAX_TRACES, TraceSearch, moment, now_us
from spanledger_ingest.api._jaeger_spans import traces_of
from spanledger_ingest.api._json import json_response
from spanledger_ingest.api._openapi import PROBLEM
from spanledger_ingest.api._params import TIMEOUT_S, SqlReader
from spanledger_ingest.api._problems import problem
from spanledger_ingest.auth import Principal

Reader = Annotated[Principal, requires("read:traces")]
TraceId = Annotated[str, Path(pattern="^[0-9a-fA-F]{1,32}$", description="hexadecimal digits")]
Service = Annotated[str, Path(max_length=1_000)]

MAX_SPANS: Final = 20_000
MAX_NAMES: Final = 5_000
_SERVICES: Final = "SELECT DISTINCT service_name AS name FROM spans WHERE service_name IS NOT NULL ORDER BY 1"
_OPERATIONS: Final = "SELECT DISTINCT name FROM spans WHERE service_name = $1 ORDER BY 1"
_DEPENDENCIES: Final = """
    SELECT parent, child, count(*) AS calls FROM (
        SELECT p.service_name AS parent, c.service_name AS child FROM spans c JOIN spans p
            ON p.trace_id = c.trace_id AND p.span_id = c.parent_span_id AND p.tenant_id = c.tenant_id
            WHERE c.time >= $1::TIMESTAMPTZ AND c.time < $2::TIMESTAMPTZ AND p.service_name <> c.service_name
        UNION ALL
        SELECT service_name, provider FROM llm_calls
            WHERE billable AND time >= $1::TIMESTAMPTZ AND time < $2::TIMESTAMPTZ
    ) WHERE parent IS NOT NULL AND child IS NOT NULL GROUP BY 1, 2 ORDER BY 1, 2"""


class _Source:
    """The caller's rows."""

    def __init__(self, store: SqlReader, principal: Principal) -> None:
        self._store = store
        self._principal = principal

    def table(self, sql: str, values: Sequence[Any] = (), max_rows: int = MAX_NAMES) -> pa.Table:
        # What the route asked for covers the views: spans and the calls made of them.
        return self._store.run_sql(
            sql,
            owner_scope=self._principal.tenant,
            max_rows=max_rows,
            timeout_s=TIMEOUT_S,
            permit=lambda _: None,
            values=values,
        )

    def names(self, sql: str, values: Sequence[Any] = ()) -> list[str]:
        return [row["name"] for row in self.table(sql, values).to_pylist()]

    def traces(self, ids: Sequence[str]) -> list[dict[str, Any]]:
        """Return traces, in this order."""
        if not ids:
            return []
        places = ", ".join(f"${number}" for number in range(1, len(ids) + 1))
        where = f"WHERE trace_id IN ({places}) ORDER BY time, span_id"
        spans = self.table(f"SELECT * FROM spans {where}", ids, MAX_SPANS)  # noqa: S608 - only numbers
        calls = self.table(f"SELECT * FROM llm_calls {where}", ids, MAX_SPANS)  # noqa: S608 - only numbers
        found = {trace["traceID"]: trace for trace in traces_of(spans.to_pylist(), calls.to_pylist())}
        if spans.schema.metadata:
            for trace in found.values():
                trace["warnings"] = [f"more than {MAX_SPANS} spans were found; some are left out"]
        return [found[trace_id] for trace_id in ids if trace_id in found]


def jaeger_routes(store: SqlReader) -> APIRouter:
    """Return the routes."""
    router = APIRouter(prefix="/jaeger/api", tags=["jaeger"], responses=PROBLEM)

    @router.get("/services")
    def services(principal: Reader) -> Response:
        """Names of services; also asked to find out whether the data source works."""
        return _data(_Source(store, principal).names(_SERVICES))

    @router.get("/services/{service}/operations")
    def operations(service: Service, principal: Reader) -> Response:
        """Names of a service's spans."""
        return _data(_Source(store, principal).names(_OPERATIONS, [service]))

    @router.get("/traces")
    def search(search: Annotated[TraceSearch, Query()], principal: Reader) -> Response:
        """Traces that have such a span, the latest first."""
        source = _Source(store, principal)
        sql, values = search.statement()
        return _data(source.traces([row["trace_id"] for row in source.table(sql, values, MAX_TRACES).to_pylist()]))

    @router.get("/traces/{trace_id}")
    def trace(trace_id: TraceId, principal: Reader) -> Response:
        """One trace, with what its calls cost as tags."""
        found = _Source(store, principal).traces([trace_id.lower().rjust(32, "0")])
        if not found:
            errors = [{"code": 404, "msg": "trace not found"}]
            return problem(404, "no such trace is stored", data=None, errors=errors)
        return _data(found)

    @router.get("/dependencies")
    def dependencies(
        principal: Reader,
        end_ts: Annotated[int | None, Query(alias="endTs", ge=0, le=LAST_US // 1000, description="ms")] = None,
        lookback: Annotated[int, Query(ge=0, le=LAST_US // 1000, description="ms")] = 24 * HOUR_US // 1000,
    ) -> Response:
        """Which service called which, and which provider of models."""
        end = now_us() if end_ts is None else end_ts * 1000
        rows = _Source(store, principal).table(_DEPENDENCIES, [moment(end - lookback * 1000), moment(end)])
        found = [
            {"parent": row["parent"], "child": row["child"], "callCount": row["calls"]} for row in rows.to_pylist()
        ]
        return _data(found)

    return router


def _data(found: list[Any]) -> Response:
    return json_response({"data": found, "total": len(found), "limit": 0, "offset": 0, "errors": None})
