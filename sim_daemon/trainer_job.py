"""The trainer's batch job, as a simulator sees it: one that gave its node back is asked for again when labels need it."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
import threading
import time
from pathlib import Path

from protocol import heartbeat, names
from protocol.records import PeerState
from protocol.store import Store

OF_THE_LAUNCHER = ("PMI", "OMPI_", "PRTE_", "MPI_", "HYDI_")  # variables that make a process a rank: not for another job
TIMEOUT_S = 600.0
PAUSE_S = 300.0  # after a scheduler's refusal


class TrainerJob:
    """Asks once for each start of the trainer that ended because nobody needed it; `renkei submit` does the rest."""

    def __init__(self, store: Store, log: logging.Logger, here: bool = True) -> None:
        """here: whether the trainer's job is submitted from this run folder."""
        self._store, self._log, self._here = store, log, here
        self._asked_after: Path | None = None
        self._not_before = 0.0

    def state(self) -> str:
        """Where the trainer is, in a word."""
        return str(self._store.peer(names.TRAIN))

    def waits(self) -> bool:
        """Whether the trainer is there and has nothing to do but to wait for labels."""
        beat = self._store.heartbeat(names.TRAIN) or {}
        return self._store.works(names.TRAIN) and beat.get("activity") in ("waiting", "paused")

    def call_back(self) -> None:
        """Submit the trainer again, in the background, if its newest start has released its node. Never raises."""
        path = self._store.heartbeat_path(names.TRAIN)
        if path is None or path == self._asked_after or time.monotonic() < self._not_before:
            return
        beat = heartbeat.read(path) or {}
        if beat.get("released") is True and beat["state"] == PeerState.GONE:
            self._asked_after = path
            if not self._here:
                self._log.warning("labels wait for the trainer, which has released its node: submit it again on its own side")
                return
            threading.Thread(target=self._submit, name="trainer-job", daemon=True).start()

    def _submit(self) -> None:
        command = [sys.executable, "-m", "renkei", "submit", str(self._store.root), "--only", names.TRAIN]
        environment = {name: value for name, value in os.environ.items() if not name.startswith(OF_THE_LAUNCHER)}
        try:
            done = subprocess.run(
                command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=TIMEOUT_S, env=environment
            )
            said, fine = " ".join((done.stdout + done.stderr).split()), done.returncode == 0
        except (OSError, subprocess.TimeoutExpired) as error:
            said, fine = str(error), False
        if fine:
            self._log.info("the trainer had released its node and is asked for again: %s", said)
        else:
            self._asked_after, self._not_before = None, time.monotonic() + PAUSE_S
            self._log.warning(
                "the trainer is not submitted again (%s): `renkei submit %s --only train` asks for it", said, self._store.root
            )
