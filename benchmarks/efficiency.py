"""First-principles calls per independent sample, ours and the controls': python -m benchmarks.efficiency [--quick].

For each system and seed, from the same start: thermostatted dynamics (`pimd`) and hybrid Monte Carlo (`pihmc`) with first
principles alone, the controls, and the self-learning methods, the chain (`sl_pihmc`) and two levels (`two_level`). With a
network that is poor on purpose (`poor-network`), and one too poor for a crystal of 256 atoms (`argon`): the chain that first
principles alone decide, and a reweighted mixture.
Runs are ordinary run folders under --into; the same command goes on where it was stopped, and --no-run only reads what is
there. What a finished run has told is kept in one small file under --kept, which serves when the run itself is gone; delete
the file to measure or sample anew. Calls are single points: start-up, training, failures and all.

Effective samples of a mean are its variance over the square of its standard error, the larger of the windowed error (Sokal,
c = 5; 20 for the controls, whose energies oscillate) and the block error. Calls to n of them: all calls before production + n
times production's calls per effective sample; of two levels, the probes and the chain beside them count as before production,
and the run's own rings at least once. The control is the better of the two for each observable. Means of a method are
compared with each other; |z| < 3.5 is wanted for all pairs of exact methods, and pimd's time step is in its means: `pimd_fine`
takes half of it.
Prints tables and, as the last line, one JSON object.
"""

from __future__ import annotations

import argparse
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.runs import bring_to_its_end, finished
from kernels import statistics
from protocol.store import Store
from renkei import results, run_view
from renkei.analysis import ledger, thermo, two_level
from renkei.observe import Average
from renkei.observe_levels import observe_quoted

CONFIGS = Path(__file__).parents[1] / "configs"
KEPT = Path(__file__).parent / "measured" / "efficiency"
TARGETS = (400, 2000)  # effective samples
AGREEMENT = 3.5  # |z|
CONTROL_WINDOW = 20.0
FEW_CALLS = (
    *("coupling.first_segment_steps=1", "coupling.first_principles_steps=2", "coupling.beads_per_ring=16"),
    *("coupling.labels_per_retrain=100", "phases.adapt.labels={labels}", "phases.adapt.max_steps=8000"),
)
QUICK_BEADS, QUICK_LABELS = 8, 500
SAMPLES = ("phases.production.two_level.rings=100", "phases.production.two_level.surrogate_samples={samples}")


@dataclass(frozen=True)
class Method:
    """A way of sampling: what it changes in the case's configuration, and production steps, fixed beforehand."""

    changes: tuple[str, ...]
    steps: int
    quick_steps: int  # 0: left out
    oscillates: bool = False  # energies of long trajectories; a wider window is due


METHODS = {
    "pimd": Method(  # the controls' steps are for 100 effective samples of the slowest observable
        ("sampler.name=pimd", "sampler.timestep_fs=0.5", "sampler.trajectory_fs=2", "phases.adapt.max_steps=250"), 4500, 500, True
    ),
    "pimd_fine": Method(  # half of that step, a quarter of its error: to see it
        ("sampler.name=pimd", "sampler.timestep_fs=0.25", "sampler.trajectory_fs=2", "phases.adapt.max_steps=250"), 4500, 0, True
    ),
    "pihmc": Method(("sampler.name=pihmc", "sampler.trajectory_fs=20", "phases.adapt.max_steps=60"), 700, 0, True),
    "sl_pihmc": Method(FEW_CALLS, 1500, 250),
    "two_level": Method(  # the steps are those of the chain beside it
        (*FEW_CALLS, *SAMPLES, "sampler.walkers=4", "phases.production.estimator=two_level"), 20, 20
    ),
}
MIXTURES = {"alpha_1": Method(("sampler.alpha=1",), 1500, 60), "alpha_auto": Method((), 1500, 60)}
CRYSTAL = {name: Method((f"sampler.alpha={alpha}",), 10000, 60) for name, alpha in (("alpha_1", 1), ("alpha_0.7", 0.7))}


