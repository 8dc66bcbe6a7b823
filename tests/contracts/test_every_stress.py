"""Every sampler, in every variant, in a periodic cell: the ledger's pressure and the state's stresses belong to its positions."""

import dataclasses

import numpy as np
import pytest

from kernels.potentials.lennard_jones import LennardJones
from kernels.random_numbers import step_rng
from protocol import checkpoint
from protocol.records import Label, Phase, Structure
from protocol.settings import plugin_names
from sim_daemon.assemble import make_ring
from sim_daemon.chain import Chain, restore
from sim_daemon.observables import observe_stress
from sim_daemon.samplers import base
from sim_daemon.samplers.base import Move, Plan
from sim_daemon.system import System
from sim_daemon.target import TargetValues

EDGE_A, BEADS, WALKERS, KELVIN = 5.2, 2, 2, 60.0
PLACES = EDGE_A * np.array([[0.0, 0.0, 0.0], [0.0, 0.5, 0.5], [0.5, 0.0, 0.5], [0.5, 0.5, 0.0]])
NPT = {"name": "npt", "temperature_K": KELVIN, "pressure_GPa": 0.1, "period_fs": 300.0}
PARTIAL, LADDER = {"refreshment": {"angle_rad": 0.5}}, {"temperatures_K": [60, 66]}
VARIANTS = [
    ("pihmc", PARTIAL),
    ("sl_pihmc", PARTIAL),
    ("sl_pihmc", {"proposal": "segment"}),
    ("sl_pihmc", {"proposal": "segment", **PARTIAL, "delayed_acceptance": "cheap_engine"}),
    ("sl_pihmc", {"proposal": "multiple_time_step", "kick_every": 2}),
    ("sl_pihmc", {"delayed_acceptance": "surrogate"}),
    ("sl_pihmc", {"delayed_acceptance": "cheap_engine"}),
    ("sl_pihmc_mix", {"proposal": "segment", **PARTIAL}),
    ("sl_pihmc_mix", {"delayed_acceptance": "surrogate", "contraction": 1}),
    ("sl_pihmc_mix", {"contraction": 1, "contraction_exact": False}),
    ("pihmc", {"walkers": WALKERS, "ladder": LADDER}),
    ("sl_pihmc", {"walkers": WALKERS, "ladder": {**LADDER, "rings": "scaled"}}),
    ("pihmc", {"ensemble": {**NPT, "cell": "full"}}),
    ("pihmc", {"ensemble": {**NPT, "barostat": "extended"}}),
    ("sl_pihmc", {"ensemble": {**NPT, "cell": "orthorhombic"}}),
    ("sl_pihmc", {"ensemble": {**NPT, "barostat": "extended"}}),
    ("sl_pihmc_mix", {"ensemble": {**NPT, "cell": "isotropic"}}),
]
CASES = [*((name, {}) for name in plugin_names(base.load)), *VARIANTS]
KEYS = {"metropolis": {"moves": {"bridge": {}}}}
WITHOUT = [("metropolis", {}), ("sl_pihmc_mix", {"contraction": 1, "contraction_exact": False})]  # nobody labels whole rings


class Argon:
    """Lennard-Jones of four argon atoms as a target that refuses a few structures, and as a surrogate of another depth."""

    species, cutoff, generation, cheap = (), 6.0, 0, None

    def __init__(self, depth=1.0, refuses=True):
        structure = Structure(PLACES, np.full(4, 18), EDGE_A * np.eye(3), np.ones(3, bool))
        self.system = System(structure.numbers, np.full(4, 39.95), structure, 0, 1, None, False)
        self.refuses, self._potential = refuses, LennardJones(0.0103 * depth, 3.4, self.cutoff)

    def evaluate(self, positions, numbers, cell, pbc):
        return self._potential.evaluate(positions, numbers, cell, pbc)

    def __call__(self, positions, cells=None):
        base_ = self.system.structure
        cells = [base_.cell] * len(positions) if cells is None else cells
        labels = tuple(map(self.label, positions, cells))
        refused = tuple("odd" if label is None else None for label in labels)
        energies = np.array([np.inf if label is None else label.energy for label in labels])
        forces = np.array([np.full((4, 3), np.nan) if label is None else label.forces for label in labels])
        ones = np.ones(len(positions), int)
        return TargetValues(positions, energies, forces, labels, refused, ones, 0 * ones)

    def label(self, x, cell):
        if self.refuses and int(1e6 * abs(x[0, 0])) % 41 == 0:
            return None
        base_ = self.system.structure
        value = self.evaluate(x[None], base_.numbers, cell, base_.pbc)
        return Label(base_, float(value.energy[0]), value.forces[0], value.stress[0], 0, 1, "argon")


