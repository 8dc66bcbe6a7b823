"""The compiled kernels (csrc/) through ctypes, where they were built and the processor has what they need.

`library()` is None if not: then the loops in Numba serve, the same numbers to rounding. RENKEI_KERNELS=numba (or the name of an
instruction set) in the environment asks for one.
"""

from __future__ import annotations

import ctypes
import os
import platform
from ctypes import POINTER, Structure, byref, c_char_p, c_double, c_int32, c_int64, c_void_p
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from kernels.arrays import Array
from kernels.baseline import Baseline
from kernels.descriptors.base import BASES, Chebyshev, kinds
from kernels.neighbors.base import lattice
from kernels.network import Networks

INTERFACE = 8  # of renkei_kernels.h
FOLDER = Path(__file__).parent / "csrc"
INSTRUCTIONS = {"x86_64": ("avx512", "avx2", "sse2"), "aarch64": ("sve512", "neon")}  # best first; others: generic


class _Plan(Structure):
    _fields_ = [
        *((name, c_int32) for name in ("species", "radial_terms", "angular_terms", "powers", "radial_channels")),
        *((name, c_int32) for name in ("angular_channels", "length", "basis")),
        *((name, c_double) for name in ("radial_cutoff", "angular_cutoff")),
        *((name, c_void_p) for name in ("power", "radial_mix", "angular_mix", "radial_place", "angular_place")),
    ]


class _Networks(Structure):
    _fields_ = [
        *((name, c_int32) for name in ("activation", "depth")),
        *((name, c_void_p) for name in ("layers", "sizes", "begin", "parameters", "mean", "scale")),
        *((name, c_void_p) for name in ("repulsion", "attraction")),
        ("pair_cutoff", c_double),
    ]


class _System(Structure):
    _fields_ = [
        *((name, c_int64) for name in ("structures", "atoms")),
        *((name, c_void_p) for name in ("positions", "kinds")),
        ("vectors", c_double * 9),
        ("inverse", c_double * 9),
        ("heights", c_double * 3),
        ("periodic", c_int32 * 3),
    ]


def _open(path: Path) -> ctypes.CDLL | None:
    """A library that fits this processor and this interface, or None."""
    try:
        library = ctypes.CDLL(str(path))
        if library.renkei_interface() != INTERFACE or not library.renkei_runs_here():
            return None
    except (OSError, AttributeError):  # absent, of another system, or cut short
        return None
    library.renkei_instructions.restype = ctypes.c_char_p
    library.renkei_fma_peak.argtypes, library.renkei_fma_peak.restype = [c_int32, c_double], c_double
    library.renkei_model_new.argtypes = [POINTER(_Plan), POINTER(_Networks), c_int32]
    library.renkei_model_new.restype = library.renkei_list_new.restype = c_void_p
    library.renkei_model_free.argtypes = library.renkei_list_free.argtypes = [c_void_p]
    for name, arrays in (("energy", 4), ("values", 1), ("pull_back", 3), ("push_forward", 2)):
        function = getattr(library, f"renkei_{name}")
        function.argtypes = [c_void_p, c_void_p, POINTER(_System), c_int32, *[c_void_p] * arrays]
    library.renkei_pool_new.restype = c_void_p
    library.renkei_pool_new.argtypes = [c_char_p, POINTER(c_int32)]
    library.renkei_pool_free.argtypes = [c_void_p]
    library.renkei_pool_add.argtypes = [c_void_p, c_void_p, POINTER(_System)]
    for name, arrays in (("values", 1), ("pull_back", 3), ("push_forward", 3)):
        getattr(library, f"renkei_pool_{name}").argtypes = [c_void_p, c_void_p, c_int32, c_int64, c_void_p, *[c_void_p] * arrays]
    return library


@lru_cache(maxsize=1)
def library() -> Any:
    """The best library for this processor, or None."""
    known = INSTRUCTIONS.get(platform.machine(), ("generic",))
    wanted = os.environ.get("RENKEI_KERNELS", "")
    names = [name for name in known if wanted in ("", name)]
    return next((found for name in names if (found := _open(FOLDER / f"{name}.so")) is not None), None)


def backend() -> str:
    """Which loops serve here: an instruction set, or "numba". The bits of a chain depend on it."""
    found = library()
    return "numba" if found is None else found.renkei_instructions().decode()


def fma_peak(single: bool, seconds: float) -> float:
    """The largest rate of multiply-adds of one core in the vectors of these loops, in floating-point operations per second.

    A multiply-add counts two. Measured for so many seconds, the best short stretch of them. Raises ValueError without the
    compiled kernels.
    """
    found = library()
    if found is None:
        raise ValueError("the compiled kernels are not here")
    return float(found.renkei_fma_peak(single, seconds))


_threads = 1


def use_threads(count: int) -> None:
    """Threads of one call where OMP_NUM_THREADS does not say."""
    global _threads
    _threads = count


def threads() -> int:
    """Threads of one call: OMP_NUM_THREADS, or those of `use_threads`, 1 at first."""
    told = os.environ.get("OMP_NUM_THREADS", "").split(",")[0]
    return int(told) if told.isdecimal() and int(told) > 0 else _threads


