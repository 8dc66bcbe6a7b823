"""For pairs that share no folder: ZeroMQ over TCP, encrypted and authenticated both ways by one shared secret (CURVE).

The keys of both sides are derived from the secret, so knowing it is what lets a peer in. Needs the package pyzmq (extra `tcp`).
"""

from __future__ import annotations

import hashlib
import logging
import os
import re
import stat
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from pydantic import Field, field_validator, model_validator

from protocol.channels.base import Place
from protocol.epoch import Epoch
from protocol.errors import BadSetting, EnvironmentFailed
from protocol.replica.channel import ReplicatedChannel
from protocol.replica.link import LARGEST, PENDING, Peer
from protocol.settings import Section
from protocol.store import Store

TWO_FOLDERS = True
SHORTEST = 32  # bytes of a secret
SERVER = b"server"
SAY_S = 300.0  # between two sentences about strangers
_ADDRESS = re.compile(r"(\*|[A-Za-z0-9][A-Za-z0-9._-]*|\[[0-9A-Fa-f:.]+\]):(\d{1,5})")

log = logging.getLogger("renkei.channel")


class Settings(Section):
    """Where this side waits, or whom it calls; each machine's own."""

    name: str = "tcp"
    listen: str | None = None  # "HOST:PORT" of this machine, "*:5871" for all its addresses: the other side calls
    connect: str | None = None  # "HOST:PORT" of the other side
    secret: str = "~/.renkei/secret"  # file with the shared secret, for its owner alone
    poll_s: float = Field(0.5, gt=0, le=600)  # time between two looks at this side's own folder

    @field_validator("listen", "connect")
    @classmethod
    def _an_address(cls, given: str | None) -> str | None:
        match = _ADDRESS.fullmatch(given or "*:1")
        if match is None or not 0 < int(match[2]) < 65536:
            raise ValueError(f"must be HOST:PORT, got {given}")
        return given

    @model_validator(mode="after")
    def _one_of_both(self) -> Settings:
        if (self.listen is None) == (self.connect is None):
            raise ValueError("needs either listen (the other side calls) or connect (this side calls)")
        return self


def build(
    settings: Settings, store: Store, role: str, epoch: Epoch, start_after: Mapping[str, Place] | None = None
) -> ReplicatedChannel:
    """The channel of one daemon. Raises BadSetting for a secret that is none, EnvironmentFailed where nothing can be opened."""
    return ReplicatedChannel(TcpLink(settings), settings.poll_s, store, role, epoch, start_after)


def check(settings: Settings) -> str:
    """What `renkei check` says of the channel; raises as `build` does."""
    _zmq()
    read_secret(Path(settings.secret))
    return f"listens at {settings.listen}" if settings.listen else f"calls {settings.connect}"


def read_secret(path: Path) -> bytes:
    """The secret of a file that belongs to this user and that nobody else can read. Raises BadSetting."""
    where = path.expanduser()
    make = f"make one: (umask 077; mkdir -p {where.parent}; openssl rand -hex 32 > {where}), and copy it to the other machine"
    try:
        file = os.open(where, os.O_RDONLY | os.O_NONBLOCK)
    except OSError as error:
        raise BadSetting(f"channel.secret: cannot be read ({error.strerror})", str(where), make) from error
    try:
        status = os.fstat(file)
        if not stat.S_ISREG(status.st_mode) or status.st_uid != os.getuid():
            raise BadSetting("channel.secret: must be a plain file of your own", str(where), make)
        if status.st_mode & 0o077:
            raise BadSetting("channel.secret: others may read it", str(where), f"chmod 600 {where}, and make another secret")
        secret = os.read(file, 4096).strip()
    finally:
        os.close(file)
    if len(secret) < SHORTEST:
        raise BadSetting(f"channel.secret: shorter than {SHORTEST} characters", str(where), make)
    return secret


