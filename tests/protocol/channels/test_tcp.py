import socket
import time

import pytest
from pydantic import ValidationError

from protocol.channels import tcp
from protocol.errors import BadSetting, EnvironmentFailed
from protocol.records import PeerState
from protocol.store import Store

PERIOD_S = 0.1
WAIT_S = 20.0


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@pytest.fixture
def secret(tmp_path):
    path = tmp_path / "secret"
    path.write_text("7" * 64 + "\n")
    path.chmod(0o600)
    return path


@pytest.fixture
def pair(tmp_path, secret):
    """pair(**changes) -> epochs and channels by side; either side may listen."""
    made = []

    def make(listener="train", **changes):
        address = f"127.0.0.1:{free_port()}"
        found = {}
        for side, role in (("train", "train"), ("sim", "sim/sim0")):
            store = Store(tmp_path / side, PERIOD_S)
            epoch = store.claim(role)
            where = {"listen": address} if side == listener else {"connect": address}
            keys = {"secret": str(secret), "poll_s": 0.02, **where, **changes.get(side, {})}
            channel = tcp.build(tcp.Settings(**keys), store, role, epoch)
            made.extend([epoch, channel])
            found[side] = (store, epoch, channel)
        return found

    yield make
    for one in made:
        one.close()


def until(condition):
    end = time.monotonic() + WAIT_S
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.02)


@pytest.mark.parametrize("listener", ["train", "sim"])
def test_messages_arrive_in_the_receivers_own_store(pair, listener, make_batch, write_model):
    both = pair(listener)
    (_, sim, models), (store, train, batches) = both["sim"], both["train"]
    for number in range(5):
        sim.publish_batch(number, make_batch(number), {"phase": "adapt"})
    train.publish_weights(2, write_model(2), {})
    got = []
    until(lambda: got.extend(batches.receive(0.1)) or len(got) == 5)
    assert [(packet.sender, packet.epoch, packet.number) for packet in got] == [("sim0", 1, number) for number in range(5)]
    assert store.read_batch(got[3]).origins == make_batch(3).origins
    assert got[3].path.is_relative_to(train.root)
    until(lambda: models.receive(0.1))
    assert both["sim"][0].packets("train")[0].number == 2
    until(lambda: batches.peers() == {"sim0": PeerState.ALIVE})
    sim.close()
    models.close()
    assert batches.peers() == {"sim0": PeerState.GONE}


def test_a_pair_with_another_secret_never_meets_and_one_sentence_says_why(pair, tmp_path, make_batch, caplog):
    other = tmp_path / "other"
    other.write_text("8" * 64)
    other.chmod(0o600)
    both = pair(sim={"secret": str(other)})
    both["sim"][1].publish_batch(0, make_batch(0), {})
    until(lambda: "secret is not ours" in caplog.text)
    assert both["train"][2].receive(0.5) == []
    assert not (tmp_path / "train" / "sim").exists()
    assert caplog.text.count("secret is not ours") <= 2


def test_a_caller_that_knows_the_listeners_public_key_alone_is_refused(pair, secret, make_batch, caplog):
    zmq = pytest.importorskip("zmq")
    both = pair()
    with zmq.Context() as context, context.socket(zmq.DEALER) as stranger:
        stranger.linger = 0
        stranger.curve_publickey, stranger.curve_secretkey = zmq.curve_keypair()
        stranger.curve_serverkey = tcp._keys(zmq, tcp.read_secret(secret), b"listen")[0]
        stranger.immediate = 1
        stranger.connect(both["train"][2]._link._socket.last_endpoint)
        until(lambda: "secret is not ours" in caplog.text)
        assert not stranger.poll(300)
    both["sim"][1].publish_batch(0, make_batch(0), {})
    until(lambda: both["train"][2].receive(0.1))


def test_garbage_and_half_messages_at_the_port_disturb_nobody(pair, make_batch):
    both = pair()
    host, port = both["train"][2]._link._socket.last_endpoint.decode().removeprefix("tcp://").rsplit(":", 1)
    for data in (b"GET / HTTP/1.1\r\n\r\n", b"\xff" + bytes(8) + b"\x7f" + b"\x03" + bytes(200), b"\x00" * 100_000):
        with socket.create_connection((host.strip("[]").removeprefix("::ffff:"), int(port))) as stranger:
            stranger.sendall(data)
    half = socket.create_connection((host.strip("[]").removeprefix("::ffff:"), int(port)))
    half.sendall(b"\xff\x00\x00")  # and nothing more
    both["sim"][1].publish_batch(0, make_batch(0), {})
    until(lambda: both["train"][2].receive(0.1))
    half.close()


def test_a_listener_that_comes_late_and_one_that_comes_back(pair, tmp_path, secret, make_batch):
    both = pair()
    store, train, channel = both["train"]
    address = f"127.0.0.1:{channel._link._socket.last_endpoint.decode().rsplit(':', 1)[1]}"
    channel.close()
    train.close()
    both["sim"][1].publish_batch(0, make_batch(0), {})  # nobody listens
    again = store.claim("train")
    channel = tcp.build(tcp.Settings(listen=address, secret=str(secret), poll_s=0.02), store, "train", again)
    until(lambda: channel.receive(0.1))
    again.close()
    channel.close()


def test_a_port_that_is_taken(tmp_path, secret):
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        with pytest.raises(EnvironmentFailed, match="cannot listen at"):
            tcp.TcpLink(tcp.Settings(listen=f"127.0.0.1:{other.getsockname()[1]}", secret=str(secret)))


def test_a_secret_is_a_long_one_in_a_file_for_its_owner_alone(secret, tmp_path):
    assert tcp.read_secret(secret) == b"7" * 64
    secret.chmod(0o640)
    with pytest.raises(BadSetting, match="others may read it"):
        tcp.read_secret(secret)
    secret.chmod(0o600)
    secret.write_text("short")
    with pytest.raises(BadSetting, match="shorter than 32"):
        tcp.read_secret(secret)
    with pytest.raises(BadSetting, match="openssl rand"):
        tcp.read_secret(tmp_path / "nothing")
    with pytest.raises(BadSetting, match="plain file"):
        tcp.read_secret(tmp_path)


@pytest.mark.parametrize(
    ("keys", "sentence"),
    [
        ({}, "either listen"),
        ({"listen": "a:1", "connect": "b:2"}, "either listen"),
        ({"listen": "5871"}, "HOST:PORT"),
        ({"connect": "a:99999"}, "HOST:PORT"),
        ({"connect": "a b:1"}, "HOST:PORT"),
        ({"connect": "a:1;tcp://b:2"}, "HOST:PORT"),
    ],
)
def test_wrong_keys(keys, sentence):
    with pytest.raises(ValidationError, match=sentence):
        tcp.Settings(**keys)
    assert tcp.Settings(connect="gpu-01.site.org:5871").connect
    assert tcp.Settings(listen="*:5871").listen
    assert tcp.Settings(listen="[::1]:5871").listen


def test_the_resolved_configuration_names_the_file_and_never_the_secret(secret):
    assert "7777" not in str(tcp.Settings(listen="*:1", secret=str(secret)).model_dump())
