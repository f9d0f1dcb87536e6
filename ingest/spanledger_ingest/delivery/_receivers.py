"""The tables ``[receivers.NAME]`` of the configuration."""

from collections.abc import Mapping
from typing import Any, Final

from spanledger_alerts.delivery import PAGERDUTY_URL, Receiver, notifiers_of, parse_policy
from spanledger_alerts.errors import AddressRefusedError, ReceiverError
from spanledger_ingest.settings import Settings, SettingsError, refuse_unknown, resolve_secret

_KEYS: Final = (
    "url", "shape", "secret", "old_secret", "headers", "routing_key", "send_resolved", "tenants", "fallback",
    "allow_http", "allow", "ports",
)  # fmt: skip


class Receivers:
    """The receivers of a configuration, and who brings messages to them.

    Raises:
        SettingsError: one of them cannot be used; the message says what can, and shows no secret.
    """

    def __init__(self, settings: Settings) -> None:
        self.by_name = receivers_of(settings.receivers)
        try:
            self.notifiers = notifiers_of(self.by_name, base_url=settings.alerting.page_url)
        except ReceiverError as error:
            raise SettingsError(str(error)) from error


def receivers_of(tables: Mapping[str, Mapping[str, Any]]) -> dict[str, Receiver]:
    """Return the receivers by name.

    Raises:
        SettingsError: a table cannot be meant; the message says what can, and shows no secret.
    """
    receivers = {name: _receiver(name, table) for name, table in tables.items()}
    for name, receiver in receivers.items():
        if receiver.fallback and receiver.fallback not in receivers:
            raise SettingsError(f"receivers.{name}.fallback: there is no receiver {receiver.fallback!r}")
        if receiver.fallback == name:
            raise SettingsError(f"receivers.{name}.fallback: that is the receiver itself")
    return receivers


def _receiver(name: str, table: Mapping[str, Any]) -> Receiver:
    where = f"receivers.{name}"
    refuse_unknown(where, table, _KEYS)
    shape = table.get("shape", "native")
    secrets = [_secret(where, table, key) for key in ("secret", "old_secret") if key in table]
    url = _secret(where, table, "url") if "url" in table else PAGERDUTY_URL if shape == "pagerduty" else ""
    if not url:
        raise SettingsError(f"{where}: url is needed, such as https://... or env:NAME or file:PATH")
    try:
        return Receiver(
            name=name,
            url=url,
            shape=shape,
            secrets=tuple(secrets),
            headers=_headers(where, table),
            routing_key=_secret(where, table, "routing_key") if "routing_key" in table else "",
            send_resolved=_flag(where, table, "send_resolved", default=True),
            tenants=frozenset(_texts(where, table, "tenants")),
            fallback=_text(where, table, "fallback"),
            policy=parse_policy(
                allow=_texts(where, table, "allow"),
                ports=_ports(where, table),
                allow_http=_flag(where, table, "allow_http", default=False),
            ),
        )
    except AddressRefusedError as error:
        raise SettingsError(f"{where}.url: {error}") from error
    except ReceiverError as error:
        raise SettingsError(str(error)) from error


def _secret(where: str, table: Mapping[str, Any], key: str) -> str:
    return resolve_secret(f"{where}.{key}", table[key]).reveal()


def _headers(where: str, table: Mapping[str, Any]) -> dict[str, str]:
    found = table.get("headers", {})
    if not isinstance(found, dict):
        raise SettingsError(f"{where}.headers: a table of names and values is wanted")
    return {name: resolve_secret(f"{where}.headers.{name}", value).reveal() for name, value in found.items()}


def _flag(where: str, table: Mapping[str, Any], key: str, *, default: bool) -> bool:
    value = table.get(key, default)
    if not isinstance(value, bool):
        raise SettingsError(f"{where}.{key}: {value!r} is neither true nor false")
    return value


def _text(where: str, table: Mapping[str, Any], key: str) -> str:
    value = table.get(key, "")
    if not isinstance(value, str):
        raise SettingsError(f"{where}.{key}: {value!r} is not text")
    return value


def _texts(where: str, table: Mapping[str, Any], key: str) -> list[str]:
    value = table.get(key, [])
    if not isinstance(value, list) or not all(isinstance(item, str) and item for item in value):
        raise SettingsError(f"{where}.{key}: a list of texts is wanted")
    return value


def _ports(where: str, table: Mapping[str, Any]) -> list[int]:
    value = table.get("ports", [])
    if not isinstance(value, list) or not all(type(port) is int and 0 < port < 65_536 for port in value):
        raise SettingsError(f"{where}.ports: a list of port numbers is wanted")
    return value
