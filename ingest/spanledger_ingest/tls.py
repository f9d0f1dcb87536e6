"""Encryption of the listeners."""

import ssl
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import grpc

from spanledger_ingest.settings import SettingsError, TlsConfig


@dataclass(frozen=True, slots=True)
class Tls:
    """Files of certificate and key, and of the authorities whose clients alone may connect. They were looked at."""

    cert: Path
    key: Path
    client_ca: Path | None

    @classmethod
    def of(cls, config: TlsConfig) -> Self | None:
        """Return what the settings say, ``None`` for no encryption.

        Raises:
            SettingsError: one of the files is missing or no good.
        """
        if not (config.cert or config.key or config.client_ca):
            return None
        if not (config.cert and config.key):
            raise SettingsError("tls: give both cert and key")
        tls = cls(Path(config.cert), Path(config.key), Path(config.client_ca) if config.client_ca else None)
        tls._check()
        return tls

    def _check(self) -> None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        try:
            # Without this OpenSSL would ask for the passphrase on the terminal.
            context.load_cert_chain(self.cert, self.key, password=lambda: "")
            if self.client_ca is not None:
                context.load_verify_locations(self.client_ca)
        except OSError as error:  # ssl.SSLError is one
            reason = error.reason if isinstance(error, ssl.SSLError) else error.strerror
            why = str(reason or error).replace("_", " ").lower()
            raise SettingsError(
                f"tls: cannot use {self.cert}, {self.key}{f' or {self.client_ca}' if self.client_ca else ''}: {why};"
                " they must be readable PEM files that belong together, the key without a passphrase"
            ) from error

    def uvicorn_options(self) -> dict[str, Any]:
        """Return arguments of ``uvicorn.Config``."""
        options: dict[str, Any] = {"ssl_certfile": self.cert, "ssl_keyfile": self.key}
        if self.client_ca is not None:
            options |= {"ssl_ca_certs": str(self.client_ca), "ssl_cert_reqs": ssl.CERT_REQUIRED}
        return options

    def context(self) -> ssl.SSLContext:
        """Return the same for a server that begins encryption itself."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.load_cert_chain(self.cert, self.key)
        if self.client_ca is not None:
            context.verify_mode = ssl.CERT_REQUIRED
            context.load_verify_locations(self.client_ca)
        return context

    def grpc_credentials(self) -> grpc.ServerCredentials:
        """Return the same for a gRPC server."""
        client_ca = None if self.client_ca is None else self.client_ca.read_bytes()
        pair = (self.key.read_bytes(), self.cert.read_bytes())
        return grpc.ssl_server_credentials([pair], client_ca, require_client_auth=client_ca is not None)
