"""Work that other threads do beside this one, where there can be any."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any


class Beside:
    """Up to `n` threads, which begin when there is work and end with the block.

    When Python itself is ending (a model is saved by a function of `atexit`) there can be no new ones, and the pool of
    the standard library cannot even be imported: work is then done where it is handed in.
    """

    def __init__(self, n: int) -> None:
        self._pool: Any = None
        with contextlib.suppress(RuntimeError):
            from concurrent.futures import ThreadPoolExecutor

            self._pool = ThreadPoolExecutor(n)

    def submit(self, work: Callable[..., Any], *args: Any) -> Future[Any]:
        """What `work(*args)` gives, or will give."""
        if self._pool is not None:
            try:
                return self._pool.submit(work, *args)  # type: ignore[no-any-return]
            except RuntimeError:
                self._pool = None
        done: Future[Any] = Future()
        try:
            done.set_result(work(*args))
        except Exception as error:
            done.set_exception(error)
        return done

    def __enter__(self) -> Beside:
        return self

    def __exit__(self, *exc: object) -> None:
        if self._pool is not None:
            self._pool.shutdown()