@dataclass(frozen=True)
class Case:
    """A system, the observables that count, as series of `renkei analyze`, and what samples it."""

    config: str
    observables: Mapping[str, str]  # label -> series
    beads: int = 32
    labels: int = 2500  # that the model learns from
    samples: int = 2000  # of the surrogate, of four walkers together, in two levels
    methods: Mapping[str, Method] = field(default_factory=lambda: METHODS)
    controls: tuple[str, ...] = ("pimd", "pimd_fine", "pihmc")
    changes: tuple[str, ...] = ()  # of the configuration, for all methods
    sources: tuple[str, ...] = ("energy", "distances", "bonds", "proton_transfer")  # of the observables


ENERGIES = {"E": "energy_virial_eV", "V": "potential_energy_eV"}
ZUNDEL = {
    **ENERGIES,
    "O-O": "distance_O-O_A",
    "O-H": "distance_O-H_A",  # which bonds there are depends on where the proton is
    "|delta|": "proton_transfer_largest_A",
}
TETRAMER = {**ENERGIES, "O-O": "distance_O-O_A", "O-H": "bond_length_O-H_A"}
ARGON = (  # 600 fs forget a crystal's state; a network that sees the nearest neighbours alone, and hardly those
    f"system.structure={Path(__file__).parent}/structures/argon-256.xyz",
    "sampler.ensemble={name: nvt, temperature_K: 60}",
    *("sampler.name=sl_pihmc_mix", "sampler.trajectory_fs=600", "phases.adapt.max_steps=3000"),
    *("learner.radial={order: 3, cutoff_A: 4.3}", "learner.angular={order: 1, cutoff_A: 3.0}"),
    *("learner.hidden=[1]", "learner.baseline=none"),
)
CASES = {
    "zundel": Case("zundel", ZUNDEL),
    # 2,500 labels leave a residual too wide for two levels, 2,000 samples rings too few times open
    "tetramer": Case("water-tetramer", TETRAMER, labels=5000, samples=8000),
    # first principles alone decide, or a mixture
    "poor-network": Case("zundel-mix", ZUNDEL, 16, methods=MIXTURES, controls=("alpha_1",)),
    "argon": Case("argon-npt", ENERGIES, 1, methods=CRYSTAL, controls=("alpha_1",), changes=ARGON, sources=("energy",)),
}


@dataclass(frozen=True)
class Mean:
    """One observable of one run."""

    mean: float
    stderr: float
    ess: float
    ess_error: float  # relative, one standard error (Madras and Sokal)


@dataclass(frozen=True)
class Measured:
    """One run."""

    means: Mapping[str, Mean]
    calls_before: int
    calls_production: int
    seconds: float  # of production


def sample(folder: Path, case: Case, method: Method, seed: int, steps: int) -> None:
    """Bring a run to its end, from wherever it is."""
    own = [change.format(labels=case.labels, samples=case.samples) for change in method.changes]
    ranks = min(2, case.beads)
    common = [
        f"machine.simulator.ranks={ranks}",
        f"sampler.beads={case.beads}",
        f"phases.production.steps={steps}",
        f"seed={seed}",
    ]
    keys = dict(change.split("=", 1) for change in (*case.changes, *own, *common))
    bring_to_its_end(folder, CONFIGS / f"{case.config}.yaml", [f"{key}={value}" for key, value in keys.items()])


def measure(folder: Path, case: Case, window: float) -> Measured:
    """Means, effective samples and calls of a finished run."""
    store, view = Store(folder), run_view.read(folder)
    [simulator] = view.simulators
    number, _, _ = results.quoted_block(simulator)
    block = ledger.production_blocks(simulator.ledger)[number or 0]
    rows = two_level.run_of(block) if two_level.applies(block) else block
    averages = observe_quoted(store, simulator, case.sources).averages
    found = {label: averages[name] for label, name in case.observables.items()}
    if rows is block:
        means = {label: mean_of(one, window) for label, one in found.items()}
    else:
        relative = math.sqrt(2 / two_level.facts(block).rings)
        means = {label: Mean(*one.estimate[:2], one.estimate.ess, relative) for label, one in found.items()}
    calls = int(rows.engine_calls.sum())
    every = thermo.engine_calls(simulator.rows).calls
    unix = [row["unix"] for row in simulator.events("step") if row["step"] in (rows.step[0], rows.step[-1])]
    return Measured(means, every - calls, calls, max(unix) - min(unix))


