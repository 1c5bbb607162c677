"""The bootstrap key: the first admin, from a file."""

import asyncio
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from service.access.identity import new_secret
from service.base.settings import Settings, StartupError
from tests.api.key_requests import ADMIN, make, only_id, status_of
from tests.conftest import Connect, Serve
from tests.marks import only_sqlite

pytestmark = pytest.mark.asyncio


@pytest.fixture
def bootstrapped(bare_settings: Settings, tmp_path: Path) -> tuple[Settings, str]:
    """Settings with the file of a bootstrap key, and that key."""
    secret, file = new_secret(), tmp_path / "key"
    file.write_text(secret + "\n")
    return bare_settings.model_copy(update={"bootstrap_key_file": file}), secret


async def test_the_bootstrap_key_is_the_first_admin_on_however_many_replicas(
    serve: Serve, connect: Connect, bootstrapped: tuple[Settings, str]
) -> None:
    settings, secret = bootstrapped
    async with AsyncExitStack() as stack:
        replicas = await asyncio.gather(*(stack.enter_async_context(serve(settings)) for _ in range(3)))
        admin = connect(replicas[0], secret)

        key = (await admin.get(f"/v1/keys/{await only_id(admin)}")).json()
        [entry] = (await admin.get("/v1/audit", params={"status": "succeeded"})).json()["items"]

    assert (key["label"], key["created_by"], key["bindings"][0]["role"]) == ("bootstrap", "bootstrap", "admin")
    assert (entry["action"], entry["actor"]["id"], entry["target"]) == ("key.create", "bootstrap", key["id"])


async def test_a_revoked_bootstrap_key_does_not_come_back(
    serve: Serve, connect: Connect, bootstrapped: tuple[Settings, str]
) -> None:
    settings, secret = bootstrapped
    async with serve(settings) as app:
        admin = connect(app, secret)
        own_id = await only_id(admin)
        await make(admin, **ADMIN)
        assert (await admin.delete(f"/v1/keys/{own_id}")).status_code == 204

    async with serve(settings) as app:
        assert await status_of(app, connect, secret) == 401


@only_sqlite
@pytest.mark.parametrize("content", [b"", b"whf_short", b"\xff\xfe", b"whf_" + b"x" * 43 + b"\nanother"])
async def test_a_file_without_a_key_does_not_start(
    serve: Serve, bootstrapped: tuple[Settings, str], content: bytes
) -> None:
    settings, _ = bootstrapped
    assert settings.bootstrap_key_file
    settings.bootstrap_key_file.write_bytes(content)

    with pytest.raises(StartupError, match=r"^bootstrap_key_file: .*key"):
        async with serve(settings):
            pytest.fail("it started")
