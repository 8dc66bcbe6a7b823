"""kan: trainable functions of one distance or one cosine each, summed about an atom, below a small network per species.

They are trained as the first layer of a network on moments: sums of Chebyshev polynomials, which are exported as cubic splines
(kernels/folding.py), or those splines themselves. phi is of the centre's and the neighbour's species, psi of the centre's and
both neighbours'.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import Field, model_validator

from kernels import folding, kan_model
from kernels.descriptors.base import Basis, Chebyshev
from protocol.settings import Section
from train_daemon.learners.base import Export, LearnerContext
from train_daemon.moment_learner import Model, MomentLearner, NetworkSettings

# keys that a basis has no use for, as pydantic takes them
UNUSED: dict[str, Any] = {
    "chebyshev": {"radial": {"intervals"}, "angular": {"intervals"}},
    "bspline": {"radial": {"order"}, "angular": {"order"}, "intervals": True},
}


class Radial(Section):
    """Functions of a distance."""

    order: int = Field(default=15, ge=0, le=100)  # of their polynomials, with the basis chebyshev
    intervals: int = Field(default=24, ge=1, le=1000)  # of their splines, with the basis bspline
    cutoff_A: float = Field(default=6.0, gt=0, le=20)


class Angular(Section):
    """Functions of the cosine of an angle."""

    order: int = Field(default=8, ge=0, le=100)
    intervals: int = Field(default=12, ge=1, le=1000)
    cutoff_A: float = Field(default=4.0, gt=0, le=20)
    powers: tuple[Annotated[int, Field(ge=1, le=6)], ...] = Field(
        default=(1,), min_length=1
    )  # of the cut-offs; functions for each


class Settings(NetworkSettings):
    """Keys of `learner:` in run.yaml."""

    name: str = "kan"
    basis: Basis = "chebyshev"  # what the functions are trained as sums of
    radial: Radial = Radial()
    angular: Angular = Angular()
    functions: int = Field(default=16, ge=1, le=1000)  # of each kind: each species' sums, the inputs of its network
    hidden: tuple[int, ...] = Field(default=(16,), max_length=7)  # widths of the hidden layers above the sums
    intervals: int = Field(default=256, ge=1, le=100_000)  # of the exported splines, with the basis chebyshev

    @model_validator(mode="after")
    def _keys_of_the_basis(self) -> Self:
        """Refuse keys that the basis has no use for."""
        unused = "intervals" if self.basis == "chebyshev" else "order"
        for name in ("radial", "angular"):
            if unused in getattr(self, name).model_fields_set:
                raise ValueError(f"{name}.{unused} means nothing with the basis {self.basis}; take it out or change the basis")
        if self.basis == "bspline" and "intervals" in self.model_fields_set:
            raise ValueError("intervals means nothing with the basis bspline; give radial.intervals and angular.intervals")
        return self


def build(settings: Settings, context: LearnerContext) -> KanLearner:
    """The learner on the best device there is."""
    from train_daemon.fit import use_machine

    return KanLearner(settings, context, *use_machine(context))


class KanLearner(MomentLearner):
    """The files are those of kernels/potentials/kan.py."""

    settings: Settings

    def export(self, model: Model, folder: Path) -> Export:
        """Write the artefact's files into an existing empty folder."""
        s, network = self.settings, model.network
        kan_model.write(folder, folding.fold(network, s.intervals))
        architecture = {
            **s.model_dump(mode="json", include={"basis", "radial", "angular", "intervals"}, exclude=UNUSED[s.basis]),
            "functions": s.committee * s.functions,
            "hidden": [s.committee * width for width in s.hidden],
            "committee": s.committee,
            "activation": s.activation,
            "baseline": s.baseline,
            "charges": s.charges,
            "charge_width_A": s.charge_width_A,
        }
        d = network.descriptor
        return Export("kan", d.species, 0.0 if network.charges else d.radial_cutoff_A, architecture)

    def _descriptor(self, species: tuple[int, ...]) -> Chebyshev:
        s = self.settings
        orders = (
            (s.radial.order, s.angular.order) if s.basis == "chebyshev" else (s.radial.intervals + 2, s.angular.intervals + 2)
        )
        cuts = s.radial.cutoff_A, s.angular.cutoff_A
        return Chebyshev(species, "species_resolved", orders[0], cuts[0], orders[1], cuts[1], s.angular.powers, s.basis)

    def _hidden(self) -> tuple[int, ...]:
        return (self.settings.functions, *self.settings.hidden)
