"""Whether a block remembers its start: the heads of all its series against their rest."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from kernels import statistics
from kernels.arrays import Array
from kernels.statistics import Estimate

ALARM = 3.5  # standard errors, for one head of one series; shared among all


class Start(NamedTuple):
    """The series that remembers its start most."""

    name: str
    drift: float  # standard errors
    steps: int  # to be left out, the most of all series
    whole: Estimate
    rest: Estimate  # without these steps

    @property
    def told(self) -> str:
        """In words."""
        numbers = (
            f"{self.whole.mean:.6g} ± {self.whole.stderr:.2g} with them, {self.rest.mean:.6g} ± {self.rest.stderr:.2g} without"
        )
        return f"the first {self.steps} steps of the block remember its start ({self.name}: z = {self.drift:.1f}; {numbers})"


def remembered(series: Mapping[str, Array]) -> Start | None:
    """What a block remembers of its start, None where nothing; series: (T, W) by name, as sampled, without weights."""
    columns = {name: values for name, values in series.items() if values.size and np.isfinite(values).all()}
    alarm = statistics.shared_alarm(ALARM, max(1, len(columns) * len(statistics.HEADS)))
    drifts = {name: statistics.start_drift(values) for name, values in columns.items()}
    if not drifts or max(drifts.values()) <= alarm:
        return None
    name = max(drifts, key=lambda key: drifts[key])
    steps = max(statistics.burn_in(values, alarm) for values in columns.values())
    found = columns[name]
    return Start(name, drifts[name], steps, statistics.estimate(found), statistics.estimate(found[steps:]))
