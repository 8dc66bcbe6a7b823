"""Milliseconds of one step of i-PI in this process, with a force provider that costs nothing: NVE, and NVT with PILE-L.

No output is written, and no socket is there: the provider is i-PI's own "dummy" (zero forces) or "harmonic" in direct mode,
asked for all beads at once or one by one, whichever is faster.
"""

from __future__ import annotations

import os
import time

import ase
import ipi
from ipi.scripting import InteractiveSimulation, simulation_xml

from benchmarks.peers import job

PROVIDERS = {"dummy": "", "harmonic": "<parameters>{k1: 0.001}</parameters>"}
THERMOSTATS = {"nve": "", "nvt": "<thermostat mode='pile_l'><tau units='femtosecond'> 100 </tau></thermostat>"}


def simulation(frames: list[ase.Atoms], ensemble: str, pes: str, batch: int, asked: dict[str, float]) -> InteractiveSimulation:
    """A ring polymer at 300 K."""
    field = f"<ffdirect name='f'><pes>{pes}</pes><batch_size>{batch}</batch_size>{PROVIDERS[pes]}</ffdirect>"
    motion = (
        f"<motion mode='dynamics'><fixcom> False </fixcom><dynamics mode='{ensemble}'>"
        f"<timestep units='femtosecond'> {asked['timestep_fs']} </timestep>{THERMOSTATS[ensemble]}</dynamics></motion>"
    )
    heat, silent = asked["temperature_K"], "<output prefix='s'></output>"
    xml = simulation_xml(frames, field, motion, temperature=heat, output=silent, safe_stride=10**9)
    return InteractiveSimulation(xml)


def main() -> None:
    """Shortest of some repeats, for each ensemble and provider."""
    folder, asked, arrays = job.read()
    os.chdir(folder)  # i-PI writes a RESTART file where it stands
    frames = [ase.Atoms(numbers=arrays["numbers"], positions=x, cell=arrays["cell"]) for x in arrays["positions"]]
    told: dict[str, float] = {}
    for ensemble in THERMOSTATS:
        for pes in PROVIDERS:
            best = float("inf")
            for batch in (1, len(frames)):
                run = simulation(frames, ensemble, pes, batch, asked)
                run.run(2, write_outputs=False)
                for _ in range(int(asked["repeats"])):
                    began = time.perf_counter()
                    run.run(int(asked["steps"]), write_outputs=False)
                    best = min(best, time.perf_counter() - began)
            told[f"{ensemble}, {pes}"] = round(1e3 * best / asked["steps"], 4)
    job.answer(version=ipi.__version__, ms=told)


if __name__ == "__main__":
    main()
