"""Expected squared jump for the cost, from trials whose answer is known."""

import dataclasses
import json
import math

import numpy as np
import pytest
from scipy.special import sici

from protocol.activity import ActivityClock
from sim_daemon.adapt_length import FEWEST, STEEPEST, Lengths
from sim_daemon.lead import ACTIVITIES, waits_booked
from sim_daemon.samplers.base import Info
from sim_daemon.world import World

BEADS, SECONDS = 3, {"evaluate": 0.25, "label": 8.0}  # of one bead
LONGEST_FS, TIMESTEP_FS, SPREAD_A2 = 160.0, 0.5, 0.03
GRID = [LONGEST_FS / 2**k for k in range(5)]


def trial(length_fs, jump, log_ratio=0.0, calls=8):
    blank = (log_ratio, 0.0, round(length_fs / TIMESTEP_FS), length_fs, (), calls, 0, {})
    return Info(True, "", blank[0], blank[1], 0.0, *blank[2:], squared_jump_A2=jump)


def oscillator(period_fs):
    """Jump of an oscillator with fresh momenta: <(x' - x)^2> = 2 <x^2> (1 - cos wt)."""
    return lambda t: 2 * SPREAD_A2 * (1 - math.cos(2 * math.pi * t / period_fs))


def tried(jump, trajectories=(160.0, 20.0), rest_s=1.0, time_step_s=1e-3, count=600, acceptance=lambda t: 1.0):
    """Lengths evenly over the octaves of each L."""
    found = Lengths(LONGEST_FS)
    for longest in trajectories:
        for share in (np.arange(count) + 0.5) / count:
            t = longest * 8 ** (share - 1)
            one = trial(t, jump(t), math.log(acceptance(t)))
            found.observe([one], {"engine": rest_s, "surrogate": time_step_s * one.md_steps, "waiting": 100.0 * share})
    return found


def exact(length_fs, period_fs, rest_s, time_step_s):
    """Mean jump over lengths log-uniform in [L/8, L], for the cost of their mean, in closed form."""
    w = 2 * math.pi / period_fs
    cosine = (sici(w * length_fs)[1] - sici(w * length_fs / 8)[1]) / math.log(8)
    return 2 * SPREAD_A2 * (1 - cosine) / (rest_s + time_step_s * length_fs * 7 / 8 / math.log(8) / TIMESTEP_FS)


@pytest.mark.parametrize(
    ("period_fs", "rest_s", "time_step_s"),
    [(40, 1.0, 1e-4), (40, 1.0, 2e-2), (25, 1.0, 1e-3), (100, 1.0, 1e-2), (800, 1.0, 1e-2)],
)
def test_the_length_of_an_oscillator_is_the_exact_one(period_fs, rest_s, time_step_s):
    found = tried(oscillator(period_fs), rest_s=rest_s, time_step_s=time_step_s)
    answers = {length: exact(length, period_fs, rest_s, time_step_s) for length in GRID}
    told = {one.trajectory_fs: one for one in found.told()}
    assert list(told) == GRID
    for length, one in told.items():
        assert one.known == (length not in (10.0,))  # the two L leave out the shortest octave alone
        if one.known:
            assert one.worth == pytest.approx(answers[length], rel=0.02)
    best = max(answers, key=lambda length: answers[length])
    for present in GRID[:4]:
        chosen = found.best(present, 1.2)
        assert chosen == (best if answers[best] > 1.2 * answers[present] else present)
    assert found.best(80.0, 1.0) == best


def test_a_dear_surrogate_makes_trajectories_shorter_and_no_time_counts_calls():
    """Jumps that stop to grow after 10 fs: per time of the trajectory L = 20 fs is the best, [2.5, 20] fs."""
    jump = lambda t: min(t, 10.0) ** 2  # noqa: E731
    assert tried(jump, time_step_s=1e-6).best(40.0, 1.0) == 80.0
    assert tried(jump, time_step_s=1.0).best(80.0, 1.0) == 20.0
    blind = Lengths(LONGEST_FS)
    for share in np.linspace(0.02, 0.98, 30):
        blind.observe([trial(160 * 8 ** (share - 1), jump(160 * 8 ** (share - 1)))], {})
    assert blind.told()[0].cost == 8.0
    assert blind.best(160.0, 1.0) == 160.0


