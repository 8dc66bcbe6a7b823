"""The flip test: one stored trajectory anew, forwards and, with its momenta turned round, back to where it began.

What stored states do not tell (the moves within a segment, kicks of first principles, momenta kept from step to step) is not
repeated: then a piece of the surrogate's trajectory goes there and back from a stored state, with momenta drawn here.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pydantic

from kernels.arrays import Array
from kernels.potentials.base import Potential
from kernels.random_numbers import step_rng
from kernels.ring_polymer import RingPolymer
from protocol.errors import RenkeiError
from protocol.records import Structure
from protocol.sections import System as SystemSettings
from protocol.store import Store
from renkei import frozen_model, trajectory
from renkei.analysis.ledger import Ledger
from renkei.analysis.verdict import Check, Outcome
from renkei.run_view import SimulatorView
from renkei.trajectory import Trajectory
from sim_daemon.assemble import make_ring
from sim_daemon.moves.flight import evaluate
from sim_daemon.moves.ghmc import Segment
from sim_daemon.moves.trajectory import Trajectory as Flight
from sim_daemon.moves.trajectory import integrate, sane
from sim_daemon.samplers import base as samplers
from sim_daemon.system import System, masses_of

SINGLE_A = 1e-4  # forces of single precision come back within this
NAME = "flip"
UNREPEATED = {  # by sampler.proposal
    "segment": "the moves of a segment",
    "multiple_time_step": "the kicks of first principles",
}


class Flown(NamedTuple):
    """A trajectory there and back."""

    back: Array  # (P, N, 3) A, where it came back to
    there: Array  # (P, N, 3) A, where it turned
    trapped: bool  # before it turned it met a number that is not finite, or absurd, and stopped


class _Leg(NamedTuple):
    """A stored trajectory that was accepted."""

    walker: int
    step: int
    steps: int  # time steps
    timestep_fs: float
    start: Array  # (P, N, 3) A
    end: Array  # (P, N, 3) A
    cell: Array  # (3, 3) A


class _Way(NamedTuple):
    """What is flown from the start of a leg."""

    system: System
    ring: RingPolymer
    momenta: Array  # (P, N, 3) eV fs/A, of the modes
    steps: int  # time steps
    unrepeated: str  # what of the sampler's step is left out; "": nothing, the stored end has to be met


def flip_test(store: Store, simulator: SimulatorView, block: Ledger) -> Check:
    """Repeat the shortest accepted trajectory of a stored segment of `block` with the generation that drove it.

    Fails where it does not come back within 1e-4 A; skipped, with the reason, where nothing can be repeated. The stored end
    is compared where stored states and random numbers tell all of a step.
    """
    why_not = _impossible(simulator, block)
    if why_not:
        return Check(NAME, Outcome.SKIPPED, why_not)
    found = _leg(store, simulator, block)
    if found is None:
        return Check(NAME, Outcome.SKIPPED, "no stored segment holds an accepted trajectory with the state before it")
    leg, states = found
    try:
        way = _way(simulator, states, leg)
        potential = _potential(store, simulator, leg, way.system)
        flown = fly(way.ring, potential, way.system.structure, leg.start, way.momenta, (leg.timestep_fs, way.steps))
    except (RenkeiError, ValueError, OSError, pydantic.ValidationError) as problem:
        return Check(NAME, Outcome.SKIPPED, f"the trajectory cannot be repeated: {str(problem).splitlines()[0]}")
    back_A = float(np.abs(flown.back - leg.start).max())
    if way.unrepeated:
        return _judged_alone(leg, way, back_A, flown.trapped)
    return _judged(leg, back_A, float(np.abs(flown.there - leg.end).max()))


def fly(
    ring: RingPolymer, potential: Potential, structure: Structure, start: Array, momenta: Array, plan: tuple[float, int]
) -> Flown:
    """Forwards, then back.

    structure: species, cell (of these beads) and periodicity.  start: (P, N, 3) A.  momenta: of the modes, (P, N, 3) eV fs/A.
    plan: time step (fs) and number of steps.
    """

    def forces(walkers: Array, positions: Array) -> tuple[Array, Array]:
        found = evaluate(potential, structure, positions, np.repeat(structure.cell[None], len(positions), axis=0))
        return found.energies, found.forces

    energies, gradient = forces(np.zeros(1, int), start[None])
    there = integrate(
        ring,
        Flight(start[None], momenta[None], energies, gradient, ~sane(energies, gradient)),
        forces,
        plan[0],
        np.array(plan[1:]),
    )
    back = integrate(ring, there._replace(momenta=-there.momenta), forces, plan[0], np.array(plan[1:]))
    return Flown(back.positions[0], there.positions[0], bool(there.trapped[0]))


def _impossible(simulator: SimulatorView, block: Ledger) -> str:
    if not len(block) or block.generation[0] < 0:
        return "first principles drove the trajectories: going back would cost labels"
    if not (block.timestep_fs > 0).any():
        return "there are no trajectories: a chain of moves has nothing to turn round"
    ensemble = simulator.setting("sampler.ensemble.name") or "nvt"
    return "" if ensemble == "nvt" else f"trajectories of the ensemble {ensemble} cannot be repeated from positions alone"


def _leg(store: Store, simulator: SimulatorView, block: Ledger) -> tuple[_Leg, Trajectory] | None:
    steps = np.round(block.length_fs / block.timestep_fs)
    usable = block.accepted & (block.move == "metropolis") & np.isfinite(steps) & ~_exchanged(block)
    for states in trajectory.segments(store, simulator.role, int(block.step[0])):
        rows = np.flatnonzero(usable & np.isin(block.step, states.step) & np.isin(block.step - 1, states.step))
        if len(rows):
            row = rows[np.argmin(steps[rows])]
            walker, step = int(block.walker[row]), int(block.step[row])
            before, after = np.searchsorted(states.step, (step - 1, step))
            ends = states.positions[before, walker], states.positions[after, walker]
            numbers = int(steps[row]), float(block.timestep_fs[row])
            return _Leg(walker, step, *numbers, *ends, states.cells[before, walker]), states
    return None


def _exchanged(block: Ledger) -> Array:
    """(n,) bool: on a ladder of temperatures, rows that may not have begun where their walker stood after the step before."""
    swapped = np.zeros(len(block), dtype=bool)
    lower = block.swap > 0
    key = block.step * (block.walker.max(initial=0) + 2) + block.walker
    for shift in (0, 1):
        swapped |= np.isin(key, key[lower] + shift)
    return swapped


def _way(simulator: SimulatorView, states: Trajectory, leg: _Leg) -> _Way:
    """The system, and the momenta that the step drew; drawn here where they alone would not make it the same step."""
    settings = SystemSettings.model_validate(simulator.setting("system"))
    structure = Structure(leg.start[0], states.numbers, leg.cell, states.pbc)
    masses = masses_of(states.numbers, settings.isotopes)
    system = System(states.numbers, masses, structure, settings.charge, settings.multiplicity, settings.restraint, False)
    chosen = samplers.load(simulator.setting("sampler.name")).Settings.model_validate(simulator.setting("sampler"))
    ring = make_ring(chosen, system).of(leg.walker)
    steps, unrepeated = _unrepeated(chosen, leg)
    draw = step_rng(simulator.setting("seed"), simulator.name, leg.step)
    momenta = ring.draw_momenta(draw(NAME if unrepeated else "momenta", leg.walker))
    return _Way(system, ring, momenta, steps, unrepeated)


def _unrepeated(chosen: pydantic.BaseModel, leg: _Leg) -> tuple[int, str]:
    """Time steps that the surrogate flies without anything between them, and what of the step that leaves out."""
    proposal = getattr(chosen, "proposal", "trajectory")
    left_out = [UNREPEATED[proposal]] if proposal in UNREPEATED else []
    if getattr(chosen, "refreshment", None) is not None:
        left_out.append("the momenta kept from the step before")
    steps = leg.steps
    if proposal == "segment":
        steps = (getattr(chosen, "segment", None) or Segment()).verlet_steps
    elif proposal == "multiple_time_step":
        steps = int(getattr(chosen, "kick_every", steps))
    return steps, " and ".join(left_out)


def _potential(store: Store, simulator: SimulatorView, leg: _Leg, system: System) -> Potential:
    row = next(row for row in simulator.events("step") if (row["step"], row["walker"]) == (leg.step, leg.walker))
    return frozen_model.load(store, row["digest"], system.restraint)


def _judged(leg: _Leg, back_A: float, missed_A: float) -> Check:
    told = f"step {leg.step}, walker {leg.walker}, {leg.steps} time steps and back: off by {back_A:.1e} A"
    if not back_A <= SINGLE_A:
        return Check(NAME, Outcome.FAILS, f"{told}: the trajectories are not reversible")
    if not missed_A <= SINGLE_A:
        said = f"{told}, but it arrives {missed_A:.1e} A from the stored state: not the run's settings, kernels or weights"
        return Check(NAME, Outcome.WEAK, said)
    return Check(NAME, Outcome.HOLDS, f"{told}; the stored end is met within {missed_A:.1e} A")


def _judged_alone(leg: _Leg, way: _Way, back_A: float, trapped: bool) -> Check:
    """What a piece with momenta drawn here tells: whether the surrogate's trajectories can be turned round."""
    where = f"from step {leg.step - 1}, walker {leg.walker}, {way.steps} time steps of the surrogate and back with fresh momenta"
    left_out = f"not tested: {way.unrepeated}, which stored states do not tell, and so the stored end"
    if trapped:
        return Check(NAME, Outcome.SKIPPED, f"{where} meet absurd forces")
    told = f"{where}: off by {back_A:.1e} A"
    if not back_A <= SINGLE_A:
        return Check(NAME, Outcome.FAILS, f"{told}: the trajectories are not reversible")
    return Check(NAME, Outcome.HOLDS, f"{told}; {left_out}")
