"""Time of a path-integral step without forces: python -m benchmarks.path_integral [--quick] [--peers PYTHON].

32 beads of 96 atoms on one core, with forces that cost next to nothing: zero, or harmonic. Ours: steps of a trajectory at
constant energy (NVE); and whole moves of hybrid Monte Carlo, our way to constant temperature (NVT): momenta drawn anew, the
trajectory, the energies of the ring before and after, the decision; per step of the trajectory, for trajectories of a usual
length and for those of a single step, the dearest there are. Beside them i-PI in process, constant energy and PILE-L, in the
same run. Minimum of repeats. Prints a table and, as the last line, one JSON object.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from functools import partial

import numpy as np

from benchmarks import peer
from kernels.arrays import Array
from kernels.ring_polymer import RingPolymer, ring_polymer
from sim_daemon.moves.accept import accept
from sim_daemon.moves.trajectory import Forces, Trajectory, integrate

TIMESTEP_FS, TEMPERATURE_K, WAVENUMBER_PER_CM = 0.5, 300.0, 1000.0
STEPS, MOVE_STEPS = 1000, 40  # of the trajectory at constant energy; of one move: 20 fs
STIFFNESS_EV_PER_A2 = 0.05
BOX_A = 50.0


def providers(shape: tuple[int, ...]) -> dict[str, Forces]:
    """Energies and forces that cost nothing, and those of a harmonic well for every bead; shape: (1, P, N, 3)."""
    nothing, none = np.zeros(shape[:2]), np.zeros(shape)

    def harmonic(_: Array, positions: Array) -> tuple[Array, Array]:
        forces = -STIFFNESS_EV_PER_A2 * positions
        return -0.5 * np.einsum("apni,apni->ap", forces, positions), forces

    return {"zero": lambda _, positions: (nothing, none), "harmonic": harmonic}


def start(ring: RingPolymer, positions: Array, forces: Forces, generator: np.random.Generator) -> Trajectory:
    """The beginning of a trajectory with momenta drawn anew.  positions: (1, P, N, 3) A."""
    energies, gradient = forces(np.zeros(1, int), positions)
    return Trajectory(positions, ring.draw_momenta(generator)[None], energies, gradient, np.zeros(1, bool))


def motion_energy(ring: RingPolymer, at: Trajectory) -> float:
    """Kinetic energy, springs and the bead average of the potential, eV."""
    return ring.kinetic(at.momenta[0]) + ring.spring_energy(ring.to_modes(at.positions[0])) + float(np.mean(at.energies[0]))


def move(ring: RingPolymer, positions: Array, forces: Forces, generator: np.random.Generator, steps: int) -> Array:
    """One move of hybrid Monte Carlo; (1, P, N, 3) A -> the same."""
    begin = start(ring, positions, forces, generator)
    end = integrate(ring, begin, forces, TIMESTEP_FS, np.array([steps]))
    log_ratio = ring.beta * (motion_energy(ring, begin) - motion_energy(ring, end))
    return end.positions if accept(log_ratio, generator) else begin.positions


def ms_per_step(run: Callable[[], object], steps: int, seconds: float) -> float:
    """Shortest time of a call, divided by its steps."""
    run()
    end, best = time.perf_counter() + seconds, np.inf
    while time.perf_counter() < end:
        began = time.perf_counter()
        run()
        best = min(best, time.perf_counter() - began)
    return round(1e3 * best / steps, 4)


def ours(ring: RingPolymer, positions: Array, seconds: float) -> dict[str, float]:
    """Milliseconds of a step with each provider."""
    told = {}
    for name, forces in providers(positions.shape).items():
        generator = np.random.default_rng(1)
        begin = start(ring, positions, forces, generator)
        free = partial(integrate, ring, begin, forces, TIMESTEP_FS, np.array([STEPS]))
        told[f"NVE, {name}"] = ms_per_step(free, STEPS, seconds)
        for length in (MOVE_STEPS, 1):
            one = partial(move, ring, positions, forces, generator, length)
            told[f"NVT, {name}, moves of {length}"] = ms_per_step(one, length, seconds)
    return told


def main() -> None:
    """Print the table and the JSON line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="4 beads of 12 atoms, a twentieth of a second for each figure")
    parser.add_argument("--peers", metavar="PYTHON", help="interpreter of the peers' environment")
    asked = parser.parse_args()
    peer.on_one_core()
    beads, atoms, seconds = (4, 12, 0.05) if asked.quick else (32, 96, 3.0)
    masses = np.tile([15.999, 1.008, 1.008], atoms // 3)
    ring = ring_polymer(masses, TEMPERATURE_K, beads, WAVENUMBER_PER_CM)
    positions = np.random.default_rng(2).normal(0, 1, (1, atoms, 3)) + ring.spread(np.random.default_rng(3), WAVENUMBER_PER_CM)
    where = peer.machine()
    print(f"{where['processor']}, one core, load {where['load']}; {beads} beads of {atoms} atoms, ms per step without forces")
    told = ours(ring, positions[None], seconds)
    for name, ms in told.items():
        print(f"ours, {name:32s} {ms:8.4f}")
    theirs = {}
    if asked.peers is None:
        print(peer.ABSENT)
    else:
        numbers = np.tile([8, 1, 1], atoms // 3)
        job = {"steps": 100, "repeats": 2 if asked.quick else 5, "timestep_fs": TIMESTEP_FS, "temperature_K": TEMPERATURE_K}
        arrays = {"positions": positions, "numbers": numbers, "cell": np.eye(3) * BOX_A}
        theirs = peer.ask(asked.peers, "ipi_step", job, arrays)
        compare(told, theirs)
    print(json.dumps({"machine": where, "beads": beads, "atoms": atoms, "ours_ms": told, "ipi": theirs}))


def compare(told: dict[str, float], theirs: dict[str, object]) -> None:
    """Print i-PI's figures and how many times ours they are."""
    if "failed" in theirs:
        print(f"not timed: {theirs['failed']}")
        return
    ms = theirs["ms"]
    assert isinstance(ms, dict)
    for ensemble in ("NVE", "NVT"):
        for name, own in (("zero", "dummy"), ("harmonic", "harmonic")):
            peers_ms = ms[f"{ensemble.lower()}, {own}"]
            times = {key: round(peers_ms / value, 1) for key, value in told.items() if key.startswith(f"{ensemble}, {name}")}
            print(f"i-PI {theirs['version']}, {ensemble}, {name:20s} {peers_ms:8.4f}   times ours: {times}")


if __name__ == "__main__":
    main()
