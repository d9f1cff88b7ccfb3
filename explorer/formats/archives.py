"""Zip and tar files of strangers: member names that stay inside, sizes that are bounded before anything is
unpacked.
"""

import io
import lzma
import shutil
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import IO

from explorer.errors import PromptError
from explorer.formats.stored import MOST_BYTES, first_line, starts_with
from explorer.system.bounded import COMPRESSED, Unpacked

ZIP = (b"PK\x03\x04", b"PK\x05\x06")
GZIP = b"\x1f\x8b"
MOST_MEMBERS = 10_000
MOST_DIRECTORY = 4 * 2**20
"""bytes of a zip file's list of members, which is read whole when the file is opened"""
_DAMAGE = (
    zipfile.BadZipFile,
    zlib.error,
    OSError,
    ValueError,
    RuntimeError,
    NotImplementedError,
    EOFError,
    KeyError,
    IndexError,
)
"""what zipfile raises for damaged, encrypted and exotic archives"""


class Archive:
    """A zip file whose members may be read one by one. Raises PromptError when it is damaged, hostile or too
    large.
    """

    def __init__(self, path: Path):
        self.path = path
        try:
            if (size := _directory_size(path)) > MOST_DIRECTORY:
                raise PromptError(
                    f"{path}: a zip file that lists {size:,} bytes of names; expected at most "
                    f"{MOST_DIRECTORY:,}"
                )
            self._zip = zipfile.ZipFile(path)
        except _DAMAGE as error:
            raise PromptError(
                f"{path}: cannot be read as a zip file ({first_line(error)}); it is damaged or of "
                "another kind"
            ) from error
        named = [
            (info.filename.replace("\\", "/"), info) for info in self._zip.infolist()
        ]  # zips of Windows may hold backslashes
        self._members = {name: info for name, info in named if not name.endswith("/") and not _of_macos(name)}
        try:
            self._check()
        except PromptError:
            self._zip.close()
            raise

    def _check(self) -> None:
        if len(self._members) > MOST_MEMBERS:
            raise PromptError(
                f"{self.path}: a zip file of {len(self._members):,} files; expected at most {MOST_MEMBERS:,}"
            )
        for name, info in self._members.items():
            check_name(name, self.path)
            if stat.S_ISLNK(info.external_attr >> 16):
                raise PromptError(f"{self.path}: {name!r} is a link; expected plain files")
            if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
                raise PromptError(
                    f"{self.path}: {name!r} is compressed in an unusual way; expected a zip file as "
                    "common tools write it"
                )

    @property
    def names(self) -> list[str]:
        """Of all files, in the order of the archive."""
        return list(self._members)

    def size(self, name: str) -> int:
        """Bytes of a member, unpacked, as the archive declares them; no more are ever read."""
        return self._members[name].file_size

    @property
    def stored(self) -> bool:
        """Whether every member lies in the archive as it is, uncompressed."""
        return all(
            info.compress_type == zipfile.ZIP_STORED and info.file_size == info.compress_size
            for info in self._members.values()
        )

    @contextmanager
    def open(self, name: str) -> Iterator[IO[bytes]]:
        """A member as a file."""
        try:
            with self._zip.open(self._members[name]) as file:
                yield file
        except _DAMAGE as error:
            raise PromptError(
                f"{self.path}: {name!r} in it cannot be read ({first_line(error)}); the file is damaged"
            ) from error

    def read(self, name: str) -> bytes:
        """The content of a member. Raises PromptError when it would be too large."""
        if self.size(name) > MOST_BYTES:
            raise PromptError(
                f"{self.path}: {name!r} unpacks to {self.size(name):,} bytes; expected at most {MOST_BYTES:,}"
            )
        with self.open(name) as file:
            return file.read()

    def unpack(self, folder: Path) -> None:
        """Write all members below a folder. Raises PromptError, before anything is written, when they would
        be too large.
        """
        if (total := sum(map(self.size, self.names))) > MOST_BYTES:
            raise PromptError(
                f"{self.path.name}: unpacks to {total:,} bytes; expected at most {MOST_BYTES:,}"
            )
        for name in self.names:
            target = folder / name
            try:
                target.parent.mkdir(parents=True, exist_ok=True)
                with self.open(name) as source, target.open("wb") as copy:
                    shutil.copyfileobj(source, copy)
            except OSError as error:
                raise PromptError(
                    f"{self.path.name}: {name!r} in it cannot be unpacked ({error.strerror or error})"
                ) from error

    def __enter__(self) -> "Archive":
        return self

    def __exit__(self, *_: object) -> None:
        self._zip.close()


