"""The run folder as an object, for reading; `claim` gives the writing side."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from protocol import atomic, batch, delays, epochs, heartbeat, journal, names, run_format, weights
from protocol.epoch import Epoch, claim, control_files
from protocol.errors import RenkeiError
from protocol.records import Batch, Card, Packet, PeerState
from protocol.scan import Entry, Finding, Scan


class Store:
    """One run folder. Nothing is written but by `claim`."""

    def __init__(self, root: Path, period_s: float = heartbeat.PERIOD_S) -> None:
        """period_s: of the heartbeats of epochs claimed here. Raises VersionClash for a folder of a newer format."""
        self.root = Path(root)
        run_format.check(self.root)
        self._period_s = period_s
        self.delays = delays.of_run(self.root)
        self._scans: dict[str, Scan] = {}
        self._watches: dict[str, tuple[Path, heartbeat.PeerWatch]] = {}
        self._refused: dict[Path, Entry] = {}

    def simulators(self) -> list[str]:
        """Names of the simulators that have ever started."""
        try:
            found = sorted(path.name for path in (self.root / names.SIM).iterdir() if path.is_dir())
        except (FileNotFoundError, NotADirectoryError):
            return []
        return [name for name in found if names.is_simulator(name)]

    def roles(self) -> list[str]:
        """All roles that have ever started, "train" last."""
        train = [names.TRAIN] if (self.root / names.TRAIN).is_dir() else []
        return [names.simulator_role(name) for name in self.simulators()] + train

    def control(self) -> set[str]:
        """Names of the files in control/."""
        return set(control_files(self.root))

    def claim(self, role: str, takeover: bool = False) -> Epoch:
        """Start a new epoch of a role; RoleTaken if a living daemon plays it (unless `takeover`)."""
        return claim(self.root, role, takeover, self._period_s)

    def entries(self, role: str) -> list[Entry]:
        """Every trigger of a role that is visible now, good or not, in order."""
        if role not in self._scans:
            self._scans[role] = Scan(self.root, role)
        found = self._scans[role].update()
        self._refused = {path: entry for path, entry in self._refused.items() if entry.role != role}
        self._refused.update({entry.trigger: entry for entry in found if entry.finding is Finding.REFUSED})
        return found

    def packets(self, role: str) -> list[Packet]:
        """All messages of a role that count (whole, and adopted by its later epochs), in order."""
        return [entry.packet for entry in self.entries(role) if entry.packet is not None and not entry.retracted]

    @property
    def refused(self) -> list[Entry]:
        """What the last look at each role refused; `.trigger`, `.reason`."""
        return list(self._refused.values())

    def find(self, role: str, digest: str) -> Packet | None:
        """The message with this digest, even if a later epoch did not adopt it: a model named in a ledger stays.

        A model is found without its trigger too: a power cut may take the trigger after a simulator has seen it.
        """
        found = (entry.packet for entry in self.entries(role) if entry.packet is not None and entry.packet.digest == digest)
        return next(found, None) or self._find_folder(role, digest)

    def _find_folder(self, role: str, digest: str) -> Packet | None:
        for number in epochs.numbers(self.root / role) if names.kind(role) == "weights" else []:
            for path in sorted((self.root / role / names.epoch(number) / names.WEIGHTS).glob("generation-*")):
                try:
                    generation = weights.verify(path, digest).generation
                except (OSError, RenkeiError):
                    continue
                return Packet("weights", names.sender(role), number, generation, digest, path, {})
        return None

    def read_batch(self, packet: Packet) -> Batch:
        """The labels of a packet; Torn if its bytes are not what was published."""
        return batch.load(atomic.read_verified(packet.path, packet.digest))

    def read_card(self, packet: Packet) -> Card:
        """The card of a packet of weights, every file verified."""
        return weights.verify(packet.path, packet.digest)

    def epochs(self, role: str) -> list[epochs.EpochRecord]:
        """The starts of a role, in order."""
        return epochs.records(self.root / role)

    def understood(self, role: str) -> str | None:
        """The configuration as the newest start of a role understood it (YAML text); None before the first."""
        texts = [record.folder / names.RESOLVED for record in self.epochs(role)]
        return next((text.read_text("utf-8") for text in reversed(texts) if text.is_file()), None)

    def started(self, role: str) -> dict[str, Any] | None:
        """The newest row that a start of a role left at the head of its ledger; None before the first."""
        rows = (journal.first(record.folder / names.JOURNAL) for record in reversed(self.epochs(role)))
        return next((row for row in rows if row and row.get("event") == "start"), None)

    def ledger(self, role: str) -> list[dict[str, Any]]:
        """The rows that count, of all epochs, in order."""
        return epochs.adopted_rows(self.epochs(role))

    def all_rows(self, role: str) -> list[dict[str, Any]]:
        """Every readable row, repeated and abandoned ones too: for costs."""
        return [row for record in self.epochs(role) for row in journal.read_prefix(record.folder / names.JOURNAL)]

    def trajectories(self, role: str) -> list[Path]:
        """Closed trajectory segments of all epochs, in order; where steps occur twice the later file holds."""
        return [path for record in self.epochs(role) for path in sorted((record.folder / names.TRAJECTORY).glob("[0-9]*.h5"))]

    def heartbeat(self, role: str) -> dict[str, Any] | None:
        """The last heartbeat of the newest epoch; None if there is none."""
        path = self.heartbeat_path(role)
        return None if path is None else heartbeat.read(path)

    def heartbeat_path(self, role: str) -> Path | None:
        """Where the newest epoch's heartbeat is; None without an epoch."""
        newest = self.newest_epoch(role)
        return self.root / role / names.epoch(newest) / names.HEARTBEAT if newest else None

    def newest_epoch(self, role: str) -> int:
        """Number of the newest start of a role; 0 before the first."""
        return max(epochs.numbers(self.root / role), default=0)

    def peer(self, role: str) -> PeerState:
        """What the daemon of a role is doing, as far as its heartbeat tells; the longer this store looks, the surer."""
        path = self.heartbeat_path(role)
        if path is None:
            return PeerState.ABSENT
        if role not in self._watches or self._watches[role][0] != path:
            self._watches[role] = (path, heartbeat.PeerWatch(path, silence_s=self.delays.silence_s))
        return self._watches[role][1].state()

    def works(self, role: str) -> bool:
        """Whether the daemon of a role is alive or pauses."""
        return self.peer(role).works

    def complete(self, role: str) -> bool:
        """Whether a simulator has completed its production and ended: what its newest epoch's last heartbeat says."""
        beat = self.heartbeat(role)
        return beat is not None and beat.get("complete") is True and PeerState(beat["state"]).has_ended
