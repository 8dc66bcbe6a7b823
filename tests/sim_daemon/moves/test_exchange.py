"""Who exchanges when, what is booked, and keys that do not fit; the ensembles are in tests/physics/test_ladder.py."""

import numpy as np
import pytest
from pydantic import ValidationError

from kernels.random_numbers import step_rng
from kernels.ring_polymer import RingLadder, ring_ladder, ring_polymer
from protocol.records import Label, Phase, Structure
from sim_daemon.moves.exchange import Ladder, climbing, exchange, neighbours, temperatures_of
from sim_daemon.moves.ring_move import Costs
from sim_daemon.samplers import pihmc, sl_pihmc
from sim_daemon.samplers.base import Info, Move, Plan, State
from sim_daemon.system import System
from sim_daemon.target import TargetValues

KELVIN, BEADS = (300.0, 330.0, 363.0), 2
RING = ring_ladder([ring_polymer(np.array([12.0]), kelvin, BEADS, 1200) for kelvin in KELVIN])
BASE = Structure(np.zeros((1, 3)), np.array([6]), np.zeros((3, 3)), np.zeros(3, bool))


class Flat:
    """No potential at all; a label for everything but what lies beyond 5 A."""

    cheap, system = None, System(BASE.numbers, np.array([12.0]), BASE, 0, 1, None, False)

    def __call__(self, x, cells=None):
        far = np.abs(x).max(axis=(1, 2)) > 5
        labels = tuple(None if f else Label(BASE, 0.0, np.zeros((1, 3)), None, 0, 1, "flat") for f in far)
        reasons = tuple("too far" if f else None for f in far)
        energies = np.where(far, np.inf, 0.0)
        return TargetValues(x, energies, np.zeros_like(x), labels, reasons, np.ones(len(x), int), far.astype(int))


def state(width=0.01, walkers=3):
    x = width * np.random.default_rng(1).standard_normal((walkers, BEADS, 1, 3))
    zero = np.zeros((walkers, BEADS))
    return State(x, zero, np.zeros_like(x), np.zeros((walkers, 3, 3)), replicas=np.arange(walkers))


def test_pairs_of_neighbours_in_turn():
    assert [neighbours(4, 4, turn).tolist() for turn in range(3)] == [[0, 2], [1], [0, 2]]
    assert [neighbours(6, 3, turn).tolist() for turn in range(2)] == [[0, 3], [1, 4]]
    assert [neighbours(4, 2, turn).tolist() for turn in range(2)] == [[0, 2], [0, 2]]  # two rungs have one pair


def test_rings_change_places_and_keep_their_names():
    before = state()
    for step in range(20):
        new, swaps = exchange(RING, Flat(), before, None, np.array([1]), Costs(Flat(), BEADS, 3), step_rng(1, "t", step))
        if swaps[1].accepted:
            np.testing.assert_array_equal(new.positions, before.positions[[0, 2, 1]])
            assert new.replicas.tolist() == [0, 2, 1]
        else:
            np.testing.assert_array_equal(new.positions, before.positions)
        assert before.replicas.tolist() == [0, 1, 2]
        assert np.isfinite(swaps[1].log_ratio)


def test_scaled_rings_keep_centroid_and_weight_and_are_paid_for():
    before, costs = state(), Costs(Flat(), BEADS, 3)
    new, swaps = exchange(RING, Flat(), before, None, np.array([0]), costs, step_rng(1, "t", 1), scaled=True)
    assert swaps[0].accepted  # without a potential the ratio is 1
    assert abs(swaps[0].log_ratio) < 1e-12
    np.testing.assert_allclose(new.positions[:2].mean(axis=1), before.positions[[1, 0]].mean(axis=1), atol=1e-15)
    one, two = RING.of(0), RING.of(1)
    weights = [
        ring.beta * ring.spring_energy(ring.to_modes(x)) for ring, x in ((one, new.positions[0]), (two, before.positions[1]))
    ]
    assert weights[0] == pytest.approx(weights[1], rel=1e-12)
    assert costs.calls.tolist() == [BEADS, BEADS, 0]
    assert [len(points) for points in costs.points] == [1, 1, 0]


def test_a_ring_that_the_engine_refuses_is_not_taken():
    before = state()
    before.positions[1] += [7.0, 0, 0]
    new, swaps = exchange(RING, Flat(), before, None, np.array([0]), Costs(Flat(), BEADS, 3), step_rng(1, "t", 1), scaled=True)
    assert not swaps[0].accepted
    np.testing.assert_array_equal(new.positions, before.positions)


