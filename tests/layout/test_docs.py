"""What the documents show exists: verbs, options, configurations, keys, links; and they speak of no machine."""

import re
from pathlib import Path

import pytest
import typer
import yaml

from protocol.sections import Coupling, Phases, Science, System
from protocol.settings import plugin_names
from renkei import cli, templates
from renkei.plugins import PLUGINS
from sim_daemon.samplers.base import RingSettings

ROOT = Path(__file__).parents[2]
GUIDES = [ROOT / "README.md", ROOT / "docs" / "user-guide.md"]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md"), *(ROOT / "configs").rglob("*.md")])
FENCE = re.compile(r"^```(\w*)\n(.*?)^```", re.MULTILINE | re.DOTALL)
COMMAND = re.compile(r"(?:^|[\s/])(renkei|python -m (?:sim|train)_daemon)((?: [^\s#|;`]+)+)")
SECTIONS = {"coupling": Coupling, "phases": Phases, "system": System}


def name_of(path: Path) -> str:
    return str(path.relative_to(ROOT))


def code(text: str) -> list[str]:
    """Lines of fenced blocks without a language, and inline code."""
    fenced = [line for kind, body in FENCE.findall(text) if not kind for line in body.splitlines()]
    return fenced + re.findall(r"`([^`\n]+)`", FENCE.sub("", text))


def commands(text: str) -> list[tuple[str, list[str]]]:
    """(program, words) of every command in a document."""
    return [(program, words.split()) for line in code(text) for program, words in COMMAND.findall(line)]


def options(program: str, words: list[str]) -> set[str]:
    if program != "renkei":
        source = (ROOT / program.split()[-1] / "__main__.py").read_text("utf-8")
        return set(re.findall(r'"(--[a-z-]+)"', source))
    command = typer.main.get_command(cli.build([words[0]]))
    return {name for parameter in command.commands[words[0]].params for name in parameter.opts} | {"--help"}


@pytest.mark.parametrize("path", GUIDES, ids=name_of)
def test_every_command_exists_with_its_options(path):
    found = commands(path.read_text("utf-8"))
    assert len(found) >= 8
    for program, words in found:
        if program == "renkei":
            assert words[0] in cli.verbs() or words[0] == "VERB", words
            if words[0] == "VERB":
                continue
        for word in words:
            if word.startswith("--"):
                assert word in options(program, words), (program, words)


@pytest.mark.parametrize("path", GUIDES, ids=name_of)
def test_every_configuration_and_script_exists(path):
    text = path.read_text("utf-8")
    for name in re.findall(r"--config ([a-z][\w-]*)", text):
        assert name in templates.config_names()
    for file in re.findall(r"\b((?:configs|jobscripts)/[\w-]+\.\w+)", text):
        assert (ROOT / file).is_file(), file


def test_the_readme_lists_every_configuration():
    text = GUIDES[0].read_text("utf-8")
    assert [name for name in templates.config_names() if f"`{name}`" not in text] == []


@pytest.mark.parametrize("path", PAGES, ids=name_of)
def test_every_relative_link_resolves(path):
    for target in re.findall(r"\]\(([^)\s]+)\)", path.read_text("utf-8")):
        if "://" in target:
            continue
        file, _, anchor = target.partition("#")
        page = (path.parent / file) if file else path
        assert page.exists(), f"{name_of(path)}: {target}"
        assert not anchor or anchor in anchors(page.read_text("utf-8")), f"{name_of(path)}: {target}"


def anchors(text: str) -> set[str]:
    """Anchors of the headings, as GitHub makes them."""
    heads = re.findall(r"^#+ (.+)$", FENCE.sub("", text), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", head.lower()).replace(" ", "-") for head in heads}


@pytest.mark.parametrize("path", PAGES, ids=name_of)
def test_no_path_of_a_machine(path):
    text = path.read_text("utf-8")
    assert str(ROOT) not in text
    assert not re.search(r"(?<![\w.])/(work|tmp|root|home|Users|mnt|scratch)/", text)


def test_every_dotted_key_exists():
    found = set(re.findall(r"`((?:coupling|phases|system|sampler)\.[\w.]+)(?:: \d+)?`", GUIDES[1].read_text("utf-8")))
    assert {key for key in found if key.startswith("coupling.")} == {f"coupling.{key}" for key in Coupling.model_fields}
    for key in found:
        section, *rest = key.split(".")
        model = SECTIONS.get(section, RingSettings)
        for part in rest:
            assert part in model.model_fields, key
            model = model.model_fields[part].annotation


def test_every_yaml_snippet_is_valid():
    blocks = [yaml.safe_load(body) for kind, body in FENCE.findall(GUIDES[1].read_text("utf-8")) if kind == "yaml"]
    engines = [block["engine"] for block in blocks if "engine" in block]
    inline = re.findall(r"`(\{name: [^`]+\})`", GUIDES[1].read_text("utf-8"))
    sections = [yaml.safe_load(text) for text in inline]
    engines += [section for section in sections if section["name"] in plugin_names(PLUGINS["engine"])]
    assert {engine["name"] for engine in engines} == set(plugin_names(PLUGINS["engine"]))
    for engine in engines:
        PLUGINS["engine"](engine["name"]).Settings.model_validate(engine)
    for block in blocks:
        assert block.keys() <= Science.model_fields.keys()
        if "sampler" in block:
            PLUGINS["sampler"](block["sampler"]["name"]).Settings.model_validate(block["sampler"])
        if "system" in block:
            System.model_validate(block["system"])
