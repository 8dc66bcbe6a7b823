"""A start that is remembered, found and told; and chains that only wander."""

import numpy as np

from kernels import statistics
from renkei.analysis import burn_in

ALARM = 4.0


def chain(seed, steps=400, walkers=2, phi=0.5, off=0.0):
    """AR(1) of variance 1 that begins `off` standard deviations away."""
    rng = np.random.default_rng(seed)
    x = np.empty((steps, walkers))
    x[0] = rng.standard_normal(walkers) + off
    for t in range(1, steps):
        x[t] = phi * x[t - 1] + np.sqrt(1 - phi**2) * rng.standard_normal(walkers)
    return x


def test_chains_that_begin_in_equilibrium_raise_few_alarms():
    for phi in (-0.5, 0.0, 0.5, 0.9):
        drifts = np.array([statistics.start_drift(chain(seed, phi=phi)) for seed in range(80)])
        assert np.mean(drifts > ALARM) <= 0.025, phi  # at most two of them
        assert np.quantile(drifts, 0.5) < 2.0


def test_a_far_start_is_found_and_so_much_left_out_that_the_mean_is_right():
    hits, zs = 0, []
    for seed in range(30):
        x = chain(seed, steps=1600, phi=0.9, off=25.0)
        out = statistics.burn_in(x, ALARM)
        hits += out > 0
        rest = statistics.estimate(x[out:])
        zs.append(rest.mean / rest.stderr)
        assert out <= 400
    assert hits >= 28
    assert abs(np.mean(zs)) < 1.0
    whole = [statistics.estimate(chain(seed, steps=1600, phi=0.9, off=25.0)) for seed in range(30)]
    assert np.mean([one.mean / one.stderr for one in whole]) > 1.0  # what is kept otherwise


def test_two_halves_that_differ_are_no_start():
    """A slow mode: half is left out at most, and it is told."""
    x = chain(1, phi=0.2)
    x[200:] += 1.0
    assert statistics.start_drift(x) > ALARM
    assert statistics.burn_in(x, ALARM) in (200,)
    assert statistics.start_drift(np.zeros((400, 2))) == 0.0
    assert statistics.start_drift(chain(1, steps=30, off=30.0)) == 0.0  # nothing to judge by


def test_the_worst_series_is_named_and_the_alarm_shared():
    calm = {f"n{k}_eV": chain(k, steps=1600) for k in range(5)}
    assert burn_in.remembered(calm) is None
    assert burn_in.remembered({}) is None
    found = burn_in.remembered({**calm, "volume_A3": chain(7, steps=1600, phi=0.9, off=15.0)})
    assert found.name == "volume_A3"
    assert 10 <= found.steps <= 400
    assert found.rest.mean < found.whole.mean
    assert f"the first {found.steps} steps of the block remember its start (volume_A3: z = " in found.told
    assert burn_in.remembered({"gap_eV": np.full((400, 2), np.nan)}) is None
