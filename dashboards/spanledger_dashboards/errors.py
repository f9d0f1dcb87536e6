"""The exceptions of this package.

DashboardsError
├── PanelError               a panel, variable or annotation is not well formed
└── GrafanaError             a Grafana does not answer, or refuses
    ├── GrafanaConflictError somebody else changed the thing meanwhile
    ├── GrafanaMissingError  it does not have the thing
    └── GrafanaQueryError    queries failed
"""

from typing import Any


class DashboardsError(Exception):
    """Root of everything this package raises on purpose."""


class PanelError(DashboardsError, ValueError):
    """A panel, variable or annotation is not well formed."""


class GrafanaError(DashboardsError):
    """A Grafana does not answer, or refuses; the message says what to do."""


class GrafanaConflictError(GrafanaError):
    """Somebody else changed the thing meanwhile."""


class GrafanaMissingError(GrafanaError):
    """Grafana does not have the thing."""


class GrafanaQueryError(GrafanaError):
    """Queries failed; ``results`` says which and why."""

    def __init__(self, results: dict[str, Any]) -> None:
        super().__init__("queries failed")
        self.results = results
