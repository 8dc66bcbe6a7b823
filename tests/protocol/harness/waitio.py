"""A library in the style of WaitIO, inside one process: `part(rank)` is what the program of a rank would import."""

from collections import defaultdict, deque
from types import SimpleNamespace


class Waters:
    """What is between the parts."""

    def __init__(self):
        self.under_way = defaultdict(deque)

    def part(self, own):
        """The calls of one rank."""

        def isend(rank, data):
            self.under_way[own, rank].append(bytes(data))
            return SimpleNamespace(done=b"")

        def irecv(rank, size):
            return SimpleNamespace(done=None, rank=rank, size=size)

        def test(request):
            waiting = self.under_way[getattr(request, "rank", None), own]
            if request.done is None and waiting:
                assert len(waiting[0]) == request.size, "the sizes of both sides must be equal"
                request.done = waiting.popleft()
            return request.done

        return SimpleNamespace(isend=isend, irecv=irecv, test=test)
