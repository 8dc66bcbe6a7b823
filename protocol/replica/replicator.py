"""Both directions of a pair that shares no folder: answers the other side's copy, and fetches its publications into ours."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from protocol import atomic, names
from protocol.errors import EnvironmentFailed, ProtocolError, RenkeiError, VersionClash, WrongPeer
from protocol.replica import wire
from protocol.replica.link import Link, Peer
from protocol.replica.source import Source
from protocol.replica.target import Target
from protocol.replica.wire import Held, Message

GREET_S = 2.0  # between two words to a peer that is silent
SELDOM_S = 10.0  # the longest such pause
RETRY_S = 5.0  # without the chunk that was asked for: it is asked for again
FORGET_S = 60.0  # of silence: a peer's state is let go
PAUSE_S = 10.0  # after a write of ours failed
DEAF_S = 30.0  # to a peer that was refused
MOST_PEERS = 256
BURST = 64  # messages in one turn

log = logging.getLogger("renkei.channel")


@dataclass
class Session:
    """One daemon of the other side."""

    role: str
    epoch: int
    target: Target
    held: dict[int, Held] | None = None  # what it has of ours; None: it has not said
    beat: str = ""  # digest of our heartbeat that it has
    heard: float = 0.0
    told: float = 0.0
    moved: tuple[int, float] = (0, 0.0)  # progress of the copy, and since when
    paused: float = 0.0  # until then nothing is written for it
    beat_sent: str = field(default="", repr=False)


class Replicator:
    """State of all connections of one daemon. `turn` does what can be done now; one thread calls it."""

    def __init__(
        self, root: Path, role: str, epoch: int, link: Link, mark: str, clock: Callable[[], float] = time.monotonic
    ) -> None:
        """mark: `wire.run_mark` of this side."""
        self._root, self._role, self._epoch, self._link, self._mark, self._clock = root, role, epoch, link, mark, clock
        self._source = Source(root, role)
        self.sessions: dict[Peer, Session] = {}
        self._deaf: dict[Peer, float] = {}
        self._greeted: dict[Peer, tuple[float, float]] = {}  # when the next greeting is due, and the pause after it
        self._said: set[str] = set()
        self._looked = -1.0
        self.news = True  # something of ours was published
        self.has_met = False  # somebody of the other side has been here

    def turn(self, timeout_s: float) -> bool:
        """Take what has come, waiting at most `timeout_s` for the first, and send what is due; True if our copy has grown."""
        if self.news:
            self.news = False
            self._source.update()
            for peer, session in self.sessions.items():
                self._serve(peer, session)
        grown = False
        received = self._link.receive(timeout_s)
        for _ in range(BURST):
            if received is None:
                break
            grown |= self._take(*received)
            received = self._link.receive(0.0)
        if received is not None:
            grown |= self._take(*received)
        self._keep()
        return grown

    def settled(self) -> bool:
        """Whether all of ours is durable with every daemon that listens, our last heartbeat too."""
        self._source.update()
        beat = self._source.heartbeat()
        last = "" if beat is None else atomic.digest_of(beat[1])
        sessions = self.sessions.values()
        return all(one.held is not None and not self._source.after(one.held) and one.beat == last for one in sessions)

    def farewell(self) -> None:
        """Tell all that we end."""
        for peer in self.sessions:
            self._link.send(peer, wire.encode("bye"))

    # --- what comes -----------------------------------------------------------------------------

    def _take(self, peer: Peer, data: bytes) -> bool:
        """One message; whatever is wrong with it is that peer's affair alone. True if our copy has grown."""
        if self._deaf.get(peer, -1.0) > self._clock():
            return False
        try:
            message = wire.decode(data)
            session = self.sessions.get(peer)
            if message.kind == "here":
                self._here(peer, message)
            elif message.kind == "refuse":
                self._say(f"the other side refuses this one: {wire.sentence(message.fields.get('why'))}")
                self._drop(peer, DEAF_S)
            elif message.kind == "bye":
                self._drop(peer, 0.0)
            elif session is not None:
                session.heard = self._clock()
                return self._known(peer, session, message)
        except EnvironmentFailed as error:
            self._say(f"the copy of the other side cannot be written: {error}")
            if peer in self.sessions:
                self.sessions[peer].paused = self._clock() + PAUSE_S
        except ProtocolError as error:
            self._say(f"refused: {error}")
            self._link.send(peer, wire.encode("refuse", why=error.what))
            self._drop(peer, DEAF_S)
        return False

    def _known(self, peer: Peer, session: Session, message: Message) -> bool:
        """A message of a peer that has said who it is."""
        fields, target = message.fields, session.target
        if message.kind == "get":
            place = [wire.whole(fields, key, low) for key, low in (("epoch", 1), ("number", -1), ("offset", 0))]
            name = str(fields.get("name"))
            body = self._source.read(place[0], place[1], name, place[2], wire.BODY)
            if body is not None:
                epoch, number, offset = place
                self._link.send(peer, wire.encode("data", body, epoch=epoch, number=number, name=name, offset=offset))
            return False
        if session.paused > self._clock():
            return False
        if message.kind == "offer":
            target.offer(wire.parse_items(fields.get("items"), names.kind(session.role)))
        elif message.kind == "data":
            place = [wire.whole(fields, key, low) for key, low in (("epoch", 1), ("number", -1), ("offset", 0))]
            grown = target.data((place[0], place[1], str(fields.get("name")), place[2]), message.body)
            self._ask(peer, session)
            if target.idle:
                self._tell(peer, session)  # durable here: what comes next?
            return grown
        elif message.kind == "rows":
            if target.rows(wire.whole(fields, "epoch", 1), wire.whole(fields, "offset"), message.body):
                self._tell(peer, session)
        elif message.kind == "beat":
            target.heartbeat(wire.whole(fields, "epoch", 1), message.body)
            self._tell(peer, session)
            return True
        self._ask(peer, session)
        return False

    def _here(self, peer: Peer, message: Message) -> None:
        """A peer says who it is, and what it has of ours."""
        fields = message.fields
        if fields.get("version") != wire.VERSION:
            what = (
                f"the other side speaks version {wire.sentence(fields.get('version'))} of the transport, this one {wire.VERSION}"
            )
            raise VersionClash(what, "channel", "use the same version of renkei on both sides")
        role, epoch = str(fields.get("role")), wire.whole(fields, "epoch", 1)
        if (role == names.TRAIN) == (self._role == names.TRAIN):
            raise WrongPeer(
                f"this side is {self._role}, so is the other: {wire.sentence(role)}", "channel", "look at its address"
            )
        try:
            names.sender(role)
        except RenkeiError as error:
            raise WrongPeer("a role that no daemon has", "channel") from error
        mark = fields.get("run")
        if self._mark and mark and mark != self._mark:
            raise WrongPeer("the other side has another system or structure", "channel", "give both sides the same run.yaml")
        held = None if fields.get("have") is None else wire.parse_held(fields["have"])
        self._source.update()
        ids = self._source.ids()
        if any(epoch in ids and one.id != ids[epoch] for epoch, one in (held or {}).items()):
            raise WrongPeer(f"the other side has a copy of another run's {self._role}", "channel", "give it a new run folder")
        session = self._session(peer, role, epoch)
        session.heard, session.beat = self._clock(), str(fields.get("beat"))
        if held is not None:
            session.held = held
            self._serve(peer, session)
            rows = self._source.rows(held)
            if rows is not None:
                self._link.send(peer, wire.encode("rows", rows[2], epoch=rows[0], offset=rows[1]))

    def _session(self, peer: Peer, role: str, epoch: int) -> Session:
        """The session of a peer, made if new; the newest start of a role takes the place of older ones."""
        session = self.sessions.get(peer)
        if session is not None and (session.role, session.epoch) == (role, epoch):
            return session
        rivals = {other: one for other, one in self.sessions.items() if one.role == role or other == peer}
        if any(one.epoch > epoch for other, one in rivals.items() if one.role == role):
            raise WrongPeer(f"a newer start of {role} has taken over", "channel")
        if len(self.sessions) - len(rivals) >= MOST_PEERS:
            raise WrongPeer(f"more than {MOST_PEERS} daemons", "channel")
        for other in rivals:
            del self.sessions[other]
        self._greeted.pop(peer, None)
        self.has_met = True
        session = self.sessions[peer] = Session(role, epoch, Target(self._root, role))
        log.info("%s: connected to %s, epoch %d", self._role, role, epoch)
        self._said.clear()
        self._tell(peer, session)
        return session

    # --- what goes ------------------------------------------------------------------------------

    def _serve(self, peer: Peer, session: Session) -> None:
        """Offer what a peer lacks of ours."""
        items = [] if session.held is None else self._source.after(session.held)
        if items:
            self._link.send(peer, wire.encode("offer", items=wire.dump_items(items)))

    def _ask(self, peer: Peer, session: Session) -> None:
        for chunk in session.target.questions():
            self._link.send(peer, wire.encode("get", **chunk.question()))

    def _tell(self, peer: Peer, session: Session | None) -> bool:
        """Say who we are, and what of the peer's is durable here; whether the link took it."""
        target = None if session is None else session.target
        have = None if target is None else wire.dump_held(target.held)
        who: dict[str, Any] = {"version": wire.VERSION, "role": self._role, "epoch": self._epoch, "run": self._mark}
        if session is not None:
            session.told = self._clock()
        return self._link.send(peer, wire.encode("here", **who, have=have, beat="" if target is None else target.beat))

    def _keep(self) -> None:
        """What time demands: greetings, heartbeats, chunks that did not come, peers that have gone."""
        now = self._clock()
        for peer in self._link.peers():
            due, pause = self._greeted.get(peer, (0.0, GREET_S))
            if peer not in self.sessions and max(due, self._deaf.get(peer, 0.0)) <= now:
                sent = self._tell(peer, None)
                self._greeted[peer] = (now + pause, min(2 * pause, SELDOM_S)) if sent else (now + GREET_S / 20, GREET_S)
        if now < self._looked + GREET_S / 10:
            return
        self._looked = now
        self._deaf = {peer: until for peer, until in self._deaf.items() if until > now}
        beat = self._source.heartbeat()
        digest = "" if beat is None else atomic.digest_of(beat[1])
        for peer, session in list(self.sessions.items()):
            if session.heard + FORGET_S < now:
                self._drop(peer, 0.0)
                continue
            lost = session.beat != digest and session.told + GREET_S < now
            if beat is not None and (session.beat_sent != digest or lost) and session.held is not None:
                sent = self._link.send(peer, wire.encode("beat", beat[1], epoch=beat[0]))
                session.beat_sent = digest if sent else session.beat_sent
            if session.target.moved != session.moved[0] or not session.target.waits:
                session.moved = (session.target.moved, now)
            elif session.moved[1] + RETRY_S < now:
                session.target.forget()
                self._tell(peer, session)
            if session.told + GREET_S < now:
                self._tell(peer, session)

    def _drop(self, peer: Peer, deaf_s: float) -> None:
        self.sessions.pop(peer, None)
        if deaf_s:
            self._deaf[peer] = self._clock() + deaf_s

    def _say(self, sentence: str) -> None:
        """A sentence for people; the same one once until a peer is connected."""
        if sentence not in self._said and len(self._said) < BURST:
            self._said.add(sentence)
            log.warning("%s: %s", self._role, sentence)
