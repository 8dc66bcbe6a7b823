"""PBS Pro and OpenPBS."""

from __future__ import annotations

from typing import Literal

from renkei.schedulers import base
from renkei.schedulers.base import JobSettings
from renkei.schedulers.qsub_family import QsubFamily


class Chunks(JobSettings):
    """With PBS's own words for what a job takes."""

    select: str | None = None  # e.g. 2:mpiprocs=112; none: made of nodes, ranks, cores, GPUs and memory


class Settings(base.Settings):
    """pbs."""

    name: Literal["pbs"] = "pbs"
    simulator: Chunks = Chunks()
    trainer: Chunks = Chunks()


def build(settings: Settings) -> QsubFamily:
    """The scheduler."""
    return QsubFamily(settings.timeout_s, ["-x"])
