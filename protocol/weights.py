"""A published model: a folder of the learner's files and card.json, which lists their digests."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from protocol import atomic, jsontext, names
from protocol.errors import Torn, VersionClash
from protocol.records import Array, Canary, Card

SCHEMA = 1
LIMIT = 64 * 2**20  # bytes of a card
_FORMAT = re.compile(r"[a-z][a-z0-9_]{0,40}")  # a bare file name of kernels/potentials: data never choose code
_FILE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,100}")
_DIGEST = re.compile(r"[0-9a-f]{64}")


def write_card(folder: Path, card: Card) -> str:
    """Write card.json into a folder that is not published yet; returns its digest. Metrics that are not finite are left out."""
    fields = asdict(card)
    fields["metrics"] = {key: value for key, value in jsontext.plain(card.metrics).items() if value is not None}
    data = jsontext.dumps(fields, indent=1)
    atomic.publish_bytes(folder / names.CARD, data)
    return atomic.digest_of(data)


def read_card(folder: Path) -> Card:
    """The card of a folder; Torn if it is not a card."""
    return _card(atomic.read_bytes(folder / names.CARD, LIMIT), folder / names.CARD)


def verify(folder: Path, digest: str) -> Card:
    """The card of a folder whose every byte is as published; Torn otherwise."""
    card = _card(atomic.read_verified(folder / names.CARD, digest), folder / names.CARD)
    for name, expected in card.files.items():
        atomic.read_verified(folder / name, expected)
    return card


def digests(folder: Path) -> dict[str, str]:
    """File name -> sha256 of every file in a folder but the card."""
    return {path.name: atomic.sha256(path) for path in sorted(folder.iterdir()) if path.name != names.CARD}


def size(folder: Path) -> int:
    """Bytes of all files of a folder that are visible now."""
    return sum(path.stat().st_size for path in folder.iterdir())


def _card(data: bytes, where: Path) -> Card:
    fields = jsontext.loads(data, where)
    if fields.get("schema") != SCHEMA:
        raise VersionClash(
            f"card of schema {fields.get('schema')}, this version reads {SCHEMA}",
            str(where),
            "use the same version on both sides",
        )
    try:
        card = _decoded(fields)
    except (LookupError, TypeError, ValueError, AttributeError, ArithmeticError) as error:
        raise Torn(f"not a card ({type(error).__name__}: {error})", str(where)) from error
    wrong = [name for name in card.files if not _FILE.fullmatch(name) or not _DIGEST.fullmatch(card.files[name])]
    if wrong or not _FORMAT.fullmatch(card.format):
        raise Torn(f"names in it are not bare file names: {[*wrong, card.format][:1]}", str(where))
    return card


def _decoded(fields: Mapping[str, Any]) -> Card:
    return Card(
        format=str(fields["format"]),
        generation=int(fields["generation"]),
        species=tuple(int(number) for number in fields["species"]),
        cutoff_A=float(fields["cutoff_A"]),
        charge=int(fields["charge"]),
        multiplicity=int(fields["multiplicity"]),
        fingerprint=str(fields["fingerprint"]),
        architecture=dict(fields["architecture"]),
        metrics=dict(fields["metrics"]),
        parents=tuple(str(parent) for parent in fields["parents"]),
        batches=tuple(str(batch) for batch in fields["batches"]),
        files={str(name): str(digest) for name, digest in fields["files"].items()},
        canary=_canary(fields["canary"]),
        units=str(fields["units"]),
        schema=SCHEMA,
    )


def _canary(fields: Mapping[str, Any]) -> Canary:
    positions = _floats(fields["positions"], (None, None, 3))
    count, atoms, _ = positions.shape
    numbers = np.asarray(fields["numbers"], np.int64)
    pbc = np.asarray(fields["pbc"], bool)
    if numbers.shape != (atoms,) or pbc.shape != (3,):
        raise ValueError("canary: wrong shapes")
    return Canary(
        positions=positions,
        numbers=numbers,
        cell=_floats(fields["cell"], (3, 3)),
        pbc=pbc,
        energy=_floats(fields["energy"], (count,)),
        forces=_floats(fields["forces"], (count, atoms, 3)),
        energy_tolerance_eV_per_atom=float(fields["energy_tolerance_eV_per_atom"]),
        force_tolerance_eV_per_A=float(fields["force_tolerance_eV_per_A"]),
    )


def _floats(values: Any, shape: tuple[int | None, ...]) -> Array:
    array = np.asarray(values, np.float64)
    if array.ndim != len(shape) or any(want not in (None, have) for want, have in zip(shape, array.shape, strict=True)):
        raise ValueError(f"canary: shape {array.shape}")
    if not np.isfinite(array).all():
        raise ValueError("canary: not finite")
    return array
