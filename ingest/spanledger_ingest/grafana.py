"""The Grafana of the configuration: what it is to have, and how it is reached."""

from typing import Final
from urllib.parse import urlsplit

from spanledger_dashboards.errors import DashboardsError, GrafanaError
from spanledger_dashboards.provision import Grafana, Setup
from spanledger_ingest.errors import IngestError
from spanledger_ingest.settings import Settings, resolve_secret

_LOOPBACK: Final = ("127.0.0.1", "::1", "localhost")


class ProvisionError(IngestError):
    """A Grafana does not answer, or refuses."""


def setup_of(settings: Settings, *, webhook: str = "", alerts: bool = True) -> Setup:
    """Return what a Grafana is to have.

    Args:
        settings: with the section ``[grafana]``.
        webhook: where a contact point is to send, or how that is named.
        alerts: whether it is to have alert rules.

    Raises:
        SettingsError: a secret is not there.
    """
    grafana, server = settings.grafana, settings.server
    host = f"[{server.host}]" if ":" in server.host else server.host
    sql_address = grafana.sql_address or f"{host}:{server.wire_port}"
    scheme = "https" if settings.tls.cert else "http"
    return Setup(
        sql_address=sql_address,
        service_url=(grafana.service_url or f"{scheme}://{host}:{server.port}").rstrip("/"),
        user=grafana.user,
        key=resolve_secret("grafana.key", grafana.key).reveal() if grafana.key else "",
        sslmode=grafana.sslmode or ("disable" if is_loopback(sql_address) else "require"),
        page_url=settings.alerting.page_url,
        alerts=alerts,
        receiver=grafana.receiver,
        webhook=resolve_secret("webhook", webhook).reveal() if webhook else "",
    )


def connect(settings: Settings, setup: Setup) -> Grafana:
    """Return the Grafana of the configuration.

    Raises:
        ProvisionError: its address or token is missing, or no address.
        SettingsError: a secret is not there.
    """
    grafana = settings.grafana
    if not grafana.url or not grafana.token:
        missing = "--grafana-url" if not grafana.url else "--grafana-token"
        raise ProvisionError(f"name the Grafana with {missing}, or in the configuration under [grafana]")
    token = resolve_secret("grafana.token", grafana.token).reveal()
    try:
        return Grafana(grafana.url, token, hidden=[setup.key, setup.webhook])
    except GrafanaError as error:
        raise ProvisionError(str(error)) from error


def is_loopback(address: str) -> bool:
    """Whether an address, as HOST:PORT, is this machine."""
    try:
        return urlsplit(f"//{address}").hostname in _LOOPBACK
    except ValueError as error:
        raise ProvisionError(f"{address!r} is no address such as spanledger.example:5433") from error


def problem(error: DashboardsError) -> ProvisionError:
    """Return an error of the provisioner as one of the service."""
    return ProvisionError(str(error))
