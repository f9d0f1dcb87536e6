"""What Spanledger raises, and only where the application asked for something that makes no sense.

SpanledgerError
├── ConfigurationError (also a ValueError)
└── BudgetExceeded     only with ``budgets="enforce"``

Nothing else ever reaches the application from a model call: see :mod:`spanledger._guard`.
"""

from datetime import datetime


class SpanledgerError(Exception):
    """The root of everything that Spanledger raises on purpose."""


class ConfigurationError(SpanledgerError, ValueError):
    """An argument of :func:`spanledger.configure` that cannot be meant; the message names the valid ones."""


class BudgetExceeded(SpanledgerError):  # noqa: N818  # reads as what happened, as the SDKs' own exceptions do
    """A model call was not made, because a budget has no room for it. Nothing was sent to the provider.

    Attributes:
        budget: The name of the budget; ``None`` where the service could not be asked.
        reset: When there is room again, if that is known.
    """

    def __init__(self, budget: str | None, reset: datetime | None = None) -> None:
        self.budget = budget
        self.reset = reset
        when = f"; it begins anew at {reset.isoformat()}" if reset else ""
        what = (
            f"budget {budget!r} has no room for it" if budget else "nobody could say whether a budget has room for it"
        )
        super().__init__(f"the call was not made: {what}{when}")
