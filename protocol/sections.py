"""The sections of the configuration that belong to no plug-in: ranges, defaults, units in the names of the keys."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal, get_args

from pydantic import BaseModel, ConfigDict, Field, ValidationInfo, field_validator, model_validator

from protocol import names
from protocol.duration import checked_duration
from protocol.setting_errors import shown

OVERRIDABLE = ("system", "sampler", "phases", "seed")  # of one simulator; one trainer learns from one engine
OWN_SYSTEM = ("structure", "isotopes", "restraint")  # of one simulator: charge and multiplicity are those of all labels


class Section(BaseModel):
    """One section of the configuration: frozen, unknown keys refused, numbers finite."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    @field_validator("*", mode="before")
    @classmethod
    def _no_truth_for_a_number(cls, given: Any, info: ValidationInfo) -> Any:
        annotation = cls.model_fields[info.field_name or ""].annotation
        if isinstance(given, bool) and annotation is not Any and bool not in (annotation, *get_args(annotation)):
            raise ValueError(f"must not be true or false, got {shown(given)}")
        return given


class Restraint(Section):
    """Half-harmonic sphere about each bead's geometric centre."""

    radius_A: float = Field(gt=0)
    k_eV_per_A2: float = Field(gt=0)


class System(Section):
    """What is sampled."""

    structure: str = Field(min_length=1)  # file that ASE reads, relative to the configuration's folder
    charge: int = Field(default=0, ge=-100, le=100)
    multiplicity: int = Field(default=1, ge=1, le=100)
    isotopes: dict[
        int | str, str | float
    ] = {}  # element (symbol or atomic number) -> D, T, a mass number's label or a mass in amu
    restraint: Restraint | None = None


class Coupling(Section):
    """How the two jobs share the work."""

    labels_per_retrain: int = Field(default=200, ge=1)
    beads_per_ring: int = Field(default=4, ge=1)
    max_wait_s: float = Field(default=60.0, ge=0)
    first_segment_steps: int = Field(default=10, ge=1)
    first_principles_steps: int | None = Field(
        default=None, ge=1
    )  # without any model; then it waits for one; none: it never waits
    segment_steps: int = Field(default=50, ge=1)
    epochs_per_retrain: Literal["auto"] | int = "auto"
    keep_training_when_idle: bool = True

    @field_validator("epochs_per_retrain")
    @classmethod
    def _some_epochs(cls, given: Literal["auto"] | int) -> Literal["auto"] | int:
        if given != "auto" and given < 1:
            raise ValueError("must be auto or >= 1")
        return given


class Adapt(Section):
    """Model, step and length may change."""

    until: Literal["converged"] = "converged"
    max_steps: int = Field(default=2000, ge=0)
    labels: int = Field(default=0, ge=0)  # that a model explores for, before its trials may end the phase


SAMPLES_BEHIND_AN_ERROR = 200.0  # effective ones, fewer of which make an error bar itself uncertain by 5 % or more


class Goal(Section):
    """When a production block is enough; tested at its first length and at each doubling, never in between."""

    effective_samples: float | None = Field(default=None, ge=50, le=1e7)  # of each of `of`
    of: tuple[str, ...] = ("energy_virial_eV",)  # numbers of the ledger
    error: dict[str, float] = {}  # standard error of a number of the ledger, in its unit

    @model_validator(mode="after")
    def _asks_for_something(self) -> Goal:
        if self.effective_samples is None and not self.error:
            raise ValueError("needs effective_samples or error, e.g. {effective_samples: 400}")
        if any(not error > 0 for error in self.error.values()):
            raise ValueError("error must be > 0")
        return self

    @property
    def watched(self) -> tuple[str, ...]:
        """The numbers of the ledger that it speaks of."""
        return tuple(dict.fromkeys([*(self.of if self.effective_samples else ()), *self.error]))

    def least_samples(self, name: str) -> float:
        """Effective samples that this number needs."""
        wanted = self.effective_samples if self.effective_samples and name in self.of else 0.0
        return max(wanted, SAMPLES_BEHIND_AN_ERROR if name in self.error else 0.0)


class TwoLevel(Section):
    """Numbers of estimator: two_level, all walkers together."""

    rings: Literal["auto"] | int = "auto"  # of the surrogate's run, labelled with one engine call a bead; auto: 100
    surrogate_samples: Literal["auto"] | int = (
        "auto"  # of that run at first, without engine calls; auto: from variances and costs
    )
    probe_rings: int = Field(default=20, ge=10, le=50)  # labelled first: a bad model ends the block here

    @field_validator("rings", "surrogate_samples")
    @classmethod
    def _some(cls, given: Literal["auto"] | int) -> Literal["auto"] | int:
        if given != "auto" and given < 8:
            raise ValueError("must be auto or >= 8")
        return given


