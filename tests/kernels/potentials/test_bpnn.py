from dataclasses import replace
from itertools import pairwise

import h5py
import numpy as np
import pytest

from kernels.descriptors import reference
from kernels.descriptors.base import Chebyshev
from kernels.network import ACTIVATIONS
from kernels.potentials import base, bpnn

OPEN = np.zeros((3, 3)), np.zeros(3, bool)


def model(descriptor, activation="tanh", hidden=(7, 6)):
    """Random networks, alike in nothing but their sizes."""
    rng = np.random.default_rng(21)
    sizes = (descriptor.length, *hidden, 1)
    pairs = list(pairwise(sizes))
    layers = tuple(
        tuple((rng.normal(size=(outputs, inputs)) / inputs**0.5, rng.normal(size=outputs)) for inputs, outputs in pairs)
        for _ in descriptor.species
    )
    shape = len(descriptor.species), descriptor.length
    mean, scale, reference_eV = rng.normal(size=shape), rng.uniform(0, 1, shape), rng.normal(size=shape[0])
    return bpnn.BpnnModel(descriptor, layers, activation, mean, scale, reference_eV, 0.7)


def chebyshev(family="species_resolved", powers=()):
    return Chebyshev((8, 14, 1), family, 6, 3.7, 4, 3.1, powers)


FAMILIES = [("species_resolved", ()), ("species_resolved", (2, 1)), ("species_weighted", ())]


@pytest.fixture(params=FAMILIES)
def potential(request):
    return bpnn.Bpnn(model(chebyshev(*request.param)), 3)


def plainly(model, positions, numbers, cell, pbc):
    """Energy of one structure from the reference features, layer by layer."""
    total = 0.0
    for features, number in zip(reference.values(model.descriptor, positions[None], numbers, cell, pbc)[0], numbers, strict=True):
        s = model.descriptor.species.index(number)
        x = (features - model.mean[s]) * model.scale[s]
        for matrix, bias in model.layers[s][:-1]:
            x = np.tanh(matrix @ x + bias)
        total += model.energy_scale_eV * float((model.layers[s][-1][0] @ x + model.layers[s][-1][1])[0]) + model.reference_eV[s]
    return total


def test_energy_from_the_reference_features(silica, potential):
    positions, numbers, cell, pbc = silica
    energy = potential.evaluate(positions[:1], numbers, cell, pbc).energy
    assert energy == pytest.approx([plainly(potential.model, positions[0], numbers, cell, pbc)], rel=1e-12)


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
            for factor, sign in ((8, 1), (-1, 2)):
                for side in (1, -1):
                    strain = np.eye(3)
                    strain[a, b] += side * sign * 1e-4
                    energy = potential.evaluate(positions[:1] @ strain, numbers, cell @ strain, pbc).energy[0]
                    slope[a, b] += side * factor * energy / 12e-4
    assert np.allclose(stress[0], slope / volume, rtol=1e-6, atol=1e-6 * np.abs(stress).max())
    assert np.allclose(stress[0], stress[0].T, atol=1e-12)


def test_open_virial_matches_its_forces(potential, silica):
    """With no images, sum_pairs vector (x) force = sum_atoms position (x) force."""
    from kernels.descriptors import numba_cpu

    positions, numbers, cell, _ = silica
    gradient = np.random.default_rng(2).normal(size=(3, 6, potential.model.descriptor.length))
    forces, virial = numba_cpu.pull_back(potential.model.descriptor, positions, numbers, cell, OPEN[1], gradient)
    assert np.allclose(virial, np.einsum("bia,bic->bac", positions, forces), rtol=1e-10, atol=1e-10)


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


def test_atoms_moved_by_lattice_vectors(silica, potential):
    positions, numbers, cell, pbc = silica
    plain = potential.evaluate(positions, numbers, cell, pbc)
    jumps = np.random.default_rng(8).integers(-3, 4, (3, 6, 3)) * pbc
    moved = potential.evaluate(positions + jumps @ cell, numbers, cell, pbc)
    assert np.allclose(moved.energy, plain.energy, rtol=1e-11)
    assert np.allclose(moved.forces, plain.forces, rtol=1e-9, atol=1e-10)


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
    assert np.allclose(double.forces[:, 6:], plain.forces, rtol=1e-10, atol=1e-10)


