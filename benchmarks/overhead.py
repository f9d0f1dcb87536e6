"""What ``import spanledger.auto`` costs an application: CPU per call, start-up, and calls while the receiver is down.

    python -m benchmarks.overhead [--rounds 20] [--calls 100] [--json]

Each variant is a process of its own that makes real calls of the openai SDK over an in-process transport (no network,
no provider), so that the differences are instrumentation and nothing else:

* ``bare``        the SDK alone
* ``official``    opentelemetry-instrumentation-genai-openai, BatchSpanProcessor, OTLP/HTTP exporter
* ``spanledger``  ``import spanledger.auto``, receiver on the loopback
* ``down``        the same, nobody listens
* ``hung``        the same, the receiver takes the connection and never answers

The processes take turns, a round each, in an order that rotates; a round is some calls and a flush, and its cost is the
CPU time of the whole process, export threads included. Figures are medians over rounds of differences *within* a round,
with the quartiles, so that a busy machine shifts both sides alike.
"""

import argparse
import json
import logging
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

MODEL = "gpt-4o-mini"
COMPLETION = {
    "id": "chatcmpl-1",
    "object": "chat.completion",
    "created": 1_700_000_000,
    "model": "gpt-4o-mini-2024-07-18",
    "choices": [
        {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "The books are balanced."}}
    ],
    "usage": {"prompt_tokens": 42, "completion_tokens": 5, "total_tokens": 47},
}
_NOISE_US = 20.0
"""A difference of medians below it is none: two processes of the same variant differ by as much."""
WORDS = ["The", " books", " are", " balanced", "."]

RSS = """
import resource, sys
try:
    with open("/proc/self/statm") as statm:
        rss_mib = int(statm.read().split()[1]) * resource.getpagesize() / 2**20
except OSError:  # no /proc on macOS, where the peak is counted in bytes
    rss_mib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (2**20 if sys.platform == "darwin" else 2**10)
"""

