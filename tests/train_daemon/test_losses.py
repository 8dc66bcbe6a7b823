"""The losses against numbers by hand, and their slopes against differences; numpy and torch give the same."""

import numpy as np
import pytest
import torch

from protocol.settings import Section
from train_daemon.losses import AlphaMix, AnyLoss, Deepmd, Residuals, Weighted, evaluate, sums

PAIR = Residuals(
    energies=np.array([2.0, 0.5]),
    squares=np.array([5.0 / 6, 3.0]),
    weights=np.array([1.0, 0.5]),
    forced=np.array([1.0, 1.0]),
    atoms=np.array([2, 1]),
    compositions=np.array([0, 1]),
)
ALL = [Weighted(), Weighted(chain_weight=3.0), Deepmd(), Deepmd(chain_weight=1.0), AlphaMix(), AlphaMix(alpha=1.0)]
WITH_VIRIAL = [
    Weighted(virial_weight=2.0, chain_weight=1.0),
    Deepmd(virial_prefactor=(0.2, 3.0)),
    AlphaMix(beta=0.5),
    AlphaMix(alpha=0.0, beta=1.0),
]


class Holder(Section):
    loss: AnyLoss = AlphaMix()


def drawn(count=6):
    rng = np.random.default_rng(3)
    squares, kinds = rng.random(count), rng.integers(0, 2, count)
    plain = Residuals(rng.standard_normal(count), squares, rng.random(count), np.ones(count), 2 + 3 * kinds, kinds)
    return plain._replace(virial_squares=rng.random(count), virial_known=(np.arange(count) % 3 > 0).astype(float))


def test_weighted_by_hand():
    slopes = evaluate(Weighted(energy_weight=10.0), PAIR, 1.0)
    first, second = 10.0 * 4.0 / 2 + 5.0 / 6, 0.5 * (10.0 * 0.25 + 9.0 / 3)
    assert float(slopes.value) == pytest.approx((first + second) / 2)
    told = sums(PAIR, slopes)
    assert (told.energy, told.force, told.structures) == pytest.approx((1.0 + 0.25, 5.0 / 6 + 3.0, 2.0))


def test_prefactors_go_from_start_to_limit_with_the_learning_rate():
    loss = Deepmd(energy_prefactor=(0.02, 1.0), force_prefactor=(1000.0, 1.0))
    terms = 1.0 + 0.5 * 0.25, 5.0 / 6 + 0.5 * 3.0  # weight (dE / N)^2 and weight times the mean square
    for share, energy, force in ((1.0, 0.02, 1000.0), (0.0, 1.0, 1.0), (0.25, 0.755, 250.75)):
        assert float(evaluate(loss, PAIR, share).value) == pytest.approx((energy * terms[0] + force * terms[1]) / 2)


def test_the_mix_is_that_of_root_mean_square_errors():
    # aenet-PyTorch's definition, for equal weights: per atom and structure; per atom, summed over its components
    equal = PAIR._replace(weights=np.ones(2))
    energy = np.sqrt((1.0**2 + 0.5**2) / 2)
    force = np.sqrt((2 * 3 * 5.0 / 6 + 1 * 3 * 3.0) / 3)
    assert float(evaluate(AlphaMix(alpha=0.3), equal, 1.0).value) == pytest.approx(0.7 * energy + 0.3 * force)
    assert float(evaluate(AlphaMix(alpha=0.0), equal._replace(squares=np.full(2, 9.0)), 1.0).value) == pytest.approx(energy)


def test_the_chain_term_is_a_variance_within_compositions():
    compositions, energies = np.array([0, 0, 1, 0]), np.array([1.0, 3.0, 100.0, 8.0])
    alike = Residuals(energies, np.zeros(4), np.array([1.0, 1.0, 1.0, 2.0]), np.ones(4), np.array([3, 3, 5, 3]), compositions)
    plain, chain = (evaluate(Weighted(chain_weight=weight), alike, 1.0) for weight in (0.0, 2.0))
    spread = (4.0**2 + 2.0**2 + 2 * 3.0**2) / 3  # about the weighted mean, 5; the other composition is alone
    assert float(chain.value - plain.value) == pytest.approx(2.0 * spread / 4)
    moved = evaluate(Weighted(chain_weight=2.0), alike._replace(energies=energies + 7.0), 1.0).by_energy
    added = moved - evaluate(Weighted(), alike._replace(energies=energies + 7.0), 1.0).by_energy
    np.testing.assert_allclose(added, chain.by_energy - plain.by_energy, atol=1e-12)  # a common offset costs nothing


