"""What needs a process of its own: imports, switches, providers, forks, headers, and that nothing ever raises."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Run = Callable[..., str]

COLLECT = """
import gzip, http.server, threading
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest

class Receiver(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    got, headers_seen = [], []
    def log_message(self, *args): pass
    def do_POST(self):
        body = self.rfile.read(int(self.headers["content-length"]))
        if self.headers.get("content-encoding") == "gzip":
            body = gzip.decompress(body)
        kind = ExportLogsServiceRequest if self.path.endswith("logs") else ExportTraceServiceRequest
        message = kind(); message.ParseFromString(body)
        Receiver.got.append(message); Receiver.headers_seen.append(dict(self.headers))
        self.send_response(200); self.send_header("content-length", "0"); self.end_headers()

server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Receiver)
server.daemon_threads = True
threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
URL = f"http://127.0.0.1:{server.server_address[1]}"

def spans():
    requests = [r for r in Receiver.got if isinstance(r, ExportTraceServiceRequest)]
    return [s for r in requests for rs in r.resource_spans for ss in rs.scope_spans for s in ss.spans]
def said(span):
    return {a.key: getattr(a.value, a.value.WhichOneof("value")) for a in span.attributes}
"""


def test_the_import_is_light(run_python: Run) -> None:
    out = run_python(
        """
import sys
import spanledger.auto, spanledger.asgi
heavy = "duckdb polars pyarrow fastapi sklearn grpc pydantic openai anthropic google.genai boto3 langchain_core"
heavy += " llama_index mistralai cohere groq ollama agents requests httpx httpx2 genai_prices packaging"
heavy += " spanledger.pricing opentelemetry.sdk._logs.export opentelemetry.instrumentation"
print([name for name in heavy.split() if name in sys.modules])
"""
    )
    assert out.strip() == "[]"


def test_the_kill_switch_turns_everything_into_nothing(run_python: Run) -> None:
    out = run_python(
        """
import sys, threading
import spanledger.auto, spanledger
import openai
from opentelemetry import propagate, trace
spanledger.configure(endpoint="http://127.0.0.1:1")
with spanledger.context(tenant="acme", propagate=True):
    spanledger.record_score("helpful", 1.0)
    headers = {}
    propagate.inject(headers)
    assert headers == {}, headers
print(type(trace.get_tracer_provider()).__name__, "opentelemetry.sdk.trace" in sys.modules, threading.active_count())
print(hasattr(vars(openai.resources.chat.completions.Completions)["create"], "_self_wrapper"))
print(spanledger.shutdown())
""",
        SPANLEDGER_DISABLED="1",
    )
    assert out.split() == ["ProxyTracerProvider", "False", "1", "False", "True"]


def test_importing_twice_and_reloading_changes_nothing(run_python: Run) -> None:
    out = run_python(
        """
import importlib, threading
import spanledger, spanledger.auto
import anthropic
importlib.reload(spanledger.auto)
import spanledger.auto
spanledger.configure(); spanledger.configure()
print(sum(thread.name.startswith("OtelBatch") for thread in threading.enumerate()))
create = vars(anthropic.resources.messages.Messages)["create"]
print(hasattr(create.__wrapped__, "_self_wrapper"))
"""
    )
    assert out.split() == ["1", "False"]


@pytest.mark.parametrize("first", ["langgraph.pregel", "langchain_core", "langchain.agents", "langchain_openai"])
def test_agents_are_instrumented_whatever_is_imported_first(run_python: Run, first: str) -> None:
    out = run_python(
        f"""
import logging, warnings; logging.basicConfig(level=30); warnings.simplefilter("ignore")
import spanledger.auto
import {first}
import langgraph.pregel
stream = vars(langgraph.pregel.Pregel)["stream"]
print(spanledger._attach.attachments.attached["langchain"], hasattr(stream, "_self_wrapper"))
"""
    )
    assert out.split() == ["opentelemetry-instrumentation-genai-langchain", "True"]


def test_one_line_says_what_is_attached(run_python: Run) -> None:
    out = run_python("import logging; logging.basicConfig(level=20)\nimport spanledger.auto, spanledger.auto")
    lines = [line for line in out.splitlines() if "spanledger" in line]
    assert len(lines) == 1
    assert "openai (opentelemetry-instrumentation-genai-openai 1.3" in lines[0]


CALL = """
span = trace.get_tracer("app").start_span("chat m", attributes={"gen_ai.operation.name": "chat"})
span.end()
"""


def test_spans_arrive_with_key_resource_and_identity(run_python: Run) -> None:
    out = run_python(
        COLLECT
        + """
