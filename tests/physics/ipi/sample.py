"""Path-integral dynamics of a case in i-PI (PILE-L thermostat): python sample.py CASE OUT.npz, in a folder of its own.

Writes beads (T, copies, P, N, 3) A and, by i-PI's own estimators over all copies, kinetic (centroid virial) and potential
(T,) eV.
"""

import sys
from pathlib import Path

import ase
import ase.units
import numpy as np
from ipi.scripting import InteractiveSimulation, simulation_xml
from ipi.utils.softexit import softexit

sys.path.insert(0, str(Path(__file__).parent))
import potentials

BOX_A = 300.0  # never felt


def simulation(name, case):
    """All copies as one system of i-PI, each bead from the same start."""
    start = np.concatenate([case.start_A] * case.copies)
    atoms = ase.Atoms(case.symbols * case.copies, positions=start, cell=np.eye(3) * BOX_A)
    field = (
        f"<ffdirect name='f'><pes>custom</pes><pes_path>{Path(__file__).parent / 'driver.py'}</pes_path>"
        f"<batch_size>{case.beads}</batch_size>"
        f"<parameters>{{case: {name}}}</parameters></ffdirect>"
    )
    motion = (
        "<motion mode='dynamics'><fixcom> False </fixcom><dynamics mode='nvt'>"
        f"<timestep units='femtosecond'> {case.timestep_fs} </timestep>"
        f"<thermostat mode='pile_l'><tau units='femtosecond'> {25 * case.step_fs} </tau></thermostat></dynamics></motion>"
    )
    frames, silent = [atoms] * case.beads, "<output prefix='s'></output>"
    xml = simulation_xml(frames, field, motion, temperature=case.temperature_K, output=silent, safe_stride=10**9)
    # without a seed i-PI takes the time of day
    return InteractiveSimulation(xml.replace("<system>", "<prng><seed>31415</seed></prng>\n<system>", 1))


def main():
    """Thermalise for a tenth of the time, then sample."""
    name, out = sys.argv[1:]
    case = potentials.CASES[name]
    run = simulation(name, case)
    run.run(case.every * (case.samples // 10), write_outputs=False)
    beads, kinetic, potential = [], [], []
    for _ in range(case.samples):
        run.run(case.every, write_outputs=False)
        x = np.array(run.syslist[0].beads.q).reshape(case.beads, case.copies, *case.start_A.shape)
        beads.append(x.transpose(1, 0, 2, 3) * ase.units.Bohr)
        kinetic.append(float(run.properties("kinetic_cv")))
        potential.append(float(run.properties("potential")))
    np.savez(out, beads=np.array(beads), kinetic=np.array(kinetic), potential=np.array(potential))
    softexit.trigger(status="success", message="done")


if __name__ == "__main__":
    main()
