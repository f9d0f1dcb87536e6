"""Bringing boards, data sources and alert rules into Grafana, and keeping them as they are meant.

Through its HTTP API (:class:`GrafanaProvisioner`), or as files that it reads (:func:`export`). What a user changed is
told and left alone; what is not ours is never touched, the notification policies least of all.
"""

from spanledger_dashboards.provision._client import Grafana
from spanledger_dashboards.provision._export import export
from spanledger_dashboards.provision._model import (
    Action,
    Change,
    Kind,
    PanelResult,
    Progress,
    Provisioner,
    Setup,
)
from spanledger_dashboards.provision._provisioner import GrafanaProvisioner

__all__ = [
    "Action",
    "Change",
    "Grafana",
    "GrafanaProvisioner",
    "Kind",
    "PanelResult",
    "Progress",
    "Provisioner",
    "Setup",
    "export",
]
