"""Molecular dynamics beside other codes: python -m benchmarks.dynamics [--quick] [--peers PYTHON].

One core; velocity Verlet by the integrator of the simulator, forces included, neighbour lists with a skin. The cases: 100 steps
of 1 fs of Li10GeP2S12, 21,600 atoms (--structure, or lgps/lgps50.extxyz of RENKEI_REFERENCE_DATA, repeated 6 x 6 x 12; else the
alloy of benchmarks/kernel.py), and of 0.5 fs of a ring of 32 beads of 96 atoms. Ours is a network on 50 radial and 30 angular
functions with two weight sets, 6 A. Beside it SNAP in LAMMPS and MACE on the same structure, at the same temperature. All have
random weights; ours and SNAP's make forces of one size. Then, where there are labels (--labels, or tio2-aenet-pytorch of the
reference data), errors beside the speed (benchmarks/dynamics_errors.py). Times are the process's processor time, which other jobs
on the machine disturb least. Prints tables and, as the last line, one JSON object.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import dynamics_errors, peer
from benchmarks.dynamics_loop import Workload, forces_of, ms_per_step, no_forces, snap, velocities
from benchmarks.kernel import Case, alloy
from kernels import native
from kernels.descriptors.base import Chebyshev
from kernels.network import Networks, networks
from sim_daemon.system import read_atoms

STEPS, FORCE_EV_PER_A = 100, 0.1
REPEATS = (6, 6, 12)
SPECIES, SNAP_WEIGHTS = (3, 32, 15, 16), (1.0, 0.8, 0.6, 0.5)  # of the alloy
SNAP_SECONDS = 20.0  # of one run of LAMMPS; not all of the steps if they take longer
MACE_STEPS, MACE_CUTOFF_A, MACE_NEIGHBORS = 3, 5.0, 27.0


def crystal(file: Path, repeats: tuple[int, int, int]) -> Case:
    """A structure repeated; the descriptor of the alloy.  Raises BadSetting where the file cannot be read."""
    atoms = read_atoms(file).repeat(repeats)
    unknown = sorted({int(number) for number in atoms.numbers} - set(SPECIES))
    if unknown:
        raise SystemExit(f"{file}: atomic numbers {unknown}; this benchmark knows Li, Ge, P and S")
    name = f"{file.stem}, {len(atoms):,} atoms"
    descriptor = Chebyshev(SPECIES, "species_weighted", 50, 6.0, 30, 6.0)
    return Case(name, atoms.positions[None], atoms.numbers, np.array(atoms.cell.array), atoms.pbc, descriptor, (32, 32))


def workloads(quick: bool, structure: Path | None) -> list[Workload]:
    """The cases."""
    small = alloy("alloy, 96 atoms", (4, 4, 6), 2.57)
    ring = Workload(small, small, 32, 0.5, STEPS)
    if quick:
        piece = alloy("alloy, 96 atoms", (4, 4, 6), 2.62) if structure is None else crystal(structure, (1, 1, 1))
        return [Workload(piece, piece, 1, 1.0, 5), ring._replace(beads=2, steps=5)]
    if structure is None:
        return [Workload(alloy("alloy, 21,600 atoms", (30, 30, 24), 2.62), alloy("", (7, 7, 8), 2.62), 1, 1.0, STEPS), ring]
    return [Workload(crystal(structure, REPEATS), crystal(structure, (2, 2, 2)), 1, 1.0, STEPS), ring]


def random_networks(case: Case, scale: float) -> Networks:
    """Random weights; features divided by what they may sum to, outputs times `scale`."""
    rng, species = np.random.default_rng(1), len(case.descriptor.species)
    sizes = [case.descriptor.length, *case.hidden, 1]
    stacks = []
    for _ in range(species):
        stack = [(rng.normal(size=(out, into)) / np.sqrt(into), np.zeros(out)) for into, out in itertools.pairwise(sizes)]
        stacks.append((*stack[:-1], (scale * stack[-1][0], stack[-1][1])))
    zeros = np.zeros((species, case.descriptor.length))
    return networks(tuple(stacks), "tanh", zeros, zeros + 0.02)


def loops_for(case: Case, single: bool) -> native.Loops:
    """The compiled kernels, with forces of the asked size."""
    trial = native.Loops(case.descriptor, random_networks(case, 1.0), single)
    size = np.sqrt(np.mean(trial.energy(case.positions, case.numbers, case.cell, case.pbc)[2] ** 2))
    return native.Loops(case.descriptor, random_networks(case, FORCE_EV_PER_A / float(size)), single)


def ours(work: Workload) -> dict[str, float]:
    """Milliseconds of a step in both precisions, and of one without forces."""
    told = {}
    for single in (True, False):
        forces = forces_of(loops_for(work.case, single), work.case, 1.0)
        told["float32" if single else "float64"] = ms_per_step(work, forces)
    return told | {"without forces": ms_per_step(work, no_forces)}


def mace(python: str, work: Workload) -> dict[str, Any]:
    """mace-torch on a part of the box, times the atoms that are left out; a ring's beads one after another."""
    part = work.part
    job = {"cutoff_A": MACE_CUTOFF_A, "neighbors": MACE_NEIGHBORS, "timestep_fs": work.timestep_fs, "steps": MACE_STEPS}
    arrays = {"positions": part.positions[0], "numbers": part.numbers, "cell": part.cell, "velocities": velocities(part)}
    told = peer.ask(python, "mace_md", job, arrays)
    if "failed" in told:
        return told
    factor = work.beads * len(work.case.numbers) / len(part.numbers)
    return told | {"ms_per_step": {name: round(factor * ms, 1) for name, ms in told["ms_per_step"].items()}}


