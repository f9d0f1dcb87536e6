"""Budgets: what may be spent on what and when, an exact ledger of what was, and what is told of it."""

from spanledger_alerts.budgets._book import Book, Definitions, Entry, read_book
from spanledger_alerts.budgets._calendar import Cycle, Period
from spanledger_alerts.budgets._definition import DIMENSIONS, Budget, BurnPair, Estimate, Mode, Source
from spanledger_alerts.budgets._known import KnownNames, check_can_match
from spanledger_alerts.budgets._ledger import BudgetLedger, KeptSince
from spanledger_alerts.budgets._match import Matcher
from spanledger_alerts.budgets._money import Spend, amount_of, nano_of
from spanledger_alerts.budgets._outlook import Outlook
from spanledger_alerts.budgets._parse import KEYS, parse_budget
from spanledger_alerts.budgets._ports import SPEND, Forecast, Forecaster, SpendStore, Tell, no_forecast
from spanledger_alerts.budgets._status import BudgetStatus, Outcome, State, statuses
from spanledger_alerts.budgets._tables import EventRow, PeriodRow, Tables

__all__ = [
    "DIMENSIONS",
    "KEYS",
    "SPEND",
    "Book",
    "Budget",
    "BudgetLedger",
    "BudgetStatus",
    "BurnPair",
    "Cycle",
    "Definitions",
    "Entry",
    "Estimate",
    "EventRow",
    "Forecast",
    "Forecaster",
    "KeptSince",
    "KnownNames",
    "Matcher",
    "Mode",
    "Outcome",
    "Outlook",
    "Period",
    "PeriodRow",
    "Source",
    "Spend",
    "SpendStore",
    "State",
    "Tables",
    "Tell",
    "amount_of",
    "check_can_match",
    "nano_of",
    "no_forecast",
    "parse_budget",
    "read_book",
    "statuses",
]