import spanledger, spanledger.auto
from opentelemetry import trace
spanledger.configure(endpoint=URL, api_key="secret", headers={"x-team": "blue"})
with spanledger.context(tenant="acme"):
"""
        + CALL.replace("\n", "\n    ")
        + """
print(spanledger.shutdown())
(span,) = spans()
print(span.name, said(span)["tenant.id"])
print(Receiver.headers_seen[0]["authorization"], Receiver.headers_seen[0]["x-team"])
print({a.key: a.value.string_value for a in Receiver.got[0].resource_spans[0].resource.attributes}["service.name"])
""",
        OTEL_SERVICE_NAME="shop",
    )
    assert out.splitlines() == ["True", "chat m acme", "Bearer secret blue", "shop"]


def test_an_existing_provider_is_used_and_a_later_one_is_followed(run_python: Run) -> None:
    out = run_python(
        COLLECT
        + """
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
import spanledger, spanledger._attach, spanledger._tracing, spanledger._runtime
first = TracerProvider()
trace.set_tracer_provider(first)
import spanledger.auto
spanledger.configure(endpoint=URL)
print(trace.get_tracer_provider() is first)
following = spanledger._tracing.FollowingProvider().get_tracer("instrumentor")
following.start_span("one").end()
spanledger.shutdown()
print([span.name for span in spans()])
"""
    )
    assert out.splitlines() == ["True", "['one']"]
    out = run_python(
        COLLECT
        + """
import logging; logging.basicConfig(level=30)
import spanledger, spanledger.auto
spanledger.configure(endpoint=URL)
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
early = trace.get_tracer("app").start_span("before")
following = spanledger._tracing.FollowingProvider().get_tracer("instrumentor")
following.start_span("one").end()
later = TracerProvider()
trace.set_tracer_provider(later)
print(trace.get_tracer_provider() is later)
with spanledger.context(tenant="acme"):
    trace.get_tracer("app").start_span("two").end()
following.start_span("three").end()
early.end()
spanledger.shutdown()
print(sorted(span.name for span in spans()))
"""
    )
    assert out.splitlines() == ["True", "['before', 'one', 'three', 'two']"]


def test_a_provider_without_processors_is_left_alone(run_python: Run) -> None:
    out = run_python(
        COLLECT
        + """
import logging; logging.basicConfig(level=30)
from opentelemetry import trace
trace.set_tracer_provider(trace.NoOpTracerProvider())
import spanledger, spanledger.auto
spanledger.configure(endpoint=URL)
following = spanledger._tracing.FollowingProvider().get_tracer("instrumentor")
following.start_span("one").end()
spanledger.shutdown()
print([span.name for span in spans()])
"""
    )
    assert "takes no span processors" in out
    assert "['one']" in out


@pytest.mark.parametrize("start", ["fork", "multiprocessing"])
def test_a_forked_child_exports_its_own_spans(run_python: Run, start: str) -> None:
    """As gunicorn with preload does: the parent imports and serves, the children serve on."""
    fork = {
        "fork": "pid = os.fork()\nif pid == 0:\n    work()\n    os._exit(0)\nos.waitpid(pid, 0)",
        "multiprocessing": "child = multiprocessing.get_context('fork').Process(target=work)\n"
        "child.start(); child.join(); assert child.exitcode == 0",
    }[start]
    out = run_python(
        COLLECT
        + """
import os, multiprocessing, warnings
import spanledger, spanledger.auto
from opentelemetry import trace
spanledger.configure(endpoint=URL)
tracer = trace.get_tracer("app")
tracer.start_span("parent before").end()
assert spanledger.flush(5)
tracer.start_span("parent waiting").end()
def work():
    with spanledger.context(tenant="acme"):
        tracer.start_span("child").end()
    assert spanledger.shutdown(10)
"""
        + fork
        + """
