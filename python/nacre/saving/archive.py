"""The `.keras` file: an uncompressed zip archive of `metadata.json`, `config.json`, `model.weights.h5` and `assets/`.

The HDF5 part is written and read in place, at its offset in the archive: no second copy of the weights is made.
"""

from __future__ import annotations

import contextlib
import datetime
import io
import json
import os
import tempfile
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO

from nacre import _core
from nacre.saving import h5
from nacre.saving.h5 import DamagedFile
from nacre.utils.atomic import uninterrupted
from nacre.utils.beside import Beside

KERAS_VERSION = "3.15.1"  # whose file format this is
METADATA, CONFIG, WEIGHTS, ASSETS = "metadata.json", "config.json", "model.weights.h5", "assets"

JSON_LIMIT = 1 << 28  # bytes of config.json; that of a very large model has a few MiB
_RATIO_LIMIT = 100  # above this a compressed member is no honest file
_SMALL = 1 << 26
_BLOCK = 1 << 18  # bytes that stay in a core's own cache from where they are read until they are summed up
_crc32 = _core.crc32 or zlib.crc32  # where the CPU has what it takes, ours is several times as fast


class Window(io.RawIOBase):
    """A part of an open binary file, from `start` on, as a file of its own. `size` bounds it for reading.

    An error in writing waits in `failed`, because the HDF5 library cannot be left half-way without losing its balance.
    """

    failed: BaseException | None = None

    def __init__(self, file: BinaryIO, start: int, size: int | None = None) -> None:
        self._file = file
        self.start = start
        self._at = 0
        self.size = 0 if size is None else size
        self._writing = size is None

    @property
    def raw(self) -> Any:
        return getattr(self._file, "raw", self._file)

    def readable(self) -> bool:
        return True

    def writable(self) -> bool:
        return self._writing

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        base = {os.SEEK_SET: 0, os.SEEK_CUR: self._at, os.SEEK_END: self.size}[whence]
        self._at = max(base + offset, 0)
        return self._at

    def tell(self) -> int:
        return self._at

    def readinto(self, buffer: Any) -> int:
        view = memoryview(buffer).cast("B")[: max(self.size - self._at, 0)]
        self._file.seek(self.start + self._at)
        n = self._file.readinto(view) or 0  # type: ignore[attr-defined]
        self._at += n
        return int(n)

    def write(self, data: Any) -> int:
        n = len(data)
        if self.failed is None:
            try:
                self._file.seek(self.start + self._at)
                n = self._file.write(data)
            except OSError as error:
                self.failed = error
        self._at += n
        self.size = max(self.size, self._at)
        return n

    def stop(self, error: BaseException) -> None:
        """Nothing more is written; `error` is why."""
        self.failed = error

    def truncate(self, size: int | None = None) -> int:
        self.size = self._at if size is None else size
        if self.failed is None:
            try:
                self._file.truncate(self.start + self.size)
            except OSError as error:
                self.failed = error
        return self.size

    def checksum(self) -> int:
        """The CRC-32 of the bytes. Of a file of the system's, a thread may compute it beside other reading.

        They are read, not mapped: who touches the mapped bytes of a file that another process cuts short is killed.
        """
        file, at, end, total = h5.descriptor(self), self.start, self.start + self.size, 0
        block = memoryview(bytearray(min(_BLOCK, self.size)))
        if file is None:
            self._file.seek(at)
        while at < end:
            part = block[: end - at]
            n = self._file.readinto(part) if file is None else os.preadv(file, [part], at)  # type: ignore[attr-defined]
            if not n:
                break
            total, at = _crc32(part[:n], total), at + n
        return total


# --- writing ---------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def filling(window: Window) -> Iterator[Any]:
    """The new HDF5 file in `window`. Raises the OSError when it could not all be written."""
    with uninterrupted(window.stop), h5.h5py().File(window, "w") as file:
        yield file
    if window.failed is not None:
        raise window.failed


