"""The report as one self-contained page: numbers put into words and digits, figures inside."""

from __future__ import annotations

import base64
import time
from collections.abc import Mapping, Sequence
from typing import Any

from renkei.canvas import Figure
from renkei.digits import NONE, number, pair, with_error
from renkei.page import render
from renkei.results import UNITS
from renkei.run_view import DaemonView, RunView

LABELS = {
    "energy_virial_eV": "energy (centroid virial)",
    "energy_primitive_eV": "energy (primitive)",
    "energy_difference_eV": "primitive − virial",
    "kinetic_energy_eV": "kinetic energy",
    "potential_energy_eV": "potential energy",
    "pressure_GPa": "pressure (centroid virial)",
    "pressure_primitive_GPa": "pressure (primitive)",
}
HEADLINES = {
    "exact": "Exact within the error bars",
    "exact after reweighting": "Exact within the error bars, after reweighting",
    "approximate": "Approximate: quote with the reservations below",
    "do not quote": "Do not quote these numbers",
}


def page(view: RunView, report: Mapping[str, Any], figures: Mapping[str, Sequence[Figure]]) -> str:
    """The HTML text. report: from renkei.results.  figures: by simulator's name."""
    return render(
        "report.html",
        name=view.root.resolve().name,
        system=_system(view),
        written=time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime()),
        report=report,
        headline=_headline(report),
        parts=[_part(name, found, figures.get(name, ())) for name, found in report["simulators"].items()],
        generations=[_generation(row) for row in report["weights"]["generations"]],
        no_weights="No generation has been published yet." if view.trainer else "No trainer has started.",
        cost=_cost(report),
        provenance=_provenance(view, report),
    )


def _headline(report: Mapping[str, Any]) -> str:
    if not any(part["sampling"]["block_complete"] for part in report["simulators"].values()):
        return "No numbers to quote yet"
    return HEADLINES[report["audit"]["verdict"]]


def _part(name: str, found: Mapping[str, Any], figures: Sequence[Figure]) -> dict[str, Any]:
    sampling = found["sampling"]
    return {
        "name": name,
        "sampling": sampling,
        "checks": found["audit"]["checks"],
        "tiles": [
            {"label": label, "value": value}
            for label, value in (*_tiles(sampling, found["observables"]), *_level_tiles(found["two_level"]))
        ],
        "two_level": bool(found["two_level"]),
        "observables": [_observable(key, row) for key, row in _in_order(found["observables"])],
        "blocks": [_block(row, sampling) for row in sampling["blocks"]],
        "ladder": _ladder(sampling["ladder"]),
        "figures": [{**vars(f), "data": base64.b64encode(f.png).decode()} for f in figures],
    }


def _tiles(sampling: Mapping[str, Any], observables: Mapping[str, Any]) -> list[tuple[str, str]]:
    creutz, steps = sampling["exp_minus_beta_dH"], sampling["steps"]
    energy = observables.get("energy_virial_eV", {})
    weights = sampling.get("weights")
    mixture = [
        ("α: first principles' share in the test", number(weights["alpha"], ".2f")),
        ("n_eff of the weights (k̂ of their tail)", f"{number(weights['n_eff'], '.0f')} ({number(weights['pareto_k'], '.2f')})"),
    ] if weights else []  # fmt: skip
    shares = f"{number(sampling['acceptance_integrator'], '.2f')} × {number(sampling['acceptance_model'], '.2f')}"
    return [
        ("energy (virial), eV", pair(energy.get("mean"), energy.get("stderr"))),
        ("production acceptance", number(sampling["acceptance"]["production"], ".2f")),
        ("integrator's × model's acceptance", shares),
        ("⟨exp(−βΔH)⟩", pair(creutz["mean"], creutz["stderr"])),
        ("steps: adapt + production", f"{steps['adapt']} + {steps['production']}"),
        ("mean trajectory, fs", number(sampling["trajectory_fs"], ".1f")),
        ("effective samples of the energy", number(energy.get("ess"), ".0f")),
        ("longest rejection run (bound)", f"{sampling['longest_rejection_run']} ({sampling['rejection_bound']})"),
        *mixture,
    ]


def _level_tiles(found: Mapping[str, Any] | None) -> list[tuple[str, str]]:
    """The second level of a two-level block."""
    if not found:
        return []
    return [
        ("surrogate samples", f"{found['samples']:,}"),
        ("labelled rings, n_eff", f"{found['rings']}, {number(found['n_eff'], '.0f')}"),
        ("spread of β(V − V_ML)", number(found["spread"], ".2f")),
        ("β(F − F_ML)", pair(found["beta_dF"], found["beta_dF_stderr"])),
    ]


def _in_order(observables: Mapping[str, Any]) -> list[tuple[str, Any]]:
    """The energies first, in the order in which they are read; a stress' components are in report.json alone."""
    order, shown = list(LABELS), [item for item in observables.items() if not item[0].startswith("stress_")]
    return sorted(shown, key=lambda item: (order.index(item[0]) if item[0] in order else len(order), item[0]))


