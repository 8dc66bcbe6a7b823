"""What is odd about labelled data as a whole: a sentence for each thing that a person should know before training on them."""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import sha256
from typing import NamedTuple

import numpy as np

from kernels.arrays import Array
from protocol.errors import BadSetting
from renkei.labels.frames import Frame

ROUNDS = 40  # of reweighting; the fit by least absolute residuals has settled long before
FAR_EV_PER_ATOM = 2.0  # beyond what chemistry does to an energy per atom in one kind of material
FAR_SPREADS = 10.0  # robust standard deviations


class Kept(NamedTuple):
    """Frames without repeats, and what was found."""

    frames: tuple[Frame, ...]
    warnings: tuple[str, ...]


def key_of(frame: Frame) -> bytes:
    """Digest of a structure; equal structures have equal keys."""
    s = frame.structure
    parts = (s.positions, s.numbers.astype(np.int64), s.cell, s.pbc.astype(np.int8))
    return sha256(b"".join(np.ascontiguousarray(part).tobytes() for part in parts)).digest()[:16]


def composition(frame: Frame) -> str:
    """The formula, e.g. "O2Ti"; the key of what shares a reference energy."""
    from ase.formula import Formula

    return str(Formula.from_list(_symbols(frame.structure.numbers.tolist())).format("hill"))


def species(frames: Sequence[Frame]) -> tuple[int, ...]:
    """Atomic numbers of all frames, ascending."""
    return tuple(sorted({int(z) for frame in frames for z in np.unique(frame.structure.numbers)}))


def require_species(frames: Sequence[Frame], known: Sequence[int], who: str) -> None:
    """Raises BadSetting that names the first frame with an element that `who` does not know."""
    for frame in frames:
        foreign = sorted(set(frame.structure.numbers.tolist()) - set(known))
        if foreign:
            told, have = ", ".join(_symbols(foreign)), ", ".join(_symbols(known))
            raise BadSetting(f"holds {told}, but {who} knows {have} only", frame.source, "leave the frame out")


def without_repeats(frames: Sequence[Frame]) -> Kept:
    """Each structure once, its first label; repeats are told, those with another energy in a sentence of their own."""
    first: dict[bytes, Frame] = {}
    repeats: list[tuple[Frame, Frame]] = []
    contradictions: list[tuple[Frame, Frame]] = []
    for frame in frames:
        kept = first.setdefault(key_of(frame), frame)
        if kept is not frame:
            same = abs(kept.energy - frame.energy) <= 1e-6 * len(frame.forces)
            (repeats if same else contradictions).append((kept, frame))
    told = []
    for found, what, advice in (
        (repeats, "repeat", "each is used once"),
        (contradictions, "repeat with another energy", "the first is used: look which is right"),
    ):
        if found:
            kept, frame = found[0]
            told.append(f"{frame.source}: is the structure of {kept.source} ({len(found)} frames {what} earlier ones); {advice}")
    return Kept(tuple(first.values()), tuple(told))


def shared(frames: Sequence[Frame], others: Sequence[Frame], what: str) -> tuple[str, ...]:
    """A sentence if structures of `others` stand among `frames` too."""
    keys = {key_of(frame) for frame in frames}
    found = [frame for frame in others if key_of(frame) in keys]
    if not found:
        return ()
    return (f"{found[0].source}: is trained on too ({len(found)} frames of the {what} data); its error says nothing there",)


def mixtures(frames: Sequence[Frame]) -> tuple[str, ...]:
    """Sentences on labels that one potential cannot tell apart: several charges, multiplicities or engine settings."""
    told = []
    for name in ("charge", "multiplicity", "fingerprint"):
        first: dict[object, Frame] = {}
        for frame in frames:
            first.setdefault(getattr(frame, name), frame)
        if len(first) > 1:
            odd = list(first.values())[1]
            values = ", ".join(str(value) or "none" for value in list(first)[:4])
            told.append(
                f"{odd.source}: labels of several values of {name} are mixed ({values}); a potential cannot tell them apart"
            )
    return tuple(told)


def references(frames: Sequence[Frame]) -> tuple[str, ...]:
    """A sentence if some energies do not fit one energy per element like the others."""
    residuals = residuals_per_atom(frames)
    middle = float(np.median(residuals))
    spread = 1.4826 * float(np.median(np.abs(residuals - middle)))
    far = np.flatnonzero(np.abs(residuals - middle) > max(FAR_EV_PER_ATOM, FAR_SPREADS * spread)).tolist()
    if not far:
        return ()
    told = sorted({composition(frames[k]) for k in far})
    names = ", ".join(told[:4]) + (", ..." if len(told) > 4 else "")
    return (
        f"{frames[far[0]].source}: its energy is {residuals[far[0]] - middle:+.2f} eV/atom off one energy per element "
        f"({len(far)} such frames: {names}); look whether all are of one method and one zero of energy",
    )


def residuals_per_atom(frames: Sequence[Frame]) -> Array:
    """What one energy per element leaves of the energies, (n,) eV/atom.

    Fitted by least absolute residuals: a few wrong ones do not bend it.
    """
    table, energies = _table(frames)
    weights = np.ones(len(energies))
    residuals = energies
    for _ in range(ROUNDS):
        root = np.sqrt(weights)
        fitted = np.linalg.lstsq(table * root[:, None], energies * root, rcond=None)[0]
        residuals = energies - table @ fitted
        weights = 1.0 / np.maximum(np.abs(residuals), 1e-6)
        weights /= weights.max()
    return np.asarray(residuals)


def reference_energies(frames: Sequence[Frame]) -> dict[int, float]:
    """One energy per element (eV) by least squares of the energies per atom."""
    table, energies = _table(frames)
    fitted = np.linalg.lstsq(table, energies, rcond=None)[0]
    return dict(zip(species(frames), fitted.tolist(), strict=True))


def _table(frames: Sequence[Frame]) -> tuple[Array, Array]:
    """Shares of the elements (n, species) and energies (n,) eV/atom."""
    known = species(frames)
    sizes = np.array([len(frame.forces) for frame in frames])
    table = np.array([[np.count_nonzero(frame.structure.numbers == z) for z in known] for frame in frames]) / sizes[:, None]
    return table, np.array([frame.energy for frame in frames]) / sizes


def _symbols(numbers: Sequence[int]) -> list[str]:
    from ase.data import chemical_symbols

    return [chemical_symbols[int(z)] for z in numbers]
