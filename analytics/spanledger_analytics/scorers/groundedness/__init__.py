"""Groundedness by words: what of an answer stands in its context, sentence by sentence.

The model is in ``model.json``, what it was made of in ``DATA_CARD.md``;
``scripts/train_groundedness.py`` makes it anew.
"""

from spanledger_analytics.scorers.groundedness._scorer import Groundedness

__all__ = ["Groundedness"]