SDK_ALONE = (
    "import opentelemetry.sdk.trace, opentelemetry.sdk.trace.export\n"
    "from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter\n"
)
SDK_STARTED = SDK_ALONE + (
    "from opentelemetry import trace\n"
    "provider = opentelemetry.sdk.trace.TracerProvider()\n"
    "provider.add_span_processor(opentelemetry.sdk.trace.export.BatchSpanProcessor(OTLPSpanExporter()))\n"
    "trace.set_tracer_provider(provider)\n"
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the benchmark and print its table; the exit status is 1 where a goal is missed."""
    options = _parser().parse_args(arguments)
    if options.worker:
        _work(options.worker, options.endpoint)
        return 0
    report = {"calls": _measure_calls(options.rounds, options.calls), "start": _measure_start(options.starts)}
    print(json.dumps(report, indent=2) if options.json else _table(report))
    return 0 if all(goal["met"] for goal in _goals(report)) else 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description="What `import spanledger.auto` costs an application.")
    parser.add_argument("--rounds", type=int, default=20, help="rounds per variant (default 20)")
    parser.add_argument("--calls", type=int, default=100, help="calls per round (default 100)")
    parser.add_argument("--starts", type=int, default=11, help="fresh interpreters per variant (default 11)")
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument("--worker", help=argparse.SUPPRESS)
    parser.add_argument("--endpoint", help=argparse.SUPPRESS)
    return parser


# The processes under measurement.


def _work(variant: str, endpoint: str) -> None:
    """Obey the parent: one JSON request per line, one JSON answer per line, until standard input ends."""
    logging.getLogger("spanledger").setLevel(logging.ERROR)  # one line per outage, here expected
    flush = {"bare": _bare, "official": _official}.get(variant, _spanledger)(endpoint)
    client = _client()
    for line in sys.stdin:
        request = json.loads(line)
        print(json.dumps(_round(client, flush, request["calls"], stream=request["stream"])), flush=True)


def _bare(_: str) -> Callable[[], object]:
    return lambda: None


def _official(endpoint: str) -> Callable[[], object]:
    from opentelemetry import trace  # noqa: PLC0415 -- each variant loads only what is its own
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter  # noqa: PLC0415 -- same
    from opentelemetry.instrumentation.genai.openai import OpenAIInstrumentor  # noqa: PLC0415 -- same
    from opentelemetry.sdk.trace import TracerProvider  # noqa: PLC0415 -- same
    from opentelemetry.sdk.trace.export import BatchSpanProcessor  # noqa: PLC0415 -- same

    provider = TracerProvider()
    exporter = OTLPSpanExporter(f"{endpoint}/v1/traces")
    provider.add_span_processor(BatchSpanProcessor(exporter, schedule_delay_millis=1000))
    trace.set_tracer_provider(provider)
    OpenAIInstrumentor().instrument()
    return provider.force_flush


def _spanledger(endpoint: str) -> Callable[[], object]:
    os.environ["SPANLEDGER_ENDPOINT"] = endpoint
    from opentelemetry import trace  # noqa: PLC0415 -- each variant loads only what is its own

    import spanledger.auto  # noqa: F401, PLC0415 -- reads the environment when it is imported

    provider: Any = trace.get_tracer_provider()
    force_flush: Callable[[], object] = provider.force_flush
    return force_flush


def _client() -> Any:
    import httpx  # noqa: PLC0415 -- after the instrumentation, as in an application
    import openai  # noqa: PLC0415 -- same

    def answer(request: httpx.Request) -> httpx.Response:
        if json.loads(request.content).get("stream"):
            return httpx.Response(200, headers={"content-type": "text/event-stream"}, content=_events())
        return httpx.Response(200, json=COMPLETION)

    http_client = httpx.Client(transport=httpx.MockTransport(answer))
    return openai.OpenAI(api_key="sk-none", base_url="http://provider.invalid/v1", http_client=http_client)


def _events() -> bytes:
    common = {key: COMPLETION[key] for key in ("id", "created", "model")} | {"object": "chat.completion.chunk"}
    choices: list[list[dict[str, Any]]] = [
        *([{"index": 0, "delta": {"role": "assistant", "content": word}, "finish_reason": None}] for word in WORDS),
        [{"index": 0, "delta": {}, "finish_reason": "stop"}],
    ]
    chunks = [common | {"choices": choice} for choice in choices]
    chunks.append(common | {"choices": [], "usage": COMPLETION["usage"]})
    return "".join(f"data: {json.dumps(chunk)}\n\n" for chunk in chunks).encode() + b"data: [DONE]\n\n"


def _round(client: Any, flush: Callable[[], object], calls: int, *, stream: bool) -> dict[str, Any]:
    """Make some calls and flush; return CPU seconds of the process, each call's latency, and exceptions."""
    latencies, errors = [], 0
    started_cpu = time.process_time()
    for _ in range(calls):
        started = time.perf_counter()
        try:
            _call(client, stream=stream)
        except Exception:  # noqa: BLE001 -- counting what reaches the application is the measurement
            errors += 1
        latencies.append(time.perf_counter() - started)
    flush()
    cpu = time.process_time() - started_cpu
    return {"cpu": cpu, "latencies": latencies, "errors": errors, "rss_mib": _rss_mib()}


def _rss_mib() -> float:
    measured: dict[str, Any] = {}
    exec(RSS, measured)  # noqa: S102 -- our own constant, shared with the fresh interpreters
    rss: float = measured["rss_mib"]
    return rss


def _call(client: Any, *, stream: bool) -> None:
    messages = [{"role": "user", "content": "How are the books?"}]
    if stream:
        options = {"include_usage": True}
        for _ in client.chat.completions.create(model=MODEL, messages=messages, stream=True, stream_options=options):
            pass
    else:
        client.chat.completions.create(model=MODEL, messages=messages)


# Calls: CPU per call and latency.


class _Worker:
    """A variant in a process of its own."""

    def __init__(self, variant: str, endpoint: str, cache: str) -> None:
        self._variant = variant
        command = [sys.executable, __file__, "--worker", variant, "--endpoint", endpoint]
        environment = {k: v for k, v in os.environ.items() if not k.startswith(("OTEL_", "SPANLEDGER_"))}
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=environment | {"XDG_CACHE_HOME": cache},
        )

    def round(self, calls: int, *, stream: bool) -> dict[str, Any]:
        """Run one round there."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        print(json.dumps({"calls": calls, "stream": stream}), file=self._process.stdin, flush=True)
        line = self._process.stdout.readline()
        if not line:
            raise SystemExit(f"the process of {self._variant!r} died; its error stands above")
        answer: dict[str, Any] = json.loads(line)
        return answer

    def stop(self) -> None:
        """End the process."""
        self._process.communicate()


def _measure_calls(rounds: int, calls: int) -> dict[str, Any]:
    with _receiver() as up, _silent() as silent, tempfile.TemporaryDirectory() as cache:
        places = {"bare": up, "official": up, "spanledger": up, "down": _nobody(), "hung": silent}
        workers = {variant: _Worker(variant, endpoint, cache) for variant, endpoint in places.items()}
        try:
            return {
                kind: _compare(_interleave(workers, rounds, calls, stream=kind == "stream"), calls)
                for kind in ("chat", "stream")
            }
        finally:
            for worker in workers.values():
                worker.stop()


def _interleave(workers: dict[str, _Worker], rounds: int, calls: int, *, stream: bool) -> list[dict[str, Any]]:
    """Return per round what each variant answered; the first round warms up and is not kept."""
    results = []
    order = list(workers)
    for _ in range(rounds + 1):
        results.append({variant: workers[variant].round(calls, stream=stream) for variant in order})
        order = order[1:] + order[:1]
    return results[1:]


def _compare(rounds: list[dict[str, Any]], calls: int) -> dict[str, Any]:
    def added(variant: str, over: str) -> dict[str, float]:
        return _spread([(each[variant]["cpu"] - each[over]["cpu"]) / calls * 1e6 for each in rounds])

    return {
        "cpu_us": {v: _spread([each[v]["cpu"] / calls * 1e6 for each in rounds]) for v in rounds[0]},
        "official_over_bare_us": added("official", "bare"),
        "spanledger_over_bare_us": added("spanledger", "bare"),
        "spanledger_over_official_us": added("spanledger", "official"),
        "latency_us": {v: _latency(each[v]["latencies"] for each in rounds) for v in rounds[0]},
        "down_over_up_latency_us": _added_latency(rounds, "down"),
        "hung_over_up_latency_us": _added_latency(rounds, "hung"),
        "rss_mib": {v: round(rounds[-1][v]["rss_mib"], 1) for v in rounds[0]},
        "exceptions": {v: sum(each[v]["errors"] for each in rounds) for v in rounds[0]},
    }


def _added_latency(rounds: list[dict[str, Any]], variant: str) -> dict[str, float]:
    return _spread(
        [(_median(each[variant]["latencies"]) - _median(each["spanledger"]["latencies"])) * 1e6 for each in rounds]
    )


def _median(values: list[float]) -> float:
    return statistics.median(values)


def _spread(values: list[float]) -> dict[str, float]:
    low, middle, high = statistics.quantiles(values, n=4, method="inclusive")
    return {"median": round(middle, 3), "q1": round(low, 3), "q3": round(high, 3)}


def _latency(rounds: Iterator[list[float]]) -> dict[str, float]:
    cuts = statistics.quantiles([value * 1e6 for latencies in rounds for value in latencies], n=100)
    return {"p50": round(cuts[49], 1), "p95": round(cuts[94], 1), "p99": round(cuts[98], 1)}


@contextmanager
def _receiver() -> Iterator[str]:
    """An OTLP receiver that takes everything and reads nothing."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["content-length"]))
            self.send_response(200)
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def _nobody() -> str:
    """Return the address of a port on which nobody listens."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        return f"http://127.0.0.1:{server.getsockname()[1]}"


@contextmanager
def _silent() -> Iterator[str]:
    """A port whose listener never takes a connection off its queue."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"http://127.0.0.1:{server.getsockname()[1]}"


