"""How long it takes from the acknowledgement of a call that breaches a budget to the signed webhook that says so.

    python -m benchmarks.alert_latency [--breaches 60] [--json]

The real service in a process of its own, with its default rhythm, and a receiver on this machine that verifies each
signature. Every call is of another tenant, whose budget it uses up; one after the other, at random moments.
"""

import argparse
import json
import random
import statistics
import sys
import tempfile
import time
from base64 import b64encode
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from http.client import HTTPConnection
from pathlib import Path
from secrets import token_bytes
from typing import Final

from benchmarks._process import running
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from spanledger_ingest.demo._webhooks import Received, WebhookReceiver

_LONGEST_PAUSE_S: Final = 1.0
_TIMEOUT_S: Final = 60.0
_CONFIG: Final = """
[budgets.small]
amount = "0.00001"
period = "day"
each = "tenant"
thresholds = [100]

[receivers.team]
url = "{url}"
secret = "{secret}"
allow_http = true
allow = ["127.0.0.1"]
ports = [{port}]
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Breach budgets, print the times; 1 if a breach was never told."""
    options = _parser().parse_args(arguments)
    secret = f"whsec_{b64encode(token_bytes(32)).decode()}"
    with WebhookReceiver(secret) as receiver, _service(receiver, secret) as port:
        seconds = [_breach(port, receiver, f"tenant-{number}") for number in range(options.breaches)]
    told = sorted(second for second in seconds if second is not None)
    result = {
        "breaches": len(seconds),
        "told": len(told),
        "p50_s": round(statistics.median(told), 2),
        "p95_s": round(told[int(0.95 * (len(told) - 1))], 2),
        "max_s": round(told[-1], 2),
    }
    print(json.dumps(result) if options.json else "\n".join(f"{name:9} {value}" for name, value in result.items()))
    return 0 if len(told) == len(seconds) else 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description="From the acknowledgement of a breach to the webhook.")
    parser.add_argument("--breaches", type=int, default=60, help="how many (default 60)")
    parser.add_argument("--json", action="store_true", help="print JSON")
    return parser


@contextmanager
def _service(receiver: WebhookReceiver, secret: str) -> Iterator[int]:
    """Run the service; yield its port."""
    with tempfile.TemporaryDirectory(prefix="spanledger-bench-") as name:
        folder = Path(name)
        config = folder / "spanledger.toml"
        config.write_text(_CONFIG.format(url=receiver.url, secret=secret, port=receiver.port))
        program = str(Path(sys.executable).with_name("spanledger"))
        ports = ("--port", "0", "--grpc-port", "0", "--pg-port", "0")
        command = [program, "serve", "--data", str(folder / "data"), "--config", str(config), *ports]
        with running(command, folder / "log") as server:
            assert server.process.stdout is not None
            yield int(server.process.stdout.readline().rpartition(":")[2])


def _breach(port: int, receiver: WebhookReceiver, tenant: str) -> float | None:
    """Return the seconds from the acknowledgement of a call to the message about it."""
    time.sleep(random.uniform(0, _LONGEST_PAUSE_S))  # noqa: S311 - so that no rhythm is met again and again

    def is_it(message: Received) -> bool:
        return message.verified and message.is_about("budget:small", "firing", tenant=tenant)

    with closing(HTTPConnection("127.0.0.1", port, timeout=_TIMEOUT_S)) as connection:
        connection.request("POST", "/v1/traces", _call(tenant), {"content-type": "application/x-protobuf"})
        assert connection.getresponse().status == 200
    acknowledged = time.time()
    message = receiver.wait_for(is_it, _TIMEOUT_S)
    return None if message is None else message.at - acknowledged


def _call(tenant: str) -> bytes:
    message = ExportTraceServiceRequest()
    span = message.resource_spans.add().scope_spans.add().spans.add(trace_id=token_bytes(16), span_id=token_bytes(8))
    span.name = "chat gpt-4o"
    span.end_time_unix_nano = time.time_ns()
    span.start_time_unix_nano = span.end_time_unix_nano - 10**8
    texts = {"gen_ai.operation.name": "chat", "gen_ai.provider.name": "openai", "tenant.id": tenant}
    for key, value in {**texts, "gen_ai.request.model": "gpt-4o", "gen_ai.response.model": "gpt-4o"}.items():
        span.attributes.add(key=key).value.string_value = value
    for name, count in {"gen_ai.usage.input_tokens": 10, "gen_ai.usage.output_tokens": 10}.items():
        span.attributes.add(key=name).value.int_value = count
    return message.SerializeToString()


if __name__ == "__main__":
    sys.exit(main())
