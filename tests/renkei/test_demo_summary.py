"""Each target met by a sound run, and missed by a run that lacks just that."""

import pytest

from protocol import jsontext
from renkei import demo_summary, results, run_view
from renkei.demo_summary import Targets


def outcomes(root, targets=None):
    view = run_view.read(root)
    return demo_summary.summary(view, jsontext.plain(results.report(view, results.read_trajectories(view))), targets)


def missed(found):
    return [outcome.text for outcome in found if not outcome.met]


def test_a_sound_run_meets_all(sound_run):
    found = outcomes(sound_run)
    assert missed(found) == []
    assert len(found) == 8
    assert all(str(outcome).startswith("met") for outcome in found)
    assert any("; generation 0 began with" in outcome.text for outcome in found)


@pytest.mark.parametrize(
    ("choices", "said"),
    [
        ({"generations": 2}, ["generations published and used: 2", "the last used generation, 1"]),
        ({"blocks": (290,)}, ["production steps: 290"]),
        ({"spread": 1.6, "blocks": (2000,)}, ["production acceptance: 0."]),
        ({"difference_eV": 0.1}, ["primitive minus virial energy"]),
    ],
)
def test_one_target_is_missed(make_run, choices, said):
    found = missed(outcomes(make_run(**choices)))
    assert len(found) == len(said)
    assert all(text.startswith(start) for text, start in zip(found, said, strict=True))


@pytest.mark.parametrize("harder", [{"trajectory_fs": 31.0}, {"difference_stderr_meV": 1.0}, {"ess": 1000.0}])
def test_harder_targets(sound_run, harder):
    assert len(missed(outcomes(sound_run, Targets(**harder)))) == 1


def test_where_labels_come_from(sound_run):
    view = run_view.read(sound_run)
    assert demo_summary.batch_generations(view.simulators[0]) == {1: {-1}, 2: {0}, 3: {1}, 4: {2}}
    assert demo_summary.sources(view)[2] == {-1, 0, 1}


@pytest.mark.parametrize("choices", [{"blocks": (), "trainer": False}, {"adapt": 0, "blocks": ()}])
def test_unfinished_runs_miss_most(make_run, choices):
    assert len(missed(outcomes(make_run(**choices)))) >= 5


def test_nothing_has_started(tmp_path):
    assert missed(outcomes(tmp_path)) == ["no simulator has started"]