def remember(file: Path, run: Measured) -> None:
    """Keep what a run has told."""
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(asdict(run), indent=1) + "\n")


def recall(file: Path) -> Measured:
    """What a run has told."""
    told = json.loads(file.read_text())
    return Measured(**{**told, "means": {label: Mean(**mean) for label, mean in told["means"].items()}})


def mean_of(found: Average, window: float) -> Mean:
    """A mean with the effective samples that its error stands for; found: of a series (T, W), reweighted where it has weights."""
    series = found.series
    assert series is not None
    tau = max(statistics.autocorrelation_time(series, window), statistics.autocorrelation_time(series))
    relative = math.sqrt(2 * (2 * window * max(tau, 0.5) + 1) / series.size)
    if found.weights is not None:
        return Mean(found.estimate.mean, found.estimate.stderr, found.estimate.ess, relative)
    variance = float(series.var(ddof=1))
    windowed = math.sqrt(2 * tau * variance / series.size)
    stderr = float(np.nanmax([windowed, statistics.blocked_error(series)]))
    return Mean(float(series.mean()), stderr, variance / stderr**2 if stderr else math.nan, relative)


@dataclass(frozen=True)
class Pooled:
    """A method's runs of all seeds together, one observable."""

    mean: float
    stderr: float
    ess: float  # of all seeds
    per_sample: float  # calls per effective sample in production
    relative_error: float  # of per_sample
    before: float  # calls before production, mean over seeds
    least: float = 0.0  # calls that production takes however few samples are wanted, mean over seeds

    def calls(self, samples: float) -> float:
        """Calls to so many effective samples, training included."""
        return self.before + max(samples * self.per_sample, self.least)


def pooled(runs: Sequence[Measured], label: str, least: bool = False) -> Pooled:
    """Seeds are independent: calls and effective samples add up.  least: a run cannot be shorter than these."""
    means = [run.means[label] for run in runs]
    weights = np.array([m.stderr**-2 for m in means])
    ess, calls = np.array([m.ess for m in means]), np.array([run.calls_production for run in runs])
    spread = np.hypot.reduce([m.ess_error * m.ess for m in means]) / ess.sum()
    return Pooled(
        float(np.average([m.mean for m in means], weights=weights)),
        float(weights.sum() ** -0.5),
        float(ess.sum()),
        float(calls.sum() / ess.sum()),
        float(spread),
        float(np.mean([run.calls_before for run in runs])),
        float(calls.mean()) if least else 0.0,
    )


def compare(system: str, case: Case, runs: Mapping[str, Sequence[Measured]]) -> dict[str, dict[str, Any]]:
    """Print the tables of one case; returns its figures."""
    figures: dict[str, dict[str, Any]] = {}
    controls = [name for name in case.controls if runs.get(name)]
    ours = [name for name in case.methods if name not in case.controls and runs.get(name)]
    print(f"\n{system}: rings per effective sample (± one standard error), effective samples, mean")
    for label in case.observables:
        table = {name: pooled(runs[name], label, least=name == "two_level") for name in (*controls, *ours)}
        for name, found in table.items():
            rings = found.per_sample / case.beads
            print(
                f"  {label:8s}{name:10s}{rings:9.2f} ± {rings * found.relative_error:6.2f}{found.ess:9.0f}"
                f"{found.mean:14.5f} ± {found.stderr:.5f}"
            )
        if not controls:
            continue
        best = min(controls, key=lambda name: table[name].per_sample)
        for name in ours:
            told = ratios(table[best], table[name])
            figures[f"{name}/{label}"] = {"control": best, **told}
            listed = ", ".join(f"{told[f'ratio_{n}']:.1f} [{told[f'low_{n}']:.1f}, {told[f'high_{n}']:.1f}]" for n in TARGETS)
            print(f"  {label:8s}{best} / {name}: fewer calls to {TARGETS} samples: {listed}; z {told['z']:+.1f}")
        for one, name in combinations(table, 2):
            print(f"  {label:8s}{one} and {name}: {agreement(table[one], table[name])}")
    for name in (*controls, *ours):
        before = np.mean([run.calls_before for run in runs[name]])
        wall = sum(run.seconds for run in runs[name]) / sum(run.means["E"].ess for run in runs[name])
        print(f"  {name}: {len(runs[name])} runs, {before:.0f} calls before production, {wall:.2f} s per effective sample of E")
    return figures