tracer.start_span("parent after").end()
assert spanledger.shutdown(10)
print(sorted(span.name for span in spans()))
"""
    )
    assert "['child', 'parent after', 'parent before', 'parent waiting']" in out


def test_a_fork_does_not_fall_into_the_imports_of_the_export_thread(run_python: Run) -> None:
    out = run_python(
        COLLECT
        + """
import os, signal, sys
import spanledger, spanledger.auto
from opentelemetry import trace
importing, forking = threading.Event(), threading.Event()
class Finder:
    def find_spec(self, name, path=None, target=None):
        if name == "spanledger._content":
            importing.set()
            assert forking.wait(30)
sys.meta_path.insert(0, Finder())
spanledger.configure(endpoint=URL, export_interval=0.01)
os.register_at_fork(before=forking.set)
trace.get_tracer("app").start_span("parent").end()
assert importing.wait(30)
pid = os.fork()
if pid == 0:
    signal.alarm(15)
    trace.get_tracer("app").start_span("child").end()
    os._exit(0 if spanledger.shutdown(10) else 1)
print(os.waitpid(pid, 0)[1])
assert spanledger.shutdown(10)
print(sorted(span.name for span in spans()))
"""
    )
    assert out.splitlines() == ["0", "['child', 'parent']"]


def test_scores_are_log_events_of_the_judged_span(run_python: Run) -> None:
    out = run_python(
        COLLECT
        + """
import sys
import spanledger, spanledger.auto
from opentelemetry import trace
spanledger.configure(endpoint=URL)
assert "opentelemetry.sdk._logs.export" not in sys.modules
span = trace.get_tracer("app").start_span("chat", attributes={"gen_ai.response.id": "r-1"})
with trace.use_span(span), spanledger.context(tenant="acme"):
    spanledger.record_score("helpful", 1, label="yes", explanation="said thanks")
spanledger.record_score("later", 0.5, span=span.get_span_context())
spanledger.record_score("broken", "not a number", span=span)
span.end()
print(spanledger.shutdown())
logs = [r for r in Receiver.got if isinstance(r, ExportLogsServiceRequest)]
records = [lr for r in logs for rl in r.resource_logs for sl in rl.scope_logs for lr in sl.log_records]
for record in sorted(records, key=lambda one: one.time_unix_nano):
    print(record.event_name, record.span_id.hex() == f"{span.get_span_context().span_id:016x}", said(record))
"""
    )
    lines = [line for line in out.splitlines() if line.startswith("gen_ai")]
    assert len(lines) == 2
    for line in lines:
        assert line.startswith("gen_ai.evaluation.result True")
    for part in ("helpful", "1.0", "'yes'", "said thanks", "'acme'", "'r-1'"):
        assert part in lines[0]
    assert "record_score failed" in out


def test_the_vendor_sees_none_of_our_headers(run_python: Run, provider: Any) -> None:
    out = run_python(
        """
import sys, warnings
warnings.simplefilter("ignore")
import spanledger, spanledger.auto
import anthropic, openai
url = sys.argv[1] if len(sys.argv) > 1 else URL
messages = [{"role": "user", "content": "Say hello"}]
with spanledger.context(tenant="acme", user="u-1", propagate=True):
    openai.OpenAI(base_url=url + "/v1", api_key="k").chat.completions.create(model="gpt-4o", messages=messages)
    anthropic.Anthropic(base_url=url, api_key="k").messages.create(model="m", max_tokens=9, messages=messages)
    loud = anthropic.Anthropic(base_url=url, api_key="k", open_telemetry={"propagation": True})
    loud.messages.create(model="m", max_tokens=9, messages=messages)
""".replace("URL", repr(provider.url)),
        SPANLEDGER_ENDPOINT=provider.url,
    )
    assert "Traceback" not in out
    first, second, loud = (one for one in provider.requests if not one.path.endswith("/v1/traces"))
    for request in (first, second):
        assert not {"baggage", "traceparent"} & set(request.headers)
    assert "traceparent" in loud.headers  # what the application asks for, it gets
    assert "acme" not in str(loud.headers)


def test_native_spans_of_anthropic_double_nothing_and_serve_where_nobody_else_does(
    run_python: Run, provider: Any
) -> None:
    code = (
        COLLECT
        + f"""
