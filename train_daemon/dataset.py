"""Batches -> training side and held-out side, split for ever by blocks of the chain.

A block is (simulator, walker, 20 consecutive steps); all beads and rejected proposals of a block are on one side, by hash,
about one block in six held out. The first held-out chain block comes at the latest as the third block, the second as the eighth.
A start-up structure is a block of its own.
Thinning of a ring's beads (a fixed choice by hash), the force cap and the weights concern the training side only.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from hashlib import sha256

import numpy as np

from protocol.errors import WrongPeer
from protocol.records import Array, Batch, Label, Origin, Phase, Structure

BLOCK_STEPS = 20
ONE_IN = 6  # one block in six is held out
FORCE_CAP_EV_PER_A = 30.0  # beyond it a structure says more about the wall than about the well: not trained on
STARTUP_CAP = 250  # start-up structures that are trained on at most: more of them swamp the real rings
STARTUP_FLOOR = 0.05  # smallest weight of a start-up structure once real rings are plenty

VALIDATION_ONE_IN = 8  # blocks of the training side, for a learner that watches its own fit

Block = tuple[str | int, ...]
Name = str  # of a batch: "simulator/epoch/number"


@dataclass(frozen=True)
class Sample:
    """One labelled structure as the learner sees it."""

    key: bytes  # digest of the structure
    structure: Structure
    energy: float  # eV
    forces: Array  # (N, 3) eV/A
    weight: float  # of its terms in the loss
    block: Block = ()  # of the chain, () where there is none
    virial: Array | None = None  # (3, 3) eV: minus stress times volume


@dataclass(frozen=True)
class TrainingSet:
    """What a learner learns from; `species` are the atomic numbers of the whole run, ascending."""

    samples: tuple[Sample, ...]
    species: tuple[int, ...]


@dataclass(frozen=True)
class Ring:
    """All labelled beads of one held-out ring, in the order of the beads."""

    simulator: str
    samples: tuple[Sample, ...]
    block: Block
    whole: bool  # as many beads as the longest ring of its simulator
    startup: bool


@dataclass(frozen=True)
class Identity:
    """What every label of a run shares."""

    charge: int
    multiplicity: int
    fingerprint: str
    species: tuple[int, ...]


@dataclass(frozen=True)
class _Row:
    """A label with its place."""

    sample: Sample
    origin: Origin
    block: Block
    heldout: bool

    @cached_property
    def hot(self) -> bool:
        """Whether its forces are absurd."""
        return bool(np.abs(self.sample.forces).max(initial=0.0) > FORCE_CAP_EV_PER_A)


@dataclass
class Dataset:
    """All batches of a run up to now; forgets nothing but what its sender retracted."""

    beads_per_ring: int
    identity: Identity | None = None
    _rows: dict[Name, tuple[_Row, ...]] = field(default_factory=dict)
    _sides: dict[Block, bool] = field(default_factory=dict)
    _counts: tuple[int, int] | None = None

    @property
    def names(self) -> tuple[Name, ...]:
        """Batches in the order in which they came."""
        return tuple(self._rows)

    def add(self, name: Name, batch: Batch, elements: Iterable[int] = ()) -> tuple[int, int]:
        """Take a batch; one that is here already changes nothing. Returns its numbers of (training, held-out) labels.

        elements: atomic numbers that the whole run learns; of the first batch they count, beside its own.
        Raises WrongPeer if its labels are of another system or engine than the first batch.
        """
        if name not in self._rows:
            identity = self._checked(name, batch, elements)
            rows = []
            for label, origin in zip(batch.labels, batch.origins, strict=True):
                block = _block(origin)
                rows.append(_Row(_sample(label, block), origin, block, self._side(block)))
            self.identity = identity
            self._rows[name] = tuple(rows)
            self._counts = None
        train = sum(len(beads) for beads in self._thinned(self._rows[name]))
        return train, sum(row.heldout for row in self._rows[name])

    def remove(self, name: Name) -> None:
        """Forget a batch that its sender retracted."""
        self._rows.pop(name, None)
        self._counts = None

    def training_set(self) -> TrainingSet:
        """The training side: each structure once, rings thinned, start-up labels capped and down-weighted."""
        chosen = [row for rows in self._unique().values() for beads in self._thinned(rows) for row in beads]
        startup = sorted((row for row in chosen if row.origin.phase is Phase.STARTUP), key=lambda row: row.sample.key)
        startup = startup[:STARTUP_CAP]
        kept = {row.sample.key for row in startup}
        chain = sum(row.origin.phase is not Phase.STARTUP for row in chosen)
        share = max(STARTUP_FLOOR, len(startup) / max(1, len(startup) + chain))
        samples = []
        for row in chosen:
            if row.origin.phase is not Phase.STARTUP:
                samples.append(row.sample)
            elif row.sample.key in kept:
                samples.append(replace(row.sample, weight=share))
        return TrainingSet(tuple(samples), self.identity.species if self.identity else ())

    def heldout(self) -> tuple[Ring, ...]:
        """The held-out side in whole rings, in order of arrival; start-up rings only until two chain blocks are held out."""
        rings = list(self._heldout_rings())
        chain = {ring.block for ring in rings if not ring.startup}
        return tuple(ring for ring in rings if not ring.startup) if len(chain) >= 2 else tuple(rings)

    @property
    def labels(self) -> tuple[int, int]:
        """Numbers of (training, held-out) labels."""
        if self._counts is None:
            heldout = sum(row.heldout for rows in self._unique().values() for row in rows)
            self._counts = len(self.training_set().samples), heldout
        return self._counts

    def _heldout_rings(self) -> Iterable[Ring]:
        groups: dict[tuple[object, ...], list[_Row]] = {}
        longest: dict[str, int] = {}
        for name, rows in self._unique().items():
            for row in rows:
                if row.heldout:
                    groups.setdefault((name, row.origin.ring), []).append(row)
        for beads in groups.values():
            simulator = beads[0].origin.simulator
            longest[simulator] = max(longest.get(simulator, 0), len(beads))
        for beads in groups.values():
            beads.sort(key=lambda row: row.origin.bead)
            first = beads[0]
            whole = len(beads) == longest[first.origin.simulator]
            samples = tuple(row.sample for row in beads)
            yield Ring(first.origin.simulator, samples, first.block, whole, first.origin.phase is Phase.STARTUP)

    def _unique(self) -> dict[Name, tuple[_Row, ...]]:
        """Rows without repeats of a structure; the first to come stays, on whichever side."""
        seen: set[bytes] = set()
        result = {}
        for name, rows in self._rows.items():
            kept = []
            for row in rows:
                if row.sample.key not in seen:
                    seen.add(row.sample.key)
                    kept.append(row)
            result[name] = tuple(kept)
        return result

    def _thinned(self, rows: tuple[_Row, ...]) -> list[list[_Row]]:
        """Training rows of a batch by ring, at most beads_per_ring of each."""
        rings: dict[int, list[_Row]] = {}
        for row in rows:
            if not row.heldout and not row.hot:
                rings.setdefault(row.origin.ring, []).append(row)
        return [sorted(beads, key=lambda row: row.sample.key)[: self.beads_per_ring] for beads in rings.values()]

    def _side(self, block: Block) -> bool:
        """Whether a block is held out; decided at first sight, never changed."""
        if block not in self._sides:
            chain = [out for seen, out in self._sides.items() if seen[0] == "chain"]
            due = (len(chain) >= 2) + (len(chain) >= 7)
            late = block[0] == "chain" and sum(chain) < due
            self._sides[block] = late or int.from_bytes(_digest(repr(block).encode())[:8], "big") % ONE_IN == 0
        return self._sides[block]

    def _checked(self, name: Name, batch: Batch, elements: Iterable[int]) -> Identity:
        """What the batch's labels share, equal to what the first batch said."""
        mine = self.identity
        for label in batch.labels:
            species = tuple(sorted({int(z) for z in label.structure.numbers}))
            theirs = Identity(label.charge, label.multiplicity, label.fingerprint, species)
            mine = mine or replace(theirs, species=tuple(sorted({*species, *map(int, elements)})))
            for what in ("charge", "multiplicity", "fingerprint"):
                if getattr(theirs, what) != getattr(mine, what):
                    raise WrongPeer(
                        f"labels of {what} {getattr(theirs, what)}, but this run learns {what} {getattr(mine, what)}",
                        f"batch {name}",
                        "one run folder is for one system and one engine: use a new one",
                    )
            if not set(species) <= set(mine.species):
                raise WrongPeer(
                    f"labels of the elements {species}, but this run learns {mine.species}",
                    f"batch {name}",
                    "use a new run folder",
                )
        if mine is None:
            raise WrongPeer("a batch without labels", f"batch {name}")
        return mine


