import json

import numpy as np
import pytest

from kernels.potentials.base import Evaluation
from kernels.random_numbers import step_rng
from kernels.ring_polymer import ring_polymer
from protocol import checkpoint
from protocol.errors import BadSetting
from protocol.records import Phase, Structure
from sim_daemon import schedule
from sim_daemon.chain import Chain, restore
from sim_daemon.moves.explore import HOLE
from sim_daemon.samplers import metropolis
from sim_daemon.samplers.base import Move, Plan
from sim_daemon.system import System
from sim_daemon.target import TargetValues

NUMBERS = np.array([8, 8, 14, 14])
PLACES = np.array([[0.0, 0, 0], [1.6, 0, 0], [0, 1.7, 0], [0, 0, 1.8]])
WALKERS, BEADS = 2, 3
SETTINGS = {
    "ensemble": {"temperature_K": 600},
    "beads": BEADS,
    "walkers": WALKERS,
    "moves": {"swap": {}, "bridge": {}, "rotation": {}, "collective": {}},
    "molecules": [[1, 2, 3]],
}
WIDTHS = {"translation": 0.05, "bridge": 1.0, "rotation": 8.0, "collective": 0.1}
SPECIES_WELL = np.where(NUMBERS == 8, 3.0, 2.0)[:, None]


def springs(stiffness):
    def formula(x):
        away = x - PLACES
        return 0.5 * stiffness * np.sum(SPECIES_WELL * away**2, axis=(1, 2)), -stiffness * SPECIES_WELL * away

    return formula


class Target:
    """Wells about the places; counts its calls."""

    def __init__(self, numbers=NUMBERS, cliff=np.inf):
        structure = Structure(PLACES, numbers, np.zeros((3, 3)), np.zeros(3, bool))
        self.system = System(numbers, np.array([16.0, 16.0, 28.0, 28.0]), structure, 0, 1, None, False)
        self.calls, self.cliff = 0, cliff

    def __call__(self, positions, cells=None):
        self.calls += len(positions)
        energies, forces = springs(1.0)(positions)
        energies = energies + 3.0 * (positions[:, 0, 0] > self.cliff)
        nothing, ones = (None,) * len(positions), np.ones(len(positions), int)
        return TargetValues(positions, energies, forces, nothing, nothing, ones, 0 * ones)


class Surrogate:
    species, cutoff, generation = (), 4.0, 0

    def evaluate(self, positions, numbers, cell, pbc):
        return Evaluation(*springs(0.8)(positions))


def sampler_of(target, **changes):
    settings = metropolis.Settings.model_validate(SETTINGS | changes)
    return metropolis.build(settings, ring_polymer(target.system.masses_amu, 600.0, settings.beads, 1200), target)


def first(beads=BEADS):
    return PLACES + np.random.default_rng(4).normal(0, 0.03, (WALKERS, beads, 4, 3))


def plan_at(step, phase=Phase.ADAPT):
    """Some steps explore, and the rest are tested; the first ones have no surrogate."""
    move = Move.EXPLORE if step % 4 == 0 and step > 3 else Move.METROPOLIS
    return Plan(phase, 0, -1 if step <= 3 else 0, "", 0.0, 0.0, move, 6 if step <= 3 else 30, WIDTHS)


def go(sampler, state, steps):
    told = []
    for step in steps:
        plan = schedule.plan_of(json.loads(json.dumps(schedule.entry(step, plan_at(step)))))  # as the ledger gives it back
        assert plan == plan_at(step)
        surrogate = Surrogate() if plan.generation >= 0 else None
        state, infos = sampler.step(state, surrogate, plan, step_rng(1, "sim0", step))
        told += infos
    return state, told


def test_a_chain_restored_from_its_checkpoint_goes_on_bit_for_bit():
    sampler = sampler_of(Target())
    whole, told = go(sampler, sampler.init(first()), range(1, 20))
    half, early = go(sampler, sampler.init(first()), range(1, 10))
    again = restore(checkpoint.load(checkpoint.dump(Chain(half, 9).dump())))
    rest, late = go(sampler_of(Target()), again.state, range(10, 20))
    for name in ("positions", "energies", "forces", "cells"):
        np.testing.assert_array_equal(getattr(rest, name), getattr(whole, name))
    for a, b in zip(rest.seen, whole.seen, strict=True):
        np.testing.assert_array_equal(a, b)
    assert [i.engine_calls for i in early + late] == [i.engine_calls for i in told]
    assert sum(i.counts.get("novel", 0) for i in told) > 0


