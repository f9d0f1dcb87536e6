"""From findings to notifications: states, groups, routes, silences and inhibition."""

from spanledger_alerts.engine._engine import AlertEngine, Policy
from spanledger_alerts.engine._inhibitions import DEFAULT_INHIBITIONS, build_inhibitions
from spanledger_alerts.engine._mutes import Inhibition, Kind, Mute, Mutes, muting
from spanledger_alerts.engine._routes import Route, Routes, Target, build_routes, read_matchers
from spanledger_alerts.engine._states import OPEN, State, Tracked, advance, label_set

__all__ = [
    "DEFAULT_INHIBITIONS",
    "OPEN",
    "AlertEngine",
    "Inhibition",
    "Kind",
    "Mute",
    "Mutes",
    "Policy",
    "Route",
    "Routes",
    "State",
    "Target",
    "Tracked",
    "advance",
    "build_inhibitions",
    "build_routes",
    "label_set",
    "muting",
    "read_matchers",
]
