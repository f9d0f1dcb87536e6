"""From the settings to rules, routes and the engine."""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from spanledger_alerts.engine import Policy, build_inhibitions, build_routes
from spanledger_alerts.errors import AlertsError
from spanledger_alerts.rules import AnyRule, Grouping, build_rules, grouping_values
from spanledger_ingest.settings import AlertingConfig, Settings, SettingsError


@dataclass(frozen=True, slots=True)
class Configured:
    """Rules and what becomes of what they find."""

    rules: tuple[AnyRule, ...]
    policy: Policy
    enabled: bool = True
    """Whether the service evaluates them by itself."""

    def rule(self, name: str) -> AnyRule | None:
        """Return the rule of that name."""
        return next((rule for rule in self.rules if rule.name == name), None)


def configured(settings: Settings, receivers: Collection[str] = ()) -> Configured:
    """Read rules, routes and inhibitions.

    Args:
        settings: the sections ``alerting``, ``routes`` and ``rules``.
        receivers: names of the receivers that exist.

    Raises:
        SettingsError: one of them cannot be meant; the message says what can.
    """
    try:
        rules = build_rules(settings.rules)
        default = [name.strip() for name in settings.routes.default.split(",") if name.strip()]
        routes = build_routes(settings.routes.route, default, receivers, _grouping(settings.alerting))
        inhibitions = build_inhibitions(settings.alerting.inhibit)
    except AlertsError as error:
        raise SettingsError(str(error)) from error
    policy = Policy(
        rules={rule.name: rule for rule in rules},
        routes=routes,
        inhibitions=inhibitions,
        max_per_message=max(settings.alerting.max_per_message, 1),
    )
    return Configured(rules, policy, settings.alerting.enabled)


def _grouping(config: AlertingConfig) -> Grouping:
    texts: dict[str, Any] = {
        name: getattr(config, name) for name in ("group_wait", "group_interval", "repeat_interval")
    }
    return Grouping(**grouping_values("alerting", texts))
