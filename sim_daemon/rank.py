"""What every rank of the simulator does for rank 0: label structures, evaluate the surrogate."""

from __future__ import annotations

import platform
import signal
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from itertools import repeat
from pathlib import Path
from typing import Any

import numpy as np

from kernels import native
from kernels.arrays import Array
from kernels.potentials import base as potentials
from kernels.potentials.base import Evaluation, Potential
from kernels.potentials.restrained import Restrained
from protocol.errors import EnvironmentFailed
from protocol.records import Structure
from protocol.settings import Config
from protocol.shutdown import SIGNALS
from sim_daemon.assemble import load_config
from sim_daemon.engines import base as engines
from sim_daemon.engines.base import Engine, EngineContext, EngineSettings
from sim_daemon.labelling import Guard, Labelled, label_with_care
from sim_daemon.system import System, read_system
from sim_daemon.world import World

PACE_PERIOD, PACE_PROBES = 400, 8  # calls between two comparisons, and calls of each kind in one
Doing = Callable[[str], AbstractContextManager[Any]]  # books the time spent under a name (protocol.activity)


class Rank:
    """Engine and surrogates of one rank; the handlers that a World serves."""

    def __init__(self, config: Config, system: System, scratch: Path, rank: int, doing: Doing) -> None:
        self._config, self._system, self._doing = config, system, doing
        self._scratch = scratch / f"rank-{rank:04d}"
        self._engine: Engine | None = None
        self._cheap: Engine | None = None
        self._guard: Guard | None = None
        self._surrogates: dict[str, Potential] = {}

    @property
    def handlers(self) -> dict[str, Any]:
        """Handlers by the names that rank 0 calls."""
        return {
            "start_engine": self.start_engine,
            "guard": self.guard,
            "label": self.label,
            "label_cheap": self.label_cheap,
            "load": self.load,
            "evaluate": self.evaluate,
        }

    def start_engine(self, kernels: str) -> None:
        """Build this rank's engine, and the cheap one where there is one. Raises EngineFailed or BadSetting.

        kernels: what rank 0 evaluates surrogates with; the bits of a chain depend on it, so another one is EnvironmentFailed.
        """
        if native.backend() != kernels:
            raise EnvironmentFailed(
                f"rank 0 has the kernels {kernels}, another rank {native.backend()}",
                platform.node(),
                "start on processors of one kind, or set RENKEI_KERNELS to what all of them have",
            )
        science = self._config.science
        self._engine = self._build(science.engine, self._scratch)
        if science.cheap_engine is not None:
            self._cheap = self._build(science.cheap_engine, self._scratch / "cheap")

    def _build(self, settings: EngineSettings, scratch: Path) -> Engine:
        ranks = self._config.machine.simulator.ranks_per_engine
        context = EngineContext(self._system.charge, self._system.multiplicity, scratch, ranks)
        engine: Engine = engines.load(settings.name).build(settings, context)
        return engine

    @property
    def fingerprint(self) -> str:
        """The engine's fingerprint; the engine must have been started."""
        assert self._engine is not None
        return self._engine.fingerprint

    @property
    def cheap_fingerprint(self) -> str | None:
        """That of the cheap engine; None without one."""
        return None if self._cheap is None else self._cheap.fingerprint

    def guard(self, reference_energy_eV: float | None) -> None:
        """Freeze the guard on the size of labels; None: no reference yet."""
        settings = self._config.science.engine
        per_atom = None if reference_energy_eV is None else reference_energy_eV / len(self._system.structure.numbers)
        self._guard = Guard(per_atom, settings.max_energy_eV_per_atom, settings.max_force_eV_per_A)

    def label(self, structures: Sequence[Structure]) -> list[Labelled]:
        """First-principles labels, one after the other."""
        assert self._engine is not None
        attempts = self._config.science.engine.attempts
        with self._doing("engine"):
            return [label_with_care(self._engine, s, attempts, self._guard) for s in structures]

    def label_cheap(self, structures: Sequence[Structure]) -> list[Labelled]:
        """Labels of the cheap engine. Its energies have a zero of their own, so only the forces are guarded."""
        assert self._cheap is not None
        settings = self._config.science.cheap_engine
        guard = Guard(None, settings.max_energy_eV_per_atom, settings.max_force_eV_per_A)
        with self._doing("engine"):
            return [label_with_care(self._cheap, s, settings.attempts, guard) for s in structures]

    def load(self, digest: str, format: str, folder: Path, generation: int) -> None:
        """Hold the surrogate of one artefact under its digest; the one before it is let go."""
        loaded = potentials.load(format, folder, generation)
        bound = self._system.restraint
        guarded: Potential = Restrained(loaded, bound.radius_A, bound.k_eV_per_A2) if bound else loaded
        self._surrogates = {digest: guarded}

    def evaluate(self, positions: Array, digest: str, cell: Array) -> list[tuple[float, Array, Array | None]]:
        """Energies (eV), forces (N, 3) eV/A and stresses (3, 3) eV/A^3 of the surrogate at (B, N, 3) A in a cell (3, 3) A."""
        base = self._system.structure
        with self._doing("surrogate"):
            value = self._surrogates[digest].evaluate(positions, base.numbers, cell, base.pbc)
        return list(zip(value.energy, value.forces, value.stress if value.stress is not None else repeat(None), strict=False))