import warnings; warnings.simplefilter("ignore")
import spanledger, spanledger.auto
import anthropic
spanledger.configure(endpoint=URL)
with spanledger.context(tenant="acme"), anthropic.Anthropic(base_url={provider.url!r}, api_key="k") as client:
    client.messages.create(model="m", max_tokens=9, messages=[{{"role": "user", "content": "hi"}}])
spanledger.shutdown()
print([(span.name, said(span)["tenant.id"], said(span)["gen_ai.response.id"]) for span in spans()])
"""
    )
    assert run_python(code).splitlines()[0] == "[('chat m', 'acme', 'msg_1')]"
    uninstrumented = "import spanledger._attach as attach\nattach._version = lambda name: None\n" + code
    assert run_python(uninstrumented).splitlines()[0] == "[('anthropic.messages.create', 'acme', 'msg_1')]"
    assert all("traceparent" not in request.headers for request in provider.requests)


def test_explicit_choices_of_the_user_stay(run_python: Run) -> None:
    out = run_python(
        """
import os
import spanledger.auto
import anthropic
print(os.environ["ANTHROPIC_OPEN_TELEMETRY"], os.environ["ANTHROPIC_OPEN_TELEMETRY_PROPAGATION"])
print(os.environ["OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT"])
""",
        ANTHROPIC_OPEN_TELEMETRY="true",
        OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT="EVENT_ONLY",
        SPANLEDGER_CAPTURE_CONTENT="full",
    )
    assert out.split() == ["true", "false", "EVENT_ONLY"]


def test_content_can_be_configured_after_the_sdk_is_attached(run_python: Run, provider: Any) -> None:
    out = run_python(
        COLLECT
        + f"""
import openai
import spanledger.auto, spanledger
client = openai.OpenAI(base_url={provider.url!r} + "/v1", api_key="k")
for policy in ("none", "masked", "full", "none"):
    spanledger.configure(endpoint=URL, capture_content=policy)
    client.chat.completions.create(model="gpt-4o", messages=[{{"role": "user", "content": "to ann@example.com"}}])
    assert spanledger.flush(5)
    print(policy, spans_text(spans()[-1]))
client.close()
""".replace("spans_text(spans()[-1])", 'said(spans()[-1]).get("gen_ai.input.messages", "nothing")')
    )
    lines = out.splitlines()
    assert lines[0] == lines[3] == "none nothing"
    assert "to [email]" in lines[1]
    assert "to ann@example.com" in lines[2]


def test_bad_environment_values_are_named_and_ignored(run_python: Run) -> None:
    out = run_python(
        """
import logging; logging.basicConfig(level=30)
import spanledger.auto
from spanledger._runtime import runtime
print(runtime.settings.capture_content, runtime.settings.endpoint)
""",
        SPANLEDGER_CAPTURE_CONTENT="all of it",
        SPANLEDGER_ENDPOINT="ftp://nowhere",
        SPANLEDGER_HEADERS="secret-without-equals",
    )
    assert "'all of it' is not one of none, masked, full" in out
    assert "SPANLEDGER_ENDPOINT is ignored" in out
    assert "secret-without-equals" not in out
    assert "none http://127.0.0.1:4318" in out


def test_a_broken_set_up_never_reaches_the_application(run_python: Run) -> None:
    out = run_python(
        """
import logging; logging.basicConfig(level=30)
import spanledger._pipeline
class Broken:
    def __init__(self, *args): raise RuntimeError("no pipeline today")
spanledger._pipeline.Pipeline = Broken
import spanledger.auto, spanledger
import openai
with spanledger.context(tenant="acme"):
    spanledger.record_score("x", 1.0)
print("alive", spanledger.shutdown())
"""
    )
    assert "starting the export of spans failed" in out
    assert "no pipeline today" in out
    assert "alive True" in out


def test_an_exporter_that_fails_is_reported_once(run_python: Run) -> None:
    out = run_python(
        """
import logging; logging.basicConfig(level=30)
import spanledger._pipeline, spanledger.auto, spanledger
from opentelemetry import trace
class Broken:
    def export(self, spans): raise OSError("no such luck")
    def shutdown(self): raise OSError("nor here")
    def force_flush(self, timeout_millis=0): raise OSError("nor there")
pipeline = spanledger._runtime.runtime.pipeline
pipeline.exporter._build = lambda settings, service: Broken()
for _ in range(3):
    trace.get_tracer("app").start_span("x").end()
    pipeline._batch.force_flush()
