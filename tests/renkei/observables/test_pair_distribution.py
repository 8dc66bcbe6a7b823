"""g(r) of crystals, gases and clusters; each state in its own cell."""

import numpy as np
import pytest
from ase.build import bulk

from protocol.errors import BadSetting
from renkei.analysis.structure import pair_distributions
from renkei.observables import pair_distribution

PERIODIC = np.ones(3, dtype=bool)


def curves(observable, states):
    return {name: part.total / part.weight for name, part in observable.add(states).curves.items()}


def test_it_is_the_distribution_of_the_report(system, states):
    salt = bulk("NaCl", "rocksalt", a=5.6)
    beads = salt.positions + 0.1 * np.random.default_rng(1).standard_normal((1, 1, 4, 2, 3))
    known = system(beads, salt.numbers, salt.cell[:])
    found = curves(pair_distribution.build(known, largest_A=6.0, bins=60), states(beads, salt.cell[:]))
    want = pair_distributions(beads[0], salt.numbers, salt.cell[:][None], PERIODIC, 6.0, bins=60)
    assert len(want) == 3
    for one in want:
        np.testing.assert_allclose(found[f"pair_distribution_{one.pair}"][0, 0], one.value)


def test_an_ideal_gas_in_cells_that_breathe_is_one(system, states):
    """Two elements of 12 atoms, lattice vectors 6 to 7 A: 1 between elements, 11/12 within one (no image is so near)."""
    rng = np.random.default_rng(2)
    cells = np.diag([6.0, 6.3, 6.6]) * rng.uniform(1.0, 1.08, (150, 2, 1, 1))
    positions = np.einsum("swpna,swab->swpnb", rng.random((150, 2, 3, 24, 3)), cells)
    known = system(positions, [8] * 12 + [1] * 12, cells[0, 0])
    found = curves(pair_distribution.build(known, largest_A=5.9, bins=20), states(positions, cells))
    for name, want in [("O-H", 1.0), ("O-O", 11 / 12), ("H-H", 11 / 12)]:
        assert found[f"pair_distribution_{name}"].mean(axis=(0, 1))[6:].mean() == pytest.approx(want, abs=0.01)


def test_a_crystal_that_breathes_keeps_its_first_shell(system, states):
    """Six neighbours at half of each state's own lattice constant."""
    salt = bulk("NaCl", "rocksalt", a=5.6)
    scale = np.array([[1.0], [1.1]])[..., None, None]
    positions, cells = salt.positions * scale[:, :, None], salt.cell[:] * scale
    known = system(positions, salt.numbers, salt.cell[:])
    found = curves(pair_distribution.build(known, largest_A=4.0, bins=400), states(positions, cells))["pair_distribution_Cl-Na"]
    for value, cell, distance in zip(found[:, 0], cells[:, 0], (2.8, 3.08), strict=True):
        [place] = np.flatnonzero(value)
        assert place * 0.01 == pytest.approx(distance, abs=0.011)
        shell = 4 / 3 * np.pi * (((place + 1) * 0.01) ** 3 - (place * 0.01) ** 3)
        assert value[place] * shell / np.linalg.det(cell) == pytest.approx(6.0)


def test_distances_of_a_cluster_are_a_density(system, states, water):
    found = curves(pair_distribution.build(system(water, [8, 1, 1])), states(water))
    assert set(found) == {"pair_distribution_O-H", "pair_distribution_H-H"}
    for value in found.values():
        np.testing.assert_allclose(value.sum(axis=-1) * 0.03, 1.0)


def test_absurd_options(system, water):
    with pytest.raises(BadSetting, match="must be positive"):
        pair_distribution.build(system(water, [8, 1, 1]), largest_A=-1.0)
