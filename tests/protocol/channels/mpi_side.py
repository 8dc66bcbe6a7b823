"""One program of an MPI launch: `mpi_side.py SIDE RUN [funneled] [die|fail]`.

Both publish and wait for what the other has; what came stands in RUN.txt, a line of each process at a time.
"""

import os
import signal
import sys
import time
from pathlib import Path

from stuff import a_batch, a_writer

from protocol import mpi
from protocol.channels import mpi as channel_mpi
from protocol.store import Store

BATCHES = 5


def main(side, run, words):
    role = "train" if side == "train" else f"sim/{side}"
    joined = mpi.join(role, "funneled" not in words)
    assert joined.threads == ("funneled" not in words)
    say(run, "own", joined.own.Get_rank(), joined.own.Get_size())
    if joined.leaders is not None:
        lead(side, role, run, words, len(joined.programs) - 1)
    joined.own.Barrier()


def say(run, *words):
    with open(f"{run}.txt", "a") as file:
        file.write(" ".join(map(str, words)) + "\n")


def lead(side, role, run, words, others):
    store = Store(run, 0.2)
    epoch = store.claim(role)
    channel = channel_mpi.build(channel_mpi.Settings(poll_s=0.02), store, role, epoch)
    first = epoch.next_number
    for number in range(first, first + BATCHES) if role != "train" else ():
        epoch.publish_batch(number, a_batch(number, side), {})
    if role == "train":
        epoch.publish_weights(epoch.next_number, a_writer(epoch.next_number, 3_000_000), {})
    wanted, got, end = 1 if role != "train" else BATCHES * others, [], time.monotonic() + 75
    # of this launch's starts: what the launch before has left is there at once
    while sum(packet.epoch == epoch.number for packet in got) < wanted and time.monotonic() < end:
        got += channel.receive(0.1)
    if "fail" in words:
        mpi.fail(3)
        time.sleep(60)  # the launcher ends us
    if "die" in words:
        os.kill(os.getpid(), signal.SIGKILL)
    say(run, "got", sorted((packet.sender, packet.epoch, packet.number) for packet in got))
    epoch.close()
    channel.close()


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), sys.argv[3:])
