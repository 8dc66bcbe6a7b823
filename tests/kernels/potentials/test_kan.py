"""Splines about an atom below a network; what they are held equal to is in tests/kernels/test_folding.py."""

from dataclasses import replace

import h5py
import numpy as np
import pytest

from kernels import kan_model
from kernels.baseline import Baseline
from kernels.potentials import base, kan

OPEN = np.zeros((3, 3)), np.zeros(3, bool)


def model(terms=(9, 7), functions=6, powers=(1,), walls=True):
    """Random functions of O, Si and H, smooth enough for differences."""
    rng, (radial, angular) = np.random.default_rng(21), terms
    layers = tuple(
        ((rng.normal(size=(4, functions)), rng.normal(size=4)), (rng.normal(size=(1, 4)), rng.normal(size=1))) for _ in range(3)
    )
    tables = 0.3 * rng.normal(size=(3, 3, radial, functions)), 0.3 * rng.normal(size=(3, len(powers), 6, angular, functions))
    pairs = Baseline(np.full((3, 3), 0.3), np.full((3, 3), 0.1), 3.0) if walls else None
    norm = rng.normal(size=(3, functions)), layers, "tanh", rng.normal(size=3), 0.7, pairs
    return kan_model.KanModel((8, 14, 1), 3.7, 3.1, powers, *tables, *norm)


CASES = {"short tables": {}, "long tables": {"terms": (90, 70)}, "powers": {"powers": (1, 3), "walls": False}}


@pytest.fixture(params=CASES.values(), ids=CASES)
def potential(request):
    return kan.Kan(model(**request.param), 3)


def in_numba(potential):
    """The same potential without the compiled kernels."""
    other = kan.Kan(potential.model, 3)
    object.__setattr__(other, "_loops", None)
    return other


@pytest.mark.needs_compiled
def test_compiled_kernels_give_the_numbers_of_numba_in_both_precisions(silica, potential):
    """Short tables are summed by intervals, long ones point by point."""
    here, there = potential.evaluate(*silica), in_numba(potential).evaluate(*silica)
    assert np.allclose(here.energy, there.energy, rtol=1e-12)
    assert np.allclose(here.forces, there.forces, rtol=0, atol=1e-12 * np.abs(there.forces).max())
    assert here.stress is None or np.allclose(here.stress, there.stress, rtol=0, atol=1e-12 * np.abs(there.stress).max())
    loops = [kan.in_compiled_kernels(potential.model, potential._baseline, single) for single in (False, True)]
    (energy, atomic, forces, virial), rough = (one.energy(*silica) for one in loops)
    assert np.allclose(atomic.sum(axis=1), energy, rtol=1e-13)
    assert np.allclose(rough[0], energy, rtol=0, atol=1e-5 * np.abs(atomic).sum(axis=1).max())
    assert not np.array_equal(rough[2], forces)
    for mine, exact in ((rough[1], atomic), (rough[2], forces), (rough[3], virial)):
        assert np.abs(mine - exact).max() < 3e-5 * np.abs(exact).max()


@pytest.mark.needs_compiled
@pytest.mark.parametrize("single", [False, True])
def test_bits_do_not_depend_on_threads_the_list_or_what_came_before(silica, potential, single, monkeypatch):
    positions, *box = silica
    batch = np.concatenate([positions + shift * np.cos(positions) for shift in (0, 0.01, 0.3, -0.2)])
    results = []
    for threads in ("1", "2", "3"):
        monkeypatch.setenv("OMP_NUM_THREADS", threads)
        results.append(kan.in_compiled_kernels(potential.model, potential._baseline, single).energy(batch, *box))
    kept = kan.in_compiled_kernels(potential.model, potential._baseline, single)
    for b in reversed(range(len(batch))):
        alone = kept.energy(batch[b : b + 1], *box)
        assert all(np.array_equal(many[b], one[0]) for result in results for many, one in zip(result, alone, strict=True))


