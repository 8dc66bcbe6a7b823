"""What this machine lacks is left out and said in one line; `.ci/run` makes a missing component an error."""

import ctypes
import os
import shutil
from importlib.util import find_spec
from pathlib import Path

from kernels.native import library

LONGEST = Path(__file__).parent / "pair"  # whole pairs wait more than they compute: these files begin, one per worker

WITHOUT_PW = shutil.which("pw.x") is None and os.environ.get("RENKEI_REQUIRE") != "all"
WITHOUT_COMPILED = library() is None and os.environ.get("RENKEI_REQUIRE") != "all"
CROSS = ("aarch64-linux-gnu-g++", "qemu-aarch64")
WITHOUT_CROSS = not all(map(shutil.which, CROSS)) and os.environ.get("RENKEI_REQUIRE") != "all"
SLURM = ("slurmctld", "slurmd", "munged", "sbatch")
PLACES = os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", "/sbin"])
WITHOUT_SLURM = not all(shutil.which(one, path=PLACES) for one in SLURM) and os.environ.get("RENKEI_REQUIRE") != "all"
WITHOUT_REFERENCE = not os.environ.get("RENKEI_REFERENCE_DATA")
WITHOUT_TRITON = find_spec("triton") is None and os.environ.get("RENKEI_REQUIRE") != "all"


def sees_cuda() -> bool:
    """Whether torch sees a GPU; torch is not imported where there is no driver."""
    try:
        ctypes.CDLL("libcuda.so.1")
    except OSError:
        return False
    import torch

    return torch.cuda.is_available()


WITHOUT_CUDA = not sees_cuda()
if WITHOUT_CUDA:
    os.environ["TRITON_INTERPRET"] = "1"  # read when triton is imported: its loops run on the CPU, slowly


def pytest_configure(config):
    config.addinivalue_line("markers", "needs_pw: needs Quantum ESPRESSO's pw.x")
    config.addinivalue_line("markers", "needs_compiled: needs the compiled kernels")
    config.addinivalue_line("markers", "needs_triton: needs triton; runs in its interpreter where there is no GPU")
    config.addinivalue_line("markers", "needs_cuda: needs triton and a GPU that torch sees")
    config.addinivalue_line("markers", "needs_slurm: needs Slurm's daemons and munge")
    config.addinivalue_line("markers", "needs_cross: needs a compiler for aarch64 and its emulator")


def pytest_collection_modifyitems(config, items):
    missing = {
        "needs_pw": WITHOUT_PW,
        "needs_compiled": WITHOUT_COMPILED,
        "needs_cross": WITHOUT_COMPILED or WITHOUT_CROSS,
        "needs_slurm": WITHOUT_SLURM,
        "needs_triton": WITHOUT_TRITON,
        "needs_cuda": WITHOUT_TRITON or WITHOUT_CUDA,
    }
    left_out = [item for item in items if any(lacks and item.get_closest_marker(name) for name, lacks in missing.items())]
    if left_out:
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if item not in left_out]
    items.sort(key=lambda item: LONGEST not in item.path.parents)


def pytest_runtest_logreport(report):
    """The name of a failure as soon as it is known; the rest comes at the end."""
    if report.failed and "PYTEST_XDIST_WORKER" not in os.environ:
        print(f"\n{report.nodeid} failed in {report.when}", flush=True)


def pytest_terminal_summary(terminalreporter):
    reports = [report for name in ("passed", "failed") for report in terminalreporter.stats.get(name, [])]
    for sentence in sorted(text for report in reports for key, text in report.user_properties if key == "told"):
        terminalreporter.write_line(sentence)  # counts that a test wants to be seen
    if WITHOUT_PW:
        terminalreporter.write_line("left out: Quantum ESPRESSO (no pw.x on the PATH)")
    if WITHOUT_COMPILED:
        terminalreporter.write_line("left out: the compiled kernels (no C++ compiler at installation)")
    if WITHOUT_CROSS:
        terminalreporter.write_line(f"left out: the kernels for aarch64 (not on the PATH: {' or '.join(CROSS)})")
    if WITHOUT_SLURM:
        terminalreporter.write_line(f"left out: a real Slurm (not installed: one of {', '.join(SLURM)})")
    if WITHOUT_TRITON:
        terminalreporter.write_line("left out: the loops for GPUs (triton is not installed)")
    if WITHOUT_CUDA:
        terminalreporter.write_line("left out: tests on a GPU (torch sees none)")
    if WITHOUT_REFERENCE:
        terminalreporter.write_line("left out: third-party reference features (RENKEI_REFERENCE_DATA is not set)")