def metadata(now: datetime.datetime) -> str:
    """The text of `metadata.json`."""
    return json.dumps({"keras_version": KERAS_VERSION, "date_saved": now.strftime("%Y-%m-%d@%H:%M:%S")})


@contextlib.contextmanager
def creating(file: BinaryIO, config: Any, assets: dict[str, bytes]) -> Iterator[Any]:
    """Writes a `.keras` archive into `file`; inside the block the open HDF5 part is there to be filled."""
    now = datetime.datetime.now()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr(METADATA, metadata(now))
        archive.writestr(CONFIG, json.dumps(config))
        for name, data in assets.items():
            archive.writestr(f"{ASSETS}/{name}", data)
        info = zipfile.ZipInfo(WEIGHTS, now.timetuple()[:6])
        info.CRC = info.file_size = info.compress_size = 0  # known at the end
        info.header_offset = archive.start_dir
        file.seek(info.header_offset)
        file.write(info.FileHeader(zip64=True))
        window = Window(file, file.tell())
        with filling(window) as weights:
            yield weights
        info.file_size = info.compress_size = window.size
        file.flush()
        # The sum is computed while the disk writes. Python may wait for ever for a thread that Ctrl-C has once kept it
        # from waiting for.
        with uninterrupted(window.stop), Beside(1) as pool:
            on_disk = pool.submit(_sync, file)
            info.CRC = window.checksum()
            on_disk.result()
        file.seek(info.header_offset)
        file.write(info.FileHeader(zip64=True))
        archive.start_dir = window.start + window.size
        archive.filelist.append(info)
        archive.NameToInfo[info.filename] = info


def _sync(file: BinaryIO) -> None:
    """Has the bytes so far written to the disk, if that is where they go."""
    with contextlib.suppress(OSError):  # a full disk speaks up again when the file is closed
        file.flush()
        os.fsync(file.fileno())


# --- reading ---------------------------------------------------------------------------------------------------


def parsed(data: bytes, what: str) -> Any:
    """What the JSON text `data` says. Raises DamagedFile where it is none."""
    try:
        return json.loads(data)
    except (ValueError, RecursionError) as error:
        raise DamagedFile(f"{what} is damaged: {error}") from error


