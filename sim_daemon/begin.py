"""Begin a chain: resume from the adopted checkpoint, or label the start structure, make start-up labels, draw first rings."""

from __future__ import annotations

import time

from kernels.random_numbers import step_rng
from protocol.errors import EngineFailed
from protocol.records import Label, Origin, Phase
from sim_daemon import labels, startup
from sim_daemon.assemble import make_ring, startup_kind
from sim_daemon.chain import Chain, restore
from sim_daemon.daemon import Daemon
from sim_daemon.ensembles import check_stress
from sim_daemon.moves.cell import barostat_of
from sim_daemon.schedule import Recorded
from sim_daemon.target import Target, TargetValues
from sim_daemon.world import World

HANDFUL = 32  # start-up labels per batch, so that the trainer can begin before the last of them


def begin(daemon: Daemon, target: Target, world: World) -> None:
    """Give the daemon its chain. Raises RenkeiError where the start structure cannot be labelled."""
    adopted = daemon.epoch.adopted
    if adopted.checkpoint is None:
        _start(daemon, target, world)
        return
    daemon.adopt(adopted.checkpoint)
    daemon.chain = restore(adopted.checkpoint["chain"], daemon.science.phases.production.two_level)
    world.tell("guard", daemon.guard_energy_eV)
    if adopted.tail:  # steps after the checkpoint are repeated as they were: same numbers, same generations
        daemon.phases.recorded.append(Recorded(adopted.tail, adopted.checkpoint["plan"]))
    daemon.log.info("resuming after step %d", daemon.chain.step)


def _start(daemon: Daemon, target: Target, world: World) -> None:
    began = time.monotonic()
    science, system = daemon.science, daemon.system
    publisher = _Publisher(daemon)
    world.tell("guard", None)
    first = target(system.structure.positions[None])
    if first.labels[0] is None:
        raise EngineFailed(
            f"the engine cannot label the start structure: {first.refused[0]}",
            science.system.structure,
            "look at structure, charge and multiplicity",
        )
    check_stress(science.sampler, first.labels[0], science.system.structure)
    publisher(first)
    daemon.guard_energy_eV = first.labels[0].energy
    world.tell("guard", daemon.guard_energy_eV)
    kind = startup_kind(science.sampler, system)
    daemon.log.info("start-up: %s", kind)
    ring = make_ring(science.sampler, system)
    barostat = barostat_of(science.sampler.ensemble, system.structure)
    rng = step_rng(science.seed, daemon.name, 0)
    rings = startup.prepare(kind, ring, target, science.sampler.walkers, rng, publisher, barostat)
    publisher.flush()
    daemon.chain = Chain(daemon.sampler.init(rings))
    daemon.costs["engine_calls"] += rings.shape[0] * rings.shape[1]
    row = {"event": "startup", "kind": kind, **daemon.costs, "seconds": round(time.monotonic() - began, 3)}
    daemon.epoch.journal.append(row, durable=True)
    daemon.checkpoint()


class _Publisher:
    """Books start-up labels and sends them in handfuls."""

    def __init__(self, daemon: Daemon) -> None:
        self._daemon, self._count = daemon, 0
        self._pairs: list[tuple[Label, Origin]] = []

    def __call__(self, values: TargetValues) -> None:
        self._daemon.costs["engine_calls"] += int(values.calls.sum())
        self._daemon.costs["engine_failures"] += int(values.failures.sum())
        self._pairs += labels.of_startup(self._daemon.name, values, self._count)
        self._count += len(values.labels)
        if len(self._pairs) >= HANDFUL:
            self.flush()

    def flush(self) -> None:
        """Send what is left."""
        self._daemon.publish(self._pairs, Phase.STARTUP, -1)
        self._pairs = []