def test_a_walker_has_the_same_bits_alone_and_in_company():
    target = Target()
    both = sampler_of(target)
    alone = sampler_of(target, walkers=1)
    plan = Plan(Phase.PRODUCTION, 1, 0, "", 0.0, 0.0, Move.METROPOLIS, 40, WIDTHS)
    one, _ = alone.step(alone.init(first()[:1]), Surrogate(), plan, step_rng(1, "sim0", 7))
    two, _ = both.step(both.init(first()), Surrogate(), plan, step_rng(1, "sim0", 7))
    np.testing.assert_array_equal(one.positions[0], two.positions[0])


def test_the_harvest_changes_no_decision_and_production_does_not_look():
    """The same step in adapt and in production: the same state and ratio; adapt alone pays for novel structures."""
    state, paid = None, {}
    for phase in (Phase.ADAPT, Phase.PRODUCTION):
        target = Target()
        sampler = sampler_of(target)
        now, told, before = sampler.init(first()), [], target.calls
        before = target.calls
        for step in range(1, 9):
            plan = Plan(phase, 1, 0, "", 0.0, 0.0, Move.METROPOLIS, 30, WIDTHS)
            now, infos = sampler.step(now, Surrogate(), plan, step_rng(2, "sim0", step))
            told += infos
        paid[phase] = target.calls - before
        novel = sum(info.counts.get("novel", 0) for info in told)
        assert paid[phase] == sum(info.engine_calls for info in told)
        if phase is Phase.ADAPT:
            state, ratios, harvested = now, [info.log_ratio for info in told], novel
            assert novel > 0
        else:
            np.testing.assert_array_equal(now.positions, state.positions)
            assert [info.log_ratio for info in told] == ratios
            assert all("novel" not in info.counts for info in told)
            assert now.seen is None
    assert paid[Phase.ADAPT] == paid[Phase.PRODUCTION] + harvested


def test_a_chain_in_which_nothing_moved_pays_nothing():
    target = Target()
    sampler = sampler_of(target, moves={"translation": None, "swap": {}, "bridge": {}})
    state = sampler.init(first())
    before = target.calls
    plan = Plan(Phase.PRODUCTION, 1, 0, "", 0.0, 0.0, Move.METROPOLIS, 1, {"bridge": 1.0})
    told = [sampler.step(state, Surrogate(), plan, step_rng(1, "sim0", step))[1] for step in range(1, 13)]
    still = [i for infos in told for i in infos if i.outcome == "accepted: nothing moved"]
    assert still
    assert all(i.engine_calls == 0 and i.log_ratio == 0 and i.accepted for i in still)
    moved = 2 * 12 - len(still)
    assert target.calls - before == BEADS * moved


def test_a_hole_is_labelled_and_left():
    target = Target(cliff=0.12)
    sampler = sampler_of(target)
    state, outcomes = sampler.init(first()), []
    for step in range(1, 30):
        plan = Plan(Phase.ADAPT, 0, 0, "", 0.0, 0.0, Move.EXPLORE, 60, WIDTHS)
        state, infos = sampler.step(state, Surrogate(), plan, step_rng(3, "sim0", step))
        outcomes += [info.outcome for info in infos]
        assert np.isnan(state.energies).all()
        assert all(1 <= info.engine_calls <= 2 for info in infos)
    assert HOLE in outcomes
    assert "explored" in outcomes


def test_a_surrogate_that_is_not_finite_is_a_rejection_without_a_call():
    class Broken(Surrogate):
        def evaluate(self, positions, numbers, cell, pbc):
            return Evaluation(np.full(len(positions), np.nan), np.zeros_like(positions))

    target = Target()
    sampler = sampler_of(target)
    state = sampler.init(first())
    before = target.calls
    plan = Plan(Phase.PRODUCTION, 1, 0, "", 0.0, 0.0, Move.METROPOLIS, 30, WIDTHS)
    after, infos = sampler.step(state, Broken(), plan, step_rng(1, "sim0", 1))
    assert target.calls == before
    assert {i.outcome for i in infos} == {"rejected: surrogate"}
    np.testing.assert_array_equal(after.positions, state.positions)