print("alive", spanledger.shutdown())
"""
    )
    assert out.count("no such luck") == 1
    assert "alive True" in out


def test_what_a_process_could_not_deliver_the_next_one_does(run_python: Run, tmp_path: Path) -> None:
    span = "from opentelemetry import trace\ntrace.get_tracer('app').start_span('left behind').end()\n"
    environment = {"SPANLEDGER_SPOOL_DIR": str(tmp_path / "spool"), "SPANLEDGER_ENDPOINT": "http://127.0.0.1:9"}
    run_python(f"import spanledger.auto, spanledger\n{span}spanledger.shutdown()", **environment)
    assert any((tmp_path / "spool").iterdir())
    out = run_python(
        COLLECT
        + """
import time
import spanledger
spanledger.configure(endpoint=URL)
deadline = time.monotonic() + 20
while not spans() and time.monotonic() < deadline:
    time.sleep(0.01)
print([span.name for span in spans()])
""",
        **environment,
    )
    assert out.strip() == "['left behind']"


def test_a_flush_says_whether_the_service_has_everything(run_python: Run) -> None:
    out = run_python(
        COLLECT
        + """
import logging; logging.getLogger("spanledger").setLevel(logging.ERROR)
import spanledger, spanledger.auto
from opentelemetry import trace
print(spanledger.flush())
spanledger.configure(endpoint="http://127.0.0.1:9")
trace.get_tracer("app").start_span("x").end()
spanledger.record_score("helpful", 1.0)
print(spanledger.flush(5), len(Receiver.got))
spanledger.configure(endpoint=URL)
trace.get_tracer("app").start_span("y").end()
spanledger.record_score("helpful", 0.5)
print(spanledger.flush(5), len(Receiver.got))
spanledger.shutdown()
print(spanledger.flush())
"""
    )
    assert out.splitlines() == ["True", "False 0", "True 2", "True"]


def test_an_exit_handler_that_may_not_start_threads_delivers_all_the_same(run_python: Run) -> None:
    """As in Python 3.12.0 and 3.12.1."""
    out = run_python(
        COLLECT
        + """
import atexit
def forbid():
    def start(self): raise RuntimeError("can't create new thread at interpreter shutdown")
    threading.Thread.start = start
atexit.register(lambda: print([span.name for span in spans()]))
import spanledger, spanledger.auto
from opentelemetry import trace
spanledger.configure(endpoint=URL)
trace.get_tracer("app").start_span("first").end()
assert spanledger.flush()
trace.get_tracer("app").start_span("last").end()
atexit.register(forbid)
"""
    )
    assert out.splitlines() == ["['first', 'last']"]


def test_streams_that_are_open_at_the_end_are_ended_and_marked(run_python: Run, provider: Any) -> None:
    out = run_python(
        COLLECT
        + f"""
import atexit
atexit.register(lambda: print([(said(one).get("spanledger.stream.aborted"), one.status.message) for one in spans()]))
import openai
import spanledger.auto, spanledger
spanledger.configure(endpoint=URL)
client = openai.OpenAI(base_url={provider.url!r} + "/v1", api_key="k")
stream = client.chat.completions.create(model="gpt-4o", messages=[], stream=True)
next(stream)
read = client.chat.completions.create(model="gpt-4o", messages=[], stream=True)
list(read)
import warnings; warnings.simplefilter("ignore")  # the client is closed by nobody
"""
    )
    assert out.splitlines() == ["[(None, ''), (True, 'abandoned stream')]"]


def test_our_own_requests_are_not_traced(run_python: Run) -> None:
    out = run_python(
        COLLECT
        + """
import spanledger, spanledger.auto
from opentelemetry import trace
from opentelemetry.instrumentation.utils import is_instrumentation_enabled
import spanledger._export.exporter as exporter
enabled = []
original = exporter.SpoolingExporter.export
def export(self, spans):
    enabled.append(is_instrumentation_enabled())
    return original(self, spans)
exporter.SpoolingExporter.export = export
spanledger.configure(endpoint=URL)
trace.get_tracer("app").start_span("x").end()
spanledger.shutdown()
print(enabled, len(spans()))
"""
    )
    assert out.strip() == "[False] 1"
