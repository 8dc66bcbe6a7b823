"""The same potential, temperature and beads in i-PI: equal energies and distributions.

i-PI has its own ring polymer, normal modes, thermostat and estimators; only the formula of the potential is shared. Renkei
samples with `sl_pihmc` and a wrong surrogate. The alarm |z| > 4.5 rings by chance 7e-6 each, 1e-4 for the whole file.
"""

import subprocess
import sys
from pathlib import Path

import ase
import numpy as np
import pytest

from kernels import statistics
from kernels.random_numbers import step_rng
from kernels.ring_polymer import ring_polymer
from protocol.records import Phase
from sim_daemon.samplers import sl_pihmc
from sim_daemon.samplers.base import Plan

HERE = Path(__file__).parent / "ipi"
sys.path.insert(0, str(HERE))
import potentials  # noqa: E402  (i-PI's processes import it by the same name)

ALARM, WALKERS = 4.5, 20


@pytest.fixture(scope="module", params=sorted(potentials.CASES))
def peer(request, tmp_path_factory):
    """Name of a case and i-PI's averages of it."""
    folder = tmp_path_factory.mktemp(request.param)
    words = [sys.executable, str(HERE / "sample.py"), request.param, "out.npz"]
    done = subprocess.run(words, cwd=folder, capture_output=True, text=True, timeout=500, check=False)
    assert (folder / "out.npz").is_file(), done.stdout[-2000:] + done.stderr[-2000:]
    case = potentials.CASES[request.param]
    with np.load(folder / "out.npz") as found:
        numbers = potentials.structure_numbers(request.param, found["beads"])
        energies = {"kinetic": found["kinetic"] / case.copies, "potential": found["potential"] / case.copies}
    return request.param, {name: statistics.estimate(values) for name, values in {**numbers, **energies}.items()}


def ours(name, formula_target, formula_surrogate, heat=1.0):
    """Renkei's averages of the same numbers."""
    case = potentials.CASES[name]
    masses = ase.Atoms(case.symbols).get_masses()
    target = formula_target(case.formula, masses)
    ring = ring_polymer(masses, heat * case.temperature_K, case.beads, 3000 if name == "water" else 60)
    settings = {"ensemble": {"temperature_K": heat * case.temperature_K}, "beads": case.beads}
    sampler = sl_pihmc.build(sl_pihmc.Settings.model_validate(settings), ring, target)
    state = sampler.init(np.broadcast_to(case.start_A, (WALKERS, case.beads, *case.start_A.shape)).copy())
    plan, surrogate = Plan(Phase.PRODUCTION, 1, 0, "d", case.step_fs, case.length_fs), formula_surrogate(case.wrong)
    series, taken = {}, []
    for number in range(1, case.steps + 1):
        state, infos = sampler.step(state, surrogate, plan, step_rng(1, "ipi", number))
        if number <= case.steps // 5:
            continue
        taken.append([info.accepted for info in infos])
        energies = {
            "kinetic": [info.observables["kinetic_energy_eV"] for info in infos],
            "potential": [info.observables["potential_energy_eV"] for info in infos],
        }
        for key, values in {**potentials.structure_numbers(name, state.positions), **energies}.items():
            series.setdefault(key, []).append(values)
    assert 0.3 < np.mean(taken) < 0.999  # the surrogate is wrong, and good enough
    return {key: statistics.estimate(np.array(values)) for key, values in series.items()}


def z_scores(one, two):
    return {name: (one[name].mean - two[name].mean) / np.hypot(one[name].stderr, two[name].stderr) for name in one}


def test_energies_and_distributions_are_those_of_ipi(peer, formula_target, formula_surrogate):
    name, theirs = peer
    found = ours(name, formula_target, formula_surrogate)
    z = z_scores(found, theirs)
    assert max(map(abs, z.values())) < ALARM, z
    assert theirs["kinetic"].stderr < 0.02 * theirs["kinetic"].mean
    assert found["kinetic"].stderr < 0.02 * found["kinetic"].mean


def test_the_alarm_rings_at_another_temperature(peer, formula_target, formula_surrogate):
    name, theirs = peer
    z = z_scores(ours(name, formula_target, formula_surrogate, heat=1.25), theirs)
    assert max(map(abs, z.values())) > 8, z
