"""The flip test on trajectories of a real network, and on forces that break it."""

import shutil
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from kernels.potentials.base import Evaluation
from kernels.potentials.harmonic import Harmonic
from kernels.random_numbers import step_rng
from kernels.ring_polymer import ring_polymer
from protocol.records import Structure
from protocol.store import Store
from renkei import artefact, flip, run_view
from renkei.analysis.ledger import production_blocks
from sim_daemon.moves.flight import evaluate
from sim_daemon.moves.trajectory import Trajectory, integrate

BEADS, TIMESTEP_FS, STEPS = 4, 0.5, 12
RESOLVED = """\
science:
  system: {structure: water.xyz, isotopes: {H: D}}
  sampler: {name: sl_pihmc, beads: 4, ensemble: {name: nvt, temperature_K: 300.0}}
  seed: SEED
"""


class Moved:
    """A run with one generation and states that its trajectories reach, written through the protocol."""

    def __init__(self, root, source, segment, seed=7, generation=0):
        store = Store(root, period_s=0.05)
        trainer, simulator = store.claim("train"), store.claim("sim/sim0")
        card = artefact.find(source).card

        def write(folder):
            for name in card.files:
                shutil.copy(source / name, folder / name)
            return replace(card, generation=0)

        packet = trainer.publish_weights(0, write, {})
        trainer.save_checkpoint({"cursor": {"batch": -1, "generation": 0, "row": 0}})
        trainer.close()
        potential = artefact.find(packet.path).potential
        simulator.write_text("run.resolved.yaml", RESOLVED.replace("SEED", str(seed)))
        simulator.journal.append({"event": "start", "epoch": simulator.number})
        frames = [(1, "production", 1, self.rings())]
        for step in (2, 3):
            arrived = np.array([self.fly(potential, ring, step, w) for w, ring in enumerate(frames[-1][3])])
            frames.append((step, "production", 1, arrived))
        for step in (1, 2, 3):
            for walker in (0, 1):
                simulator.journal.append(self.row(step, walker, generation, packet.digest))
        simulator.publish_trajectory(3, segment(frames))
        simulator.save_checkpoint({"cursor": {"batch": -1, "generation": -1, "row": simulator.journal.rows_written}})
        simulator.close()
        self.store = Store(root)
        [self.simulator] = run_view.read(root).simulators

    @staticmethod
    def rings():
        molecule = np.array([[0.0, 0.0, 0.0], [0.96, 0.0, 0.0], [-0.24, 0.93, 0.0]])
        return molecule + 0.02 * np.random.default_rng(1).standard_normal((2, BEADS, 3, 3))

    @staticmethod
    def fly(potential, ring, step, walker):
        polymer = ring_polymer(np.array([15.999, 2.01410177812, 2.01410177812]), 300.0, BEADS, 3000.0)
        structure = Structure(ring[0], np.array([8, 1, 1]), np.zeros((3, 3)), np.zeros(3, dtype=bool))
        momenta = polymer.draw_momenta(step_rng(7, "sim0", step)("momenta", walker))

        def forces(_, positions):
            return evaluate(potential, structure, positions, np.zeros((1, 3, 3)))[:2]

        start = Trajectory(ring[None], momenta[None], *forces(None, ring[None]), np.zeros(1, dtype=bool))
        return integrate(polymer, start, forces, TIMESTEP_FS, np.array([STEPS])).positions[0]

    @staticmethod
    def row(step, walker, generation, digest):
        return {
            "event": "step", "step": step, "walker": walker, "phase": "production", "block": 1, "generation": generation,
            "digest": digest, "timestep_fs": TIMESTEP_FS, "length_fs": STEPS * TIMESTEP_FS, "accepted": True,
        }  # fmt: skip

    def check(self, **settings):
        """The flip test, some settings of the run replaced."""
        for key, value in settings.items():
            self.simulator.resolved["science"][key] = value
        return flip.flip_test(self.store, self.simulator, production_blocks(self.simulator.ledger)[1])


@pytest.fixture
def moved(tmp_path, trained, trajectory_bytes):
    """moved(seed=..., generation=...) -> a Moved run."""
    return lambda **choices: Moved(tmp_path / "run", trained / "potential", trajectory_bytes, **choices)


def test_a_trajectory_of_a_network_comes_back(moved):
    check = moved().check()
    assert check.outcome == "holds"
    assert "step 2, walker 0, 12 time steps and back" in check.said
    off, missed = (float(text.split()[-1]) for text in (check.said.split(" A;")[0], check.said.removesuffix(" A")))
    assert off < 1e-9
    assert missed < 1e-9


def test_other_random_numbers_do_not_meet_the_stored_end(moved):
    check = moved(seed=8).check()
    assert check.outcome == "weak"
    assert "from the stored state" in check.said


