"""Plays the trainer: waits for STOP, or dies if RUN/mode says so."""

import sys
import time
from pathlib import Path

run = Path(sys.argv[1])
(run / "train.words").write_text(" ".join(sys.argv[2:]))
mode = (run / "mode").read_text().split() if (run / "mode").exists() else []
if "trainer_dies" in mode:
    print("train_daemon: no torch")
    sys.exit(6)
while not (run / "control" / "STOP-train").exists():
    time.sleep(0.05)
(run / "train.ended").write_text("in order")
