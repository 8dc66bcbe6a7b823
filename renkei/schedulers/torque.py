"""Torque."""

from __future__ import annotations

from typing import Literal

from renkei.schedulers import base
from renkei.schedulers.qsub_family import QsubFamily


class Settings(base.Settings):
    """torque."""

    name: Literal["torque"] = "torque"


def build(settings: Settings) -> QsubFamily:
    """The scheduler. Ended jobs stay in qstat for the server's keep_completed; there is no other history."""
    return QsubFamily(settings.timeout_s, [])
