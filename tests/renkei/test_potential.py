"""The ASE calculator of a published folder."""

import shutil
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
from ase.build import bulk, molecule
from ase.calculators.calculator import PropertyNotImplementedError

import renkei
from kernels.descriptors.base import Chebyshev
from kernels.potentials import aenet, bpnn
from protocol import weights
from protocol.errors import BadSetting, Torn
from protocol.records import Canary, Card
from protocol.store import Store


def model(family="species_resolved"):
    """A small network of H, O and Si with random weights."""
    species, rng = (1, 8, 14), np.random.default_rng(6)
    descriptor = Chebyshev(species, family, 3, 4.0, 2, 3.0)
    size = descriptor.length
    layers = tuple(
        ((0.1 * rng.standard_normal((4, size)), rng.standard_normal(4)), (rng.standard_normal((1, 4)), np.zeros(1)))
        for _ in species
    )
    return bpnn.BpnnModel(descriptor, layers, "tanh", np.zeros((3, size)), np.ones((3, size)), np.array([-13.0, -430.0, -50.0]))


def written(path, generation, network):
    """The card of a network whose files lie in the folder now."""
    bpnn.write(path, network)
    canary = Canary(
        np.zeros((1, 1, 3)), np.array([1]), np.zeros((3, 3)), np.zeros(3, dtype=bool), np.zeros(1), np.zeros((1, 1, 3))
    )
    return Card("bpnn", generation, (1, 8, 14), 4.0, 0, 1, "fingerprint", {}, {}, (), (), {}, canary)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder of weights."""
    path = tmp_path_factory.mktemp("weights")
    card = written(path, 4, model())
    weights.write_card(path, replace(card, files=weights.digests(path)))
    return path


@pytest.fixture(scope="module")
def aenet_folder(tmp_path_factory):
    """A folder of aenet's files."""
    path = tmp_path_factory.mktemp("aenet")
    aenet.write(path, model("species_weighted"))
    return path


def test_forces_are_minus_the_gradient(folder):
    water = molecule("H2O")
    water.rattle(0.05, seed=1)
    water.calc = renkei.Potential(folder)
    forces = water.get_forces()
    shift = 1e-5
    for atom, axis in [(0, 2), (1, 0), (2, 1)]:
        energies = []
        for sign in (1, -1):
            moved = water.copy()
            moved.positions[atom, axis] += sign * shift
            moved.calc = renkei.Potential(folder)
            energies.append(moved.get_potential_energy())
        assert forces[atom, axis] == pytest.approx(-(energies[0] - energies[1]) / (2 * shift), abs=1e-6)
    with pytest.raises(PropertyNotImplementedError):
        water.get_stress()


def test_stress_is_the_strain_derivative(folder):
    silicon = bulk("Si")
    silicon.rattle(0.05, seed=2)
    silicon.calc = renkei.Potential(folder)
    stress = silicon.get_stress(voigt=False)
    strain = np.zeros((3, 3))
    strain[0, 1] = strain[1, 0] = 1e-5
    energies = []
    for sign in (1, -1):
        strained = silicon.copy()
        strained.set_cell(silicon.cell[:] @ (np.eye(3) + sign * strain), scale_atoms=True)
        strained.calc = renkei.Potential(folder)
        energies.append(strained.get_potential_energy())
    slope = (energies[0] - energies[1]) / (2 * 1e-5) / silicon.get_volume()
    assert stress[0, 1] + stress[1, 0] == pytest.approx(slope, abs=1e-6)


def test_a_run_means_its_newest_weights(tmp_path):
    run, water = tmp_path / "run", molecule("H2O")
    epoch = Store(run).claim("train")
    with pytest.raises(BadSetting, match="there is no potential in it"):
        renkei.Potential(run)
    for generation in (0, 1):
        network = replace(model(), reference_eV=np.array([-13.0, -430.0 - generation, -50.0]))
        epoch.publish_weights(generation, lambda path, g=generation, n=network: written(path, g, n), {})
    water.calc = renkei.Potential(str(run))
    newest = water.get_potential_energy()
    assert water.calc.card.generation == 1
    assert water.calc.folder.name == "generation-000001"
    water.calc = renkei.Potential(water.calc.folder.parent / "generation-000000")
    assert water.get_potential_energy() - newest == pytest.approx(1, abs=1e-9)
    epoch.close("gone")


def test_files_of_aenet(aenet_folder):
    silica = bulk("SiO", "rocksalt", a=4.1)
    silica.rattle(0.1, seed=4)
    silica.calc = renkei.Potential.from_aenet(aenet_folder, label="mine")
    assert (silica.calc.card, silica.calc.label) == (None, "mine")
    direct = bpnn.Bpnn(model("species_weighted"), 0)
    found = direct.evaluate(silica.positions[None], silica.numbers, silica.cell.array, silica.pbc)
    assert silica.get_potential_energy() == pytest.approx(found.energy[0], abs=1e-10)
    np.testing.assert_allclose(silica.get_forces(), found.forces[0], rtol=0, atol=1e-10)
    np.testing.assert_allclose(silica.get_stress(voigt=False), found.stress[0], rtol=0, atol=1e-10)
    silica.calc = renkei.Potential.from_aenet(str(aenet_folder), version=1)
    assert abs(silica.get_potential_energy() - found.energy[0]) > 1e-3


def test_files_of_aenet_that_are_refused(aenet_folder, tmp_path):
    methane = molecule("CH4")
    methane.calc = renkei.Potential.from_aenet(aenet_folder)
    with pytest.raises(BadSetting, match="knows H, O, Si, not C"):
        methane.get_potential_energy()
    with pytest.raises(BadSetting, match=r"ends in \.nn\.ascii or \.nn"):
        renkei.Potential.from_aenet(tmp_path)
    with pytest.raises(BadSetting, match="version must be one of 0, 1, 10"):
        renkei.Potential.from_aenet(aenet_folder, version=3)


def test_what_is_refused(folder, tmp_path):
    carbon = molecule("CH4")
    carbon.calc = renkei.Potential(folder)
    with pytest.raises(BadSetting, match="knows H, O, Si, not C"):
        carbon.get_potential_energy()
    with pytest.raises(BadSetting, match="there is no potential in it"):
        renkei.Potential(tmp_path)
    damaged = shutil.copytree(folder, tmp_path / "damaged")
    data = bytearray((damaged / bpnn.FILE).read_bytes())
    data[-1] ^= 1
    (damaged / bpnn.FILE).write_bytes(data)
    with pytest.raises(Torn):
        renkei.Potential(damaged)


def test_no_torch(folder, aenet_folder):
    calls = f"renkei.Potential({str(folder)!r}); renkei.Potential.from_aenet({str(aenet_folder)!r})"
    code = f"import renkei, sys; {calls}; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)
