"""What can go wrong with budgets, rules and notifications.

AlertsError
├── RuleError      a rule, route or inhibition cannot be meant
└── MatcherError   a matcher of a silence, route or inhibition cannot be read
"""


class AlertsError(Exception):
    """Root of everything that this package raises on purpose."""


class RuleError(AlertsError):
    """A rule, a route or an inhibition cannot be meant; the message says what can."""


class MatcherError(AlertsError):
    """A matcher cannot be read; the message shows one that can."""
