"""A ladder of temperatures: walkers at rising temperatures that exchange their rings, so that the lowest one crosses barriers.

Walker w stands at rung w mod K of copy w // K and stays there; what moves is the ring. Springs depend on beta, so they belong to
the ratio: ln = -(sum of beta [springs + V] of both walkers after - before), each with its own beta and springs (docs/methods.md).
`scaled` rings carry their internal modes over by sqrt(beta'/beta), which leaves beta times springs as it is, but needs labels.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import pairwise
from typing import Literal, NamedTuple

import numpy as np
from pydantic import Field, model_validator

from kernels.arrays import Array
from kernels.potentials.base import Potential
from kernels.random_numbers import Rng
from kernels.ring_polymer import RingPolymer
from protocol.settings import Section
from sim_daemon.ensembles import Npt
from sim_daemon.moves.accept import accept, second_stage
from sim_daemon.moves.flight import evaluate
from sim_daemon.moves.ring_move import Costs
from sim_daemon.moves.trajectory import Driven
from sim_daemon.samplers.base import Info, Move, Plan, RingSettings, State, Swap, copied
from sim_daemon.target import Target

POINT = 1  # number of the labelled rings of an exchange: trajectories number theirs 0, or from PATH_EVERY on

Step = Callable[[State, Potential | None, Plan, Rng], tuple[State, tuple[Info, ...]]]


class Ladder(Section):
    """The temperatures of a ladder; the lowest is `ensemble.temperature_K`, whose averages are quoted."""

    temperatures_K: tuple[float, ...] | None = None  # rising, the lowest first
    highest_K: float | None = Field(None, gt=0, le=1e5)  # instead: equal ratios up to it
    rungs: Literal["auto"] | int = "auto"  # of highest_K; auto: as many as there are walkers
    swap_every: int = Field(1, ge=1, le=1000)  # steps between two rounds of exchange; neighbours in even and odd pairs in turn
    rings: Literal["unchanged", "scaled"] = "unchanged"  # scaled: fewer rungs with many beads, for 2P labels an exchange

    @model_validator(mode="after")
    def _one_of_two(self) -> Ladder:
        given = self.temperatures_K
        if (given is None) == (self.highest_K is None):
            raise ValueError("needs either temperatures_K or highest_K")
        if given is not None and (len(given) < 2 or not all(0 < a < b <= 1e5 for a, b in pairwise(given))):
            raise ValueError(f"temperatures_K must be two or more, rising, got {list(given)}")
        if self.rungs != "auto" and (given is not None or not 2 <= self.rungs <= 1000):
            raise ValueError("rungs is a number of 2 or more that goes with highest_K; leave it out")
        return self

    def temperatures(self, lowest_K: float, walkers: int) -> tuple[float, ...]:
        """Temperatures (K) of the rungs, rising."""
        if self.temperatures_K is not None:
            return self.temperatures_K
        assert self.highest_K is not None
        count = walkers if self.rungs == "auto" else self.rungs
        return tuple(float(lowest_K * (self.highest_K / lowest_K) ** (k / max(count - 1, 1))) for k in range(count))


def check_ladder(ladder: Ladder | None, settings: RingSettings, plain: bool) -> None:
    """Raises ValueError, in one sentence, where a ladder does not fit the sampler's other keys.

    plain: whether a step is a trajectory with fresh momenta and one test.
    """
    if ladder is None:
        return
    lowest = settings.ensemble.temperature_K
    rungs = ladder.temperatures(lowest, settings.walkers)
    if isinstance(settings.ensemble, Npt):
        raise ValueError("ladder is for constant volume: use ensemble: nvt, or leave ladder out")
    if not plain:
        raise ValueError("ladder needs fresh momenta, proposal: trajectory and delayed_acceptance: none")
    if rungs[0] != lowest:
        raise ValueError(f"ladder.temperatures_K must begin with ensemble.temperature_K, {lowest:g}, got {rungs[0]:g}")
    if ladder.highest_K is not None and ladder.highest_K <= lowest:
        raise ValueError(f"ladder.highest_K must be above ensemble.temperature_K, {lowest:g}, got {ladder.highest_K:g}")
    if len(rungs) < 2 or settings.walkers % len(rungs):
        count = max(len(rungs), 2)
        raise ValueError(f"walkers must be a multiple of the ladder's {count} rungs, one walker each, got {settings.walkers}")


class Deal(NamedTuple):
    """What walkers would get in an exchange of the pairs (a, b): rows are those of a, then those of b."""

    walkers: Array  # (2M,)
    partners: Array  # (2M,)
    positions: Array  # (2M, P, N, 3) A


def climbing(ladder: Ladder | None, settings: RingSettings, ring: RingPolymer, target: Target, step: Step) -> Step:
    """A sampler's step on a ladder: a round of exchanges, then `step`; without a ladder `step` itself."""
    if ladder is None:
        return step
    temperatures = temperatures_of(settings)

    def climb(state: State, surrogate: Potential | None, plan: Plan, rng: Rng) -> tuple[State, tuple[Info, ...]]:
        walkers = len(state.positions)
        if state.replicas is None:
            state = replace(state, replicas=np.arange(walkers))
        costs = Costs(target, ring.beads, walkers)
        swaps: dict[int, Swap] = {}
        if plan.move is Move.METROPOLIS:
            if state.rounds % ladder.swap_every == 0:
                lower = neighbours(walkers, len(temperatures), state.rounds // ladder.swap_every)
                lower = lower[np.isfinite(state.energies[lower]).all(axis=1) & np.isfinite(state.energies[lower + 1]).all(axis=1)]
                state, swaps = exchange(ring, target, state, surrogate, lower, costs, rng, ladder.rings == "scaled")
            state = replace(state, rounds=state.rounds + 1)
        new, infos = step(state, surrogate, plan, rng)
        assert state.replicas is not None
        told = []
        for w, info in enumerate(infos):
            told.append(
                replace(
                    info,
                    temperature_K=temperatures[w % len(temperatures)],
                    replica=int(state.replicas[w]),
                    swap=swaps.get(w),
                    points=(*costs.points[w], *info.points),
                    engine_calls=info.engine_calls + int(costs.calls[w]),
                    engine_failures=info.engine_failures + int(costs.failures[w]),
                )
            )
        return replace(new, replicas=state.replicas, rounds=state.rounds), tuple(told)

    return climb


def neighbours(walkers: int, rungs: int, turn: int) -> Array:
    """The lower walkers (M,) of the pairs of a round: rungs 0, 2, ... in even turns, 1, 3, ... in odd ones, in every copy."""
    first = turn % 2 if rungs > 2 else 0
    lower = np.arange(first, rungs - 1, 2)
    return np.concatenate([copy + lower for copy in range(0, walkers, rungs)])


def exchange(
    ring: RingPolymer,
    target: Target,
    state: State,
    surrogate: Potential | None,
    lower: Array,
    costs: Costs,
    rng: Rng,
    scaled: bool = False,
) -> tuple[State, dict[int, Swap]]:
    """Exchange the rings of the walkers lower (M,) and lower + 1 where the test accepts; outcomes by lower walker.

    scaled: rings of several beads keep beta times springs and get new labels, booked to `costs`, a surrogate judging first.
    """
    if not len(lower):
        return state, {}
    deal = dealt(ring, state, lower, scaled)
    values = _carried(state, deal)
    first = np.zeros(len(lower))
    passed = np.ones(len(lower), bool)
    if scaled and ring.beads > 1:
        if surrogate is not None:
            first, passed = _screened(ring, target, state, surrogate, deal, lower, rng)
        values = _labelled(state, deal, np.tile(passed, 2), costs)
    ratios = log_ratios(ring, state.positions, state.energies, deal, values.energies)
    new = replace(copied(state), replicas=None if state.replicas is None else state.replicas.copy())
    swaps = {}
    for m, a in enumerate(lower):
        ratio = second_stage(float(first[m]), float(ratios[m])) if passed[m] else float("nan")
        taken = accept(ratio, rng("exchange", int(a)))
        swaps[int(a)] = Swap(int(a) + 1, taken, ratio)
        for row in (m, m + len(lower)) if taken else ():
            w = deal.walkers[row]
            new.positions[w], new.energies[w], new.forces[w] = deal.positions[row], values.energies[row], values.forces[row]
            if new.stresses is not None and values.stresses is not None:
                new.stresses[w] = values.stresses[row]
            if new.replicas is not None and state.replicas is not None:
                new.replicas[w] = state.replicas[deal.partners[row]]
    return new, swaps


def dealt(ring: RingPolymer, state: State, lower: Array, scaled: bool) -> Deal:
    """The rings that the walkers lower (M,) and lower + 1 would get."""
    walkers, partners = np.concatenate([lower, lower + 1]), np.concatenate([lower + 1, lower])
    positions = state.positions[partners]
    if scaled and ring.beads > 1:
        factors = np.sqrt([ring.of(int(w)).beta / ring.of(int(o)).beta for w, o in zip(walkers, partners, strict=True)])
        centroids = positions.mean(axis=1, keepdims=True)
        positions = centroids + factors.reshape(-1, 1, 1, 1) * (positions - centroids)
    return Deal(walkers, partners, positions)


def log_ratios(ring: RingPolymer, positions: Array, energies: Array, deal: Deal, dealt_energies: Array) -> Array:
    """ln of the ratio of each of M exchanges.

    positions (W, P, N, 3) A and energies (W, P) eV: of all walkers now.  dealt_energies: (2M, P) eV.
    """
    parts = np.zeros(len(deal.walkers))
    for row, w in enumerate(deal.walkers):
        own = ring.of(int(w))
        springs = own.spring_energy(ring.to_modes(deal.positions[row])) - own.spring_energy(ring.to_modes(positions[w]))
        parts[row] = -own.beta * (springs + float(np.mean(dealt_energies[row]) - np.mean(energies[w])))
    half = len(parts) // 2
    return np.asarray(parts[:half] + parts[half:])


def _screened(
    ring: RingPolymer, target: Target, state: State, surrogate: Potential, deal: Deal, lower: Array, rng: Rng
) -> tuple[Array, Array]:
    """First stage of delayed acceptance: ln of the surrogate's ratios (M,), and which pass its test."""
    base, here = target.system.structure, np.full_like(state.energies, np.nan)
    here[deal.walkers] = evaluate(surrogate, base, state.positions[deal.walkers], state.cells[deal.walkers]).energies
    there = evaluate(surrogate, base, deal.positions, state.cells[deal.walkers]).energies
    ratios = log_ratios(ring, state.positions, here, deal, there)
    passed = [accept(float(ratio), rng("exchange surrogate", int(a))) for ratio, a in zip(ratios, lower, strict=True)]
    return ratios, np.array(passed, bool)


def _carried(state: State, deal: Deal) -> Driven:
    """The target at rings that go over as they are, into the same cell; 2M rows."""
    stresses = None if state.stresses is None else state.stresses[deal.partners]
    return Driven(state.energies[deal.partners], state.forces[deal.partners], stresses)


def _labelled(state: State, deal: Deal, wanted: Array, costs: Costs) -> Driven:
    """The target at the dealt rings, +infinity where none are wanted; wanted: (2M,) bool."""
    energies, forces = np.full((len(wanted), state.energies.shape[1]), np.inf), np.full(deal.positions.shape, np.nan)
    stresses = None if state.stresses is None else np.full((len(wanted), *state.stresses.shape[1:]), np.nan)
    rows = np.flatnonzero(wanted)
    if len(rows):
        walkers = deal.walkers[rows]
        values = costs.label(walkers, deal.positions[rows], state.cells[walkers])
        for a, w in enumerate(walkers):
            costs.keep(int(w), values, a, POINT, state.cells[w])
        energies[rows] = values.energies.reshape(len(rows), -1)
        forces[rows] = values.forces.reshape(len(rows), *forces.shape[1:])
        if stresses is not None:
            stresses[rows] = values.stresses.reshape(len(rows), *stresses.shape[1:])
    return Driven(energies, forces, stresses)


def temperatures_of(settings: RingSettings) -> Sequence[float]:
    """Temperatures (K) of a sampler's rungs, rising; one where it has no ladder."""
    ladder: Ladder | None = getattr(settings, "ladder", None)
    lowest = settings.ensemble.temperature_K
    return (lowest,) if ladder is None else ladder.temperatures(lowest, settings.walkers)
