import time
from dataclasses import replace

import h5py
import numpy as np
import pytest

from protocol import batch, hdf5
from protocol.errors import ProtocolError, Torn, VersionClash


def changed(data, change):
    """The same batch file after `change(file)`."""

    def write(target):
        with hdf5.opened(data, "batch") as source:
            for name, value in source.attrs.items():
                target.attrs[name] = value
            for name in source:
                source.copy(name, target)
        change(target)

    return hdf5.image(write)


def test_round_trip_is_exact(make_batch):
    sent = make_batch(1)
    stress = np.random.default_rng(2).normal(size=(3, 3))
    sent = replace(sent, labels=tuple(replace(label, stress=stress) for label in sent.labels))
    got = batch.load(batch.dump(sent))
    assert got.origins == sent.origins
    for ours, theirs in zip(sent.labels, got.labels, strict=True):
        assert ours.energy == theirs.energy
        assert (ours.charge, ours.multiplicity, ours.fingerprint) == (theirs.charge, theirs.multiplicity, theirs.fingerprint)
        for field in ("positions", "numbers", "cell", "pbc"):
            np.testing.assert_array_equal(getattr(ours.structure, field), getattr(theirs.structure, field))
        np.testing.assert_array_equal(ours.forces, theirs.forces)
        np.testing.assert_array_equal(theirs.stress, stress)


def test_same_batch_same_bytes(make_batch):
    first, began = batch.dump(make_batch(1)), int(time.time())
    while int(time.time()) == began:  # HDF5 likes to note the second
        time.sleep(0.05)
    assert batch.dump(make_batch(1)) == first
    assert batch.load(batch.dump(make_batch(1))).labels[0].stress is None


def test_every_truncation_is_torn(make_batch):
    data = batch.dump(make_batch(1))
    for cut in [0, 1, 8, 100, *range(200, len(data), 500), len(data) - 1]:
        with pytest.raises(Torn):
            batch.load(data[:cut])


def replaced(name, values):
    def change(file):
        del file[name]
        file[name] = values

    return change


@pytest.mark.parametrize(
    "change",
    [
        replaced("energy", np.array([1.0, np.nan, 2.0])),
        replaced("forces", np.full((3, 3, 3), np.inf)),
        replaced("forces", np.zeros((3, 2, 3))),
        replaced("energy", np.zeros(4)),
        replaced("numbers", np.array([8, 1, 0])),
        replaced("numbers", np.array([8, 1, 119])),
        replaced("positions", np.zeros((0, 3, 3))),
        replaced("positions", np.zeros((3, 3, 3), int)),
        replaced("cell", np.full((3, 3, 3), np.nan)),
        replaced("origin/phase", np.array([0, 1, 9])),
        replaced("origin/step", np.zeros(2, int)),
        replaced("energy", h5py.SoftLink("/cell")),
        lambda file: file.attrs.modify("phases", "no such words"),
        lambda file: file.attrs.create("charge", "plus"),
        lambda file: file.__delitem__("origin"),
    ],
)
def test_hostile_files_are_torn(make_batch, change):
    with pytest.raises(Torn):
        batch.load(changed(batch.dump(make_batch(1)), change))


def test_another_schema_is_a_version_clash(make_batch):
    with pytest.raises(VersionClash):
        batch.load(changed(batch.dump(make_batch(1)), lambda file: file.attrs.modify("schema", np.int64(2))))


def test_one_system_per_batch(make_batch):
    good = make_batch(1)
    first, *rest = good.labels
    others = [
        replace(first, charge=0),
        replace(first, fingerprint="other"),
        replace(first, stress=np.zeros((3, 3))),
        replace(first, energy=float("nan")),
        replace(first, structure=replace(first.structure, numbers=np.array([1, 8, 1]))),
    ]
    for other in others:
        with pytest.raises(ProtocolError):
            batch.dump(replace(good, labels=(other, *rest)))
    with pytest.raises(ProtocolError):
        batch.dump(replace(good, origins=good.origins[:2]))
    with pytest.raises(ProtocolError):
        batch.dump(replace(good, origins=(replace(good.origins[0], simulator="sim1"), *good.origins[1:])))
