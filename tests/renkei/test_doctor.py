"""Each check of the doctor, where all is well and where something is not."""

import json
import sys
from importlib import metadata

import pytest

from kernels import native
from protocol.errors import EnvironmentFailed
from renkei import doctor
from renkei.peer_probe import Measured


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
    assert len({finding.subject for finding in found}) == len(found) == 10
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
    said = doctor._answer(["sh", "-c", "echo begun; exec sleep 600"], 1.0)
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
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    assert doctor.cores().todo == ""


def test_threads_are_held_against_what_the_scheduler_allotted(monkeypatch):
    monkeypatch.setattr(doctor, "usable_cores", lambda: 64)
    monkeypatch.setenv("OMP_NUM_THREADS", "8")
    monkeypatch.setenv("OMP_PROC_BIND", "close")
    assert doctor.cores().todo == ""
    monkeypatch.setenv("SLURM_CPUS_ON_NODE", "4")
    found = doctor.cores()
    assert "SLURM_CPUS_ON_NODE 4, OMP_NUM_THREADS 8, OMP_PROC_BIND close" in found.found
    assert found.todo == "more threads than the 4 cores here: lower OMP_NUM_THREADS"


@pytest.mark.parametrize(
    ("one", "two", "words", "todo"),
    [
        ("[0, 1]", "[0, 1]", "not bound (2 cores)", False),
        ("[0]", "[1]", "bound to 1 and 1 cores of their own", False),
        ("[1]", "[1]", "both bound to core 1", True),
        ("[]", "[]", "joined under", False),
    ],
)
def test_ranks_that_the_launcher_binds_to_one_core(monkeypatch, one, two, words, todo):
    monkeypatch.setattr(doctor, "usable_cores", lambda: 2)
    monkeypatch.setattr(doctor, "_answer", lambda *_: f"joined 2; cores {one}\njoined 2; cores {two}\n")
    found = doctor.mpi()
    assert words in found.found
    assert bool(found.todo) is todo
    assert not found.broken


def test_jobs_side_by_side_want_cores(monkeypatch, tmp_path):
    (tmp_path / "run.yaml").write_text(
        "system: {structure: x.xyz}\nengine: {name: harmonic, k_eV_per_A2: 1.0}\nsimulators: {a: {}, b: {}}\n"
        "sampler: {name: pihmc, ensemble: {temperature_K: 300}, beads: 4, trajectory_fs: 10}\n"
    )
    (tmp_path / "machine.yaml").write_text("simulator: {ranks: 3}\n")
    monkeypatch.setattr(doctor, "usable_cores", lambda: 7)
    assert doctor.run_cores(tmp_path).todo == ""
    monkeypatch.setattr(doctor, "usable_cores", lambda: 6)
    found = doctor.run_cores(tmp_path)
    assert found.found == "2 simulator(s) of 3 rank(s) and a trainer of 1 thread(s), 6 cores usable here"
    assert "take turns" in found.todo
    (tmp_path / "machine.yaml").write_text("simulator: {ranks: 3}\nscheduler: {name: slurm}\n")
    assert doctor.run_cores(tmp_path).todo == ""


def test_a_batch_job_without_a_known_end_is_told_how_to_say_it(monkeypatch):
    monkeypatch.setattr(doctor.walltime, "job_left_s", lambda environment: (None, ""))
    assert "no job of Slurm" in doctor.batch_job().found
    monkeypatch.setenv("PJM_JOBID", "9")
    assert "RENKEI_JOB_END" in doctor.batch_job().todo
    monkeypatch.setattr(doctor.walltime, "job_left_s", lambda environment: (600.0, "the job script"))
    assert doctor.batch_job().found == "pjm job 9 ends in 600 s, says the job script"


@pytest.mark.parametrize(
    ("delay_s", "todo", "broken", "waits"),
    [
        (0.1, "", False, "60 s for a late file, and 20 s"),
        (3.0, "poll less", False, "60 s for a late file, and 30 s"),
        (11.0, "poll less", False, "110 s for a late file, and 110 s"),
        (400.0, "no time-out is long enough", True, "3600 s for a late file, and 3600 s"),
    ],
)
def test_a_slow_view_of_the_other_node_makes_time_outs_longer(monkeypatch, tmp_path, delay_s, todo, broken, waits):
    def meet(run, patience_s):
        (run / "jobs").mkdir()
        (run / "jobs" / "probe-gpu1.json").write_text(json.dumps({"slowest_s": delay_s}))
        return Measured("gpu1", delay_s, delay_s, -3600.0)

    monkeypatch.setattr(doctor.peer_probe, "meet", meet)
    found = doctor.other_node(tmp_path, 5.0)
    assert "its clock is -3600.0 s off" in found.found
    assert f"jobs that start now wait {waits} of silence" in found.found
    assert todo in found.todo
    assert found.broken is broken