def test_what_cannot_be_repeated_is_skipped_with_a_sentence(moved, sound_run):
    assert "cost labels" in moved(generation=-1).check().said
    [simulator] = run_view.read(sound_run).simulators
    check = flip.flip_test(Store(sound_run), simulator, production_blocks(simulator.ledger)[1])
    assert check.outcome == "skipped"
    assert "cannot be repeated" in check.said
    moves = production_blocks(simulator.ledger)[1]
    moves = replace(moves, timestep_fs=np.full(len(moves), np.nan), length_fs=np.zeros(len(moves)))
    assert "there are no trajectories" in flip.flip_test(Store(sound_run), simulator, moves).said


def test_other_ensembles_and_lost_weights(moved):
    run = moved()
    sampler = run.simulator.setting("sampler")
    assert "ensemble npt" in run.check(sampler={**sampler, "ensemble": {"name": "npt", "temperature_K": 300.0}}).said
    shutil.rmtree(run.store.root / "train")
    check = run.check(sampler=sampler)
    assert check.outcome == "skipped"
    assert "is not in the run folder" in check.said


@pytest.mark.parametrize(
    ("choice", "steps", "left_out"),
    [
        ({"proposal": "segment", "segment": {"verlet_steps": 3}}, 3, "the moves of a segment"),
        ({"proposal": "segment"}, 4, "the moves of a segment"),
        ({"proposal": "multiple_time_step", "kick_every": 5}, 5, "the kicks of first principles"),
        ({"refreshment": {"angle_rad": 0.5}}, STEPS, "the momenta kept from the step before"),
        ({"proposal": "segment", "refreshment": {"angle_rad": 0.5}}, 4, "a segment and the momenta kept"),
    ],
)
def test_steps_that_stored_states_do_not_tell_are_not_compared_with_the_stored_end(moved, choice, steps, left_out):
    """The surrogate's own piece goes there and back; an exact run of such steps is not called approximate."""
    run = moved(seed=8)  # no plain trajectory of this run ends where its states are
    assert run.check().outcome == "weak"
    check = run.check(sampler={**run.simulator.setting("sampler"), **choice})
    assert check.outcome == "holds"
    assert f"from step 1, walker 0, {steps} time steps of the surrogate and back with fresh momenta: off by" in check.said
    assert left_out in check.said.partition("not tested: ")[2]
    assert float(check.said.partition("off by ")[2].split()[0]) < 1e-9


def test_a_piece_that_does_not_come_back_fails_and_one_that_is_trapped_says_nothing(moved, monkeypatch):
    run, fly = moved(), flip.fly
    sampler = {**run.simulator.setting("sampler"), "proposal": "segment"}
    monkeypatch.setattr(flip, "fly", lambda *given: fly(*given)._replace(back=np.ones(3)))
    assert run.check(sampler=sampler).outcome == "fails"
    monkeypatch.setattr(flip, "fly", lambda *given: fly(*given)._replace(trapped=True))
    check = run.check(sampler=sampler)
    assert (check.outcome, "absurd forces" in check.said) == ("skipped", True)


def test_forces_with_a_memory_do_not_come_back():
    """A neighbour list that drifts, say: the same place, another force. Whoever gives such forces is not reversible."""
    rng = np.random.default_rng(1)
    ring = ring_polymer(np.array([1.0]), 300.0, 2, 3000.0)
    structure = Structure(np.zeros((1, 3)), np.array([1]), np.zeros((3, 3)), np.zeros(3, dtype=bool))
    well = Harmonic(20.0, np.zeros((1, 3)))
    start, momenta = 0.05 * rng.standard_normal((2, 1, 3)), ring.draw_momenta(rng)
    back, there, trapped = flip.fly(ring, well, structure, start, momenta, (0.5, 40))
    assert not trapped
    assert np.abs(back - start).max() < 1e-12
    assert np.abs(there - start).max() > 1e-3
    calls = []

    def remembering(positions, *_):
        calls.append(1)
        value = well.evaluate(positions, *_)
        return Evaluation(value.energy, value.forces * (1 + 1e-3 * len(calls)))

    back = flip.fly(ring, SimpleNamespace(evaluate=remembering), structure, start, momenta, (0.5, 40)).back
    assert np.abs(back - start).max() > flip.SINGLE_A


def test_verdicts():
    leg = SimpleNamespace(step=5, walker=1, steps=20)
    outcomes = [str(flip._judged(leg, *numbers).outcome) for numbers in [(1e-12, 1e-12), (1e-3, 0.0), (1e-12, 1e-2)]]
    assert outcomes == ["holds", "fails", "weak"]
    assert flip._judged(leg, np.nan, 0.0).outcome == "fails"


def test_rows_that_began_with_an_exchange_are_no_legs(make_run):
    """A ring that came from another temperature did not start where its walker stood after the step before."""
    [simulator] = run_view.read(make_run(walkers=3, ladder_K=(300.0, 330.0, 365.0))).simulators
    rows = simulator.ledger
    told = flip._exchanged(rows)
    place = rows.replica.reshape(-1, 3)
    np.testing.assert_array_equal(told.reshape(-1, 3)[1:], place[1:] != place[:-1])
    assert 0.2 < told.mean() < 0.5
