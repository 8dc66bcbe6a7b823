"""Novel structures that a surrogate's chain has met, labelled for the training; adapt phase only.

It looks at a chain from outside: what is found adds labels and changes no decision of a test, and production does not look.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from kernels.arrays import Array
from kernels.descriptors.base import kinds
from kernels.potentials.base import Potential
from kernels.random_numbers import Rng
from sim_daemon.labelling import ENGINE_FAILURE
from sim_daemon.moves import novelty
from sim_daemon.samplers.base import Point, State
from sim_daemon.target import Target, TargetValues

LOOKS = 4  # at a chain: after each quarter of its moves but the last, whose end is labelled anyway
NOVEL = 1  # number of the point of a novel structure; that of a proposal is 0


class Bill:
    """The target, with points and engine calls booked to walkers."""

    def __init__(self, target: Target, walkers: int) -> None:
        self._target = target
        self.points: list[list[Point]] = [[] for _ in range(walkers)]
        self.calls, self.failures = np.zeros(walkers, int), np.zeros(walkers, int)

    def label(self, walkers: Array, positions: Array, cells: Array) -> TargetValues:
        """Target at L beads (A, L, N, 3) A of each of the given walkers (A,), in cells (A, 3, 3) A."""
        values = self._target(positions.reshape(-1, *positions.shape[2:]), np.repeat(cells, positions.shape[1], axis=0))
        self.calls[walkers] += values.calls.reshape(len(walkers), -1).sum(axis=1)
        self.failures[walkers] += values.failures.reshape(len(walkers), -1).sum(axis=1)
        return values

    def keep(self, walker: int, beads: tuple[int, ...], values: TargetValues, a: int, point: int) -> None:
        """Store the labels of one point of a walker, the a-th group of beads of `values`."""
        chosen = slice(a * len(beads), (a + 1) * len(beads))
        cell = self._target.system.structure.cell
        kept = Point(point, beads, values.positions[chosen], values.labels[chosen], values.refused[chosen], cell)
        self.points[walker].append(kept)

    def proposal_refused(self, walker: int) -> bool:
        """Whether the proposal of this walker (not a structure labelled beside it) was refused, by the engine or its guards."""
        return any(reason is not None for point in self.points[walker] if point.point == 0 for reason in point.refused)

    def trials_failed(self, walker: int) -> bool:
        """Whether a trial of this walker failed in the engine itself, or guards refused all of them: the rest decided nothing.

        One trial of many that a guard refuses, an overlap say, is a rejection like those beside it.
        """
        reasons = [[reason for reason in point.refused if reason is not None] for point in self.points[walker]]
        failed = any(reason.startswith(ENGINE_FAILURE) for one in reasons for reason in one)
        return failed or (bool(reasons) and all(reasons))


class _Look(NamedTuple):
    move: int
    positions: Array  # (N, 3) A, of the walker's bead


class Harvest:
    """Looks at one random bead of every walker's chain on its way, and labels the most novel look of each."""

    def __init__(self, target: Target, surrogate: Potential, state: State, moves: Array, rng: Rng) -> None:
        self._base, self._cells = target.system.structure, state.cells
        self._descriptor = novelty.descriptor_for(self._base.numbers, surrogate.cutoff)
        self._kinds = kinds(self._descriptor, self._base.numbers)
        walkers, beads = state.positions.shape[:2]
        self.bead = [int(rng("harvest", w).integers(beads)) for w in range(walkers)]
        self.novel = [0] * walkers  # labels paid for because they were novel
        self.seen = state.seen or novelty.nothing_seen(self._descriptor)
        self._when = [{int(n) * look // LOOKS for look in range(1, LOOKS)} - {0, int(n)} for n in moves]
        self._looks: list[list[_Look]] = [[] for _ in range(walkers)]

    def watch(self, move: int, walkers: Array, positions: Array) -> None:
        """See every walker after a move; positions: (W, P, N, 3) A."""
        for w in walkers:
            if move in self._when[w]:
                self._looks[w].append(_Look(move, positions[w, self.bead[w]].copy()))

    def labelled(self, walkers: Array, positions: Array) -> None:
        """Structures that were labelled for a decision: L beads (A, L, N, 3) A of the given walkers."""
        if not len(walkers):
            return
        found = [self._features(w, rings) for w, rings in zip(walkers, positions, strict=True)]
        whole = positions.shape[1] > 1
        scores = [
            novelty.score(self.seen, self._kinds, f[self.bead[w] if whole else 0]) for w, f in zip(walkers, found, strict=True)
        ]
        self.seen = novelty.remember(novelty.add(self.seen, self._kinds, np.concatenate(found)), scores)

    def reap(self, bill: Bill) -> None:
        """Label the most novel look of each walker, if it is novel; what is chosen is known from then on."""
        chosen = []
        for w, looks in enumerate(self._looks):
            found = [self._features(w, look.positions[None])[0] for look in looks]
            scores = [novelty.score(self.seen, self._kinds, f) for f in found]
            if scores and max(scores) > novelty.threshold(self.seen):
                best = int(np.argmax(scores))
                self.seen = novelty.add(self.seen, self._kinds, found[best][None])
                chosen.append((w, looks[best].positions))
                self.novel[w] = 1
        if not chosen:
            return
        walkers = np.array([w for w, _ in chosen])
        values = bill.label(walkers, np.array([x[None] for _, x in chosen]), self._cells[walkers])
        for a, w in enumerate(walkers):
            bill.keep(int(w), (self.bead[w],), values, a, NOVEL)

    def _features(self, walker: int, positions: Array) -> Array:
        return novelty.features(self._descriptor, positions, self._base, self._cells[walker])
