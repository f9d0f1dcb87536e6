"""What a call costs: one calculator for the application process and for the service.

Light on purpose: standard library only, and the price list is read when the first call is priced.
"""

from spanledger.pricing._models import STANDARD, Model, Window
from spanledger.pricing._rates import Priced, PriceLine, Rate, Rates, Reason
from spanledger.pricing._table import ModelRef, Override, PriceTable, cost_attribute
from spanledger.pricing._units import CODES, UNITS
from spanledger.pricing._usage import TOKEN_FIELDS, TokenUsage

__all__ = [
    "CODES",
    "STANDARD",
    "TOKEN_FIELDS",
    "UNITS",
    "Model",
    "ModelRef",
    "Override",
    "PriceLine",
    "PriceTable",
    "Priced",
    "Rate",
    "Rates",
    "Reason",
    "TokenUsage",
    "Window",
    "cost_attribute",
]
