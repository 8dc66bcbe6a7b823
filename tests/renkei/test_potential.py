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
from kernels.potentials import bpnn
from protocol import weights
from protocol.errors import BadSetting, Torn
from protocol.records import Canary, Card


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A small network of H, O and Si with random weights."""
    path = tmp_path_factory.mktemp("weights")
    species, rng = (1, 8, 14), np.random.default_rng(6)
    descriptor = Chebyshev(species, "species_resolved", 3, 4.0, 2, 3.0, (1, 3))
    size = descriptor.length
    layers = tuple(
        ((0.1 * rng.standard_normal((4, size)), rng.standard_normal(4)), (rng.standard_normal((1, 4)), np.zeros(1)))
        for _ in species
    )
    model = bpnn.BpnnModel(descriptor, layers, "tanh", np.zeros((3, size)), np.ones((3, size)), np.array([-13.0, -430.0, -50.0]))
    bpnn.write(path, model)
    canary = Canary(
        np.zeros((1, 1, 3)), np.array([1]), np.zeros((3, 3)), np.zeros(3, dtype=bool), np.zeros(1), np.zeros((1, 1, 3))
    )
    card = Card("bpnn", 4, species, 4.0, 0, 1, "fingerprint", {}, {}, (), (), {}, canary)
    weights.write_card(path, replace(card, files=weights.digests(path)))
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


def test_what_is_refused(folder, tmp_path):
    carbon = molecule("CH4")
    carbon.calc = renkei.Potential(folder)
    with pytest.raises(BadSetting, match="knows H, O, Si, not C"):
        carbon.get_potential_energy()
    with pytest.raises(BadSetting, match=r"no card\.json"):
        renkei.Potential(tmp_path)
    damaged = shutil.copytree(folder, tmp_path / "damaged")
    data = bytearray((damaged / bpnn.FILE).read_bytes())
    data[-1] ^= 1
    (damaged / bpnn.FILE).write_bytes(data)
    with pytest.raises(Torn):
        renkei.Potential(damaged)


def test_no_torch(folder):
    code = f"import renkei, sys; renkei.Potential({str(folder)!r}); assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)
