"""Plays the simulator: RUN/mode says whether it waits for STOP or fails."""

import sys
import time
from pathlib import Path

run = Path(sys.argv[1])
(run / "sim.words").write_text(" ".join(sys.argv[2:]))
mode = (run / "mode").read_text().split() if (run / "mode").exists() else []
if "fail" in mode:
    print("sim_daemon: the engine cannot be used", file=sys.stderr)
    sys.exit(3)
stop = run / "control" / f"STOP-{sys.argv[sys.argv.index('--name') + 1]}"
while "wait" in mode and not stop.exists():
    time.sleep(0.05)
(run / "sim.ended").write_text("in order")