@dataclass
class Loops:
    """A descriptor, and networks if there are some, as the compiled loops take them; with a list of neighbours of its own.

    Calls of one object must not overlap in time. Raises ValueError where the orders are beyond the compiled loops.
    """

    descriptor: Chebyshev
    networks: Networks | None = None
    single: bool = False  # features in float32
    baseline: Baseline | None = None  # below the networks, in their unit
    library: Any = field(init=False, repr=False)
    handle: int = field(init=False, repr=False)
    _list: int = field(init=False, repr=False)
    _last: Any = field(init=False, repr=False, default=(None, None))  # the last system: key and (structure, species)

    def __post_init__(self) -> None:
        """Lay everything out on the other side."""
        self.library = library()
        if self.library is None:
            raise ValueError("the compiled kernels are not here")
        held: list[Array] = []  # until the other side has its copies

        def laid(array: Array | tuple[int, ...], dtype: type) -> int:
            held.append(np.ascontiguousarray(array, dtype))
            return held[-1].ctypes.data

        d, net, pair = self.descriptor, self.networks, self.baseline
        (radial_mix, angular_mix), (radial_place, angular_place) = d.mixing, d.places
        plan = _Plan(
            len(d.species),
            d.radial_order + 1,
            d.angular_order + 1,
            len(d.powers),
            len(radial_mix),
            len(angular_mix),
            d.length,
            BASES.index(d.basis),
            d.radial_cutoff_A,
            d.angular_cutoff_A,
            laid(d.powers, np.int32),
            laid(radial_mix, np.float64),
            laid(angular_mix, np.float64),
            laid(radial_place, np.int32),
            laid(angular_place, np.int32),
        )
        networks = net and _Networks(
            net.activation,
            net.sizes.shape[1] - 1,
            laid(net.layers, np.int32),
            laid(net.sizes, np.int32),
            laid(net.begin, np.int64),
            laid(net.parameters, np.float64),
            laid(net.mean, np.float64),
            laid(net.scale, np.float64),
            pair and laid(pair.repulsion, np.float64),
            pair and laid(pair.attraction, np.float64),
            pair.cutoff_A if pair else 0.0,
        )
        self.handle = self.library.renkei_model_new(byref(plan), networks and byref(networks), self.single)
        self._list = self.library.renkei_list_new()
        if not self.handle or not self._list:
            raise ValueError(f"the compiled loops are not made for {d}")

    def __del__(self) -> None:
        """Give the memory back."""
        if getattr(self, "handle", None):
            self.library.renkei_model_free(self.handle)
        if getattr(self, "_list", None):
            self.library.renkei_list_free(self._list)

    def __deepcopy__(self, memo: dict[int, Any]) -> Loops:
        """Another one with a list of its own."""
        return Loops(self.descriptor, self.networks, self.single, self.baseline)

    def energy(self, positions: Array, numbers: Array, cell: Array, pbc: Array) -> tuple[Array, Array, Array, Array]:
        """Sums of the networks' outputs (B,), those of the atoms (B, N), forces (B, N, 3) and virial (B, 3, 3)."""
        batch, atoms = positions.shape[:2]
        results = np.empty(batch), np.empty((batch, atoms)), np.empty((batch, atoms, 3)), np.empty((batch, 3, 3))
        self._call("energy", positions, numbers, cell, pbc, *results)
        return results

    def values(self, positions: Array, numbers: Array, cell: Array, pbc: Array) -> Array:
        """Features (B, N, F)."""
        result = np.empty((*positions.shape[:2], self.descriptor.length))
        self._call("values", positions, numbers, cell, pbc, result)
        return result

    def pull_back(self, positions: Array, numbers: Array, cell: Array, pbc: Array, gradient: Array) -> tuple[Array, Array]:
        """Forces (B, N, 3) and virial (B, 3, 3) for dE/dG (B, N, F)."""
        forces, virial = np.empty(positions.shape), np.empty((len(positions), 3, 3))
        gradient = shaped(gradient, (*positions.shape[:2], self.descriptor.length), "gradient")
        self._call("pull_back", positions, numbers, cell, pbc, gradient, forces, virial)
        return forces, virial

    def push_forward(self, positions: Array, numbers: Array, cell: Array, pbc: Array, direction: Array) -> Array:
        """Change of the features (B, N, F) along a direction (B, N, 3)."""
        change = np.empty((*positions.shape[:2], self.descriptor.length))
        direction = shaped(direction, positions.shape, "direction")
        self._call("push_forward", positions, numbers, cell, pbc, direction, change)
        return change

    def _call(self, name: str, positions: Array, numbers: Array, cell: Array, pbc: Array, *arrays: Array) -> None:
        system, species = self.system(numbers, cell, pbc)
        positions = shaped(positions, (len(positions), len(species), 3), "positions")
        system.structures, system.atoms, system.positions = len(positions), len(species), positions.ctypes.data
        function = getattr(self.library, f"renkei_{name}")
        if function(self.handle, self._list, byref(system), threads(), *(array.ctypes.data for array in arrays)):
            raise MemoryError(f"no memory for {positions.shape[0]} structures of {positions.shape[1]} atoms")

    def system(self, numbers: Array, cell: Array, pbc: Array) -> tuple[_System, Array]:
        """All of a system but its positions, which alone change.  numbers: (N,).  cell: (3, 3) A.  pbc: (3,) bool."""
        key = np.asarray(numbers).tobytes(), np.asarray(cell).tobytes(), np.asarray(pbc).tobytes()
        if key != self._last[0]:
            species = np.ascontiguousarray(kinds(self.descriptor, numbers), np.int32)
            box, system = lattice(cell, pbc), _System(kinds=species.ctypes.data)
            system.vectors[:], system.inverse[:] = box.vectors.ravel(), box.inverse.ravel()
            system.heights[:], system.periodic[:] = box.heights, box.periodic.astype(int)
            self._last = key, (system, species)
        return self._last[1]


def shaped(array: Array, shape: tuple[int, ...], name: str, dtype: type = np.float64) -> Array:
    """The array in C order and of the type that the other side reads. Raises ValueError if its shape is another."""
    array = np.ascontiguousarray(array, dtype)
    if array.shape != shape:
        raise ValueError(f"{name} has shape {array.shape}, expected {shape}")
    return array
