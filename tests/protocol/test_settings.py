"""The configuration: what is understood, and one clear sentence with file and line for what is not."""

import importlib.util
import sys
from typing import Annotated, Literal

import pytest
import yaml
from pydantic import Discriminator, Tag, ValidationError

from protocol import setting_errors, settings
from protocol.errors import BadSetting, Exit
from protocol.sections import Section

BASE = """
from importlib import util
from pathlib import Path
import sys

def load(name):
    path = Path(__file__).parent / f"{name}.py"
    spec = util.spec_from_file_location(name, path)
    if not path.is_file():
        raise ModuleNotFoundError(f"No module named {name}", name=name)
    module = util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module
"""
RINGS = """
from typing import Literal
from pydantic import Field
from protocol.settings import Section

class Ensemble(Section):
    name: Literal["nvt"]
    temperature_K: float = Field(gt=0)

class Settings(Section):
    name: str
    ensemble: Ensemble
    beads: int = Field(default=8, ge=1)
    timestep_fs: Literal["auto"] | float = "auto"
    trajectory_max_fs: float = Field(default=100.0, gt=0)
    widths: tuple[float, ...] = (1.0, 2.0)

def build(settings):
    return settings
"""
RUN = """\
# a run
system:
  structure: water.xyz
engine: {name: tblite, method: GFN2-xTB}
sampler:
  name: rings_of_test
  ensemble: {name: nvt, temperature_K: 300}
  beads: 16
  trajectory_max_fs: 80
"""


@pytest.fixture
def plugins(tmp_path, monkeypatch):
    """A folder of sampler plug-ins with one plug-in."""
    folder = tmp_path / "plugins"
    folder.mkdir()
    (folder / "base.py").write_text(BASE)
    (folder / "rings_of_test.py").write_text(RINGS)
    (folder / "broken_of_test.py").write_text("import no_such_module\nclass Settings: ...\ndef build(): ...\n")
    spec = importlib.util.spec_from_file_location("base_of_test", folder / "base.py")
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "base_of_test", module)
    spec.loader.exec_module(module)
    return {"sampler": module.load}


@pytest.fixture
def told(tmp_path, plugins):
    """What is said about a text; the folder's name is cut."""

    def tell(text, overrides=(), simulator=None):
        (tmp_path / "run.yaml").write_text(text)
        with pytest.raises(BadSetting) as caught:
            settings.load(tmp_path / "run.yaml", plugins, overrides, simulator)
        assert caught.value.exit_code == Exit.USAGE
        return str(caught.value).replace(f"{tmp_path}/", "")

    return tell


@pytest.fixture
def config(tmp_path, plugins):
    """The configuration of a text."""

    def understand(text=RUN, overrides=(), simulator=None):
        (tmp_path / "run.yaml").write_text(text)
        return settings.load(tmp_path / "run.yaml", plugins, overrides, simulator)

    return understand


def test_defaults_are_those_of_the_design(config):
    science, machine = config().science, config().machine
    assert (science.system.charge, science.system.multiplicity, science.system.restraint) == (0, 1, None)
    assert (science.coupling.labels_per_retrain, science.coupling.beads_per_ring, science.coupling.segment_steps) == (200, 4, 50)
    assert (science.phases.adapt.until, science.phases.adapt.max_steps) == ("converged", 2000)
    assert (science.phases.production.steps, science.phases.production.max_blocks) == (1000, 3)
    assert (science.simulators, science.seed, machine.simulator.ranks, machine.trainer.device) == ({"sim0": {}}, 1, 1, "auto")
    assert (machine.channel, machine.scheduler) == ({"name": "files"}, {"name": "local"})


def test_plugin_validates_its_own_section_and_others_stay_raw(config):
    science = config().science
    assert (science.sampler.beads, science.sampler.ensemble.temperature_K, science.sampler.widths) == (16, 300.0, (1.0, 2.0))
    assert science.engine == {"name": "tblite", "method": "GFN2-xTB"}


def test_structure_is_found_beside_the_file(config, tmp_path):
    assert config().structure_path == tmp_path / "water.xyz"
    assert config().science.system.structure == "water.xyz"


def test_numbers_and_words_follow_yaml_1_2(config):
    science = config(
        RUN.replace("  beads: 16", "  timestep_fs: 5e-1").replace(
            "structure: water.xyz", "structure: No\n  isotopes: {No: 255, 1: D}"
        )
    ).science
    assert science.sampler.timestep_fs == 0.5
    assert science.system.structure == "No"
    assert science.system.isotopes == {"No": 255.0, 1: "D"}


