"""`renkei report`: files, exit codes, what is printed."""

import json
import shutil
import subprocess
import sys

import pytest

from renkei import cli


def run(words, capsys):
    with pytest.raises(SystemExit) as ended:
        cli.main(words)
    printed = capsys.readouterr()
    return ended.value.code or 0, printed.out, printed.err


@pytest.fixture
def copied(sound_run, tmp_path):
    return shutil.copytree(sound_run, tmp_path / "run", symlinks=True)


def test_files_of_a_report(copied, capsys):
    code, out, _ = run(["report", str(copied)], capsys)
    folder = copied / "report"
    assert code == 0
    assert out == f"verdict: exact\nreport: {folder / 'index.html'}\n"
    names = {path.name for path in folder.iterdir()}
    assert {"index.html", "report.json", "acceptance.png", "energies.png", "pairs.png", "balance.png"} <= names
    found = json.loads((folder / "report.json").read_text())
    assert found["audit"]["verdict"] == "exact"
    assert (folder / "index.html").read_text().startswith("<!doctype html>")


def test_a_second_report_replaces_the_first(copied, capsys):
    run(["report", str(copied)], capsys)
    (copied / "report" / "report.json").write_text("old")
    assert run(["report", str(copied)], capsys)[0] == 0
    assert json.loads((copied / "report" / "report.json").read_text())["schema"] == 1


def test_targets_met(copied, capsys):
    code, out, _ = run(["report", str(copied), "--targets"], capsys)
    assert code == 0
    assert [line.split()[0] for line in out.splitlines()] == ["met"] * 8 + ["verdict:", "report:"]


def test_a_missed_target_is_exit_13_after_the_report_is_written(make_run, capsys):
    root = make_run(blocks=(50,), trainer=False)
    code, out, _ = run(["report", str(root), "--targets"], capsys)
    assert code == 13
    assert "missed  production steps: 50; at least 300 wanted" in out
    assert (root / "report" / "index.html").is_file()


@pytest.mark.parametrize("choices", [{"blocks": ()}, {"adapt": 0, "blocks": (), "trainer": False}])
def test_mid_run(make_run, choices, capsys):
    code, out, _ = run(["report", str(make_run(**choices))], capsys)
    assert code == 0
    assert "production has not begun" in out


def test_nothing_to_report(tmp_path, capsys):
    code, _, err = run(["report", str(tmp_path)], capsys)
    assert code == 2
    assert "nothing has started" in err
    assert run(["report", str(tmp_path / "nowhere")], capsys)[0] == 2


def test_no_torch(copied):
    code = f"import sys; from renkei.verbs.report import report; report({str(copied)!r}); assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)
