"""`tortured.py sim|train RUN ...`: a daemon that is less patient with late files, whose disk can be full, and that can be killed
between two of its own system calls.

The disk is full while the file that TORTURE_FULL names is there; only where no small file system can be mounted. Once the file
`RUN.kill-ROLE` is there, the process kills itself after as many more fsyncs and renames as it says: a kill by the clock would
nearly always find a daemon that computes or waits.
"""

import errno
import os
import signal
import sys
from pathlib import Path

from protocol import atomic, delays

PATIENCE_S = 4.0


class Tortured:
    """`os` whose writes fail while the file `full` is there, and that counts down to a kill once the file `fuse` is."""

    def __init__(self, full, fuse):
        self.full, self.fuse, self.left = full, fuse, None

    def __getattr__(self, name):
        real = getattr(os, name)
        if name in ("write", "mkdir") and self.full is not None:
            return lambda *args: self._write(real, *args)
        return (lambda *args: self._last(real, *args)) if name in ("fsync", "rename") else real

    def _write(self, real, *args):
        if self.full.exists():
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return real(*args)

    def _last(self, real, *args):
        real(*args)
        if self.left is None and self.fuse.exists():
            self.left = int(self.fuse.read_text() or 0)
        if self.left is not None:
            self.left -= 1
            if self.left < 0:
                os.kill(os.getpid(), signal.SIGKILL)


if __name__ == "__main__":
    role = sys.argv.pop(1)
    delays.LATE_S = PATIENCE_S
    full = os.environ.get("TORTURE_FULL")
    atomic.os = Tortured(full and Path(full), Path(f"{sys.argv[1]}.kill-{role}"))
    if role == "train":
        from train_daemon.__main__ import main
    else:
        from sim_daemon.__main__ import main
    sys.exit(main())
