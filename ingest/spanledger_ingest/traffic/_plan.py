"""Plans the requests of one tenant in one hour: when they come, which calls they make, how each call ends."""

from collections.abc import Iterator
from math import exp
from typing import NamedTuple

from spanledger_ingest.traffic._catalogue import Fault, Finish, Model, Usage, UseCase
from spanledger_ingest.traffic._incidents import Incident
from spanledger_ingest.traffic._random import Stream
from spanledger_ingest.traffic._world import HOUR_NS, MOST_TURNS, Tenant, Workload, World

_SLOT_NS = HOUR_NS // 6
_MS = 1_000_000
_MOST_ATTEMPTS = 3
_CACHE_BLOCK = 128
_CACHE_FROM = 1024
_MOST_INPUT = 45_000  # four times this stays below the 200,000 tokens from which some models cost more
_FAULTS: tuple[Fault, ...] = ("rate_limit", "server_error", "timeout")
_FAULT_WEIGHTS = (0.55, 0.25, 0.2)
_FAULT_MS: dict[Fault, float] = {"rate_limit": 90, "server_error": 420, "timeout": 30_000}


class Attempt(NamedTuple):
    """One model call: an answer with usage, or a fault without."""

    span_id: bytes
    start_ns: int
    end_ns: int
    model: Model
    stream: bool
    fault: Fault | None
    usage: Usage
    without_incident: Usage
    """What it would have used had there been no incident; equal to ``usage`` outside of incidents."""
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
    prompt_version: str
    user_id: str
    session_id: str
    trace_id: bytes
    span_id: bytes
    start_ns: int
    end_ns: int
    failed: bool
    steps: list[Attempt | ToolRun]


def plan_hour(world: World, tenant: Tenant, hour: int) -> Iterator[Request]:
    """Yield the requests of a tenant that start in an hour and lie in the world's period, in order of start."""
    stream = Stream(world.seed, tenant.id, hour)
    for start_ns in _arrivals(stream, tenant, hour):
        request = _Planner(world, tenant, stream, hour).plan(start_ns)
        if start_ns >= world.start_ns and request.end_ns <= world.end_ns:
            yield request


def _arrivals(stream: Stream, tenant: Tenant, hour: int) -> list[int]:
    """Draw Poisson arrivals whose rate jumps every ten minutes, which makes them as uneven as real ones are."""
    per_slot = tenant.rate(hour) / 6
    sigma = tenant.archetype.burstiness
    arrivals = []
    for slot in range(6):
        # The median that gives the lognormal factor a mean of one.
        rate = per_slot * stream.lognormal(exp(-sigma * sigma / 2), sigma)
        mean_gap = _SLOT_NS / rate
        at = stream.exponential(mean_gap)
        while at < _SLOT_NS:
            arrivals.append(hour * HOUR_NS + slot * _SLOT_NS + int(at))
            at += stream.exponential(mean_gap)
    return arrivals


