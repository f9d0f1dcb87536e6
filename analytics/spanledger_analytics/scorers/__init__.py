"""The scorers that come with Spanledger, and those that other packages bring.

Each is a :class:`~spanledger_analytics.ports.Scorer`; ``docs/quality.md`` says what each means and how good it is.
"""

from importlib.metadata import entry_points
from typing import Final

from spanledger_analytics.ports import Scorer
from spanledger_analytics.scorers._attack_patterns import AttackPatterns
from spanledger_analytics.scorers._citations import Citations
from spanledger_analytics.scorers._completeness import Completeness
from spanledger_analytics.scorers._language import Language, language_of
from spanledger_analytics.scorers._privacy import Privacy
from spanledger_analytics.scorers._refusal import Refusal
from spanledger_analytics.scorers._repetition import Repetition
from spanledger_analytics.scorers._structure import Structure
from spanledger_analytics.scorers._text import Sentence, sentences
from spanledger_analytics.scorers.groundedness import Groundedness
from spanledger_analytics.scorers.injection import Injection

GROUP: Final = "spanledger.scorers"
"""Entry points of this group are callables without arguments that return a scorer."""


def default_scorers() -> tuple[Scorer, ...]:
    """Return the scorers that need no download and no configuration."""
    return (
        Refusal(),
        Repetition(),
        Completeness(),
        Structure(),
        Citations(),
        Language(),
        Privacy(),
        Injection(),
        Groundedness(),
    )


def installed_scorers() -> tuple[Scorer, ...]:
    """Return the default scorers and those that installed packages offer.

    A scorer of a package takes the place of a default one that gives the same name.
    """
    brought = [point.load()() for point in sorted(entry_points(group=GROUP), key=lambda point: point.name)]
    taken = {name for scorer in brought for name in scorer.names}
    return (*(scorer for scorer in default_scorers() if not taken & set(scorer.names)), *brought)


__all__ = [
    "GROUP",
    "AttackPatterns",
    "Citations",
    "Completeness",
    "Groundedness",
    "Injection",
    "Language",
    "Privacy",
    "Refusal",
    "Repetition",
    "Sentence",
    "Structure",
    "default_scorers",
    "installed_scorers",
    "language_of",
    "sentences",
]
