"""The exceptions of this package.

DashboardsError
└── PanelError               a panel, variable or annotation is not well formed
"""


class DashboardsError(Exception):
    """Root of everything this package raises on purpose."""


class PanelError(DashboardsError, ValueError):
    """A panel, variable or annotation is not well formed."""