def apart(one: Pooled, other: Pooled) -> float:
    """Standard errors between two means."""
    return (other.mean - one.mean) / math.hypot(one.stderr, other.stderr)


def agreement(one: Pooled, other: Pooled) -> str:
    """The same in words."""
    z = apart(one, other)
    return f"z {z:+.1f}" + ("" if abs(z) < AGREEMENT else "  DISAGREE")


def ratios(control: Pooled, other: Pooled) -> dict[str, float]:
    """Control's calls over the other's, with 95 % intervals, at the targets and without what comes before production."""
    told = {"z": apart(control, other)}
    for samples in TARGETS:
        ratio = control.calls(samples) / other.calls(samples)
        share = samples * np.array([control.per_sample / control.calls(samples), other.per_sample / other.calls(samples)])
        spread = math.exp(1.96 * math.hypot(*(share * [control.relative_error, other.relative_error])))
        told |= {f"ratio_{samples}": ratio, f"low_{samples}": ratio / spread, f"high_{samples}": ratio * spread}
    return told


def outcome(given: argparse.Namespace, case: Case, name: str, method: Method, seed: int) -> Measured | None:
    """What a run has told, sampled if need be; None: it may not be sampled now."""
    folder = given.into / (f"{name}-quick" if given.quick else name)
    file = (given.into if given.quick else given.kept) / f"{folder.name}.json"
    if not given.no_run and not file.exists():
        sample(folder, case, method, seed, method.quick_steps if given.quick else math.ceil(given.share * method.steps))
    if not file.exists() and finished(folder):
        remember(file, measure(folder, case, CONTROL_WINDOW if method.oscillates else statistics.WINDOW))
    return recall(file) if file.exists() else None


def main() -> None:
    """Run what is missing, then compare."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--quick", action="store_true", help=f"one system, one seed, one control, {QUICK_BEADS} beads, few samples"
    )
    parser.add_argument("--system", action="append", choices=sorted(CASES), help="default: all")
    parser.add_argument(
        "--method",
        action="append",
        choices=sorted({name for case in CASES.values() for name in case.methods}),
        help="default: all",
    )
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--share", type=float, default=1.0, help="of the production steps, for new runs (default: 1)")
    parser.add_argument("--into", type=Path, default=Path("results/efficiency"))
    parser.add_argument("--kept", type=Path, default=KEPT, help="one small file for each finished run")
    parser.add_argument("--no-run", action="store_true", help="compare what has been measured")
    given = parser.parse_args()
    systems = given.system or (["zundel"] if given.quick else list(CASES))
    figures = {}
    for system in systems:
        case, runs = CASES[system], dict[str, list[Measured]]()
        case = replace(case, beads=QUICK_BEADS, labels=QUICK_LABELS) if given.quick else case
        methods = {name: method for name, method in case.methods.items() if name in (given.method or case.methods)}
        methods = {name: method for name, method in methods.items() if method.quick_steps or not given.quick}
        for seed in range(1, (1 if given.quick else given.seeds) + 1):
            for name, method in methods.items():
                found = outcome(given, case, f"{system}-{name}-{seed}", method, seed)
                runs.setdefault(name, []).extend([found] if found else [])
        figures[system] = compare(system, case, runs)
    print(json.dumps({"benchmark": "efficiency", "quick": given.quick, "ratio": figures}))


if __name__ == "__main__":
    main()
