"""Potentials of aenet: against its own energies and forces, and against its formulas written out."""

import gzip
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest

from kernels import aenet_file
from kernels.aenet_file import AenetFile
from kernels.descriptors import numba_cpu
from kernels.descriptors.base import Chebyshev
from kernels.network import ACTIVATIONS
from kernels.potentials import aenet, base, bpnn

NUMBERS = {"H": 1, "O": 8, "Si": 14}
SILICA = ("O", "Si", "H")
FUNCTIONS = (
    lambda x: x,
    np.tanh,
    lambda x: 1 / (1 + np.exp(-x)),
    lambda x: 1.7159 * np.tanh(2 * x / 3),
    lambda x: 1.7159 * np.tanh(2 * x / 3) + 0.1 * x,
)
RADIAL, ANGULAR = (5, 3.7), (4, 3.1)


def network(species, environment=SILICA, hidden=(5, 4), code=4, seed=0, **changes):
    """Random numbers, alike in nothing but their sizes; one feature never changed in training."""
    rng = np.random.default_rng([seed, NUMBERS[species]])
    features = 11 * (1 + (len(environment) > 1))
    sizes = (features, *hidden, 1)
    count = sum((into + 1) * out for into, out in pairwise(sizes))
    average, spread = rng.normal(size=features), rng.uniform(0.5, 2, features)
    spread[3] = 0
    file = AenetFile(
        sizes, (code,) * len(hidden) + (0,), rng.normal(size=count) / 3, species, environment, RADIAL[0], RADIAL[1],
        ANGULAR[0], ANGULAR[1], average, average**2 + spread**2, rng.uniform(0.5, 2), rng.normal(),
        ("Si", "H", "O"), np.array([-50.0, -13.0, -430.0]),
    )  # fmt: skip
    return replace(file, **changes)


def folder_of(path, files, suffix=".nn.ascii"):
    """A folder with these files."""
    path.mkdir(exist_ok=True)
    for file in files:
        aenet_file.write(path / f"{file.species}{suffix}", file)
    return path


def polynomials(version, x):
    """T_0 ... T_n(x) with the argument of the version, n of the angular order."""
    x = 2 * x / np.pi - 1 if version == 1 else x
    return np.array([np.polynomial.chebyshev.chebval(x, np.eye(m + 1)[m]) for m in range(ANGULAR[0] + 1)])


