"""Files that are either the old ones or complete new ones, whatever happens in between."""

from __future__ import annotations

import contextlib
import os
import re
import secrets
import signal
import stat
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, BinaryIO


class uninterrupted:
    """Within the block Ctrl-C waits for its end, unless it comes again: the HDF5 library loses its balance where what
    it calls is left half-way. `stop` is called with what the block then ends with, so that it need not do the rest."""

    def __init__(self, stop: Callable[[BaseException], None] = lambda error: None) -> None:
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


class _Part:
    """What takes the place of the file `path`: a new file in its folder, without a name where the system allows."""

    def __init__(self, path: Any) -> None:
        self.path = str(path)
        try:
            self.target = target = Path(os.path.realpath(path))
        except OSError as error:  # the current folder is gone
            raise OSError(error.errno, f"{error.strerror}: cannot find the current folder", self.path) from error
        if target.is_dir():
            raise IsADirectoryError(f"cannot write the file {self.path!r}: there is a folder of that name")
        if target.exists() and not target.is_file():
            raise OSError(f"cannot write the file {self.path!r}: a device, a pipe or a socket has that name")
        # By its name, too: `missing/../file` would be written, and not be found again.
        if not target.parent.is_dir() or not os.path.isdir(os.path.dirname(self.path) or os.curdir):
            raise FileNotFoundError(f"cannot write the file {self.path!r}: there is no folder {str(target.parent)!r}")
        self.start = f".{target.name[:200]}."
        self.name = target.parent / f"{self.start}{secrets.token_hex(6)}.part"
        self._mode = stat.S_IMODE(target.stat().st_mode) if target.exists() else None

    def open(self) -> BinaryIO:
        handle, self._named = _open(self.name, 0o666 if self._mode is None else 0o600)
        self._file = os.fdopen(handle, "w+b")
        return self._file

    def complete(self) -> None:
        """Has the bytes on the disk, and the file under `name`."""
        self._file.flush()
        os.fsync(self._file.fileno())
        if self._mode is not None:
            os.fchmod(self._file.fileno(), self._mode)
        if not self._named:
            # Only with a folder, which an absolute path makes no use of, does Python follow the link to the file.
            here = f"/proc/self/fd/{self._file.fileno()}"
            os.link(here, self.name, src_dir_fd=self._file.fileno(), follow_symlinks=True)

    def told(self, error: OSError) -> OSError | None:
        """What to say instead of an error of the system's that is about this part."""
        mine = (str(self.name), str(self.target.parent))
        if error.errno is None or (error.filename not in (None, *mine) and error.filename2 not in mine):
            return None
        text = f"{error.strerror}: the file could not be written; what was there is as it was"
        return OSError(error.errno, text, self.path)


@contextlib.contextmanager
def replacing_together() -> Iterator[Callable[[Any], BinaryIO]]:
    """What opens a binary file to write (seekable, readable) for a path, however often; they take the places of these
    paths when the block ends without an error, the first to be opened last.

    The bytes go into files without names in the folders of the targets, are synced to the disk, and when all are there
    they take the names: after a crash or an error the old files are still there, whole, and nothing beside them. (Where
    a file needs a name to be, and for a moment elsewhere, a killed process leaves one; a later save removes it.)
    Permissions of an existing file are kept; a link is written through.
    """
    parts: list[_Part] = []
    at: _Part | None = None
    try:
        with contextlib.ExitStack() as files:

            def opening(path: Any) -> BinaryIO:
                nonlocal at
                at = _Part(path)
                parts.append(at)
                return files.enter_context(at.open())

            yield opening
            for at in parts:
                at.complete()
        with uninterrupted():
            for at in reversed(parts):
                os.replace(at.name, at.target)
    except BaseException as error:
        for part in parts:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(part.name)
        if not isinstance(error, KeyboardInterrupt) and _interrupted(error):
            raise KeyboardInterrupt from error
        if at is not None and isinstance(error, OSError) and (told := at.told(error)) is not None:
            raise told from error
        raise
    for part in parts:
        _sync_folder(part.target.parent)
        _tidy(part.target.parent, part.start)


@contextlib.contextmanager
def replacing(path: Any) -> Iterator[BinaryIO]:
    """A binary file to write, which takes the place of `path` when the block ends: see `replacing_together`."""
    with replacing_together() as opening:
        yield opening(path)


@contextlib.contextmanager
def adding(file: Any) -> Iterator[Any]:
    """`file`, to which the block adds something. An error of the system's names it, and closes it: what still waits to
    be written does not come later, when nobody expects it."""
    try:
        yield file
    except OSError as error:
        with contextlib.suppress(OSError):
            file.close()
        if error.filename is None:
            error.filename = file.name
        raise


def _open(part: Path, mode: int) -> tuple[int, bool]:
    """A new file, and whether it has the name `part` already: where it can do without, a killed process leaves none."""
    if hasattr(os, "O_TMPFILE") and os.path.isdir("/proc/self/fd"):
        with contextlib.suppress(OSError):  # not on every file system
            return os.open(part.parent, os.O_TMPFILE | os.O_RDWR | os.O_CLOEXEC, mode), False
    return os.open(part, os.O_CREAT | os.O_EXCL | os.O_RDWR | os.O_CLOEXEC, mode), True


def _tidy(folder: Path, start: str) -> None:
    """Removes what killed processes left: parts of this file to which nobody has written for an hour."""
    with contextlib.suppress(OSError), os.scandir(folder) as found:
        for item in found:
            own = item.name.startswith(start) and re.fullmatch(r"[0-9a-f]{12}\.part", item.name[len(start) :])
            if own and item.stat().st_mtime < time.time() - 3600:
                os.unlink(item)


def _sync_folder(folder: Path) -> None:
    """Makes the rename itself durable, where the file system can do that."""
    with contextlib.suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
