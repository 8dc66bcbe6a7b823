"""Counter-based random numbers: no generator state is stored, so restarts and rank counts change nothing."""

from __future__ import annotations

import hashlib
from collections.abc import Callable

import numpy as np

Rng = Callable[[str, int], np.random.Generator]  # (purpose, walker) -> generator of one Markov step


def generator(seed: int, simulator: str, purpose: str, walker: int, step: int) -> np.random.Generator:
    """Philox with key (seed, digest of "SIMULATOR/purpose") and counter [0, 0, walker, step].

    numpy counts draws in the two low words, so streams of different walkers, steps and purposes never meet.
    """
    digest = hashlib.sha256(f"{simulator}/{purpose}".encode()).digest()[:8]
    key = np.array([seed, int.from_bytes(digest, "little")], dtype=np.uint64)
    counter = np.array([0, 0, walker, step], dtype=np.uint64)
    return np.random.Generator(np.random.Philox(key=key, counter=counter))


def step_rng(seed: int, simulator: str, step: int) -> Rng:
    """The random numbers of one step, asked for by purpose ("momenta", "accept", "length") and walker."""
    return lambda purpose, walker: generator(seed, simulator, purpose, walker, step)
