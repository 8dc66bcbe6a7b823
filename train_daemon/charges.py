"""The fixed charges below the networks (kernels/ewald.py), as `learner.charges` gives them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Literal

import numpy as np
from ase.data import atomic_numbers, chemical_symbols
from pydantic import AfterValidator, Discriminator, Field, Tag

from kernels.arrays import Array
from protocol.errors import BadSetting
from protocol.records import Structure
from protocol.setting_errors import nearest

if TYPE_CHECKING:
    from kernels.ewald import PointCharges, Sums

KEY = "learner.charges"


def _of_elements(given: dict[str, float]) -> dict[str, float]:
    if not given:
        raise ValueError("must give each element its charge, or be none")
    for symbol in given:
        if not atomic_numbers.get(symbol):
            raise ValueError(f"there is no element called {symbol!r}{nearest(symbol, chemical_symbols[1:])}")
    return given


def _branch(given: Any) -> str:
    return "none" if isinstance(given, str) else "elements"


Charge = Annotated[float, Field(ge=-20, le=20)]  # e
Elements = Annotated[dict[str, Charge], AfterValidator(_of_elements)]
Charges = Annotated[Annotated[Literal["none"], Tag("none")] | Annotated[Elements, Tag("elements")], Discriminator(_branch)]


def of_species(settings: Any, species: tuple[int, ...]) -> PointCharges | None:
    """The charges of these atomic numbers, None where the learner has none.

    settings: of any learner.  Raises BadSetting unless all of them have a charge, and nothing else.
    """
    given: Any = getattr(settings, "charges", "none")
    if given == "none":
        return None
    for symbol in (chemical_symbols[number] for number in species):
        if symbol not in given:
            raise BadSetting(f"{symbol} has no charge", KEY, f"write {symbol}: 0.0 if it is neutral")
    for symbol in given:
        if atomic_numbers[symbol] not in species:
            raise BadSetting(f"there is no {symbol} in what is learned", KEY, "leave it out")
    from kernels.ewald import PointCharges

    return PointCharges(np.array([given[chemical_symbols[number]] for number in species]), settings.charge_width_A)


def check(settings: Any, numbers: Array, pbc: Array) -> None:
    """Raises BadSetting if a learner's charges do not suit a run.  numbers: (N,).  pbc: (3,) bool."""
    if of_species(settings, tuple(sorted({int(number) for number in numbers}))) is not None:
        _check_box(pbc)


def sums(charges: PointCharges, structure: Structure, kinds: Array) -> Sums:
    """The Coulomb sums of one structure, a batch of 1; kinds: (N,) places in the charges' list.  Raises BadSetting as `check`."""
    from kernels.ewald import evaluate

    _check_box(structure.pbc)
    return evaluate(charges, structure.positions[None], kinds, structure.cell, structure.pbc)


def _check_box(pbc: Array) -> None:
    from kernels.ewald import check_box

    try:
        check_box(pbc)
    except ValueError as error:
        raise BadSetting(str(error), KEY, "write charges: none, or make the cell periodic with a vacuum") from error
