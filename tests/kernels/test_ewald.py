"""The Coulomb energy of fixed charges: known lattices, derivatives, and the same from every splitting, batch and format."""

from dataclasses import replace
from itertools import pairwise

import h5py
import numpy as np
import pytest
from scipy.special import erf

from kernels import folding, kan_model
from kernels.descriptors.base import Chebyshev
from kernels.ewald import PointCharges, balanced, evaluate
from kernels.ewald_loops import splitting, summed
from kernels.neighbors.base import lattice
from kernels.potentials import aenet, bpnn, kan
from kernels.units import COULOMB_EV_A

OPEN, PERIODIC = np.zeros(3, bool), np.ones(3, bool)
NUMBERS = np.array([8, 14, 8, 1, 14, 8])
OWN = PointCharges(np.array([-0.9, 1.5, 0.3]), 0.6)  # of O, Si, H: the cell of six has a net charge of 0.6
SKEWED = np.array([[5.1, 0.3, -0.4], [1.1, 5.6, 0.2], [-0.7, 0.9, 6.3]])
FACES = np.array([[0, 1, 1], [1, 0, 1], [1, 1, 0]]) / 2


def cell_of_six(batch=1, seed=3):
    """Positions (batch, 6, 3) of NUMBERS about a grid in SKEWED, some outside it."""
    grid = np.array([[0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1], [1, 1, 0], [1, 0, 1]]) / 2
    return (grid + np.random.default_rng(seed).uniform(-0.1, 0.1, (batch, 6, 3)) + [1, -2, 0]) @ SKEWED


def places(numbers=NUMBERS):
    return np.array([(8, 14, 1).index(number) for number in numbers])


def bpnn_model(charges, family="species_resolved"):
    """Random networks for O, Si and H."""
    descriptor, rng = Chebyshev((8, 14, 1), family, 4, 3.7, 3, 3.1), np.random.default_rng(0)
    sizes = (descriptor.length, 5, 1)
    layers = tuple(tuple((0.1 * rng.normal(size=(b, a)), rng.normal(size=b)) for a, b in pairwise(sizes)) for _ in range(3))
    ones = np.ones((3, descriptor.length))
    return bpnn.BpnnModel(descriptor, layers, "tanh", 0 * ones, ones, rng.normal(size=3), 0.7, charges=charges)


FORMATS = {
    "bpnn": (bpnn, bpnn.write, bpnn.read, lambda charges: bpnn_model(charges), bpnn.Bpnn),
    "kan": (kan_model, kan_model.write, kan_model.read, lambda charges: folding.fold(bpnn_model(charges), 64), kan.Kan),
}


@pytest.fixture(params=FORMATS)
def stored(request):
    """Module of the file, writer, reader, maker of a model and potential of one format."""
    return FORMATS[request.param]


@pytest.mark.parametrize(
    ("cell", "second", "nearest", "madelung"),
    [
        (5.64 * FACES, [0.5, 0.5, 0.5], 2.82, 1.747564594633),
        (4.12 * np.eye(3), [0.5, 0.5, 0.5], 4.12 * 3**0.5 / 2, 1.762674773070),
        (5.41 * FACES, [0.25, 0.25, 0.25], 5.41 * 3**0.5 / 4, 1.638055053389),
    ],
    ids=["NaCl", "CsCl", "ZnS"],
)
def test_narrow_charges_have_the_madelung_constants(cell, second, nearest, madelung):
    positions = np.array([[np.zeros(3), second @ cell]])
    found = evaluate(PointCharges(np.array([2.0, -2.0]), 1e-3), positions, np.arange(2), cell, PERIODIC)
    assert -found.energy[0] * nearest / (4 * COULOMB_EV_A) == pytest.approx(madelung, abs=1e-10)
    assert found.atomic[0] == pytest.approx(found.energy[0] / 2, rel=1e-12)  # half of each pair
    assert np.abs(found.forces).max() < 1e-10


