"""Validation by contiguous blocks of each trajectory: frames beside a training frame would say nothing of new structures."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from kernels.arrays import Array
from renkei.labels.frames import Frame

MOST_BLOCKS = 10  # of one trajectory
SHORTEST_BLOCK = 5  # places; fewer blocks rather than shorter ones


def split(frames: Sequence[Frame], share: float, seed: int) -> tuple[tuple[Frame, ...], tuple[Frame, ...]]:
    """(training, validation) frames: about `share` of each trajectory's places, in blocks, one at random in each stretch.

    A ring's beads stay together. A frame with an element that no training frame has goes back to the training side.
    """
    held = held_out(frames, share, np.random.default_rng([seed, 1]))
    known = {int(z) for frame, out in zip(frames, held, strict=True) if not out for z in frame.structure.numbers}
    held = [out and set(frame.structure.numbers.tolist()) <= known for frame, out in zip(frames, held, strict=True)]
    training = tuple(frame for frame, out in zip(frames, held, strict=True) if not out)
    return training, tuple(frame for frame, out in zip(frames, held, strict=True) if out)


def held_out(frames: Sequence[Frame], share: float, draw: np.random.Generator) -> list[bool]:
    """Whether each frame is held out.  share: of the places, in [0, 0.5]."""
    places: dict[str, set[int]] = {}
    for frame in frames:
        places.setdefault(frame.trajectory, set()).add(frame.place)
    chosen: dict[str, set[int]] = {}
    owed = 0.0
    for name, found in places.items():
        ordered = np.array(sorted(found))
        owed += share * len(ordered)  # what one short trajectory cannot give, a later one does
        count = min(round(owed), len(ordered) // 2 if len(ordered) > 1 else int(len(places) > 1))
        owed -= count
        chosen[name] = set(ordered[_blocks(len(ordered), count, draw)].tolist())
    return [frame.place in chosen[frame.trajectory] for frame in frames]


def _blocks(length: int, count: int, draw: np.random.Generator) -> Array:
    """Which of `length` places are held out: `count` of them, in blocks that are spread evenly.  Returns (length,) bool."""
    mask = np.zeros(length, dtype=bool)
    blocks = max(1, min(MOST_BLOCKS, count // SHORTEST_BLOCK))
    edges = np.linspace(0, length, blocks + 1).astype(int)
    sizes = np.diff(np.linspace(0, count, blocks + 1).astype(int))
    for begin, end, size in zip(edges[:-1], edges[1:], sizes, strict=True):
        at = int(draw.integers(begin, end - size + 1))
        mask[at : at + size] = True
    return mask
