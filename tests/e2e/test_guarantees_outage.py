"""G12 against the real service; tests/integration/test_export_outage.py has the details of the exporter."""

import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor

from spanledger._export import SpoolingExporter

if TYPE_CHECKING:
    from tests.e2e.conftest import Server, Tools


pytestmark = pytest.mark.timeout(1800)  # for the full length on a busy machine


@pytest.mark.slow
def test_g12_an_outage_of_the_service_loses_nothing(server: "Server", tools: "Tools", tmp_path: Path) -> None:
    server.wanted_port = server.port
    exporter = SpoolingExporter(endpoint=f"http://127.0.0.1:{server.port}/v1/traces", spool_dir=tmp_path / "spool")
    provider = TracerProvider()
    provider.add_span_processor(BatchSpanProcessor(exporter, schedule_delay_millis=200))
    tracer = provider.get_tracer("outage")
    made = 0
    server.kill()
    until = time.monotonic() + tools.rounds(4, 60)
    while time.monotonic() < until:
        tracer.start_span(f"span {made}").end()
        made += 1
        time.sleep(0.01)  # a hundred spans a second
    server.start()
    assert provider.force_flush(60_000)
    tools.wait_until(lambda: exporter.force_flush(1_000), "the spool is empty")
    provider.shutdown()
    server.wait_until_stored()
    assert server.one("SELECT count(*) AS n, count(DISTINCT name) AS names FROM spans") == {"n": made, "names": made}
    tools.report("G12", outage_s=tools.rounds(4, 60), spans=made, lost=0)
