"""What is told while training."""

import io

from rich.console import Console

from renkei.training import bar as training_bar
from renkei.training.bar import TrainingBar, errors, pace
from renkei.training.fit import Course

ROW = {"step": 400, "loss": 0.0123, "rmse_energy_meV_per_atom": 2.14, "rmse_force_eV_per_A": 0.0512}
SEEN = {"step": 400, "energy_rmse_meV_per_atom": 3.5, "force_rmse_eV_per_A": 0.061}


def test_what_is_known_is_told():
    course = Course(None, steps=400)
    assert (pace(course, None, None), errors(course)) == ("step 400", "")
    course.rows.append(ROW)
    course.validations.append(SEEN)
    assert pace(course, 2500, 310.0) == "step 400 of 2500, 310 steps/s"
    assert errors(course) == "loss 0.0123, training 2.14 meV/atom 0.0512 eV/A, validation 3.5 meV/atom 0.061 eV/A"
    course.rows.append(ROW | {"rmse_virial_meV_per_atom": 31.2})
    assert "0.0512 eV/A, virial 31.2 meV/atom, validation" in errors(course)


def test_a_learner_of_other_errors_is_no_defect():
    assert errors(Course(None, steps=3, rows=[{"step": 3, "accuracy": 0.9}])) == ""


def told(terminal, quiet, monkeypatch):
    monkeypatch.setattr(training_bar, "FIRST_LINE_S", 0.0)
    monkeypatch.setattr(training_bar, "BAR_S", 0.0)
    screen = io.StringIO()
    bar = TrainingBar(quiet, Console(file=screen, force_terminal=terminal, width=200))
    bar.say("a word before")
    for step in range(1, 6):
        bar.tick(Course(None, steps=step, rows=[ROW]), 10)
    bar.close()
    return screen.getvalue()


def test_lines_bar_and_silence(monkeypatch):
    lines = told(False, False, monkeypatch).splitlines()
    assert lines[0] == "a word before"
    assert lines[-1].startswith("step 5 of 10, ")
    assert "steps/s, loss 0.0123" in lines[-1]
    assert lines[-1].endswith(" s left")
    bar = told(True, False, monkeypatch)
    assert "step 5 of 10" in bar
    assert "loss 0.0123" in bar
    assert "\x1b[" in bar
    assert told(True, True, monkeypatch) == told(False, True, monkeypatch) == ""
