"""metropolis: long surrogate chains of local moves, each chain accepted by first principles; beads: 1 is the classical method.

For what moves by jumps: alloys and ionic crystals (swap, vacancy), molecules (rotation, collective), and everything else slowly
(translation, bridge). Before first weights exist, first principles decide every move of short chains.
"""

from __future__ import annotations

from functools import partial
from typing import Literal

import numpy as np
from ase import Atoms
from pydantic import Field, field_validator, model_validator

from kernels.arrays import Array
from kernels.images import minimum_images
from kernels.potentials.base import Potential
from kernels.random_numbers import Rng
from kernels.ring_polymer import RingPolymer
from protocol.errors import BadSetting
from protocol.records import Structure
from protocol.settings import Section
from sim_daemon.adapt_local import LocalAdapter, Width
from sim_daemon.ensembles import Auto, Nvt
from sim_daemon.moves import local
from sim_daemon.moves.composite import Scan, composite_step, first_principles_step
from sim_daemon.moves.explore import EXPLORE_HEAT
from sim_daemon.moves.explore_local import explore_locally
from sim_daemon.moves.sites import lattice_sites
from sim_daemon.samplers.base import Info, Move, Plan, Sampler, State, start_state
from sim_daemon.system import System, molecule_of
from sim_daemon.target import Target

FEWEST_MOVES = 8  # of a surrogate's chain, at most: with [K/8, K] the shortest is one move


class _Kind(Section):
    weight: float = Field(default=1.0, gt=0)  # how often, relative to the other kinds


class Translation(_Kind):
    """One atom."""

    width_A: Auto = "auto"  # of the cube; auto: tuned in adapt to 30-50 % acceptance by the surrogate


class Rotation(_Kind):
    """One molecule about its centre."""

    width_deg: Auto = "auto"  # largest angle


class Swap(_Kind):
    """Two atoms of different species change places."""


class Vacancy(_Kind):
    """An atom beside a vacant site jumps into it; the other sites are the start structure's positions."""

    vacant_A: list[tuple[float, float, float]] = Field(min_length=1)  # sites that are vacant in the start structure
    neighbour_A: float = Field(gt=0)  # longest jump
    capture_A: float = Field(1.0, gt=0)  # an atom nearer than this to a site is on it


class Bridge(_Kind):
    """Some beads of one atom's ring are drawn anew."""

    beads: Auto = "auto"  # so many


class Moves(Section):
    """The kinds of moves; one that is not named is not made, but for the translation."""

    translation: Translation | None = Field(default_factory=Translation)
    collective: Translation | None = None  # of a molecule; of all atoms where there is none
    rotation: Rotation | None = None
    swap: Swap | None = None
    vacancy: Vacancy | None = None
    bridge: Bridge | None = None

    @model_validator(mode="after")
    def _some(self) -> Moves:
        if not any(getattr(self, name) for name in type(self).model_fields):
            raise ValueError("must name at least one kind of move")
        return self


class Settings(Section):
    """metropolis: exact for the first-principles ensemble of P beads, whatever the surrogate."""

    name: Literal["metropolis"] = "metropolis"
    ensemble: Nvt
    beads: int = Field(1, ge=1, le=4096)  # P
    walkers: int = Field(1, ge=1)  # independent chains
    startup: Literal["auto", "harmonic", "trajectories"] = "auto"
    moves: Moves = Moves()
    molecules: Literal["auto"] | list[list[int]] = "auto"  # atoms of each, counted from 1; auto: by bonds
    chain_moves: Literal["auto"] | int = "auto"  # longest surrogate chain K between two tests; chains are log-uniform in [K/8, K]
    chain_moves_max: int = Field(2000, ge=FEWEST_MOVES)  # bound of K when it is auto

    @field_validator("chain_moves")
    @classmethod
    def _some_moves(cls, given: Literal["auto"] | int) -> Literal["auto"] | int:
        if given != "auto" and not 1 <= given <= 10**7:
            raise ValueError("must be auto or between 1 and 10000000")
        return given

    @model_validator(mode="after")
    def _beads_move(self) -> Settings:
        if (self.beads > 1) != (self.moves.bridge is not None):
            raise ValueError(
                "beads > 1 need moves.bridge, which alone changes the rings' shapes"
                if self.beads > 1
                else "moves.bridge is for beads > 1"
            )
        return self


def build(settings: Settings, ring: RingPolymer, target: Target) -> Sampler:
    """The sampler. Raises BadSetting for moves that the structure does not have."""
    scan = Scan(ring, kinds(settings, ring, target.system))
    hot_ring = ring.heated(EXPLORE_HEAT)
    hot = Scan(hot_ring, kinds(settings, hot_ring, target.system))

    def step(state: State, surrogate: Potential | None, plan: Plan, rng: Rng) -> tuple[State, tuple[Info, ...]]:
        if surrogate is None:
            return first_principles_step(scan, target, state, plan, rng)
        if plan.move is Move.EXPLORE:
            return explore_locally(hot, target, state, surrogate, plan, rng)
        return composite_step(scan, target, state, surrogate, plan, rng)

    return Sampler(partial(start_state, target), step)


