"""What every engine must do; a new file in sim_daemon/engines is tested as soon as it has a case here."""

import dataclasses
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from pydantic import ValidationError

import sim_daemon.engines
from protocol.records import Structure
from sim_daemon.engines.base import EngineContext, EngineSettings, load

FOLDER = Path(sim_daemon.engines.__file__).parent
FILES = sorted(p.stem for p in FOLDER.glob("*.py") if p.stem not in ("__init__", "base") and not p.stem.endswith("_bridge"))
WITHOUT_PW = shutil.which("pw.x") is None and os.environ.get("RENKEI_REQUIRE") != "all"
NAMES = [name for name in FILES if name != "espresso" or not WITHOUT_PW]

WATER = [[0.0, 0.0, 0.12], [0.0, 0.79, -0.48], [0.05, -0.77, -0.45]]
CELL = 2.715 * (np.ones((3, 3)) - np.eye(3))


@dataclasses.dataclass(frozen=True)
class Case:
    """One engine with settings, a structure, other values for the settings that change a number, and the noise of its energy."""

    settings: dict
    structure: Structure
    others: dict
    noise_eV: float = 1e-7
    no_number: tuple[str, ...] = ()  # settings that change no number


def molecule(numbers, positions):
    return Structure(np.array(positions), np.array(numbers), np.zeros((3, 3)), np.zeros(3, bool))


def crystal(numbers, positions, scale=1.0):
    return Structure(scale * np.array(positions), np.array(numbers), scale * CELL, np.ones(3, bool))


WATER_ = molecule([8, 1, 1], WATER)
SILICON = crystal([14, 14], [[0, 0, 0], [1.4075, 1.3775, 1.3275]])
CASES = {
    "harmonic": Case({"k_eV_per_A2": 3.0}, WATER_, {"k_eV_per_A2": 4.0, "centres_A": [(1, 0, 0)]}),
    "quartic": Case({"b_eV_per_A4": 3.0}, WATER_, {"a_eV_per_A2": -1.0, "b_eV_per_A4": 4.0, "centres_A": [(1, 0, 0)]}),
    "morse": Case(
        {"depth_eV": 3.0, "width_per_A": 1.5},
        WATER_,
        {"depth_eV": 4.0, "width_per_A": 1.6, "distance_A": 0.2, "centres_A": [(1, 0, 0)]},
    ),
    "lennard_jones": Case(
        {"epsilon_eV": 0.01, "sigma_A": 2.2}, SILICON, {"epsilon_eV": 0.02, "sigma_A": 2.1, "cutoff_A": 5.0}
    ),
    "tblite": Case(
        {"accuracy": 0.01},
        WATER_,
        {"method": "GFN1-xTB", "accuracy": 1.0, "electronic_temperature_K": 5000.0, "max_iterations": 99},
    ),
    "pyscf": Case(
        {"method": "HF", "basis": "STO-3G"},
        WATER_,
        {"method": "PBE", "basis": "def2-SVP", "density_fitting": False, "conv_tol_Ha": 1e-8, "grid_level": 2,
         "max_iterations": 9},
        no_number=("max_memory_MB",),
    ),
    "ase": Case(
        {"calculator": "ase.calculators.emt.EMT"},
        crystal([29, 28], [[0, 0, 0], [1.4075, 1.3775, 1.3275]], 0.75),
        {"calculator": "ase.calculators.lj.LennardJones", "parameters": {"asap_cutoff": True}, "charge_parameter": "q",
         "multiplicity_parameter": "m", "without_electrons": True},
    ),
    "espresso": Case(
        {"pseudopotentials": {"Si": "Si.pz-vbc.UPF"}, "ecutwfc_Ry": 8.0, "conv_thr_Ry": 1e-11},
        SILICON,
        {
            "pseudopotentials": {"Si": "Si.pbe-rrkj.UPF"}, "ecutwfc_Ry": 9.0, "ecutrho_Ry": 40.0, "conv_thr_Ry": 1e-7,
            "kpts": (2, 1, 1), "koffset": (1, 0, 0), "input_data": {"system": {"nosym": False}},
        },
        noise_eV=1e-6,
        no_number=("command", "pseudo_dir"),
    ),
}  # fmt: skip


