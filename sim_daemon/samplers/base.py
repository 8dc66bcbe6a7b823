"""Contract of a sampler: the pair (init, step), pure functions of what they are given.

To add one: a file here with `Settings` (frozen pydantic) and `build(settings, ring, target) -> Sampler`, and
tests/sim_daemon/samplers/test_NAME.py. The file name is the YAML name. A sampler whose adapt phase is another one than that of
trajectories also has `adapter(settings, system) -> Adapter`; one without a surrogate says `learns: ClassVar[bool] = False` in its
Settings.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING, ClassVar, Literal, NamedTuple

import numpy as np
from pydantic import Field

from kernels.arrays import Array
from kernels.potentials.base import Potential
from kernels.random_numbers import Rng
from protocol.errors import EngineFailed
from protocol.records import Label, Phase
from protocol.settings import Section
from sim_daemon.ensembles import Auto, Ensemble
from sim_daemon.labelling import ENGINE_FAILURE
from sim_daemon.target import Target

if TYPE_CHECKING:
    from sim_daemon.moves.novelty import Seen


class RingSettings(Section):
    """Keys of the hybrid Monte Carlo samplers on ring polymers; beads: 1 is the classical method."""

    learns: ClassVar[bool] = True

    name: str
    ensemble: Ensemble
    beads: int = Field(32, ge=1, le=4096)  # P; a usable rule is P >= 2 hbar omega_max/(kB T)
    timestep_fs: Auto = "auto"  # auto: dual averaging in adapt, then frozen
    trajectory_fs: Auto = "auto"  # longest length L; steps draw log-uniformly from [L/8, L]
    trajectory_max_fs: float = Field(160.0, gt=0)  # bound of L when it is auto
    walkers: int = Field(1, ge=1)  # independent chains
    startup: Literal["auto", "harmonic", "trajectories"] = "auto"
    mode_wavenumber_per_cm: Auto = "auto"  # omega_ref of the sampling masses; auto: by species


def learns(settings: Section) -> bool:
    """Whether the sampler of these settings uses a trainer's weights."""
    return getattr(settings, "learns", True)


class Move(StrEnum):
    """What a step does."""

    METROPOLIS = "metropolis"  # decided by first principles: exact
    EXPLORE = "explore"  # the surrogate's own ensemble, a few beads labelled: adapt only
    # of a two-level block: the surrogate's own chain goes on, and nothing decides about it but the surrogate
    EQUILIBRATE = "equilibrate"  # away from its start
    PROBE = "probe"  # then its ring is labelled, to see whether the model is good enough
    LEVEL_1 = "level_1"  # a sample with the surrogate's energies
    LEVEL_2 = "level_2"  # the same, then its ring is labelled


WALKS = (Move.EQUILIBRATE, Move.PROBE, Move.LEVEL_1, Move.LEVEL_2)
LABELLED_WALKS = (Move.PROBE, Move.LEVEL_2)

LOG_WEIGHT = "log_weight"  # among a step's observables: ln of the state's weight, where samples have weights
REFUSED = f"rejected: {ENGINE_FAILURE}"  # the outcome of a step that the engine or its guards decided


@dataclass(frozen=True)
class Plan:
    """What is fixed for a segment of the chain: the schedule's entry."""

    phase: Phase
    block: int  # number of the production block; 0 in the first adapt phase
    generation: int  # of the surrogate; -1: first principles alone
    digest: str  # of that generation's card; "" for -1
    timestep_fs: float
    trajectory_fs: float
    move: Move = Move.METROPOLIS
    chain_moves: int = 0  # of the surrogate's own chain: local ones between two tests, at most; of two levels, those of a step
    widths: Mapping[str, float] = field(default_factory=dict)  # of local moves, by kind, in the kind's own unit
    cell_step: float = 0.0  # standard deviation of ln(V'/V) in a jump of the cell; 0 where none is made
    alpha: float = 1.0  # share of first principles in the potential that decides; the rest goes to the samples' weights


@dataclass(frozen=True)
class State:
    """What the next step needs: W walkers of P beads, with the target's values only (NaN where exploration left them unknown)."""

    positions: Array  # (W, P, N, 3) A
    energies: Array  # (W, P) eV, of the target with its restraint
    forces: Array  # (W, P, N, 3) eV/A
    cells: Array  # (W, 3, 3) A, rows are vectors
    refuges: tuple[Array, ...] = ()  # by walker: (R, P, N, 3) A, rings to return to when exploration meets a hole
    refuge_cells: tuple[Array, ...] = ()  # by walker: (R, 3, 3) A, of those rings
    stresses: Array | None = None  # (W, P, 3, 3) eV/A^3, of the target (NaN: unknown); None: not followed
    momenta: Array | None = None  # (W, P, N, 3) eV fs/A, of the modes; None: the next step draws fresh ones
    # (W, K) eV, what a first test called, with the restraint: a cheap engine at the P beads, or the engine at contracted ones
    cheap_energies: Array | None = None
    contracted_with: str = ""  # digest of the surrogate that the energies and forces rest on; "": they are the target's own
    seen: Seen | None = None  # what has been labelled, for samplers that look for novelty in adapt
    aside: Array | None = None  # (W, P, N, 3) A, where the chain waits while the surrogate's own walk goes on; None: it does not
    replicas: Array | None = None  # (W,) int: where the ring of each walker stood at first; on a ladder of temperatures alone
    rounds: int = 0  # steps on the ladder that exchanges are counted by


