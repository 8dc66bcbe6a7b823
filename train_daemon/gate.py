"""May this model be published? The exported folder is judged through the door that the simulator uses, on held-out rings.

Both generations see the same rings. Two numbers decide: the force error, and the acceptance that a long trajectory would have,
erfc(sqrt(Var) / 2) with Var the variance of beta times the mean residual energy of a ring (its mean over rings removed).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from kernels.potentials.base import Potential
from kernels.units import KB_EV_PER_K
from protocol.records import Array, Canary, Structure
from train_daemon.dataset import Ring, Sample

FEWEST_BLOCKS = 2  # until so many are held out, models are published on training error and canary alone
NEWEST_RINGS = 150  # rings judged at most: the newest, for the first ones are as narrow as the first trajectories
ACCEPTANCE_GAIN, ACCEPTANCE_LOSS = 0.005, 0.02  # better by; clearly worse by
FORCE_GAIN, FORCE_LOSS = 0.98, 1.1  # the same for the force error, as ratios
OUTLIER = 5.0  # residuals are cut at so many robust deviations: a proposal of an early model far outside must not decide alone
CANARY_STRUCTURES = 4


@dataclass(frozen=True)
class Score:
    """How a model does on the held-out rings."""

    energy_rmse_meV_per_atom: float  # offset per composition removed
    force_rmse_eV_per_A: float
    predicted_acceptance: float
    rings: int
    blocks: int
    whole_rings: bool  # False: of some rings a few beads are labelled, whose mean stands for the ring

    @property
    def facts(self) -> dict[str, float | int | bool]:
        """For the journal and the card."""
        return dict(vars(self))


@dataclass(frozen=True)
class Verdict:
    """What the gate says, in one sentence."""

    publish: bool
    reason: str
    new: Score | None = None
    previous: Score | None = None


def score(potential: Potential, rings: Sequence[Ring], temperature: Callable[[str], float]) -> Score | None:
    """Score of a model; None without rings.  temperature: K, of a simulator."""
    rings = rings[-NEWEST_RINGS:]
    if not rings:
        return None
    samples = [sample for ring in rings for sample in ring.samples]
    energies, forces = evaluate(potential, samples)
    off = energies - np.array([sample.energy for sample in samples])
    squares = np.array([np.mean((f - sample.forces) ** 2) for f, sample in zip(forces, samples, strict=True)])
    owner = np.repeat(np.arange(len(rings)), [len(ring.samples) for ring in rings])
    beads = np.bincount(owner)
    beta = np.array([1.0 / (KB_EV_PER_K * temperature(ring.simulator)) for ring in rings])
    # a ring counts once, however many of its beads are labelled: explored rings are the widest of the sets, and have two
    residuals = beta * np.bincount(owner, off) / beads
    groups = [_composition(ring.samples[0]) for ring in rings]
    ring_squares = np.bincount(owner, squares) / beads
    ring_squares = np.minimum(ring_squares, OUTLIER**2 * np.median(ring_squares))  # a hole's huge forces must not decide alone
    sizes = np.array([len(sample.structure.numbers) for sample in samples])
    per_atom = _centred(off, [_composition(sample) for sample in samples]) / sizes
    return Score(
        1000.0 * float(np.sqrt(np.mean(per_atom**2))),
        float(np.sqrt(np.mean(ring_squares))),
        predicted_acceptance(residuals, groups),
        len(rings),
        len({ring.block for ring in rings}),
        all(ring.whole for ring in rings),
    )


def predicted_acceptance(residuals: Array, groups: Sequence[object] | None = None) -> float:
    """erfc(sqrt(Var) / 2), the mean of each group removed.  residuals: (n,), beta times energies."""
    centred = _centred(residuals, groups or [0] * len(residuals))
    if not np.isfinite(centred).all():
        return 0.0
    limit = OUTLIER * 1.4826 * float(np.median(np.abs(centred)))
    return math.erfc(0.5 * float(np.sqrt(np.mean(np.clip(centred, -limit, limit) ** 2))))


def judge(new: Score | None, previous: Score | None) -> Verdict:
    """Publish or not; previous: None where there is nothing to compare with."""
    if new is None or new.blocks < FEWEST_BLOCKS:
        return Verdict(True, "on training error and canary alone: fewer than two held-out blocks", new, previous)
    if not math.isfinite(new.force_rmse_eV_per_A):
        return Verdict(False, "its held-out forces are not finite", new, previous)
    if previous is None or not math.isfinite(previous.force_rmse_eV_per_A):
        return Verdict(True, "nothing to compare with", new, previous)
    gain = new.predicted_acceptance - previous.predicted_acceptance
    ratio = new.force_rmse_eV_per_A / max(previous.force_rmse_eV_per_A, 1e-12)
    said = f"predicted acceptance {new.predicted_acceptance:.3f} ({gain:+.3f}), force error x {ratio:.3f}"
    if gain < -ACCEPTANCE_LOSS or ratio > FORCE_LOSS:
        return Verdict(False, f"clearly worse: {said}", new, previous)
    if gain > ACCEPTANCE_GAIN or ratio < FORCE_GAIN:
        return Verdict(True, f"better: {said}", new, previous)
    return Verdict(False, f"no better: {said}", new, previous)


def canary(potential: Potential, samples: Sequence[Sample]) -> Canary:
    """Some structures of the newest sample's kind with the model's own numbers; raises ValueError if they are not finite."""
    last = samples[-1].structure
    alike = [sample for sample in samples if _box(sample.structure) == _box(last)]
    chosen = [alike[k] for k in np.unique(np.linspace(0, len(alike) - 1, CANARY_STRUCTURES).astype(int))]
    positions = np.stack([sample.structure.positions for sample in chosen])
    result = potential.evaluate(positions, last.numbers, last.cell, last.pbc)
    if not (np.isfinite(result.energy).all() and np.isfinite(result.forces).all()):
        raise ValueError("the exported model gives numbers that are not finite on its own training structures")
    return Canary(positions, last.numbers, last.cell, last.pbc, result.energy, result.forces)


def evaluate(potential: Potential, samples: Sequence[Sample]) -> tuple[Array, list[Array]]:
    """Energies (n,) eV and forces [(N, 3) eV/A] of any structures, in batches of one kind."""
    energies, forces = np.zeros(len(samples)), [np.zeros(0)] * len(samples)
    for places in alike([sample.structure for sample in samples], len(samples)):
        box = samples[places[0]].structure
        positions = np.stack([samples[place].structure.positions for place in places])
        result = potential.evaluate(positions, box.numbers, box.cell, box.pbc)
        energies[places] = result.energy
        for row, place in enumerate(places):
            forces[place] = result.forces[row]
    return energies, forces


def alike(structures: Sequence[Structure], together: int) -> Iterator[list[int]]:
    """Places of structures that agree in species, cell and periodicity, so many at a time: they can be evaluated in one call."""
    groups: dict[object, list[int]] = {}
    for place, structure in enumerate(structures):
        groups.setdefault(_box(structure), []).append(place)
    for places in groups.values():
        for begin in range(0, len(places), together):
            yield places[begin : begin + together]


def _centred(values: Array, groups: Sequence[object]) -> Array:
    """Values with the median of their group removed."""
    result = np.array(values, dtype=np.float64)
    members: dict[object, list[int]] = {}
    for place, group in enumerate(groups):
        members.setdefault(group, []).append(place)
    for places in members.values():
        result[places] -= np.median(result[places])
    return result


def _composition(sample: Sample) -> bytes:
    return np.sort(sample.structure.numbers).astype(np.int64).tobytes()


def _box(structure: Structure) -> tuple[bytes, bytes, bytes]:
    """Structures that agree in this can be evaluated together."""
    return structure.numbers.tobytes(), structure.cell.tobytes(), structure.pbc.tobytes()
