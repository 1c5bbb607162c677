"""The embedded database on the disk."""

from pathlib import Path

import pytest

from service.db import Database
from service.migrate import migrate
from service.settings import Settings


def mode(path: Path) -> str:
    return oct(path.stat().st_mode & 0o777)


@pytest.mark.asyncio
async def test_the_folder_and_the_files_are_for_their_owner_alone(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    database = Database(Settings(data_dir=folder))
    await migrate(database)
    files = {one.name: mode(one) for one in folder.iterdir()}
    await database.close()
    assert mode(folder) == "0o700"
    assert set(files.values()) == {"0o600"}
    assert len(files) == 3, files  # SQLite's write-ahead log has two of its own


@pytest.mark.asyncio
async def test_a_file_of_an_older_version_becomes_private(tmp_path: Path) -> None:
    first = Database(Settings(data_dir=tmp_path))
    await migrate(first)
    await first.close()
    file = tmp_path / "wharfinger.db"
    file.chmod(0o644)
    await Database(Settings(data_dir=tmp_path)).close()
    assert mode(file) == "0o600"
