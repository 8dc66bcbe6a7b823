"""What this machine lacks is left out and said in one line; `.ci/run` makes a missing component an error."""

import os
import shutil

from kernels.native import library

WITHOUT_PW = shutil.which("pw.x") is None and os.environ.get("RENKEI_REQUIRE") != "all"
WITHOUT_COMPILED = library() is None and os.environ.get("RENKEI_REQUIRE") != "all"
WITHOUT_REFERENCE = not os.environ.get("RENKEI_REFERENCE_DATA")


def pytest_configure(config):
    config.addinivalue_line("markers", "needs_pw: needs Quantum ESPRESSO's pw.x")
    config.addinivalue_line("markers", "needs_compiled: needs the compiled kernels")


def pytest_collection_modifyitems(config, items):
    missing = {"needs_pw": WITHOUT_PW, "needs_compiled": WITHOUT_COMPILED}
    left_out = [item for item in items if any(lacks and item.get_closest_marker(name) for name, lacks in missing.items())]
    if left_out:
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if item not in left_out]


def pytest_terminal_summary(terminalreporter):
    if WITHOUT_PW:
        terminalreporter.write_line("left out: Quantum ESPRESSO (no pw.x on the PATH)")
    if WITHOUT_COMPILED:
        terminalreporter.write_line("left out: the compiled kernels (no C++ compiler at installation)")
    if WITHOUT_REFERENCE:
        terminalreporter.write_line("left out: third-party reference features (RENKEI_REFERENCE_DATA is not set)")
