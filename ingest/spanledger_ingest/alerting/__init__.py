"""Alerts in the service: rules are evaluated, what they find is told and shown."""

from spanledger_ingest.alerting._alerting import Alerting, RuleStore, StoredData, alert_jobs
from spanledger_ingest.alerting._build import Configured, configured
from spanledger_ingest.alerting._metrics import alert_metrics, service_readings
from spanledger_ingest.alerting._rows import STATES, alert_rows, moment, mute_json
from spanledger_ingest.alerting._runner import RuleRunner, RuleStats

__all__ = [
    "STATES",
    "Alerting",
    "Configured",
    "RuleRunner",
    "RuleStats",
    "RuleStore",
    "StoredData",
    "alert_jobs",
    "alert_metrics",
    "alert_rows",
    "configured",
    "moment",
    "mute_json",
    "service_readings",
]
