"""The data set: sides by blocks, thinning, repeats, retractions, refusals, weights."""

from dataclasses import replace

import numpy as np
import pytest

from protocol.errors import WrongPeer
from protocol.records import Batch, Origin, Phase
from train_daemon.dataset import FORCE_CAP_EV_PER_A, STARTUP_CAP, STARTUP_FLOOR, Dataset, validation_side


def filled(make_batch, batches=12, steps_each=10, beads=4, thinned=4, seed=0):
    rng = np.random.default_rng(seed)
    data = Dataset(thinned)
    for number in range(batches):
        data.add(f"sim0/1/{number}", make_batch(rng, range(number * steps_each, (number + 1) * steps_each), beads))
    return data


def test_a_block_is_on_one_side_whatever_batch_it_comes_in(make_batch):
    rng = np.random.default_rng(0)
    data, origins = Dataset(4), {}
    for number in range(30):
        batch = make_batch(rng, range(number * 7, (number + 1) * 7))  # batches cut through blocks of 20 steps
        data.add(f"sim0/1/{number}", batch)
        origins |= {label.energy: origin for label, origin in zip(batch.labels, batch.origins, strict=True)}
    train = {origins[sample.energy].step // 20 for sample in data.training_set().samples}
    heldout = {origins[sample.energy].step // 20 for ring in data.heldout() for sample in ring.samples}
    assert not train & heldout
    assert train | heldout == set(range(11))
    assert 2 <= len(heldout) <= 5


def test_a_ring_is_held_out_whole_and_thinned_for_training(make_batch):
    data = filled(make_batch, beads=8, thinned=3)
    assert all(len(ring.samples) == 8 and ring.whole for ring in data.heldout())
    blocks = {ring.block for ring in data.heldout()}
    assert len(data.training_set().samples) == 3 * (120 - 20 * len(blocks))
    assert data.labels == (len(data.training_set().samples), 8 * 20 * len(blocks))


def test_the_third_block_is_held_out_at_the_latest(make_batch):
    for walker in range(20):
        rng, data = np.random.default_rng(walker), Dataset(4)
        for number in range(3):
            data.add(f"sim0/1/{number}", make_batch(rng, range(20 * number, 20 * number + 20), walker=walker))
        assert data.heldout()
        assert data.training_set().samples


def test_about_one_block_in_six_is_held_out(make_batch):
    rng, data = np.random.default_rng(1), Dataset(1)
    for walker in range(300):
        data.add(f"sim0/1/{walker}", make_batch(rng, [5], beads=1, walker=walker))
    assert 30 <= len(data.heldout()) <= 70


def test_thinning_is_a_fixed_choice(make_batch):
    first, again = (filled(make_batch, beads=8, thinned=2).training_set().samples for _ in range(2))
    assert [sample.key for sample in first] == [sample.key for sample in again]


def test_a_batch_counts_once_and_a_repeated_structure_too(make_batch):
    rng = np.random.default_rng(3)
    data, batch = Dataset(4), make_batch(rng, range(3))
    assert data.add("sim0/1/0", batch) == (12, 0)
    assert data.add("sim0/1/0", batch) == (12, 0)
    data.add("sim0/2/1", batch)  # the same structures again, from a restarted simulator
    assert data.labels == (12, 0)
    assert data.names == ("sim0/1/0", "sim0/2/1")


def test_a_retracted_batch_leaves_and_its_repeat_takes_its_place(make_batch):
    rng = np.random.default_rng(3)
    data, batch = Dataset(4), make_batch(rng, range(3))
    data.add("sim0/1/0", batch)
    data.add("sim0/2/0", batch)
    data.remove("sim0/1/0")
    assert data.labels == (12, 0)
    data.remove("sim0/2/0")
    assert data.labels == (0, 0)


@pytest.mark.parametrize("change", [{"charge": 1}, {"multiplicity": 3}, {"fingerprint": "other"}])
def test_labels_of_another_system_or_engine_are_refused(make_batch, change):
    rng = np.random.default_rng(0)
    data = Dataset(4)
    data.add("sim0/1/0", make_batch(rng, [0]))
    with pytest.raises(WrongPeer, match=f"batch sim0/1/1: labels of {next(iter(change))}"):
        data.add("sim0/1/1", make_batch(rng, [1], **change))
    assert data.names == ("sim0/1/0",)


def test_labels_of_other_elements_are_refused(make_batch):
    rng = np.random.default_rng(0)
    data = Dataset(4)
    data.add("sim0/1/0", make_batch(rng, [0]))
    strange = make_batch(rng, [1])
    for label in strange.labels:
        object.__setattr__(label.structure, "numbers", np.array([8, 1, 9]))
    with pytest.raises(WrongPeer, match="elements"):
        data.add("sim0/1/1", strange)


def test_absurd_forces_are_not_trained_on(make_batch):
    rng = np.random.default_rng(0)
    data, batch = Dataset(4), make_batch(rng, range(2))
    batch.labels[0].forces[0, 0] = 1.01 * FORCE_CAP_EV_PER_A
    data.add("sim0/1/0", batch)
    assert len(data.training_set().samples) == 7


def test_start_up_labels_are_capped_and_lose_weight_as_rings_come(make_batch):
    rng, data = np.random.default_rng(0), Dataset(4)
    for number in range(500):
        alone = make_batch(rng, [-1], beads=1, phase=Phase.STARTUP)
        object.__setattr__(alone.origins[0], "point", number)
        object.__setattr__(alone.origins[0], "ring", number)
        data.add(f"sim0/1/{number}", alone)
    samples = data.training_set().samples
    assert len(samples) == STARTUP_CAP
    assert {sample.weight for sample in samples} == {1.0}
    data.add("sim0/1/500", make_batch(rng, range(20), beads=4))
    data.add("sim0/1/501", make_batch(rng, range(20, 40), beads=4))
    weights = {sample.weight for sample in data.training_set().samples}
    assert min(weights) == pytest.approx(STARTUP_CAP / (STARTUP_CAP + 160))
    assert max(weights) == 1.0
    assert min(weights) > STARTUP_FLOOR


def test_start_up_structures_are_blocks_of_one_and_judge_until_two_chain_blocks_do(make_batch):
    rng, data = np.random.default_rng(0), Dataset(4)
    for number in range(60):
        alone = make_batch(rng, [-1], beads=1, phase=Phase.STARTUP)
        object.__setattr__(alone.origins[0], "point", number)
        data.add(f"sim0/1/{number}", alone)
    early = data.heldout()
    assert len({ring.block for ring in early}) == len(early) >= 4
    for number in range(60, 70):
        data.add(f"sim0/1/{number}", make_batch(rng, range(20 * (number - 60), 20 * (number - 59)), beads=2))
    assert not any(ring.startup for ring in data.heldout())


def test_an_empty_batch_is_refused():
    with pytest.raises(WrongPeer, match="without labels"):
        Dataset(4).add("sim0/1/0", Batch((), ()))


def test_a_validation_side_is_made_of_whole_blocks_and_they_keep(make_batch):
    few, many = (filled(make_batch, batches=count).training_set().samples for count in (60, 90))
    sides = {}
    for samples in (few, many):
        for sample, out in zip(samples, validation_side(samples), strict=True):
            sides.setdefault(sample.block, set()).add(bool(out))
    assert all(len(found) == 1 for found in sides.values())
    assert {block[0] for block in sides} == {"chain"}
    assert 1 <= sum(True in found for found in sides.values()) <= len(sides) / 3


def test_a_validation_side_needs_two_blocks(make_training_set):
    samples = make_training_set(30).samples  # without a chain: each one for itself
    assert 1 <= validation_side(samples).sum() <= 10
    assert validation_side(samples[:2]).sum() == 1
    assert not validation_side(samples[:1]).any()


def test_the_stress_of_a_label_becomes_its_virial(make_label):
    """Tension is positive in a stress, compression in a virial."""
    rng = np.random.default_rng(0)
    plain = make_label(rng)
    box = replace(plain.structure, cell=np.diag([2.0, 3.0, -4.0]), pbc=np.ones(3, dtype=bool))
    labels = replace(plain, structure=box, stress=0.5 * np.eye(3)), plain
    data = Dataset(4)
    data.add("sim0/1/0", Batch(labels, tuple(Origin("sim0", 0, step, 0, 0, -1, True, Phase.ADAPT, step) for step in (0, 1))))
    virials = [sample.virial for sample in data.training_set().samples]
    np.testing.assert_allclose(next(virial for virial in virials if virial is not None), -12.0 * np.eye(3), atol=1e-12)
    assert sum(virial is None for virial in virials) == 1


def test_elements_of_the_whole_run_are_known_from_the_first_batch_on(make_batch):
    data, rng = Dataset(4), np.random.default_rng(0)
    data.add("hot/1/0", make_batch(rng, [0], simulator="hot"), [1, 8, 11])
    assert data.identity.species == (1, 8, 11)
    data.add("sim0/1/0", make_batch(rng, [0]), [1, 8, 17])
    assert data.identity.species == (1, 8, 11), "a network has its elements from the beginning"
    assert data.training_set().species == (1, 8, 11)