def told(count):
    return tuple(Info(True, "accepted", 0.0, 0.0, 0.0, 1, 1.0, (), 2, 0, {}) for _ in range(count))


def test_rows_say_temperature_ring_and_exchange():
    settings = pihmc.Settings.model_validate(
        {"ensemble": {"temperature_K": 300}, "beads": BEADS, "walkers": 3, "ladder": {"temperatures_K": KELVIN, "swap_every": 2}}
    )
    step = climbing(settings.ladder, settings, RING, Flat(), lambda state, *_: (state, told(3)))
    now, tried = state(), []
    for number in range(1, 9):
        move = Move.EXPLORE if number == 3 else Move.METROPOLIS
        now, infos = step(now, None, Plan(Phase.ADAPT, 0, -1, "", 1.0, 1.0, move), step_rng(1, "t", number))
        assert [info.temperature_K for info in infos] == list(KELVIN)
        assert [info.replica for info in infos] == now.replicas.tolist()
        assert [info.engine_calls for info in infos] == [2, 2, 2]
        tried.append([w for w, info in enumerate(infos) if info.swap])
    assert tried == [[0], [], [], [1], [], [0], [], [1]]  # every second step that is decided, even and odd pairs in turn
    unknown = State(now.positions, np.full_like(now.energies, np.nan), now.forces, now.cells)
    _, infos = step(unknown, None, Plan(Phase.ADAPT, 0, -1, "", 1.0, 1.0), step_rng(1, "t", 9))
    assert [info.swap for info in infos] == [None] * 3


def read(**changes):
    given = {"ensemble": {"temperature_K": 300}, "walkers": 4, **changes}
    return sl_pihmc.Settings.model_validate(given)


def test_temperatures():
    np.testing.assert_allclose(temperatures_of(read(ladder={"highest_K": 2400})), (300, 600, 1200, 2400))
    np.testing.assert_allclose(temperatures_of(read(ladder={"highest_K": 600, "rungs": 2})), (300, 600))
    assert temperatures_of(read(ladder={"temperatures_K": [300, 310]})) == (300.0, 310.0)
    assert temperatures_of(read()) == (300.0,)
    assert isinstance(RING.heated(1.5), RingLadder)
    assert RING.heated(1.5).of(4).beta == pytest.approx(RING.of(1).beta / 1.5)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"ladder": {}}, "needs either temperatures_K or highest_K"),
        ({"ladder": {"temperatures_K": [300, 320], "highest_K": 400}}, "needs either temperatures_K or highest_K"),
        ({"ladder": {"temperatures_K": [300, 290]}}, "two or more, rising"),
        ({"ladder": {"temperatures_K": [300]}}, "two or more, rising"),
        ({"ladder": {"temperatures_K": [300, 320], "rungs": 2}}, "goes with highest_K"),
        ({"ladder": {"temperatures_K": [310, 320]}}, "must begin with ensemble.temperature_K, 300, got 310"),
        ({"ladder": {"highest_K": 300}}, "must be above ensemble.temperature_K"),
        (
            {"ladder": {"temperatures_K": [300, 320, 340]}},
            "walkers must be a multiple of the ladder's 3 rungs, one walker each, got 4",
        ),
        ({"ladder": {"highest_K": 400}, "walkers": 1}, "walkers must be a multiple of the ladder's 2 rungs"),
        ({"ladder": {"highest_K": 400}, "refreshment": {"angle_rad": 0.5}}, "ladder needs fresh momenta"),
        ({"ladder": {"highest_K": 400}, "proposal": "segment"}, "ladder needs fresh momenta, proposal: trajectory"),
        ({"ladder": {"highest_K": 400}, "ensemble": {"name": "npt", "temperature_K": 300, "pressure_GPa": 1}}, "constant volume"),
    ],
)
def test_keys_that_do_not_fit(changes, said):
    with pytest.raises(ValidationError, match=said):
        read(**changes)


def test_swap_every_and_rungs_have_bounds():
    for wrong in ({"highest_K": 400, "swap_every": 0}, {"highest_K": 400, "rungs": 1}):
        with pytest.raises(ValidationError):
            Ladder.model_validate(wrong)
