"""Run folders from YAML files: comments kept, changes applied, another science refused, nothing written if anything is wrong."""

import pytest
import yaml

from protocol import names
from protocol.errors import BadSetting, EnvironmentFailed
from protocol.settings import load, resolved
from protocol.store import Store
from renkei import prepare
from renkei.plugins import PLUGINS


def test_one_yaml_becomes_a_run_folder(yaml_file, tmp_path):
    run = prepare.run_folder(yaml_file, tmp_path / "run", [])
    assert run == tmp_path / "run"
    assert sorted(path.name for path in run.iterdir()) == ["machine.yaml", "run.yaml", "water.xyz"]
    text = (run / "run.yaml").read_text()
    assert text.startswith("# one molecule\nsystem:\n  structure: water.xyz  # beside this file\n")
    assert "  beads: 4  # few\n" in text
    assert yaml.safe_load((run / "machine.yaml").read_text()) == {"simulator": {"ranks": 1}}


def test_the_folder_is_named_by_the_file(yaml_file, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert prepare.run_folder(yaml_file, None, []).as_posix() == "runs/one"


def test_structure_is_copied_from_where_the_yaml_points(yaml_file, tmp_path):
    deep = yaml_file.parent / "deep"
    deep.mkdir()
    (yaml_file.parent / "water.xyz").rename(deep / "w.xyz")
    yaml_file.write_text(yaml_file.read_text().replace("water.xyz", "deep/w.xyz"))
    run = prepare.run_folder(yaml_file, tmp_path / "run", [])
    assert load(run, PLUGINS).structure_path == run / "w.xyz"
    assert (run / "w.xyz").read_bytes() == (deep / "w.xyz").read_bytes()


def test_a_simulator_s_own_structure_comes_along(yaml_file, tmp_path):
    (yaml_file.parent / "deep").mkdir()
    (yaml_file.parent / "deep" / "far.xyz").write_text("3\n\nO 0 0 0\nH 0.99 0 0\nH -0.25 0.95 0\n")
    own = "simulators: {sim0: {}, far: {system: {structure: deep/far.xyz}}}"
    yaml_file.write_text(yaml_file.read_text().replace("machine:", f"  {own}\nmachine:"))
    run = prepare.run_folder(yaml_file, tmp_path / "run", [])
    assert load(run, PLUGINS, simulator="far").structure_path == run / "far.xyz"
    assert load(run, PLUGINS, simulator="sim0").structure_path == run / "water.xyz"
    (yaml_file.parent / "deep" / "far.xyz").rename(yaml_file.parent / "deep" / "water.xyz")
    yaml_file.write_text(yaml_file.read_text().replace("far.xyz", "water.xyz"))
    with pytest.raises(BadSetting, match=r"another file of the run is called water\.xyz too"):
        prepare.run_folder(yaml_file, tmp_path / "other", [])


def test_changes_are_written_into_the_folder(yaml_file, tmp_path):
    changes = ["seed=5", "sampler.beads=8", "machine.simulator.ranks=3", "phases.production.steps=12"]
    run = prepare.run_folder(yaml_file, tmp_path / "run", changes)
    config = load(run, PLUGINS)
    assert (config.science.seed, config.science.sampler.beads, config.machine.simulator.ranks) == (5, 8, 3)
    assert config.science.phases.production.steps == 12
    assert "  beads: 8  # few\n" in (run / "run.yaml").read_text()


def test_the_same_command_again_changes_nothing(yaml_file, tmp_path):
    run = prepare.run_folder(yaml_file, tmp_path / "run", ["seed=5"])
    before = {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in run.iterdir()}
    prepare.run_folder(yaml_file, run, ["seed=5"])
    prepare.run_folder(run, None, [])
    assert {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in run.iterdir()} == before


def test_another_science_is_refused_by_name_and_free_keys_may_change(yaml_file, tmp_path):
    run = prepare.run_folder(yaml_file, tmp_path / "run", [])
    with pytest.raises(BadSetting, match=r"sampler\.beads, seed changed since this run began"):
        prepare.run_folder(yaml_file, run, ["seed=2", "sampler.beads=5"])
    assert load(run, PLUGINS).science.seed == 1
    prepare.run_folder(yaml_file, run, ["phases.production.steps=7", "machine.simulator.ranks=2"])
    assert load(run, PLUGINS).science.phases.production.steps == 7


def test_a_run_that_has_started_keeps_its_science(yaml_file, tmp_path):
    run = prepare.run_folder(yaml_file, tmp_path / "run", [])
    epoch = Store(run).claim("sim/sim0")
    simulator = {kind: PLUGINS[kind] for kind in ("engine", "sampler", "channel")}
    epoch.write_text(names.RESOLVED, resolved(load(run, simulator, simulator="sim0")))
    epoch.close()
    prepare.run_folder(run, None, ["coupling.segment_steps=9"])
    with pytest.raises(BadSetting, match=r"sampler\.ensemble\.temperature_K changed since"):
        prepare.run_folder(run, None, ["sampler.ensemble.temperature_K=301"])
    assert load(run, PLUGINS).science.sampler.ensemble.temperature_K == 300


def test_electrons_that_do_not_fit_leave_the_folder_as_it_was(yaml_file, tmp_path):
    with pytest.raises(BadSetting, match="cannot have multiplicity 2"):
        prepare.run_folder(yaml_file, tmp_path / "new", ["system.multiplicity=2"])
    assert not (tmp_path / "new").exists()
    run = prepare.run_folder(yaml_file, tmp_path / "run", [])
    with pytest.raises(BadSetting, match="cannot have multiplicity 2"):
        prepare.run_folder(run, None, ["system.multiplicity=2"])
    assert load(run, PLUGINS).science.system.multiplicity == 1


def test_nothing_is_written_if_anything_is_wrong(yaml_file, tmp_path):
    with pytest.raises(BadSetting, match=r"sampler\.beads"):
        prepare.run_folder(yaml_file, tmp_path / "run", ["sampler.beads=0"])
    (yaml_file.parent / "water.xyz").unlink()
    with pytest.raises(BadSetting, match=r"water\.xyz: system\.structure: no such file"):
        prepare.run_folder(yaml_file, tmp_path / "run", [])
    assert not (tmp_path / "run").exists()


def test_a_folder_that_cannot_be_made(yaml_file, tmp_path):
    (tmp_path / "file").write_text("x")
    with pytest.raises(EnvironmentFailed, match="file"):
        prepare.run_folder(yaml_file, tmp_path / "file" / "run", [])


def test_into_is_for_files_only(tmp_path, yaml_file):
    with pytest.raises(BadSetting, match="--into is for a YAML file"):
        prepare.run_folder(yaml_file.parent, tmp_path / "x", [])


@pytest.mark.parametrize(
    ("text", "science", "machine"),
    [
        ("seed: 1\n", {"seed": 1}, None),
        ("machine:\n    trainer: {device: cpu}\n# between\nscience:\n    seed: 1\n", {"seed": 1}, {"trainer": {"device": "cpu"}}),
        ("science: {seed: 1, coupling: {segment_steps: 3}}\n", {"seed": 1, "coupling": {"segment_steps": 3}}, None),
        ("science: {seed: 1,\n  coupling: {}}\nmachine: {}\n", {"seed": 1, "coupling": {}}, None),
        ("science:\n    # first\n    seed: 1\n  # less\nmachine:\n", {"seed": 1}, None),
    ],
)
def test_split(text, science, machine):
    parts = [yaml.safe_load(part) for part in prepare.split(text)]
    assert parts == [science, machine or yaml.safe_load(prepare.DEFAULT_MACHINE)]


def test_control_files(tmp_path):
    prepare.put_control(tmp_path, "STOP")
    prepare.put_control(tmp_path, "PAUSE")
    (tmp_path / "control" / "NOTE").write_text("mine")
    prepare.clear_controls(tmp_path)
    assert [path.name for path in (tmp_path / "control").iterdir()] == ["NOTE"]


def test_charges_that_do_not_suit_the_structure_are_refused_before_anything_is_written(yaml_file, tmp_path):
    with pytest.raises(BadSetting, match=r"learner\.charges: H has no charge"):
        prepare.run_folder(yaml_file, tmp_path / "run", ["learner.name=kan", "learner.charges={O: -0.8}"])
    assert not (tmp_path / "run").exists()
    run = prepare.run_folder(yaml_file, tmp_path / "run", ["learner.name=kan", "learner.charges={O: -0.8, H: 0.4}"])
    assert load(run, PLUGINS).science.learner.charges == {"O": -0.8, "H": 0.4}
    with pytest.raises(BadSetting, match="there is no Na in what is learned"):
        prepare.run_folder(run, None, ["learner.charges={O: -0.8, H: 0.4, Na: 1}"])


@pytest.mark.parametrize(("sampler", "wanted"), [("sl_pihmc", True), ("metropolis", True), ("pihmc", False), ("pimd", False)])
def test_who_wants_a_trainer(yaml_file, tmp_path, sampler, wanted):
    run = prepare.run_folder(yaml_file, tmp_path / "run", [f"sampler.name={sampler}", "sampler.beads=1"])
    assert prepare.uses_weights(run, load(run, PLUGINS)) is wanted