class Point(NamedTuple):
    """A labelled ring that a step paid for."""

    point: int  # 0: the proposal; k > 0: k-th stored point of a first-principles path
    beads: tuple[int, ...]  # which beads of the ring; L of them
    positions: Array  # (L, N, 3) A
    labels: tuple[Label | None, ...]  # None where the engine refused
    refused: tuple[str | None, ...]  # why there is no label
    cell: Array  # (3, 3) A


class Swap(NamedTuple):
    """A tried exchange of rings with the next rung; written by the lower walker."""

    partner: int  # the other walker
    accepted: bool
    log_ratio: float  # ln of the acceptance ratio of the last test; nan where an earlier one refused


@dataclass(frozen=True)
class Info:
    """What people want to know of one walker's step; the same for every sampler."""

    accepted: bool
    outcome: str
    log_ratio: (
        float  # ln of the acceptance ratio of the last test; nan without one: trapped, refused before, or untested dynamics
    )
    # -beta dH of the potential that drove the trajectory; no part of log_ratio where it had a test of its own
    log_ratio_integrator: float
    log_ratio_model: float  # the rest: -beta d(V_target - V_surrogate); 0 for first principles alone
    md_steps: int
    length_fs: float
    points: tuple[Point, ...]
    engine_calls: int
    engine_failures: int
    observables: Mapping[str, float]
    log_ratio_cell: float | None = None  # the share of a jump of the cell, with p dV and the measure; None without a jump
    counts: Mapping[str, int] = field(default_factory=dict)  # of local moves by kind, and of novel structures; {} without
    cheap_calls: int = 0  # of the cheap engine
    temperature_K: float | None = None  # of the walker's rung; None without a ladder
    replica: int | None = None  # which ring stands there, by the walker where it stood at first
    swap: Swap | None = None
    squared_jump_A2: float | None = None  # of the proposal, mass-weighted over centroids; nan where it was trapped, None without
    approximation: str = ""  # what stands for the target where the target itself did not decide


class Sampler(NamedTuple):
    """init(positions (W, P, N, 3)) -> State;  step(state, surrogate or None, plan, rng) -> (State, Info by walker)."""

    init: Callable[[Array], State]
    step: Callable[[State, Potential | None, Plan, Rng], tuple[State, tuple[Info, ...]]]


def stresses_of(state: State, walker: int) -> Array | None:
    """The stresses (P, 3, 3) eV/A^3 of one walker's ring; None where the state has none."""
    return None if state.stresses is None else state.stresses[walker]


def unknown_stresses(state: State) -> Array | None:
    """What stands for the stresses (W, P, 3, 3) of a state where new positions have no labels yet."""
    return None if state.stresses is None else np.full(state.stresses.shape, np.nan)


def copied(state: State) -> State:
    """The same state with places and the target's values in arrays of its own, to be written into."""
    return replace(
        state,
        positions=state.positions.copy(),
        energies=state.energies.copy(),
        forces=state.forces.copy(),
        cells=state.cells.copy(),
        stresses=None if state.stresses is None else state.stresses.copy(),
    )


def start_state(target: Target, positions: Array) -> State:
    """First state of W walkers at (W, P, N, 3) A; raises EngineFailed if a bead has no label.

    It has stresses in cells periodic in three directions; moves that do not follow them leave them out.
    """
    values = target(positions.reshape(-1, *positions.shape[2:]))
    refused = [reason for reason in values.refused if reason]
    if refused:
        raise EngineFailed(
            f"the engine refused a bead of the first ring ({refused[0]})",
            next="look at the start structure, or lower beads or temperature",
        )
    cells = np.repeat(target.system.structure.cell[None], len(positions), axis=0)
    refuges, refuge_cells = tuple(ring[None] for ring in positions), tuple(cell[None] for cell in cells)
    energies, forces = values.energies.reshape(positions.shape[:2]), values.forces.reshape(positions.shape)
    whole = bool(np.all(target.system.structure.pbc))
    stresses = values.stresses.reshape(*positions.shape[:2], 3, 3) if whole else None
    return State(positions, energies, forces, cells, refuges, refuge_cells, stresses)


def load(name: str) -> ModuleType:
    """The plug-in `sim_daemon/samplers/NAME.py`, or a stranger's "my_lab.samplers.tempering"."""
    return import_module(name if "." in name else f"sim_daemon.samplers.{name}")
