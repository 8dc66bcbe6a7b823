"""Bonds, angles and pair distributions in any cell."""

import numpy as np
import pytest
from ase.build import bulk, molecule
from ase.neighborlist import neighbor_list

from renkei.analysis import structure

OPEN = (np.zeros((3, 3)), np.zeros(3, dtype=bool))
PERIODIC = np.ones(3, dtype=bool)


def test_water_has_two_bonds_and_one_angle():
    water = molecule("H2O")
    bonds = structure.find_bonds(water.positions, water.numbers, *OPEN)
    assert bonds.names.tolist() == ["O-H", "O-H"]
    lengths = structure.bond_lengths(bonds, water.positions, *OPEN)["O-H"]
    np.testing.assert_allclose(lengths, [water.get_distance(0, 1), water.get_distance(0, 2)])
    angles = structure.bond_angles(bonds, water.positions, water.numbers, *OPEN)
    assert list(angles) == ["H-O-H"]
    np.testing.assert_allclose(angles["H-O-H"], [water.get_angle(1, 0, 2)])


def test_bonds_through_the_faces_of_a_small_cell():
    """Primitive silicon: two atoms, four bonds of equal length, tetrahedral angles at both atoms."""
    silicon = bulk("Si")
    bonds = structure.find_bonds(silicon.positions, silicon.numbers, silicon.cell[:], PERIODIC)
    lengths = structure.bond_lengths(bonds, silicon.positions, silicon.cell[:], PERIODIC)["Si-Si"]
    np.testing.assert_allclose(lengths, [5.43 * np.sqrt(3) / 4] * 4)
    angles = structure.bond_angles(bonds, silicon.positions, silicon.numbers, silicon.cell[:], PERIODIC)["Si-Si-Si"]
    np.testing.assert_allclose(angles, [109.4712206] * 12)


def test_every_ring_is_measured_in_its_own_cell_and_equal_cells_together():
    silicon = bulk("Si")
    bonds = structure.find_bonds(silicon.positions, silicon.numbers, silicon.cell[:], PERIODIC)
    breath = np.array([1.0, 1.1, 1.0, 0.95])
    cells = breath[:, None, None] * silicon.cell[:]
    rings = np.repeat((breath[:, None, None] * silicon.positions)[:, None], 3, axis=1)  # of 3 beads
    asked = []

    def measure(x, cell):
        asked.append(len(x))
        return structure.bond_lengths(bonds, x, cell, PERIODIC)

    found = structure.in_own_cells(measure, rings, cells)["Si-Si"]
    assert found.shape == (4, 3, 4)
    np.testing.assert_allclose(found, (breath * 5.43 * np.sqrt(3) / 4)[:, None, None] * np.ones((4, 3, 4)))
    assert sorted(asked) == [1, 1, 2]


def test_an_atom_bonded_to_its_own_image_once_per_direction():
    chain = structure.find_bonds(np.zeros((1, 3)), np.array([6]), np.diag([1.4, 9.0, 9.0]), PERIODIC)
    np.testing.assert_allclose(chain.vector, [[1.4, 0.0, 0.0]])


def test_a_bond_keeps_its_image_when_atoms_are_wrapped():
    cell = np.array([[4.0, 0.0, 0.0], [1.0, 4.0, 0.0], [0.5, 0.7, 4.0]])
    positions = np.array([[0.1, 0.1, 0.1], [0.1, 0.1, 1.0]])
    bonds = structure.find_bonds(positions, np.array([8, 1]), cell, PERIODIC)
    wrapped = positions + np.array([[0.0, 0.0, 0.0], cell[0] - 2 * cell[2]])
    np.testing.assert_allclose(structure.bond_lengths(bonds, wrapped, cell, PERIODIC)["O-H"], [0.9])


def test_a_bond_that_swings_far_in_a_skewed_cell_is_the_image_nearest_to_the_reference():
    cell = np.array([[5.0, 0, 0], [-2.5, 2.5 * np.sqrt(3), 0], [0, 0, 5.5]])
    bonds = structure.Bonds(np.array([0]), np.array([1]), np.array([[1.0, 0.0, 0.0]]), np.array(["O-H"]))
    swung = bonds.vector + 2.3 * np.array([np.sqrt(0.75), 0.5, 0.0])  # at right angles to b
    positions = np.concatenate([np.zeros((1, 3)), swung + cell[1]])
    np.testing.assert_allclose(structure.bond_vectors(bonds, positions, cell, PERIODIC), swung)