@pytest.mark.parametrize("rate", [0.2, 0.45, 0.9, 5.0])
def test_the_splitting_changes_nothing_and_the_cut_offs_are_as_accurate_as_stated(rate):
    """Of a cell with a net charge; the last rate puts everything into the waves."""
    charges, box = OWN.charges[places()], lattice(SKEWED, PERIODIC)
    exact = summed(cell_of_six(), charges, box, splitting(SKEWED, 0.6, 0.6, 1e-16))
    whole = summed(cell_of_six(), charges, box, splitting(SKEWED, 0.6, rate, 1e-16))
    short = summed(cell_of_six(), charges, box, splitting(SKEWED, 0.6, rate))
    assert abs(exact[0][0]) > 10
    for mine, close, other in zip(whole, short, exact, strict=True):
        assert np.abs(mine - other).max() < 1e-11
        assert np.abs(close - other).max() < 5e-9


def test_the_balance_is_between_pairs_and_waves_and_wide_charges_are_all_in_waves():
    wide, narrow = (balanced((3 * SKEWED).tobytes(), 450, width) for width in (1.0, 0.3))
    assert wide.reach_A == 0
    assert wide.rate == wide.sharp
    assert 3 < narrow.reach_A < 20
    assert narrow.rate < narrow.sharp


def test_a_molecule_has_the_sum_over_its_pairs_which_is_smooth_where_atoms_meet():
    positions = np.random.default_rng(1).normal(size=(2, 5, 3)) * 2
    positions[1, 1] = positions[1, 0] + [1e-3, 0, 0]
    positions[1, 3] = positions[1, 2]
    own, kinds = PointCharges(np.array([0.7, -1.2]), 0.5), np.array([0, 1, 1, 0, 0])
    found = evaluate(own, positions, kinds, np.zeros((3, 3)), OPEN)
    for x, atomic, energy in zip(positions, found.atomic, found.energy, strict=True):
        r = np.linalg.norm(x[:, None] - x, axis=2)
        near = r < 1e-9
        value = np.where(near, (2 / np.pi) ** 0.5 / 0.5, erf(r / (2**0.5 * 0.5)) / np.where(near, 1, r))
        table = COULOMB_EV_A * np.outer(own.charges[kinds], own.charges[kinds]) * value * (1 - np.eye(5))
        assert atomic == pytest.approx(table.sum(1) / 2, rel=1e-12)
        assert energy == pytest.approx(table.sum() / 2, rel=1e-12)
    assert np.abs(found.forces.sum(1)).max() < 1e-12
    assert np.isfinite(found.forces).all()


def test_series_and_closed_form_meet():
    """Two charges on both sides of where erf(x) / x is taken from its series: the curve has no step there."""
    own, x = PointCharges(np.array([1.0]), 0.5), np.array([0.0999, 0.09999999, 0.10000001, 0.1001]) * 0.5 * 2**0.5
    batch = np.stack([np.zeros((4, 3)), np.outer(x, [0, 0, 1])], axis=1)
    found = evaluate(own, batch, np.zeros(2, int), np.zeros((3, 3)), OPEN)
    force = found.forces[:, 1, 2]
    assert force[2] == pytest.approx(force[1], rel=3e-7)
    assert (found.energy[2] - found.energy[1]) / (x[2] - x[1]) == pytest.approx(-force[1], rel=1e-5)
    assert (found.energy[1] - found.energy[0]) / (x[1] - x[0]) == pytest.approx(-(force[0] + force[1]) / 2, rel=1e-6)


def test_a_large_empty_cell_is_the_molecule():
    """Neutral and without a dipole: two opposite pairs; what is left falls with the fifth power of the cell."""
    positions = np.array([[[1.0, 0, 0], [-1, 0, 0], [0, 1, 0], [0, -1, 0]]])
    own, kinds = PointCharges(np.array([1.0, -1.0]), 0.4), np.array([0, 0, 1, 1])
    alone = evaluate(own, positions, kinds, np.zeros((3, 3)), OPEN)
    boxed = evaluate(own, positions, kinds, 60.0 * np.eye(3), PERIODIC)
    assert boxed.energy == pytest.approx(alone.energy, abs=1e-5)
    assert np.allclose(boxed.forces, alone.forces, atol=1e-5)


