"""Fingerprints, checks, clean folders."""

import errno
from pathlib import Path

import numpy as np
import pytest

from protocol.errors import BadSetting, EnvironmentFailed
from sim_daemon.engines import ase_bridge as bridge
from sim_daemon.engines.base import EngineContext, LabelFailed
from sim_daemon.engines.harmonic import Settings

CONTEXT = EngineContext(0, 1, Path("x"), 1)


def test_the_fingerprint_knows_settings_version_charge_and_guards_but_not_the_machine():
    base = bridge.fingerprint(Settings(k_eV_per_A2=1.0), CONTEXT, "1")
    same = [
        bridge.fingerprint(Settings(k_eV_per_A2=1.0, attempts=7, timeout_s=1.0), CONTEXT, "1"),
        bridge.fingerprint(Settings(k_eV_per_A2=1.0), EngineContext(0, 1, Path("elsewhere"), 8), "1"),
    ]
    others = [
        bridge.fingerprint(Settings(k_eV_per_A2=1.5), CONTEXT, "1"),
        bridge.fingerprint(Settings(k_eV_per_A2=1.0, max_force_eV_per_A=9.0), CONTEXT, "1"),
        bridge.fingerprint(Settings(k_eV_per_A2=1.0), CONTEXT, "2"),
        bridge.fingerprint(Settings(k_eV_per_A2=1.0), EngineContext(1, 1, Path("x"), 1), "1"),
        bridge.fingerprint(Settings(k_eV_per_A2=1.0), EngineContext(0, 3, Path("x"), 1), "1"),
        bridge.fingerprint(Settings(k_eV_per_A2=1.0), CONTEXT, "1", files={"Si": "digest"}),
    ]
    assert set(same) == {base}
    assert len({base, *others}) == 1 + len(others)


@pytest.mark.parametrize(
    ("energy", "forces", "stress"),
    [
        (np.nan, np.zeros((3, 3)), None),
        (0.0, np.full((3, 3), np.inf), None),
        (0.0, np.zeros((3, 3)), np.full((3, 3), np.nan)),
        (0.0, np.zeros((2, 3)), None),
    ],
)
def test_doubtful_numbers_are_no_label(energy, forces, stress, water):
    with pytest.raises(LabelFailed):
        bridge.checked_label(water, energy, forces, stress, CONTEXT, "f")


def test_the_order_of_the_six_components():
    from ase.stress import voigt_6_to_full_3x3_stress

    six = np.arange(6.0)
    assert np.array_equal(bridge.stress_matrix(six), voigt_6_to_full_3x3_stress(six))


def test_ase_forgets_mpi():
    import ase.parallel

    class Elsewhere(ase.parallel.DummyMPI):
        rank, size = 1, 2

    ase.parallel.world.comm = Elsewhere()
    bridge.serial_ase()
    assert (ase.parallel.world.rank, ase.parallel.world.size) == (0, 1)


def test_charge_and_multiplicity(water):
    for charge, multiplicity in ((0, 1), (0, 3), (1, 2), (-1, 2)):
        bridge.check_electrons(water, EngineContext(charge, multiplicity, Path("x"), 1))
    for charge, multiplicity in ((0, 2), (1, 1), (8, 1), (10, 1), (0, 11)):
        with pytest.raises(BadSetting):
            bridge.check_electrons(water, EngineContext(charge, multiplicity, Path("x"), 1))


def test_the_free_energy_comes_first():
    assert bridge.result_energy({"energy": 1.0, "free_energy": 2.0}) == 2.0
    assert bridge.result_energy({"energy": 1.0}) == 1.0


def test_folders_are_emptied_and_one_that_cannot_be_made_is_the_machines_fault(tmp_path):
    (tmp_path / "a" / "b").mkdir(parents=True)
    (tmp_path / "a" / "old").write_text("x")
    bridge.empty_folder(tmp_path / "a")
    assert list((tmp_path / "a").iterdir()) == []
    (tmp_path / "file").write_text("x")
    with pytest.raises(EnvironmentFailed):
        bridge.empty_folder(tmp_path / "file" / "below")


def test_a_full_disk_is_told_from_a_crash(tmp_path, monkeypatch):
    bridge.check_disk(tmp_path)
    assert list(tmp_path.iterdir()) == []

    def full(self, data):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(EnvironmentFailed, match="No space left"):
        bridge.check_disk(tmp_path)
