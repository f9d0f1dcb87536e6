"""Budgets in the service: from the configuration and over REST, followed by jobs, shown in SQL."""

from spanledger_ingest.budgets._admission import Admission, AdmitRequest, admission_jobs
from spanledger_ingest.budgets._area import BudgetArea, BudgetStore, budget_jobs
from spanledger_ingest.budgets._config import configured_budgets
from spanledger_ingest.budgets._known import Known
from spanledger_ingest.budgets._rows import event_row, moment, status_row

__all__ = [
    "Admission",
    "AdmitRequest",
    "BudgetArea",
    "BudgetStore",
    "Known",
    "admission_jobs",
    "budget_jobs",
    "configured_budgets",
    "event_row",
    "moment",
    "status_row",
]
