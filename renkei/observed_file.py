"""The HDF5 file of `renkei analyze`: series grow while the run is read; it takes its name when it is whole."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import h5py

from kernels.arrays import Array
from protocol import atomic
from protocol.errors import BadSetting
from renkei.observe import Findings

CHUNK = 1024  # states


def check_target(path: Path) -> None:
    """Raises BadSetting where a file cannot be written: wrong ending, no such folder, something there already."""
    if path.suffix not in (".h5", ".hdf5"):
        raise BadSetting("must end in .h5", str(path))
    if not path.parent.is_dir():
        raise BadSetting("its folder does not exist", str(path), "make it first")
    if path.exists():
        raise BadSetting("is there already", str(path), "name a new file")


class ObservedFile:
    """Use as a context: /step (T,), /series/NAME (T, W), then /averages/NAME (attributes) and /curves/NAME/{x, value, stderr}."""

    def __init__(self, path: Path, facts: Mapping[str, Any]) -> None:
        """facts: attributes of the file, e.g. the run and the phase."""
        check_target(path)
        self._path, self._beside = path, path.with_name(f".{path.name}.partial")
        self._file = h5py.File(self._beside, "w")
        self._file.attrs.update({"kind": "renkei observables", "schema": 1, **facts})

    def __enter__(self) -> ObservedFile:
        return self

    def __exit__(self, kind: object, error: object, trace: object) -> None:
        self._file.close()
        if kind is None:
            atomic.move(self._beside, self._path)
        else:
            atomic.discard(self._beside)

    def append(self, step: Array, series: Mapping[str, Array]) -> None:
        """The series (S, W) of further states with the steps (S,)."""
        self._grow("step", step)
        for name, values in series.items():
            self._grow(f"series/{name}", values)

    def finish(self, found: Findings) -> None:
        """Averages and curves, with the reason where one is not to be quoted."""
        if found.weights:
            self._file.attrs.update({f"weights_{name}": value for name, value in found.weights._asdict().items()})
        self._file.attrs["notes"] = "\n".join(found.notes)
        for name, average in found.averages.items():
            numbers = average.estimate._asdict() | {"r_hat": average.r_hat}
            self._file.create_group(f"averages/{name}").attrs.update(
                {**numbers, "unit": average.unit, "refusal": average.refusal}
            )
        for name, curve in found.curves.items():
            group = self._file.create_group(f"curves/{name}")
            group["x"], group["value"], group["stderr"] = curve.axis.points, curve.estimate.value, curve.estimate.stderr
            group.attrs.update({"x_label": curve.axis.label, "ess": curve.estimate.ess, "refusal": curve.refusal})

    def _grow(self, name: str, values: Array) -> None:
        if name not in self._file:
            shape = (None, *values.shape[1:])
            self._file.create_dataset(name, data=values, maxshape=shape, chunks=(CHUNK, *values.shape[1:]))
            return
        data = self._file[name]
        data.resize(len(data) + len(values), axis=0)
        data[-len(values) :] = values
