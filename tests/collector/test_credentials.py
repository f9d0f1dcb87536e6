"""The real Collector with an API key over TLS, the way docs/collector.md describes it."""

import json
import ssl
import subprocess
import sys
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from spanledger_ingest.service import Service, build_service
from spanledger_ingest.settings import ServerConfig, Settings, StoreConfig, TlsConfig

Start = Callable[..., Any]


def self_signed(folder: Path) -> TlsConfig:
    """A certificate for 127.0.0.1 that is its own authority."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "spanledger")])
    now = datetime.now(UTC)
    builder = x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
    builder = builder.not_valid_before(now - timedelta(days=1)).not_valid_after(now + timedelta(days=1))
    alternative = x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))])
    cert = builder.add_extension(alternative, critical=False).sign(key, hashes.SHA256())
    pem = serialization.Encoding.PEM
    (folder / "cert.pem").write_bytes(cert.public_bytes(pem))
    plain = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    (folder / "key.pem").write_bytes(plain)
    return TlsConfig(cert=str(folder / "cert.pem"), key=str(folder / "key.pem"))


def new_key(data: Path, role: str) -> str:
    program = str(Path(sys.executable).parent / "spanledger")
    command = [program, "keys", "create", "--data", str(data), "--tenant", "*", "--role", role, "--json"]
    return str(json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)["key"])


@dataclass(frozen=True)
class Secured:
    service: Service
    cert: str
    gateway: str
    admin: str

    @property
    def grpc(self) -> str:
        return dict(line.split(" ", 1) for line in self.service.listeners())["grpc"].split()[0]

    def stored(self) -> list[dict[str, Any]]:
        self.service.writer.wait_until_stored()
        sql = "select tenant_id, count(*) as n from spans group by all"
        url = f"{self.service.http_url}/api/v1/query?{urllib.parse.urlencode({'sql': sql})}"
        request = urllib.request.Request(url, headers={"authorization": f"Bearer {self.admin}"})  # noqa: S310 -- loopback
        context = ssl.create_default_context(cafile=self.cert)
        with urllib.request.urlopen(request, timeout=30, context=context) as answer:  # noqa: S310 -- as above
            return list(json.load(answer)["items"])


@pytest.fixture
def secured(tmp_path: Path) -> Iterator[Secured]:
    data = tmp_path / "data"
    gateway, admin = new_key(data, "gateway"), new_key(data, "admin")
    tls = self_signed(tmp_path)
    service = build_service(Settings(server=ServerConfig(port=0, grpc_port=0), store=StoreConfig(data=data), tls=tls))
    service.start()
    yield Secured(service, tls.cert, gateway, admin)
    service.stop()


def exporting(exporter: str, secured: Secured, key: str) -> dict[str, Any]:
    options = {
        "endpoint": secured.service.http_url if exporter == "otlp_http" else secured.grpc,
        "headers": {"authorization": f"Bearer {key}"},
        "tls": {"ca_file": secured.cert},
    }
    metrics = {"pull": {"exporter": {"prometheus": {"host": "127.0.0.1", "port": "${env:OTELCOL_METRICS_PORT}"}}}}
    return {
        "extensions": {"health_check": {"endpoint": "${env:OTELCOL_HEALTH}"}},
        "receivers": {"otlp": {"protocols": {"grpc": {"endpoint": "${env:OTELCOL_GRPC}"}}}},
        "exporters": {exporter: options},
        "service": {
            "extensions": ["health_check"],
            "telemetry": {"metrics": {"readers": [metrics]}},
            "pipelines": {"traces": {"receivers": ["otlp"], "exporters": [exporter]}},
        },
    }


@pytest.mark.parametrize("exporter", ["otlp_http", "otlp_grpc"])
def test_a_gateway_with_a_key_sends_for_every_tenant_over_tls(
    exporter: str, secured: Secured, start_collector: Start, telemetrygen: Start, wait: Start
) -> None:
    collector = start_collector(exporting(exporter, secured, secured.gateway))
    for tenant in ("acme", "globex"):
        attribute = f'--telemetry-attributes=tenant.id="{tenant}"'
        assert telemetrygen(collector, "--traces=5", "--rate=0", "--batch=false", attribute).wait(60) == 0
    wait(lambda: collector.metric("otelcol_exporter_sent_spans") == 20, "20 spans", collector)
    rows = {row["tenant_id"]: row["n"] for row in secured.stored()}
    assert rows == {"acme": 10, "globex": 10}


@pytest.mark.parametrize("exporter", ["otlp_http", "otlp_grpc"])
def test_a_wrong_key_stores_nothing_and_the_collector_drops(
    exporter: str, secured: Secured, start_collector: Start, telemetrygen: Start, wait: Start
) -> None:
    collector = start_collector(exporting(exporter, secured, secured.gateway[:-1]))
    assert telemetrygen(collector, "--traces=1").wait(60) == 0
    wait(lambda: collector.metric("otelcol_exporter_send_failed_spans") == 2, "both are refused", collector)
    assert secured.stored() == []
