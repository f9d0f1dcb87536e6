"""What is wanted: folders, data sources, boards, a contact point, alert rules."""

from collections.abc import Iterable, Iterator
from typing import Final

from spanledger_dashboards.errors import GrafanaError
from spanledger_dashboards.grafana_json import Target, dashboard
from spanledger_dashboards.provision._model import ALERT_FOLDER, FOLDER, Item, Json, Setup
from spanledger_dashboards.provision._rules import RULES, rule

POSTGRES: Final = ("grafana-postgresql-datasource", "postgres")
"""Names of the PostgreSQL data source: since Grafana 10.2, and before."""
JAEGER: Final = "jaeger"
CONTACT_POINT: Final = "spanledger-webhook"
CONTACT_POINT_NAME: Final = "Spanledger"
_COLOURS_SINCE: Final = 10
_NESTED_SINCE: Final = 11
_RECEIVER_SINCE: Final = 11
"""Grafana versions that choose colours by name, have folders in folders, and have rules that name their contact point
(the latter two without a feature toggle).
"""


def target_for(setup: Setup, plugins: Iterable[str], major: int) -> Target:
    """Return how boards name the data sources of a Grafana.

    Raises:
        GrafanaError: it lacks one.
    """
    there = set(plugins)
    sql = next((name for name in POSTGRES if name in there), None)
    missing = "PostgreSQL" if sql is None else "Jaeger" if JAEGER not in there else ""
    if sql is None or missing:
        raise GrafanaError(
            f"this Grafana has no {missing} data source: Grafana 13.2.0 and 13.2.1 lost the bundled ones on some "
            "upgrades; take 13.1, or 13.2.2 and later"
        )
    return Target(sql_type=sql, is_old=major < _COLOURS_SINCE, page_url=setup.page_url.rstrip("/"))


def wanted(setup: Setup, target: Target, major: int) -> Iterator[Item]:
    """Yield all that a Grafana of this version is to have, what others need first."""
    yield from folders(setup, nested=major >= _NESTED_SINCE)
    yield sql_source(setup, target)
    yield traces_source(setup, target)
    for board in setup.boards:
        content = {"dashboard": stored(dashboard(board, target)), "folderUid": FOLDER}
        yield Item("board", board.uid, board.title, content)
    if setup.webhook:
        yield contact_point(setup.webhook)
    if setup.alerts:
        receiver = receiver_of(setup) if major >= _RECEIVER_SINCE else ""
        for spec in RULES:
            yield rule(spec, target.sql, receiver)


def notes(setup: Setup, major: int) -> Iterator[str]:
    """Yield what this version of Grafana cannot do."""
    if setup.alerts and major < _NESTED_SINCE:
        yield f"Grafana {major} has no folders in folders: the one of the alert rules lies beside that of the boards"
    if receiver_of(setup) and setup.alerts and major < _RECEIVER_SINCE:
        yield (
            f"alert rules of Grafana {major} cannot name a contact point: route the label source=spanledger to "
            f"{receiver_of(setup)!r} in its notification policies, which this command does not touch"
        )


def receiver_of(setup: Setup) -> str:
    """Return the contact point of our rules; empty for that of the notification policies."""
    return setup.receiver or (CONTACT_POINT_NAME if setup.webhook else "")


def folders(setup: Setup, *, nested: bool) -> Iterator[Item]:
    """Yield the folder of the boards, and that of the alert rules in it."""
    yield Item("folder", FOLDER, "Spanledger", {"title": "Spanledger"})
    if setup.alerts:
        inside: Json = {"parentUid": FOLDER} if nested else {}
        yield Item("folder", ALERT_FOLDER, "Spanledger alerts", {"title": "Spanledger alerts", **inside})


def sql_source(setup: Setup, target: Target) -> Item:
    """Return the PostgreSQL data source."""
    content = {
        "access": "proxy",
        "basicAuth": False,
        "isDefault": False,
        "jsonData": {
            "connMaxLifetime": 14_400,
            "database": "spanledger",
            "maxIdleConns": 4,
            "maxOpenConns": 8,
            "postgresVersion": 1500,
            "sslmode": setup.sslmode,
            "timescaledb": True,
        },
        "name": "Spanledger",
        "secrets": ["password"] if setup.key else [],
        "type": target.sql_type,
        "url": setup.sql_address,
        "user": setup.user,
    }
    return Item("data source", target.sql_uid, "Spanledger", content, {"password": setup.key} if setup.key else {})


def traces_source(setup: Setup, target: Target) -> Item:
    """Return the Jaeger data source."""
    content = {
        "access": "proxy",
        "basicAuth": False,
        "isDefault": False,
        "jsonData": {"httpHeaderName1": "Authorization"} if setup.key else {},
        "name": "Spanledger traces",
        "secrets": ["httpHeaderValue1"] if setup.key else [],
        "type": target.traces_type,
        "url": f"{setup.service_url.rstrip('/')}/jaeger",
        "user": "",
    }
    secrets = {"httpHeaderValue1": f"Bearer {setup.key}"} if setup.key else {}
    return Item("data source", target.traces_uid, "Spanledger traces", content, secrets)


def contact_point(url: str) -> Item:
    """Return the contact point that posts to a URL."""
    content = {
        "disableResolveMessage": False,
        "name": CONTACT_POINT_NAME,
        "settings": {"httpMethod": "POST", "url": url},
        "type": "webhook",
    }
    return Item("contact point", CONTACT_POINT, CONTACT_POINT_NAME, content)


def stored(model: Json) -> Json:
    """Return the part of a board's model that is compared: without what Grafana counts up, and without our mark."""
    kept = {name: value for name, value in model.items() if name not in ("id", "iteration", "version")}
    return kept | {"tags": [tag for tag in model.get("tags") or [] if not tag.startswith(MARK_TAG)]}


MARK_TAG: Final = "spanledger:"
