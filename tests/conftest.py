"""What this machine lacks is left out and said in one line; `.ci/run` makes a missing component an error."""

import os
import shutil

WITHOUT_PW = shutil.which("pw.x") is None and os.environ.get("RENKEI_REQUIRE") != "all"
WITHOUT_REFERENCE = not os.environ.get("RENKEI_REFERENCE_DATA")


def pytest_configure(config):
    config.addinivalue_line("markers", "needs_pw: needs Quantum ESPRESSO's pw.x")


def pytest_collection_modifyitems(config, items):
    left_out = [item for item in items if WITHOUT_PW and item.get_closest_marker("needs_pw")]
    if left_out:
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if item not in left_out]


def pytest_terminal_summary(terminalreporter):
    if WITHOUT_PW:
        terminalreporter.write_line("left out: Quantum ESPRESSO (no pw.x on the PATH)")
    if WITHOUT_REFERENCE:
        terminalreporter.write_line("left out: third-party reference features (RENKEI_REFERENCE_DATA is not set)")