# Start-up: import time and memory of fresh interpreters.

PROBE = """
import time
started, cpu = time.perf_counter(), time.process_time()
{code}
took, cpu = time.perf_counter() - started, time.process_time() - cpu
{rss}
import json, os
print(json.dumps({{"import_ms": took * 1e3, "cpu_ms": cpu * 1e3, "rss_mib": rss_mib}}), flush=True)
os._exit(0)
"""


def _measure_start(starts: int) -> dict[str, Any]:
    codes = {"nothing": "", "sdk": SDK_ALONE, "sdk_started": SDK_STARTED, "spanledger": "import spanledger.auto\n"}
    samples: dict[str, list[dict[str, float]]] = {name: [] for name in codes}
    with tempfile.TemporaryDirectory() as cache:
        for number in range(starts + 1):
            for name, code in codes.items():
                sample = _probe(code, cache)
                if number:  # the first one fills the file cache
                    samples[name].append(sample)
    medians = {
        name: {key: round(_median([each[key] for each in taken]), 2) for key in taken[0]}
        for name, taken in samples.items()
    }
    return medians | {
        "ratio_to_sdk": {key: _paired_ratio(samples, "sdk", key) for key in ("import_ms", "cpu_ms", "rss_mib")},
        "ratio_to_sdk_started": {
            key: _paired_ratio(samples, "sdk_started", key) for key in ("import_ms", "cpu_ms", "rss_mib")
        },
    }


