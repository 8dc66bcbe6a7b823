"""The surrogate's own chain as steps of a two-level block: a stretch of generalised hybrid Monte Carlo, then maybe labels.

Nothing but the surrogate decides, so the stretches sample the surrogate's ensemble exactly; first principles only weigh rings of
it (docs/methods.md, two levels). While it walks, the Metropolis chain waits aside.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from kernels.arrays import Array
from kernels.potentials.base import Potential
from kernels.random_numbers import Rng
from kernels.ring_polymer import RingPolymer
from sim_daemon.moves.flight import evaluate
from sim_daemon.moves.ghmc import Segment, ghmc_chain
from sim_daemon.moves.ring_move import Costs
from sim_daemon.moves.trajectory import Trajectory, sane
from sim_daemon.observables import observe
from sim_daemon.samplers.base import LABELLED_WALKS, LOG_WEIGHT, Info, Plan, State, unknown_stresses
from sim_daemon.target import Target, TargetValues
from sim_daemon.two_level import SURROGATE


def walk_step(
    ring: RingPolymer, target: Target, state: State, surrogate: Potential, plan: Plan, rng: Rng, rules: Segment
) -> tuple[State, tuple[Info, ...]]:
    """`plan.chain_moves` moves of every walker; the rings at their ends are labelled where the plan's move says so.

    A walk begins with fresh momenta from stored good rings, one of each walker.
    """
    base, count = target.system.structure, len(state.positions)
    state = _begin(ring, state, rng) if state.aside is None else state
    assert state.momenta is not None

    def forces(walkers: Array, positions: Array) -> tuple[Array, Array]:
        return evaluate(surrogate, base, positions, state.cells[walkers])[:2]

    first = forces(np.arange(count), state.positions)
    start = Trajectory(state.positions, state.momenta, *first, ~sane(*first))
    generators = np.array([rng("segment", w) for w in range(count)], dtype=object)
    moves = np.full(count, plan.chain_moves)
    end, probability = ghmc_chain(ring, start, forces, rules, plan.timestep_fs, moves, generators)
    costs = Costs(target, ring.beads, count)
    labels = None
    if plan.move in LABELLED_WALKS:
        labels = costs.label(np.arange(count), end.positions, state.cells)
        for w in range(count):
            costs.keep(w, labels, w, 0, state.cells[w])
    moved = (end.positions != start.positions).any(axis=(1, 2, 3))
    steps = plan.chain_moves * rules.verlet_steps
    with np.errstate(divide="ignore"):
        told = np.log(probability)
    infos = tuple(
        Info(
            accepted=bool(moved[w]),
            outcome="walked" if moved[w] else "stayed",
            log_ratio=float("nan"),
            log_ratio_integrator=float(told[w]),
            log_ratio_model=float("nan"),
            md_steps=steps,
            length_fs=steps * plan.timestep_fs,
            points=tuple(costs.points[w]),
            engine_calls=int(costs.calls[w]),
            engine_failures=int(costs.failures[w]),
            observables=_observe(ring, base.numbers, end, labels, w),
        )
        for w in range(count)
    )
    return replace(state, positions=end.positions, momenta=end.momenta), infos


def resume_chain(state: State) -> State:
    """The chain where it waited, if a walk went on meanwhile; the target's values there are unknown."""
    if state.aside is None:
        return state
    unknown, forces = np.full(state.energies.shape, np.nan), np.full(state.forces.shape, np.nan)
    back = replace(state, positions=state.aside, energies=unknown, forces=forces, stresses=unknown_stresses(state))
    return replace(back, momenta=None, cheap_energies=None, aside=None)


def _begin(ring: RingPolymer, state: State, rng: Rng) -> State:
    rings = [state.refuges[w][int(rng("start", w).integers(len(state.refuges[w])))] for w in range(len(state.positions))]
    momenta = np.array([ring.draw_momenta(rng("momenta", w)) for w in range(len(rings))])
    return replace(state, positions=np.array(rings), momenta=momenta, aside=state.positions, stresses=unknown_stresses(state))


def _observe(ring: RingPolymer, numbers: Array, end: Trajectory, labels: TargetValues | None, w: int) -> Mapping[str, float]:
    """The surrogate's observables of walker w; where it is labelled, first principles' too, and its weight."""
    seen = observe(ring, numbers, end.positions[w], end.energies[w], end.forces[w])
    row = {f"{SURROGATE}{name}": value for name, value in seen.items()}
    if labels is None:
        return row
    chosen = slice(w * ring.beads, (w + 1) * ring.beads)
    energies = labels.energies[chosen]
    weight = -ring.beta * float(np.mean(energies) - np.mean(end.energies[w]))
    return {**row, **observe(ring, numbers, end.positions[w], energies, labels.forces[chosen]), LOG_WEIGHT: weight}