def test_forces_are_minus_the_gradient(silica, potential):
    positions, numbers, cell, pbc = silica
    steps = 1e-4 * np.eye(18).reshape(18, 6, 3)
    energies = [potential.evaluate(positions[0] + sign * steps, numbers, cell, pbc).energy for sign in (-2, -1, 1, 2)]
    slope = (energies[0] - 8 * energies[1] + 8 * energies[2] - energies[3]) / 12e-4
    forces = potential.evaluate(positions[:1], numbers, cell, pbc).forces[0]
    assert np.allclose(forces.ravel(), -slope, rtol=1e-6, atol=1e-6 * np.abs(forces).max())


def test_stress_is_the_derivative_by_strain_and_needs_a_volume(silica, potential):
    positions, numbers, cell, pbc = silica
    stress = potential.evaluate(positions[:1], numbers, cell, pbc).stress
    if not pbc.all():
        assert stress is None
        return
    volume, slope = abs(np.linalg.det(cell)), np.zeros((3, 3))
    for a in range(3):
        for b in range(3):
            for factor, step in ((8, 1e-4), (-8, -1e-4), (-1, 2e-4), (1, -2e-4)):
                strain = np.eye(3)
                strain[a, b] += step
                energy = potential.evaluate(positions[:1] @ strain, numbers, cell @ strain, pbc).energy[0]
                slope[a, b] += factor * energy / 12e-4
    assert np.allclose(stress[0], slope / volume, rtol=1e-6, atol=1e-6 * np.abs(stress).max())


def test_rotation_translation_permutation(silica, potential):
    positions, numbers, cell, pbc = silica
    plain = potential.evaluate(positions, numbers, cell, pbc)
    turn = np.linalg.qr(np.random.default_rng(6).normal(size=(3, 3)))[0]
    moved = potential.evaluate(positions @ turn + [30, -7, 0.3], numbers, cell @ turn, pbc)
    assert np.allclose(moved.energy, plain.energy, rtol=1e-12, atol=1e-11)
    assert np.allclose(moved.forces, plain.forces @ turn, rtol=1e-11, atol=1e-10)
    order = np.array([3, 5, 0, 1, 4, 2])
    swapped = potential.evaluate(positions[:, order], numbers[order], cell, pbc)
    assert np.allclose(swapped.energy, plain.energy, rtol=1e-12, atol=1e-11)
    assert np.allclose(swapped.forces, plain.forces[:, order], rtol=1e-11, atol=1e-11)


