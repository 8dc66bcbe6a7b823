"""A batch of labels <-> the bytes of an HDF5 file; every size, shape and number is checked on the way in.

Layout (L labels, N atoms): numbers (N,), pbc (3,), positions (L, N, 3) A, cell (L, 3, 3) A, energy (L,) eV, forces
(L, N, 3) eV/A, stress (L, 3, 3) eV/A^3 where the engine has one, origin/{walker, step, point, bead, generation, accepted, phase,
ring} (L,); attributes: kind, schema, charge, multiplicity, fingerprint, simulator, phases, units.
"""

from __future__ import annotations

from typing import Any

import h5py
import numpy as np

from protocol import hdf5
from protocol.errors import ProtocolError, Torn
from protocol.records import Array, Batch, Label, Origin, Phase, Structure

KIND, SCHEMA = "renkei-batch", 1
INTEGERS = ("walker", "step", "point", "bead", "generation", "ring")
PHASES = tuple(Phase)
UNITS = "eV, Angstrom, eV/Angstrom, eV/Angstrom^3 (tension positive)"


def dump(batch: Batch) -> bytes:
    """HDF5 bytes of a batch; the same batch gives the same bytes. ProtocolError if its labels are not of one system."""
    first = _one_system(batch)
    structures = [label.structure for label in batch.labels]

    def write(file: h5py.File) -> None:
        file.attrs["kind"], file.attrs["schema"], file.attrs["units"] = KIND, SCHEMA, UNITS
        file.attrs["charge"], file.attrs["multiplicity"] = first.charge, first.multiplicity
        file.attrs["fingerprint"], file.attrs["simulator"] = first.fingerprint, batch.origins[0].simulator
        file.attrs["phases"] = " ".join(PHASES)
        file["numbers"] = np.asarray(first.structure.numbers, np.int64)
        file["pbc"] = np.asarray(first.structure.pbc, bool)
        file["positions"] = _stack([s.positions for s in structures])
        file["cell"] = _stack([s.cell for s in structures])
        file["energy"] = _stack([label.energy for label in batch.labels])
        file["forces"] = _stack([label.forces for label in batch.labels])
        if first.stress is not None:
            file["stress"] = _stack([label.stress for label in batch.labels])
        hdf5.group(file, "origin")
        for name in INTEGERS:
            file[f"origin/{name}"] = np.array([getattr(origin, name) for origin in batch.origins], np.int64)
        file["origin/accepted"] = np.array([origin.accepted for origin in batch.origins], bool)
        file["origin/phase"] = np.array([PHASES.index(origin.phase) for origin in batch.origins], np.int64)

    return hdf5.image(write)


def load(data: bytes) -> Batch:
    """The batch in `data`; Torn if a size, a shape or a number is not as it must be; VersionClash for another schema."""
    with hdf5.opened(data, "batch") as file:
        hdf5.check_schema(file, KIND, SCHEMA)
        labels = _labels(file)
        return Batch(labels, _origins(file, len(labels)))


def _labels(file: h5py.File) -> tuple[Label, ...]:
    positions = hdf5.finite(file, "positions", (None, None, 3))
    count, atoms, _ = positions.shape
    if count == 0 or atoms == 0:
        raise Torn("no labels in it")
    numbers = hdf5.array(file, "numbers", (atoms,), "iu").astype(np.int64)
    if numbers.min() < 1 or numbers.max() > 118:
        raise Torn("numbers: not atomic numbers")
    pbc = hdf5.array(file, "pbc", (3,), "b")
    cell = hdf5.finite(file, "cell", (count, 3, 3))
    energy = hdf5.finite(file, "energy", (count,))
    forces = hdf5.finite(file, "forces", (count, atoms, 3))
    stress = hdf5.finite(file, "stress", (count, 3, 3)) if "stress" in file else None
    charge, multiplicity = int(hdf5.attribute(file, "charge")), int(hdf5.attribute(file, "multiplicity"))
    fingerprint = hdf5.text(hdf5.attribute(file, "fingerprint"))
    return tuple(
        Label(
            Structure(positions[i], numbers, cell[i], pbc),
            float(energy[i]),
            forces[i],
            None if stress is None else stress[i],
            charge,
            multiplicity,
            fingerprint,
        )
        for i in range(count)
    )


def _origins(file: h5py.File, count: int) -> tuple[Origin, ...]:
    columns = {name: hdf5.array(file, f"origin/{name}", (count,), "iu").tolist() for name in INTEGERS}
    accepted = hdf5.array(file, "origin/accepted", (count,), "b").tolist()
    phase = hdf5.array(file, "origin/phase", (count,), "iu").tolist()
    phases = [Phase(name) for name in hdf5.text(hdf5.attribute(file, "phases")).split()]
    if not all(0 <= index < len(phases) for index in phase):
        raise Torn("origin/phase: no such phase")
    simulator = hdf5.text(hdf5.attribute(file, "simulator"))
    return tuple(
        Origin(
            simulator=simulator,
            accepted=accepted[i],
            phase=phases[phase[i]],
            **{name: columns[name][i] for name in INTEGERS},
        )
        for i in range(count)
    )


def _one_system(batch: Batch) -> Label:
    if not batch.labels or len(batch.labels) != len(batch.origins):
        raise ProtocolError(f"a batch needs one origin per label: {len(batch.labels)} labels, {len(batch.origins)} origins")
    first = batch.labels[0]
    for label in batch.labels:
        same = (label.charge, label.multiplicity, label.fingerprint) == (first.charge, first.multiplicity, first.fingerprint)
        structure = label.structure
        same &= np.array_equal(structure.numbers, first.structure.numbers) and np.array_equal(structure.pbc, first.structure.pbc)
        if not same or (label.stress is None) != (first.stress is None):
            raise ProtocolError("the labels of a batch must be of one system (species order, charge, multiplicity, engine)")
    if len({origin.simulator for origin in batch.origins}) > 1:
        raise ProtocolError("the labels of a batch must come from one simulator")
    return first


def _stack(values: list[Any]) -> Array:
    stacked = np.asarray(values, np.float64)
    if not np.isfinite(stacked).all():
        raise ProtocolError("a label with numbers that are not finite cannot be published")
    return stacked