def features_of(version, environment, positions, kinds, at):
    """Features of one atom of an open structure, sum by sum."""
    spins = dict(zip(environment, [s for s in range(-(len(environment) // 2), 9) if s or len(environment) % 2], strict=False))
    others = [j for j in range(len(kinds)) if j != at]
    vectors = positions - positions[at]
    distance = np.linalg.norm(vectors, axis=1)
    radial, angular = np.zeros((2, RADIAL[0] + 1)), np.zeros((2, ANGULAR[0] + 1))
    fade = [np.where(distance < cutoff, (np.cos(np.pi * distance / cutoff) + 1) / 2, 0) for cutoff in (RADIAL[1], ANGULAR[1])]
    m = np.arange(RADIAL[0] + 1)
    if version == 10:
        radial[0] += (-1.0) ** m
    for j in others:
        term = fade[0][j] * np.cos(m * np.arccos(np.clip(2 * distance[j] / RADIAL[1] - 1, -1, 1)))
        radial += np.outer([1, spins[kinds[j]]], term)
        for k in others:
            if k > j:
                term = fade[1][j] * fade[1][k] * polynomials(version, vectors[j] @ vectors[k] / distance[j] / distance[k])
                angular += np.outer([1, spins[kinds[j]] * spins[kinds[k]]], term)
    return np.concatenate([radial[0], angular[0], radial[1], angular[1]][: 4 if len(environment) > 1 else 2])


def by_the_formulas(files, version, positions, kinds):
    """Energy of an open structure by the rules of aenet's file, one step after the other."""
    files, total = {file.species: file for file in files}, 0.0
    for at, kind in enumerate(kinds):
        file = files[kind]
        spread = np.sqrt(file.second_moment - file.average**2)
        x = features_of(version, file.environment, positions, kinds, at) - file.average
        x, begin = np.where(spread > 1e-10, x / np.where(spread > 1e-10, spread, 1), 0), 0
        for into, out, code in zip(file.sizes, file.sizes[1:], file.activations, strict=False):
            block = file.weights[begin : begin + (into + 1) * out].reshape(out, into + 1, order="F")
            x = FUNCTIONS[code](block @ [*x, 1])
            begin += (into + 1) * out
        total += x[0] / file.energy_scale + file.energy_shift_eV + file.atomic_energy_eV
    return total


def cluster(kinds, seed=4):
    """Positions (1, N, 3) A at distances about the cut-offs, numbers (N,), no cell."""
    positions = np.random.default_rng(seed).uniform(0, 3.2, (1, len(kinds), 3))
    return positions, np.array([NUMBERS[kind] for kind in kinds]), np.zeros((3, 3)), np.zeros(3, bool)


KINDS = ("O", "Si", "H", "O", "O", "H", "Si")


@pytest.mark.parametrize(
    ("environment", "version"),
    [(SILICA, 0), (SILICA, 1), (("Si", "O"), 0), (("Si", "O"), 1), (("O",), 0), (("O",), 1), (("O",), 10)],
)
def test_energy_by_the_formulas(tmp_path, environment, version):
    kinds = [kind if kind in environment else environment[0] for kind in KINDS]
    files = [network(symbol, environment) for symbol in environment]
    system = cluster(kinds)
    energy = aenet.build(folder_of(tmp_path, files), 0, version).evaluate(*system).energy
    assert energy[0] == pytest.approx(by_the_formulas(files, version, system[0][0], kinds), rel=1e-12)
    if version:
        other = aenet.build(tmp_path, 0).evaluate(*system).energy
        assert abs(other[0] - energy[0]) > 1e-3


@pytest.mark.parametrize("code", range(len(ACTIVATIONS)))
def test_every_activation(tmp_path, code):
    files = [network(symbol, code=code) for symbol in SILICA]
    system = cluster(KINDS)
    model = aenet.read(folder_of(tmp_path, files))
    assert model.activation == ACTIVATIONS[code]
    energy = bpnn.Bpnn(model, 0).evaluate(*system).energy[0]
    assert energy == pytest.approx(by_the_formulas(files, 0, system[0][0], KINDS), rel=1e-12)


@pytest.mark.parametrize("version", [0, 1])
@pytest.mark.parametrize("environment", [("Si", "O"), SILICA])
def test_a_file_with_the_reverse_order(tmp_path, environment, version):
    """Its weights of species have the other sign; the folder's first file decides the order of the model."""
    kinds = [kind for kind in KINDS if kind in environment]
    files = [network(symbol, environment if symbol == "O" else environment[::-1]) for symbol in environment]
    system = cluster(kinds)
    model = aenet.read(folder_of(tmp_path, files), version)
    first = environment[::-1] if "H" in environment else environment
    assert model.descriptor.species == tuple(NUMBERS[symbol] for symbol in first)
    energy = bpnn.Bpnn(model, 0).evaluate(*system).energy[0]
    assert energy == pytest.approx(by_the_formulas(files, version, system[0][0], kinds), rel=1e-12)


def test_networks_of_different_depth(tmp_path):
    files = [network("O", hidden=()), network("Si", hidden=(7,)), network("H")]
    system = cluster(KINDS)
    energy = aenet.build(folder_of(tmp_path, files), 0).evaluate(*system).energy[0]
    assert energy == pytest.approx(by_the_formulas(files, 0, system[0][0], KINDS), rel=1e-12)


def test_found_as_a_format_and_from_binary_files(tmp_path, silica):
    positions, numbers, cell, pbc = silica
    files = [network(symbol) for symbol in SILICA]
    text, binary = (
        base.load("aenet", folder_of(tmp_path / suffix[1:], files, suffix), 7) for suffix in (".nn.ascii", ".15t-15t.nn")
    )
    assert (text.species, text.cutoff, text.generation) == ((8, 14, 1), 3.7, 7)
    one, other = (potential.evaluate(positions, numbers, cell, pbc) for potential in (text, binary))
    assert np.array_equal(one.energy, other.energy)
    assert np.array_equal(one.forces, other.forces)


@pytest.mark.parametrize("version", [0, 1])
def test_doubled_cell_and_forces(tmp_path, silica, version):
    positions, numbers, cell, pbc = silica
    potential = aenet.build(folder_of(tmp_path, [network(symbol) for symbol in SILICA]), 0, version)
    steps = 1e-4 * np.eye(18).reshape(18, 6, 3)
    energies = [potential.evaluate(positions[0] + sign * steps, numbers, cell, pbc).energy for sign in (-2, -1, 1, 2)]
    slope = (energies[0] - 8 * energies[1] + 8 * energies[2] - energies[3]) / 12e-4
    plain = potential.evaluate(positions[:1], numbers, cell, pbc)
    assert np.allclose(plain.forces.ravel(), -slope, rtol=1e-6, atol=1e-6 * np.abs(plain.forces).max())
    if pbc.all():
        large = np.diag([1, 2, 1]) @ cell
        twice = np.concatenate([positions[:1], positions[:1] + cell[1]], axis=1)
        double = potential.evaluate(twice, np.tile(numbers, 2), large, pbc)
        assert double.energy == pytest.approx(2 * plain.energy, rel=1e-12)
        assert np.allclose(double.forces, np.tile(plain.forces, (1, 2, 1)), rtol=1e-9, atol=1e-10)
        assert np.allclose(double.stress, plain.stress, rtol=1e-9, atol=1e-11)


def test_order_of_the_environment_matters(tmp_path, silica):
    """The same numbers with ENV turned in all files are another potential; a file's own place in the folder is not."""
    positions, numbers, cell, pbc = silica
    one, other = (
        aenet.build(folder_of(tmp_path / environment[0], [network(symbol, environment) for symbol in SILICA]), 0)
        for environment in (SILICA, ("Si", "O", "H"))
    )
    energies = [potential.evaluate(positions, numbers, cell, pbc).energy for potential in (one, other)]
    assert np.abs(energies[0] - energies[1]).min() > 1e-3


def weighted_model(species=(8, 14, 1), activation="tanh"):
    """A model as Renkei trains it: with mean, scale, and features that are switched off."""
    descriptor = Chebyshev(species, "species_weighted", *RADIAL, *ANGULAR)
    rng, count, length = np.random.default_rng(8), len(species), descriptor.length
    layers = tuple(
        (
            (rng.normal(size=(6, length)) / 5, rng.normal(size=6)),
            (rng.normal(size=(4, 6)) / 2, rng.normal(size=4)),
            (rng.normal(size=(1, 4)), rng.normal(size=1)),
        )
        for _ in species
    )
    scale = rng.uniform(0, 3, (count, length)) * (rng.random((count, length)) > 0.1)
    return bpnn.BpnnModel(
        descriptor, layers, activation, 5 * rng.normal(size=(count, length)), scale, -400 * rng.random(count), 0.037
    )


@pytest.mark.parametrize("binary", [False, True])
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_a_model_goes_out_and_comes_back(tmp_path, silica, activation, binary):
    positions, numbers, cell, pbc = silica
    model = weighted_model(activation=activation)
    folders = [tmp_path / name for name in ("first", "second")]
    for folder in folders:
        folder.mkdir()
    aenet.write(folders[0], model, binary)
    again = aenet.read(folders[0])
    aenet.write(folders[1], again, binary)
    names = sorted(path.name for path in folders[0].iterdir())
    assert names == [f"{symbol}.nn{'' if binary else '.ascii'}" for symbol in ("H", "O", "Si")]
    assert all((folders[0] / name).read_bytes() == (folders[1] / name).read_bytes() for name in names)
    mine, theirs = (bpnn.Bpnn(m, 0).evaluate(positions, numbers, cell, pbc) for m in (model, again))
    assert np.allclose(mine.energy, theirs.energy, rtol=0, atol=1e-10)
    assert np.allclose(mine.forces, theirs.forces, rtol=0, atol=1e-10)
    assert np.abs(mine.forces).max() > 1e-3


def test_energy_scales_survive_a_second_writing(tmp_path):
    """The file has 1 / scale, and 1 / (1 / (1 / scale)) = 1 / scale for every float64."""
    rng = np.random.default_rng(2)
    model = weighted_model((8,))
    for scale in [0.1, 3.0, -0.7, *rng.uniform(1e-3, 1e3, 30)]:
        aenet.write(tmp_path, replace(model, energy_scale_eV=float(scale)))
        data = (tmp_path / "O.nn.ascii").read_bytes()
        aenet.write(tmp_path, aenet.read(tmp_path))
        assert (tmp_path / "O.nn.ascii").read_bytes() == data


@pytest.mark.parametrize(
    ("model", "word"),
    [
        (replace(weighted_model(), energy_scale_eV=0.0), "energy_scale_eV 0"),
        (weighted_model((8, 300)), r"atomic numbers \[300\]"),
    ],
)
def test_models_that_files_cannot_have(tmp_path, model, word):
    with pytest.raises(ValueError, match=word):
        aenet.write(tmp_path, model)


@pytest.mark.parametrize("powers", [(1,), (1, 3)])
def test_resolved_descriptors_do_not_go_out(tmp_path, powers):
    descriptor = Chebyshev((8, 1), "species_resolved", 3, 4.0, 2, 3.0, powers)
    length = descriptor.length
    layers = (((np.ones((1, length)), np.zeros(1)),),) * 2
    model = bpnn.BpnnModel(descriptor, layers, "tanh", np.zeros((2, length)), np.ones((2, length)), np.zeros(2))
    with pytest.raises(ValueError, match=r"species_weighted .* alone; this model is species_resolved"):
        aenet.write(tmp_path, model)


@pytest.mark.parametrize(
    ("changed", "version", "sentence"),
    [
        ({"radial_cutoff_A": 3.8}, 0, r"Si\.nn\.ascii: its descriptor has radial order 5 to 3\.8 A.*that of H\.nn\.ascii radial"),
        ({"angular_cutoff_A": 3.0}, 0, r"Si\.nn\.ascii: its descriptor has .*angular order 4 to 3\.0 A"),
        ({"radial_order": 4, "angular_order": 5}, 0, r"Si\.nn\.ascii: its descriptor has radial order 4"),
        ({"environment": ("Si", "O", "H")}, 0, r"Si\.nn\.ascii: its ENV order is Si O H, that of H\.nn\.ascii O Si H"),
        ({"environment": ("Si", "Si", "H")}, 0, r"Si\.nn\.ascii: its ENV must have Si and no species twice, got Si Si H"),
        ({"environment": ("O", "C", "H")}, 0, r"Si\.nn\.ascii: its ENV must have Si"),
        ({"environment": ("O", "Si", "Q")}, 0, r"Si\.nn\.ascii: 'Q' is no element"),
        ({"species": "O"}, 0, r"Si\.nn\.ascii is of O like O\.nn\.ascii"),
        ({"activations": (1, 1, 0)}, 0, r"Si\.nn\.ascii: it has the activation tanh beside twist"),
        ({"activations": (4, 3, 0)}, 0, r"Si\.nn\.ascii: it has the activation mtanh beside twist"),
        ({}, 10, r"H\.nn\.ascii: version 10 is no function of the positions"),
        ({}, 2, r"version must be one of 0, 1, 10, got 2"),
    ],
)
def test_folders_that_are_not_one_potential(tmp_path, changed, version, sentence):
    for symbol in SILICA:
        file = replace(network(symbol), **(changed if symbol == "Si" else {}))
        aenet_file.write(tmp_path / f"{symbol}.nn.ascii", file)
    with pytest.raises(ValueError, match=sentence) as caught:
        aenet.read(tmp_path, version)
    assert "\n" not in str(caught.value)


def test_missing_networks_and_empty_folders(tmp_path):
    folder_of(tmp_path / "some", [network("O"), network("H")])
    with pytest.raises(ValueError, match=r"some has no network for Si, which is in ENV of H\.nn\.ascii"):
        aenet.read(tmp_path / "some")
    for name in ("", "absent"):
        with pytest.raises(ValueError, match=r"has no file whose name ends in \.nn\.ascii or \.nn"):
            aenet.read(tmp_path / name)
    aenet_file.write(tmp_path / "some" / "Si.nn", network("Si"))
    (tmp_path / "some" / "H.nn.ascii").write_text("4\n56\n")
    with pytest.raises(ValueError, match=r"H\.nn\.ascii: it ends before its number of weights"):
        aenet.read(tmp_path / "some")


@pytest.mark.parametrize("loops", ["compiled", "numba"])
@pytest.mark.parametrize(("net", "folder"), [("netA", "netA-56f-5-5"), ("netB", "netB-30f-10-10")])
def test_energies_and_forces_of_aenet(tio2_reference, net, folder, loops):
    if tio2_reference is None:
        return  # the header of the test run says so
    from ase.io import read

    potential = aenet.build(tio2_reference / folder, 0)
    assert potential.species == (22, 8)
    if loops == "numba":
        object.__setattr__(potential, "_loops", None)
    with gzip.open(tio2_reference / f"dft_predicted_{net}.extxyz.gz", "rt") as text:
        structures = read(text, ":20" if loops == "numba" else ":", format="extxyz")
    structures += read(tio2_reference / f"parity_{net}.extxyz", ":", format="extxyz")
    for atoms in structures:
        found = potential.evaluate(atoms.positions[None], atoms.numbers, atoms.cell.array, atoms.pbc)
        assert abs(found.energy[0] - atoms.info["aenet_energy"]) < 1e-6
        assert np.abs(found.forces[0] - atoms.arrays["aenet_forces"]).max() < 1e-5


@pytest.mark.parametrize(("net", "folder"), [("netA", "netA-56f-5-5"), ("netB", "netB-30f-10-10")])
def test_features_of_aenet_and_its_networks_written_anew(tio2_reference, tmp_path, net, folder):
    if tio2_reference is None:
        return  # the header of the test run says so
    from ase.io import read

    model = aenet.read(tio2_reference / folder)
    with np.load(tio2_reference / f"parity_features_{net}.npz") as tables:
        for number, atoms in enumerate(read(tio2_reference / f"parity_{net}.extxyz", ":", format="extxyz")):
            system = atoms.positions[None], atoms.numbers, atoms.cell.array, atoms.pbc
            features = numba_cpu.values(model.descriptor, *system)[0]
            assert np.allclose(features, tables[f"features_{number:02d}"], rtol=0, atol=1e-10)
    aenet.write(tmp_path, model, binary=True)
    one, other = (bpnn.Bpnn(m, 0).evaluate(*system) for m in (model, aenet.read(tmp_path)))
    assert one.energy == pytest.approx(other.energy, abs=1e-8)
    assert np.allclose(one.forces, other.forces, rtol=0, atol=1e-10)
