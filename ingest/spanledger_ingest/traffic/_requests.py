"""Requests and calls as objects, one by one, for those who write them one by one."""

from collections.abc import Iterator
from dataclasses import fields
from typing import Final, NamedTuple, TypeVar

from spanledger_ingest.traffic._catalogue import MODELS, USE_CASES, Fault, Finish, Model, Usage, UseCase
from spanledger_ingest.traffic._draws import mix
from spanledger_ingest.traffic._lexicon import NEVER, REGIONS
from spanledger_ingest.traffic._rows import NO_FAULT, NO_TOOL, Calls, Requests, Traffic
from spanledger_ingest.traffic._served import SERVED
from spanledger_ingest.traffic._world import Tenant, World

FAULTS: Final[tuple[Fault, ...]] = ("rate_limit", "server_error", "timeout")
FINISHES: Final[tuple[Finish, ...]] = ("stop", "length", "tool_call", "content_filter")
RESPONSE_SALTS: Final = (5, 6)
_TOOL_SALTS: Final = (7, 8, 9)


class Attempt(NamedTuple):
    """One model call: an answer with usage, or a fault without."""

    span_id: bytes
    start_ns: int
    end_ns: int
    model: Model
    served: str
    max_tokens: int | None
    stream: bool
    fault: Fault | None
    usage: Usage
    ttft_ns: int
    finish: Finish
    response_id: str


class ToolRun(NamedTuple):
    """A tool that an agent executed between two model calls."""

    span_id: bytes
    start_ns: int
    end_ns: int
    tool: str
    call_id: str


class Request(NamedTuple):
    """One HTTP request to an application, and the calls it caused."""

    tenant: Tenant
    use_case: UseCase
    region: str
    prompt_version: str
    user_id: str
    session_id: str
    trace_id: bytes
    span_id: bytes
    start_ns: int
    end_ns: int
    failed: bool
    steps: list[Attempt | ToolRun]


def user_id(number: int) -> str:
    """Return the name of a user of a tenant."""
    return f"u-{number:04d}"


def session_id(user: int, hour: int) -> str:
    """Return the name of what a user does in an hour."""
    return f"s-{user:04d}-{hour}"


def requests(world: World, traffic: Traffic) -> Iterator[Request]:
    """Yield the requests of some traffic, in its order."""
    steps = _steps(world, traffic)
    rows, case = _listed(traffic.requests), world.lexicon.case[traffic.requests.load].tolist()
    for place, start_us in enumerate(rows.start_us):
        user = rows.user[place]
        yield Request(
            tenant=world.tenants[rows.tenant[place]],
            use_case=USE_CASES[case[place]],
            region=REGIONS[rows.region[place]],
            prompt_version=f"v{rows.version[place]}",
            user_id=user_id(user),
            session_id=session_id(user, rows.hour[place]),
            trace_id=_bytes(rows.trace_high[place]) + _bytes(rows.trace_low[place]),
            span_id=_bytes(rows.span[place]),
            start_ns=start_us * 1000,
            end_ns=rows.end_us[place] * 1000,
            failed=rows.failed[place],
            steps=steps[place],
        )


def _steps(world: World, traffic: Traffic) -> list[list[Attempt | ToolRun]]:
    steps: list[list[Attempt | ToolRun]] = [[] for _ in range(len(traffic.requests.tenant))]
    rows = _listed(traffic.calls)
    responses = [mix(traffic.calls.span, salt).tolist() for salt in RESPONSE_SALTS]
    tools = [mix(traffic.calls.span, salt).tolist() for salt in _TOOL_SALTS]
    names = [USE_CASES[case].tools for case in world.lexicon.case[traffic.requests.load].tolist()]
    for place, request in enumerate(rows.request):
        answer = f"{responses[0][place]:016x}{responses[1][place]:016x}"
        steps[request].append(_attempt(rows, place, answer))
        if rows.tool[place] != NO_TOOL:
            steps[request].append(
                ToolRun(
                    span_id=_bytes(tools[0][place]),
                    start_ns=rows.end_us[place] * 1000,
                    end_ns=(rows.end_us[place] + rows.tool_us[place]) * 1000,
                    tool=names[request][rows.tool[place]],
                    call_id=f"call_{tools[1][place]:016x}{tools[2][place]:016x}"[:29],
                )
            )
    return steps


def _attempt(rows: Calls, place: int, answer: str) -> Attempt:
    model, fault, limit = MODELS[rows.model[place]], rows.fault[place], rows.limit[place]
    usage = Usage(
        rows.input[place], rows.output[place], rows.cache_read[place], rows.cache_write[place], rows.reasoning[place]
    )
    return Attempt(
        span_id=_bytes(rows.span[place]),
        start_ns=rows.start_us[place] * 1000,
        end_ns=rows.end_us[place] * 1000,
        model=model,
        served=SERVED[rows.served[place]].name,
        max_tokens=None if limit == NEVER else limit,
        stream=rows.stream[place],
        fault=None if fault == NO_FAULT else FAULTS[fault],
        usage=usage,
        ttft_ns=rows.ttft_us[place] * 1000,
        finish=FINISHES[rows.finish[place]],
        response_id="" if fault != NO_FAULT else model.provider.id_prefix + answer,
    )


def _bytes(word: int) -> bytes:
    return word.to_bytes(8, "big")


_Rows = TypeVar("_Rows", Requests, Calls)


def _listed(rows: _Rows) -> _Rows:
    """Return the columns as lists of Python numbers: columns are read one by one here."""
    return type(rows)(**{field.name: getattr(rows, field.name).tolist() for field in fields(rows)})