@pytest.mark.parametrize("pbc", [(True, True, True), (True, False, True), (False, True, False)])
def test_pair_counts_equal_those_of_ase(pbc):
    rng = np.random.default_rng(4)
    cell = np.array([[3.0, 0.0, 0.0], [1.4, 2.9, 0.0], [-0.8, 0.9, 3.3]])
    atoms = bulk("NaCl", "rocksalt", a=5.0)
    atoms.set_cell(cell)
    atoms.positions = rng.uniform(-3, 6, (2, 3))  # outside the cell too
    atoms.pbc = pbc
    found = structure.pair_distributions(atoms.positions[None, None], atoms.numbers, cell[None], np.array(pbc), 6.0, bins=30)
    for one in found:
        symbols = one.pair.split("-")
        i, j, distance = neighbor_list("ijd", atoms, 6.0)
        kind = (atoms.symbols[i] == symbols[0]) & (atoms.symbols[j] == symbols[1])
        counts = np.histogram(distance[kind], np.linspace(0, 6, 31))[0]
        if one.is_g:
            edges = np.linspace(0, 6, 31)
            want = counts * atoms.get_volume() / (4 / 3 * np.pi * np.diff(edges**3))
        else:
            want = counts / max(counts.sum(), 1) / 0.2
        np.testing.assert_allclose(one.value, want, atol=1e-12)
    assert any(one.value.any() for one in found)


def test_an_ideal_gas_of_20_atoms_has_g_of_19_20ths():
    """Below the shortest lattice vector no atom sees an image of itself."""
    rng = np.random.default_rng(8)
    cell = np.array([[6.0, 0.0, 0.0], [2.0, 6.0, 0.0], [1.0, -2.0, 6.0]])
    places = rng.random((150, 2, 20, 3))
    for breath in (1.0, rng.uniform(1.0, 1.3, 150)[:, None, None]):  # each ring in its own cell and volume
        cells = np.broadcast_to(breath * cell, (150, 3, 3))
        rings = places @ cells[:, None]
        [g] = structure.pair_distributions(rings, np.full(20, 18), cells, PERIODIC, 5.9, bins=30)
        np.testing.assert_allclose(g.value[8:], 0.95, atol=0.09)
        assert g.value[8:].mean() == pytest.approx(0.95, abs=0.01)


def test_the_first_shell_of_a_crystal_that_breathes():
    """Four neighbours at the bond length of each state's own cell; in the first one's cell they would be elsewhere."""
    silicon = bulk("Si")
    cells = np.array([1.0, 1.1])[:, None, None] * silicon.cell[:]
    rings = (np.array([1.0, 1.1])[:, None, None] * silicon.positions)[:, None]
    [own] = structure.pair_distributions(rings, silicon.numbers, cells, PERIODIC, 2.9, bins=290)
    [first] = structure.pair_distributions(rings, silicon.numbers, cells[[0, 0]], PERIODIC, 2.9, bins=290)
    lengths = np.array([1.0, 1.1]) * 5.43 * np.sqrt(3) / 4
    np.testing.assert_allclose(own.distance[own.value > 0], lengths, atol=0.0051)
    shell = 4 / 3 * np.pi * np.diff(np.linspace(0, 2.9, 291) ** 3)
    volumes = np.abs(np.linalg.det(cells))
    np.testing.assert_allclose((own.value * shell)[own.value > 0], 4 * volumes / (2 * 2))  # two structures of two atoms
    assert np.abs(first.value - own.value).max() > 0.2 * own.value.max()


def test_a_cluster_s_distances_are_normalised():
    water = molecule("H2O")
    found = structure.pair_distributions(water.positions[None, None], water.numbers, OPEN[0][None], OPEN[1], 3.0, bins=60)
    assert [one.pair for one in found] == ["O-H", "H-H"]
    for one in found:
        assert one.value.sum() * 0.05 == pytest.approx(1.0)
        assert not one.is_g


def test_the_first_shell_of_fcc_holds_twelve():
    copper = bulk("Cu", cubic=True)
    edges = np.linspace(0.0, 5.2, 521)
    [counts] = structure.pair_histograms(copper.positions[None], copper.numbers, copper.cell[:], PERIODIC, edges).values()
    shells = np.flatnonzero(counts)
    np.testing.assert_allclose(
        edges[shells] + 0.005, [3.61 / np.sqrt(2), 3.61, 3.61 * np.sqrt(1.5), 3.61 * np.sqrt(2)], atol=0.01
    )
    np.testing.assert_array_equal(counts[shells] / 4, [12, 6, 24, 12])


def test_pairs_of_each_kind():
    assert structure.pair_kinds(np.array([1, 8, 1])) == {"O-O": 1, "O-H": 2, "H-H": 4}
    assert structure.pair_kinds(np.array([1, 8, 1]), own=False) == {"O-O": 0, "O-H": 2, "H-H": 2}