class _Planner:
    """Plans one request; holds what its calls share."""

    def __init__(self, world: World, tenant: Tenant, stream: Stream, hour: int) -> None:
        self._world = world
        self._tenant = tenant
        self._stream = stream
        self._hour = hour
        self._steps: list[Attempt | ToolRun] = []
        self._now = 0

    def plan(self, start_ns: int) -> Request:
        stream, tenant = self._stream, self._tenant
        workload = tenant.workloads[stream.index([load.weight for load in tenant.workloads])]
        user = int(tenant.users * stream.uniform() ** 2)
        trace_id, span_id = stream.id_bytes(16), stream.id_bytes(8)
        incident = self._incident(workload.use_case, start_ns)
        self._now = start_ns + int(stream.lognormal(4 * _MS, 0.5))
        answered = self._calls(workload, incident)
        version = (incident and incident.new_version) or workload.use_case.prompt_version
        return Request(
            tenant=tenant,
            use_case=workload.use_case,
            prompt_version=version,
            user_id=f"u-{user:04d}",
            session_id=f"s-{user:04d}-{self._hour}",
            trace_id=trace_id,
            span_id=span_id,
            start_ns=start_ns,
            end_ns=self._now + int(stream.lognormal(3 * _MS, 0.5)),
            failed=not answered,
            steps=self._steps,
        )

    def _incident(self, use_case: UseCase, at: int) -> Incident | None:
        for incident in self._world.incidents:
            if incident.onset_ns <= at < incident.end_ns and incident.concerns(self._tenant.id, use_case.name):
                return incident
        return None

    def _calls(self, workload: Workload, incident: Incident | None) -> bool:
        """Make one call, or for an agent a loop of calls and tools; tell whether the request was answered."""
        tools = workload.use_case.tools
        turns = 2 + self._stream.below(MOST_TURNS - 1) if tools else 1
        model = workload.fallback if self._stream.chance(0.12) else workload.model
        for turn in range(turns):
            if not self._attempts(workload.use_case, model, incident, turn, last=turn == turns - 1):
                return False
            if turn < turns - 1:
                self._tool(tools)
        return True

    def _attempts(self, use_case: UseCase, model: Model, incident: Incident | None, turn: int, *, last: bool) -> bool:
        """Call, and call again after a fault with a doubling pause, as applications do that retry by themselves."""
        error_rate = model.error_rate
        for attempt in range(_MOST_ATTEMPTS):
            if not self._stream.chance(error_rate):
                self._answer(use_case, model, incident, turn, last=last)
                return True
            self._fault(model)
            self._now += int(500 * _MS * 2**attempt * (0.75 + 0.5 * self._stream.uniform()))
            error_rate = model.error_rate * 8  # faults come in clusters
        return False

    def _fault(self, model: Model) -> None:
        stream = self._stream
        fault = _FAULTS[stream.index(_FAULT_WEIGHTS)]
        sigma = 0.0 if fault == "timeout" else 0.4
        end = self._now + int(stream.lognormal(_FAULT_MS[fault] * _MS, sigma))
        nothing = Usage(0, 0)
        attempt = Attempt(
            span_id=stream.id_bytes(8),
            start_ns=self._now,
            end_ns=end,
            model=model,
            stream=False,
            fault=fault,
            usage=nothing,
            without_incident=nothing,
            ttft_ns=0,
            finish="stop",
            response_id="",
        )
        self._add(attempt)

    def _answer(self, use_case: UseCase, model: Model, incident: Incident | None, turn: int, *, last: bool) -> None:
        stream = self._stream
        expected, finish = self._usage(use_case, model, turn)
        usage = incident.usage(expected) if incident else expected
        ttft = int(stream.lognormal(model.ttft_ms * _MS, 0.35) * (1 + usage.input / 60_000))
        end = self._now + ttft + int(usage.output * 1_000_000_000 / model.tokens_per_second)
        attempt = Attempt(
            span_id=stream.id_bytes(8),
            start_ns=self._now,
            end_ns=end,
            model=model,
            stream=stream.chance(use_case.streams),
            fault=None,
            usage=usage,
            without_incident=expected,
            ttft_ns=ttft,
            finish=finish if last else "tool_call",
            response_id=model.provider.id_prefix + stream.id_bytes(16).hex(),
        )
        self._add(attempt)

    def _usage(self, use_case: UseCase, model: Model, turn: int) -> tuple[Usage, Finish]:
        stream = self._stream
        history = turn * 380  # an agent sends everything said so far again
        read_in = min(16 + int(stream.lognormal(use_case.input_median, 0.6)) + history, _MOST_INPUT)
        output = 1 + int(stream.lognormal(use_case.output_median, 0.7))
        finish: Finish = "content_filter" if stream.chance(0.001) else "stop"
        if use_case.max_tokens is not None and output >= use_case.max_tokens:
            output, finish = use_case.max_tokens, "length"
        cache_read, cache_write = self._cache(use_case, model, read_in, turn)
        reasoning = int(output * (0.3 + 0.5 * stream.uniform())) if model.reasons else 0
        return Usage(read_in, output, cache_read, cache_write, reasoning), finish

    def _cache(self, use_case: UseCase, model: Model, read_in: int, turn: int) -> tuple[int, int]:
        """Split the stable prefix of a long prompt into tokens read from, and written to, the provider's cache."""
        prefix = int(read_in * use_case.cacheable) // _CACHE_BLOCK * _CACHE_BLOCK
        if not prefix or read_in < _CACHE_FROM or model.cache_read_price is None:
            return 0, 0
        if turn or self._stream.chance(0.7):
            return prefix, 0
        return 0, prefix if model.cache_write_price is not None else 0

    def _tool(self, tools: tuple[str, ...]) -> None:
        stream = self._stream
        end = self._now + int(stream.lognormal(160 * _MS, 0.8))
        tool = tools[stream.below(len(tools))]
        self._add(ToolRun(stream.id_bytes(8), self._now, end, tool, "call_" + stream.id_bytes(16).hex()[:24]))

    def _add(self, step: Attempt | ToolRun) -> None:
        self._steps.append(step)
        self._now = step.end_ns
