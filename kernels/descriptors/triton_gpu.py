"""The Chebyshev descriptor and its two products on a GPU, in Triton; any powers, float32 or float64.

`measured` turns a list of pairs and their vectors into tables; `features`, `forces` and `change` are the three maps on them. All
sums have the order of the list and nothing is added atomically, so the same list gives the same bits. Only atoms are numbered: B
structures are one list without pairs between them. The functions of the contract (base.py) take numpy arrays and use them all.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch
import triton

from kernels.arrays import Array
from kernels.descriptors import triton_loops, triton_pull
from kernels.descriptors.base import Chebyshev, kinds
from kernels.descriptors.products import Layout
from kernels.neighbors.base import lattice
from kernels.neighbors.torch_device import batched

BLOCK = 16  # neighbours of a tile; a program is one warp
PAIRS = 256  # of one program of `measured`


@dataclass(frozen=True)
class Plan:
    """A descriptor as the loops see it: G groups of neighbours, RR radial and RA angular rows."""

    groups: int
    length: int  # F
    radial_cutoff_A: float
    angular_cutoff_A: float
    radial_terms: int
    angular_terms: int
    factor: torch.Tensor  # (RR + RA, species)
    powers: torch.Tensor  # (RA,) int32
    radial_at: torch.Tensor  # (RR, G) int32: first feature of a row and a group
    angular_at: torch.Tensor  # (RA, G, G) int32


class Edges(NamedTuple):
    """M pairs of A atoms, sorted by first atom, then group, then those near before those far."""

    begin: torch.Tensor  # (A, G) int32: first pair of a group
    near: torch.Tensor  # (A, G) int32: first one that is far
    end: torch.Tensor  # (A, G) int32
    second: torch.Tensor  # (M,) int32
    incoming_begin: torch.Tensor  # (A + 1,) int32: the pairs that end at atom n are incoming[incoming_begin[n] : ...[n + 1]]
    incoming: torch.Tensor  # (M,) int32


class Measured(NamedTuple):
    """Geometry of the pairs, in the precision of the products."""

    unit: torch.Tensor  # (M, 3)
    distance: torch.Tensor  # (M,) A
    weights: torch.Tensor  # (M, 2 (RR + RA)): value and slope of each row


def plan_of(descriptor: Chebyshev, device: str | torch.device, dtype: torch.dtype) -> Plan:
    """The plan of a descriptor; its weighted family has one group of neighbours and a row for each set of weights.

    Raises ValueError for a basis that has no loops here.
    """
    d, count = descriptor, len(descriptor.species)
    if d.basis != "chebyshev":
        raise ValueError(f"the loops in Triton have no {d.basis} basis")
    radial, angular = d.places
    if d.family == "species_weighted":
        rows = len(d.mixing[0])
        at = radial[:, None], angular[0][:, None, None]
        return _plan(d, 1, d.length, np.concatenate([d.mixing[0]] * 2), [1] * rows, at, device, dtype)
    pair = np.zeros((count, count), dtype=np.int64)
    low, high = np.triu_indices(count)
    pair[low, high] = pair[high, low] = np.arange(len(low))
    at = radial[None, :], angular[:, pair]
    return _plan(d, count, d.length, np.ones((1 + len(d.powers), count)), d.powers, at, device, dtype)


def plan_of_layout(spots: Layout, device: str | torch.device, dtype: torch.dtype) -> Plan:
    """The plan of the resolved features that learners train on."""
    species, powers = len(spots.radial), [int(power) for power in spots.powers]
    shape = Chebyshev(
        tuple(range(1, species + 1)),
        "species_resolved",
        spots.radial_order,
        spots.radial_cutoff_A,
        spots.angular_order,
        spots.angular_cutoff_A,
    )
    at = spots.radial[None, :], spots.angular.transpose(2, 0, 1)
    return _plan(shape, species, spots.length, np.ones((1 + len(powers), species)), powers, at, device, dtype)


def _plan(
    shape: Chebyshev,
    groups: int,
    length: int,
    factor: Array,
    powers: Any,
    at: tuple[Array, Array],
    device: Any,
    dtype: torch.dtype,
) -> Plan:
    """Tables on the device."""
    radial_at, angular_at = (torch.tensor(np.ascontiguousarray(places), dtype=torch.int32, device=device) for places in at)
    return Plan(
        groups,
        length,
        shape.radial_cutoff_A,
        shape.angular_cutoff_A,
        shape.radial_order + 1,
        shape.angular_order + 1,
        torch.tensor(factor, dtype=dtype, device=device),
        torch.tensor(list(powers), dtype=torch.int32, device=device),
        radial_at,
        angular_at,
    )


def edges(
    plan: Plan, first: torch.Tensor, second: torch.Tensor, far: torch.Tensor, species: torch.Tensor
) -> tuple[Edges, torch.Tensor]:
    """Tables of a list of pairs, and the order (M,) that its columns have there.

    first, second: (M,) atoms.  far: (M,) bool, beyond the angular cut-off until the list is made anew.  species: (A,) places.
    """
    atoms, groups = len(species), plan.groups
    group = species[second].long() if groups > 1 else torch.zeros_like(second)
    run = (first * groups + group) * 2 + far.long()
    order = torch.argsort(run, stable=True)
    sizes = torch.bincount(run, minlength=2 * atoms * groups)
    ends = torch.cumsum(sizes, 0).reshape(atoms, groups, 2)
    begin = ends - sizes.reshape(atoms, groups, 2)
    second = second[order]
    incoming_begin = torch.zeros(atoms + 1, dtype=torch.int64, device=second.device)
    incoming_begin[1:] = torch.cumsum(torch.bincount(second, minlength=atoms), 0)
    columns = (begin[..., 0], ends[..., 0], ends[..., 1], second, incoming_begin, torch.argsort(second, stable=True))
    return Edges(*(column.int().contiguous() for column in columns)), order


def measured(plan: Plan, near: Edges, vector: torch.Tensor, species: torch.Tensor) -> Measured:
    """Geometry and weights of the pairs, computed in the precision of `vector`, stored in that of the plan.

    vector: (M, 3) A, from first to second.  species: (A,) places of the atoms' species, int32.
    """
    rows, kind, count = len(plan.factor), plan.factor.dtype, len(vector)
    unit, distance = vector.new_empty((count, 3), dtype=kind), vector.new_empty(count, dtype=kind)
    weights = vector.new_empty((count, 2 * rows), dtype=kind)
    if count:
        angular, cutoffs = len(plan.powers), (plan.radial_cutoff_A, plan.angular_cutoff_A)
        with torch.cuda.device_of(plan.factor):
            triton_loops.measure[(triton.cdiv(count, PAIRS),)](
                vector.contiguous(), near.second, species, plan.factor.to(vector.dtype), plan.powers,
                unit, distance, weights, count, spec=plan.factor.shape[1],
                radial_A=cutoffs[0], radial_per=math.pi / cutoffs[0], angular_A=cutoffs[1], angular_per=math.pi / cutoffs[1],
                RR=rows - angular, RA=angular, BLOCK=PAIRS, enable_fp_fusion=True,
            )  # fmt: skip
    return Measured(unit, distance, weights)


def features(plan: Plan, near: Edges, table: Measured) -> torch.Tensor:
    """Features of the atoms, (A, F)."""
    return _projected(plan, near, table, None, None)


def change(plan: Plan, near: Edges, table: Measured, direction: torch.Tensor, strain: torch.Tensor | None = None) -> torch.Tensor:
    """J direction: change of the features (A, F) per unit of motion.  direction: (A, 3).

    strain: (A, 3, 3); the vectors of each atom's pairs move by its strain times themselves, too.
    """
    return _projected(plan, near, table, direction.contiguous(), None if strain is None else strain.contiguous())


def forces(plan: Plan, near: Edges, table: Measured, gradient: torch.Tensor) -> torch.Tensor:
    """-J^T gradient.  gradient: (A, F) eV.  Returns (A, 3) eV/A."""
    return collected(plan, near, table, pulled(plan, near, table, gradient), False)[0]


def pulled(plan: Plan, near: Edges, table: Measured, gradient: torch.Tensor) -> torch.Tensor:
    """Derivative of each pair's first atom's energy by the pair's vector, (M, 3) eV/A.  gradient: (A, F) eV."""
    by, atoms = torch.empty_like(table.unit), len(near.begin)
    if atoms:
        with torch.cuda.device_of(plan.factor):
            triton_pull.pull[(atoms,)](
                near.begin, near.near, near.end, *table, gradient.contiguous(), plan.radial_at, plan.angular_at, by,
                **_shape(plan),
            )  # fmt: skip
    return by


