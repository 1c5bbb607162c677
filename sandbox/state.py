"""What the sandbox remembers: rows in SQLite and blobs on disk. One event loop owns it: no step is half seen."""

import hashlib
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sandbox.clock import CLOCK

_SCHEMA = """
CREATE TABLE IF NOT EXISTS repositories (
    id INTEGER PRIMARY KEY, account TEXT NOT NULL, region TEXT NOT NULL, name TEXT NOT NULL, created_at REAL NOT NULL,
    mutability TEXT NOT NULL, exclusions TEXT NOT NULL, scan_on_push INTEGER NOT NULL, encryption TEXT NOT NULL,
    tags TEXT NOT NULL, policy TEXT, UNIQUE (account, region, name)
);
CREATE TABLE IF NOT EXISTS images (
    repository INTEGER NOT NULL REFERENCES repositories ON DELETE CASCADE, digest TEXT NOT NULL,
    media_type TEXT NOT NULL, artifact_type TEXT, manifest BLOB NOT NULL, size INTEGER NOT NULL,
    pushed_at REAL NOT NULL, pulled_at REAL, subject TEXT, PRIMARY KEY (repository, digest)
);
CREATE INDEX IF NOT EXISTS images_by_subject ON images (repository, subject);
CREATE TABLE IF NOT EXISTS image_tags (
    repository INTEGER NOT NULL, tag TEXT NOT NULL, digest TEXT NOT NULL, PRIMARY KEY (repository, tag),
    FOREIGN KEY (repository, digest) REFERENCES images ON DELETE CASCADE
);
CREATE INDEX IF NOT EXISTS image_tags_by_digest ON image_tags (repository, digest);
CREATE TABLE IF NOT EXISTS image_storage (
    repository INTEGER NOT NULL, digest TEXT NOT NULL, archived_at REAL NOT NULL, active_from REAL,
    PRIMARY KEY (repository, digest), FOREIGN KEY (repository, digest) REFERENCES images ON DELETE CASCADE
);
CREATE TABLE IF NOT EXISTS layers (
    repository INTEGER NOT NULL REFERENCES repositories ON DELETE CASCADE, digest TEXT NOT NULL, size INTEGER NOT NULL,
    PRIMARY KEY (repository, digest)
);
CREATE TABLE IF NOT EXISTS uploads (
    id TEXT PRIMARY KEY, repository INTEGER NOT NULL REFERENCES repositories ON DELETE CASCADE,
    last_part INTEGER, has_small_part INTEGER NOT NULL DEFAULT 0
);
CREATE TABLE IF NOT EXISTS cache_rules (
    account TEXT NOT NULL, region TEXT NOT NULL, prefix TEXT NOT NULL, upstream_url TEXT NOT NULL,
    created_at REAL NOT NULL, PRIMARY KEY (account, region, prefix)
);
CREATE TABLE IF NOT EXISTS account_settings (
    account TEXT NOT NULL, region TEXT NOT NULL, name TEXT NOT NULL, value TEXT NOT NULL,
    PRIMARY KEY (account, region, name)
);
CREATE TABLE IF NOT EXISTS access_keys (
    account TEXT NOT NULL, user TEXT NOT NULL, id TEXT NOT NULL, secret TEXT NOT NULL, PRIMARY KEY (account, user)
);
CREATE TABLE IF NOT EXISTS sessions (
    access_key TEXT PRIMARY KEY, secret TEXT NOT NULL, token TEXT NOT NULL, account TEXT NOT NULL,
    role_arn TEXT NOT NULL, name TEXT NOT NULL, policies TEXT NOT NULL, expires_at REAL NOT NULL
);
CREATE TABLE IF NOT EXISTS logins (
    sha256 TEXT PRIMARY KEY, access_key TEXT NOT NULL, expires_at REAL NOT NULL
);
CREATE TABLE IF NOT EXISTS kube_objects (
    plural TEXT NOT NULL, namespace TEXT NOT NULL, name TEXT NOT NULL, content TEXT NOT NULL,
    PRIMARY KEY (plural, namespace, name)
);
"""
_FORGOTTEN_BY_RESET = ("repositories", "account_settings", "cache_rules", "sessions", "logins")


def _image_status(archived_at: float | None, active_from: float | None) -> str:
    if archived_at is None or (active_from is not None and active_from <= CLOCK.time()):
        return "ACTIVE"
    return "ARCHIVED" if active_from is None else "ACTIVATING"


class State:
    """The tables and folders of one sandbox. What was answered survives `kill -9`, though not a power cut."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.blobs = folder / "blobs"
        self.uploads = folder / "uploads"
        for one in (self.blobs, self.uploads):
            one.mkdir(exist_ok=True)
        # Handed from the thread that opens it to the event loop's, and used by one at a time.
        self.sql = sqlite3.connect(folder / "sandbox.db", isolation_level=None, check_same_thread=False)
        self.sql.row_factory = sqlite3.Row
        self.sql.create_function("image_status", 2, _image_status)
        self.sql.executescript(f"PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL; PRAGMA foreign_keys=ON; {_SCHEMA}")

    @contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """All or nothing. Never await inside: other requests share the connection."""
        self.sql.execute("BEGIN")
        try:
            yield self.sql
        except BaseException:
            self.sql.execute("ROLLBACK")
            raise
        self.sql.execute("COMMIT")

    def one(self, query: str, *values: object) -> sqlite3.Row | None:
        row: sqlite3.Row | None = self.sql.execute(query, values).fetchone()
        return row

    def all(self, query: str, *values: object) -> list[sqlite3.Row]:
        return self.sql.execute(query, values).fetchall()

    def blob(self, digest: str) -> Path:
        """Where the bytes of a digest are kept, whichever repositories have them."""
        return self.blobs / digest.removeprefix("sha256:")

    def upload(self, upload_id: str) -> Path:
        return self.uploads / upload_id

    def reset(self) -> None:
        """Forget all but the access keys of the seeded users."""
        with self.transaction() as sql:
            for table in _FORGOTTEN_BY_RESET:
                sql.execute(f"DELETE FROM {table}")  # noqa: S608 - a constant of this module

    def close(self) -> None:
        self.sql.close()


def sha256_of(content: bytes) -> str:
    return "sha256:" + hashlib.sha256(content).hexdigest()
