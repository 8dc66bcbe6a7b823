"""Errors against a hand calculation."""

from dataclasses import replace

import numpy as np
import pytest

from kernels.potentials.base import Evaluation
from renkei.labels import frames as labelled
from renkei.labels import parity


class Off:
    """Says the truth of the toy plus known errors; counts what it was asked at once."""

    species, cutoff, generation = (), 0.0, 0

    def __init__(self, truth):
        self.truth, self.calls = truth, []

    def evaluate(self, positions, numbers, cell, pbc):
        self.calls.append(len(positions))
        found = [self.truth[p.tobytes()] for p in positions]
        forces = np.array([frame.forces for frame in found])
        forces[:, 0, 0] += 0.3
        stress = np.array([frame.stress + 0.01 * np.eye(3) for frame in found]) if pbc.all() else None
        return Evaluation(np.array([f.energy + 0.02 * len(numbers) for f in found]), forces, stress)


@pytest.fixture
def frames(xyz, molecules):
    return labelled.read([xyz(molecules(9))])


def test_known_errors(frames):
    potential = Off({frame.structure.positions.tobytes(): frame for frame in frames})
    found = parity.errors(frames, parity.predict(potential, frames))
    atoms = 6 * 3 + 3 * 2
    assert (found["structures"], found["atoms"], found["compositions"]) == (9, atoms, 2)
    assert found["energy_rmse_meV_per_atom"] == pytest.approx(20.0)
    assert found["energy_mae_meV_per_atom"] == pytest.approx(20.0)
    assert found["energy_shifted_rmse_meV_per_atom"] == pytest.approx(0.0, abs=1e-6)
    assert found["force_rmse_eV_per_A"] == pytest.approx(0.3 * np.sqrt(9 / (3 * atoms)))
    assert found["force_mae_eV_per_A"] == pytest.approx(0.3 * 9 / (3 * atoms))
    assert found["force_largest_eV_per_A"] == pytest.approx(0.3)
    assert (found["stress_structures"], found["stress_mae_eV_per_A3"]) == (3, pytest.approx(0.01 / 3))
    assert sum(row["atoms"] for row in found["by_force"]) == atoms == sum(row["atoms"] for row in found["species"].values())
    assert found["species"]["H"]["force_rmse_eV_per_A"] == 0.0
    assert found["species"]["O"]["force_rmse_eV_per_A"] == pytest.approx(0.3 * np.sqrt(9 / (3 * 12)))
    assert sorted(potential.calls) == [3, 3, 3], "one call for each kind of box and molecule"


def test_a_constant_per_composition_leaves_the_scatter(frames):
    off = np.array([0.5, 1.5, 0.0] * 3)
    centred, counts = parity.centred(off, frames)
    assert counts == {"H2O": 6, "O2": 3}
    np.testing.assert_allclose(centred, np.array([0.25, 0.0, -0.25] * 3))


def test_stress_is_left_out_where_nobody_has_it(frames):
    found = parity.errors(frames[:2], parity.predict(Off({f.structure.positions.tobytes(): f for f in frames}), frames[:2]))
    assert found["stress_structures"] == 0
    assert "stress_rmse_eV_per_A3" not in found


def test_bins_are_by_the_reference_not_by_the_prediction(frames):
    still = replace(frames[0], forces=np.zeros((3, 3)))
    found = parity.errors([still], parity.Predictions(np.array([still.energy]), (np.full((3, 3), 5.0),), (None,)))
    [row] = found["by_force"]
    assert (row["from_eV_per_A"], row["force_rmse_eV_per_A"]) == (0.0, 5.0)