def peers(python: str, work: Workload, seconds: float) -> dict[str, dict[str, Any]]:
    """Their figures by name."""
    model = {"cutoff_A": 6.0, "weights": SNAP_WEIGHTS, "force_eV_per_A": FORCE_EV_PER_A}
    told = {f"LAMMPS, SNAP 2J = {n}": snap(python, work, model | {"twojmax": n}, seconds, None) for n in (6, 8)}
    return told | {"MACE 64x0e, 2 layers, 5 A": mace(python, work)}


def show(work: Workload, own: dict[str, float], theirs: dict[str, dict[str, Any]]) -> None:
    """Print one case."""
    count = work.beads * len(work.case.numbers)
    print(f"{work.case.name}, {work.beads} bead{'s' * (work.beads > 1)}: {work.steps} steps of {work.timestep_fs} fs")
    rows = {f"ours, {name}": ms for name, ms in own.items()}
    for name, told in theirs.items():
        if "failed" in told:
            print(f"  {name}: not timed: {told['failed']}")
        else:
            rows |= {f"{name}, {precision}, {told['steps']} steps": ms for precision, ms in told["ms_per_step"].items()}
    for name, ms in rows.items():
        ratio = f"{ms / own['float64']:8.2f} x ours in float64" if ms > own["without forces"] else ""
        print(f"  {name:48s} {1e3 / ms:10.4g} steps/s {1e3 * ms / count:10.3f} us/atom {ratio}")


def reference(name: str) -> Path | None:
    """A file or folder of the reference data, where there is one."""
    root = os.environ.get("RENKEI_REFERENCE_DATA")
    path = Path(root) / name if root else None
    return path if path is not None and path.exists() else None


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="96 atoms, 2 beads, 5 steps, a few seconds of training")
    parser.add_argument("--peers", metavar="PYTHON", help="interpreter of the peers' environment")
    parser.add_argument("--structure", type=Path, metavar="FILE", default=reference("lgps/lgps50.extxyz"), help="of Li, Ge, P, S")
    parser.add_argument(
        "--labels",
        type=Path,
        metavar="FOLDER",
        default=reference("tio2-aenet-pytorch"),
        help="with train.extxyz.gz and test.extxyz.gz",
    )
    return parser.parse_args()


def main() -> None:
    """Print the tables and the JSON line."""
    asked = arguments()
    peer.on_one_core()
    where = peer.machine()
    print(f"{where['processor']}, one core, load {where['load']}, kernels: {native.backend()}")
    if native.library() is None:
        raise SystemExit("not timed: the compiled kernels are not here; install with a C++ compiler")
    told: dict[str, Any] = {"machine": where, "kernels": native.backend()}
    if asked.peers is None:
        print(peer.ABSENT)
    for work in workloads(asked.quick, asked.structure):
        own = ours(work)
        theirs = peers(asked.peers, work, 1.0 if asked.quick else SNAP_SECONDS) if asked.peers else {}
        show(work, own, theirs)
        told[f"{work.case.name}, {work.beads} beads"] = {"ours_ms": own, "peers": theirs}
    if asked.labels is None:
        print("errors are left out: there is no --labels FOLDER and no RENKEI_REFERENCE_DATA")
    else:
        told["errors"] = dynamics_errors.compared(asked.labels, asked.peers, asked.quick)
    print(json.dumps(told))


if __name__ == "__main__":
    main()
