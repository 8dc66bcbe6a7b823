"""Each check of the doctor, where all is well and where something is not."""

import os
import sys
from importlib import metadata

import pytest

from kernels import native
from protocol.errors import EnvironmentFailed
from renkei import doctor


@pytest.fixture
def fresh():
    """The choice of kernels is made anew, and once more afterwards."""
    native.library.cache_clear()
    yield
    native.library.cache_clear()


def test_every_check_is_in_a_list_and_says_something(monkeypatch):
    monkeypatch.setattr(doctor, "_answer", lambda words, limit_s: 'joined 2;\njoined 2;\n["2.9", null, []]')
    found = [check() for check in doctor.MACHINE]
    assert [finding.subject for finding in found if finding.broken] == []
    assert len({finding.subject for finding in found}) == len(found) == 9
    assert all(finding.found for finding in found)


def test_numba_is_named_with_its_reason_and_the_remedy(monkeypatch, tmp_path, fresh):
    monkeypatch.setenv("RENKEI_KERNELS", "numba")
    asked = doctor.kernels()
    assert asked.found.startswith("numba: RENKEI_KERNELS=numba")
    assert "unset RENKEI_KERNELS" in asked.todo
    monkeypatch.delenv("RENKEI_KERNELS")
    monkeypatch.setattr(native, "FOLDER", tmp_path)
    native.library.cache_clear()
    absent = doctor.kernels()
    assert absent.found.startswith("numba: no compiler was there at installation")
    assert f"{sys.executable} -m pip install" in absent.todo
    (tmp_path / "avx2.so").write_bytes(b"of another machine")
    assert "another version" in doctor.kernels().found
    assert not absent.broken


@pytest.mark.needs_compiled
def test_compiled_kernels_are_named_by_their_instructions(monkeypatch, fresh):
    monkeypatch.delenv("RENKEI_KERNELS", raising=False)
    assert doctor.kernels() == doctor.Finding("kernels", f"compiled, {native.backend()}")


def test_a_package_that_is_missing_is_broken(monkeypatch):
    real = metadata.version

    def without_h5py(name):
        if name == "h5py":
            raise metadata.PackageNotFoundError(name)
        return real(name)

    monkeypatch.setattr(metadata, "version", without_h5py)
    found = doctor.packages()
    assert (found.broken, found.todo) == (True, "pip install h5py")
    assert "missing: h5py" in found.found


@pytest.mark.parametrize(
    ("said", "words"),
    [
        ("joined 1;joined 1;", "2 worlds of one"),
        ("joined 2;\nno answer within 60 s", "no answer within 60 s"),
        ("a library is missing", "a library is missing"),
    ],
)
def test_ranks_that_do_not_join_are_broken(monkeypatch, said, words):
    monkeypatch.setattr(doctor, "_answer", lambda *_: said)
    found = doctor.mpi()
    assert found.broken
    assert words in found.found


def test_no_launcher_is_no_fault(monkeypatch):
    def none(ranks):
        raise EnvironmentFailed("there is no mpirun", next="pip install mpich, or --ranks 1")

    monkeypatch.setattr(doctor, "launcher", none)
    assert doctor.mpi() == doctor.Finding("MPI", "there is no mpirun", "pip install mpich, or --ranks 1")


def test_a_command_that_hangs_is_ended():
    said = doctor._answer([sys.executable, "-c", "import time; print('begun', flush=True); time.sleep(600)"], 1.0)
    assert said == "begun\n\nno answer within 1 s"


def test_gpus_are_named_and_a_torch_that_cannot_be_imported_is_broken(monkeypatch):
    monkeypatch.setattr(doctor, "find_spec", lambda name: object())
    monkeypatch.setattr(doctor, "_answer", lambda *_: '["2.9", "12.8", [["NVIDIA H100", 85899345920]]]\n')
    assert "NVIDIA H100, 80 GiB" in doctor.trainer().found
    monkeypatch.setattr(doctor, "_answer", lambda *_: "ImportError: libcudart.so.12: no such file")
    assert doctor.trainer().broken
    assert "libcudart" in doctor.trainer().found
    monkeypatch.setattr(doctor, "find_spec", lambda name: None)
    assert not doctor.trainer().broken
    assert "renkei[trainer]" in doctor.trainer().todo


def test_more_threads_than_cores_are_told(monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "4096")
    assert "lower OMP_NUM_THREADS" in doctor.cores().todo


def test_a_sound_folder_is_left_as_it_was(tmp_path):
    assert not doctor.run_files(tmp_path).broken
    assert os.listdir(tmp_path) == []


def test_a_folder_where_names_can_be_taken_twice_is_broken(monkeypatch, tmp_path):
    monkeypatch.setattr(doctor, "_taken_once", lambda path: False)
    assert doctor.run_files(tmp_path).broken
    assert os.listdir(tmp_path) == []


def test_a_folder_that_is_gone_is_broken_and_a_full_one_worth_a_word(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    assert doctor.run_files(tmp_path / "file").broken
    monkeypatch.setattr(doctor, "RUN_GB", 1e9)
    found = doctor.run_space(tmp_path)
    assert (found.broken, found.todo) == (False, "free some space before a long run")
