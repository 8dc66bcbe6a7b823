"""Trajectories of a run as arrays: the closed segments of all starts of a simulator, each step once."""

from __future__ import annotations

from collections.abc import Sequence
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


def read(store: Store, role: str) -> Trajectory | None:
    """All states of one simulator ("sim/NAME") that its ledger has adopted; None while there is none."""
    last = _last_steps(store.ledger(role))
    segments = []
    for path in store.trajectories(role):
        segment = read_segment(path)
        reached = last.get(names.parse_epoch(path.parent.parent.name) or 0, -1)
        segments.append(select(segment, segment.step <= reached))
    return _joined([segment for segment in segments if len(segment)])


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


def _last_steps(rows: Sequence[Row]) -> dict[int, int]:
    """Last adopted step of every start: what a start wrote beyond it was repeated by a later one."""
    last: dict[int, int] = {}
    epoch, reached = 0, -1
    for row in rows:
        if row["event"] == "start":
            epoch = int(row["epoch"])
        elif row["event"] == "step":
            reached = int(row["step"])
        last[epoch] = reached
    return last


def _joined(segments: Sequence[Trajectory]) -> Trajectory | None:
    """Segments in the order of their writing as one; of a step written twice the later state stays."""
    if not segments:
        return None
    names_ = ("step", "phase", "block", "positions", "cells")
    joined = {name: np.concatenate([getattr(segment, name) for segment in segments]) for name in names_}
    _, from_the_end = np.unique(joined["step"][::-1], return_index=True)
    order = len(joined["step"]) - 1 - from_the_end
    return replace(segments[-1], **{name: array[order] for name, array in joined.items()})
