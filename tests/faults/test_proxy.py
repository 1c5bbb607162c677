"""Through a bad connection to AWS, with others who change the same: no row is false, and nothing is done twice.

Every kind of change meets every fate. What AWS did is taken from its own log; who changes the same in between does it
past wharfinger. Left out is what no look at the state can tell: that somebody removes again what was just created.
"""

import asyncio
import json
import re
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import suppress
from datetime import datetime, timedelta

import httpx
import pytest
import pytest_asyncio
from pydantic import HttpUrl

from sandbox.calls import Call
from sandbox.server import Sandbox
from service.base.clock import running
from service.base.settings import Settings
from service.clients.aws.reads import HARMLESS_TWICE, READS
from service.iam.templates import cross_account_pull
from tests.conftest import ACCOUNT, REGION, Connect, MakeKey, Serve
from tests.crash.conftest import Entries
from tests.crash.kinds import KINDS, Kind, expected, prepare, statuses
from tests.faults.proxy import Fate, Proxy, proxied
from tests.images import image, push_image
from tests.sandbox.clients import sdk
from tests.service.machine import Machine

pytestmark = pytest.mark.asyncio

_ANOTHER_POLICY = cross_account_pull(["222222222222"])
_ATTEMPTS = 2
_SWEPT_WITHIN = 30.0


@pytest_asyncio.fixture
async def proxy(aws: Sandbox) -> AsyncIterator[Proxy]:
    async with proxied(aws.host(ACCOUNT, REGION)) as made:
        yield made


@pytest.fixture
def machine() -> Machine:
    return Machine()


@pytest.fixture
def through(settings: Settings, proxy: Proxy) -> Settings:
    """Of a service that reaches AWS through the proxy."""
    deadlines = settings.deadlines.model_copy(
        update={
            "aws_attempts": _ATTEMPTS,
            "sweep_interval": timedelta(milliseconds=50),
            "second_look": timedelta(seconds=10),
        }
    )
    registry = settings.registries[0].model_copy(update={"endpoint": HttpUrl(proxy.url)})
    return settings.model_copy(update={"deadlines": deadlines, "registries": (registry,), "clusters": ()})


@pytest_asyncio.fixture
async def caller(
    through: Settings, machine: Machine, serve: Serve, connect: Connect, make_key: MakeKey
) -> AsyncIterator[httpx.AsyncClient]:
    """An admin, whose service's time the test moves."""
    with running(machine.boot()):
        async with serve(through) as app:
            yield connect(app, await make_key("admin"))


async def send(caller: httpx.AsyncClient, kind: Kind) -> httpx.Response:
    method, path, body = kind.request(kind.repository)
    return await caller.request(method, path, json=body, headers={"Idempotency-Key": kind.name})


async def settled(caller: httpx.AsyncClient, machine: Machine) -> Entries:
    """Let time pass until no row is open, and give them all by what they are about."""
    async with asyncio.timeout(_SWEPT_WITHIN):
        while (await caller.get("/v1/audit?status=pending")).raise_for_status().json()["items"]:
            machine.wait(timedelta(seconds=20))
            await asyncio.sleep(0.05)
    rows = (await caller.get("/v1/audit?limit=1000")).raise_for_status().json()["items"]
    # The newest come first: what was asked about a repository before is its preparation.
    return {(row["action"], row["target"]): row for row in reversed(rows) if row["status"] != "refused"}


def _is_vend(kind: Kind) -> bool:
    return kind.action.startswith("token.")


async def lose(caller: httpx.AsyncClient, proxy: Proxy, kind: Kind, fates: Sequence[Fate]) -> None:
    """Send a change whose every attempt comes to grief."""
    about = "" if _is_vend(kind) else kind.repository
    proxy.befall(kind.call, about, *fates[: _ATTEMPTS if kind.call in HARMLESS_TWICE else 1])
    answer = await send(caller, kind)
    assert (answer.status_code, answer.json()["code"]) == (503, "outcome_unknown"), (kind, answer.text)


async def change_it_too(aws: Sandbox, kind: Kind) -> None:
    """Somebody else, at AWS itself, who wants something else of the same thing."""
    name = kind.repository
    async with sdk("ecr", aws) as ecr:
        match kind.name:
            case "delete":
                with suppress(ecr.exceptions.RepositoryNotFoundException):
                    await ecr.delete_repository(repositoryName=name, force=True)
                await ecr.create_repository(repositoryName=name)
                await push_image(aws, name, "theirs", image("theirs"))
            case "policy-put" | "policy-delete":
                await ecr.set_repository_policy(repositoryName=name, policyText=json.dumps(_ANOTHER_POLICY))
            case "tag":
                await push_image(aws, name, "new", image("theirs"))
            case "untag":
                await push_image(aws, name, "old", image("theirs"))
            case "update-first" | "update-second" | "update-last":
                arn = f"arn:aws:ecr:{REGION}:{ACCOUNT}:repository/{name}"
                await ecr.tag_resource(resourceArn=arn, tags=[{"Key": "team", "Value": "theirs"}])