def _observable(name: str, row: Mapping[str, Any]) -> dict[str, str]:
    mean, error = with_error(row["mean"], row["stderr"])
    plain = name.removesuffix(f"_{row['unit']}").replace("_", " ")
    return {
        "label": LABELS.get(name, plain),
        "mean": mean,
        "error": error,
        "unit": UNITS.get(row["unit"], row["unit"]),
        "tau": number(row["tau_steps"], ".1f"),
        "ess": number(row["ess"], ".0f"),
        "calls": number(row["calls_per_ess"], ".0f"),
    }


def _block(row: Mapping[str, Any], sampling: Mapping[str, Any]) -> dict[str, Any]:
    creutz, energy = row["exp_minus_beta_dH"], row["energy_virial_eV"]
    return {
        **row,
        "quoted": row["block"] == sampling["block"] and row["complete"],
        "acceptance": number(row["acceptance"], ".2f"),
        "creutz": pair(creutz["mean"], creutz["stderr"]),
        "run": row["longest_rejection_run"],
        "energy": pair(energy["mean"], energy["stderr"]),
    }


def _ladder(found: Mapping[str, Any] | None) -> dict[str, Any] | None:
    if found is None:
        return None
    rungs = []
    for row in found["rungs"]:
        energy = row["energy_virial_eV"] or {"mean": None, "stderr": None}
        rungs.append(
            {
                "temperature": number(row["temperature_K"], ".1f"),
                "acceptance": number(row["acceptance"], ".2f"),
                "creutz": pair(row["exp_minus_beta_dH"]["mean"], row["exp_minus_beta_dH"]["stderr"]),
                "run": row["longest_rejection_run"],
                "energy": pair(energy["mean"], energy["stderr"]),
                "exchange": number(row["exchange_above"], ".2f"),
            }
        )
    return {"rungs": rungs, "round_trips": found["round_trips"]}


def _generation(row: Mapping[str, Any]) -> dict[str, Any]:
    return {
        **row,
        "energy": number(row["energy_rmse_meV_per_atom"], ".2f"),
        "force": number(row["force_rmse_eV_per_A"], ".3f"),
        "predicted": number(row["predicted_acceptance"], ".2f"),
        "driven": [{"steps": one["steps"], "acceptance": number(one["acceptance"], ".2f")} for one in row["simulators"].values()],
    }


def _cost(report: Mapping[str, Any]) -> list[tuple[str, str]]:
    engine = report["engine"]
    rows = [
        ("first-principles calls", f"{engine['calls']:,} (all phases; {engine['failures']:,} failed)"),
        ("calls per effective sample of the energy", number(engine["calls_per_ess"], ".1f")),
        ("time in the engine", f"{engine['seconds']:,.0f} s"),
    ]
    for side, seconds in report["balance"].items():
        total = sum(seconds.values())
        if total > 0:
            shares = ", ".join(f"{key.removesuffix('_s')} {value / total:.0%}" for key, value in seconds.items() if value > 0)
            rows.append((f"{side}'s wall time", f"{total:,.0f} s: {shares}"))
    return rows


def _system(view: RunView) -> str:
    if not view.simulators:
        return "nothing has started"
    main = view.simulators[0]
    found = {key: main.setting(key) for key in ("system.structure", "engine.name", "engine.method", "sampler.name")}
    method = " ".join(str(found[key]) for key in ("engine.name", "engine.method") if found[key])
    told = [str(found["system.structure"] or ""), method, str(found["sampler.name"] or "").replace("_", "-").upper()]
    beads, kelvins = main.setting("sampler.beads"), [one.setting("sampler.ensemble.temperature_K") for one in view.simulators]
    told += [f"{beads} beads" if beads else "", *dict.fromkeys(f"{kelvin:g} K" if kelvin else "" for kelvin in kelvins)]
    return ", ".join(text for text in told if text)


def _provenance(view: RunView, report: Mapping[str, Any]) -> list[tuple[str, str]]:
    rows = [("run folder", str(view.root.resolve())), ("engine fingerprint", report["engine"]["fingerprint"] or NONE)]
    for simulator in view.simulators:
        rows += [(f"{simulator.role}, {key}", value) for key, value in _starts(simulator)]
        rows.append((f"{simulator.role}, seed", str(simulator.setting("seed"))))
    if view.trainer:
        rows += [(f"trainer, {key}", value) for key, value in _starts(view.trainer)]
    return rows


def _starts(daemon: DaemonView) -> list[tuple[str, str]]:
    starts = [row for row in daemon.all_rows if row["event"] == "start"]
    if not starts:
        return []
    newest = starts[-1]
    versions = ", ".join(f"{key} {value}" for key, value in (newest.get("versions") or {}).items() if key != "engine")
    facts = [("starts", str(len(starts))), ("versions", versions), ("device", str(newest.get("device", "")))]
    facts.append(("ranks", str(newest.get("ranks", ""))))
    return [(key, value) for key, value in facts if value]