def collected(plan: Plan, near: Edges, table: Measured, by: torch.Tensor, want_virial: bool) -> tuple[torch.Tensor, torch.Tensor]:
    """Forces (A, 3) eV/A, and each atom's part of the virial (A, 3, 3) eV if wanted.  by: (M, 3) eV/A, of `pulled`."""
    atoms = len(near.begin)
    force, virial = by.new_empty((atoms, 3)), by.new_empty((atoms if want_virial else 0, 3, 3))
    if atoms:
        with torch.cuda.device_of(plan.factor):
            triton_pull.collect[(atoms,)](
                near.begin, near.end, near.incoming_begin, near.incoming, table.unit, table.distance, by, force, virial,
                GROUPS=plan.groups, BLOCK=2 * BLOCK, VIRIAL=want_virial, num_warps=1, enable_fp_fusion=True,
            )  # fmt: skip
    return force, virial


def _shape(plan: Plan) -> dict[str, Any]:
    """What the loops are compiled for."""
    angular = len(plan.powers)
    radial = len(plan.factor) - angular
    return {
        "scale": 2 / plan.radial_cutoff_A,
        "LENGTH": plan.length,
        "GROUPS": plan.groups,
        "RR": radial,
        "RA": angular,
        "LONG": plan.radial_terms,
        "SHORT": plan.angular_terms,
        "RADIAL_ROWS": triton.next_power_of_2(radial),
        "ANGULAR_ROWS": triton.next_power_of_2(angular),
        "BLOCK": BLOCK,
        "num_warps": 1,
        "enable_fp_fusion": True,
    }


