"""The composite rule as whole transition matrices on seven states: what is stationary to rounding, and what is not.

pi: target; rho: the surrogate's ensemble. The matrices follow docs/methods.md: local moves.
"""

import numpy as np
import pytest

STATES = 7
RNG = np.random.default_rng(12)
PI, RHO = (weights / weights.sum() for weights in RNG.uniform(0.2, 1.0, (2, STATES)))


def metropolis(weights, proposal):
    """Transition matrix with a symmetric proposal matrix."""
    matrix = proposal * np.minimum(1, weights / weights[:, None])
    np.fill_diagonal(matrix, 0)
    return matrix + np.diag(1 - matrix.sum(axis=1))


def proposals():
    """Two kinds of symmetric local moves: to the next state, and between mirror images."""
    near = np.zeros((STATES, STATES))
    for x in range(STATES):
        near[x, (x + 1) % STATES] = near[x, (x - 1) % STATES] = 0.5
    return near, np.eye(STATES)[::-1].copy()


def composed(chain):
    """The surrogate's chain under one test by the target."""
    ratio = PI * RHO[:, None] / (PI[:, None] * RHO)
    matrix = chain * np.minimum(1, ratio)
    np.fill_diagonal(matrix, 0)
    return matrix + np.diag(1 - matrix.sum(axis=1))


def drift(matrix, weights=PI):
    return np.abs(weights @ matrix - weights).max()


def scanned(moves):
    kinds = [metropolis(RHO, proposal) for proposal in proposals()]
    return np.linalg.matrix_power(0.7 * kinds[0] + 0.3 * kinds[1], moves)


def test_a_random_scan_under_the_test_keeps_the_target_for_every_length():
    mixture = np.mean([composed(scanned(moves)) for moves in (1, 2, 5, 12)], axis=0)  # lengths by a fixed law
    for matrix in (*(composed(scanned(moves)) for moves in (1, 4, 9)), mixture):
        assert drift(matrix) < 1e-14
        np.testing.assert_allclose(PI[:, None] * matrix, (PI[:, None] * matrix).T, atol=1e-15)


def test_a_sweep_in_fixed_order_is_caught():
    first, second = (metropolis(RHO, proposal) for proposal in proposals())
    assert drift(composed(first @ second)) > 1e-3
    assert drift(composed(first @ second @ first)) < 1e-14  # forwards and back


def test_one_test_for_a_random_part_of_the_target_is_caught():
    """A fresh random subset plugged into the test: each of two halves has a test of its own, their mean is not the target's."""
    noise = RNG.normal(0, 0.7, STATES)
    halves = [PI * np.exp(noise), PI * np.exp(-noise)]
    wrong = np.zeros((STATES, STATES))
    for half in halves:
        matrix = scanned(3) * np.minimum(1, half * RHO[:, None] / (half[:, None] * RHO))
        np.fill_diagonal(matrix, 0)
        wrong += 0.5 * (matrix + np.diag(1 - matrix.sum(axis=1)))
    assert drift(wrong) > 1e-3


@pytest.mark.parametrize("start_inside", [True, False])
def test_a_veto_on_novel_states_would_change_the_target(start_inside):
    """Rejecting what is new: not pi, unless the chain never starts there, and then pi of the rest. So novelty vetoes nothing."""
    novel = np.zeros(STATES, bool)
    novel[[1, 4]] = True
    matrix = composed(scanned(4)) * ~novel
    np.fill_diagonal(matrix, 0)
    matrix += np.diag(1 - matrix.sum(axis=1))
    rest = np.where(novel, 0, PI) / PI[~novel].sum()
    assert (drift(matrix) > 1e-3) if start_inside else (drift(matrix, rest) < 1e-14)


def test_a_symmetric_veto_keeps_the_target():
    share = RNG.uniform(0, 1, (STATES, STATES))
    matrix = composed(scanned(4)) * (share + share.T) / 2
    np.fill_diagonal(matrix, 0)
    assert drift(matrix + np.diag(1 - matrix.sum(axis=1))) < 1e-14


@pytest.mark.parametrize("judges_alone", [True, False])
def test_a_random_bead_drawn_for_each_test_is_no_mixture_but_may_judge_first(judges_alone):
    """Rings of two beads, alpha = 0.6 of the residual decides: the mean of both beads' residuals, or of one drawn afresh."""
    alpha, residuals = 0.6, RNG.normal(0, 1.0, (2, STATES))
    mixture = RHO * np.exp(-alpha * residuals.mean(axis=0))
    mixture /= mixture.sum()
    matrix, chain = np.zeros((STATES, STATES)), scanned(3)
    for bead in residuals:
        first = np.exp(-alpha * (bead - bead[:, None]))
        rest = 1.0 if judges_alone else mixture / mixture[:, None] * RHO[:, None] / RHO / first
        one = chain * np.minimum(1, first) * np.minimum(1, rest)
        np.fill_diagonal(one, 0)
        matrix += 0.5 * (one + np.diag(1 - one.sum(axis=1)))
    assert (drift(matrix, mixture) > 1e-3) if judges_alone else (drift(matrix, mixture) < 1e-14)
