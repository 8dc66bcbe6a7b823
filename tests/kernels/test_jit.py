from kernels import jit
from kernels.neighbors import numba_cpu


def test_kept_machine_code_depends_on_every_source_of_the_package():
    """numba's own stamp is the date of one file, and would keep callers of a changed loop."""
    stamp = numba_cpu.search._cache._cache_file._source_stamp
    assert stamp == jit._SOURCES == jit._digest()


def test_no_folder_for_the_cache_is_no_obstacle(monkeypatch):
    class Bare:
        def enable_caching(self):
            raise RuntimeError("no locator available")

    bare = Bare()
    assert jit._cached(bare) is bare
