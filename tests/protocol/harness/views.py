"""Another node's view of a run folder: names and bytes come some looks later than they were written.

While a `View` is active, listings hide names that are too young, and reads of names that are there give no bytes, or the first
half of them, until the bytes are old enough too; sizes and times are those of the whole file, as where both are cached apart.
"""

import os
import random
from contextlib import contextmanager
from pathlib import Path

from protocol import atomic


class View:
    """name_delay, data_delay: the most looks that a name, and then its bytes, may be late; every path has its own."""

    def __init__(self, root, name_delay, data_delay, seed=0):
        self.root, self.delays, self.seed, self.looks, self.born = Path(root), (name_delay, data_delay), seed, 0, {}
        self.blind = False

    def _age(self, path, which):
        """Looks since a path could be seen (0), or since its bytes could (1); negative: not yet."""
        rng = random.Random(f"{self.seed} {path.relative_to(self.root)}")
        late = rng.randint(0, self.delays[0]) + (rng.randint(0, self.delays[1]) if which else 0)
        return self.looks - self.born.get(str(path), self.looks) - late

    def _hidden(self, path):
        path = Path(path)
        return self.root in path.parents and any(self._age(p, 0) < 0 for p in (path, *path.parents) if self.root in p.parents)

    @contextmanager
    def active(self):
        """One look from this node."""
        self.looks += 1
        for path in self.root.rglob("*"):
            self.born.setdefault(str(path), self.looks)
        listdir, iterdir, read, stat = os.listdir, Path.iterdir, atomic.read_bytes, Path.stat

        def names(folder="."):
            return [name for name in listdir(folder) if not self._hidden(Path(folder, name))]

        def paths(folder):
            if self._hidden(folder):
                raise FileNotFoundError(2, "not seen yet", str(folder))
            return iter([path for path in iterdir(folder) if not self._hidden(path)])

        def content(path, limit=atomic.LARGEST):
            if self._hidden(path):
                raise FileNotFoundError(2, "not seen yet", str(path))
            data = read(path, limit)
            young = self.root in Path(path).parents and self._age(path, 1) < 0
            return (
                data
                if not young
                else b""
                if random.Random(f"half {self.seed} {Path(path).relative_to(self.root)}").random() < 0.5
                else data[: len(data) // 2]
            )

        def status(path, **keys):
            if self._hidden(path):
                raise FileNotFoundError(2, "not seen yet", str(path))
            return stat(path, **keys)

        os.listdir, Path.iterdir, atomic.read_bytes, Path.stat = names, paths, content, status
        try:
            yield
        finally:
            os.listdir, Path.iterdir, atomic.read_bytes, Path.stat = listdir, iterdir, read, stat