def test_large_systems_use_bins_and_agree(potential):
    """216 atoms of a repeated cell, each with the force that it has in the small cell."""
    rng = np.random.default_rng(9)
    cell, numbers = np.diag([3.1, 3.4, 3.8]), rng.choice([8, 14, 1], 8)
    positions = (np.indices((2, 2, 2)).reshape(3, 8).T / 2 + rng.uniform(-0.1, 0.1, (8, 3))) @ cell
    copies = np.indices((3, 3, 3)).reshape(3, 27).T @ cell
    small = potential.evaluate(positions[None], numbers, cell, np.ones(3, bool))
    many = (copies[:, None] + positions).reshape(1, 216, 3)
    large = potential.evaluate(many, np.tile(numbers, 27), 3 * cell, np.ones(3, bool))
    assert large.energy == pytest.approx(27 * small.energy, rel=1e-12)
    assert np.allclose(large.forces[0], np.tile(small.forces[0], (27, 1)), rtol=1e-9, atol=1e-10)
    assert np.allclose(large.stress, small.stress, rtol=1e-9, atol=1e-11)


def test_bits_do_not_depend_on_the_batch(silica, potential):
    positions, numbers, cell, pbc = silica
    batch = np.concatenate([positions, positions[::-1] + 0.05 * np.sin(positions)])[:5]
    together = potential.evaluate(batch, numbers, cell, pbc)
    for b in reversed(range(5)):
        alone = potential.evaluate(batch[b : b + 1], numbers, cell, pbc)
        assert together.energy[b] == alone.energy[0]
        assert np.array_equal(together.forces[b], alone.forces[0])
        assert pbc.all() == (together.stress is not None)
        assert together.stress is None or np.array_equal(together.stress[b], alone.stress[0])


def test_a_lone_atom_has_no_force(potential):
    result = potential.evaluate(np.zeros((1, 1, 3)), np.array([14]), *OPEN)
    assert not result.forces.any()
    s = potential.model
    assert result.energy[0] == pytest.approx(plainly(s, np.zeros((1, 3)), np.array([14]), *OPEN), rel=1e-12)


def test_exploded_structure_gives_nan_alone(silica, potential):
    positions, numbers, cell, pbc = silica
    broken = positions.copy()
    broken[0, 4, 1] = np.inf
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


def test_weights_survive_writing_and_reading(tmp_path, silica):
    positions, numbers, cell, pbc = silica
    first = model(chebyshev())
    bpnn.write(tmp_path, first)
    data = (tmp_path / "weights.h5").read_bytes()
    second = bpnn.read(tmp_path)
    assert second.descriptor == first.descriptor
    bpnn.write(tmp_path, second)
    assert (tmp_path / "weights.h5").read_bytes() == data
    loaded = base.load("bpnn", tmp_path, 4)
    assert (loaded.species, loaded.cutoff, loaded.generation) == ((8, 14, 1), 3.7, 4)
    one, other = (p.evaluate(positions, numbers, cell, pbc) for p in (bpnn.Bpnn(first, 0), loaded))
    assert np.array_equal(one.energy, other.energy)
    assert np.array_equal(one.forces, other.forces)


def damaged(tmp_path, change):
    """The sentence that a changed file is refused with."""
    bpnn.write(tmp_path, model(chebyshev()))
    with h5py.File(tmp_path / "weights.h5", "r+") as file:
        change(file)
    with pytest.raises(ValueError, match=r"weights\.h5 is damaged") as caught:
        bpnn.read(tmp_path)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def rename(file, old, new):
    file[new] = file[old]
    del file[old]


def external(file):
    del file["0/mean"]
    file["0/mean"] = h5py.ExternalLink("/etc/hostname", "/")


def huge(file):
    del file["0/mean"]
    file["0"].create_dataset("mean", shape=(1 << 50,), dtype="<f8")