def test_virial_terms_by_hand():
    r = PAIR._replace(virial_squares=np.array([0.3, 0.7]), virial_known=np.array([1.0, 1.0]))
    for loss, share, term in (
        (Weighted(virial_weight=4.0), 1.0, 4.0 * (1.0 * 2 * 0.3 + 0.5 * 1 * 0.7) / 2),  # N times what is per atom squared
        (Deepmd(virial_prefactor=(0.1, 2.0)), 1.0, 0.1 * (0.3 + 0.5 * 0.7) / 2),
        (Deepmd(virial_prefactor=(0.1, 2.0)), 0.0, 2.0 * (0.3 + 0.5 * 0.7) / 2),
        (AlphaMix(beta=0.3), 0.5, 0.3 * np.sqrt((0.3 + 0.5 * 0.7) / 1.5)),
    ):
        assert float(evaluate(loss, r, share).value - evaluate(loss, PAIR, share).value) == pytest.approx(term)
    assert sums(r, evaluate(Weighted(), r, 1.0))[4:] == pytest.approx((1.0, 2.0))
    one = r._replace(virial_known=np.array([0.0, 1.0]))
    assert float(evaluate(AlphaMix(beta=1.0), one, 0.0).value - evaluate(AlphaMix(), PAIR, 0.0).value) == pytest.approx(
        np.sqrt(0.7)
    )
    for loss in WITH_VIRIAL:
        slopes = evaluate(loss, one, 0.5)
        assert slopes.by_virial[0] == 0.0
        assert slopes.by_virial[1] > 0.0
    assert sums(one, evaluate(Weighted(), one, 1.0))[4:] == pytest.approx((0.7, 1.0))


@pytest.mark.parametrize("loss", ALL, ids=str)
def test_a_loss_without_a_virial_term_asks_for_no_strain(loss):
    assert evaluate(loss, drawn(), 0.4).by_virial is None
    assert evaluate(WITH_VIRIAL[0], PAIR, 0.4).by_virial is None


@pytest.mark.parametrize("loss", ALL + WITH_VIRIAL, ids=str)
def test_slopes_are_differences(loss):
    r, step = drawn(), 1e-6
    slopes = evaluate(loss, r, 0.4)
    parts = [("energies", slopes.by_energy), ("squares", slopes.by_square), ("virial_squares", slopes.by_virial)]
    for name, slope in parts[: 2 + (slopes.by_virial is not None)]:
        for place in range(6):
            ends = []
            for sign in (1, -1):
                moved = getattr(r, name).copy()
                moved[place] += sign * step
                ends.append(float(evaluate(loss, r._replace(**{name: moved}), 0.4).value))
            assert slope[place] == pytest.approx((ends[0] - ends[1]) / (2 * step), rel=1e-6, abs=1e-8)


@pytest.mark.parametrize("loss", ALL + WITH_VIRIAL, ids=str)
def test_tensors_give_the_same_and_nothing_wrong_has_finite_slopes(loss):
    r = drawn()
    mine, theirs = evaluate(loss, r, 0.4), evaluate(loss, Residuals(*map(torch.from_numpy, r)), 0.4)
    for one, other in zip(mine, theirs, strict=True):
        assert (one is None) == (other is None)
        if one is not None:
            np.testing.assert_allclose(one, other.numpy(), rtol=1e-12)
    nothing = ("energies", "squares", "forced", "weights", "virial_squares", "virial_known")
    zero = r._replace(**dict.fromkeys(nothing, np.zeros(6)))
    for part in evaluate(loss, Residuals(*(torch.from_numpy(np.asarray(x, np.float32)) for x in zero)), 0.4):
        assert part is None or torch.isfinite(part).all()


def test_structures_without_forces_have_no_force_term():
    without = PAIR._replace(forced=np.array([1.0, 0.0]))
    for loss in ALL:
        slopes = evaluate(loss, without, 0.5)
        assert slopes.by_square[1] == 0.0
        assert float(slopes.value) == pytest.approx(
            float(evaluate(loss, without._replace(squares=np.array([5.0 / 6, 99.0])), 0.5).value)
        )
    assert sums(without, evaluate(Weighted(), without, 1.0))[1:4] == pytest.approx((1.0, 5.0 / 6, 1.0))


def test_a_section_says_which_loss_it_is():
    assert Holder.model_validate({"loss": {"alpha": 0.2}}).loss == AlphaMix(alpha=0.2)
    assert Holder.model_validate({"loss": {"name": "alpha_mix", "alpha": 0.5}}).loss == AlphaMix(alpha=0.5)
    with pytest.raises(ValueError, match="weighted, deepmd or alpha_mix"):
        Holder.model_validate({"loss": {"name": "huber"}})
    with pytest.raises(ValueError, match="energy_weight"):
        Holder.model_validate({"loss": {"name": "deepmd", "energy_weight": 1.0}})
    with pytest.raises(ValueError, match="greater than or equal to 0"):
        Holder.model_validate({"loss": {"name": "deepmd", "force_prefactor": [1.0, -1.0]}})
    with pytest.raises(ValueError, match="greater than or equal to 0"):
        Holder.model_validate({"loss": {"beta": -0.1}})
