"""Files that a Grafana provisions itself from, and a compose file that starts one with them."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from spanledger_dashboards.grafana_json import Target, dashboard, dumps
from spanledger_dashboards.provision._model import FOLDER, Item, Json, Setup
from spanledger_dashboards.provision._rules import GROUP, RULES, rule
from spanledger_dashboards.provision._wanted import (
    CONTACT_POINT,
    contact_point,
    folders,
    receiver_of,
    sql_source,
    traces_source,
)
from spanledger_dashboards.provision._yaml import dump

KEY_VARIABLE: Final = "SPANLEDGER_KEY"
GRAFANA_IMAGE: Final = "grafana/grafana:13.1.0"
_BOARDS_THERE: Final = "/etc/spanledger/boards"
_HEAD: Final = "# Written by: spanledger dashboards export. Do not edit: it is written anew.\n"
_COMPOSE_HEAD: Final = """\
# Grafana with the boards, data sources and alert rules of Spanledger.
#
#     export SPANLEDGER_KEY=...           # an API key: spanledger keys create --tenant T --role engineer
#     export GRAFANA_ADMIN_PASSWORD=...
#     docker compose up -d                # http://127.0.0.1:3000, user admin
#
# Grafana 13.1 or later, but not 13.2.0 and 13.2.1, which lost the bundled data sources on some upgrades.
"""


def export(directory: Path, setup: Setup) -> list[Path]:
    """Write the files, and return them.

    Args:
        directory: made if it is not there; files of these names are replaced.
        setup: what is wanted; its key is not written, Grafana takes it from ``$SPANLEDGER_KEY``.
    """
    written = []
    for name, text in _files(setup):
        path = directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        written.append(path)
    return written


def _files(setup: Setup) -> Iterator[tuple[str, str]]:
    target = Target(page_url=setup.page_url.rstrip("/"))
    for board in setup.boards:
        yield f"boards/{board.uid}.json", dumps(dashboard(board, target))
    yield "provisioning/datasources/spanledger.yaml", _HEAD + dump(_data_sources(setup, target))
    yield "provisioning/dashboards/spanledger.yaml", _HEAD + dump(_provider())
    if setup.alerts:
        yield "provisioning/alerting/spanledger.yaml", _HEAD + dump(_alerting(setup, target))
    yield "docker-compose.yml", _COMPOSE_HEAD + dump(_compose())


def _data_sources(setup: Setup, target: Target) -> Json:
    known = Setup(
        sql_address=setup.sql_address,
        service_url=setup.service_url,
        user=setup.user,
        sslmode=setup.sslmode,
        key=f"${KEY_VARIABLE}",
    )
    return {
        "apiVersion": 1,
        "prune": True,
        "datasources": [_data_source(make(known, target)) for make in (sql_source, traces_source)],
    }


def _data_source(item: Item) -> Json:
    content = {name: _escaped(value) for name, value in item.content.items() if name != "secrets" and value != ""}
    return {"uid": item.uid, "orgId": 1, **content, "editable": False, "secureJsonData": item.secrets}


def _provider() -> Json:
    provider = {
        "name": "Spanledger",
        "orgId": 1,
        "type": "file",
        "folder": "Spanledger",
        "folderUid": FOLDER,
        "disableDeletion": True,
        "allowUiUpdates": False,
        "updateIntervalSeconds": 60,
        "options": {"path": _BOARDS_THERE},
    }
    return {"apiVersion": 1, "providers": [provider]}


def _alerting(setup: Setup, target: Target) -> Json:
    *_, folder = folders(setup, nested=False)
    rules = [_rule(rule(spec, target.sql, receiver_of(setup))) for spec in RULES]
    group = {"orgId": 1, "name": GROUP, "folder": folder.title, "interval": "1m", "rules": rules}
    found: Json = {"apiVersion": 1, "groups": [group]}
    if setup.webhook:
        point = _escaped(contact_point(setup.webhook).content)
        name = point.pop("name")
        found["contactPoints"] = [{"orgId": 1, "name": name, "receivers": [{"uid": CONTACT_POINT, **point}]}]
    return found


def _rule(item: Item) -> Json:
    """Return a rule; of these Grafana takes queries and annotations as they are, dollar signs included."""
    kept = {name: value for name, value in item.content.items() if name not in ("folderUID", "ruleGroup")}
    return {"uid": item.uid, **kept}


def _escaped(value: Any) -> Any:
    """Double the dollar signs: Grafana puts variables of its environment into data sources and contact points."""
    if isinstance(value, dict):
        return {name: _escaped(inner) for name, inner in value.items()}
    if isinstance(value, list):
        return [_escaped(inner) for inner in value]
    return value.replace("$", "$$") if isinstance(value, str) else value


def _compose() -> Json:
    grafana = {
        "image": f"${{GRAFANA_IMAGE:-{GRAFANA_IMAGE}}}",
        "restart": "unless-stopped",
        "ports": ["127.0.0.1:3000:3000"],
        "environment": {
            KEY_VARIABLE: f"${{{KEY_VARIABLE}:?an API key of Spanledger}}",
            "GF_SECURITY_ADMIN_PASSWORD": "${GRAFANA_ADMIN_PASSWORD:?a password for the user admin}",
            "GF_ANALYTICS_REPORTING_ENABLED": "false",
        },
        # So that a service on the same machine is host.docker.internal on Linux, too.
        "extra_hosts": ["host.docker.internal:host-gateway"],
        "volumes": [
            "./provisioning:/etc/grafana/provisioning:ro",
            f"./boards:{_BOARDS_THERE}:ro",
            "grafana:/var/lib/grafana",
        ],
    }
    return {"services": {"grafana": grafana}, "volumes": {"grafana": {}}}
