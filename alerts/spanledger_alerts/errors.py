"""What can go wrong with budgets, rules and notifications.

AlertsError
├── BudgetError    a budget cannot be meant, or nothing could ever count for it
│   └── BudgetReadOnlyError  it stands in the configuration file
├── RuleError      a rule, route or inhibition cannot be meant
├── MatcherError   a matcher of a silence, route or inhibition cannot be read
└── DeliveryError  a message cannot be made or sent
    ├── AddressRefusedError  the guard does not let anything go there
    └── ReceiverError        a receiver is configured in a way that cannot be meant
"""


class AlertsError(Exception):
    """Root of everything that this package raises on purpose."""


class BudgetError(AlertsError):
    """A budget cannot be meant; the message says what can."""


class BudgetReadOnlyError(BudgetError):
    """A budget stands in the configuration file, and can be changed there alone."""


class RuleError(AlertsError):
    """A rule, a route or an inhibition cannot be meant; the message says what can."""


class MatcherError(AlertsError):
    """A matcher cannot be read; the message shows one that can."""


class DeliveryError(AlertsError):
    """A message cannot be made or sent."""


class AddressRefusedError(DeliveryError):
    """Nothing is sent to this address, for security; the text never shows the address."""


class ReceiverError(DeliveryError):
    """A receiver is configured in a way that cannot be meant; the message says what can."""
