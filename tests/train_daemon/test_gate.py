"""The gate: known numbers for the score, a worse model is refused, a better one published."""

import math

import numpy as np
import pytest

from kernels.potentials.base import Evaluation
from kernels.units import KB_EV_PER_K
from train_daemon.dataset import Ring, Sample
from train_daemon.gate import Score, canary, evaluate, judge, predicted_acceptance, score

KT = KB_EV_PER_K * 300.0


class Toy:
    """Exact energies shifted by a given function of the structure's first coordinate."""

    species, cutoff, generation = (), 0.0, 0

    def __init__(self, shift=lambda x: 0.0 * x, force=0.0):
        self.shift, self.force = shift, force

    def evaluate(self, positions, numbers, cell, pbc):
        return Evaluation(self.shift(positions[:, 0, 0]), np.full(positions.shape, self.force))


def rings_of(rng, make_structure, count=200, beads=4, whole=True):
    rings = []
    for number in range(count):
        mean = rng.standard_normal()
        samples = []
        for bead in range(beads):
            structure = make_structure(rng)
            structure.positions[0, 0] = mean + (1.0, -1.0)[bead % 2]  # the beads' residuals average to the ring's
            samples.append(Sample(f"{number}/{bead}".encode(), structure, 0.0, np.zeros((3, 3)), 1.0))
        rings.append(Ring("sim0", tuple(samples), ("chain", "sim0", 0, number // 20), whole, False))
    return rings


def test_predicted_acceptance_is_that_of_a_gaussian():
    values = np.random.default_rng(0).standard_normal(200_000)
    assert predicted_acceptance(0.8 * values + 3.0) == pytest.approx(math.erfc(0.4), abs=2e-3)
    assert predicted_acceptance(np.array([0.0, np.nan])) == 0.0
    assert predicted_acceptance(np.zeros(5)) == 1.0


def test_one_far_outlier_does_not_decide():
    values = 0.5 * np.random.default_rng(0).standard_normal(400)
    values[7] = 1000.0
    assert predicted_acceptance(values) == pytest.approx(math.erfc(0.25), abs=0.03)


def test_score_takes_the_mean_of_a_ring_and_removes_the_offset(make_structure):
    rings = rings_of(np.random.default_rng(1), make_structure)
    got = score(Toy(lambda x: 0.6 * KT * x + 17.0, force=0.2), rings, lambda simulator: 300.0)
    assert got.predicted_acceptance == pytest.approx(math.erfc(0.3), abs=0.05)
    assert got.force_rmse_eV_per_A == pytest.approx(0.2)
    assert got.energy_rmse_meV_per_atom == pytest.approx(1000 * 0.6 * KT * math.sqrt(2) / 3, rel=0.1)
    assert (got.rings, got.blocks, got.whole_rings) == (150, 8, True)


def test_an_incomplete_ring_counts_once_by_the_mean_of_its_labelled_beads(make_structure):
    rings = rings_of(np.random.default_rng(1), make_structure, whole=False)
    got = score(Toy(lambda x: 0.6 * KT * x), rings, lambda simulator: 300.0)
    assert not got.whole_rings
    assert got.predicted_acceptance == pytest.approx(math.erfc(0.3), abs=0.05)


def test_a_hotter_simulator_forgives_more(make_structure):
    rings = rings_of(np.random.default_rng(1), make_structure)
    cold, hot = (score(Toy(lambda x: KT * x), rings, lambda simulator, t=t: t) for t in (300.0, 1200.0))
    assert hot.predicted_acceptance > cold.predicted_acceptance + 0.1
    assert score(Toy(), [], lambda simulator: 300.0) is None


def made(acceptance, force, blocks=3):
    return Score(1.0, force, acceptance, 50, blocks, True)


@pytest.mark.parametrize(
    ("new", "previous", "publish", "said"),
    [
        (made(0.70, 0.10), made(0.60, 0.10), True, "better"),
        (made(0.60, 0.09), made(0.60, 0.10), True, "better"),
        (made(0.60, 0.10), made(0.60, 0.10), False, "no better"),
        (made(0.50, 0.05), made(0.60, 0.10), False, "clearly worse"),
        (made(0.90, 0.20), made(0.60, 0.10), False, "clearly worse"),
        (made(0.10, 9.99), None, True, "nothing to compare"),
        (made(0.10, math.nan), made(0.6, 0.1), False, "not finite"),
        (made(0.10, 0.50, blocks=1), made(0.6, 0.1), True, "training error and canary alone"),
        (None, None, True, "training error and canary alone"),
    ],
)
def test_judgement(new, previous, publish, said):
    verdict = judge(new, previous)
    assert verdict.publish is publish
    assert said in verdict.reason


def test_evaluate_keeps_the_order_of_mixed_structures(make_structure):
    rng = np.random.default_rng(0)
    samples = []
    for k in range(6):
        structure = make_structure(rng)
        structure.positions[0, 0] = k
        if k % 2:
            object.__setattr__(structure, "numbers", np.array([8, 1, 8]))
        samples.append(Sample(bytes([k]), structure, 0.0, np.zeros((3, 3)), 1.0))
    energies, forces = evaluate(Toy(lambda x: x), samples)
    np.testing.assert_array_equal(energies, np.arange(6.0))
    assert [f.shape for f in forces] == [(3, 3)] * 6


def test_the_canary_holds_the_models_own_numbers(make_training_set):
    samples = make_training_set(10).samples
    bird = canary(Toy(lambda x: 2 * x, force=0.1), samples)
    np.testing.assert_array_equal(bird.energy, 2 * bird.positions[:, 0, 0])
    assert bird.positions.shape == (4, 3, 3)
    with pytest.raises(ValueError, match="not finite"):
        canary(Toy(lambda x: x * np.nan), samples)
