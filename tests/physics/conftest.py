"""A target made of one formula, so that physics is tested on the real samplers without an engine."""

import numpy as np
import pytest

from kernels.potentials.base import Evaluation
from protocol.records import Structure
from sim_daemon.system import System
from sim_daemon.target import TargetValues


class FormulaTarget:
    """energy_and_forces(x (B, N, 3)) -> (B,), (B, N, 3) plays the first principles."""

    def __init__(self, energy_and_forces, masses_amu, dimensions=3):
        atoms = len(masses_amu)
        structure = Structure(np.zeros((atoms, 3)), np.ones(atoms, int), np.zeros((3, 3)), np.zeros(3, bool))
        self.system = System(structure.numbers, np.array(masses_amu, float), structure, 0, 1, None, False)
        self.formula, self.calls = energy_and_forces, 0

    def __call__(self, positions, cells=None):
        energies, forces = self.formula(positions)
        self.calls += len(positions)
        nothing = (None,) * len(positions)
        ones = np.ones(len(positions), int)
        return TargetValues(positions, energies, forces, nothing, nothing, ones, 0 * ones)


class FormulaSurrogate:
    """The same for a surrogate."""

    species, cutoff, generation = (), 0.0, 0

    def __init__(self, energy_and_forces):
        self.formula = energy_and_forces

    def evaluate(self, positions, numbers, cell, pbc):
        return Evaluation(*self.formula(positions))


@pytest.fixture(scope="session")
def formula_target():
    return FormulaTarget


@pytest.fixture(scope="session")
def formula_surrogate():
    return FormulaSurrogate
