"""Trajectories of a run as arrays: the closed segments of all starts of a simulator, each step once."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import h5py
import numpy as np

from kernels.arrays import Array
from protocol import atomic, hdf5, names
from protocol.errors import Torn
from protocol.store import Store
from renkei.analysis.ledger import Row

PRODUCTION = 1  # in `phase`; 0 is adapt


@dataclass(frozen=True)
class Trajectory:
    """S states of W walkers, each a ring of P beads of N atoms; the state after each step, proposals apart."""

    step: Array  # (S,) int
    phase: Array  # (S,) int, 0 adapt, 1 production
    block: Array  # (S,) int
    positions: Array  # (S, W, P, N, 3) A
    numbers: Array  # (N,) atomic numbers
    cells: Array  # (S, W, 3, 3) A, rows are vectors
    pbc: Array  # (3,) bool

    def __len__(self) -> int:
        return len(self.step)

    @property
    def cell(self) -> Array:
        """(3, 3) A of the first state: all states' where the cell is fixed."""
        return np.asarray(self.cells[0, 0])


def select(trajectory: Trajectory, mask: Array) -> Trajectory:
    """The states where `mask` (S,) is true."""
    kept = {name: getattr(trajectory, name)[mask] for name in ("step", "phase", "block", "positions", "cells")}
    return replace(trajectory, **kept)


def of_walkers(trajectory: Trajectory, walkers: Array) -> Trajectory:
    """The states of some walkers; walkers: (n,) int."""
    return replace(trajectory, positions=trajectory.positions[:, walkers], cells=trajectory.cells[:, walkers])


def read(store: Store, role: str) -> Trajectory | None:
    """All states of one simulator ("sim/NAME") that its ledger has adopted; None while there is none."""
    return _joined(list(segments(store, role)))


def segments(store: Store, role: str, first_step: int = 0) -> Iterator[Trajectory]:
    """The same states a closed segment at a time, in order, so that one segment is in memory.

    first_step: segments that end before it are not read; a segment's file bears the number of its last step.
    """
    adopted = _adopted_steps(store.ledger(role))
    for path in store.trajectories(role):
        if int(path.stem) < first_step:
            continue
        before, last = adopted.get(names.parse_epoch(path.parent.parent.name) or 0, (0, -1))
        segment = read_segment(path)
        chosen = select(segment, (segment.step > before) & (segment.step <= last))
        if len(chosen):
            yield chosen


def read_segment(path: Path) -> Trajectory:
    """One closed segment. Raises Torn for a file that is not one."""
    with hdf5.opened(atomic.read_bytes(path), f"trajectory segment {path}") as file:
        atoms = file["particles/all"]
        segment = Trajectory(
            np.asarray(atoms["position/step"][()], dtype=int),
            np.asarray(file["observables/phase"][()], dtype=int),
            np.asarray(file["observables/block"][()], dtype=int),
            np.asarray(atoms["position/value"][()], dtype=float),
            np.asarray(atoms["species"][()], dtype=int),
            _cells(atoms),
            np.broadcast_to(np.asarray(atoms.attrs["pbc"], dtype=bool), (3,)),
        )
    shape = (len(segment.step), *segment.positions.shape[1:3], len(segment.numbers), 3)
    sound = (
        segment.positions.shape == shape and segment.cells.shape == (*shape[:2], 3, 3) and np.isfinite(segment.positions).all()
    )
    if not sound or not len(segment) == len(segment.phase) == len(segment.block):
        raise Torn("arrays of a trajectory segment do not fit together", str(path), "restore the file from a backup")
    return segment


def _cells(atoms: h5py.Group) -> Array:
    """Of all states and walkers; a file of schema 1 has one for all."""
    box = np.asarray(atoms["box"][()], dtype=float)
    return np.broadcast_to(box, (*atoms["position/value"].shape[:2], 3, 3)) if box.ndim == 2 else box


def _adopted_steps(rows: Sequence[Row]) -> dict[int, tuple[int, int]]:
    """By start: the last step before it, and its own last adopted one: what it wrote beyond was repeated by a later start."""
    adopted: dict[int, tuple[int, int]] = {}
    epoch, reached = 0, -1
    for row in rows:
        if row["event"] == "start":
            epoch = int(row["epoch"])
        elif row["event"] == "step":
            reached = int(row["step"])
        adopted[epoch] = (adopted.get(epoch, (reached, reached))[0], reached)
    return adopted


def _joined(found: Sequence[Trajectory]) -> Trajectory | None:
    if not found:
        return None
    names_ = ("step", "phase", "block", "positions", "cells")
    return replace(found[-1], **{name: np.concatenate([getattr(segment, name) for segment in found]) for name in names_})
