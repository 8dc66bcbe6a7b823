"""The two-body energy below a network: smooth, and the same from every loop."""

from dataclasses import replace

import numpy as np
import pytest

from kernels.baseline import Baseline, coefficients, columns, curve, of_coefficients
from kernels.descriptors.base import Chebyshev, kinds
from kernels.neighbors.numba_cpu import pairs
from kernels.potentials import bpnn

CUTOFF = 4.0


@pytest.fixture(params=["compiled", "numba"])
def loops(request, monkeypatch):
    """Both backends of the evaluation."""
    if request.param == "numba":
        monkeypatch.setattr(bpnn, "in_compiled_kernels", lambda *_: None)


def model(networks_are_zero=False):
    """A network for O and Si with walls between all of them."""
    descriptor, rng = Chebyshev((8, 14), "species_resolved", 4, CUTOFF, 3, 3.0), np.random.default_rng(0)
    ones = np.ones((2, descriptor.length))
    share = 0.0 if networks_are_zero else 0.1
    layers = tuple(
        ((share * rng.normal(size=(5, descriptor.length)), np.zeros(5)), (share * rng.normal(size=(1, 5)), np.zeros(1)))
        for _ in range(2)
    )
    walls = Baseline(np.array([[40.0, 7.0], [7.0, 90.0]]), np.array([[9.0, 0.0], [0.0, 30.0]]), CUTOFF)
    reference = np.zeros(2) if networks_are_zero else np.array([-3.0, 2.0])
    return bpnn.BpnnModel(descriptor, layers, "tanh", 0 * ones, ones, reference, 2.5, walls)


def test_the_curve_is_lennard_jones_below_half_the_cutoff_and_falls_to_zero_with_two_derivatives():
    value, slope = curve(1.5, 40.0, 9.0, CUTOFF)
    assert value == pytest.approx(40 / 1.5**12 - 9 / 1.5**6, rel=1e-13)
    assert slope == pytest.approx(-12 * 40 / 1.5**13 + 54 / 1.5**7, rel=1e-13)
    step = 1e-5
    for r in (1.0, 1.99, 2.0, 2.4, 3.1, 3.9, 4.0):
        low, high = curve(r - step, 40.0, 9.0, CUTOFF), curve(r + step, 40.0, 9.0, CUTOFF)
        assert (high[0] - low[0]) / (2 * step) == pytest.approx(curve(r, 40.0, 9.0, CUTOFF)[1], rel=1e-6, abs=1e-9)
        left, right = (curve(r, 40.0, 9.0, CUTOFF)[1] - low[1]) / step, (high[1] - curve(r, 40.0, 9.0, CUTOFF)[1]) / step
        assert left == pytest.approx(right, abs=2e-3 * max(1.0, abs(left)))  # a jump of the second derivative would show
    assert curve(4.0, 40.0, 9.0, CUTOFF) == (0.0, 0.0)
    assert curve(5.0, 40.0, 9.0, CUTOFF) == (0.0, 0.0)


def test_without_a_network_the_potential_is_the_two_body_energy(loops, melt):
    found = model(networks_are_zero=True)
    positions, numbers, cell = melt(30)
    box = (numbers, cell, np.ones(3, bool))
    told = bpnn.Bpnn(found, 0).evaluate(positions, *box)
    near = pairs(positions[0], cell, np.ones(3, bool), CUTOFF)
    energies, parts, virials = columns(near, kinds(found.descriptor, numbers), 2, CUTOFF)
    energy, forces = energies @ coefficients(found.baseline), parts @ coefficients(found.baseline)
    assert abs(energy) > 10
    assert told.energy[0] == pytest.approx(energy, rel=1e-12)
    assert np.abs(told.forces[0] - forces).max() < 1e-11 * np.abs(forces).max()
    virial = virials @ coefficients(found.baseline)
    assert np.abs(told.stress[0] * np.linalg.det(cell) + virial).max() < 1e-11 * np.abs(virial).max()


def test_forces_and_stress_are_derivatives_with_a_network_above(loops, melt):
    potential, (_, numbers, cell) = bpnn.Bpnn(model(), 0), melt(20)
    grid = np.stack(np.meshgrid(*[np.arange(3)] * 3), -1).reshape(-1, 3)[:20] / 3
    positions = (grid + np.random.default_rng(1).uniform(-0.05, 0.05, (20, 3)))[None] @ cell
    box, rng, step = (numbers, cell, np.ones(3, bool)), np.random.default_rng(2), 1e-4
    told = potential.evaluate(positions, *box)
    direction = rng.normal(size=(20, 3))
    energies = [potential.evaluate(positions + n * step * direction, *box).energy[0] for n in (-2, -1, 1, 2)]
    slope = (energies[0] - 8 * energies[1] + 8 * energies[2] - energies[3]) / (12 * step)
    assert slope == pytest.approx(-np.vdot(told.forces[0], direction), rel=1e-6)
    strain = rng.normal(size=(3, 3))
    strain += strain.T
    bent = [np.eye(3) + n * step * strain for n in (-2, -1, 1, 2)]
    energies = [potential.evaluate(positions @ b, numbers, cell @ b, np.ones(3, bool)).energy[0] for b in bent]
    slope = (energies[0] - 8 * energies[1] + 8 * energies[2] - energies[3]) / (12 * step)
    assert slope == pytest.approx(np.vdot(told.stress[0], strain) * abs(np.linalg.det(cell)), rel=1e-6)


def test_both_loops_agree(melt, monkeypatch):
    positions, numbers, cell = melt(30)
    box = (numbers, cell, np.ones(3, bool))
    seen = [bpnn.Bpnn(model(), 0).evaluate(positions, *box)]
    monkeypatch.setattr(bpnn, "in_compiled_kernels", lambda *_: None)
    seen.append(bpnn.Bpnn(model(), 0).evaluate(positions, *box))
    for name in ("energy", "forces", "stress"):
        mine, other = (getattr(one, name) for one in seen)
        assert np.abs(mine - other).max() < 1e-11 * np.abs(mine).max()


def test_the_file_keeps_it_and_shows_a_change(tmp_path):
    bpnn.write(tmp_path, model())
    again = bpnn.read(tmp_path)
    assert again.baseline.cutoff_A == CUTOFF
    assert np.array_equal(again.baseline.repulsion, model().baseline.repulsion)
    text = (tmp_path / bpnn.FILE).read_bytes()
    assert text.count(np.float64(90.0).tobytes()) == 1
    (tmp_path / bpnn.FILE).write_bytes(text.replace(np.float64(90.0).tobytes(), np.float64(91.0).tobytes()))
    with pytest.raises(ValueError, match="do not match its digest"):
        bpnn.read(tmp_path)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"repulsion": np.array([[1.0, 2.0], [3.0, 1.0]])}, "symmetric"),
        ({"attraction": -np.ones((2, 2))}, "not negative"),
        ({"attraction": np.ones((3, 3))}, "shape"),
        ({"cutoff_A": 5.0}, "at most the radial one"),
    ],
)
def test_what_cannot_be(change, said):
    with pytest.raises(ValueError, match=said):
        replace(model(), baseline=model().baseline._replace(**change))


def test_coefficients_there_and_back():
    numbers = np.arange(12.0)
    made = of_coefficients(numbers, 3, CUTOFF)
    assert np.array_equal(made.repulsion, [[0, 1, 2], [1, 3, 4], [2, 4, 5]])
    assert np.array_equal(coefficients(made), numbers)
