"""From settings to the parts of a simulator: ring, adapter, kind of start-up."""

from __future__ import annotations

import math
from pathlib import Path

from kernels.ring_polymer import RingPolymer, ring_polymer
from kernels.units import WAVENUMBER_RAD_PER_FS
from protocol import settings
from protocol.channels import base as channels
from protocol.settings import Config
from sim_daemon.adapt import CELL_TARGET, Adapter, DualAveraging
from sim_daemon.engines import base as engines
from sim_daemon.ensembles import Npt
from sim_daemon.samplers import base as samplers
from sim_daemon.samplers.base import RingSettings
from sim_daemon.system import System

HYDROGEN_PER_CM, OTHERS_PER_CM = 3000.0, 1200.0  # omega_ref of the sampling masses: O-H stretches, else phonons
LIGHT_AMU = 4.0
STEPS_PER_PERIOD = 22  # first time step; the adapt phase tunes it
LARGEST_FACTOR = 3.0  # of the first step; keeps omega_ref dt far below the stability limit of 2
FIRST_CELL_STEP, SMALLEST_CELL_STEP = 0.1, 0.002  # of the spread of an ideal gas' ln V: a solid's is smaller
FIRST_PRINCIPLES_LENGTH_FS = 20.0  # trajectory when it is auto and first principles drive it


def load_config(run: Path, name: str) -> Config:
    """The configuration of a run folder for the simulator `name`; raises BadSetting."""
    plugins = {"engine": engines.load, "sampler": samplers.load, "channel": channels.load}
    return settings.load(run, plugins, simulator=name)


def make_ring(chosen: RingSettings, system: System) -> RingPolymer:
    """The ring polymer of a run."""
    wavenumber = getattr(chosen, "mode_wavenumber_per_cm", "auto")  # of samplers that fly trajectories
    if wavenumber == "auto":
        wavenumber = HYDROGEN_PER_CM if system.masses_amu.min() < LIGHT_AMU else OTHERS_PER_CM
    return ring_polymer(system.masses_amu, chosen.ensemble.temperature_K, chosen.beads, float(wavenumber))


def make_adapter(chosen: RingSettings, system: System) -> Adapter:
    """The controller of the adapt phase: the sampler's own, or that of trajectories."""
    own = getattr(samplers.load(chosen.name), "adapter", None)
    if own is not None:
        found: Adapter = own(chosen, system)
        return found
    light = system.masses_amu.min() < LIGHT_AMU
    period_fs = 2 * math.pi / ((HYDROGEN_PER_CM if light else OTHERS_PER_CM) * WAVENUMBER_RAD_PER_FS)
    tune = chosen.timestep_fs == "auto" and chosen.name != "pimd"
    timestep = period_fs / STEPS_PER_PERIOD if chosen.timestep_fs == "auto" else chosen.timestep_fs
    learns = chosen.name not in ("pihmc", "pimd")
    length = None if chosen.trajectory_fs == "auto" else chosen.trajectory_fs
    if length is None and not learns:
        length = min(FIRST_PRINCIPLES_LENGTH_FS, chosen.trajectory_max_fs)
    cell = _cell_step(chosen, len(system.numbers))
    return Adapter(timestep, LARGEST_FACTOR * timestep, tune, length, chosen.trajectory_max_fs, chosen.walkers, learns, cell)


def _cell_step(chosen: RingSettings, atoms: int) -> DualAveraging | float:
    """The step of the cell's jumps: tuned, given, or 0 where the cell does not jump."""
    ensemble = chosen.ensemble
    if not isinstance(ensemble, Npt) or ensemble.barostat != "moves":
        return 0.0
    if ensemble.cell_step != "auto":
        return ensemble.cell_step
    widest = 1 / math.sqrt(atoms + 1)  # of ln V of an ideal gas: nothing is softer
    return DualAveraging(FIRST_CELL_STEP * widest, 4 * widest, CELL_TARGET, SMALLEST_CELL_STEP * widest)


def startup_kind(chosen: RingSettings, system: System) -> str:
    """harmonic for crystals and single molecules, trajectories for clusters of several."""
    if chosen.startup != "auto":
        return chosen.startup
    return "trajectories" if system.several_molecules else "harmonic"