def test_rejected_and_trapped_proposals_are_no_jumps():
    """Acceptance that falls with the length: the longest jumps are worth little, or not allowed at all."""
    falling = lambda t: math.exp(-t / 20)  # noqa: E731
    found = tried(lambda t: t**2, acceptance=falling)
    assert tried(lambda t: t**2).best(80.0, 1.0) == 160.0
    assert found.best(160.0, 1.0) == 80.0
    chosen = found.best(160.0, 1.0, least_acceptance=0.66)
    assert chosen == 20.0
    assert found.told()[GRID.index(chosen)].acceptance >= 0.66
    before = found.told()[0].squared_jump_A2
    for _ in range(600):
        found.observe([trial(159.0, math.nan, math.nan)], {})
    assert found.told()[0].squared_jump_A2 < before


def test_one_octave_is_extrapolated_and_jumps_go_on_as_they_did():
    found = tried(lambda t: t**2, trajectories=(80.0,))
    told = {one.trajectory_fs: one for one in found.told()}
    assert [one.known for one in told.values()] == [False, True, False]
    assert told[160.0].squared_jump_A2 == pytest.approx(STEEPEST * told[80.0].squared_jump_A2, rel=0.02)
    assert told[40.0].squared_jump_A2 == pytest.approx(told[80.0].squared_jump_A2 / STEEPEST, rel=0.02)
    assert told[160.0].cost == pytest.approx(1 + 2 * (told[80.0].cost - 1), rel=0.02)
    assert told[40.0].cost == pytest.approx(1 + 0.5 * (told[80.0].cost - 1), rel=0.02)


def test_few_trials_tell_nothing_and_the_length_stays():
    found = Lengths(LONGEST_FS)
    assert found.told() == ()
    assert found.best(80.0, 1.0) == 80.0
    for length in (150.0, 70.0, 30.0) * (FEWEST - 1):
        found.observe([trial(length, 1.0)], {})
    assert found.told() == ()
    silent = dataclasses.replace(trial(100.0, 0.0), squared_jump_A2=None)
    found.observe([silent] * 3, {})
    assert found.trials[-1][1] == 100.0**2  # a sampler that tells none is taken to be ballistic


def test_it_survives_a_checkpoint_and_forgets():
    found = tried(oscillator(40), count=20)
    again = Lengths(**json.loads(json.dumps(dataclasses.asdict(found))))
    assert again.rows() == found.rows()
    found.forget()
    assert found.rows() == []


class Ranks:
    """What a World needs of MPI, on a clock that only work moves: all ranks at once, those beside rank 0 at their own pace."""

    def __init__(self, size, pace):
        self.size, self.pace, self.now, self.done = size, pace, 0.0, {}
        self.Get_rank, self.Get_size, self.Iprobe = lambda: 0, lambda: size, lambda source: True

    def send(self, message, dest):
        name, beads, _ = message
        self.done[dest] = self.now + SECONDS[name] * len(beads) / self.pace, list(beads)

    def recv(self, source):
        end, answer = self.done.pop(source)
        self.now = max(self.now, end)
        return True, answer

    def work(self, clock, activity, name):
        """Rank 0's handler."""

        def handler(beads):
            with clock.doing(activity):
                self.now += SECONDS[name] * len(beads)
            return list(beads)

        return handler


@pytest.mark.parametrize("pace", [1.0, 0.5, 2.0])
@pytest.mark.parametrize("size", [1, 2, BEADS, BEADS + 1, 4 * BEADS])
def test_a_time_step_costs_its_wall_time_on_any_number_of_ranks(size, pace):
    """With more ranks than beads too, where most have nothing to do; slow neighbours make rank 0 wait at every time step."""
    ranks, found = Ranks(size, pace), Lengths(LONGEST_FS)
    world, clock = World(ranks), ActivityClock(ACTIVITIES, lambda: ranks.now)
    world.handlers = {"evaluate": ranks.work(clock, "surrogate", "evaluate"), "label": ranks.work(clock, "engine", "label")}
    world.waiting = waits_booked(clock)
    beads = list(range(BEADS))
    for steps in (4, 9, 2):
        for _ in range(steps):
            assert world.share("evaluate", beads) == beads
        began = ranks.now
        world.share("label", beads)
        label_s = ranks.now - began
        found.observe([trial(steps * TIMESTEP_FS, 1.0)], clock.lap())
    share = -(-BEADS // size)  # the largest is rank 0's
    assert label_s == pytest.approx(SECONDS["label"] * max(share, (min(share, BEADS - share)) / pace))
    assert found.rest_s == pytest.approx([label_s] * 3)
    assert found.time_step_s == pytest.approx([label_s * SECONDS["evaluate"] / SECONDS["label"]] * 3)