class Production(Section):
    """All frozen; averages come from here."""

    steps: int = Field(default=1000, ge=0)  # of one block's chain; with a goal, at first; with two_level, those to compare with
    estimator: Literal["chain", "two_level"] = "chain"
    two_level: TwoLevel | None = None  # None: its defaults
    max_blocks: int = Field(default=3, ge=1)
    until: Goal | None = None  # the block is doubled until this is met
    max_steps: int | None = Field(default=None, ge=1)  # no doubling beyond; none: 32 times steps

    @model_validator(mode="after")
    def _a_bound_for_a_goal(self) -> Production:
        if self.max_steps is not None and self.until is None:
            raise ValueError("max_steps bounds the doubling by until: give until, or leave max_steps out")
        if self.until is not None and self.steps == 0:
            raise ValueError("until doubles steps, which must be > 0 then")
        if self.until is not None and self.estimator != "chain":
            raise ValueError(f"until is for estimator: chain, not {self.estimator}; leave one of them out")
        return self

    def next_length(self, length: int) -> int:
        """The block's length after a test at `length` that found too little; `length` itself at the bound."""
        return 2 * length if 2 * length <= (self.max_steps or 32 * self.steps) else length

    @model_validator(mode="after")
    def _keys_that_fit(self) -> Production:
        if self.two_level is not None and self.estimator != "two_level":
            raise ValueError(f"two_level is for estimator: two_level, not {self.estimator}; leave one of them out")
        if self.estimator == "two_level" and self.steps < 20:
            raise ValueError("estimator: two_level needs at least 20 steps of the chain, which its averages are compared with")
        return self


class Phases(Section):
    """The two phases of a run."""

    adapt: Adapt = Adapt()
    production: Production = Production()


class Science(Section):
    """Everything that the result may depend on."""

    system: System
    engine: Any
    cheap_engine: Any = None  # like engine; judges proposals before the engine is called (sampler.delayed_acceptance)
    sampler: Any
    learner: Any = {"name": "chebyshev_bpnn"}
    coupling: Coupling = Coupling()
    phases: Phases = Phases()
    simulators: dict[str, dict[str, Any]] = {"sim0": {}}
    seed: int = Field(default=1, ge=0, lt=2**63)

    @field_validator("simulators")
    @classmethod
    def _named_simulators(cls, given: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
        if not given:
            raise ValueError("must name at least one simulator, e.g. {sim0: {}}")
        for name, changes in given.items():
            if not names.is_simulator(name):
                raise ValueError(f"{shown(name)} is no name of a simulator: {names.SIMULATOR_RULE}")
            for key in changes:
                if key not in OVERRIDABLE:
                    raise ValueError(f"{name}.{key}: a simulator may have its own {', '.join(OVERRIDABLE)} only")
            system = changes.get("system", {})
            if not isinstance(system, dict) or not system.keys() <= set(OWN_SYSTEM):
                raise ValueError(f"{name}.system: a simulator may have its own {', '.join(OWN_SYSTEM)} only, got {shown(system)}")
        return given


class SimulatorJob(Section):
    """The simulator's MPI job."""

    ranks: int = Field(default=1, ge=1)
    ranks_per_engine: int = Field(default=1, ge=1)

    @model_validator(mode="after")
    def _whole_groups(self) -> SimulatorJob:
        if self.ranks % self.ranks_per_engine:
            raise ValueError(f"ranks ({self.ranks}) must be a multiple of ranks_per_engine ({self.ranks_per_engine})")
        return self


class TrainerJob(Section):
    """The trainer's job."""

    device: str = Field(default="auto", pattern=r"^(auto|cpu|cuda(:\d+)?)$")
    threads: int = Field(default=1, ge=1, le=1024)  # of the CPU; the simulator has the other cores
    scratch: Path | None = None  # a local folder for features and neighbours; none: that of temporary files (TMPDIR)
    release_after: str | None = (
        None  # it ends after this time without use, and a simulator that needs it asks for it; none: never
    )

    @field_validator("release_after")
    @classmethod
    def _a_length_of_time(cls, given: str | None) -> str | None:
        return given if given is None else checked_duration(given)


class Machine(Section):
    """Where and how the two jobs run; the result does not depend on it."""

    simulator: SimulatorJob = SimulatorJob()
    trainer: TrainerJob = TrainerJob()
    channel: Any = {"name": "files"}
    scheduler: Any = {"name": "local"}  # who starts the jobs of `renkei submit`
