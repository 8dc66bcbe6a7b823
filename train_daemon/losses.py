"""Losses: how the residuals of a minibatch become one number and its slopes. The only place that knows a formula.

A loss is a frozen section of keys with one pure method. It sees per structure the residual of the energy and the mean squares of
the residuals of a force's component and of one of the virial over N, as numpy arrays or tensors alike: the steps turn its slopes
into those of energies, forces and virials.
To add one: a section here with `name` and `terms`, and its place in `AnyLoss`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal, NamedTuple

from pydantic import Discriminator, Field, Tag

from protocol.settings import Section

TINY = 1e-24  # below a root: its slope stays finite where nothing is wrong

Numbers = Any  # a numpy array or a tensor
Prefactor = Annotated[float, Field(ge=0)]


class Labels(NamedTuple):
    """What is known of the B structures of a minibatch before anything is computed; each entry (B,)."""

    weights: Numbers
    forced: Numbers  # 1; 0 for a structure without forces of its own
    atoms: Numbers  # number of atoms
    compositions: Numbers  # whole numbers, equal for equal compositions
    virial_known: Numbers | None = None  # 1; 0 for a structure without a virial of its own; None: nobody has one


class Residuals(NamedTuple):
    """Found minus wanted, in units of the energy scale, and the labels; each entry (B,)."""

    energies: Numbers
    squares: Numbers  # mean square of a force component's residual, 1/A^2
    weights: Numbers
    forced: Numbers
    atoms: Numbers
    compositions: Numbers
    virial_squares: Numbers | None = None  # mean square of a component of the virial's residual over N; None: nobody has a virial
    virial_known: Numbers | None = None


class Slopes(NamedTuple):
    """A loss and its derivatives by a minibatch's residuals."""

    value: Numbers
    by_energy: Numbers  # (B,)
    by_square: Numbers  # (B,)
    by_virial: Numbers | None = None  # (B,) by virial_squares; None where they have no term


class Sums(NamedTuple):
    """Sums over a minibatch, without history: floats, or scalars on the device. Structures without forces do not count."""

    loss: Numbers
    energy: Numbers  # of (dE / N)^2
    force: Numbers  # of the mean square of a force component's residual
    structures: Numbers
    virial: Numbers = 0.0  # of virial_squares
    virial_structures: Numbers = 0.0  # that have a virial


class Loss(Section):
    """What all losses share."""

    chain_weight: float = Field(default=0.0, ge=0)  # of (dE - its mean over the structures of one composition)^2 / N

    def terms(self, r: Residuals, share: float) -> Slopes:
        """The loss without the chain's term.  share: the learning rate's part of its value at the start, 1..0."""
        raise NotImplementedError


class Weighted(Loss):
    """Mean of weight (energy_weight dE^2 / N + mean square of a force component's residual + virial_weight dW^2 / N).

    dW^2 is the mean square of a component of the virial's residual. Energies and virials are compared per square root of N: their
    error grows so where atoms err alone.
    """

    name: Literal["weighted"] = "weighted"
    energy_weight: float = Field(default=10.0, gt=0)
    virial_weight: float = Field(default=0.0, ge=0)

    def terms(self, r: Residuals, share: float) -> Slopes:
        """See Loss."""
        weights = r.weights / len(r.weights)
        by_energy = 2 * weights * self.energy_weight * r.energies / r.atoms
        by_square = weights * r.forced
        plain = Slopes((0.5 * by_energy * r.energies + by_square * r.squares).sum(), by_energy, by_square)
        return _with_virial(plain, r, self.virial_weight, weights * r.atoms)


class Deepmd(Loss):
    """Mean of weight (p_e (dE / N)^2 + p_f mean square of a force component's residual + p_v that of one of the virial's over N).

    The prefactors p move with the learning rate.
    """

    name: Literal["deepmd"] = "deepmd"
    energy_prefactor: tuple[Prefactor, Prefactor] = (0.02, 1.0)  # at the start, at the end
    force_prefactor: tuple[Prefactor, Prefactor] = (1000.0, 1.0)
    virial_prefactor: tuple[Prefactor, Prefactor] = (0.0, 0.0)

    def terms(self, r: Residuals, share: float) -> Slopes:
        """See Loss."""
        ends = self.energy_prefactor, self.force_prefactor, self.virial_prefactor
        energy, force, virial = (last * (1 - share) + first * share for first, last in ends)
        weights = r.weights / len(r.weights)
        by_energy = 2 * energy * weights * r.energies / (r.atoms * r.atoms)
        by_square = force * weights * r.forced
        plain = Slopes((0.5 * by_energy * r.energies + by_square * r.squares).sum(), by_energy, by_square)
        return _with_virial(plain, r, virial, weights)