def _projected(
    plan: Plan, near: Edges, table: Measured, direction: torch.Tensor | None, strain: torch.Tensor | None
) -> torch.Tensor:
    """Features, or their change."""
    result = table.distance.new_empty((len(near.begin), plan.length))
    if len(result):
        with torch.cuda.device_of(plan.factor):
            triton_loops.project[(len(result),)](
                near.begin, near.near, near.end, near.second, *table, table.unit if direction is None else direction,
                table.unit if strain is None else strain, plan.radial_at, plan.angular_at, result, **_shape(plan),
                MOVED=direction is not None, STRAINED=strain is not None,
                LONG_ROOM=triton.next_power_of_2(plan.radial_terms), SHORT_ROOM=triton.next_power_of_2(plan.angular_terms),
            )  # fmt: skip
    return result


class _Batch(NamedTuple):
    """What the functions of the contract work on."""

    plan: Plan
    near: Edges
    table: Measured
    finite: torch.Tensor  # (B,) bool


def _batch(descriptor: Chebyshev, positions: Array, numbers: Array, cell: Array, pbc: Array) -> _Batch:
    """Lists and tables of B structures, in double precision on the GPU, or on the CPU for Triton's interpreter."""
    device = "cuda" if torch.cuda.is_available() else "cpu"
    places = torch.tensor(np.asarray(positions, dtype=np.float64), device=device)
    finite = places.isfinite().all(-1).all(-1)
    plan = plan_of(descriptor, device, torch.float64)
    species = torch.tensor(kinds(descriptor, numbers), dtype=torch.int32, device=device).repeat(len(places))
    found = batched(places, lattice(cell, pbc), descriptor.radial_cutoff_A)
    near, order = edges(plan, found.first, found.second, found.distance >= descriptor.angular_cutoff_A, species)
    return _Batch(plan, near, measured(plan, near, found.vector[order], species), finite)


def _numpy(work: _Batch, atoms: torch.Tensor, shape: tuple[int, ...]) -> Array:
    """An array (B, ...) of one with a row for each atom; NaN for structures that are not finite."""
    rows = atoms.reshape(len(work.finite), -1)
    result: Array = torch.where(work.finite[:, None], rows, torch.nan).reshape(shape).cpu().numpy()
    return result


def _like(work: _Batch, array: Array, shape: tuple[int, ...], name: str) -> torch.Tensor:
    """An argument of the contract, (A, ...) on the device."""
    if np.shape(array) != shape:
        raise ValueError(f"{name} has shape {np.shape(array)}, expected {shape}")
    return torch.tensor(np.asarray(array, dtype=np.float64).reshape(-1, shape[-1]), device=work.finite.device)


def values(descriptor: Chebyshev, positions: Array, numbers: Array, cell: Array, pbc: Array) -> Array:
    """Features (B, N, F).  positions: (B, N, 3) A.  numbers: (N,).  cell: (3, 3) A.  pbc: (3,) bool."""
    work = _batch(descriptor, positions, numbers, cell, pbc)
    return _numpy(work, features(*work[:3]), (*np.shape(positions)[:2], descriptor.length))


def pull_back(
    descriptor: Chebyshev, positions: Array, numbers: Array, cell: Array, pbc: Array, gradient: Array
) -> tuple[Array, Array]:
    """Forces (B, N, 3) eV/A and virial (B, 3, 3) eV of an energy with the derivative `gradient`.

    positions: (B, N, 3) A.  numbers: (N,).  cell: (3, 3) A.  pbc: (3,) bool.  gradient: (B, N, F) eV.
    """
    work, (structures, atoms, _) = _batch(descriptor, positions, numbers, cell, pbc), np.shape(positions)
    slope = _like(work, gradient, (structures, atoms, descriptor.length), "gradient")
    force, virial = collected(*work[:3], pulled(*work[:3], slope), True)
    total = virial.reshape(structures, atoms, 9).sum(1)
    return _numpy(work, force, (structures, atoms, 3)), _numpy(work, total, (structures, 3, 3))


def push_forward(descriptor: Chebyshev, positions: Array, numbers: Array, cell: Array, pbc: Array, direction: Array) -> Array:
    """Change of the features (B, N, F) per unit of motion along `direction`.

    positions: (B, N, 3) A.  numbers: (N,).  cell: (3, 3) A.  pbc: (3,) bool.  direction: (B, N, 3), any unit.
    """
    work, shape = _batch(descriptor, positions, numbers, cell, pbc), np.shape(positions)
    moved = change(*work[:3], _like(work, direction, shape, "direction"))
    return _numpy(work, moved, (*shape[:2], descriptor.length))