def follow(world: World) -> None:
    """The whole life of a rank other than 0: set up on request, then serve."""

    def set_up(run: Path, name: str, scratch: Path) -> None:
        config = load_config(run, name)
        rank = Rank(config, read_system(config), scratch, world.rank, lambda activity: nullcontext())
        world.handlers = {**world.handlers, **rank.handlers}

    for (
        number
    ) in SIGNALS:  # they reach all ranks; rank 0 decides. A function, not SIG_IGN, which an engine's process would inherit
        signal.signal(number, lambda *_: None)
    world.handlers = {"set_up": set_up}
    world.serve()


class Pace:
    """Finds out, again and again, whether sharing a batch pays: on a machine that the trainer also uses it may not.

    The bits do not depend on who evaluates, so this choice may look at the clock.
    """

    def __init__(self) -> None:
        self._calls = 0
        self._seconds = {True: 0.0, False: 0.0}  # a call takes, smoothed

    def share(self) -> bool:
        """Whether to share the next call."""
        turn = self._calls % PACE_PERIOD
        self._calls += 1
        return turn < PACE_PROBES or (turn >= 2 * PACE_PROBES and self._seconds[True] <= self._seconds[False])

    def took(self, shared: bool, seconds: float) -> None:
        """Learn from a call."""
        before = self._seconds[shared]
        self._seconds[shared] = 0.8 * before + 0.2 * seconds if before else seconds


class SharedSurrogate:
    """A Potential whose batch is spread over the ranks where that is faster."""

    def __init__(self, world: World, pace: Pace, digest: str, generation: int, species: tuple[int, ...], cutoff_A: float) -> None:
        self._world, self._pace, self._digest = world, pace, digest
        self.generation, self.species, self.cutoff = generation, species, cutoff_A

    def evaluate(self, positions: Array, numbers: Array, cell: Array, pbc: Array) -> Evaluation:
        """As Potential.evaluate; (B, N, 3) A. Species and periodicity are those of the run."""
        shared = self._world.size > 1 and self._pace.share()
        began = time.monotonic()
        # with a stride of all ranks, rank 0 does everything
        answers = self._world.share("evaluate", positions, self._digest, cell, stride=1 if shared else self._world.size)
        self._pace.took(shared, (time.monotonic() - began) / len(positions))
        energies, forces, stresses = zip(*answers, strict=True)
        return Evaluation(np.array(energies), np.array(forces), None if stresses[0] is None else np.array(stresses))