class TcpLink:
    """See replica.link.Link. One end listens (ROUTER), the others call it (DEALER) and call again after a break."""

    def __init__(self, settings: Settings) -> None:
        """Raises BadSetting or EnvironmentFailed."""
        zmq = self._zmq = _zmq()
        secret = read_secret(Path(settings.secret))
        self._calls = settings.connect is not None
        self._context = zmq.Context()
        self._strangers = -SAY_S
        self._socket = self._context.socket(zmq.DEALER if self._calls else zmq.ROUTER)
        options = {
            zmq.LINGER: 0,
            zmq.SNDHWM: PENDING,
            zmq.RCVHWM: PENDING,
            zmq.MAXMSGSIZE: LARGEST,
            zmq.HANDSHAKE_IVL: 10_000,
            zmq.HEARTBEAT_IVL: 5_000,
            zmq.HEARTBEAT_TIMEOUT: 20_000,
            zmq.IPV6: 1,
        }
        for option, value in options.items():
            self._socket.setsockopt(option, value)
        self._monitor = self._socket.get_monitor_socket(zmq.EVENT_HANDSHAKE_FAILED_PROTOCOL | zmq.EVENT_HANDSHAKE_FAILED_AUTH)
        self._guard: Any = None
        self._wake_read, self._wake_write = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            self._open(settings, secret)
        except zmq.ZMQError as error:
            self.close()
            address = settings.connect or settings.listen
            what = f"cannot {'call' if self._calls else 'listen at'} {address}: {error.strerror}"
            raise EnvironmentFailed(what, "channel", "choose another port or address in machine.yaml") from error
        self._poller = zmq.Poller()
        for source in (self._socket, self._monitor, self._wake_read):
            self._poller.register(source, zmq.POLLIN)

    def _open(self, settings: Settings, secret: bytes) -> None:
        server, client = _keys(self._zmq, secret, b"listen"), _keys(self._zmq, secret, b"connect")
        own = client if self._calls else server
        self._socket.curve_publickey, self._socket.curve_secretkey = own
        if self._calls:
            self._socket.curve_serverkey = server[0]
            for option, value in (
                (self._zmq.RECONNECT_IVL, 100),
                (self._zmq.RECONNECT_IVL_MAX, 10_000),
                (self._zmq.IMMEDIATE, 1),
            ):
                self._socket.setsockopt(option, value)
            self._socket.connect(f"tcp://{settings.connect}")
            return
        from zmq.auth.thread import ThreadAuthenticator

        self._guard = ThreadAuthenticator(self._context)
        self._guard.start()
        self._guard.configure_curve_callback("*", credentials_provider=_Only(client[0]))
        self._socket.curve_server = True
        self._socket.setsockopt(self._zmq.ROUTER_MANDATORY, 1)
        self._socket.bind(f"tcp://{settings.listen}")

    def peers(self) -> tuple[Peer, ...]:
        """The one that is called."""
        return (SERVER,) if self._calls else ()

    def send(self, peer: Peer, message: bytes) -> bool:
        """Without waiting; False if there is no connection, or too much waits in it."""
        try:
            self._socket.send_multipart([message] if self._calls else [peer, message], self._zmq.NOBLOCK)
        except self._zmq.ZMQError:
            return False
        return True

    def receive(self, timeout_s: float) -> tuple[Peer, bytes] | None:
        """The next message, from whom."""
        ready = dict(self._poller.poll(timeout_s * 1000))
        if self._wake_read in ready:
            with suppress(BlockingIOError):
                os.read(self._wake_read, 4096)
        if self._monitor in ready:
            self._tell_of_strangers()
        if self._socket not in ready:
            return None
        frames = self._socket.recv_multipart()
        if len(frames) != (1 if self._calls else 2):
            return None  # not a message of this program
        return (SERVER, frames[0]) if self._calls else (frames[0], frames[1])

    def wake(self) -> None:
        """Let `receive` return; from any thread."""
        with suppress(OSError):  # full: it will wake; closed: nobody waits
            os.write(self._wake_write, b"x")

    def close(self) -> None:
        """Close; what was handed over a moment ago still goes out."""
        self._socket.disable_monitor()
        self._monitor.close(linger=0)
        self._socket.close(linger=1000)
        if self._guard is not None:
            self._guard.stop()
        self._context.term()
        for end in (self._wake_read, self._wake_write):
            os.close(end)

    def _tell_of_strangers(self) -> None:
        while self._monitor.poll(0):
            self._monitor.recv_multipart()
        if time.monotonic() > self._strangers + SAY_S:
            self._strangers = time.monotonic()
            log.warning(
                "channel: a peer was refused because its secret is not ours; give both machines the same file (channel.secret)"
            )


class _Only:
    """Lets one public key (Z85) in."""

    def __init__(self, key: bytes) -> None:
        self._key = key

    def callback(self, domain: str, key: bytes) -> bool:
        """Asked for every connection."""
        return key == self._key


def _keys(zmq: Any, secret: bytes, side: bytes) -> tuple[bytes, bytes]:
    """Public and secret CURVE key (Z85) of one side."""
    from zmq.utils import z85

    own = z85.encode(hashlib.scrypt(secret, salt=b"renkei " + side, n=2**12, r=8, p=1, dklen=32))
    return zmq.curve_public(own), own


def _zmq() -> Any:
    """The module zmq, with CURVE. Raises EnvironmentFailed."""
    try:
        import zmq
    except ImportError as error:
        raise EnvironmentFailed("channel tcp needs the Python package pyzmq", "channel", "pip install renkei[tcp]") from error
    if not zmq.has("curve"):
        raise EnvironmentFailed("this ZeroMQ library cannot encrypt (no CURVE)", "channel", "pip install pyzmq")
    return zmq