def _block(origin: Origin) -> Block:
    """The block of a label; its first word says of what kind."""
    if origin.step >= 0:
        return ("chain", origin.simulator, origin.walker, origin.step // BLOCK_STEPS)
    return ("startup", origin.simulator, origin.walker, origin.point)


def validation_side(samples: Sequence[Sample]) -> Array:
    """Which samples a learner may watch its fit with instead of training on them: about one block in eight, by hash.

    Returns (n,) bool. There is such a block as soon as there are two; a sample without a block is one of its own.
    """
    names = [repr(sample.block).encode() if sample.block else sample.key for sample in samples]
    draws = {name: int.from_bytes(_digest(b"validation/" + name)[:8], "big") for name in names}
    chosen = {name for name, draw in draws.items() if draw % VALIDATION_ONE_IN == 0}
    if len(chosen) in (0, len(draws)):
        chosen = {min(draws, key=lambda name: draws[name])} if len(draws) > 1 else set()
    return np.array([name in chosen for name in names], dtype=bool)


def virial_of(stress: Array | None, cell: Array) -> Array | None:
    """The virial (3, 3) eV of a stress (3, 3) eV/A^3, tension positive, in a cell (3, 3) A; None where there is none."""
    return None if stress is None else -stress * abs(float(np.linalg.det(cell)))


def _sample(label: Label, block: Block) -> Sample:
    structure = label.structure
    parts = (structure.positions, structure.numbers.astype(np.int64), structure.cell, structure.pbc.astype(np.int8))
    key = _digest(b"".join(np.ascontiguousarray(part).tobytes() for part in parts))
    return Sample(key, structure, label.energy, label.forces, 1.0, block, virial_of(label.stress, structure.cell))


def _digest(data: bytes) -> bytes:
    return sha256(data).digest()[:16]
