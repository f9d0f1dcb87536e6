"""A recorded load: request rates of real clients in ten-minute bins, and how their token counts moved.

The file is a numpy archive of ``rate`` [client, bin] (requests), and optionally ``tok`` [client, 4, window] (mean and
variance of input and output tokens). Only shapes are used: a world scales the rates to the calls per day asked for.
"""

from dataclasses import dataclass
from pathlib import Path
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

from spanledger_ingest.errors import IngestError
from spanledger_ingest.traffic._draws import Reals, Whole
from spanledger_ingest.traffic._random import Stream

_LEAST, _MOST = 0.25, 6.0


class LoadError(IngestError):
    """The file of recorded load cannot be used."""


@dataclass(frozen=True, slots=True, eq=False)
class Load:
    """Rates [client, bin], relative to each client's mean, and token factors [client, in|out, window]."""

    means: Reals
    """Requests per bin of each client."""
    shape: Reals
    tokens: Reals
    bins_per_window: int

    def mean(self, client: int) -> float:
        """Return how much a client sends, in the file's own unit."""
        return float(self.means[client])

    def draw(self, stream: Stream, count: int) -> list[int]:
        """Choose clients, largest first; each once as long as there are enough."""
        order = stream.shuffled(range(len(self.means)))
        drawn = [order[place % len(order)] for place in range(count)]
        return sorted(drawn, key=lambda client: (-self.mean(client), client))

    def rates(self, client: int, slots: Whole, shift: int) -> Reals:
        """Return the rate of a client in ten-minute slots since the epoch, relative to its mean."""
        rates: Reals = self.shape[client, (slots + shift) % self.shape.shape[1]]
        return rates

    def token_factors(self, client: int, slots: Whole, shift: int) -> Reals:
        """Return the factors on input and output tokens [2, slot]."""
        window = ((slots + shift) % self.shape.shape[1]) // self.bins_per_window
        factors: Reals = self.tokens[client][:, np.minimum(window, self.tokens.shape[2] - 1)]
        return factors


def read_load(path: Path) -> Load:
    """Read a file of recorded load.

    Raises:
        LoadError: If it is not one.
    """
    try:
        with np.load(path, allow_pickle=False) as archive:
            rate = np.asarray(archive["rate"], dtype=np.float64)
            tokens = np.asarray(archive["tok"], dtype=np.float64) if "tok" in archive.files else None
    except (OSError, ValueError, KeyError, BadZipFile) as error:
        raise LoadError(f"{str(path)!r} is no load: {error}") from error
    if rate.ndim != 2 or not np.isfinite(rate).all() or (rate < 0).any():
        raise LoadError(f"{str(path)!r} is no load: rate must be a table of numbers that are not negative")
    return _load(rate, tokens)


def _load(rate: Reals, tokens: NDArray[np.float64] | None) -> Load:
    means = rate.mean(axis=1)
    alive = means > 0
    rate, means = rate[alive], means[alive]
    factors = np.ones((len(rate), 2, 1)) if tokens is None else _factors(tokens[alive])
    windows = factors.shape[2]
    return Load(means, rate / means[:, None], factors, max(1, rate.shape[1] // windows))


def _factors(tokens: Reals) -> Reals:
    """Return each window's mean tokens over the client's own median window; where nothing is known, one."""
    wanted = tokens[:, (0, 2), :]
    known = np.isfinite(wanted) & (wanted > 0)
    # A client of which nothing is known would have the median of nothing.
    some = np.where(known.any(axis=2, keepdims=True), np.where(known, wanted, np.nan), 1.0)
    usual = np.nanmedian(some, axis=2)[:, :, None]
    ratio: Reals = np.where(known, wanted, usual) / usual
    return ratio.clip(_LEAST, _MOST)