def test_doubled_cell_has_twice_the_energy(silica, potential):
    positions, numbers, cell, pbc = silica
    axis = int(np.argmax(pbc))
    if not pbc.any():
        cell, pbc = 40 * np.eye(3), np.array([True, False, False])
    plain = potential.evaluate(positions, numbers, cell, pbc)
    large = cell.copy()
    large[axis] *= 2
    double = potential.evaluate(np.concatenate([positions, positions + cell[axis]], axis=1), np.tile(numbers, 2), large, pbc)
    assert np.allclose(double.energy, 2 * plain.energy, rtol=1e-12)
    assert np.allclose(double.forces[:, :6], plain.forces, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("reach", [3.7, 3.1])
def test_value_and_slope_are_0_at_both_cut_offs(potential, reach):
    """An atom comes in along x: the force on it starts from 0 at the outer cut-off, and has no jump at the inner one."""
    numbers, near = np.array([8, 14, 1]), [[0.0, 0, 0], [0, 2.0, 0]]
    steps = np.array([-2e-4, -1e-4, 0.0, 1e-4])
    batch = np.array([[*near, [reach + step, 0, 0]] for step in steps])
    forces = kan.Kan(replace(potential.model, baseline=None), 0).evaluate(batch, numbers, *OPEN).forces[:, 2]
    if reach == 3.7:
        assert not forces[3].any()
        assert np.abs(forces[2]).max() < 1e-12
        assert forces[0, 0] == pytest.approx(2 * forces[1, 0], rel=0.1)
        assert forces[0, 0] != 0
    else:
        assert np.abs(np.diff(forces, axis=0)).max() < 1e-2  # a jump would not shrink with the step


def test_bits_do_not_depend_on_the_batch(silica, potential):
    positions, numbers, cell, pbc = silica
    batch = np.concatenate([positions, positions[::-1] + 0.05 * np.sin(positions)])[:5]
    together = potential.evaluate(batch, numbers, cell, pbc)
    for b in reversed(range(5)):
        alone = potential.evaluate(batch[b : b + 1], numbers, cell, pbc)
        assert together.energy[b] == alone.energy[0]
        assert np.array_equal(together.forces[b], alone.forces[0])
        assert together.stress is None or np.array_equal(together.stress[b], alone.stress[0])


def test_a_lone_atom_has_no_force(potential):
    result = potential.evaluate(np.zeros((1, 1, 3)), np.array([14]), *OPEN)
    m = potential.model
    (matrix, bias), (last, last_bias) = m.layers[1]
    expected = 0.7 * (last @ np.tanh(matrix @ np.tanh(m.bias[1]) + bias) + last_bias) + m.reference_eV[1]
    assert not result.forces.any()
    assert result.energy == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("wrong", [np.inf, np.nan])
def test_positions_that_are_not_finite_give_nan_alone(silica, potential, wrong):
    positions, numbers, cell, pbc = silica
    broken = positions.copy()
    broken[0, 4, 1] = wrong
    result, plain = (potential.evaluate(x, numbers, cell, pbc) for x in (broken, positions))
    assert np.isnan(result.energy[0])
    assert np.isnan(result.forces[0]).all()
    assert np.array_equal(result.forces[1:], plain.forces[1:])


def test_unknown_species_and_wrong_shapes(silica, potential):
    positions, numbers, cell, pbc = silica
    with pytest.raises(ValueError, match=r"\[26\] are not among the species \[8, 14, 1\]"):
        potential.evaluate(positions, np.where(numbers == 1, 26, numbers), cell, pbc)
    with pytest.raises(ValueError, match="positions"):
        potential.evaluate(positions[:, :5], numbers, cell, pbc)


@pytest.mark.parametrize("walls", [True, False])
def test_weights_survive_writing_and_reading(tmp_path, silica, walls):
    first = model(walls=walls)
    kan_model.write(tmp_path, first)
    data = (tmp_path / "weights.h5").read_bytes()
    second = kan_model.read(tmp_path)
    kan_model.write(tmp_path, second)
    assert (tmp_path / "weights.h5").read_bytes() == data
    assert (second.baseline is not None) == walls
    loaded = base.load("kan", tmp_path, 4)
    assert (loaded.species, loaded.cutoff, loaded.generation) == ((8, 14, 1), 3.7, 4)
    one, other = (p.evaluate(*silica) for p in (kan.Kan(first, 0), loaded))
    assert np.array_equal(one.energy, other.energy)
    assert np.array_equal(one.forces, other.forces)


def damaged(tmp_path, change):
    """The sentence that a changed file is refused with."""
    kan_model.write(tmp_path, model())
    with h5py.File(tmp_path / "weights.h5", "r+") as file:
        change(file)
    with pytest.raises(ValueError, match=r"weights\.h5 is damaged") as caught:
        kan_model.read(tmp_path)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def rename(file, old, new):
    file[new] = file[old]
    del file[old]


def external(file):
    del file["radial"]
    file["radial"] = h5py.ExternalLink("/etc/hostname", "/")


def huge(file):
    del file["bias"]
    file.create_dataset("bias", shape=(1 << 50,), dtype="<f8")


def compressed(file):
    array = file["angular"][:]
    del file["angular"]
    file.create_dataset("angular", data=array, compression="gzip")


@pytest.mark.parametrize(
    ("change", "word"),
    [
        (lambda file: file["1/weight1"].write_direct(np.zeros((4, 6))), "digest"),
        (lambda file: file["reference_eV"].write_direct(np.zeros(3)), "digest"),
        (lambda file: file["repulsion"].write_direct(np.zeros((3, 3))), "digest"),
        (lambda file: file.attrs.modify("activation", "sigmoid"), "digest"),
        (lambda file: file.attrs.modify("baseline_cutoff_A", 0.0), "digest"),
        (lambda file: file["0/bias1"].write_direct(np.full(4, np.nan)), "not finite"),
        (lambda file: file.attrs.modify("format", "renkei-bpnn"), "format"),
        (lambda file: file.attrs.modify("schema", 3), "schema"),
        (lambda file: file.attrs.create("powers", np.array([1, 3])), "shape"),
        (lambda file: file.attrs.modify("powers", np.array([0])), "powers"),
        (lambda file: file.attrs.modify("activation", "relu"), "activation"),
        (lambda file: file.attrs.__delitem__("species"), "species"),
        (lambda file: file.__delitem__("2"), "2"),
        (lambda file: rename(file, "0/bias1", "0/other"), "bias1"),
        (external, "radial"),
        (huge, "more numbers"),
        (compressed, "plain"),
    ],
)
def test_changed_files_are_refused(tmp_path, change, word):
    assert word in damaged(tmp_path, change)


def test_truncated_and_scrambled_files_are_refused(tmp_path):
    kan_model.write(tmp_path, model())
    path, digest = tmp_path / "weights.h5", kan_model._digest(model())
    data, rng = path.read_bytes(), np.random.default_rng(17)
    for length in (0, 1, 100, len(data) // 2, len(data) - 1):
        path.write_bytes(data[:length])
        with pytest.raises(ValueError, match=r"weights\.h5 is damaged"):
            kan_model.read(tmp_path)
    survivors = 0
    for place in rng.integers(0, len(data), 60):
        changed = bytearray(data)
        changed[place] ^= 1 << rng.integers(8)
        path.write_bytes(changed)
        try:
            read = kan_model.read(tmp_path)
        except ValueError as error:
            assert "weights.h5 is damaged" in str(error)  # noqa: PT017
        else:
            survivors += 1  # a byte that means nothing
            assert kan_model._digest(read) == digest
    assert survivors < 40
    path.unlink()
    with pytest.raises(ValueError, match="is missing"):
        kan_model.read(tmp_path)


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"species": (8, 8, 1)}, "species"),
        ({"angular_cutoff_A": 4.0}, "cut-off"),
        ({"powers": (0,)}, "powers"),
        ({"activation": "relu"}, "activation"),
        ({"radial": np.zeros((3, 3, 3, 6))}, "radial has shape"),
        ({"radial": np.zeros((3, 3, 9))}, "axes"),
        ({"angular": np.zeros((3, 1, 5, 7, 6))}, "angular has shape"),
        ({"angular": np.full((3, 1, 6, 7, 6), np.inf)}, "angular holds"),
        ({"bias": np.zeros((3, 5))}, "bias has shape"),
        ({"reference_eV": np.zeros(2)}, "reference_eV"),
        ({"energy_scale_eV": np.nan}, "energy_scale_eV"),
        ({"layers": ()}, "networks"),
        ({"layers": (((np.zeros((2, 6)), np.zeros(2)),),) * 3}, "outputs"),
        ({"baseline": Baseline(np.eye(3), np.eye(3), 3.8)}, "cut-off"),
        ({"baseline": Baseline(-np.eye(3), np.eye(3), 3.0)}, "negative"),
    ],
)
def test_impossible_models_are_refused(change, word):
    with pytest.raises(ValueError, match=word):
        replace(model(), **change)
