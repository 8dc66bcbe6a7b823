"""`renkei.open(RUN)`: a run's ledger as arrays, its trajectories, its labels as ASE atoms, its weights. Reads only."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from kernels.arrays import Array
from protocol import names
from protocol.errors import BadSetting
from protocol.records import Card, Label, Origin
from protocol.store import Store
from renkei import run_view, trajectory
from renkei.analysis import ledger as ledgers
from renkei.run_view import RunView
from renkei.trajectory import Trajectory

if TYPE_CHECKING:
    from ase import Atoms

    from renkei.observe import Findings
    from renkei.potential import Potential


class Weights(NamedTuple):
    """A published generation."""

    generation: int
    digest: str
    folder: Path
    card: Card

    def potential(self) -> Potential:
        """Its ASE calculator."""
        from renkei.potential import Potential

        return Potential(self.folder)


class RunData:
    """The data of one run folder. `simulator` may be left out where the run has only one."""

    def __init__(self, run: str | Path) -> None:
        """Raises BadSetting where there is no such run."""
        self.view: RunView = run_view.read(Path(run))
        self._store = Store(self.view.root)

    def __repr__(self) -> str:
        return f"<run {self.view.root}: simulators {', '.join(self.simulators) or 'none'}>"

    @property
    def simulators(self) -> list[str]:
        """Names of the simulators that have started."""
        return [simulator.name for simulator in self.view.simulators]

    def ledger(self, simulator: str = "") -> dict[str, Array]:
        """The steps as a table: column -> (n,) array, a row per walker and step; observables by their own names."""
        rows = self.simulator(simulator).ledger
        plain = {name: column for name, column in vars(rows).items() if isinstance(column, np.ndarray)}
        return {**plain, **rows.observables, **{f"{name}_s": column for name, column in rows.seconds.items()}}

    def production(self, simulator: str = "", block: int | None = None) -> dict[str, Array]:
        """The rows of one production block, the last one if none is named; the table of `ledger`, all rungs of a ladder."""
        rows = self.simulator(simulator).ledger
        blocks = sorted(ledgers.production_blocks(rows))
        table = self.ledger(simulator)
        chosen = block if block is not None else (blocks[-1] if blocks else -1)
        mask = (rows.phase == "production") & (rows.block == chosen)
        return {name: column[mask] for name, column in table.items()}

    def trajectory(self, simulator: str = "") -> Trajectory | None:
        """Step, phase, block and positions (S, W, P, N, 3) A of every state; None while there is none."""
        return trajectory.read(self._store, self.simulator(simulator).role)

    def observable(
        self,
        name: str,
        simulator: str = "",
        phase: str = "production",
        stride: int = 1,
        temperature_K: float | None = None,
        all_blocks: bool = False,
        chain: bool = False,
        skip: int = 0,
        **options: Any,
    ) -> Findings:
        """One observable anew from the stored states, e.g. observable("pair_distribution", largest_A=6.0).curves.

        `renkei analyze RUN --list` names them; a number of the ledger goes by its own name.  phase: "production" (the block
        that the report quotes) or "adapt".  stride: every so many states.  temperature_K: of a rung of a ladder, the lowest one
        if it is left out.  all_blocks: every full production block, combined.  options: keys of the observable's `build`.
        Where states have weights, everything is reweighted to first principles. Of a two-level block, the two-level means, each
        with that of the chain beside it; chain: the latter alone.  skip: steps of the block's start that are left out.
        Returns averages with their series (T, W), and curves, each with errors and the reason why not to quote it.
        """
        from renkei.observe import Selection
        from renkei.observe_levels import observe_quoted

        selection = Selection(phase, stride, skip, temperature_K, all_blocks=all_blocks, chain=chain)
        return observe_quoted(self._store, self.simulator(simulator), [name], selection, options)

    def labels(self, simulator: str = "") -> Iterator[Atoms]:
        """Every label as ASE atoms with its energy, forces and stress; its origin in `atoms.info`."""
        role = self.simulator(simulator).role
        for packet in self._store.packets(role):
            batch = self._store.read_batch(packet)
            for label, origin in zip(batch.labels, batch.origins, strict=True):
                yield atoms_of(label, origin)

    def weights(self) -> list[Weights]:
        """The published generations, oldest first."""
        packets = self._store.packets(names.TRAIN)
        return [Weights(p.number, p.digest, p.path, self._store.read_card(p)) for p in packets]

    def simulator(self, name: str = "") -> run_view.SimulatorView:
        """One simulator with its settings, rows and ledger; BadSetting where the name is missing or wrong."""
        found = {simulator.name: simulator for simulator in self.view.simulators}
        if not found:
            raise BadSetting("no simulator of this run has started", str(self.view.root))
        if not name and len(found) == 1:
            return next(iter(found.values()))
        if name not in found:
            asked = f"there is no simulator {name!r}" if name else "the run has several simulators"
            raise BadSetting(asked, str(self.view.root), f"name one of: {', '.join(found)}")
        return found[name]


def atoms_of(label: Label, origin: Origin) -> Atoms:
    """A label as ASE atoms with a single-point calculator (eV, eV/A, eV/A^3)."""
    from ase import Atoms
    from ase.calculators.singlepoint import SinglePointCalculator

    structure = label.structure
    atoms = Atoms(structure.numbers, structure.positions, cell=structure.cell, pbc=structure.pbc)
    stress = None if label.stress is None else label.stress.ravel()[[0, 4, 8, 5, 2, 1]]
    results = {"energy": label.energy, "forces": label.forces} | ({} if stress is None else {"stress": stress})
    atoms.calc = SinglePointCalculator(atoms, **results)
    origins = {name: getattr(origin, name) for name in ("simulator", "walker", "step", "point", "bead", "generation", "accepted")}
    atoms.info |= {**origins, "phase": str(origin.phase), "fingerprint": label.fingerprint}
    atoms.info |= {"charge": label.charge, "multiplicity": label.multiplicity}
    return atoms
