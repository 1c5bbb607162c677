"""Layer uploads: parts go to a file, in order; the whole becomes a blob when its digest is right."""

import asyncio
import hashlib
import sqlite3
import uuid
from collections.abc import AsyncIterator
from pathlib import Path

from sandbox.state import State


class UploadUnknownError(Exception):
    """There is no such upload in this repository."""


class OutOfOrderError(Exception):
    """A part does not begin where the last one ended."""

    def __init__(self, size: int) -> None:
        super().__init__(f"the next part begins at byte {size}")
        self.size = size


class DigestError(Exception):
    """The bytes have another digest than the one said."""


class Uploads:
    """The uploads of all repositories; sizes and offsets are bytes."""

    def __init__(self, state: State) -> None:
        self._state = state

    def start(self, repository: sqlite3.Row) -> str:
        upload = str(uuid.uuid4())
        self._state.sql.execute("INSERT INTO uploads (id, repository) VALUES (?, ?)", (upload, repository["id"]))
        self._state.upload(upload).touch()
        return upload

    def size(self, repository: sqlite3.Row, upload: str) -> int:
        """:raises UploadUnknownError:"""
        return self._file(repository, upload).stat().st_size

    async def append(
        self, repository: sqlite3.Row, upload: str, content: AsyncIterator[bytes], *, start: int | None = None
    ) -> int:
        """Take a part as it streams in; gives the size so far.

        :raises UploadUnknownError:
        :raises OutOfOrderError: `start` is given and is not the size so far.
        """
        file = self._file(repository, upload)
        size = file.stat().st_size
        if start is not None and start != size:
            raise OutOfOrderError(size)
        with file.open("r+b") as out:
            out.seek(size)
            async for piece in content:
                out.write(piece)
            return out.tell()

    def note_part(self, upload: str, size: int, *, least: int) -> None:
        """Remember a part of the ECR API, where every part but the last has a least size."""
        self._state.sql.execute(
            "UPDATE uploads SET has_small_part = has_small_part OR COALESCE(last_part < ?, 0), last_part = ?"
            " WHERE id = ?",
            (least, size, upload),
        )

    def has_small_part(self, upload: str) -> bool:
        """Whether a part before the last was too small."""
        row = self._state.one("SELECT has_small_part FROM uploads WHERE id = ?", upload)
        return bool(row and row["has_small_part"])

    async def complete(self, repository: sqlite3.Row, upload: str, digest: str) -> int:
        """Make it a blob of the repository; gives its size.

        :raises UploadUnknownError:
        :raises DigestError: the upload is dropped.
        """
        file = self._file(repository, upload)
        actual = await asyncio.to_thread(_digest_of, file)
        if actual != digest:
            self.cancel(repository, upload)
            raise DigestError(f"the digest of what was uploaded is {actual}")
        size = file.stat().st_size
        with self._state.transaction() as sql:
            sql.execute("DELETE FROM uploads WHERE id = ?", (upload,))
            sql.execute("INSERT OR IGNORE INTO layers VALUES (?, ?, ?)", (repository["id"], digest, size))
            file.replace(self._state.blob(digest))
        return size

    def cancel(self, repository: sqlite3.Row, upload: str) -> None:
        """:raises UploadUnknownError:"""
        self._file(repository, upload).unlink(missing_ok=True)
        self._state.sql.execute("DELETE FROM uploads WHERE id = ?", (upload,))

    def _file(self, repository: sqlite3.Row, upload: str) -> Path:
        row = self._state.one("SELECT 1 FROM uploads WHERE id = ? AND repository = ?", upload, repository["id"])
        file = self._state.upload(upload)
        if row is None or not file.exists():
            raise UploadUnknownError
        return file


def _digest_of(file: Path) -> str:
    with file.open("rb") as content:
        return "sha256:" + hashlib.file_digest(content, "sha256").hexdigest()
