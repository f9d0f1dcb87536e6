"""The configuration of the demo's service: what `spanledger.toml` would say."""

from pathlib import Path
from typing import Any, Final

from spanledger_ingest.settings import (
    AlertingConfig,
    ContentConfig,
    ScoringConfig,
    ServerConfig,
    Settings,
    StoreConfig,
)

LIVE_BUDGET: Final = "live-calls"
PREPAID_BUDGET: Final = "prepaid"
"""What every tenant has paid beforehand."""
LIVE_SERVICES: Final = ("corner-shops", "helpdesk", "kiosk")
LIVE_AMOUNT: Final = "0.005"
"""USD: the applications spend a little more, one after the other."""

CAPPED_TENANT: Final = "workshop"
CAP_BUDGET: Final = "workshop-cap"
CAP_AMOUNT: Final = "0.02"
"""USD. What a call can cost at most is held against it until its span is here, so it takes two or three at a time."""

_BUDGETS: Final[dict[str, dict[str, Any]]] = {
    PREPAID_BUDGET: {"amount": 25, "period": "total", "each": "tenant", "thresholds": [80, 100], "unpriced": 0},
    LIVE_BUDGET: {
        "amount": LIVE_AMOUNT,
        "period": "total",
        "service": list(LIVE_SERVICES),
        "unpriced": 0,
        "allow_unseen": True,
    },
    CAP_BUDGET: {
        "amount": CAP_AMOUNT,
        "period": "total",
        "tenant": CAPPED_TENANT,
        "mode": "hard",
        "allow_unseen": True,
    },
}
COMPANY_BUDGET: Final[dict[str, Any]] = {"amount": 200, "period": "month"}
"""Made over REST once there are calls: ``PUT /api/v1/budgets/company``."""

# Nobody wants to watch a demo for five minutes: rules look at seconds where they look at minutes by default.
_SOON: Final = {"every": "1s", "group_wait": "0s", "group_interval": "1s"}
_RULES: Final[dict[str, dict[str, Any]]] = {
    "error_burst": {"window": "10s", "for": "1s", "keep_firing_for": "0s", "min_volume": 10, **_SOON},
    "pii_leak": _SOON,
    "prompt_injection": _SOON,
    "anomaly": _SOON,
}


def demo_settings(data: Path, *, secret: str, webhooks: str, port: int) -> Settings:
    """Return the settings.

    Args:
        data: where the service keeps its data.
        secret: what messages are signed with.
        webhooks: where messages go.
        port: the port of that address.
    """
    receiver = {"url": webhooks, "secret": secret, "allow_http": True, "allow": ["127.0.0.1"], "ports": [port]}
    return Settings(
        server=ServerConfig(port=0, grpc_port=0),
        store=StoreConfig(data=data),
        # What is said leaves only the application that captures it: the helpdesk.
        content=ContentConfig(policy="full"),
        scoring=ScoringConfig(quiet_seconds=1.0),
        alerting=AlertingConfig(group_wait="1s"),
        rules=_RULES,
        budgets=_BUDGETS,
        receivers={"team": receiver},
    )
