"""Parts by the settings: the controller's first choices, and the cheap engine that must be both there and wanted."""

import pytest

from protocol.errors import BadSetting
from sim_daemon.adapt import STEP_TARGET
from sim_daemon.assemble import FIRST_PRINCIPLES_LENGTH_FS, load_config, make_adapter
from sim_daemon.system import read_system

RUN = """
system: {structure: atom.xyz}
engine: {name: harmonic, k_eV_per_A2: 2.0}
%s
sampler: {name: %s, ensemble: {temperature_K: 300}%s}
"""


@pytest.fixture
def read(tmp_path):
    def make(sampler="sl_pihmc", keys="", more=""):
        (tmp_path / "run.yaml").write_text(RUN % (more, sampler, keys))
        (tmp_path / "machine.yaml").write_text("{}")
        (tmp_path / "atom.xyz").write_text("1\n\nHe 0 0 0\n")
        return load_config(tmp_path, "sim0")

    return make


def adapter(config):
    return make_adapter(config.science.sampler, read_system(config))


def test_the_step_is_tuned_by_what_a_rejection_costs_and_not_in_dynamics(read):
    plain, partial = adapter(read("pihmc")), adapter(read("pihmc", ", refreshment: {angle_rad: 0.4}"))
    assert plain.step.target == STEP_TARGET["first_principles"] < partial.step.target
    dynamics = adapter(read("pimd"))
    assert plain.tune_step
    assert not dynamics.tune_step
    assert not dynamics.learns


def test_a_length_that_costs_engine_calls_is_short(read):
    kicked, plain = adapter(read(keys=", proposal: multiple_time_step")), adapter(read())
    assert kicked.trajectory_fs(0) == FIRST_PRINCIPLES_LENGTH_FS < plain.trajectory_fs(0)
    assert kicked.learns


CHEAP = "cheap_engine: {name: harmonic, k_eV_per_A2: 1.5}"


def test_a_cheap_engine_is_wanted_and_there(read):
    assert read(keys=", delayed_acceptance: cheap_engine", more=CHEAP).science.cheap_engine.k_eV_per_A2 == 1.5
    with pytest.raises(BadSetting, match="cheap_engine: is missing"):
        read(keys=", delayed_acceptance: cheap_engine")
    with pytest.raises(BadSetting, match="cheap_engine: nothing uses it"):
        read(more=CHEAP)
    with pytest.raises(BadSetting, match="k_eV_per_A2"):
        read(keys=", delayed_acceptance: cheap_engine", more="cheap_engine: {name: harmonic}")


def test_labels_that_adapt_has_no_time_for_are_refused(read):
    adapt = "phases: {adapt: {max_steps: 100, labels: %d}}"
    assert read(keys=", beads: 4, walkers: 2", more=adapt % 200).science.phases.adapt.labels == 200
    with pytest.raises(BadSetting, match="leaves time for about 200 labels, got 201"):
        read(keys=", beads: 4, walkers: 2", more=adapt % 201)
    read("pihmc", more=adapt % 10**6)  # it learns nothing
