"""The two-level estimator and its planner against closed forms and harmonic oscillators."""

import math

import numpy as np
import pytest
from scipy.stats import chi2

from kernels import statistics, two_level
from kernels.ring_polymer import ring_polymer
from kernels.units import AMU_EV_FS2_PER_A2, WAVENUMBER_RAD_PER_FS

STIFFNESS = 1.00794 * AMU_EV_FS2_PER_A2 * (3000 * WAVENUMBER_RAD_PER_FS) ** 2  # eV/A^2
GOLDEN = {"x2": 0.00270930153, "energy": 0.0903804249}  # docs/methods.md: P = 4, 300 K, one component
SOFT = 0.9  # the surrogate's stiffness over the target's


def harmonic_rings(rng, shape, stiffness):
    """Normal modes (..., 4) A of one component of a ring of 4 beads, exactly of its ensemble; and the ring."""
    ring = ring_polymer(np.array([1.00794]), 300.0, 4, 3000)
    width = 1 / np.sqrt(ring.beta * (ring.springs[:, 0] + stiffness / 4))
    return ring, rng.standard_normal((*shape, 4)) * width


def oscillator(seed, steps=400, walkers=4, every=8):
    """A run of both levels: observables by name as (surrogate, target), and log weights."""
    rng = np.random.default_rng(seed)
    ring, modes = harmonic_rings(rng, (steps, walkers), SOFT * STIFFNESS)
    square = (modes**2).mean(axis=-1)  # bead average of x^2, one component
    gyration = (modes[..., 1:] ** 2).mean(axis=-1) * 3 / 4
    potential = {"surrogate": 0.5 * SOFT * STIFFNESS * square, "target": 0.5 * STIFFNESS * square}
    virial = {}
    for name, stiffness in (("surrogate", SOFT * STIFFNESS), ("target", STIFFNESS)):
        virial[name] = 0.5 / ring.beta + 0.5 * stiffness * gyration + potential[name]
    logs = -ring.beta * (potential["target"] - potential["surrogate"])
    labelled = np.arange(1, steps + 1) % every == 0
    logs[~labelled] = np.nan
    return {"x2": (square, square), "energy": (virial["surrogate"], virial["target"])}, logs


def test_means_of_the_target_with_honest_errors():
    """Forty runs on a surrogate that is 10 % too soft: the finite-P values, and a scatter that is the error quoted."""
    found = {name: [] for name in GOLDEN}
    for seed in range(40):
        observables, logs = oscillator(seed)
        for name, (surrogate, target) in observables.items():
            found[name].append(two_level.combine(surrogate, target, logs))
    for name, runs in found.items():
        means, errors = (np.array([getattr(run.whole, key) for run in runs]) for key in ("mean", "stderr"))
        z = (means - GOLDEN[name]) / errors
        assert abs(z.mean()) * math.sqrt(len(z)) < 4.5, name
        assert 0.7 < z.std(ddof=1) < 1.35, name
        alone = np.array([(run.surrogate.mean - GOLDEN[name]) / run.surrogate.stderr for run in runs])
        assert abs(alone.mean()) * math.sqrt(len(alone)) > 5, name  # the first level by itself is wrong


def test_ess_is_the_variance_of_the_target_over_the_squared_error():
    observables, logs = oscillator(3, steps=4000)
    found = two_level.combine(*observables["x2"], logs)
    _, exact = harmonic_rings(np.random.default_rng(0), (200000,), STIFFNESS)
    assert found.whole.ess * found.whole.stderr**2 == pytest.approx((exact**2).mean(axis=-1).var(), rel=0.15)
    assert found.correction.samples == 2000
    assert found.whole.mean == pytest.approx(found.surrogate.mean + found.correction.mean, abs=0.1 * found.whole.stderr)


@pytest.mark.parametrize("modes", [1, 2, 3, 10])
def test_variance_of_the_second_level(modes):
    """Classical harmonic modes, k_target = (1 + e) k_surrogate, in quantiles: 2 + 12/n for sum x^2, and 8 for V at n = 1."""
    count, error = 400_000, 1e-3
    square = chi2.ppf((np.arange(count) + 0.5) / count, modes)
    u = 0.5 * error * square
    one = u.var() * square.var()
    assert two_level.second_variance(square, square, -u) / one == pytest.approx(2 + 12 / modes, rel=0.02)
    if modes == 1:
        assert two_level.second_variance(square, (1 + error) * square, -u) / one == pytest.approx(8, rel=0.02)


def test_a_constant_in_the_weights_and_a_large_total_play_no_part():
    observables, logs = oscillator(5)
    surrogate, target = observables["energy"]
    plain = two_level.combine(surrogate, target, logs).whole
    moved = two_level.combine(surrogate - 1e5, target - 1e5, logs + 3e4).whole
    assert moved.mean + 1e5 == pytest.approx(plain.mean, abs=1e-8)
    assert moved.stderr == pytest.approx(plain.stderr, rel=1e-4)


def test_the_allocation_has_the_least_variance_at_its_cost():
    v1, v2, c1, c2 = 3.0, 0.02, 0.01, 0.2
    ratio = two_level.allocation(v1, v2, c1, c2)
    assert ratio == pytest.approx(math.sqrt(3.0 * 0.2 / (0.02 * 0.01)))

    def variance(r):  # at unit cost: n2 = 1 / (r c1 + c2)
        return (v1 / r + v2) * (r * c1 + c2)

    assert all(variance(ratio) <= variance(other * ratio) for other in (0.5, 0.8, 0.99, 1.01, 1.25, 2.0))
    assert two_level.allocation(v1, 0.0, c1, c2) == math.inf


def test_free_energies_of_both_directions_agree():
    """Classical oscillators: exp(-beta dF) = sqrt(k_surrogate / k_target)."""
    rng = np.random.default_rng(2)
    x = rng.standard_normal((4000, 2))
    forward = two_level.log_mean_exp(-0.5 * (1 / SOFT - 1) * x**2)
    reverse = two_level.log_mean_exp(0.5 * (1 - SOFT) * rng.standard_normal((4000, 2)) ** 2)
    assert abs(forward.mean - 0.5 * math.log(SOFT)) < 4.5 * forward.stderr
    assert abs(forward.mean + reverse.mean) < 4.5 * math.hypot(forward.stderr, reverse.stderr)
    assert two_level.log_mean_exp(np.array([[1000.0], [1000.0], [np.nan]])).mean == pytest.approx(1000.0)


def test_the_shape_of_a_tail():
    rng = np.random.default_rng(7)
    for shape in (0.3, 0.7, 1.0):
        told = np.mean([statistics.pareto_k(np.log(rng.pareto(1 / shape, 20_000))) for _ in range(10)])
        assert told == pytest.approx(shape, abs=0.1)
    light, heavy = (np.mean([statistics.pareto_k(s * rng.standard_normal(100) + 500.0) for _ in range(50)]) for s in (0.2, 4.0))
    assert light < 0.5 < 0.7 < heavy
    assert math.isnan(statistics.pareto_k(np.zeros(20)))
