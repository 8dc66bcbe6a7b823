"""A learner of one's own: energies linear in the Chebyshev features, by regularised least squares on energies and forces.

docs/extending.md goes through it. An atom of species s has the energy reference_s + sum_f weight_sf (G_f - mean_sf) scale_sf: a
network without hidden layers, so it is exported in the format `bpnn` and the simulator needs nothing new. One optimiser step is
one step of conjugate gradients on the normal equations.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from time import monotonic

import numpy as np
from pydantic import Field

from kernels.arrays import Array
from kernels.descriptors.base import Chebyshev, kinds
from kernels.descriptors.numba_cpu import push_forward, values
from kernels.potentials import bpnn
from protocol import checkpoint
from protocol.errors import LearnFailed
from protocol.settings import Section
from train_daemon.dataset import Sample, TrainingSet
from train_daemon.learners.base import Budget, Export, FitReport, LearnerContext
from train_daemon.learners.chebyshev_bpnn import Angular, Radial


class Settings(Section):
    """Keys of `learner:` in run.yaml."""

    name: str = "examples.linear_learner"
    radial: Radial = Radial()
    angular: Angular = Angular()
    ridge: float = Field(default=1e-6, ge=0)  # of the largest eigenvalue of the normal equations, added to all of them


ENERGY_WEIGHT_PER_A = 10.0  # of an energy error per atom beside an error of one force component


@dataclass(frozen=True)
class Model:
    """S species, F features; all but the weights is fixed at the start."""

    species: tuple[int, ...]
    mean: Array  # (S, F)
    scale: Array  # (S, F)
    reference_eV: Array  # (S,)
    weights: Array  # (S, F) eV


def build(settings: Settings, context: LearnerContext) -> LinearLearner:
    """The learner; it has no use for a GPU, nor for the seed."""
    return LinearLearner(settings)


class LinearLearner:
    """Keeps what it made of every structure, from fit to fit."""

    device, device_reason = "cpu", "linear algebra in numpy"

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self._kept: dict[bytes, tuple[Array, Array, Array]] = {}  # of a sample's key: composition, features, slopes

    def start(self, data: TrainingSet) -> Model:
        """No weights yet; mean and scale of each species' features, reference energies by least squares on the composition."""
        rows = [self._rows(data.species, sample) for sample in data.samples]
        counts, sums = np.array([row[0] for row in rows]), np.array([row[1] for row in rows])
        atoms = np.maximum(counts.sum(0), 1)[:, None]
        spread = np.std(sums / np.maximum(counts, 1)[:, :, None], axis=0)  # of a structure's mean: what energies differ by
        scale = 1 / np.maximum(spread, 1e-2 * max(spread.max(), 1e-12))
        reference = np.linalg.lstsq(counts, np.array([sample.energy for sample in data.samples]), rcond=None)[0]
        return Model(data.species, sums.sum(0) / atoms, scale, reference, np.zeros_like(scale))

    def fit(self, model: Model, data: TrainingSet, budget: Budget) -> tuple[Model, FitReport]:
        """Conjugate gradients from the weights there are; every step is a pass over all structures, an epoch."""
        matrix, right, weight, of_energy = self._equations(model, data)
        ridge = self.settings.ridge * np.linalg.norm(matrix.T @ matrix, 2)
        weights, begun = model.weights.ravel().copy(), monotonic()
        residual = matrix.T @ (right - matrix @ weights) - ridge * weights
        direction, steps = residual.copy(), 0
        while steps < max(budget.steps, budget.epochs, 1):
            image, square = matrix @ direction, residual @ residual
            length = square / max(image @ image + ridge * (direction @ direction), np.finfo(float).tiny)
            weights += length * direction
            residual -= length * (matrix.T @ image + ridge * direction)
            direction = residual + (residual @ residual) / max(square, np.finfo(float).tiny) * direction
            steps += 1
            loss = float(np.sum((matrix @ weights - right) ** 2))
            if not np.isfinite(loss):
                raise LearnFailed("the least squares have no finite solution", next="look for labels that are no numbers")
            row = {"step": steps, "epoch": steps, "loss": loss, "samples": len(data.samples), "seconds": monotonic() - begun}
            budget.on_epoch(row)
            if budget.should_stop():
                break
        off = np.square((matrix @ weights - right) / weight)
        energy, force = float(np.sqrt(off[of_energy].mean())), float(np.sqrt(off[~of_energy].mean()))
        errors = {"rmse_energy_meV_per_atom": 1e3 * energy, "rmse_force_eV_per_A": force}
        return replace(model, weights=weights.reshape(model.weights.shape)), FitReport(steps, steps, errors)

    def dump(self, model: Model) -> bytes:
        """The model for the checkpoint."""
        return checkpoint.dump({**vars(model), "species": list(model.species)})

    def restore(self, blob: bytes) -> Model:
        """The inverse of dump."""
        state = checkpoint.load(blob)
        return Model(**{**state, "species": tuple(state["species"])})

    def export(self, model: Model, folder: Path) -> Export:
        """The model as networks of one layer."""
        descriptor = self._descriptor(model.species)
        layers = tuple(((weights[None], np.zeros(1)),) for weights in model.weights)
        bpnn.write(folder, bpnn.BpnnModel(descriptor, layers, "linear", model.mean, model.scale, model.reference_eV))
        return Export("bpnn", model.species, descriptor.radial_cutoff_A, self.settings.model_dump(mode="json"))

    def _descriptor(self, species: tuple[int, ...]) -> Chebyshev:
        s = self.settings
        return Chebyshev(species, "species_resolved", s.radial.order, s.radial.cutoff_A, s.angular.order, s.angular.cutoff_A)

    def _rows(self, species: tuple[int, ...], sample: Sample) -> tuple[Array, Array, Array]:
        """Number of atoms (S,), sum of the features (S, F), and the slopes of that sum by all coordinates (3 N, S, F)."""
        if sample.key not in self._kept:
            descriptor, s = self._descriptor(species), sample.structure
            own = np.eye(len(species))[kinds(descriptor, s.numbers)]  # (N, S)
            box, count = (s.numbers, s.cell, s.pbc), 3 * len(s.numbers)
            moves = np.eye(count).reshape(count, -1, 3)  # one coordinate at a time
            slopes = push_forward(descriptor, np.repeat(s.positions[None], count, axis=0), *box, moves)
            features = values(descriptor, s.positions[None], *box)[0]
            self._kept[sample.key] = own.sum(0), own.T @ features, np.einsum("ns,cnf->csf", own, slopes)
        return self._kept[sample.key]

    def _equations(self, model: Model, data: TrainingSet) -> tuple[Array, Array, Array, Array]:
        """Matrix (rows, S F), right side, weight that is in both, and which rows are energies per atom: the others are forces."""
        matrix, right, weight, of_energy = [], [], [], []
        for sample in data.samples:
            counts, sums, slopes = self._rows(model.species, sample)
            energy = (sums - counts[:, None] * model.mean)[None] / counts.sum()
            matrix.append((np.concatenate([energy, -slopes]) * model.scale).reshape(1 + len(slopes), -1))
            right.append(np.append((sample.energy - counts @ model.reference_eV) / counts.sum(), sample.forces))
            of_energy.append(np.arange(1 + len(slopes)) == 0)
            weight.append(np.sqrt(sample.weight) * np.where(of_energy[-1], ENERGY_WEIGHT_PER_A, 1.0))
        rows = np.concatenate(weight)
        return np.concatenate(matrix) * rows[:, None], np.concatenate(right) * rows, rows, np.concatenate(of_energy)
