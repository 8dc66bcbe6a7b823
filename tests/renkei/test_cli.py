"""The shell: verbs by file name, one sentence for what goes wrong, exit codes."""

import subprocess
import sys
from importlib import metadata
from pathlib import Path

import pytest

from protocol.errors import EngineFailed
from renkei import cli


def test_help_names_every_verb_with_a_line(renkei):
    code, out, _ = renkei("--help")
    assert code == 0
    for name, line in cli.verbs().items():
        assert f"  {name} " in out
        assert line.endswith("."), f"{name} has no line of help"
    assert {"init", "check", "run", "status", "stop", "resume", "schema"} <= cli.verbs().keys()


@pytest.mark.parametrize("name", sorted(cli.verbs()))
def test_every_verb_explains_itself(renkei, name):
    code, out, _ = renkei(name, "--help")
    assert code == 0
    assert out.startswith("Usage: renkei")


def test_the_version(renkei):
    assert renkei("--version")[:2] == (0, f"renkei {metadata.version('renkei')}\n")


def test_a_misspelt_verb_or_option_is_a_usage_error(renkei):
    code, _, err = renkei("statsu")
    assert code == 2
    assert "statsu" in err
    assert renkei("stop", "--loud")[0] == 2
    assert renkei("stop")[0] == 2


def test_an_error_for_people_is_one_sentence_with_its_exit_code(renkei, monkeypatch, tmp_path):
    code, _, err = renkei("status", tmp_path / "nowhere")
    assert (code, err) == (
        2,
        f"renkei: {tmp_path / 'nowhere'}: is no run folder; name one with a run.yaml, as `renkei init` makes it\n",
    )

    def broken(run: Path) -> None:
        raise EngineFailed("pw.x is not there", "engine", "install it")

    monkeypatch.setattr("renkei.verbs.stop.stop", broken)
    assert renkei("stop", tmp_path) == (3, "", "renkei: engine: pw.x is not there; install it\n")


def test_a_defect_leaves_its_traceback_in_a_log(renkei, monkeypatch, tmp_path):
    def broken(run: Path) -> None:
        raise ZeroDivisionError("oh")

    monkeypatch.setattr("renkei.verbs.stop.stop", broken)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    code, _, err = renkei("stop", tmp_path)
    assert code == 1
    assert err.startswith("renkei: a defect of renkei: ZeroDivisionError: oh; its traceback is in ")
    assert "Traceback" in Path(err.split(" is in ")[1].strip()).read_text()


def test_interruption(renkei, monkeypatch, tmp_path):
    def interrupted(run: Path) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("renkei.verbs.stop.stop", interrupted)
    assert renkei("stop", tmp_path)[0] in (1, 130)


def test_a_light_verb_imports_no_heavy_library():
    heavy = "{'torch', 'mpi4py', 'matplotlib', 'tblite', 'pyscf', 'numba'}"
    text = f"import sys\nfrom renkei.cli import build\nbuild(['stop'])\nprint(sorted({heavy} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", text], capture_output=True, text=True, check=True).stdout.strip() == "[]"