class AlphaMix(Loss):
    """(1 - alpha) RMSE of the energy per atom + alpha RMSE of an atom's force vector, over the minibatch.

    And beta times the RMSE of a component of the virial per atom, over the structures that have one.
    """

    name: Literal["alpha_mix"] = "alpha_mix"
    alpha: float = Field(default=0.9, ge=0, le=1)  # 0: energies alone
    beta: float = Field(default=0.0, ge=0)  # of the virial

    def terms(self, r: Residuals, share: float) -> Slopes:
        """See Loss."""
        weights = r.weights / (r.weights.sum() + TINY)
        per_atom = weights * r.energies / (r.atoms * r.atoms)
        rmse_energy = ((per_atom * r.energies).sum() + TINY) ** 0.5
        vectors = r.weights * r.forced * r.atoms
        vectors = 3 * vectors / (vectors.sum() + TINY)
        rmse_force = ((vectors * r.squares).sum() + TINY) ** 0.5
        value = (1 - self.alpha) * rmse_energy + self.alpha * rmse_force
        plain = Slopes(value, (1 - self.alpha) / rmse_energy * per_atom, 0.5 * self.alpha / rmse_force * vectors)
        if r.virial_known is None or not self.beta:
            return plain
        known = r.weights * r.virial_known
        known = known / (known.sum() + TINY)
        rmse_virial = ((known * r.virial_squares).sum() + TINY) ** 0.5
        return plain._replace(value=value + self.beta * rmse_virial, by_virial=0.5 * self.beta / rmse_virial * known)


def _with_virial(plain: Slopes, r: Residuals, factor: float, weights: Numbers) -> Slopes:
    """A loss with the sum of factor times weight (B,) times virial_squares added, over the structures that have a virial."""
    if r.virial_known is None or not factor:
        return plain
    by_virial = factor * weights * r.virial_known
    return plain._replace(value=plain.value + (by_virial * r.virial_squares).sum(), by_virial=by_virial)


def _name(given: Any) -> Any:
    """Which loss a section is; one without a name is alpha_mix."""
    return given.get("name", "alpha_mix") if isinstance(given, Mapping) else getattr(given, "name", None)


AnyLoss = Annotated[
    Annotated[Weighted, Tag("weighted")] | Annotated[Deepmd, Tag("deepmd")] | Annotated[AlphaMix, Tag("alpha_mix")],
    Discriminator(
        _name, custom_error_type="unknown_loss", custom_error_message="a section whose name is weighted, deepmd or alpha_mix"
    ),
]


def residuals(off: Sequence[Numbers], labels: Labels) -> Residuals:
    """The residuals with their labels.  off: energies, squares, and virial_squares if somebody has a virial."""
    virial = off[2] if labels.virial_known is not None else None
    return Residuals(off[0], off[1], *labels[:4], virial, labels.virial_known)


def evaluate(loss: Loss, r: Residuals, share: float) -> Slopes:
    """A loss with its chain term.  share: the learning rate's part of its value at the start, 1..0."""
    terms = loss.terms(r, share)
    if not loss.chain_weight:
        return terms
    alike = (r.compositions[:, None] == r.compositions[None]) * (r.weights + TINY)
    off = r.energies - (alike * r.energies).sum(1) / alike.sum(1)
    by_energy = 2 * loss.chain_weight * r.weights / len(r.weights) * off / r.atoms
    return terms._replace(value=terms.value + (0.5 * by_energy * off).sum(), by_energy=terms.by_energy + by_energy)


def sums(r: Residuals, slopes: Slopes) -> Sums:
    """What the rows of the journal are made of."""
    per_atom = r.energies / r.atoms
    found = Sums(slopes.value, (r.forced * per_atom * per_atom).sum(), (r.forced * r.squares).sum(), r.forced.sum())
    if r.virial_known is None:
        return found
    return found._replace(virial=(r.virial_known * r.virial_squares).sum(), virial_structures=r.virial_known.sum())
