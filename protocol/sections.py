"""The sections of the configuration that belong to no plug-in: ranges, defaults, units in the names of the keys."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, Literal, get_args

from pydantic import BaseModel, ConfigDict, Field, ValidationInfo, field_validator, model_validator

from protocol.setting_errors import shown

OVERRIDABLE = ("sampler", "phases", "seed")  # of one simulator; one trainer learns one system from one engine


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


class Production(Section):
    """All frozen; averages come from here."""

    steps: int = Field(default=1000, ge=0)
    estimator: Literal["chain"] = "chain"
    max_blocks: int = Field(default=3, ge=1)


class Phases(Section):
    """The two phases of a run."""

    adapt: Adapt = Adapt()
    production: Production = Production()


class Science(Section):
    """Everything that the result may depend on."""

    system: System
    engine: Any
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
            if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}", name):
                raise ValueError(f"a simulator's name is made of letters, digits, - and _, got {shown(name)}")
            for key in changes:
                if key not in OVERRIDABLE:
                    raise ValueError(f"{name}.{key}: a simulator may have its own {', '.join(OVERRIDABLE)} only")
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


class SchedulerJob(Section):
    """Who starts the jobs."""

    name: Literal["local"] = "local"  # this machine; batch systems start them by the scripts of jobscripts/


class Machine(Section):
    """Where and how the two jobs run; the result does not depend on it."""

    simulator: SimulatorJob = SimulatorJob()
    trainer: TrainerJob = TrainerJob()
    channel: Any = {"name": "files"}
    scheduler: SchedulerJob = SchedulerJob()