class Refusing(Target):
    """Refuses the batches (from 1, after the start) for which `which` holds; all other structures lie `height` eV up."""

    def __init__(self, which, reason, height=0.0):
        super().__init__()
        self.which, self.reason, self.height, self.batch = which, reason, height, 0

    def __call__(self, positions, cells=None):
        values = super().__call__(positions, cells)
        self.batch += 1
        if self.batch == 1:
            return values
        if not self.which(self.batch - 1, positions):
            return values._replace(energies=values.energies + self.height)
        nothing = {"energies": values.energies + np.inf, "forces": values.forces * np.nan}
        return values._replace(**nothing, refused=(self.reason,) * len(positions))


GUARD, ENGINE = "guard: largest force component 120 eV/A is above 50", "engine_failure: no convergence"


@pytest.mark.parametrize(
    ("refused", "reason", "height", "outcomes"),
    [
        ({3}, GUARD, 0.0, {"accepted"}),
        ({3}, ENGINE, 0.0, {"accepted"}),
        ({3}, GUARD, 1e4, {"rejected"}),  # an overlap, one of ten rejections
        ({3}, ENGINE, 1e4, {"rejected: engine_failure"}),
        (set(range(1, 11)), GUARD, 1e4, {"rejected: engine_failure"}),  # nothing was left to decide
        (set(), ENGINE, 1e4, {"rejected"}),
    ],
)
def test_a_row_of_trials_is_a_failure_only_where_refusals_decided_it(refused, reason, height, outcomes):
    target = Refusing(lambda batch, _: batch in refused, reason, height)
    sampler = sampler_of(target, beads=1, moves={"translation": {}})
    plan = Plan(Phase.PRODUCTION, 1, -1, "", 0.0, 0.0, Move.METROPOLIS, 10, {"translation": 0.05})
    _, infos = sampler.step(sampler.init(first(1)), None, plan, step_rng(1, "sim0", 1))
    assert {info.outcome for info in infos} == outcomes
    assert {info.accepted for info in infos} == {"accepted" in outcomes}
    assert all(info.engine_calls == 10 for info in infos)
    assert all(sum(point.refused[0] is not None for point in info.points) == len(refused) for info in infos)


def test_a_refused_end_is_a_failure_and_a_refused_novel_structure_is_not():
    """Ends come in whole rings, what the harvest labels in single beads."""
    for which, outcomes in (
        (lambda _, x: len(x) % BEADS == 0, "rejected: engine_failure"),
        (lambda _, x: len(x) < BEADS, "rejected"),
    ):
        target, told = Refusing(which, GUARD, 1e4), []
        sampler = sampler_of(target)
        state = sampler.init(first())
        for step in range(1, 9):
            plan = Plan(Phase.ADAPT, 0, 0, "", 0.0, 0.0, Move.METROPOLIS, 30, WIDTHS)
            state, infos = sampler.step(state, Surrogate(), plan, step_rng(2, "sim0", step))
            told += infos
        assert sum(info.counts["novel"] for info in told) > 0
        assert {info.outcome for info in told} == {outcomes}


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"moves": {}}, "need moves.bridge"),
        ({"beads": 1}, "moves.bridge is for beads > 1"),
        ({"beads": 1, "moves": {"translation": None}}, "at least one kind of move"),
        ({"chain_moves": 0}, "between 1 and"),
    ],
)
def test_settings_that_cannot_work_are_refused(changes, said):
    with pytest.raises(ValueError, match=said):
        metropolis.Settings.model_validate(SETTINGS | changes)


@pytest.mark.parametrize(
    ("numbers", "changes", "said"),
    [
        (np.array([14, 14, 14, 14]), {}, "all atoms are of one species"),
        (NUMBERS, {"molecules": [[1, 2], [2, 3]]}, "each atom may stand in one molecule"),
        (NUMBERS, {"molecules": [[1, 5]]}, "atoms are 1 to 4"),
        (NUMBERS, {"molecules": []}, "no molecule of two atoms or more"),
    ],
)
def test_moves_that_the_structure_does_not_have_are_refused(numbers, changes, said):
    with pytest.raises(BadSetting, match=said):
        sampler_of(Target(numbers), **changes)


def test_a_molecule_that_a_face_cuts_is_joined():
    cut = Structure(np.array([[0.2, 1, 1], [9.5, 1, 1], [5, 5, 5.0]]), np.array([8, 1, 18]), 10.0 * np.eye(3), np.ones(3, bool))
    [group] = metropolis.molecules("auto", cut)
    assert group.members.tolist() == [0, 1]
    np.testing.assert_allclose((cut.positions[group.members] + group.offsets)[1], [-0.5, 1, 1])
