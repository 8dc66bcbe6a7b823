"""The log for people: one line per event, UTC, to a file and to the screen. Programs read the journal."""

from __future__ import annotations

import logging
import sys
import time
from pathlib import Path


class _LogFile(logging.FileHandler):
    """A log that cannot be written (disk full) says so once and never ends the daemon."""

    said = False

    def handleError(self, record: logging.LogRecord) -> None:
        """One sentence on standard error, once."""
        if not self.said:
            self.said = True
            print(f"cannot write {self.baseFilename}: {sys.exc_info()[1]}", file=sys.stderr)


def open_log(path: Path, name: str) -> logging.Logger:
    """Logger `name` with a line per event to `path` (appended) and to standard output."""
    logger = logging.getLogger(name)
    close_log(logger)
    logger.setLevel(logging.INFO)
    logger.propagate = False
    layout = logging.Formatter("%(asctime)sZ %(levelname)-7s %(message)s", "%Y-%m-%dT%H:%M:%S")
    layout.converter = time.gmtime
    for handler in (_LogFile(path, encoding="utf-8", delay=True), logging.StreamHandler(sys.stdout)):
        handler.setFormatter(layout)
        logger.addHandler(handler)
    return logger


def close_log(logger: logging.Logger) -> None:
    """Close the files of a logger."""
    for handler in list(logger.handlers):
        handler.close()
        logger.removeHandler(handler)