def effects(aws: Sandbox, operations: set[str]) -> Counter[str]:
    """The changes that AWS made for these operations, by its name for them."""
    return Counter(call.operation for call in aws.calls() if _operation_of(call) in operations and call.status == 200)


def _operation_of(call: Call) -> str | None:
    found = re.search(r"wharfinger-operation/(\S+)", call.user_agent)
    return found[1] if found and call.operation not in READS else None


async def assert_true_and_done_once(
    caller: httpx.AsyncClient, aws: Sandbox, rows: Entries, kinds: Sequence[Kind]
) -> None:
    for kind in kinds:
        row = rows[kind.action, kind.target]
        done = effects(aws, {row["id"]})[kind.call]
        assert not (row["status"] == "failed" and done), (kind, row)
        assert not (row["status"] == "succeeded" and not done), (kind, row)
        if _is_vend(kind):
            continue
        again = await send(caller, kind)
        if row["status"] == "unknown":
            assert (again.status_code, again.json()["code"]) == (409, "outcome_undetermined"), again.text
            assert again.json()["now"]
        else:
            assert again.is_success, (kind, row, again.text)
    trail = (await caller.get("/v1/audit?limit=1000")).json()["items"]
    for kind in kinds:
        under_key = {row["id"] for row in trail if (row["action"], row["target"]) == (kind.action, kind.target)}
        assert effects(aws, under_key)[kind.call] <= 1 or _is_vend(kind), kind


@pytest.mark.parametrize("fate", [Fate.RESET_BEFORE, Fate.RESET_AFTER, Fate.CLOSED_AFTER, Fate.HALF])
async def test_what_comes_to_grief_on_its_way_is_recorded_as_it_is(
    caller: httpx.AsyncClient, proxy: Proxy, aws: Sandbox, machine: Machine, fate: Fate
) -> None:
    await prepare(caller, aws)
    for kind in KINDS:
        await lose(caller, proxy, kind, [fate] * _ATTEMPTS)
    rows = await settled(caller, machine)
    assert statuses(rows) == expected(is_acted=fate is not Fate.RESET_BEFORE)
    for kind in filter(_is_vend, KINDS):
        row = rows[kind.action, kind.target]
        worst = datetime.fromisoformat(row["result"]["assume_valid_until"])
        assert worst >= datetime.fromisoformat(row["started_at"]) + timedelta(hours=12)
    await assert_true_and_done_once(caller, aws, rows, KINDS)


async def test_what_arrives_late_after_a_refusal_is_recorded_as_it_is(
    caller: httpx.AsyncClient, proxy: Proxy, aws: Sandbox, machine: Machine
) -> None:
    await prepare(caller, aws)
    fates = (Fate.LATE, Fate.REFUSED)
    await asyncio.gather(*(lose(caller, proxy, kind, fates) for kind in KINDS if not _is_vend(kind)))
    # What a vend asks of AWS names no repository, so each has its fates to itself.
    for kind in filter(_is_vend, KINDS):
        await lose(caller, proxy, kind, fates)
    await proxy.deliver()
    rows = await settled(caller, machine)
    assert statuses(rows) == expected(is_acted=True)
    await assert_true_and_done_once(caller, aws, rows, KINDS)


@pytest.mark.parametrize("fate", [Fate.RESET_BEFORE, Fate.RESET_AFTER, Fate.HALF, Fate.LATE])
async def test_what_somebody_else_changed_in_between_is_left_to_them(
    caller: httpx.AsyncClient, proxy: Proxy, aws: Sandbox, machine: Machine, fate: Fate
) -> None:
    await prepare(caller, aws)
    kinds = [kind for kind in KINDS if kind.name != "create" and not _is_vend(kind)]
    await asyncio.gather(*(lose(caller, proxy, kind, [fate]) for kind in kinds))
    await proxy.deliver()
    for kind in kinds:
        await change_it_too(aws, kind)
    rows = await settled(caller, machine)
    assert {rows[kind.action, kind.target]["status"] for kind in kinds} == {"unknown"}
    before = Counter(call.operation for call in aws.calls() if call.operation not in READS)
    await assert_true_and_done_once(caller, aws, rows, kinds)
    assert Counter(call.operation for call in aws.calls() if call.operation not in READS) == before
