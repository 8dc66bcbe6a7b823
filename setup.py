"""Builds the compiled kernels where a C++ compiler is: one source, one object for each set of instructions.

Without a compiler the installation goes on, and the loops in Numba serve.
"""

import copy
import platform
from pathlib import Path

from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext

SOURCES = ["kernels/csrc/kernels.cpp", "kernels/csrc/neighbors.cpp", "kernels/csrc/peak.cpp"]
HEADERS = sorted(map(str, Path("kernels/csrc").glob("*.h*")))
COMMON = ["-std=c++17", "-O3", "-g0", "-fopenmp", "-fvisibility=hidden"]
COMMON += ["-fno-wrapv", "-fno-math-errno", "-fno-trapping-math", "-fno-signed-zeros"]  # what vectors need; NaN stays NaN
COMMON += ["-Wno-psabi"]  # vectors wider than the registers do not leave an object
AVX512 = ["-mavx512f", "-mavx512dq", "-mavx512bw", "-mavx512vl", "-mfma", "-mprefer-vector-width=512"]
INSTRUCTIONS = {
    "x86_64": {"avx512": AVX512, "avx2": ["-mavx2", "-mfma"], "sse2": []},
    "aarch64": {"sve512": ["-march=armv8.2-a+sve", "-msve-vector-bits=512"], "neon": []},
}


class BuildKernels(build_ext):
    """Objects with a plain C interface: they are opened by name, not imported."""

    def finalize_options(self) -> None:
        """Two at a time."""
        super().finalize_options()
        self.parallel = self.parallel or 2

    def build_extension(self, ext: Extension) -> None:
        """With a folder of its own for what is in between: all have the same sources."""
        own = copy.copy(self)
        own.build_temp = f"{self.build_temp}/{ext.name}"
        build_ext.build_extension(own, ext)

    def get_ext_filename(self, fullname: str) -> str:
        """kernels/csrc/avx512.so, whatever Python it is."""
        return fullname.replace(".", "/") + ".so"


def objects() -> list[Extension]:
    """One for each set of instructions of this machine."""
    return [
        Extension(
            f"kernels.csrc.{name}",
            SOURCES,
            depends=[*HEADERS, "setup.py"],
            extra_compile_args=[*COMMON, *flags],
            extra_link_args=["-fopenmp"],
            language="c++",
            optional=True,
        )
        for name, flags in INSTRUCTIONS.get(platform.machine(), {"generic": []}).items()
    ]


setup(ext_modules=objects(), cmdclass={"build_ext": BuildKernels})