def compressed(file):
    array = file["0/mean"][:]
    del file["0/mean"]
    file["0"].create_dataset("mean", data=array, compression="gzip")


@pytest.mark.parametrize(
    ("change", "word"),
    [
        (lambda file: file["1/weight0"].write_direct(np.zeros((7, chebyshev().length))), "digest"),
        (lambda file: file["1"].attrs.modify("reference_eV", 5.0), "digest"),
        (lambda file: file.attrs.modify("activation", "sigmoid"), "digest"),
        (lambda file: file["1/bias0"].write_direct(np.full(7, np.nan)), "not finite"),
        (lambda file: file.attrs.modify("schema", 4), "schema"),
        (lambda file: file.attrs.modify("radial_order", 5), "shape"),
        (lambda file: file.attrs.modify("activation", "relu"), "activation"),
        (lambda file: file.attrs.__delitem__("family"), "family"),
        (lambda file: file.__delitem__("2"), "2"),
        (lambda file: rename(file, "0/bias1", "0/other"), "bias1"),
        (external, "mean"),
        (huge, "more numbers"),
        (compressed, "plain"),
    ],
)
def test_changed_files_are_refused(tmp_path, change, word):
    assert word in damaged(tmp_path, change)


def test_truncated_and_scrambled_files_are_refused(tmp_path):
    bpnn.write(tmp_path, model(chebyshev()))
    path = tmp_path / "weights.h5"
    data, rng = path.read_bytes(), np.random.default_rng(17)
    for length in (0, 1, 100, len(data) // 2, len(data) - 1):
        path.write_bytes(data[:length])
        with pytest.raises(ValueError, match=r"weights\.h5 is damaged"):
            bpnn.read(tmp_path)
    survivors = 0
    for place in rng.integers(0, len(data), 60):
        changed = bytearray(data)
        changed[place] ^= 1 << rng.integers(8)
        path.write_bytes(changed)
        try:
            read = bpnn.read(tmp_path)
        except ValueError as error:
            assert "weights.h5 is damaged" in str(error)  # noqa: PT017
        else:
            survivors += 1  # a byte that means nothing
            assert bpnn._digest(read) == bpnn._digest(model(chebyshev()))
    assert survivors < 40
    path.unlink()
    with pytest.raises(ValueError, match="is missing"):
        bpnn.read(tmp_path)


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"activation": "relu"}, "activation"),
        ({"mean": np.zeros((3, 2))}, "mean has shape"),
        ({"scale": np.full((3, chebyshev().length), np.inf)}, "scale"),
        ({"reference_eV": np.zeros(2)}, "reference_eV"),
        ({"energy_scale_eV": np.nan}, "energy_scale_eV"),
        ({"layers": ()}, "networks"),
        ({"layers": (((np.zeros((2, chebyshev().length)), np.zeros(2)),),) * 3}, "outputs"),
        ({"layers": (((np.zeros((1, 3)), np.zeros(1)),),) * 3}, "weight0"),
    ],
)
def test_impossible_models_are_refused(change, word):
    with pytest.raises(ValueError, match=word):
        replace(model(chebyshev()), **change)


@pytest.mark.needs_compiled
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_compiled_kernels_and_numba_give_the_same(silica, activation):
    positions, numbers, cell, pbc = silica
    potential = bpnn.Bpnn(model(chebyshev(), activation), 0)
    assert potential._loops is not None
    slow = bpnn.Bpnn(potential.model, 0)
    object.__setattr__(slow, "_loops", None)
    mine, theirs = (one.evaluate(positions, numbers, cell, pbc) for one in (potential, slow))
    assert np.allclose(mine.energy, theirs.energy, rtol=1e-13)
    assert np.allclose(mine.forces, theirs.forces, rtol=1e-11, atol=1e-11 * np.abs(theirs.forces).max())
    assert (mine.stress is None) == (theirs.stress is None)
    assert mine.stress is None or np.allclose(mine.stress, theirs.stress, rtol=1e-10, atol=1e-11)
