"""Prompt injection: a small linear model beside the known wordings.

The model is in ``model.json``, what it was made of in ``DATA_CARD.md``; ``scripts/train_injection.py`` makes it anew.
"""

from spanledger_analytics.scorers.injection._scorer import Injection

__all__ = ["Injection"]
