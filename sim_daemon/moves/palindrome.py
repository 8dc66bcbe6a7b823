"""A trajectory with a jump of the cell in its middle: half of the steps, the jump, the other half; one decision at the end.

Run backwards it is the same thing with the inverse jump, so it costs no label of its own and keeps the balance. The jump's
own work is told apart from the integrator's error, because the adapt phase tunes them apart.
"""

from __future__ import annotations

import numpy as np

from kernels.arrays import Array
from kernels.random_numbers import Rng
from kernels.ring_polymer import RingPolymer
from sim_daemon.moves.cell import Barostat, strained
from sim_daemon.moves.trajectory import Driver, Journey, Trajectory, integrate, sane

# Of the steps. At the same loss of acceptance, bold jumps in half of the steps move the volume faster than timid ones in all
# (the mean square change is sigma^2 erfc(sigma/2) for a work of spread sigma), and a step without one keeps the atoms moving.
JUMP_SHARE = 0.5


def draw_strains(barostat: Barostat, walkers: int, step: float, rng: Rng) -> Array:
    """Logarithmic strains (W, 3, 3); NaN for walkers that do not jump in this step."""
    strains = np.full((walkers, 3, 3), np.nan)
    for w in range(walkers):
        generator = rng("cell", w)
        if generator.random() < JUMP_SHARE:
            strains[w] = barostat.draw(generator, step)
    return strains


def travel(
    ring: RingPolymer,
    barostat: Barostat,
    start: Trajectory,
    cells: Array,
    driver: Driver,
    timestep_fs: float,
    steps: Array,
    strains: Array,
) -> Journey:
    """Trajectories of W walkers; one with a strain (W, 3, 3) makes two equal halves, the jump between them.

    cells: (W, 3, 3) A.  steps: (W,), as `halved` makes them.  A walker whose jump would leave the sampled domain is trapped.
    """
    jumps = jumping(strains)

    def leg(at: Trajectory, boxes: Array, count: Array) -> Trajectory:
        def forces(walkers: Array, positions: Array) -> tuple[Array, Array]:
            return driver(walkers, positions, boxes[walkers])[:2]

        return integrate(ring, at, forces, timestep_fs, count)

    middle = leg(start, cells, np.where(jumps, steps // 2, steps))
    jumped, boxes = _jump(ring, barostat, middle, cells, driver, strains)
    end = leg(jumped, boxes, np.where(jumps, steps // 2, 0))
    extra = np.array([barostat.cost(ring.beta, old, new) for old, new in zip(cells, boxes, strict=True)])
    with np.errstate(invalid="ignore"):  # infinity - infinity where first principles refused a bead
        work = extra + np.mean(jumped.energies, axis=1) - np.mean(middle.energies, axis=1)
    tried = jumps & ~middle.trapped
    return Journey(end, steps, boxes, extra, np.where(tried, np.where(jumped.trapped, np.inf, work), np.nan))


def jumping(strains: Array) -> Array:
    """(W,) bool: which walkers jump."""
    return np.asarray(~np.isnan(strains[:, 0, 0]))


def halved(steps: Array, strains: Array) -> Array:
    """Time steps (W,), even where there is a jump."""
    return np.where(jumping(strains), 2 * np.maximum(1, steps // 2), steps)


def _jump(
    ring: RingPolymer, barostat: Barostat, at: Trajectory, cells: Array, driver: Driver, strains: Array
) -> tuple[Trajectory, Array]:
    """The walkers in their new cells (W, 3, 3) A, with the driver's values there; where a jump cannot be, trapped before it."""
    positions, momenta, trapped, boxes = at.positions.copy(), at.momenta.copy(), at.trapped.copy(), cells.copy()
    energies, forces = at.energies.copy(), at.forces.copy()
    tried = np.flatnonzero(jumping(strains) & ~trapped)
    trapped[tried] = True
    changes = {int(w): strained(cells[w], strains[w]) for w in tried}
    there = np.array([w for w, change in changes.items() if barostat.allows(change.cell)], dtype=int)
    if not len(there):
        return at._replace(trapped=trapped), cells
    beads = np.array([ring.to_beads(changes[w].moved(ring.to_modes(positions[w]))) for w in there])
    values = driver(there, beads, np.array([changes[w].cell for w in there]))
    for a in np.flatnonzero(sane(values.energies, values.forces)):
        w = int(there[a])
        boxes[w], positions[w], momenta[w] = changes[w].cell, beads[a], momenta[w] @ changes[w].rest
        energies[w], forces[w], trapped[w] = values.energies[a], values.forces[a], False
    return Trajectory(positions, momenta, energies, forces, trapped), boxes
