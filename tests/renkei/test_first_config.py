"""Guesses by the kind of system."""

import pytest
import yaml
from ase import Atoms
from ase.build import bulk, molecule
from ase.cluster import Octahedron
from ase.spacegroup import crystal

from renkei import first_config


def two(name, apart):
    first, second = molecule(name), molecule(name)
    second.translate([0, 0, apart])
    return first + second


def rock_salt():
    return crystal(["Na", "Cl"], [(0, 0, 0), (0.5, 0.5, 0.5)], spacegroup=225, cellpar=[5.64, 5.64, 5.64, 90, 90, 90])


def in_box(atoms, side):
    atoms.set_cell([side] * 3)
    atoms.pbc = True
    return atoms


@pytest.mark.parametrize(
    ("atoms", "kind", "startup"),
    [
        (molecule("H2O"), first_config.STIFF, "harmonic"),
        (molecule("CO2"), first_config.STIFF, "harmonic"),
        (molecule("C6H6"), first_config.STIFF, "harmonic"),
        (molecule("CH3CH2OH"), first_config.FLOPPY, "trajectories"),
        (two("H2O", 3.0), first_config.CLUSTER, "trajectories"),
        (Octahedron("Au", 3), first_config.METAL, "trajectories"),
        (bulk("Si"), first_config.CRYSTAL, "harmonic"),
        (bulk("Cu"), first_config.CRYSTAL, "harmonic"),
        (rock_salt(), first_config.CRYSTAL, "harmonic"),
        (in_box(two("H2O", 3.0), 7.0), first_config.LIQUID, "trajectories"),
    ],
)
def test_kind_and_startup(atoms, kind, startup):
    guessed = first_config.guess(atoms, None, None, 300)
    assert (guessed.kind, guessed.startup) == (kind, startup)
    assert (guessed.restraint_radius_A is not None) == (kind == first_config.CLUSTER)


def test_charge_and_multiplicity():
    oxygen = Atoms("O", [(0, 0, 0)], info={"charge": 1})
    guessed = first_config.guess(oxygen, None, None, 300)
    assert (guessed.charge, guessed.multiplicity) == (1, 2)
    assert first_config.guess(oxygen, 0, 3, 300).multiplicity == 3
    assert first_config.guess(oxygen, 0, None, 300).multiplicity == 1


def test_beads_follow_the_lightest_atom_and_the_temperature():
    assert [first_config.guess(molecule("H2O"), None, None, t).beads for t in (100, 300, 600, 1e5)] == [64, 16, 8, 1]
    assert [first_config.guess(bulk(one), None, None, 300).beads for one in ("Si", "Cu")] == [8, 2]


def test_the_restraint_holds_the_cluster_with_room():
    guessed = first_config.guess(two("H2O", 6.0), None, None, 300)
    assert 5.5 <= guessed.restraint_radius_A <= 6.5


@pytest.mark.parametrize(("cores", "beads", "ranks"), [(2, 16, 2), (64, 8, 8), (4, 6, 3), (5, 16, 4), (3, 1, 1)])
def test_ranks_that_all_have_work(monkeypatch, cores, beads, ranks):
    monkeypatch.setattr(first_config, "usable_cores", lambda: cores)
    assert yaml.safe_load(first_config.machine(beads))["simulator"]["ranks"] == ranks
