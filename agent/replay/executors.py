"""
Where shards are replayed: in processes of this machine, or on a Dask cluster.
"""

import os
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import BrokenExecutor, Executor, Future, ProcessPoolExecutor
from contextlib import AbstractContextManager, ExitStack, contextmanager
from multiprocessing import get_context, parent_process
from typing import ParamSpec, TypeVar

from core.errors import DependencyUnavailable, ToolMisconfigured

P = ParamSpec("P")
T = TypeVar("T")

Opening = Callable[[], AbstractContextManager[Executor]]

_RETRIES = 3
"""A shard that a worker takes with it when it dies is given to another."""
_CONNECT_SECONDS = 10
_HASH_SEED = "PYTHONHASHSEED"


@contextmanager
def process_pool(processes: int) -> Iterator[Executor]:
    """New interpreters, whose sets of strings have one order in every run."""
    before = os.environ.get(_HASH_SEED)
    os.environ[_HASH_SEED] = "0"
    try:
        with ProcessPoolExecutor(
            processes, mp_context=get_context("spawn"), initializer=_end_with_parent
        ) as pool:
            try:
                yield pool
            except BaseException:
                pool.shutdown(wait=False, cancel_futures=True)
                raise
    finally:
        if before is None:
            del os.environ[_HASH_SEED]
        else:
            os.environ[_HASH_SEED] = before


def _end_with_parent() -> None:
    """A worker whose parent was killed would wait for more work for ever: its siblings keep the pipe open."""
    parent = parent_process()
    if parent is not None:
        threading.Thread(target=_end_after, args=(parent.join,), daemon=True).start()


def _end_after(join: Callable[[], None]) -> None:
    join()
    os._exit(1)


class _Here(Executor):
    """For a replay that waits for somebody else."""

    def submit(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        done: Future[T] = Future()
        try:
            done.set_result(fn(*args, **kwargs))
        except Exception as failed:  # told by the future, as from another process
            done.set_exception(failed)
        return done


@contextmanager
def in_this_process() -> Iterator[Executor]:
    yield _Here()


@contextmanager
def dask_cluster(address: str) -> Iterator[Executor]:
    """
    Raises:
        ToolMisconfigured: the extra `dask` is missing.
        DependencyUnavailable: no scheduler answers there.
    """
    try:
        from distributed import Client
    except ImportError as exc:
        raise ToolMisconfigured("--dask needs the extra: pip install 'careline[dask]'") from exc
    try:
        # It is typed in part.
        client = Client(address, timeout=_CONNECT_SECONDS)  # type: ignore[no-untyped-call]
    except OSError as exc:
        raise DependencyUnavailable("dask", f"no Dask scheduler answers at {address}: {exc}") from exc
    with client, client.get_executor(retries=_RETRIES) as executor:  # type: ignore[no-untyped-call]
        yield executor


@contextmanager
def kept_open(opening: Opening) -> Iterator[Opening]:
    """For several runs: an executor is opened when it is first needed, and anew once it has broken."""
    opened: Executor | None = None
    with ExitStack() as stack:

        @contextmanager
        def one_more_time() -> Iterator[Executor]:
            nonlocal opened
            if opened is None:
                opened = stack.enter_context(opening())
            try:
                yield opened
            except BrokenExecutor:
                opened = None
                raise

        yield one_more_time
