"""The two linear maps of one minibatch by the compiled kernels, from positions and lists of neighbours alone."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from kernels.arrays import Array
from kernels.pool import Pool


@dataclass(frozen=True)
class CompiledMaps:
    """See train_daemon.blocks.Maps; the gradient and the change are by the descriptor's own features, of either family."""

    pool: Pool
    chosen: Array  # (B,) places in the pool

    def forces(self, gradient: torch.Tensor) -> torch.Tensor:
        """-J^T gradient.  gradient: (A, F) eV.  Returns (A, 3) eV/A."""
        return self.forces_and_virial(gradient)[0]

    def forces_and_virial(self, gradient: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """The same, and the virial (B, 3, 3) eV."""
        forces, virial = self.pool.pull_back(self.chosen, gradient.detach().numpy())
        return torch.from_numpy(forces), torch.from_numpy(virial)

    def change(self, direction: torch.Tensor, strain: torch.Tensor | None = None) -> torch.Tensor:
        """J direction and that of a strain (B, 3, 3).  direction: (A, 3) A.  Returns (A, F)."""
        bent = None if strain is None else strain.detach().numpy()
        return torch.from_numpy(self.pool.push_forward(self.chosen, direction.detach().numpy(), bent))
