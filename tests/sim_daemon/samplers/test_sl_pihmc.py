"""Keys that do not fit together are refused by a sentence."""

import pytest
from pydantic import ValidationError

from sim_daemon.samplers import pihmc
from sim_daemon.samplers.sl_pihmc import Settings

NPT = {"name": "npt", "temperature_K": 300, "pressure_GPa": 0.1}


def read(**changes):
    return Settings.model_validate({"ensemble": {"temperature_K": 300}, **changes})


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"segment": {"verlet_steps": 2}}, "segment is for proposal: segment, not trajectory"),
        ({"proposal": "segment", "kick_every": 2}, "kick_every is for proposal: multiple_time_step, not segment"),
        ({"proposal": "segment", "delayed_acceptance": "surrogate"}, "which the surrogate has judged already"),
        ({"proposal": "multiple_time_step", "delayed_acceptance": "cheap_engine"}, "which has called the engine already"),
        ({"refreshment": {}}, "needs either angle_rad or friction_per_fs"),
        ({"refreshment": {"angle_rad": 1.0, "friction_per_fs": 1.0}}, "needs either angle_rad or friction_per_fs"),
        ({"refreshment": {"angle_rad": 2.0}}, "less than or equal to 1.57"),
        ({"proposal": "segment", "segment": {"verlet_steps": 9}}, "less than or equal to 8"),
        ({"proposal": "segment", "ensemble": NPT}, "constant pressure needs"),
        ({"refreshment": {"angle_rad": 0.5}, "ensemble": NPT}, "constant pressure needs"),
    ],
)
def test_keys_that_do_not_fit(changes, said):
    with pytest.raises(ValidationError, match=said):
        read(**changes)


def test_constant_pressure_with_first_principles_needs_fresh_momenta():
    with pytest.raises(ValidationError, match="leave refreshment out"):
        pihmc.Settings.model_validate({"ensemble": NPT, "refreshment": {"angle_rad": 0.5}})


def test_what_fits():
    assert read(proposal="segment", delayed_acceptance="cheap_engine", refreshment={"angle_rad": 0.5}).segment is None
    assert read(proposal="multiple_time_step", kick_every=6).kick_every == 6
    assert read().refreshment is None
    for changes in ({}, {"ladder": {"highest_K": 400}, "walkers": 3}, {"ladder": {"temperatures_K": [300, 310]}, "walkers": 2}):
        told = read(**changes)
        assert read(**told.model_dump(mode="json")) == told  # what a run has resolved is understood again
