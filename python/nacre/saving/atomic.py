"""Files that are either the old ones or complete new ones, whatever happens in between."""

from __future__ import annotations

import contextlib
import os
import secrets
import signal
import stat
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, BinaryIO


class uninterrupted:
    """Within the block Ctrl-C waits for its end, unless it comes again: the HDF5 library loses its balance where what
    it calls is left half-way. `stop` is called with what the block then ends with, so that it need not do the rest."""

    def __init__(self, stop: Callable[[BaseException], None]) -> None:
        self._stop = stop
        self._before: Any = None
        self._error: BaseException | None = None

    def __enter__(self) -> None:
        if threading.current_thread() is threading.main_thread() and callable(signal.getsignal(signal.SIGINT)):
            self._before = signal.getsignal(signal.SIGINT)
            signal.signal(signal.SIGINT, self._wait)

    def _wait(self, number: int, frame: Any) -> None:
        if self._error is not None:
            self._before(number, frame)
            return
        try:
            self._before(number, frame)
        except BaseException as error:
            # Without its traceback, which leads to the frames that were interrupted: what they hold of the HDF5 library
            # must end before Python does.
            self._error = error.with_traceback(None)
            self._stop(error)

    def __exit__(self, *exc: object) -> None:
        if self._before is not None:
            signal.signal(signal.SIGINT, self._before)
        if self._error is not None:
            raise self._error


def _interrupted(error: BaseException | None) -> bool:
    """Whether Ctrl-C came and something else, such as a lock of a thread, only failed because of that."""
    while error is not None:
        if isinstance(error, KeyboardInterrupt):
            return True
        error = error.__context__
    return False


@contextlib.contextmanager
def replacing(path: Any) -> Iterator[BinaryIO]:
    """A binary file to write (seekable, readable); it takes the place of `path` when the block ends without an error.

    The bytes go into a file without a name in the folder of the target, are synced to the disk, and only then take the
    name: after a crash or an error the old file is still there, whole, and nothing beside it. Permissions of an
    existing file are kept; a link is written through.
    """
    try:
        target = Path(os.path.realpath(path))
    except OSError as error:  # the current folder is gone
        raise OSError(error.errno, f"{error.strerror}: cannot find the current folder", str(path)) from error
    if target.is_dir():
        raise IsADirectoryError(f"cannot write the file {str(path)!r}: there is a folder of that name")
    if target.exists() and not target.is_file():
        raise OSError(f"cannot write the file {str(path)!r}: a device, a pipe or a socket has that name")
    if not target.parent.is_dir():
        raise FileNotFoundError(f"cannot write the file {str(path)!r}: there is no folder {str(target.parent)!r}")
    part = target.parent / f".{target.name[:200]}.{secrets.token_hex(6)}.part"
    try:
        mode = stat.S_IMODE(target.stat().st_mode) if target.exists() else None
        handle, named = _open(part, 0o666 if mode is None else 0o600)
        with os.fdopen(handle, "w+b") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
            if mode is not None:
                os.fchmod(file.fileno(), mode)
            if not named:
                # Only with a folder, which an absolute path makes no use of, does Python follow the link to the file.
                os.link(f"/proc/self/fd/{file.fileno()}", part, src_dir_fd=file.fileno(), follow_symlinks=True)
        os.replace(part, target)
    except BaseException as error:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(part)
        if not isinstance(error, KeyboardInterrupt) and _interrupted(error):
            raise KeyboardInterrupt from error
        if isinstance(error, OSError) and error.filename in (None, str(part), str(target.parent)):
            text = f"{error.strerror or error}: the file could not be written; what was there is as it was"
            raise OSError(error.errno, text, str(path)) from error
        raise
    _sync_folder(target.parent)


def _open(part: Path, mode: int) -> tuple[int, bool]:
    """A new file, and whether it has the name `part` already: where it can do without, a killed process leaves none."""
    if hasattr(os, "O_TMPFILE") and os.path.isdir("/proc/self/fd"):
        with contextlib.suppress(OSError):  # not on every file system
            return os.open(part.parent, os.O_TMPFILE | os.O_RDWR | os.O_CLOEXEC, mode), False
    return os.open(part, os.O_CREAT | os.O_EXCL | os.O_RDWR | os.O_CLOEXEC, mode), True


def _sync_folder(folder: Path) -> None:
    """Makes the rename itself durable, where the file system can do that."""
    with contextlib.suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
