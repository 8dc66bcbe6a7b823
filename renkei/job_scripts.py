"""Job scripts: the templates of jobscripts/ filled in from machine.yaml."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined, TemplateNotFound

from protocol import names
from protocol.duration import duration_s
from protocol.errors import BadSetting
from protocol.settings import Config
from renkei import templates
from renkei.schedulers.base import JobSettings

LAUNCHER = "mpirun -n {ranks}"


@dataclass(frozen=True)
class Place:
    """Where a script lies, and the name of its job."""

    run: Path  # absolute
    script: Path  # absolute; its folder takes the output
    name: str


def render(config: Config, role: str, place: Place) -> str:
    """Text of the script of a role ("train" or "sim/NAME"). Raises BadSetting for a scheduler without templates."""
    scheduler = config.machine.scheduler
    trains = role == names.TRAIN
    shelf = Environment(
        loader=FileSystemLoader(templates.folder("jobscripts")),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    try:
        template = shelf.get_template(f"{scheduler.name.rpartition('.')[2]}_{'train' if trains else 'sim'}.sh")
    except TemplateNotFound as error:
        raise BadSetting(f"there is no jobscripts/{error.name}", "scheduler.name", "write it beside the others") from error
    return template.render(_values(config, role, place))


def wish(settings: Any, role: str) -> Mapping[str, Any]:
    """What the job of a role asks for: its own keys, else those of both jobs."""
    own: JobSettings = settings.trainer if role == names.TRAIN else settings.simulator
    common = settings.model_dump(include=set(JobSettings.model_fields))
    return common | {key: value for key, value in own.model_dump().items() if value is not None}


def walltime_s(asked: str | int | None) -> int | None:
    """Seconds of a walltime as machine.yaml has it."""
    if asked is None or isinstance(asked, int):
        return asked
    return round(duration_s(asked))


def _values(config: Config, role: str, place: Place) -> dict[str, Any]:
    """What the templates may use."""
    machine, trains = config.machine, role == names.TRAIN
    asked = wish(machine.scheduler, role)
    ranks = 1 if trains else machine.simulator.ranks
    nodes = asked["nodes"] or 1
    if trains:
        _check_trainer(machine.scheduler, nodes)
    elif ranks < nodes:
        raise BadSetting(f"{ranks} rank(s) cannot fill {nodes} nodes", "scheduler", "raise simulator.ranks or lower nodes")
    cores = asked["cores_per_rank"] or (machine.trainer.threads if trains else 1)
    per_node = -(-ranks // nodes)
    seconds = walltime_s(asked["walltime"])
    return {
        "run": shlex.quote(str(place.run)),
        "script": shlex.quote(str(place.script)),
        "output": shlex.quote(str(place.script.parent)),
        "folder": shlex.quote(str(Path.cwd())),
        "name": place.name,
        "simulator": "" if trains else names.sender(role),
        "ranks": ranks,
        "nodes": nodes,
        "nodes_asked": asked["nodes"],
        "ranks_per_node": per_node,
        "cores_per_rank": cores,
        "cores_per_node": per_node * cores,
        "gpus": asked["gpus"] or 0,
        "walltime_s": seconds,
        "walltime": None if seconds is None else f"{seconds // 3600:02d}:{seconds // 60 % 60:02d}:{seconds % 60:02d}",
        "setup": _setup(asked, cores, nodes),
        "launcher": (asked["launcher"] or LAUNCHER).replace("{ranks}", str(ranks)),
        "options": asked["options"] or (),
        "select": asked.get("select"),
        **{key: asked[key] for key in ("queue", "account", "memory")},
    }


def _check_trainer(settings: Any, nodes: int) -> None:
    """Raise BadSetting for what a trainer's job has no use for: it works on one node, with a process for each GPU."""
    if nodes > 1:
        raise BadSetting(
            f"the trainer's job has one node, not {nodes}", "scheduler.nodes", "write nodes under scheduler.simulator"
        )
    if settings.trainer.launcher:
        raise BadSetting("the trainer needs no launcher", "scheduler.trainer.launcher", "leave it out")


def _setup(asked: Mapping[str, Any], threads: int, nodes: int) -> list[str]:
    """Lines of shell: modules, environment, and the Python that is used."""
    alone = nodes == 1 and not asked.get("select")  # which may say several nodes
    lines = [f"module load {shlex.quote(module)}" for module in asked["modules"] or ()]
    lines.append(f"export PATH={shlex.quote(str(asked['venv'] or sys.prefix))}/bin:$PATH")
    variables = {"OMP_NUM_THREADS": threads} | ({"HYDRA_LAUNCHER": "fork"} if alone else {}) | (asked["environment"] or {})
    lines += [f"export {name}={shlex.quote(str(value))}" for name, value in variables.items()]
    return [*lines, *(asked["setup"] or ())]
