"""python shared_fit.py CASE FOLDER: two fits of a small learner, in one process or in those of torchrun; the first one saves."""

import os
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np

from protocol.records import Structure
from train_daemon.dataset import Sample, TrainingSet
from train_daemon.learners import chebyshev_bpnn
from train_daemon.learners.base import Budget
from train_daemon.processes import with_learner

CASES = {
    "plain": {"batch": 5, "loss": {"name": "alpha_mix", "chain_weight": 1.0, "beta": 0.5}},
    "watched": {"batch": 4, "patience_epochs": 50, "polish_steps": 3, "networks": "shared"},
}
SMALL = {"radial": {"order": 5, "cutoff_A": 4.0}, "angular": {"order": 3, "cutoff_A": 3.5}, "hidden": (8,)}


def data(count):
    """Waters of random forces, weights and sizes; the last minibatch of an epoch has a single structure."""
    rng, samples = np.random.default_rng(0), []
    for number in range(count):
        numbers = np.array([8, 1, 1, 8][: 3 + number % 2])
        positions = 1.2 * np.eye(4, 3)[: len(numbers)] + 0.1 * rng.standard_normal((len(numbers), 3))
        structure = Structure(positions, numbers, np.zeros((3, 3)), np.zeros(3, dtype=bool))
        labels = rng.standard_normal(), rng.standard_normal((len(numbers), 3)), 0.5 + rng.random()
        virial = rng.standard_normal((3, 3)) if number % 3 else None
        samples.append(Sample(f"{number}".encode(), structure, *labels, (number // 3,), virial))
    return TrainingSet(tuple(samples), (1, 8))


def main(case, folder):
    """Fit twice, the second time with more structures."""

    def lead(learner):
        start = model = learner.start(data(11))
        rows = []
        for count, steps in ((11, 23), (16, 12)):
            model, report = learner.fit(model, data(count), Budget(steps, 0, lambda: False, rows.append))
        found = {str(n): part for n, part in enumerate(parts(model))}
        found |= {f"start{n}": part for n, part in enumerate(parts(start))}
        found |= {f"loss{n}": row["loss"] for n, row in enumerate(rows)}
        found |= {"steps": report.steps, "force": report.errors["rmse_force_eV_per_A"]}
        np.savez(folder / f"{case}-{os.environ.get('WORLD_SIZE', '1')}.npz", **found)
        return 0

    settings = chebyshev_bpnn.Settings(**SMALL, **CASES[case])
    trainer = SimpleNamespace(device="cpu", threads=1, scratch=None)
    return with_learner(SimpleNamespace(learner=settings, seed=2), trainer, lead)


def parts(model):
    """All matrices and biases."""
    return [part for species in model.network.layers for layer in species for part in layer]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], Path(sys.argv[2])))