def changed(old, new):
    assert old in RUN
    return RUN.replace(old, new)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        (changed("max_fs: 80", "max_fs: -0.5"), "run.yaml:9: sampler.trajectory_max_fs: must be > 0, got -0.5"),
        (changed("beads: 16", "beads: 0"), "run.yaml:8: sampler.beads: must be >= 1, got 0"),
        (changed("beads: 16", "beads: many"), "run.yaml:8: sampler.beads: must be a whole number, got 'many'"),
        (changed("beads: 16", "beads: 1.5"), "run.yaml:8: sampler.beads: must be a whole number, got 1.5"),
        (changed("beads: 16", "beads: true"), "run.yaml:8: sampler.beads: must not be true or false, got true"),
        (changed("beads: 16", "bedas: 16"), "run.yaml:8: sampler.bedas: unknown key; did you mean beads?"),
        (changed("beads: 16", "timestep: 0.5"), "run.yaml:8: sampler.timestep: unknown key; did you mean timestep_fs?"),
        (changed("beads: 16", "timestep_fs: fast"), "run.yaml:8: sampler.timestep_fs: must be 'auto' or a number, got 'fast'"),
        (changed("beads: 16", "widths: 3"), "run.yaml:8: sampler.widths: must be a list, got 3"),
        (changed("beads: 16", "widths: [1.0, x]"), "run.yaml:8: sampler.widths[1]: must be a number, got 'x'"),
        (
            changed("ature_K: 300", "ature_K: .nan"),
            "run.yaml:7: sampler.ensemble.temperature_K: must be a finite number, got nan",
        ),
        (
            changed("ature_K: 300", "ature_K: .inf"),
            "run.yaml:7: sampler.ensemble.temperature_K: must be a finite number, got inf",
        ),
        (changed("name: nvt, temp", "name: npt, temp"), "run.yaml:7: sampler.ensemble.name: must be 'nvt', got 'npt'"),
        (changed(", temperature_K: 300", ""), "run.yaml:7: sampler.ensemble.temperature_K: is missing"),
        (
            changed("rings_of_test", "ring_of_test"),
            "run.yaml:6: sampler.name: there is no sampler called 'ring_of_test'; did you mean rings_of_test?",
        ),
        (
            changed("rings_of_test", "../x"),
            "run.yaml:6: sampler.name: there is no sampler called '../x'; known: broken_of_test, rings_of_test",
        ),
        (
            changed("rings_of_test", "broken_of_test"),
            "run.yaml:6: sampler.name: sampler broken_of_test needs the Python package no_such_module, which is not installed",
        ),
        (changed("  name: rings_of_test\n", ""), "run.yaml:5: sampler.name: is missing; known: broken_of_test, rings_of_test"),
        (changed("{name: tblite, method: GFN2-xTB}", "tblite"), "run.yaml:4: engine: must be a section of keys, got 'tblite'"),
        (changed("engine: {name: tblite, method: GFN2-xTB}\n", ""), "run.yaml:1: engine: is missing"),
        (RUN + "seeds: 2\n", "run.yaml:10: seeds: unknown key; did you mean seed?"),
        (RUN + "seed: -1\n", "run.yaml:10: seed: must be >= 0, got -1"),
        (RUN + "coupling:\n", "run.yaml:10: coupling: must be a section of keys, got nothing"),
        (RUN + "coupling: {epochs_per_retrain: 0}\n", "run.yaml:10: coupling.epochs_per_retrain: must be auto or >= 1, got 0"),
        (RUN + "sampler: {}\n", "run.yaml:10: sampler: given twice, first in line 5; keep one of them"),
        (
            RUN + "simulators: {hot: {engine: {name: x}}}\n",
            "run.yaml:10: simulators: hot.engine: a simulator may have its own system, sampler, phases, seed only",
        ),
        (RUN + "system2: &a [*a]\n", "run.yaml:10: a section refers to itself"),
        (RUN + "? [1, 2]\n: 3\n", "run.yaml:10: a key must be a word or a number"),
        (RUN + "seed: !!python/object/apply:os.system [ls]\n", None),
        (changed("  beads", "\tbeads"), "run.yaml:8: a tab stands where YAML wants spaces; indent with spaces"),
        (RUN + "seed: [1\n", None),
        ("", "run.yaml: is empty; `renkei init` writes a complete example"),
        ("# nothing\n", "run.yaml: is empty; `renkei init` writes a complete example"),
        ("- 1\n", "run.yaml:1: must be a section of keys (`key: value`)"),
        ("machine: {}\n", "run.yaml: science: is missing"),
        (
            "science:\n  seed: 1\nmachin: {}\n",
            "run.yaml:3: machin: unknown key; did you mean machine?; indent it under science or machine",
        ),
    ],
)
def test_one_clear_sentence(told, text, sentence):
    said = told(text)
    assert said == sentence if sentence else said.startswith("run.yaml:10: ") or said.startswith("run.yaml:11: ")


