"""Pictures are PNG, and nothing of a notebook's matplotlib is touched."""

import subprocess
import sys

from renkei import canvas


def test_a_figure_is_a_png_of_its_size():
    with canvas.canvas(2, height=3.0, columns=2, width=5.0) as (drawing, axes):
        axes[0].plot([0, 1])
        found = canvas.figure(drawing, "name", "Title", "Caption")
    assert len(axes) == 4
    assert found.png[:8] == b"\x89PNG\r\n\x1a\n"
    assert int.from_bytes(found.png[16:20]) == 5 * 130
    assert int.from_bytes(found.png[20:24]) == 3 * 130


def test_no_display_is_looked_for():
    code = "import renkei.figures, sys; assert 'matplotlib.pyplot' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)
