"""What the scorers cost: ``python -m benchmarks.scorers``. CPU time per answer, over made-up texts of three sizes."""

import json
import random
import time
from typing import Final

from spanledger_analytics.evaluation import Evidence, Message, Passage
from spanledger_analytics.scorers import default_scorers

_WORDS: Final = [
    "the",
    "shop",
    "opens",
    "at",
    "nine",
    "a",
    "model",
    "of",
    "two",
    "years",
    "price",
    "delivery",
    "in",
    "Berlin",
    "2019",
    "12.50",
    "warranty",
    "it",
    "is",
    "not",
    "part",
]
_SIZES: Final = (61, 244, 672)
_ROUNDS: Final = 200


def text(count: int, seed: int) -> str:
    """Return sentences of so many words in all."""
    rng = random.Random(seed)  # noqa: S311 - no secret
    words = rng.choices(_WORDS, k=count)
    return " ".join(f"{word.capitalize()}." if n % 12 == 11 else word for n, word in enumerate(words))


def main() -> None:
    """Print milliseconds of CPU per answer, by words of context and scorer."""
    found: dict[str, dict[str, float]] = {}
    for size in _SIZES:
        evidences = [
            Evidence(
                messages=[Message("user", text(20, n))],
                output=text(80, n + 1),
                context=[Passage("1", text(size, n + 2))],
                finish_reason="stop",
            )
            for n in range(_ROUNDS)
        ]
        costs: dict[str, float] = {}
        for scorer in default_scorers():
            began = time.process_time()
            for evidence in evidences:
                scorer.score(evidence)
            costs[scorer.names[0]] = round(1000 * (time.process_time() - began) / _ROUNDS, 4)
        found[f"{size} words"] = costs | {"all": round(sum(costs.values()), 4)}
    print(json.dumps(found, indent=2))


if __name__ == "__main__":
    main()
