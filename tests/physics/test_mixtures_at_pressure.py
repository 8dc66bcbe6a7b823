"""Mixtures at constant pressure: one atom in an elastic cell, the laws of its volume with and without weights by quadrature.

Walkers start in the mixture's law, which a right step keeps. The alarm |z| > 4.5 rings by chance 1.3e-5 each.
"""

import importlib.util
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from scipy.stats import kstest, rv_histogram

from kernels.random_numbers import step_rng
from kernels.ring_polymer import ring_polymer
from protocol.records import Phase
from sim_daemon.moves import ring_move
from sim_daemon.samplers import sl_pihmc_mix
from sim_daemon.samplers.base import Plan, State

spec = importlib.util.spec_from_file_location("constant_pressure", Path(__file__).parent / "test_constant_pressure.py")
known = importlib.util.module_from_spec(spec)
spec.loader.exec_module(known)

KT, WALKERS, ALARM, RARE = known.KT, 100, 4.5, 1e-5
# bulk modulus (eV/A^3) and volume at rest (A^3) of first principles and of two surrogates
RIGHT, WRONG, FAR = (0.004, 120.0), (0.0028, 140.0), (0.0028, 220.0)
ALPHA = 0.4
EXTENDED = {"barostat": "extended", "trajectory_fs": 40.0, "timestep_fs": 4.0}


def elastic(volumes, bulk, rest):
    return 0.5 * bulk * (volumes - rest) ** 2 / rest


def law(alpha, wrong=WRONG):
    """V^N exp(-beta (U + pV)) of one atom, U = alpha U_right + (1 - alpha) U_wrong."""
    edges = np.linspace(0.5, 600, 20000)
    v = edges[1:]
    energy = alpha * elastic(v, *RIGHT) + (1 - alpha) * elastic(v, *wrong) + KT / known.SCALE_A3 * v
    return rv_histogram((v * np.exp(-energy / KT), edges), density=False)


def walk(beads, surrogate=WRONG, alpha=ALPHA, steps=8, cell_step=0.6, timestep_fs=2.0, trajectory_fs=6.0, seed=3, **keys):
    """Volumes, ln of the weights, ln of the ratios and acceptance, (steps, W) each."""
    target, wrong = known.Formula(known.spring(*RIGHT), 1), known.Formula(known.spring(*surrogate), 1)
    given = known.ensemble(**keys).model_dump()
    settings = sl_pihmc_mix.Settings.model_validate({"ensemble": given, "beads": beads, "trajectory_fs": trajectory_fs})
    ring = ring_polymer(target.system.masses_amu, known.TEMPERATURE_K, beads, 1200)
    sampler = sl_pihmc_mix.build(settings, ring, target)
    cells, rng = known.cubes(law(alpha, surrogate), seed, WALKERS), np.random.default_rng(seed)
    positions = np.array([ring.spread(rng, 1e-3) for _ in range(WALKERS)])
    values = target(positions.reshape(-1, 1, 3), np.repeat(cells, beads, axis=0))
    told = values.energies.reshape(WALKERS, beads), values.forces.reshape(positions.shape)
    state = State(positions, *told, cells, stresses=values.stresses.reshape(WALKERS, beads, 3, 3))
    plan = Plan(Phase.PRODUCTION, 1, 0, "", timestep_fs, trajectory_fs, cell_step=cell_step, alpha=alpha)
    rows = []
    for number in range(1, steps + 1):
        state, infos = sampler.step(state, wrong, plan, step_rng(seed, "mix", number))
        rows.append([(i.observables["volume_A3"], i.observables["log_weight"], i.log_ratio, i.accepted) for i in infos])
    volumes, logs, ratios, taken = np.moveaxis(np.array(rows, dtype=float), 2, 0)
    return SimpleNamespace(volumes=volumes, logs=logs, ratios=ratios, taken=taken)


def z(series, logs, answer):
    """Of a weighted mean, its error from the walkers' residuals."""
    weights = np.exp(logs - logs.max())
    total, norm = (weights * series).sum(axis=0), weights.sum(axis=0)
    mean = total.sum() / norm.sum()
    return (mean - answer) / (np.sqrt(((total - mean * norm) ** 2).sum()) / norm.sum())


@pytest.mark.parametrize(
    ("beads", "keys"),
    [(1, {}), (3, {}), (2, {"cell": "full"}), (1, {"cell": "orthorhombic"}), (1, EXTENDED), (3, EXTENDED)],
    ids=str,
)
def test_volumes_are_those_of_the_mixture_and_weighted_those_of_first_principles(beads, keys):
    told = walk(beads, **keys)
    mixed, right = law(ALPHA), law(1.0)
    for wanted, logs in ((mixed, np.zeros_like(told.logs)), (right, told.logs)):
        assert abs(z(told.volumes, logs, wanted.mean())) < ALARM
        assert abs(z((told.volumes - wanted.mean()) ** 2, logs, wanted.var())) < ALARM
    assert kstest(told.volumes[-1], mixed.cdf).pvalue > RARE
    assert 0.2 < told.taken.mean() < 1.0
    factors = np.exp(np.where(np.isfinite(told.ratios), told.ratios, -np.inf)) / np.isfinite(told.ratios).mean()
    assert abs(z(factors, np.zeros_like(factors), 1.0)) < ALARM  # Creutz, of the mixture
    residual = elastic(told.volumes, *RIGHT) - elastic(told.volumes, *WRONG)
    np.testing.assert_allclose(told.logs, -(1 - ALPHA) * residual / KT, atol=1e-9)  # of the state after the step, in its cell


def test_without_weights_or_with_all_of_the_residual_in_the_test_the_alarm_rings(monkeypatch):
    """The mixture's volumes are not those of first principles; nor is the mixture kept if the full change decides."""
    told = walk(1, FAR)
    assert abs(z(told.volumes, np.zeros_like(told.logs), law(1.0).mean())) > 10
    monkeypatch.setattr(ring_move, "_mixed", lambda mixture, w, change: change)
    forgetful = walk(1, FAR, steps=20)
    assert abs(z(forgetful.volumes[8:], np.zeros((12, WALKERS)), law(ALPHA, FAR).mean())) > 10
