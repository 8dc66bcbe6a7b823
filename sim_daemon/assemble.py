"""From settings to the parts of a simulator: ring, adapter, kind of start-up."""

from __future__ import annotations

import math
from pathlib import Path

from kernels.ring_polymer import RingPolymer, ring_ladder, ring_polymer
from kernels.units import WAVENUMBER_RAD_PER_FS
from protocol import settings
from protocol.channels import base as channels
from protocol.errors import BadSetting
from protocol.settings import Config
from sim_daemon.adapt import CELL_TARGET, STEP_TARGET, Adapter, DualAveraging
from sim_daemon.engines import base as engines
from sim_daemon.ensembles import Npt
from sim_daemon.moves.exchange import temperatures_of
from sim_daemon.moves.explore import LABELLED_BEADS
from sim_daemon.samplers import base as samplers
from sim_daemon.samplers.base import RingSettings
from sim_daemon.system import System

HYDROGEN_PER_CM, OTHERS_PER_CM = 3000.0, 1200.0  # omega_ref of the sampling masses: O-H stretches, else phonons
PHONON_AMU = 16.0  # atoms up to this mass reach the phonon's wavenumber; heavier ones by the root of their mass less
LIGHT_AMU, HYDROGEN_AMU = 4.0, 1.008
STEPS_PER_PERIOD = 22  # first time step; the adapt phase tunes it
LARGEST_FACTOR = 3.0  # of the first step; keeps omega_ref dt far below the stability limit of 2
FIRST_CELL_STEP, SMALLEST_CELL_STEP = 0.1, 0.002  # of the spread of an ideal gas' ln V: a solid's is smaller
FIRST_PRINCIPLES_LENGTH_FS = 20.0  # trajectory when it is auto and first principles are called on the way


def load_config(run: Path, name: str) -> Config:
    """The configuration of a run folder for the simulator `name`; raises BadSetting."""
    plugins = {"engine": engines.load, "sampler": samplers.load, "channel": channels.load}
    config = settings.load(run, plugins, simulator=name)
    check_cheap_engine(config)
    check_estimator(config)
    check_labels(config)
    return config


def check_labels(config: Config) -> None:
    """The labels that adapt waits for must be within its steps: each labels a few beads of a ring. Raises BadSetting."""
    sampler, adapt = config.science.sampler, config.science.phases.adapt
    most = adapt.max_steps * getattr(sampler, "walkers", 1) * min(LABELLED_BEADS, getattr(sampler, "beads", 1)) // 2
    if samplers.learns(sampler) and adapt.labels > most:
        what = f"phases.adapt.labels: phases.adapt.max_steps leaves time for about {most} labels, got {adapt.labels}"
        raise BadSetting(what, str(config.source), "raise max_steps or sampler.walkers, or ask for fewer")


def check_estimator(config: Config) -> None:
    """Two levels need the chain of sl_pihmc at constant volume, and several starts. Raises BadSetting."""
    sampler = config.science.sampler
    if config.science.phases.production.estimator != "two_level":
        return
    if sampler.name != "sl_pihmc" or isinstance(sampler.ensemble, Npt):
        what = "phases.production.estimator: two_level is for sampler sl_pihmc at constant volume"
        raise BadSetting(what, str(config.source), "set estimator: chain, or take that sampler")
    if sampler.ladder is not None:
        what = "phases.production.estimator: two_level samples one temperature, and sampler.ladder asks for several"
        raise BadSetting(what, str(config.source), "leave one of them out")
    if sampler.walkers < 2:
        what = "phases.production.estimator: two_level starts from several structures, and sampler.walkers is 1"
        raise BadSetting(what, str(config.source), "set sampler.walkers to 4")


def check_cheap_engine(config: Config) -> None:
    """A cheap engine must be used where there is one, and be there where it is wanted. Raises BadSetting."""
    wanted = getattr(config.science.sampler, "delayed_acceptance", "") == "cheap_engine"
    if wanted and config.science.cheap_engine is None:
        raise BadSetting(
            "cheap_engine: is missing, and sampler.delayed_acceptance asks for it",
            str(config.source),
            "add a section like engine, e.g. {name: tblite, method: GFN1-xTB}",
        )
    if config.science.cheap_engine is not None and not wanted:
        raise BadSetting(
            "cheap_engine: nothing uses it",
            str(config.source),
            "take it out, or set sampler.delayed_acceptance: cheap_engine",
        )


def highest_wavenumber(system: System) -> float:
    """The fastest vibration to be expected, 1/cm: an O-H stretch, or a phonon, with the lightest atom's mass."""
    lightest = system.masses_amu.min()
    if lightest < LIGHT_AMU:
        return float(HYDROGEN_PER_CM * math.sqrt(HYDROGEN_AMU / lightest))
    return float(OTHERS_PER_CM * min(1.0, math.sqrt(PHONON_AMU / lightest)))


def make_ring(chosen: RingSettings, system: System) -> RingPolymer:
    """The ring polymer of a run; on a ladder of temperatures that of all rungs."""
    wavenumber = getattr(chosen, "mode_wavenumber_per_cm", "auto")  # of samplers that fly trajectories
    if wavenumber == "auto":
        wavenumber = HYDROGEN_PER_CM if system.masses_amu.min() < LIGHT_AMU else OTHERS_PER_CM
    rungs = [ring_polymer(system.masses_amu, kelvin, chosen.beads, float(wavenumber)) for kelvin in temperatures_of(chosen)]
    return rungs[0] if len(rungs) == 1 else ring_ladder(rungs)


def make_adapter(chosen: RingSettings, system: System) -> Adapter:
    """The controller of the adapt phase: the sampler's own, or that of trajectories."""
    module = samplers.load(chosen.name)
    own = getattr(module, "adapter", None)
    if own is not None:
        found: Adapter = own(chosen, system)
        return found
    kind = getattr(module, "adapter_of", lambda _: Adapter)(chosen)
    light = system.masses_amu.min() < LIGHT_AMU
    period_fs = 2 * math.pi / ((HYDROGEN_PER_CM if light else OTHERS_PER_CM) * WAVENUMBER_RAD_PER_FS)
    tune = chosen.timestep_fs == "auto" and chosen.name != "pimd"
    timestep = period_fs / STEPS_PER_PERIOD if chosen.timestep_fs == "auto" else chosen.timestep_fs
    length = None if chosen.trajectory_fs == "auto" else chosen.trajectory_fs
    if length is None and (not chosen.learns or getattr(chosen, "proposal", "") == "multiple_time_step"):
        length = min(FIRST_PRINCIPLES_LENGTH_FS, chosen.trajectory_max_fs)
    cell, longest = _cell_step(chosen, len(system.numbers)), chosen.trajectory_max_fs
    learns, rungs = chosen.learns, len(temperatures_of(chosen))
    adapter: Adapter = kind(timestep, LARGEST_FACTOR * timestep, tune, length, longest, chosen.walkers, learns, cell, rungs)
    if getattr(chosen, "refreshment", None):  # a rejection reverses the momenta that are kept: it must be rare
        adapter.step.target = STEP_TARGET["surrogate"]
    return adapter


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
