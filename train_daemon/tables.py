"""The labelled structures of a library as a fit takes them: tensors, and the maps of a minibatch."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np
import torch

from kernels.arrays import Array
from kernels.descriptors.products import mixing
from kernels.potentials.bpnn import BpnnModel
from train_daemon.blocks import CpuMaps, DevicePool, Maps
from train_daemon.compiled_maps import CompiledMaps
from train_daemon.library import Library
from train_daemon.recipe import Table
from train_daemon.sides import Sides

DEVICE_SHARE = 0.5  # of a device's free memory that features and geometry may fill; beyond it they come with each minibatch


def tensor(array: Array, device: str) -> torch.Tensor:
    """A copy in single precision on a device."""
    return torch.tensor(array, dtype=torch.float32, device=device)


def table_of(library: Library, network: BpnnModel, sides: Sides, device: str) -> Table:
    """The training side on a device, in the units of a network."""
    resident = _resident(library, device)
    features = torch.from_numpy(library.features)
    composition = library.composition(np.arange(len(library.energies)))
    energies, forces = library.above(network.baseline)
    there = partial(tensor, device=device)
    return Table(
        members=sides.members,
        validation=sides.validation,
        features=features.to(device) if resident else features,
        kinds=library.kinds,
        starts=library.starts,
        energies=there((energies - composition @ network.reference_eV) / network.energy_scale_eV),
        forces=there(forces / network.energy_scale_eV),
        weights=there(sides.weights),
        forced=there(sides.forced),
        compositions=torch.from_numpy(np.unique(composition, axis=0, return_inverse=True)[1].reshape(-1)).to(device),
        offsets=there(network.mean - library.shifts),
        slopes=there(network.scale),
        mixing=_mixing(library, device),
        energy_scale=network.energy_scale_eV,
        maps=_maps(library, device, resident),
        virials=there(library.virials_above(network.baseline) / network.energy_scale_eV) if library.virial_known.any() else None,
        virial_known=there(library.virial_known) if library.virial_known.any() else None,
    )


def _resident(library: Library, device: str) -> bool:
    """Whether all features and pairs have room on the device."""
    if device == "cpu" or library.pool is None:
        return True
    size = library.features.nbytes + sum(column.nbytes for column in library.pool)
    return size <= DEVICE_SHARE * torch.cuda.mem_get_info(device)[0]


def _mixing(library: Library, device: str) -> torch.Tensor | None:
    """What makes the descriptor's features of resolved ones, where the products need it."""
    if library.compiled is not None or library.descriptor.family == "species_resolved":
        return None
    return tensor(mixing(library.descriptor), device)


def _maps(library: Library, device: str, resident: bool) -> Callable[[Array], Maps]:
    """The products of chosen structures."""
    if library.compiled is not None:
        return partial(CompiledMaps, library.compiled)
    assert library.pool is not None
    if device == "cpu":
        return partial(CpuMaps, library.spots, library.pool)
    return DevicePool(library.spots, library.pool, device, resident).maps