def test_all_problems_are_told_in_the_order_of_the_file(told):
    said = told(changed("beads: 16", "beads: 0") + "seeed: 1\n").splitlines()
    assert said == ["run.yaml:8: sampler.beads: must be >= 1, got 0", "run.yaml:10: seeed: unknown key; did you mean seed?"]


def test_missing_files(tmp_path, plugins):
    with pytest.raises(BadSetting, match=r"nowhere\.yaml: no such file"):
        settings.load(tmp_path / "nowhere.yaml", plugins)
    with pytest.raises(BadSetting, match=r"has no run\.yaml; `renkei init` writes one"):
        settings.load(tmp_path, plugins)


def test_not_text(tmp_path):
    (tmp_path / "run.yaml").write_bytes(b"seed: 1\n# \xff\xfe\n")
    with pytest.raises(BadSetting, match=r"run\.yaml:2: is not UTF-8 text"):
        settings.load(tmp_path / "run.yaml", {})


def test_run_folder_takes_science_and_machine_from_two_files(tmp_path):
    (tmp_path / "run.yaml").write_text(RUN)
    (tmp_path / "machine.yaml").write_text("simulator: {ranks: 6, ranks_per_engine: 2}\ntrainer: {device: 'cuda:1'}\n")
    machine = settings.load(tmp_path, {}).machine
    assert (machine.simulator.ranks, machine.trainer.device) == (6, "cuda:1")
    (tmp_path / "machine.yaml").write_text("trainer: {device: cpu}\nsimulator: {ranks: 3, ranks_per_engine: 2}\n")
    with pytest.raises(BadSetting, match=r"machine\.yaml:2: simulator: ranks \(3\) must be a multiple of ranks_per_engine \(2\)"):
        settings.load(tmp_path, {})


def test_one_file_with_both(config, tmp_path):
    text = "science:\n" + "".join(f"  {line}\n" for line in RUN.splitlines()) + "machine:\n  simulator: {ranks: 4}\n"
    assert config(text).machine.simulator.ranks == 4
    (tmp_path / "machine.yaml").write_text("simulator: {ranks: 2}\n")
    with pytest.raises(BadSetting, match=r"machine\.yaml:1: machine: given here and in .*run\.yaml:11; keep one of them"):
        settings.load(tmp_path, {})


def test_overrides_reach_science_and_machine(config):
    changed = config(
        overrides=[
            "sampler.beads=4",
            "seed=7",
            "machine.simulator.ranks=3",
            "science.system.restraint={radius_A: 5, k_eV_per_A2: 1}",
        ]
    )
    assert (changed.science.sampler.beads, changed.science.seed, changed.machine.simulator.ranks) == (4, 7, 3)
    assert changed.science.system.restraint.radius_A == 5.0


@pytest.mark.parametrize(
    ("override", "sentence"),
    [
        ("sampler.beads=0", "--set sampler.beads=0: sampler.beads: must be >= 1, got 0"),
        ("smapler.beads=3", "--set smapler.beads=3: smapler: unknown key; did you mean sampler?"),
        ("sampler.bedas=3", "--set sampler.bedas=3: sampler.bedas: unknown key; did you mean beads?"),
        ("seed", "--set seed: must look like KEY=VALUE, e.g. sampler.beads=8"),
        ("seed=[1", None),
    ],
)
def test_a_wrong_override_is_named(told, override, sentence):
    said = told(RUN, overrides=[override])
    assert said == sentence if sentence else said.startswith("--set seed=[1")


def test_a_simulator_may_differ_in_its_sampler(config, told):
    text = RUN + "simulators:\n  cold: {}\n  hot:\n    sampler: {ensemble: {temperature_K: 400}}\n"
    assert config(text).science.sampler.ensemble.temperature_K == 300
    assert config(text, simulator="cold").science.sampler.ensemble.temperature_K == 300
    hot = config(text, simulator="hot").science.sampler
    assert (hot.ensemble.temperature_K, hot.beads) == (400, 16)
    assert told(text, simulator="hto") == "run.yaml:10: simulators: there is none called hto; did you mean hot?"
    assert told(text.replace("400", "-4")) == "run.yaml:13: sampler.ensemble.temperature_K: must be > 0, got -4"


def test_resolved_text_holds_every_default(config, tmp_path, plugins):
    (tmp_path / "water.xyz").write_text("1\n\nH 0 0 0\n")
    text = settings.resolved(config())
    data = yaml.safe_load(text)
    assert data["science"]["sampler"]["widths"] == [1.0, 2.0]
    assert data["science"]["phases"]["production"] == {
        "steps": 1000,
        "estimator": "chain",
        "two_level": None,
        "max_blocks": 3,
        "until": None,
        "max_steps": None,
    }
    assert len(data["files"]["structure_sha256"]) == 64
    assert settings.science_changes(text, config()) == []


