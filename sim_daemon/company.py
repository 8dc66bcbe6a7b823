"""What the simulators of one run share: one engine, charge and multiplicity, and the elements that their trainer learns.

The first start of a run says which elements these are (all that run.yaml's structures have), every later one repeats it: a
network has its elements from the beginning.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import yaml
from ase.data import chemical_symbols

from protocol import names
from protocol.errors import BadSetting, WrongPeer
from protocol.setting_tree import leaves
from protocol.settings import Config
from protocol.store import Store
from protocol.yaml_marks import dotted
from sim_daemon.assemble import load_config
from sim_daemon.engines.ase_bridge import MACHINE_KEYS
from sim_daemon.system import System, read_system

NEW_RUN = "one trainer learns from one engine: use the same, or another run folder"


def join(run: Path, store: Store, name: str, config: Config, system: System) -> list[int]:
    """The elements that the run learns, ascending. WrongPeer, in one sentence, where simulator `name` does not fit the others."""
    others = dict(_others(store, name))
    for other, signed in others.items():
        before = yaml.safe_load(store.understood(names.simulator_role(other)) or "") or {}
        changed = _changed(before.get("science", {}).get("engine", {}), config)
        if changed:
            what = f"simulator {name} has another {', '.join(changed)} than simulator {other} of this run"
            raise WrongPeer(what, str(config.source), NEW_RUN)
        theirs = (signed["charge"], signed["multiplicity"])
        if (system.charge, system.multiplicity) != theirs:
            what = f"charge {system.charge}, multiplicity {system.multiplicity}, but simulator {other} of this run has {theirs}"
            raise WrongPeer(what, str(config.source), "use another run folder")
    mine = (store.started(names.simulator_role(name)) or {}).get("system")
    elements = next((signed["elements"] for signed in (mine, *others.values()) if signed), None) or _named(run, config)
    missing = sorted({int(z) for z in system.numbers} - set(elements))
    if missing:
        what = f"simulator {name} has {_symbols(missing)}, but since its first start this run learns {_symbols(elements)} alone"
        raise WrongPeer(what, str(config.structure_path), "use another run folder, which names all structures from the start")
    return [int(z) for z in elements]


def check_engine(store: Store, name: str, fingerprint: str) -> None:
    """WrongPeer if this simulator's labels would be of another engine than those of the run's other simulators."""
    for other, _ in _others(store, name):
        theirs = store.started(names.simulator_role(other)) or {}
        if theirs["versions"]["engine"] != fingerprint:
            what = (
                f"the engine here is not the one that simulator {other} of this run has, though its settings are: another version"
            )
            raise WrongPeer(what, f"simulator {name}", NEW_RUN)


def _others(store: Store, name: str) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """The other simulators that have ever started, and what they signed (from 0.1.0 on)."""
    for other in store.simulators():
        signed = (store.started(names.simulator_role(other)) or {}).get("system")
        if other != name and signed:
            yield other, signed


def _changed(engine: Mapping[str, Any], config: Config) -> list[str]:
    """Dotted keys of the engine that differ and can change a number."""
    mine = config.science.model_dump(mode="json")["engine"]
    old, new = (dict(leaves(section)) for section in (engine, mine))
    changed = {keys for keys in old.keys() | new.keys() if old.get(keys) != new.get(keys)}
    return sorted(dotted(("engine", *keys)) for keys in changed if keys[0] not in MACHINE_KEYS - {"name"})


def _named(run: Path, config: Config) -> list[int]:
    """The elements of the structures of all simulators in run.yaml; one that cannot be read is told by its own start."""
    found: set[int] = set()
    for name in config.science.simulators:
        with suppress(BadSetting):
            found |= {int(z) for z in read_system(load_config(run, name)).numbers}
    return sorted(found)


def _symbols(elements: list[int]) -> str:
    return ", ".join(chemical_symbols[z] for z in elements)
