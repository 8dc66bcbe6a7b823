"""The ensembles that the hybrid Monte Carlo samplers know, as sections of the YAML, and what each asks of the system."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import AfterValidator, BeforeValidator, Discriminator, Field, Tag, model_validator

from kernels.arrays import Array
from protocol.errors import BadSetting
from protocol.records import Label, Structure
from protocol.settings import Section


def _positive(value: float | str) -> float | str:
    if not isinstance(value, str) and not 0 < value < 1e6:
        raise ValueError("must be > 0")
    return value


Auto = Annotated[Literal["auto"] | float, AfterValidator(_positive)]
ORTHOGONAL = 1e-9  # of a cell's lengths: what a file's rounding may leave beside the diagonal
FLATTEST = 0.2  # least V/(abc) of a varying cell: flatter ones alone have an infinite share of the measure of shapes


class Nvt(Section):
    """Constant number, volume and temperature."""

    name: Literal["nvt"] = "nvt"
    temperature_K: float = Field(gt=0, le=1e5)


class Npt(Section):
    """Constant number, pressure and temperature."""

    name: Literal["npt"]
    temperature_K: float = Field(gt=0, le=1e5)
    pressure_GPa: float = Field(ge=0, le=1e4)
    cell: Literal["isotropic", "orthorhombic", "full"] = "isotropic"  # what of it varies: one length, three, or six numbers
    barostat: Literal["moves", "extended"] = "moves"  # jumps inside trajectories, or ln V as a coordinate of the trajectory
    cell_step: Auto = "auto"  # of moves: standard deviation of ln(V'/V); auto: dual averaging in adapt, then frozen
    largest_ratio: float = Field(5.0, gt=1, le=100)  # of a/b, b/c, c/a and their inverses: the shapes that are sampled
    largest_cosine: float = Field(0.75, gt=0, lt=1)  # of the three angles, without sign
    period_fs: float = Field(500.0, gt=0)  # of extended: of ln V, if the bulk modulus is the one below; costs efficiency alone
    bulk_modulus_GPa: float = Field(10.0, gt=0)

    @model_validator(mode="after")
    def _fits_together(self) -> Npt:
        if self.barostat == "extended" and self.cell != "isotropic":
            raise ValueError(f"barostat extended moves an isotropic cell, not cell: {self.cell}; use barostat: moves")
        return self


def _known(given: Any) -> Any:
    if isinstance(given, Mapping):
        name = given.get("name", "nvt")
        if name not in ("nvt", "npt"):
            raise ValueError(f"name must be nvt or npt, got {name!r}")
        foreign = [key for key in Npt.model_fields if key in given and key not in Nvt.model_fields]
        if name == "nvt" and foreign:
            raise ValueError(f"{foreign[0]} belongs to constant pressure: write name: npt")
    return given


def _tag(given: Any) -> str:
    return str(given.get("name", "nvt") if isinstance(given, Mapping) else getattr(given, "name", "nvt"))


Ensemble = Annotated[Annotated[Npt, Tag("npt")] | Annotated[Nvt, Tag("nvt")], Discriminator(_tag), BeforeValidator(_known)]


def check_cell(ensemble: Any, structure: Structure, where: str) -> None:
    """What constant pressure asks of the start structure; BadSetting with one sentence. Anything but Npt: nothing."""
    if not isinstance(ensemble, Npt):
        return
    if not structure.pbc.all():
        what = "sampler.ensemble: constant pressure (npt) needs a cell that is periodic in all three directions"
        raise BadSetting(what, where, "give the structure such a cell, or use ensemble: nvt")
    cell = structure.cell
    if ensemble.cell == "orthorhombic" and np.abs(cell - np.diag(np.diag(cell))).max() > ORTHOGONAL * np.abs(cell).max():
        what = "sampler.ensemble.cell: orthorhombic needs cell vectors along x, y and z"
        raise BadSetting(what, where, "turn the structure, or use cell: isotropic or full")
    ratio, cosine, flatness = shape(cell)
    if ensemble.cell != "isotropic" and ratio > ensemble.largest_ratio:
        what = f"sampler.ensemble.largest_ratio: the start cell's lengths differ by a factor of {ratio:.3g}"
        raise BadSetting(f"{what}, above {ensemble.largest_ratio:g}", where, "raise it")
    if ensemble.cell == "full" and cosine > ensemble.largest_cosine:
        what = f"sampler.ensemble.largest_cosine: the start cell has an angle with a cosine of {cosine:.3g}"
        raise BadSetting(f"{what}, above {ensemble.largest_cosine:g}", where, "raise it, or give a cell that is less skewed")
    if ensemble.cell == "full" and flatness < FLATTEST:
        what = f"sampler.ensemble.cell: the start cell is flat, V/(abc) = {flatness:.3g}, below {FLATTEST:g}"
        raise BadSetting(what, where, "give a cell that is less skewed")


def check_stress(sampler: Any, label: Label, where: str) -> None:
    """First principles that drive ln V along must give a stress; BadSetting where this label has none."""
    ensemble = getattr(sampler, "ensemble", None)
    if isinstance(ensemble, Npt) and ensemble.barostat == "extended" and sampler.name == "pihmc" and label.stress is None:
        what = "sampler.ensemble.barostat: extended with pihmc needs the stress of first principles, and this engine gives none"
        raise BadSetting(what, where, "use barostat: moves")


def shape(cell: Array) -> tuple[float, float, float]:
    """Of a cell (3, 3) A: largest ratio of two lengths, largest cosine without sign, and V/(abc); relabelled axes change none."""
    lengths = np.linalg.norm(cell, axis=1)
    directions = cell / lengths[:, None]
    cosines = np.abs((directions @ directions.T)[[0, 0, 1], [1, 2, 2]])
    return float(lengths.max() / lengths.min()), float(cosines.max()), float(abs(np.linalg.det(directions)))
