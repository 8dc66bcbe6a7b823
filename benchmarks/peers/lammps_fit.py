"""A linear SNAP potential by least squares on energies and forces (LAMMPS's compute snap), and its errors on frames not seen.

Rows are energies per atom times ENERGY_WEIGHT, and components of forces. The species' constants take up the atoms' energies.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.peers import job
from benchmarks.peers.lammps_start import RFAC0, Spectrum, System

ENERGY_WEIGHT = 30.0  # A: an error of 1 meV/atom counts as one of 30 meV/A


def rows(positions: Any, numbers: Any, cell: Any, species: Any, spectrum: Spectrum) -> tuple[Any, Any]:
    """What the coefficients of one frame multiply: for the energy (C,) and for the forces (N, 3, C), C = S (1 + terms)."""
    system = System(positions, numbers, cell, species, np.ones(len(species)), 0.3)
    radii, weights = " ".join(["0.5"] * len(species)), " ".join(map(str, spectrum.weights))
    settings = f"{spectrum.cutoff_A} {RFAC0} {spectrum.twojmax} {radii} {weights} rmin0 0 bzeroflag 1"
    system.lmp.commands_list(
        [f"pair_style zero {spectrum.cutoff_A}", "pair_coeff * *", f"compute s all snap {settings}", "run 0 post no"]
    )
    table = np.array(system.lmp.numpy.extract_compute("s", 0, 2))[:, :-1].reshape(-1, len(species), spectrum.length)
    system.lmp.close()
    counts = np.array([np.sum(numbers == number) for number in species])
    full = np.concatenate([np.zeros((len(table), len(species), 1)), table], axis=2)
    full[0, :, 0] = counts
    flat = full.reshape(len(table), -1)
    forces = flat[1 : 1 + 3 * len(numbers)].reshape(len(numbers), 3, -1)
    back = np.stack([system.prism.vector_to_ase(forces[:, :, c]) for c in range(forces.shape[2])], axis=2)
    return flat[0], back


def errors(frames: list[dict[str, Any]], coefficients: Any) -> dict[str, float]:
    """Root mean squares: energies in meV/atom, forces in eV/A per component."""
    energy = [(frame["rows"][0] @ coefficients - frame["energy"]) / len(frame["forces"]) for frame in frames]
    force = np.concatenate([frame["rows"][1] @ coefficients - frame["forces"] for frame in frames])
    return {
        "energy_meV_per_atom": round(1e3 * float(np.sqrt(np.mean(np.square(energy)))), 2),
        "force_eV_per_A": round(float(np.sqrt(np.mean(force**2))), 4),
    }


def disagreement(frame: dict[str, Any], species: Any, spectrum: Spectrum, coefficients: Any, folder: Path) -> float:
    """Largest difference, eV/A, of a frame's forces in pair_style snap from those that the errors are made of."""
    system = System(frame["positions"], frame["numbers"], frame["cell"], species, np.ones(len(species)), 0.3)
    system.with_snap(spectrum.write(folder, coefficients.reshape(len(species), -1)), len(species))
    system.lmp.command("run 0 post no")
    forces = system.prism.vector_to_ase(system.gather("f"))
    return float(np.abs(forces - frame["rows"][1] @ coefficients).max())


def main() -> None:
    """Fit on the first frames, judge by the others."""
    folder, asked, arrays = job.read()
    spectrum, species = Spectrum(asked["twojmax"], asked["cutoff_A"], tuple(asked["weights"])), arrays["species"]
    ends = np.cumsum(arrays["sizes"])
    frames = []
    for place, end in enumerate(ends):
        mine = slice(end - arrays["sizes"][place], end)
        frame = {"positions": arrays["positions"][mine], "numbers": arrays["numbers"][mine], "cell": arrays["cells"][place]}
        frame["rows"] = rows(**frame, species=species, spectrum=spectrum)
        frames.append(frame | {"energy": arrays["energies"][place], "forces": arrays["forces"][mine]})
    training, test = frames[: asked["training"]], frames[asked["training"] :]
    left, right = [], []
    for frame in training:
        energy, forces = frame["rows"]
        weight = ENERGY_WEIGHT / len(forces)
        left += [weight * energy[None], forces.reshape(-1, len(energy))]
        right += [[weight * frame["energy"]], frame["forces"].ravel()]
    found = np.linalg.lstsq(np.concatenate(left), np.concatenate(right), rcond=1e-12)[0]
    job.answer(
        coefficients=found.reshape(len(species), -1).tolist(),
        training=errors(training, found),
        test=errors(test, found),
        disagreement_eV_per_A=disagreement(test[0], species, spectrum, found, folder),
    )


if __name__ == "__main__":
    main()