def test_a_lone_charge_with_its_background():
    """Of a cubic lattice in a uniform background: -1.4186487397 k q^2 / L, and for Gaussians of the width w 2 pi / V w^2 less."""
    length, width, charge = 7.0, 0.6, 1.3
    own = PointCharges(np.array([charge]), width)
    found = evaluate(own, np.zeros((1, 1, 3)), np.zeros(1, int), length * np.eye(3), PERIODIC)
    expected = COULOMB_EV_A * charge**2 * (-1.4186487397403098 / length + np.pi * width**2 / length**3)
    assert found.energy[0] == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("width", [0.1, 0.6, 1.5])
def test_forces_and_virial_are_derivatives(width):
    own, positions, step = OWN._replace(width_A=width), cell_of_six(), 1e-3
    found, kinds, rng = evaluate(own, positions, places(), SKEWED, PERIODIC), places(), np.random.default_rng(2)

    def slope(energies):
        return (energies[0] - 8 * energies[1] + 8 * energies[2] - energies[3]) / (12 * step)

    for _ in range(3):
        direction, strain = rng.normal(size=(6, 3)), rng.normal(size=(3, 3))
        batch = np.concatenate([positions + n * step * direction for n in (-2, -1, 1, 2)])
        moved = slope(evaluate(own, batch, kinds, SKEWED, PERIODIC).energy)
        assert moved == pytest.approx(-np.vdot(found.forces[0], direction), rel=1e-7, abs=1e-7)
        bent = [np.eye(3) + n * step * strain for n in (-2, -1, 1, 2)]
        energies = [evaluate(own, positions @ b, kinds, SKEWED @ b, PERIODIC).energy[0] for b in bent]
        assert slope(energies) == pytest.approx(-np.vdot(found.virial[0], strain), rel=1e-6, abs=1e-6)
    assert np.allclose(found.virial[0], found.virial[0].T, atol=1e-9)
    assert found.energy[0] == pytest.approx(found.atomic.sum(), rel=1e-13)


def test_moved_turned_and_doubled_structures_are_the_same():
    positions, kinds, rng = cell_of_six(), places(), np.random.default_rng(4)
    plain = evaluate(OWN, positions, kinds, SKEWED, PERIODIC)
    turn = np.linalg.qr(rng.normal(size=(3, 3)))[0]
    jumps = rng.integers(-3, 4, (1, 6, 3)) @ SKEWED
    for changed, cell, back in (
        (positions + np.array([30, -7, 0.3]), SKEWED, np.eye(3)),
        (positions + jumps, SKEWED, np.eye(3)),
        (positions @ turn, SKEWED @ turn, turn.T),
        (positions, SKEWED + [[0], [2], [0]] * SKEWED[0], np.eye(3)),  # other vectors of the same lattice
    ):
        found = evaluate(OWN, changed, kinds, cell, PERIODIC)
        assert found.energy == pytest.approx(plain.energy, abs=1e-8)
        assert np.allclose(found.forces @ back, plain.forces, atol=1e-8)
    double = evaluate(
        OWN, np.concatenate([positions, positions + SKEWED[1]], axis=1), np.tile(kinds, 2), SKEWED * [[1], [2], [1]], PERIODIC
    )
    assert double.energy == pytest.approx(2 * plain.energy, abs=1e-8)
    assert np.allclose(double.forces[:, 6:], plain.forces, atol=1e-8)


@pytest.mark.parametrize("pbc", [OPEN, PERIODIC], ids=["open", "periodic"])
def test_bits_do_not_depend_on_the_batch_and_nan_stays_alone(pbc):
    batch = cell_of_six(5)
    batch[1, 2, 0] = np.nan
    together = evaluate(OWN, batch, places(), SKEWED, pbc)
    assert np.isnan(together.energy[1])
    assert np.isnan(together.forces[1]).all()
    for b in (4, 3, 2, 0):
        alone = evaluate(OWN, batch[b : b + 1], places(), SKEWED, pbc)
        for mine, other in zip(alone, together, strict=True):
            assert np.array_equal(mine[0], other[b])