def test_changes_of_the_science_are_named_and_the_rest_may_change(config, tmp_path):
    (tmp_path / "water.xyz").write_text("1\n\nH 0 0 0\n")
    old = config()
    text = settings.resolved(old)
    free = config(
        overrides=[
            "phases.production.steps=5",
            "phases.adapt.max_steps=9",
            "coupling.segment_steps=2",
            "machine.simulator.ranks=2",
        ]
    )
    assert settings.science_changes(text, free) == []
    other = config(overrides=["sampler.ensemble.temperature_K=301", "engine.method=GFN1-xTB", "system.isotopes={H: D}"])
    assert settings.science_changes(text, other) == [
        "engine.method",
        "sampler.ensemble.temperature_K",
        "system.isotopes",
        "system.isotopes.H",
    ]
    (tmp_path / "water.xyz").write_text("1\n\nH 0 0 1\n")
    assert settings.science_changes(text, config()) == ["system.structure"]


def test_schema_knows_the_plugins_and_their_ranges(plugins):
    (kinds,) = [{"sampler": plugins["sampler"]}]
    names = settings.plugin_names(kinds["sampler"])
    assert names == ["broken_of_test", "rings_of_test"]
    (settings.Path(plugins["sampler"].__code__.co_filename).parent / "broken_of_test.py").unlink()
    schema = settings.json_schema(kinds)
    assert schema["$defs"]["science"]["properties"]["sampler"]["anyOf"] == [{"$ref": "#/$defs/sampler_rings_of_test"}]
    assert schema["$defs"]["sampler_rings_of_test"]["properties"]["beads"]["minimum"] == 1
    assert schema["$defs"]["sampler_rings_of_test"]["properties"]["name"] == {"const": "rings_of_test"}
    assert schema["$defs"]["science"]["additionalProperties"] is False


def test_sections_are_frozen(config):
    with pytest.raises(ValueError, match="frozen"):
        config().science.seed = 3


def test_a_trainer_alone_needs_no_system(tmp_path):
    config = settings.load_trainer(None, {}, ["learner.hidden=[4]", "seed=3", "trainer.threads=2"])
    assert config.science.learner == {"name": "chebyshev_bpnn", "hidden": [4]}
    assert (config.science.seed, config.machine.trainer.threads) == (3, 2)
    (tmp_path / "mine.yaml").write_text("learner:\n  radial: {order: 4}\nseed: 8\n")
    assert settings.load_trainer(tmp_path / "mine.yaml", {}).science.seed == 8
    (tmp_path / "run.yaml").write_text(RUN)
    assert settings.load_trainer(tmp_path / "run.yaml", {}).science.learner["name"] == "chebyshev_bpnn"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("lerner: {hidden: [3]}\n", "mine.yaml:1: lerner: unknown key; did you mean learner?"),
        ("learner: fast\n", "mine.yaml:1: learner: must be a section of keys, got 'fast'"),
        ("machine: {trainer: {threads: 0}}\n", "mine.yaml: science: is missing"),
        ("science: {seed: 1}\nmachine: {trainer: {threads: 0}}\n", "mine.yaml:2: trainer.threads: must be >= 1, got 0"),
    ],
)
def test_what_is_wrong_with_a_trainers_file_names_the_line(tmp_path, text, said):
    (tmp_path / "mine.yaml").write_text(text)
    with pytest.raises(BadSetting) as caught:
        settings.load_trainer(tmp_path / "mine.yaml", {})
    assert str(caught.value) == f"{tmp_path}/{said}"


class Soft(Section):
    name: Literal["soft"]
    radius_A: float = 1.0


class Hard(Section):
    name: Literal["hard"]
    wall_eV: float = 1.0


class Holder(Section):
    edge: Annotated[Annotated[Soft, Tag("soft")] | Annotated[Hard, Tag("hard")], Discriminator(lambda given: given["name"])]


@pytest.mark.parametrize(("name", "known"), [("soft", "name, radius_A"), ("hard", "name, wall_eV")])
def test_an_unknown_key_of_one_kind_of_section_is_told_its_own_keys(name, known):
    data = {"edge": {"name": name, "xyz": 1.0}}
    with pytest.raises(ValidationError) as caught:
        Holder.model_validate(data)
    [found] = setting_errors.findings(caught.value, Holder, data)
    assert (found.keys, found.what) == (("edge", "xyz"), f"unknown key; known: {known}")
