"""One label with care: the retry ladder, the tries after a crash, and the guards on size."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from protocol.errors import EngineFailed
from protocol.records import Label, Structure
from sim_daemon.engines.base import Engine, EngineCrashed, LabelFailed

ENGINE_FAILURE = "engine_failure"  # how a refusal of the engine's own begins; that of a guard begins with "guard"


@dataclass(frozen=True)
class Guard:
    """Bounds on the size of a label; beyond them the target is +infinity. Frozen before production."""

    reference_eV_per_atom: float | None  # energy of the start structure; None while there is none: energies are not judged
    max_energy_eV_per_atom: float  # above the reference
    max_force_eV_per_A: float  # largest component

    def objection(self, label: Label) -> str | None:
        """Why this label is refused, a function of the label alone; None if it is not."""
        force = float(np.abs(label.forces).max())
        if force > self.max_force_eV_per_A:
            return f"guard: largest force component {force:.3g} eV/A is above {self.max_force_eV_per_A:g}"
        if self.reference_eV_per_atom is None:
            return None
        excess = label.energy / len(label.structure.numbers) - self.reference_eV_per_atom
        if excess > self.max_energy_eV_per_atom:
            return f"guard: energy is {excess:.3g} eV/atom above the start structure, bound {self.max_energy_eV_per_atom:g}"
        return None


@dataclass(frozen=True)
class Labelled:
    """Outcome for one structure: a label, or the reason why the target is +infinity there; and what it cost."""

    label: Label | None
    refused: str | None  # "engine_failure: ..." or "guard: ..."
    calls: int  # of the engine, retries counted
    failures: int  # calls that gave no label


class _Counter:
    """Calls of one engine for one structure."""

    def __init__(self, engine: Engine, structure: Structure, attempts: int) -> None:
        self._engine, self._structure, self._attempts = engine, structure, attempts
        self.calls = self.failures = 0

    def rung(self, rung: int) -> Label | LabelFailed:
        """One rung of the ladder; crashes are repeated. Raises EngineFailed after `attempts` crashes."""
        for attempt in range(1, self._attempts + 1):
            self.calls += 1
            try:
                return self._engine.label(self._structure, rung)
            except LabelFailed as failed:
                self.failures += 1
                return failed
            except EngineCrashed as crashed:
                self.failures += 1
                if attempt == self._attempts:
                    what = f"the engine crashed {attempt} times on the same structure: {crashed.what}"
                    raise EngineFailed(
                        what, crashed.where, crashed.next or "the step was not taken; look, then start again"
                    ) from crashed
        raise AssertionError("attempts must be at least 1")

    def ladder(self) -> Label | tuple[LabelFailed, ...]:
        """All rungs in order until one gives a label."""
        failed: list[LabelFailed] = []
        for rung in range(self._engine.rungs):
            outcome = self.rung(rung)
            if not isinstance(outcome, LabelFailed):
                return outcome
            failed.append(outcome)
        return tuple(failed)


def label_with_care(engine: Engine, structure: Structure, attempts: int, guard: Guard | None) -> Labelled:
    """Label one structure, or find that the target is +infinity there.

    The ladder of retries must fail twice in the same way before the failure counts as a property of the structure; a run of it
    that ends in another way is an accident. Raises EngineFailed after `attempts` accidents.
    """
    counter = _Counter(engine, structure, attempts)
    before: tuple[type[LabelFailed], ...] = ()
    last = LabelFailed("the ladder has no rung")
    for _ in range(attempts + 1):
        outcome = counter.ladder()
        if isinstance(outcome, Label):
            return _judged(outcome, guard, counter)
        kinds, last = tuple(type(failed) for failed in outcome), outcome[-1]
        if kinds == before:
            return Labelled(None, f"{ENGINE_FAILURE}: {last.what}", counter.calls, counter.failures)
        before = kinds
    what = f"the engine fails on one structure in another way each time, last: {last}"
    raise EngineFailed(what, last.where, "an engine must give the same answer to the same structure")


def _judged(label: Label, guard: Guard | None, counter: _Counter) -> Labelled:
    objection = None if guard is None else guard.objection(label)
    return Labelled(None if objection else label, objection, counter.calls, counter.failures)