@pytest.mark.parametrize("pbc", [[1, 1, 0], [0, 0, 1]])
def test_slabs_and_wires_are_refused(pbc, stored):
    potential = stored[4](stored[3](OWN), 0)
    with pytest.raises(ValueError, match=f"three directions or in none, this one is in {sum(pbc)}"):
        potential.evaluate(cell_of_six(), NUMBERS, SKEWED, np.array(pbc, bool))


@pytest.mark.parametrize("loops", ["compiled", "numba"])
@pytest.mark.parametrize("pbc", [OPEN, PERIODIC], ids=["open", "periodic"])
def test_a_potential_is_its_network_and_its_charges(stored, pbc, loops, monkeypatch):
    if loops == "numba":
        monkeypatch.setattr(bpnn, "in_compiled_kernels", lambda *_: None)
    _, _, _, make, potential = stored
    box, batch = (NUMBERS, SKEWED, pbc), cell_of_six(3)
    whole, bare = (potential(make(charges), 0) for charges in (OWN, None))
    assert (whole.cutoff, bare.cutoff) == (0.0, 3.7)
    mine, network, coulomb = whole.evaluate(batch, *box), bare.evaluate(batch, *box), evaluate(OWN, batch, places(), *box[1:])
    assert np.array_equal(mine.energy, network.energy + coulomb.energy)
    assert np.array_equal(mine.forces, network.forces + coulomb.forces)
    assert (mine.stress is None) == (not pbc.all())
    if mine.stress is not None:
        assert np.allclose(mine.stress - network.stress, -coulomb.virial / np.linalg.det(SKEWED), rtol=1e-12)


def test_the_file_keeps_them_and_shows_a_change(stored, tmp_path):
    module, write, read, make, _ = stored
    write(tmp_path, make(OWN))
    again, data = read(tmp_path), (tmp_path / module.FILE).read_bytes()
    assert again.charges.width_A == 0.6
    assert np.array_equal(again.charges.charges, OWN.charges)
    write(tmp_path, again)
    assert (tmp_path / module.FILE).read_bytes() == data
    for number in (1.5, 0.6):
        assert data.count(np.float64(number).tobytes()) == 1
        (tmp_path / module.FILE).write_bytes(data.replace(np.float64(number).tobytes(), np.float64(1.6).tobytes()))
        with pytest.raises(ValueError, match="do not match its digest"):
            read(tmp_path)
    (tmp_path / module.FILE).write_bytes(data)
    with h5py.File(tmp_path / module.FILE, "r+") as file:
        del file["charges"]
    with pytest.raises(ValueError, match="is damaged"):
        read(tmp_path)


def test_a_file_without_charges_is_as_it_was(stored, tmp_path):
    module, write, read, make, _ = stored
    write(tmp_path, make(None))
    with h5py.File(tmp_path / module.FILE, "r+") as file:
        assert file.attrs["schema"] == 1
        file.attrs["schema"] = 3 if module is bpnn else 2
    with pytest.raises(ValueError, match="is damaged"):
        read(tmp_path)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"charges": np.zeros(2)}, "3 finite numbers"),
        ({"charges": np.array([0, np.nan, 0])}, "3 finite numbers"),
        ({"width_A": 0.0}, "above 0 A, got 0"),
        ({"width_A": np.inf}, "above 0 A, got inf"),
    ],
)
def test_what_cannot_be(stored, change, said):
    with pytest.raises(ValueError, match=said):
        replace(stored[3](OWN), charges=OWN._replace(**change))


def test_aenet_has_no_place_for_them(tmp_path):
    with pytest.raises(ValueError, match="no place for the charges"):
        aenet.write(tmp_path, bpnn_model(OWN, "species_weighted"))
    assert list(tmp_path.iterdir()) == []
