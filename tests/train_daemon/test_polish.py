"""L-BFGS on a quadratic ends at its minimum; it stops when told, and never makes a loss larger."""

import numpy as np
import torch

from train_daemon.losses import Sums
from train_daemon.polish import CHUNK, chunks, polish


class Quadratic:
    """Mean over structures of |a_k . w - b_k|^2 / 2; structure k has row k."""

    def __init__(self, rows, parameters=6, bad=False):
        rng = np.random.default_rng(0)
        self.a, self.b = rng.standard_normal((rows, parameters)), rng.standard_normal(rows)
        self.flat = torch.zeros(parameters, dtype=torch.float64, requires_grad=True)
        self.flat.grad = torch.zeros_like(self.flat)
        self.calls, self.bad = [], bad

    def differentiate(self, chosen, share):
        assert share == 0.0
        self.calls.append(len(chosen))
        off = self.a[chosen] @ self.flat.detach().numpy() - self.b[chosen]
        self.flat.grad.copy_(torch.from_numpy(off @ self.a[chosen] / len(chosen)) * (-1 if self.bad else 1))
        return Sums(0.5 * np.mean(off**2), 0.0, 0.0, float(len(chosen)))

    def polish(self, steps, stop=lambda: False):
        polish(self.differentiate, self.flat, np.arange(len(self.b)), steps, stop)
        return self.flat.detach().numpy()


def test_it_ends_at_the_least_squares_solution_over_all_chunks():
    case = Quadratic(2 * CHUNK + 77)
    want = np.linalg.lstsq(case.a, case.b, rcond=None)[0]
    np.testing.assert_allclose(case.polish(30), want, atol=1e-7)
    assert max(case.calls) <= CHUNK


def test_it_asks_after_every_iteration_whether_to_stop():
    case, asked = Quadratic(50), []

    def stop():
        asked.append(1)
        return len(asked) == 2

    case.polish(30, stop)
    assert len(asked) == 2
    assert 0 < np.linalg.norm(case.flat.detach()) < np.inf


def test_a_gradient_that_lies_changes_nothing():
    case = Quadratic(50, bad=True)
    np.testing.assert_array_equal(case.polish(10), np.zeros(6))


def test_chunks_hold_everything_once():
    members = np.arange(3 * CHUNK + 1)
    parts = chunks(members)
    np.testing.assert_array_equal(np.concatenate(parts), members)
    assert (len(parts), max(map(len, parts)) <= CHUNK) == (4, True)
