"""What the freeze criteria are for: python -m benchmarks.sticky_states [--quick].

A chain that enters a region where the model is wrong sits there, and its block must not be quoted. Ethanol and the water
tetramer, several seeds each, with the criteria of the adapt phase and without them: frozen after a number of steps, whatever
the trials say. Told of every production block: acceptance, <exp(-beta dH)> with its error and how many of these it is from 1,
the longest run of rejections with the bound of a sound chain, and the verdict of the audit (of the last block).
Runs are ordinary run folders under --into; the same command goes on where it was stopped.
Prints a table and, as the last line, one JSON object.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import ase.build
import ase.io

from benchmarks.runs import bring_to_its_end
from protocol.store import Store
from renkei import audit, run_view
from renkei.analysis import ledger, thermo, verdict
from renkei.analysis.ledger import decided, in_phase
from renkei.run_view import SimulatorView

CONFIG = Path(__file__).parents[1] / "configs/water-tetramer.yaml"
SYSTEMS = ("ethanol", "water-tetramer")
COMMON = ("phases.production.steps=500", "phases.production.max_blocks=1")
VARIANTS: Mapping[str, tuple[str, ...]] = {"with": (), "without": ("phases.adapt.max_steps=150",)}
QUICK = ("sampler.beads=2", "phases.adapt.max_steps=20", "phases.production.steps=15")


class Told(NamedTuple):
    """One production block."""

    adapt_steps: int
    acceptance: float
    mean: float  # of exp(-beta dH)
    stderr: float
    longest: int  # rejections in a row
    bound: int  # of them
    verdict: str

    @property
    def deviation(self) -> float:
        """Standard errors from 1."""
        return (self.mean - 1) / self.stderr


def _structure(folder: Path, system: str) -> tuple[str, ...]:
    """What else differs from the tetramer's configuration."""
    if system == "water-tetramer":
        return ()
    path = folder.parent / f"{system}.xyz"
    path.parent.mkdir(parents=True, exist_ok=True)
    ase.io.write(path, ase.build.molecule("CH3CH2OH"))
    return f"system.structure={path.resolve()}", "system.restraint=null"


def tell(store: Store, simulator: SimulatorView) -> list[Told]:
    """Every full block, with the verdict on the last one."""
    blocks = ledger.production_blocks(simulator.ledger)
    judged = audit.examine(store, simulator).verdict
    adapt = len(in_phase(simulator.ledger, "adapt"))
    found = []
    for block in verdict.full_blocks(blocks, simulator.rows).values():
        rows = decided(block)
        mean = thermo.exp_minus_beta_dH(rows)
        found.append(Told(adapt, thermo.acceptance(rows).total, mean.mean, mean.stderr, *thermo.rejections(rows), judged))
    return found


def main() -> None:
    """Run what is missing, then tell."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="one seed, few steps")
    parser.add_argument("--system", action="append", choices=SYSTEMS, help="default: all")
    parser.add_argument("--variant", action="append", choices=sorted(VARIANTS), help="default: all")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--into", type=Path, default=Path("results/sticky_states"))
    given = parser.parse_args()
    figures: dict[str, list[Told]] = {}
    for system in given.system or SYSTEMS:
        for variant in given.variant or VARIANTS:
            for seed in range(1, (1 if given.quick else given.seeds) + 1):
                folder = given.into / f"{system}-{variant}-{seed}{'-quick' if given.quick else ''}"
                own = (*COMMON, *VARIANTS[variant], *(QUICK if given.quick else ()), *_structure(folder, system), f"seed={seed}")
                bring_to_its_end(folder, CONFIG, own)
                [simulator] = run_view.read(folder).simulators
                for told in tell(Store(folder), simulator):
                    figures.setdefault(f"{system}/{variant}", []).append(told)
                    print(_line(system, variant, seed, told), flush=True)
    told_of = {name: [{**one._asdict(), "deviation": one.deviation} for one in found] for name, found in figures.items()}
    print(json.dumps({"benchmark": "sticky_states", "quick": given.quick, "blocks": told_of}))


def _line(system: str, variant: str, seed: int, told: Told) -> str:
    return (
        f"{system:15s} {variant:8s} seed {seed}: {told.adapt_steps:5d} adapt steps, acceptance {told.acceptance:.2f}, "
        f"<exp(-beta dH)> {told.mean:.3f} +- {told.stderr:.3f} ({told.deviation:+.1f}), "
        f"longest rejection run {told.longest} ({told.bound}), {told.verdict}"
    )


if __name__ == "__main__":
    main()
