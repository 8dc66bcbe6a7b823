"""The result of a training as one self-contained page."""

from __future__ import annotations

import base64
import time
from collections.abc import Mapping, Sequence
from typing import Any

import yaml

from kernels.units import GPA_PER_EV_A3
from renkei.canvas import Figure
from renkei.digits import number
from renkei.labels import error_table
from renkei.page import render


def page(name: str, found: Mapping[str, Any], figures: Sequence[Figure]) -> str:
    """The HTML text.  found: content of train.json."""
    columns, rows = error_table.table(found["errors"])
    complete = found["reason"] == "done"
    return render(
        "training.html",
        name=name,
        about=_about(found),
        written=time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime()),
        mood="exact" if complete and not found["warnings"] else "approximate",
        headline=headline(found),
        warnings=found["warnings"],
        tiles=_tiles(found),
        columns=[head.replace("/", "/\N{WORD JOINER}") for head in columns],  # a unit is not broken at its stroke
        errors=[{"name": key, "values_told": values} for key, values in rows.items()],
        figures=[{**vars(figure), "data": base64.b64encode(figure.png).decode()} for figure in figures],
        provenance=_provenance(found),
    )


def headline(found: Mapping[str, Any]) -> str:
    """What happened, in a sentence."""
    best, steps = found["best"]["step"], found["steps"]
    ended = "Trained" if found["reason"] == "done" else f"Ended early ({found['reason']})"
    chosen = "best on the validation frames" if found["validations"] else "the last; there were no validation frames"
    return f"{ended}: {steps:,} steps; kept is the model of step {best:,}, {chosen}"


def _about(found: Mapping[str, Any]) -> str:
    counts = ", ".join(f"{count} {name}" for name, count in found["frames"].items() if count)
    return f"{found['learner']['name']} for {', '.join(found['species'])} · {counts} frames"


def _tiles(found: Mapping[str, Any]) -> list[tuple[str, str]]:
    told = list(found["errors"].items())[-1]
    seconds = sum(found["seconds"].values())
    stress = told[1].get("stress_rmse_eV_per_A3")
    return [
        (f"energy RMSE, {told[0]}, meV/atom", number(told[1]["energy_rmse_meV_per_atom"], ".2f")),
        (f"force RMSE, {told[0]}, eV/Å", number(told[1]["force_rmse_eV_per_A"], ".4f")),
        *([] if stress is None else [(f"stress RMSE, {told[0]}, GPa", number(stress * GPA_PER_EV_A3, ".3f"))]),
        ("optimiser steps", f"{found['steps']:,}"),
        ("time, s", f"{seconds:,.0f}"),
    ]


def _provenance(found: Mapping[str, Any]) -> list[tuple[str, str]]:
    seconds = ", ".join(f"{key} {value:,.1f} s" for key, value in found["seconds"].items())
    settings = yaml.safe_dump(found["learner"], default_flow_style=True, sort_keys=False, width=10**6).strip()
    rows = [(f"{name} data", ", ".join(files)) for name, files in found["data"].items() if files]
    rows += [("learner", settings), ("seed", str(found["seed"])), ("device", f"{found['device']} ({found['device_reason']})")]
    return [*rows, ("time", seconds), ("largest memory", f"{found['memory_peak_MiB']:,.0f} MiB")]
