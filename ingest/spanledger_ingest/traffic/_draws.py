"""Random columns: Philox words, and the few distributions that the traffic needs, all of them pure functions.

A stream is named by what it is for (seed, tenant, purpose) and counted by the hour, so that any hour of any tenant can
be made alone. Everything after the words is table look-up and plain IEEE arithmetic: numpy's own distributions, and its
``exp`` and ``log``, may differ between releases and processors.
"""

from collections.abc import Sequence
from functools import cache
from hashlib import blake2b
from math import exp
from statistics import NormalDist

import numpy as np
from numpy.random import Philox
from numpy.typing import NDArray

Words = NDArray[np.uint32]
Wide = NDArray[np.uint64]
Reals = NDArray[np.float64]
Whole = NDArray[np.int64]
Flags = NDArray[np.bool_]

_UNIT = 2.0**-32
_TABLE_BITS = 16
_SMALL_MEAN = 24.0
_GOLDEN = 0x9E3779B97F4A7C15
_MASK = 2**64 - 1


def stream_key(*names: str | int) -> int:
    """Return the 128-bit key of a stream, a hash of its name."""
    return int.from_bytes(blake2b("\x1f".join(map(str, names)).encode(), digest_size=16).digest(), "little")


def source(key: int, *counters: int) -> Philox:
    """Return the generator of a stream at a position: up to three counters above the running one."""
    return Philox(key=key, counter=sum(counter << 64 * (place + 1) for place, counter in enumerate(counters)))


def words(bits: Philox, rows: int, columns: int) -> Words:
    """Return a table of 32-bit words, the next ones of a generator."""
    raw: Wide = bits.random_raw(-(-rows * columns // 2))
    return raw.astype("<u8", copy=False).view("<u4")[: rows * columns].reshape(rows, columns)


def uniform(word: Words) -> Reals:
    """Return numbers in [0, 1)."""
    return word.astype(np.float64) * _UNIT


def below(word: Words, limit: int | Whole) -> Whole:
    """Return whole numbers in [0, limit); the bias is below 2**-20 for every limit used here."""
    scaled: Wide = word.astype(np.uint64) * np.asarray(limit, dtype=np.uint64)
    return (scaled >> np.uint64(32)).astype(np.int64)


def normal(word: Words) -> Reals:
    """Return standard normal numbers: one of 65,536 quantiles, so none beyond 4.3."""
    result: Reals = _normals()[word >> (32 - _TABLE_BITS)]
    return result


def spread(word: Words, sigma: float) -> Reals:
    """Return lognormal factors with median one; ``sigma`` is the standard deviation of their logarithm."""
    result: Reals = _lognormals(sigma)[word >> (32 - _TABLE_BITS)]
    return result


def quantile(share: float, sigma: float) -> float:
    """Return the factor below which a share of the lognormal factors lies."""
    return exp(sigma * NormalDist().inv_cdf(share))


def poisson(word: Words, mean: Reals) -> Whole:
    """Return Poisson numbers with the given means: by inversion for small ones, else by Cornish-Fisher."""
    z = normal(word)
    counts = np.floor(mean + np.sqrt(mean) * z + (z * z - 1) / 6 + 0.5).clip(0).astype(np.int64)
    small = mean < _SMALL_MEAN
    counts[small] = _inverted(uniform(word[small]), mean[small])
    return counts


def mix(word: Wide, salt: int = 0) -> Wide:
    """Return well-mixed 64-bit words (splitmix64): more words from the one that names a thing."""
    z = word + np.uint64(_GOLDEN * (salt + 1) & _MASK)
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    mixed: Wide = z ^ (z >> np.uint64(31))
    return mixed


def halves(word: Wide) -> tuple[Words, Words]:
    """Return the upper and the lower 32 bits."""
    return (word >> np.uint64(32)).astype(np.uint32), word.astype(np.uint32)


def named(seed: int, name: str, positions: Sequence[int] | Whole) -> Words:
    """Return one word for each position of a named sequence that has no beginning: noise that can be asked anywhere."""
    start = np.uint64(stream_key(seed, name) & _MASK)
    return halves(mix(start ^ mix(np.asarray(positions).astype(np.uint64))))[0]


def _inverted(u: Reals, mean: Reals) -> Whole:
    counts = np.zeros(len(u), dtype=np.int64)
    term = np.exp(-mean)
    total = term.copy()
    for count in range(1, int(_SMALL_MEAN * 4)):
        beyond = u >= total
        if not beyond.any():
            break
        counts += beyond
        term = term * mean / count
        total = total + term
    return counts


@cache
def _normals() -> Reals:
    half = 2 ** (_TABLE_BITS - 1)
    inverse = NormalDist().inv_cdf
    upper = [round(inverse(0.5 + (place + 0.5) / (2 * half)), 9) for place in range(half)]
    return np.array([-z for z in reversed(upper)] + upper)


@cache
def _lognormals(sigma: float) -> Reals:
    # Twelve places hide the last bit, in which mathematical libraries may differ.
    return np.array([round(exp(sigma * z), 12) for z in _normals().tolist()])
