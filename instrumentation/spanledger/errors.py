"""What Spanledger raises, and only where the application asked for something that makes no sense.

SpanledgerError
└── ConfigurationError (also a ValueError)

Nothing here ever reaches the application from a model call: see :mod:`spanledger._guard`.
"""


class SpanledgerError(Exception):
    """The root of everything that Spanledger raises on purpose."""


class ConfigurationError(SpanledgerError, ValueError):
    """An argument of :func:`spanledger.configure` that cannot be meant; the message names the valid ones."""
