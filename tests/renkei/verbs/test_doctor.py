"""doctor says OK or what to do, and exits with 1 where a run cannot work."""

import pytest

from kernels import native
from renkei.doctor import Finding
from renkei.verbs import doctor


def test_the_machine_of_the_tests_with_the_loops_in_numba(renkei, monkeypatch, tmp_path):
    """The real checks, ranks and torch included."""
    renkei("init", tmp_path / "run", "--config", "toy")
    monkeypatch.setenv("RENKEI_KERNELS", "numba")
    native.library.cache_clear()
    code, out, err = renkei("doctor", tmp_path / "run")
    native.library.cache_clear()
    assert (code, err) == (0, "")
    assert "OK      MPI           2 ranks joined" in out
    assert "note    kernels       numba: RENKEI_KERNELS=numba" in out
    assert "OK      run files" in out
    assert "torch" in out
    assert sorted(path.name for path in (tmp_path / "run").iterdir()) == ["machine.yaml", "neon-tetramer.xyz", "run.yaml"]


@pytest.mark.parametrize(("broken", "code"), [(True, 13), (False, 0)])
def test_what_is_broken_has_its_exit_code_and_the_rest_is_said_too(renkei, monkeypatch, broken, code):
    checks = (lambda: Finding("MPI", "nothing joins", "use another", broken), lambda: Finding("cores", "two"))
    monkeypatch.setattr(doctor, "MACHINE", checks)
    word = "BROKEN" if broken else "note"
    assert renkei("doctor") == (
        code,
        f"{word:6}  MPI           nothing joins\n{'':21} -> use another\nOK      cores         two\n",
        "",
    )


def test_a_folder_that_is_no_run_is_a_usage_error(renkei, tmp_path):
    assert renkei("doctor", tmp_path) == (
        2,
        "",
        f"renkei: {tmp_path}: is no run folder; name one with a run.yaml, as `renkei init` makes it\n",
    )
