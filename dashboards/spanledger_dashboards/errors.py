"""The exceptions of this package.

DashboardsError
├── PanelError               a panel, variable or annotation is not well formed
└── GrafanaError             a Grafana does not answer, or refuses
    └── GrafanaConflictError somebody else changed the thing meanwhile
"""


class DashboardsError(Exception):
    """Root of everything this package raises on purpose."""


class PanelError(DashboardsError, ValueError):
    """A panel, variable or annotation is not well formed."""


class GrafanaError(DashboardsError):
    """A Grafana does not answer, or refuses; the message says what to do."""


class GrafanaConflictError(GrafanaError):
    """Somebody else changed the thing meanwhile."""
