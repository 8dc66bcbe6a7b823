"""A toy system with exact labels: three atoms bound by springs between all pairs (a bent XY2 molecule)."""

import numpy as np
import pytest

from protocol.records import Batch, Label, Origin, Phase, Structure
from train_daemon.dataset import Sample, TrainingSet

NUMBERS = np.array([8, 1, 1])
START = np.array([[0.0, 0.0, 0.0], [0.96, 0.0, 0.0], [-0.24, 0.93, 0.0]])
LENGTHS = {(0, 1): 0.96, (0, 2): 0.96, (1, 2): 1.52}
STIFFNESS = {(0, 1): 30.0, (0, 2): 30.0, (1, 2): 8.0}  # eV/A^2
OFFSET = -100.0  # eV


def exact(positions):
    """Energy (eV) and forces of one structure (3, 3) A."""
    energy, forces = OFFSET, np.zeros((3, 3))
    for (i, j), length in LENGTHS.items():
        vector = positions[j] - positions[i]
        distance = np.linalg.norm(vector)
        energy += 0.5 * STIFFNESS[i, j] * (distance - length) ** 2
        pull = STIFFNESS[i, j] * (distance - length) * vector / distance
        forces[i] += pull
        forces[j] -= pull
    return energy, forces


@pytest.fixture(scope="session")
def make_structure():
    """make_structure(rng, width) -> Structure near the minimum."""

    def make(rng, width=0.06):
        positions = START + width * rng.standard_normal((3, 3))
        return Structure(positions, NUMBERS, np.zeros((3, 3)), np.zeros(3, dtype=bool))

    return make


@pytest.fixture(scope="session")
def make_label(make_structure):
    """make_label(rng, **changes) -> Label with exact numbers."""

    def make(rng, width=0.06, **changes):
        structure = make_structure(rng, width)
        energy, forces = exact(structure.positions)
        common = {"charge": 0, "multiplicity": 1, "fingerprint": "toy-1", "stress": None}
        return Label(structure=structure, energy=energy, forces=forces, **{**common, **changes})

    return make


@pytest.fixture(scope="session")
def make_batch(make_label):
    """make_batch(rng, steps, beads) -> Batch of whole rings, one per step."""

    def make(rng, steps, beads=4, simulator="sim0", walker=0, phase=Phase.ADAPT, **changes):
        labels, origins = [], []
        for ring, step in enumerate(steps):
            for bead in range(beads):
                labels.append(make_label(rng, **changes))
                origins.append(Origin(simulator, walker, step, 0, bead, -1, True, phase, ring))
        return Batch(tuple(labels), tuple(origins))

    return make


@pytest.fixture(scope="session")
def make_training_set(make_label):
    """make_training_set(n, seed) -> TrainingSet of exact labels."""

    def make(n, seed=0, width=0.06):
        rng = np.random.default_rng(seed)
        labels = [make_label(rng, width) for _ in range(n)]
        return TrainingSet(
            tuple(
                Sample(f"{seed}/{k}".encode(), label.structure, label.energy, label.forces, 1.0) for k, label in enumerate(labels)
            ),
            (1, 8),
        )

    return make