@pytest.fixture(params=NAMES)
def name(request):
    assert request.param in CASES, f"give the engine {request.param} a case"
    return request.param


@pytest.fixture
def make(name, tmp_path):
    def build(charge=0, multiplicity=1, **changes):
        module = load(name)
        settings = module.Settings(**{**CASES[name].settings, **changes})
        return module.build(settings, EngineContext(charge, multiplicity, tmp_path / "scratch", 1))

    return build


@pytest.fixture
def structure(name):
    """The case's structure with arrays that nobody can write to."""
    frozen = CASES[name].structure
    for array in (frozen.positions, frozen.numbers, frozen.cell, frozen.pbc):
        array.setflags(write=False)
    return frozen


def moved(structure, step):
    return dataclasses.replace(structure, positions=structure.positions + step)


def bits(label):
    stress = b"" if label.stress is None else label.stress.tobytes()
    return np.float64(label.energy).tobytes() + label.forces.tobytes() + stress


def test_labels_do_not_depend_on_history(make, structure):
    a, b = structure, moved(structure, 0.08 * np.random.default_rng(1).normal(size=structure.positions.shape))
    one, two = make(), make()
    first = [bits(one.label(x)) for x in (a, b, a)]
    second = [bits(two.label(x)) for x in (b, a, a)]
    assert first[0] == first[2] == second[1] == second[2]
    assert first[1] == second[0] != first[0]


def test_forces_are_the_derivative_of_the_energy(name, make, structure):
    engine, h = make(), 0.01
    direction = np.random.default_rng(2).normal(size=structure.positions.shape)
    direction /= np.linalg.norm(direction)
    at = {k: engine.label(moved(structure, k * h * direction)).energy for k in (-2, -1, 1, 2)}
    slope = (8 * (at[1] - at[-1]) - (at[2] - at[-2])) / (12 * h)
    force = np.sum(engine.label(structure).forces * direction)
    assert -slope == pytest.approx(force, rel=2e-4, abs=20 * CASES[name].noise_eV / h)


def test_stress_is_the_derivative_of_the_energy_by_strain(name, make, structure):
    engine = make()
    stress = engine.label(structure).stress
    if stress is None or name == "espresso":  # plane waves: the basis changes with the cell
        return
    strain, h = np.array([[0.5, 0.2, -0.3], [0.2, -0.7, 0.1], [-0.3, 0.1, 1.0]]), 1e-3

    def energy(step):
        deform = np.eye(3) + step * strain
        changed = dataclasses.replace(structure, positions=structure.positions @ deform, cell=structure.cell @ deform)
        return engine.label(changed).energy

    slope = (8 * (energy(h) - energy(-h)) - (energy(2 * h) - energy(-2 * h))) / (12 * h)
    assert np.sum(stress * strain) * abs(np.linalg.det(structure.cell)) == pytest.approx(slope, rel=1e-4)


def test_the_label_says_what_it_is(make, structure):
    engine = make()
    label = engine.label(structure)
    assert label.structure is structure
    assert label.fingerprint == engine.fingerprint
    assert isinstance(label.energy, float)
    assert label.forces.dtype == np.float64
    assert (label.charge, label.multiplicity) == (0, 1)


def test_the_fingerprint_changes_with_every_setting_that_changes_a_number(name, make):
    case = CASES[name]
    own = set(load(name).Settings.model_fields) - set(EngineSettings.model_fields)
    assert own == set(case.others) | set(case.no_number), (
        "every setting has another value in the case, or is said to change no number"
    )
    base = make().fingerprint
    found = {key: make(**{key: value}).fingerprint for key, value in case.others.items()}
    found |= {key: make(**{key: 7.5}).fingerprint for key in ("max_energy_eV_per_atom", "max_force_eV_per_A")}
    assert base not in found.values()
    assert len(set(found.values())) == len(found)
    assert make(attempts=9, timeout_s=99.0).fingerprint == base


def test_settings_are_frozen_and_strange_keys_refused(name):
    module, case = load(name), CASES[name]
    settings = module.Settings(**case.settings)
    assert settings.name == name
    with pytest.raises(ValidationError):
        settings.attempts = 5
    with pytest.raises(ValidationError):
        module.Settings(**case.settings, attemps=5)