def _of_macos(name: str) -> bool:
    """Whether a member is what macOS adds: forks of files and the looks of folders."""
    return name.startswith("__MACOSX/") or PurePosixPath(name).name.startswith(("._", ".DS_Store"))


def _directory_size(path: Path) -> int:
    """Bytes of the list of members, as the end of a zip file states them; 0 where no end is found, which
    zipfile will say.
    """
    with path.open("rb") as file:
        start = max(0, path.stat().st_size - 2**16 - 22 - 76)
        file.seek(start)
        end = file.read()
    place = end.rfind(b"PK\x05\x06")
    if place < 0 or len(end) < place + 16:
        return 0
    size = int.from_bytes(end[place + 12 : place + 16], "little")
    large = end.rfind(b"PK\x06\x06", 0, place)  # of zip64
    return max(
        size if size < 2**32 - 1 else 0,
        int.from_bytes(end[large + 40 : large + 48], "little") if large >= 0 else 0,
    )


def check_name(name: str, path: Path) -> None:
    """Raise PromptError for a member's name that leaves the folder it would be unpacked to."""
    parts = PurePosixPath(name.replace("\\", "/")).parts
    if not parts or parts[0] == "/" or ".." in parts or ":" in parts[0] or "\0" in name or len(parts) > 32:
        raise PromptError(f"{path}: a file inside is called {name[:80]!r}, which would lie outside; refused")


def tar_member(path: Path, wanted: str) -> bytes | None:
    """The content of the first plain file of a tar (or tar.gz) file whose name ends in `wanted`; None when
    there is none.

    Raises PromptError when the file is damaged, hostile or unpacks to too much.
    """
    try:
        with _tar(path) as archive:
            for _ in range(MOST_MEMBERS):
                if (member := archive.next()) is None:
                    return None
                check_name(member.name, path)
                if member.offset_data + member.size > MOST_BYTES:
                    raise PromptError(
                        f"{path}: {member.name[:80]!r} unpacks to {member.size:,} bytes; expected at "
                        f"most {MOST_BYTES:,} in all"
                    )
                if (
                    PurePosixPath(member.name).name == wanted
                    and member.isfile()
                    and (file := archive.extractfile(member)) is not None
                ):
                    content = file.read()
                    if len(content) < member.size:
                        raise PromptError(
                            f"{path}: {member.name[:80]!r} in it is cut short; the file is damaged"
                        )
                    return content
    except (tarfile.TarError, lzma.LZMAError, *_DAMAGE) as error:
        raise PromptError(
            f"{path}: cannot be read as a tar file ({first_line(error)}); it is damaged or of another kind"
        ) from error
    raise PromptError(f"{path}: a tar file of more than {MOST_MEMBERS:,} files; expected a checkpoint")


@contextmanager
def _tar(path: Path) -> Iterator[tarfile.TarFile]:
    """A tar file, unpacked while it is read and to a limit where it is compressed: its headers may claim any
    length.
    """
    if not starts_with(path, *COMPRESSED):
        with tarfile.open(path, "r:") as archive:
            yield archive
        return
    with (
        Unpacked(path, MOST_BYTES + MOST_MEMBERS) as raw,
        io.BufferedReader(raw) as stream,
        tarfile.open(fileobj=stream, mode="r|") as archive,
    ):
        yield archive
