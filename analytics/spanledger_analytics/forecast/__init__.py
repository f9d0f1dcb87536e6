"""How a period of spending will end: a model of the week, blended with the last days' pace, with honest intervals."""

from spanledger_analytics.forecast._conformal import Coverage
from spanledger_analytics.forecast._forecaster import SpendForecast, SpendForecaster, Stretch

__all__ = ["Coverage", "SpendForecast", "SpendForecaster", "Stretch"]
