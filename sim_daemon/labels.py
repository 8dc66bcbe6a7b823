"""From what a step paid for to the records that travel: the one place that stamps origins."""

from __future__ import annotations

import io
from collections import Counter
from collections.abc import Iterator, Sequence

from ase import Atoms
from ase.io import write

from kernels.arrays import Array
from protocol.records import Batch, Label, Origin, Phase, Structure
from sim_daemon.samplers.base import Info, Plan
from sim_daemon.target import TargetValues


def of_step(simulator: str, step: int, plan: Plan, infos: Sequence[Info], first_ring: int) -> Iterator[tuple[Label, Origin]]:
    """Labels of one step of all walkers, with their origins."""
    ring = first_ring
    for walker, info in enumerate(infos):
        for point in info.points:
            taken = info.accepted and point.point == 0
            for bead, label in zip(point.beads, point.labels, strict=True):
                if label is not None:
                    yield label, Origin(simulator, walker, step, point.point, bead, plan.generation, taken, plan.phase, ring)
            ring += 1


def of_startup(simulator: str, values: TargetValues, first: int) -> Iterator[tuple[Label, Origin]]:
    """Independent start-up structures: each a ring of one bead."""
    for k, label in enumerate(values.labels):
        if label is not None:
            yield label, Origin(simulator, 0, -1, first + k, 0, -1, False, Phase.STARTUP, first + k)


def rings(infos: Sequence[Info]) -> int:
    """Number of labelled rings of one step."""
    return sum(len(info.points) for info in infos)


def kept(pairs: Sequence[tuple[Label, Origin]], beads_per_ring: int) -> int:
    """How many of these the trainer keeps: at most so many of each ring."""
    return sum(min(count, beads_per_ring) for count in Counter(origin.ring for _, origin in pairs).values())


def batch(pairs: Sequence[tuple[Label, Origin]]) -> Batch:
    """Labels and origins sent together."""
    return Batch(tuple(p[0] for p in pairs), tuple(p[1] for p in pairs))


def refusals(infos: Sequence[Info]) -> Iterator[tuple[Array, Array, str]]:
    """Positions (N, 3) A, cell (3, 3) A and reason of every structure that the engine refused in one step."""
    for info in infos:
        for point in info.points:
            for positions, reason in zip(point.positions, point.refused, strict=True):
                if reason:
                    yield positions, point.cell, reason


def extended_xyz(structure: Structure, note: str) -> bytes:
    """A structure as text, for the quarantine."""
    text = io.StringIO()
    atoms = Atoms(structure.numbers, structure.positions, cell=structure.cell, pbc=structure.pbc, info={"note": note})
    write(text, atoms, format="extxyz")
    return text.getvalue().encode()