def _paired_ratio(samples: dict[str, list[dict[str, float]]], base: str, key: str) -> dict[str, float]:
    pairs = zip(samples["spanledger"], samples[base], strict=True)
    return _spread([ours[key] / theirs[key] for ours, theirs in pairs])


def _probe(code: str, cache: str) -> dict[str, float]:
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("OTEL_", "SPANLEDGER_", "PYTHON"))}
    command = [sys.executable, "-c", PROBE.format(code=code, rss=RSS)]
    done = subprocess.run(
        command, capture_output=True, text=True, check=True, env=environment | {"XDG_CACHE_HOME": cache}
    )
    sample: dict[str, float] = json.loads(done.stdout)
    return sample


# The table.


def _goals(report: dict[str, Any]) -> list[dict[str, Any]]:
    chat, start = report["calls"]["chat"], report["start"]
    errors = sum(report["calls"][kind]["exceptions"][v] for kind in report["calls"] for v in ("down", "hung"))
    return [
        _goal("added CPU per call over the official instrumentor", chat["spanledger_over_official_us"], "us", 60),
        _goal("the same for a streamed call", report["calls"]["stream"]["spanledger_over_official_us"], "us", 60),
        _goal("import time over the SDK and its exporter", start["ratio_to_sdk"]["import_ms"], "x", 1.3),
        _goal("memory over the SDK and its exporter", start["ratio_to_sdk"]["rss_mib"], "x", 1.3),
        _goal("added latency per call, receiver down", chat["down_over_up_latency_us"], "us", _NOISE_US),
        _goal("added latency per call, receiver hung", chat["hung_over_up_latency_us"], "us", _NOISE_US),
        _goal("exceptions while the receiver is down or hung", {"median": errors, "q1": 0, "q3": 0}, "", 0),
    ]


def _goal(name: str, value: dict[str, float], unit: str, limit: float) -> dict[str, Any]:
    return {"name": name, "value": value, "unit": unit, "limit": limit, "met": value["median"] <= limit}


def _table(report: dict[str, Any]) -> str:
    lines = []
    for kind, calls in report["calls"].items():
        lines += [
            f"{kind}: per call, us",
            f"  {'':12}{'CPU':>9}{'p50':>9}{'p95':>9}{'p99':>9}{'errors':>8}{'RSS MiB':>9}",
        ]
        for variant, latency in calls["latency_us"].items():
            cells = (calls["cpu_us"][variant]["median"], latency["p50"], latency["p95"], latency["p99"])
            numbers = "".join(f"{cell:9.0f}" for cell in cells)
            lines.append(f"  {variant:12}{numbers}{calls['exceptions'][variant]:8}{calls['rss_mib'][variant]:9.1f}")
        for key in ("official_over_bare_us", "spanledger_over_bare_us", "spanledger_over_official_us"):
            lines.append(f"  {key.removesuffix('_us').replace('_', ' '):28}{_show(calls[key])} us of CPU")
    lines += ["start: a fresh interpreter", f"  {'':12}{'import ms':>10}{'CPU ms':>9}{'RSS MiB':>9}"]
    for name in ("nothing", "sdk", "sdk_started", "spanledger"):
        row = report["start"][name]
        lines.append(f"  {name:12}{row['import_ms']:10.0f}{row['cpu_ms']:9.0f}{row['rss_mib']:9.1f}")
    lines.append("goals:")
    for goal in _goals(report):
        verdict = "met" if goal["met"] else "MISSED"
        lines.append(f"  {goal['name']:52}{_show(goal['value'])} {goal['unit']:2} (<= {goal['limit']:.4g}) {verdict}")
    return "\n".join(lines)


def _show(value: dict[str, float]) -> str:
    return f"{value['median']:8.2f} [{value['q1']:.2f} .. {value['q3']:.2f}]"


if __name__ == "__main__":
    raise SystemExit(main())
