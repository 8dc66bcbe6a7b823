"""Any ASE calculator by its dotted name."""

import sys

import numpy as np
import pytest

from protocol.errors import BadSetting, EngineFailed
from protocol.records import Structure
from sim_daemon.engines.base import EngineCrashed, LabelFailed, NotConverged

LAB = """
from ase.calculators.calculator import Calculator, CalculationFailed, FileIOCalculator, SCFError
class Lab(Calculator):
    implemented_properties = ["energy", "forces"]
    seen = 0
    def calculate(self, atoms, properties, system_changes=None):
        kind = self.parameters.get("kind")
        self.seen += 1
        (self.directory and open(f"{self.directory}/trace", "a")).write("x")
        if kind == "scf": raise SCFError("no")
        if kind == "said": raise CalculationFailed("SCF not converged in 9 cycles")
        if kind == "numerics": raise ValueError("singular")
        if kind == "memory": raise OSError("gone")
        size = len(open(f"{self.directory}/trace").read())
        energy = 1.0 * self.seen + 10 * size + self.parameters.get("charge", 0) + 100 * self.parameters.get("spin", 0)
        self.results = {"energy": energy, "free_energy": energy - 0.5, "forces": atoms.positions * 0}
class Files(FileIOCalculator):
    implemented_properties = ["energy", "forces"]
    def __init__(self): super().__init__(command="false")
    def calculate(self, atoms, properties, system_changes=None): raise CalculationFailed("exit code 1")
"""


@pytest.fixture
def lab(tmp_path, monkeypatch):
    (tmp_path / "my_lab_calculators.py").write_text(LAB)
    monkeypatch.syspath_prepend(tmp_path)
    yield "my_lab_calculators.Lab"
    sys.modules.pop("my_lab_calculators", None)


@pytest.fixture
def copper():
    cell = 1.8 * (np.ones((3, 3)) - np.eye(3))
    return Structure(np.zeros((1, 3)), np.array([29]), cell, np.ones(3, bool))


def test_emt_copper_equals_ase_itself(build, copper):
    from ase import Atoms
    from ase.calculators.emt import EMT

    atoms = Atoms(copper.numbers, copper.positions, cell=copper.cell, pbc=True, calculator=EMT())
    label = build("ase", calculator="ase.calculators.emt.EMT").label(copper)
    assert label.energy == atoms.get_potential_energy()
    assert np.array_equal(label.stress, atoms.get_stress(voigt=False))


def test_every_call_has_a_new_object_and_an_empty_folder_and_the_free_energy_counts(build, water, lab):
    engine = build("ase", calculator=lab)
    assert [engine.label(water).energy for _ in range(3)] == [10.5, 10.5, 10.5]


def test_charge_and_multiplicity_must_reach_the_calculator(build, water, lab):
    with pytest.raises(BadSetting, match="charge_parameter"):
        build("ase", charge=1, calculator=lab)
    with pytest.raises(BadSetting, match="multiplicity_parameter"):
        build("ase", multiplicity=2, calculator=lab)
    told = build("ase", charge=3, multiplicity=2, calculator=lab, charge_parameter="charge", multiplicity_parameter="spin")
    assert told.label(water).energy == 10.5 + 3 + 200


def test_a_force_field_is_told_neither(build, water, lab):
    label = build("ase", charge=1, multiplicity=2, calculator=lab, without_electrons=True).label(water)
    assert (label.energy, label.charge, label.multiplicity) == (10.5, 1, 2)


@pytest.mark.parametrize(
    ("kind", "error"), [("scf", NotConverged), ("said", NotConverged), ("numerics", LabelFailed), ("memory", EngineCrashed)]
)
def test_failures_are_sorted(kind, error, build, water, lab):
    with pytest.raises(error) as caught:
        build("ase", calculator=lab, parameters={"kind": kind}).label(water)
    assert type(caught.value) is error


def test_a_program_that_fails_is_an_accident(build, water, lab):
    with pytest.raises(EngineCrashed):
        build("ase", calculator=lab.replace("Lab", "Files")).label(water)


def test_the_source_of_a_users_own_file_is_in_the_fingerprint(build, lab, tmp_path):
    before = build("ase", calculator=lab).fingerprint
    source = tmp_path / "my_lab_calculators.py"
    source.write_text(source.read_text().replace("10 * size", "11 * size"))
    assert build("ase", calculator=lab).fingerprint != before


def test_what_it_cannot_do_is_said(build, water):
    with pytest.raises(EngineFailed, match="cannot be imported"):
        build("ase", calculator="no_such_package.Calculator")
    with pytest.raises(BadSetting, match="has no Nothing"):
        build("ase", calculator="ase.calculators.emt.Nothing")
    with pytest.raises(EngineFailed, match="cannot be made"):
        build("ase", calculator="ase.calculators.lj.LennardJones", parameters={"command": 1, "label": 3}).label(water)
    with pytest.raises(BadSetting, match="ranks_per_engine"):
        build("ase", ranks=2, calculator="ase.calculators.emt.EMT")
