"""Chains of local moves of W walkers in one potential: random scan, each move accepted or rejected by Metropolis' rule."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from kernels.arrays import Array
from kernels.random_numbers import Rng
from sim_daemon.moves.accept import accept
from sim_daemon.moves.local import LocalMove, Proposal
from sim_daemon.moves.trajectory import sane

# (walkers (A,), positions (A, P, N, 3) A) -> energies (A, P) eV, forces (A, P, N, 3) eV/A
Values = Callable[[Array, Array], tuple[Array, Array]]
Watch = Callable[[int, Array, Array], None]  # (move k from 1, walkers (A,), positions (W, P, N, 3) A), after every move


class Place(NamedTuple):
    """Where W walkers are, with the values of the potential that drives them."""

    positions: Array  # (W, P, N, 3) A
    energies: Array  # (W, P) eV
    forces: Array  # (W, P, N, 3) eV/A


class Wandered(NamedTuple):
    """End of W chains."""

    end: Place
    moves: Array  # (W,) proposed
    tried: Array  # (W, kinds) by kind of move
    accepted: Array  # (W, kinds)


def wander(
    kinds: Sequence[LocalMove],
    widths: Mapping[str, float],
    beta: float,
    start: Place,
    moves: Array,
    values: Values,
    rng: Rng,
    watch: Watch | None = None,
) -> Wandered:
    """Move walker w by moves[w] random local moves, each decided by `values`.

    beta: 1/eV.  widths: by kind, for those that have one.  moves: (W,).  Random scan: the kind is drawn anew for every move, so
    the chain is reversible (a sweep in fixed order is not).  A proposal whose values are not sane is rejected, and a walker that
    starts there stays.  A walker's bits do not depend on the others.
    """
    place = Place(*(array.copy() for array in start))
    bounds = np.cumsum([kind.weight for kind in kinds])
    bounds /= bounds[-1]
    proposing = [rng("local moves", w) for w in range(len(moves))]
    deciding = [rng("local accept", w) for w in range(len(moves))]
    tried, accepted = (np.zeros((len(moves), len(kinds)), int) for _ in range(2))
    free = sane(place.energies, place.forces)
    means = place.energies.mean(axis=1)
    for k in range(1, int(moves.max(initial=0)) + 1):
        active = np.flatnonzero((moves >= k) & free)
        if not len(active):
            break
        chosen = [min(int(np.searchsorted(bounds, proposing[w].random(), side="right")), len(kinds) - 1) for w in active]
        drawn = [_propose(kinds[c], widths, place.positions[w], proposing[w]) for w, c in zip(active, chosen, strict=True)]
        found = [(int(w), c, proposal) for w, c, proposal in zip(active, chosen, drawn, strict=True) if proposal is not None]
        tried[active, chosen] += 1
        if found:
            walkers, positions = np.array([w for w, _, _ in found]), np.array([p.positions for _, _, p in found])
            energies, forces = values(walkers, positions)
            new = np.where(sane(energies, forces), energies.mean(axis=1), np.inf)
            for a, (w, c, proposal) in enumerate(found):
                if accept(proposal.log_factor - beta * float(new[a] - means[w]), deciding[w]):
                    place.positions[w], place.energies[w], place.forces[w] = positions[a], energies[a], forces[a]
                    means[w] = new[a]
                    accepted[w, c] += 1
        if watch:
            watch(k, active, place.positions)
    return Wandered(place, moves, tried, accepted)


def _propose(kind: LocalMove, widths: Mapping[str, float], positions: Array, generator: np.random.Generator) -> Proposal | None:
    return kind.propose(positions, widths.get(kind.name, 0.0), generator)


def tally(kinds: Sequence[LocalMove], wandered: Wandered, w: int) -> dict[str, int]:
    """How often each kind was tried and accepted in the chain of walker w."""
    counts = {}
    for c, kind in enumerate(kinds):
        counts[kind.name] = int(wandered.tried[w, c])
        counts[f"{kind.name}_accepted"] = int(wandered.accepted[w, c])
    return counts
