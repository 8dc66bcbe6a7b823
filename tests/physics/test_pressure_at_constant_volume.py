"""Pressure and stress at constant volume against a known answer at finite P: atoms in wells that follow the cell.

Wells at fixed scaled places and an energy of the volume alone: whatever the beads, the cell changes Z by the latter alone. So the
pressure is -dU/dV in both forms, and no shear has a stress. Walkers start in the exact law. Alarms: |z| > 4.5 from 200 walkers.
"""

import numpy as np
import pytest

from kernels.potentials.base import Evaluation
from kernels.random_numbers import step_rng
from kernels.units import GPA_PER_EV_A3
from protocol.records import Label, Phase, Structure
from sim_daemon import observables
from sim_daemon.assemble import make_ring
from sim_daemon.samplers import base
from sim_daemon.samplers.base import Plan
from sim_daemon.system import System
from sim_daemon.target import TargetValues

CELL = np.array([[4.2, 0.0, 0.0], [0.6, 3.9, 0.0], [-0.5, 0.3, 4.4]])
PLACES = np.array([[0.1, 0.2, 0.3], [0.6, 0.7, 0.5]]) @ CELL
STIFFNESS, TENSION = 6.0, -0.004  # eV/A^2; dU/dV, eV/A^3
WALKERS, STEPS, BEADS, ALARM = 200, 12, 4, 4.5


class Wells:
    """The target, and with another stiffness the surrogate."""

    species, cutoff, generation, cheap = (), 0.0, 0, None

    def __init__(self, factor=1.0):
        structure = Structure(PLACES, np.ones(2, int), CELL, np.ones(3, bool))
        self.system = System(structure.numbers, np.array([2.0, 5.0]), structure, 0, 1, None, False)
        self.stiffness = factor * STIFFNESS

    def evaluate(self, x, numbers, cell, pbc):
        away = x - PLACES
        stress = self.stiffness * np.einsum("bna,bnc->bac", away, away) / np.linalg.det(CELL) + TENSION * np.eye(3)
        return Evaluation(0.5 * self.stiffness * np.sum(away**2, axis=(1, 2)), -self.stiffness * away, stress)

    def __call__(self, x, cells=None):
        value, ones = self.evaluate(x, None, None, None), np.ones(len(x), int)
        labels = tuple(Label(None, 0.0, f, s, 0, 1, "") for f, s in zip(value.forces, value.stress, strict=True))
        return TargetValues(x, value.energy, value.forces, labels, (None,) * len(x), ones, 0 * ones)


def sample(name, seed, **changes):
    """The ledger's pressures and stresses by name, (STEPS, WALKERS) each."""
    target, module = Wells(), base.load(name)
    given = {"name": name, "ensemble": {"temperature_K": 300.0}, "beads": BEADS, "mode_wavenumber_per_cm": 900, **changes}
    settings = module.Settings.model_validate(given)
    ring = make_ring(settings, target.system)
    width = 1 / np.sqrt(ring.beta * (ring.springs + STIFFNESS / BEADS))
    noise = np.random.default_rng(seed).standard_normal((WALKERS, BEADS, 2, 3)) * width[..., None]
    sampler = module.build(settings, ring, target)
    state, rows = sampler.init(PLACES + np.array([ring.to_beads(modes) for modes in noise])), []
    plan = Plan(Phase.PRODUCTION, 1, 0, "d", 3.0, 30.0)
    for step in range(1, STEPS + 1):
        state, infos = sampler.step(state, Wells(1.3), plan, step_rng(seed, "t", step))
        rows.append([info.observables for info in infos])
    return {key: np.array([[row[key] for row in step] for step in rows]) for key in rows[0][0] if key.endswith("_GPa")}


def alarms(told):
    """z of every number."""
    answers = {"pressure": -TENSION, "xx": TENSION, "yy": TENSION, "zz": TENSION}
    found = {}
    for name, values in told.items():
        kind = "pressure" if name.startswith("pressure") else name.split("_")[1]
        means = values.mean(axis=0) / GPA_PER_EV_A3 - answers.get(kind, 0.0)
        found[name] = means.mean() / (means.std(ddof=1) / np.sqrt(WALKERS))
    return found


@pytest.mark.parametrize(
    ("name", "changes"),
    [("pihmc", {}), ("sl_pihmc", {}), ("sl_pihmc", {"proposal": "multiple_time_step", "kick_every": 2}), ("pihmc", {"beads": 1})],
    ids=str,
)
def test_both_forms_and_the_tensor(name, changes, monkeypatch):
    monkeypatch.setitem(globals(), "BEADS", changes.get("beads", BEADS))
    told = sample(name, 3, **changes)
    found = alarms(told)
    assert len(found) == 8
    assert max(map(abs, found.values())) < ALARM, found
    if BEADS > 1:
        noise = [told[name].std() for name in ("pressure_GPa", "pressure_primitive_GPa")]
        assert noise[0] < noise[1]


def test_the_alarm_rings_without_the_beads_own_part(monkeypatch):
    """As if the pressure of a ring were the mean of its beads'."""

    def of_beads(positions, forces, *rest):
        return pressure_virial(positions, np.zeros_like(forces), *rest)

    pressure_virial = observables.pressure_virial
    monkeypatch.setattr(observables, "pressure_virial", of_beads)
    assert abs(alarms(sample("pihmc", 3))["pressure_GPa"]) > 10