def build(name, changes):
    target = Argon()
    target.cheap = Argon(0.95, refuses=False)
    module = base.load(name)
    given = {"name": name, "ensemble": {"temperature_K": KELVIN}, "beads": BEADS, **KEYS.get(name, {}), **changes}
    settings = module.Settings.model_validate(given)
    ring = make_ring(settings, target.system)
    return module.build(settings, ring, target), ring


def first_rings(seed=1):
    """(W, P, N, 3) A; no bead is one that the engine refuses."""
    return PLACES + 0.013 + np.random.default_rng(seed).normal(0, 0.08, (WALKERS, BEADS, 4, 3))


def plan_of(step, changes, name):
    """First principles alone, a step of exploring, tests by first principles, and where there are walks a few of those."""
    cell_step = 0.03 if "ensemble" in changes else 0.0
    own = {"chain_moves": 6, "widths": {"translation": 0.1, "bridge": 1.0}, "cell_step": cell_step, "alpha": 0.6}
    if step <= 3:
        return Plan(Phase.ADAPT, 0, -1, "", 15.0, 120.0, **own)
    if step == 4:
        return Plan(Phase.ADAPT, 0, 0, "d", 10.0, 60.0, Move.EXPLORE, **own)
    walks = {8: Move.EQUILIBRATE, 9: Move.LEVEL_1, 10: Move.LEVEL_2}
    move = walks.get(step, Move.METROPOLIS) if name == "sl_pihmc" and not changes else Move.METROPOLIS
    return Plan(Phase.PRODUCTION, 1, 0, "d", 15.0, 150.0, move, **own)


def walk(sampler, chain, until, name, changes, see):
    while chain.step < until:
        chain.step += 1
        plan = plan_of(chain.step, changes, name)
        surrogate = None if plan.generation < 0 else Argon(1.3)
        chain.state, infos = sampler.step(chain.state, surrogate, plan, step_rng(7, "t", chain.step))
        see(infos)


@pytest.mark.parametrize(("name", "changes"), CASES, ids=str)
def test_no_stress_is_stale(name, changes):
    """After each of 16 steps the stresses are those of fresh labels at the state's positions in its cells, or unknown."""
    sampler, ring = build(name, changes)
    labels = Argon(refuses=False)  # a state of the chain is one that was not refused
    chain, outcomes = Chain(sampler.init(first_rings())), []

    def see(infos):
        state = chain.state
        fresh = [labels(x, np.repeat(cell[None], BEADS, axis=0)) for x, cell in zip(state.positions, state.cells, strict=True)]
        for w, (info, values) in enumerate(zip(infos, fresh, strict=True)):
            told = {key: value for key, value in info.observables.items() if key.startswith(("pressure", "stress"))}
            if state.stresses is not None and np.isfinite(state.stresses[w]).any():
                np.testing.assert_allclose(state.stresses[w], values.stresses, rtol=1e-9, atol=1e-12)
            if info.outcome.startswith(("explored", "walked", "stayed")) or (name, changes) in WITHOUT:
                assert told == {}
                continue
            wanted = observe_stress(ring.of(w), state.cells[w], state.positions[w], values.forces, values.stresses)
            assert len(told) == 8
            assert told == pytest.approx(wanted, rel=1e-9, abs=1e-9)
            outcomes.append(info.accepted)

    walk(sampler, chain, 16, name, changes, see)
    if (name, changes) not in WITHOUT:
        assert set(outcomes) >= ({True} if name == "pimd" else {True, False})


@pytest.mark.parametrize(("name", "changes"), [c for c in CASES if "ensemble" not in c[1]], ids=str)
def test_the_chain_is_the_same_without_stresses(name, changes):
    """As one that a checkpoint without stresses has begun: the same bits, but no pressure."""
    chains, told = [], []
    for followed in (True, False):
        sampler, _ = build(name, changes)
        chain, rows = Chain(sampler.init(first_rings())), []
        if not followed:
            old = {**chain.dump(), "stresses": None}
            chain = restore(checkpoint.load(checkpoint.dump(old)))

        def see(infos, rows=rows):
            rows += infos

        walk(sampler, chain, 12, name, changes, see)
        chains.append(chain)
        told.append(rows)
    for field in dataclasses.fields(chains[0].state):
        if field.name not in ("stresses", "seen"):
            np.testing.assert_equal(getattr(chains[0].state, field.name), getattr(chains[1].state, field.name))
    assert chains[1].state.stresses is None
    for one, two in zip(*told, strict=True):
        assert not any(key.startswith(("pressure", "stress")) for key in two.observables)
        np.testing.assert_equal({key: one.observables[key] for key in two.observables}, dict(two.observables))
        np.testing.assert_equal((one.outcome, one.log_ratio, one.engine_calls), (two.outcome, two.log_ratio, two.engine_calls))
