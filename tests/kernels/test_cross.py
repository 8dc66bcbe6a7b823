"""The compiled kernels for another family of processors, run under emulation: the same numbers as here."""

import runpy
import subprocess
from pathlib import Path

import numpy as np
import pytest
import setuptools

from kernels import native
from kernels.descriptors.base import BASES, Chebyshev, kinds
from kernels.neighbors.base import lattice

pytestmark = pytest.mark.needs_cross

ROOT = Path(__file__).parents[2]
PERIODIC = np.ones(3, bool)
EMULATOR = ["qemu-aarch64", "-cpu", "max,sve-max-vq=4"]  # vectors of 512 bits


@pytest.fixture(scope="module")
def flags():
    """Compiler flags as the installation has them."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(setuptools, "setup", lambda **_: None)
        patch.chdir(ROOT)
        return runpy.run_path("setup.py")


@pytest.fixture(scope="module", params=["neon", "sve512"])
def driver(request, flags, tmp_path_factory):
    """An executable for aarch64."""
    made = tmp_path_factory.mktemp(request.param) / "driver"
    sources = [str(ROOT / source) for source in flags["SOURCES"]]
    options = [*flags["COMMON"], "-O1", *flags["INSTRUCTIONS"]["aarch64"][request.param], f"-I{ROOT / 'kernels/csrc'}", "-static"]
    subprocess.run(
        ["aarch64-linux-gnu-g++", *options, *sources, str(Path(__file__).parent / "cross/driver.cpp"), "-o", str(made)],
        check=True,
    )
    found = subprocess.run([*EMULATOR, str(made)], check=True, capture_output=True, text=True).stdout
    assert found.strip() == request.param
    return made


def problem(descriptor, net, positions, numbers, cell, direction, single):
    """Bytes in the order in which the driver reads them."""
    (radial_mix, angular_mix), (radial_place, angular_place) = descriptor.mixing, descriptor.places
    box, parts = lattice(cell, PERIODIC), []
    sizes = [len(descriptor.species), descriptor.radial_order + 1, descriptor.angular_order + 1, len(descriptor.powers)]
    sizes += [len(radial_mix), len(angular_mix), descriptor.length, single, net.sizes.shape[1] - 1]
    parts += [(np.int32, [*sizes, *positions.shape[:2], len(net.parameters), BASES.index(descriptor.basis)])]
    parts += [(float, [descriptor.radial_cutoff_A, descriptor.angular_cutoff_A]), (np.int32, descriptor.powers)]
    parts += [(float, radial_mix), (float, angular_mix), (np.int32, radial_place), (np.int32, angular_place)]
    parts += [(np.int32, net.layers), (np.int32, net.sizes), (np.int64, net.begin), (float, net.parameters)]
    parts += [(float, net.mean), (float, net.scale), (np.int32, kinds(descriptor, numbers))]
    parts += [(float, box.vectors), (float, box.inverse), (float, box.heights), (float, positions), (float, direction)]
    return b"".join(np.ascontiguousarray(part, kind).tobytes() for kind, part in parts)


@pytest.mark.parametrize("single", [False, True])
@pytest.mark.parametrize(
    "descriptor",
    [
        Chebyshev((8, 14), "species_resolved", 15, 5.0, 8, 4.0),
        Chebyshev((8, 14), "species_weighted", 50, 5.0, 30, 5.0),
        Chebyshev((8, 14), "species_resolved", 40, 5.0, 12, 4.0, basis="bspline"),
    ],
)
def test_aarch64_gives_the_numbers_of_this_machine(driver, descriptor, single, tmp_path, melt, networks):
    positions, numbers, cell = melt(24)
    positions = positions + np.random.default_rng(3).normal(0, 0.1, (2, 24, 3))
    direction, net = np.random.default_rng(4).normal(size=positions.shape), networks(descriptor)
    (tmp_path / "problem").write_bytes(problem(descriptor, net, positions, numbers, cell, direction, single))
    answer = subprocess.run([*EMULATOR, str(driver), str(tmp_path / "problem")], check=True, capture_output=True).stdout
    system, loops = (positions, numbers, cell, PERIODIC), native.Loops(descriptor, net, single)
    features = loops.values(*system)
    want = [*loops.energy(*system), features, loops.push_forward(*system, direction), *loops.pull_back(*system, features)]
    theirs = np.split(np.frombuffer(answer), np.cumsum([part.size for part in want])[:-1])
    for mine, other in zip(want, theirs, strict=True):
        assert np.abs(mine.ravel() - other).max() < (2e-5 if single else 1e-11) * np.abs(mine).max()
