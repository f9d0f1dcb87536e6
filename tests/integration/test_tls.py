"""TLS on both listeners, with and without client certificates."""

import ssl
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

import grpc
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from spanledger_ingest.receiver.grpc import SCOPES as GRPC_SCOPES
from spanledger_ingest.service import Service, build_service
from spanledger_ingest.settings import ServerConfig, Settings, SettingsError, StoreConfig, TlsConfig

EXPORT = next(iter(GRPC_SCOPES))


@contextmanager
def serving(data: Path, tls: TlsConfig) -> Iterator[Service]:
    store = StoreConfig(data=data, threads=1)
    service = build_service(Settings(server=ServerConfig(port=0, grpc_port=0), store=store, tls=tls))
    service.start()
    try:
        yield service
    finally:
        service.stop()


def export(service: Service, credentials: grpc.ChannelCredentials) -> None:
    address = dict(line.split(" ", 1) for line in service.listeners())["grpc"]
    with grpc.secure_channel(address, credentials) as channel:
        channel.unary_unary(EXPORT, lambda sent: sent, lambda got: got)(b"", timeout=20)


class Authority:
    """Makes certificates for 127.0.0.1."""

    def __init__(self, directory: Path, name: str) -> None:
        self._directory = directory
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
        constraint = x509.BasicConstraints(ca=True, path_length=None)
        self._root = self._builder(self._name, self._key).add_extension(constraint, critical=True)
        self.cert = self._write(f"{name}.pem", self._sign(self._root))

    def _builder(self, name: x509.Name, key: ec.EllipticCurvePrivateKey) -> x509.CertificateBuilder:
        now = datetime.now(UTC)
        return x509.CertificateBuilder(
            issuer_name=self._name,
            subject_name=name,
            public_key=key.public_key(),
            serial_number=x509.random_serial_number(),
            not_valid_before=now - timedelta(days=1),
            not_valid_after=now + timedelta(days=1),
        ).add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)

    def _sign(self, builder: x509.CertificateBuilder) -> bytes:
        authority = x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key())
        signed = builder.add_extension(authority, critical=False).sign(self._key, hashes.SHA256())
        return signed.public_bytes(serialization.Encoding.PEM)

    def _write(self, name: str, content: bytes) -> str:
        (self._directory / name).write_bytes(content)
        return str(self._directory / name)

    def pair(self, name: str) -> tuple[str, str]:
        """Return the files of a certificate and its key."""
        key = ec.generate_private_key(ec.SECP256R1())
        names = x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))])
        subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
        builder = self._builder(subject, key).add_extension(names, critical=False)
        plain = key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        return self._write(f"{name}.pem", self._sign(builder)), self._write(f"{name}.key", plain)


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path, "authority")


def tls_get(url: str, context: ssl.SSLContext) -> int:
    with urllib.request.urlopen(url, timeout=30, context=context) as answer:  # noqa: S310 - our own address
        return int(answer.status)


def test_tls_on_both_listeners(tmp_path: Path, authority: Authority) -> None:
    cert, key = authority.pair("server")
    with serving(tmp_path / "data", TlsConfig(cert=cert, key=key)) as service:
        assert service.http_url.startswith("https://127.0.0.1:")
        url = service.http_url + "/healthz"
        assert tls_get(url, ssl.create_default_context(cafile=authority.cert)) == 200
        with pytest.raises(urllib.error.URLError, match="CERTIFICATE_VERIFY_FAILED"):
            tls_get(url, ssl.create_default_context())
        with pytest.raises(OSError, match=r"(?i)closed|reset"):
            urllib.request.urlopen(url.replace("https", "http"), timeout=20)  # noqa: S310 - our own address
        export(service, grpc.ssl_channel_credentials(Path(authority.cert).read_bytes()))


def test_client_certificates_are_demanded_where_configured(tmp_path: Path, authority: Authority) -> None:
    cert, key = authority.pair("server")
    mine = authority.pair("client")
    with serving(tmp_path / "data", TlsConfig(cert=cert, key=key, client_ca=authority.cert)) as service:
        context = ssl.create_default_context(cafile=authority.cert)
        with pytest.raises(OSError, match=r"(?i)certificate.required|reset|EOF|closed"):
            tls_get(service.http_url + "/healthz", context)
        context.load_cert_chain(*mine)
        assert tls_get(service.http_url + "/healthz", context) == 200
        root = Path(authority.cert).read_bytes()
        with pytest.raises(grpc.RpcError):
            export(service, grpc.ssl_channel_credentials(root))
        chain, private = (Path(file).read_bytes() for file in mine)
        export(service, grpc.ssl_channel_credentials(root, private, chain))


def test_tls_files_that_do_not_fit_are_told_before_anything_listens(tmp_path: Path, authority: Authority) -> None:
    cert, key = authority.pair("server")
    _, other = authority.pair("other")
    for config, words in (
        (TlsConfig(cert=cert), "both cert and key"),
        (TlsConfig(cert=cert, key=str(tmp_path / "nothing")), "no such file"),
        (TlsConfig(cert=cert, key=other), "mismatch"),
        (TlsConfig(cert=cert, key=key, client_ca=key), "tls: cannot use"),
    ):
        with pytest.raises(SettingsError, match=words):
            build_service(Settings(store=StoreConfig(data=tmp_path / "data"), tls=config))