def adapter(settings: Settings, system: System) -> LocalAdapter:
    """The controller of the adapt phase: widths, length of the chains, and when to freeze."""
    given = {
        "translation": (settings.moves.translation, "width_A", 0.1, 1e-3, 3.0),
        "collective": (settings.moves.collective, "width_A", 0.1, 1e-3, 3.0),
        "rotation": (settings.moves.rotation, "width_deg", 10.0, 0.1, 180.0),
        "bridge": (settings.moves.bridge, "beads", max(1.0, settings.beads / 2), 1.0, max(1.0, settings.beads - 1.0)),
    }
    widths = {}
    for name, (kind, key, first, least, most) in given.items():
        if kind is not None:
            fixed = getattr(kind, key)
            widths[name] = Width(first, least, most) if fixed == "auto" else Width(float(fixed), float(fixed), float(fixed))
    fixed_moves = None if settings.chain_moves == "auto" else settings.chain_moves
    return LocalAdapter(len(system.numbers), fixed_moves, settings.chain_moves_max, widths, settings.walkers)


def kinds(settings: Settings, ring: RingPolymer, system: System) -> tuple[local.LocalMove, ...]:
    """The kinds of moves, at the temperature of `ring`. Raises BadSetting for those that do not fit the structure."""
    chosen, base = settings.moves, system.structure
    made: dict[str, local.Propose] = {}
    if chosen.translation:
        made["translation"] = local.translate
    if chosen.collective or chosen.rotation:
        groups = molecules(settings.molecules, base)
        everything = local.Group(np.arange(len(base.numbers)), np.zeros((len(base.numbers), 3)))
        made["collective"] = partial(local.translate_together, groups or (everything,))
        made["rotation"] = partial(local.rotate, groups)
        if chosen.rotation and not groups:
            raise BadSetting(
                "sampler.moves.rotation: no molecule of two atoms or more is in the structure",
                next="leave rotation out, or list the atoms of each in sampler.molecules",
            )
    if chosen.swap:
        made["swap"] = partial(local.swap, unlike_pairs(base.numbers))
    if chosen.vacancy:
        vacant = np.array(chosen.vacancy.vacant_A)
        made["vacancy"] = partial(local.hop, lattice_sites(base, vacant, chosen.vacancy.neighbour_A, chosen.vacancy.capture_A))
    if chosen.bridge:
        made["bridge"] = partial(local.bridge, ring)
    return tuple(
        local.LocalMove(name, kind.weight, made[name])
        for name in Moves.model_fields
        if (kind := getattr(chosen, name)) is not None
    )


def unlike_pairs(numbers: Array) -> Array:
    """All pairs (n, 2) of atoms of different species.  numbers: (N,). Raises BadSetting where there are none."""
    first, second = np.triu_indices(len(numbers), 1)
    unlike = numbers[first] != numbers[second]
    if not unlike.any():
        raise BadSetting("sampler.moves.swap: all atoms are of one species", next="leave swap out")
    return np.stack([first[unlike], second[unlike]], axis=1)


def molecules(given: Literal["auto"] | list[list[int]], base: Structure) -> tuple[local.Group, ...]:
    """Groups of two atoms or more: those that are given (atoms counted from 1), or by bonds of the start structure.

    Raises BadSetting for an atom that is not there, or in two molecules.
    """
    if given == "auto":
        owner = molecule_of(Atoms(base.numbers, base.positions, cell=base.cell, pbc=base.pbc))
        lists = [np.flatnonzero(owner == k) for k in range(owner.max(initial=-1) + 1)]
    else:
        lists = [np.array(atoms, dtype=int) - 1 for atoms in given]
        everyone = np.concatenate([np.zeros(0, int), *lists])
        if len(everyone) != len(set(everyone.tolist())) or not all(0 <= atom < len(base.numbers) for atom in everyone):
            raise BadSetting(f"sampler.molecules: each atom may stand in one molecule, and atoms are 1 to {len(base.numbers)}")
    return tuple(local.Group(atoms, joined(base, atoms)) for atoms in lists if len(atoms) > 1)


def joined(base: Structure, atoms: Array) -> Array:
    """Whole lattice vectors (n, 3) A that bring the atoms of a molecule together, each to the nearest one placed so far."""
    whole, offsets = [base.positions[atoms[0]]], {int(atoms[0]): np.zeros(3)}
    while len(offsets) < len(atoms):
        waiting = [int(a) for a in atoms if int(a) not in offsets]
        way = base.positions[waiting][:, None] - np.array(whole)
        near = minimum_images(way, base.cell, base.pbc)
        a, b = np.unravel_index(np.sum(near**2, axis=2).argmin(), way.shape[:2])
        offsets[waiting[a]] = near[a, b] - way[a, b]
        whole.append(base.positions[waiting[a]] + offsets[waiting[a]])
    return np.array([offsets[int(a)] for a in atoms])