class Archive:
    """An open `.keras` archive whose table of contents has been checked; `what` names it in errors."""

    def __init__(self, file: BinaryIO, what: str) -> None:
        self._file = file
        self.what = what
        file.seek(0, os.SEEK_END)
        self._length = file.tell()
        try:
            self._zip = zipfile.ZipFile(file)
        except (zipfile.BadZipFile, ValueError, OSError, NotImplementedError, UnicodeDecodeError) as error:
            raise DamagedFile(f"{what} is damaged or no .keras file: {error}") from error
        self._members: dict[str, zipfile.ZipInfo] = {}
        for info in self._zip.infolist():
            if info.filename in self._members:
                raise DamagedFile(f"{what} is damaged: it holds {info.filename!r} twice")
            if info.flag_bits & 1:
                raise DamagedFile(f"{what}: {info.filename!r} is encrypted")
            if info.compress_size > self._length:
                raise DamagedFile(f"{what} is damaged: {info.filename!r} is larger than the file")
            if info.file_size > max(_RATIO_LIMIT * info.compress_size, _SMALL):
                raise DamagedFile(
                    f"{what}: {info.filename!r} would grow from {info.compress_size} to {info.file_size} bytes; refused"
                )
            self._members[info.filename] = info
        packed, size = (sum(getattr(i, of) for i in self._members.values()) for of in ("compress_size", "file_size"))
        if packed > self._length:
            raise DamagedFile(f"{what} is damaged: members of it overlap")
        if size > max(_RATIO_LIMIT * self._length, _SMALL):
            raise DamagedFile(f"{what}: its members would grow from {self._length} to {size} bytes; refused")

    def room(self) -> int:
        """More bytes than the variables of the model in this archive can have."""
        return h5.room(self._members[WEIGHTS].file_size if WEIGHTS in self._members else 0)

    def __contains__(self, name: str) -> bool:
        return name in self._members

    def config(self) -> Any:
        """The contents of `config.json`."""
        stored = self._info(CONFIG).compress_type == zipfile.ZIP_STORED
        return parsed(self.read(CONFIG, JSON_LIMIT if stored else _SMALL), f"{self.what}: {CONFIG}")

    def read(self, name: str, limit: int) -> bytes:
        """The bytes of a member. Raises DamagedFile when it is missing, damaged, or longer than `limit`."""
        info = self._info(name)
        if info.file_size > limit:
            raise DamagedFile(f"{self.what}: {name!r} has {info.file_size} bytes; at most {limit} are expected")
        try:
            return self._zip.read(info)
        except (zipfile.BadZipFile, zlib.error, EOFError, OSError, NotImplementedError, RuntimeError) as error:
            raise DamagedFile(f"{self.what}: {name!r} is damaged: {error}") from error

    def _info(self, name: str) -> zipfile.ZipInfo:
        if name not in self._members:
            raise DamagedFile(f"{self.what} is no complete .keras file: {name!r} is missing")
        return self._members[name]

    @contextlib.contextmanager
    def weights(self, new: bool = False) -> Iterator[h5.Reader]:
        """The open HDF5 part, whose checksum is compared before it is read.

        For a `new` model, which nobody has before this block ends, that is done beside the reading: the block then
        ends with DamagedFile where the sum is wrong, whatever else went wrong in it.
        """
        info = self._info(WEIGHTS)
        what = f"{self.what}: {WEIGHTS!r}"
        if info.compress_type != zipfile.ZIP_STORED:
            data = io.BytesIO(self.read(WEIGHTS, max(_RATIO_LIMIT * info.compress_size, _SMALL)))
            with h5.reading(data, what) as reader:
                yield reader
            return
        window = Window(self._file, self._data_start(info), info.file_size)
        with Beside(1) as pool:
            total = pool.submit(window.checksum)

            def check() -> None:
                if total.result() != info.CRC:
                    raise DamagedFile(f"{what} is damaged: its checksum is wrong")

            if not new or h5.descriptor(window) is None:
                check()
            try:
                with h5.reading(window, what) as reader:
                    yield reader
            finally:
                check()

    def _data_start(self, info: zipfile.ZipInfo) -> int:
        """Where the bytes of a stored member begin: behind its local header."""
        self._file.seek(info.header_offset)
        header = self._file.read(30)
        if len(header) != 30 or header[:4] != b"PK\3\4":
            raise DamagedFile(f"{self.what} is damaged: {info.filename!r} has no header")
        start = (
            info.header_offset + 30 + int.from_bytes(header[26:28], "little") + int.from_bytes(header[28:30], "little")
        )
        if start + info.file_size > self._length or info.file_size != info.compress_size:
            raise DamagedFile(f"{self.what} is damaged: {info.filename!r} reaches past the end of the file")
        return start

    def asset_names(self) -> list[str]:
        """The members below `assets/`, without that prefix."""
        names = [name for name in self._members if name.startswith(f"{ASSETS}/") and not name.endswith("/")]
        for name in names:
            parts = PurePosixPath(name).parts
            if ".." in parts or "\\" in name or PurePosixPath(name).is_absolute():
                raise DamagedFile(f"{self.what}: the path {name!r} leads outside of the archive")
        return [name[len(ASSETS) + 1 :] for name in names]

    @contextlib.contextmanager
    def assets(self, prefix: str) -> Iterator[str]:
        """A temporary folder with the assets below `prefix`."""
        with tempfile.TemporaryDirectory() as folder:
            for name in self.asset_names():
                if name.startswith(f"{prefix}/"):
                    target = Path(folder, *PurePosixPath(name[len(prefix) + 1 :]).parts)
                    target.parent.mkdir(parents=True, exist_ok=True)
                    target.write_bytes(self.read(f"{ASSETS}/{name}", JSON_LIMIT))
            yield folder
