"""Downloads into a cache: checked, complete or absent, and archives that cannot write outside their folder."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import http.client
import os
import shutil
import tarfile
import tempfile
import urllib.error
import urllib.parse
import urllib.request
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO

from nacre.core.config import keras_home
from nacre.utils.atomic import adding, replacing
from nacre.utils.progbar import Progbar, print_message

_CHUNK = 1 << 20
_TIMEOUT = 60.0


@contextlib.contextmanager
def reading(path: Any, kind: str) -> Iterator[None]:
    """What goes wrong while `path` is read as a file of `kind` is a ValueError that names it, unless it is the system's
    (no such file, a full disk) or memory runs out. Decoders have no base class of what they raise for damaged data."""
    try:
        yield
    except (MemoryError, ImportError):
        raise
    except Exception as error:
        if isinstance(error, OSError) and error.errno not in (None, errno.EINVAL):  # EINVAL: to a place before the file
            raise
        raise ValueError(f"{path} cannot be read as {kind}: {str(error) or type(error).__name__}") from error


def get_file(
    fname: Any = None,
    origin: str | None = None,
    untar: bool = False,
    md5_hash: str | None = None,
    file_hash: str | None = None,
    cache_subdir: str = "datasets",
    hash_algorithm: str = "auto",
    extract: bool = False,
    archive_format: Any = "auto",
    cache_dir: Any = None,
    force_download: bool = False,
) -> str:
    """The path of the file at `origin`, downloaded into the cache unless it is there already.

    Args:
        fname: name in the cache; that at the end of `origin` by default.
        origin: the URL.
        untar: extract a tar archive; `extract=True` is the newer spelling.
        md5_hash: an MD5 sum; `file_hash` is the newer spelling.
        file_hash: the SHA-256 (or MD5) sum that the file must have.
        cache_subdir: folder below the cache folder, or an absolute path.
        hash_algorithm: "sha256", "md5" or "auto" (by the length of the sum).
        extract: extract a tar or zip archive; the path of the folder is returned.
        archive_format: "tar", "zip", "auto", or a list of them.
        cache_dir: the cache folder; `$KERAS_HOME` or `~/.keras` by default.
        force_download: download even when the file is in the cache.

    Raises:
        ValueError: when the checksum differs, or an archive would write outside its folder.
        OSError: when there is no way to `origin`; the message says where a copy of the file can be put by hand.
    """
    if not origin:
        raise ValueError('Please specify the "origin" argument (URL of the file to download).')
    if not isinstance(origin, str):
        raise TypeError(f"get_file: origin: expected the URL of a file, got {origin!r}")
    if md5_hash is not None and file_hash is None:
        file_hash, hash_algorithm = md5_hash, "md5"
    name = os.fspath(fname) if fname is not None else ""
    given = bool(name)
    if not name:
        name = PurePosixPath(urllib.parse.unquote(urllib.parse.urlsplit(origin).path)).name
        if not name:
            raise ValueError(
                f"Can't parse the file name from the origin provided: '{origin}'. Please specify the `fname` argument."
            )
    if os.sep in name or name in (".", ".."):
        raise ValueError(
            "Paths are no longer accepted as the `fname` argument. To specify the file's parent directory, use the "
            f"`cache_dir` argument. Received: fname={name}"
        )
    folder = Path(cache_dir).expanduser() if cache_dir is not None else Path(keras_home())
    folder = folder / cache_subdir
    if not extract and not untar:
        target = folder / name
    elif given and "." in name:
        target, unpacked = folder / name, folder / f"{name.split('.')[0]}_extracted"
    else:
        target, unpacked = folder / f"{name}_archive", folder / name
    _ensure_downloaded(target, origin, file_hash, hash_algorithm, force_download)
    if not extract and not untar:
        return str(target)
    _extract(target, unpacked, "tar" if untar else archive_format)
    return str(unpacked)


# --- download --------------------------------------------------------------------------------------------------


def file_digest(path: Any, algorithm: str = "sha256") -> str:
    """The checksum of a file as a hexadecimal string."""
    with open(path, "rb") as file:
        return _digest(file, algorithm)


def _digest(file: BinaryIO, algorithm: str) -> str:
    total = hashlib.new(algorithm)
    while chunk := file.read(_CHUNK):
        total.update(chunk)
    return total.hexdigest()


def _algorithm(algorithm: str, file_hash: str) -> str:
    if algorithm not in ("auto", "sha256", "md5"):
        raise ValueError(f"get_file: expected hash_algorithm 'auto', 'sha256' or 'md5', got {algorithm!r}")
    return algorithm if algorithm != "auto" else "sha256" if len(file_hash) == 64 else "md5"


def _ensure_downloaded(target: Path, origin: str, file_hash: str | None, algorithm: str, force: bool) -> None:
    kind = _algorithm(algorithm, file_hash or "")
    if target.is_file() and not force:
        if file_hash is None or file_digest(target, kind) == file_hash.lower():
            return
        print_message(f"{target}: the {kind} checksum is not {file_hash}, downloading the file again")
    target.parent.mkdir(parents=True, exist_ok=True)
    print_message(f"Downloading data from {origin}")
    with replacing(target) as out:
        for chunk in _downloaded(origin, target, file_hash):
            out.write(chunk)
        if file_hash is not None:
            out.seek(0)
            got = _digest(out, kind)
            if got != file_hash.lower():
                raise ValueError(
                    f"Incomplete or corrupted file detected. The {kind} file hash of {origin} is {got}, which does not "
                    f"match the provided value of {file_hash}."
                )


def _downloaded(origin: str, target: Path, file_hash: str | None) -> Iterator[bytes]:
    """What there is at `origin`, piece by piece."""
    by_hand = f"Without a network, put the file there by hand: {target}"
    if file_hash is not None:
        by_hand += f" (checksum {file_hash})"
    try:
        with urllib.request.urlopen(origin, timeout=_TIMEOUT) as answer:
            length = answer.headers.get("Content-Length")
            total = int(length) if length and length.isdigit() else None
            bar = Progbar(total, unit_name="byte")
            seen = 0
            while chunk := answer.read(_CHUNK):
                yield chunk
                seen += len(chunk)
                bar.update(min(seen, total) if total else seen, finalize=False)
            if total is not None and seen != total:
                raise ConnectionError(f"the connection ended after {seen} of {total} bytes")
            bar.update(seen, finalize=True)
    except urllib.error.HTTPError as error:
        raise OSError(f"URL fetch failure on {origin}: {error.code} -- {error.reason}. {by_hand}") from error
    except urllib.error.URLError as error:
        raise OSError(f"URL fetch failure on {origin}: {error.reason}. {by_hand}") from error
    except TimeoutError as error:
        raise OSError(f"URL fetch failure on {origin}: no answer within {_TIMEOUT:.0f} s. {by_hand}") from error
    except (http.client.HTTPException, OSError) as error:
        raise OSError(f"URL fetch failure on {origin}: {type(error).__name__}: {error}. {by_hand}") from error


# --- archives --------------------------------------------------------------------------------------------------


def _extract(archive: Path, target: Path, archive_format: Any) -> None:
    if target.is_dir() and any(target.iterdir()):
        return
    formats = [archive_format] if isinstance(archive_format, str) else list(archive_format or ())
    if "auto" in formats:
        formats = ["tar", "zip"]
    writers: dict[str, Callable[[Path, Path], None]] = {}
    with reading(archive, "an archive"):
        if "tar" in formats and tarfile.is_tarfile(archive):
            writers["tar"] = _untar
        if "zip" in formats and zipfile.is_zipfile(archive):
            writers["zip"] = _unzip
    if not writers:
        raise ValueError(f"{archive} is not an archive of format {' or '.join(formats) or 'None'}")
    part = Path(tempfile.mkdtemp(prefix=f".{target.name}.", suffix=".part", dir=target.parent))
    try:
        with reading(archive, "an archive"):
            next(iter(writers.values()))(archive, part)
        part.chmod(0o755)
        if target.is_dir():
            target.rmdir()  # empty, as seen above
        part.rename(target)
    finally:
        shutil.rmtree(part, ignore_errors=True)


def _inside(root: Path, name: str, archive: Path) -> Path:
    """Where member `name` goes. Raises ValueError for a path that leads outside of `root`."""
    pure = PurePosixPath(name.replace("\\", "/"))
    if pure.is_absolute() or ".." in pure.parts or (pure.parts and ":" in pure.parts[0]):
        raise ValueError(f"{archive}: refused to extract {name!r}: the path leads outside of the folder")
    return root.joinpath(*pure.parts)


def _untar(archive: Path, root: Path) -> None:
    with tarfile.open(archive) as tar:
        for member in tar:
            where = _inside(root, member.name, archive)
            if member.isdir():
                where.mkdir(parents=True, exist_ok=True)
            elif member.isreg():
                source = tar.extractfile(member)
                assert source is not None  # a regular member has contents
                _write(where, source)
            else:
                raise ValueError(
                    f"{archive}: refused to extract {member.name!r}: only files and folders are, no links or devices"
                )


def _unzip(archive: Path, root: Path) -> None:
    with zipfile.ZipFile(archive) as contents:
        for info in contents.infolist():
            where = _inside(root, info.filename, archive)
            if info.is_dir():
                where.mkdir(parents=True, exist_ok=True)
                continue
            with contents.open(info) as source:
                _write(where, source)


def _write(where: Path, source: Any) -> None:
    where.parent.mkdir(parents=True, exist_ok=True)
    with open(where, "wb") as out, adding(out):
        shutil.copyfileobj(source, out, _CHUNK)


def walk_files(root: Any, follow_links: bool = False) -> Iterator[Path]:
    """The files below `root`, in sorted order, no pipes and devices; links to folders are followed only when asked
    for, and each folder is entered once."""
    seen = set()
    for folder, folders, names in os.walk(root, followlinks=follow_links):
        place = os.path.realpath(folder)
        if place in seen:  # a link leads back
            folders.clear()
            continue
        seen.add(place)
        folders.sort()
        for path in (Path(folder) / name for name in sorted(names)):
            if path.is_file() or not path.exists():  # a link to nowhere is an error when it is read
                yield path
