"""`/v1/jobs`: what each caller sees of long work, and what they may do to it."""

import asyncio
from collections.abc import Awaitable, Callable

import httpx
import pytest
import pytest_asyncio
from sqlalchemy.ext.asyncio import AsyncConnection
from starlette.types import ASGIApp

from api.http.deps import CONTAINER
from service.access.actions import Action
from service.access.authz import Target
from service.base.clock import utcnow
from service.base.deadlines import Deadline
from service.base.errors import AwsRejectedError
from service.container import Container
from service.operations.calls import Call, Intent, Json, Outcome, Parent
from service.operations.jobs.kinds import Kind
from service.operations.jobs.values import Accepted, Item
from service.operations.jobs.work import Work
from tests.api.asgi import RawRequest
from tests.conftest import Connect, MakeKey
from tests.service.calls import as_recorded
from tests.service.operations.jobs.kinds import Held

pytestmark = pytest.mark.asyncio

Begin = Callable[..., Awaitable[str]]


class Kinds:
    """What runs here: `holding` until a test lets it go, `failing` the first time that it is about something."""

    def __init__(self) -> None:
        self.held = Held()
        self.done: list[str] = []
        self._tried: set[str] = set()

    async def fail(self, work: Work) -> Json | None:
        await work.add_items(["first", "second"])
        is_first = work.job.key not in self._tried
        self._tried.add(work.job.key)

        async def act(item: Item) -> Json:
            if item.key == "second" and is_first:
                raise AwsRejectedError("AWS refused it.")
            self.done.append(item.key)
            return {}

        counts = await work.each_item(act, at_once=1)
        if counts.failed:
            raise AwsRejectedError("One of two was refused.")
        return None


@pytest.fixture
def kinds() -> Kinds:
    return Kinds()


@pytest_asyncio.fixture
async def services(bare_app: ASGIApp, kinds: Kinds) -> Container:
    """Those of the app, at work on the kinds of these tests."""
    request = RawRequest("GET", "/healthz", "none")
    request.send(b"")
    await request.run(bare_app)
    container: Container = request.state[CONTAINER]
    container.jobs.register(Kind("holding", kinds.held))
    container.jobs.register(Kind("failing", kinds.fail))
    container.jobs.register(Kind("once", kinds.fail, may_repeat=False))
    container.jobs.runner.start()
    return container


@pytest.fixture
def begin(services: Container) -> Begin:
    """Begins a job for the holder of a key, as an area does; gives its id."""

    async def run(secret: str, kind: str, key: str = "team/app", *, later: bool = False) -> str:
        caller = await services.identity.authenticate(secret)
        call = Call(caller, "request-1", Deadline.after(services.settings.deadlines.request))
        accepted: Accepted | None = None

        async def act(operation_id: str) -> Outcome[Json]:
            parent = Parent(operation_id, caller.id, caller.label, "request-1", f"local/{key}")

            async def write(connection: AsyncConnection) -> None:
                nonlocal accepted
                run_at = utcnow().replace(year=2999) if later else None
                accepted = await services.jobs.accept(connection, kind, key, {}, parent=parent, run_at=run_at)

            return Outcome({}, {}, write)

        intent = Intent(Action.JOB_RETRY, Target(), {}, as_recorded, requires=((Action.JOB_READ, None),))
        await services.operations.run(call, intent, act)
        assert accepted
        services.jobs.begin(accepted)
        return accepted.job.id

    return run


@pytest_asyncio.fixture
async def own(make_key: MakeKey) -> str:
    return await make_key("developer", label="who asked", repository="team")


@pytest.fixture
def owner(bare_app: ASGIApp, connect: Connect, own: str) -> httpx.AsyncClient:
    return connect(bare_app, own)


@pytest_asyncio.fixture
async def stranger(bare_app: ASGIApp, connect: Connect, make_key: MakeKey) -> httpx.AsyncClient:
    return connect(bare_app, await make_key("developer", label="somebody else"))


@pytest_asyncio.fixture
async def reader(bare_app: ASGIApp, connect: Connect, make_key: MakeKey) -> httpx.AsyncClient:
    return connect(bare_app, await make_key("auditor"))


async def test_who_asked_sees_a_job_and_others_do_not(
    owner: httpx.AsyncClient, stranger: httpx.AsyncClient, own: str, begin: Begin
) -> None:
    job = await begin(own, "holding")
    seen = (await owner.get(f"/v1/jobs/{job}")).json()
    assert {name: seen[name] for name in ("id", "kind", "key", "state", "attempts", "created_by", "target")} == {
        "id": job,
        "kind": "holding",
        "key": "team/app",
        "state": "running",
        "attempts": 1,
        "created_by": "who asked",
        "target": "local/team/app",
    }
    assert "payload" not in seen
    for method, path in (("GET", ""), ("GET", "/events"), ("POST", "/cancel")):
        answer = await stranger.request(method, f"/v1/jobs/{job}{path}")
        assert (answer.status_code, answer.json()["code"]) == (404, "job_not_found")
    assert (await stranger.get("/v1/jobs")).json()["items"] == []


async def test_an_auditor_sees_all_and_changes_nothing(reader: httpx.AsyncClient, own: str, begin: Begin) -> None:
    job = await begin(own, "holding")
    assert [one["id"] for one in (await reader.get("/v1/jobs")).json()["items"]] == [job]
    for what in ("cancel", "retry"):
        answer = await reader.post(f"/v1/jobs/{job}/{what}")
        assert (answer.status_code, answer.json()["code"]) == (403, "forbidden")
    assert (await reader.get(f"/v1/jobs/{job}")).json()["state"] == "running"


async def test_a_list_is_by_kind_key_and_state_and_goes_by_pages(
    owner: httpx.AsyncClient, own: str, begin: Begin
) -> None:
    ids = [await begin(own, "holding", f"team/{number}", later=number > 0) for number in range(4)]

    async def listed(**wanted: object) -> list[str]:
        page = (await owner.get("/v1/jobs", params={name: str(value) for name, value in wanted.items()})).json()
        return [one["id"] for one in page["items"]]

    assert await listed() == ids[::-1]
    assert await listed(key="team/2") == [ids[2]]
    assert await listed(state="running") == [ids[0]]
    assert await listed(kind="failing") == []
    first = await owner.get("/v1/jobs", params={"limit": 3})
    cursor = first.json()["next_cursor"]
    assert await listed(limit=3, cursor=cursor) == [ids[0]]
    assert "cursor=" in first.headers["link"]


@pytest.mark.parametrize("wanted", ["key=%00", "kind=%00", "key=team%00app", "key="])
async def test_what_no_job_can_be_called_is_a_mistake_and_not_looked_for(owner: httpx.AsyncClient, wanted: str) -> None:
    answer = await owner.get(f"/v1/jobs?{wanted}")
    assert (answer.status_code, answer.json()["code"]) == (400, "invalid_parameter"), answer.text


async def test_a_wait_gives_the_job_once_it_succeeded(
    owner: httpx.AsyncClient, own: str, begin: Begin, kinds: Kinds
) -> None:
    job = await begin(own, "holding")
    late = await owner.get(f"/v1/jobs/{job}", params={"wait": 0})
    assert (late.status_code, late.json()["code"]) == (504, "wait_timeout")
    assert late.headers["location"] == f"/v1/jobs/{job}"
    waiting = asyncio.create_task(owner.get(f"/v1/jobs/{job}", params={"wait": 30}))
    kinds.held.may_end.set()
    answer = await waiting
    assert (answer.status_code, answer.json()["state"]) == (200, "succeeded")


async def test_a_wait_for_a_job_that_fails_says_why(owner: httpx.AsyncClient, own: str, begin: Begin) -> None:
    job = await begin(own, "failing")
    answer = await owner.get(f"/v1/jobs/{job}", params={"wait": 30})
    problem = answer.json()
    assert (answer.status_code, problem["code"]) == (409, "job_failed")
    assert problem["job"]["error"] == {"code": "aws_rejected", "detail": "One of two was refused."}
    assert problem["job"]["progress"] == {"done": 1, "failed": 1, "todo": 0}


async def test_events_tell_a_job_to_its_end_and_go_on_after_the_last_seen(
    owner: httpx.AsyncClient, own: str, begin: Begin
) -> None:
    job = await begin(own, "failing")
    text = (await owner.get(f"/v1/jobs/{job}/events")).text
    types = [line.removeprefix("event: ") for line in text.splitlines() if line.startswith("event: ")]
    assert (types[0], types[-1]) == ("accepted", "failed")
    resumed = (await owner.get(f"/v1/jobs/{job}/events", headers={"Last-Event-ID": str(len(types) - 1)})).text
    assert resumed.count("event: ") == 1
    assert "event: failed" in resumed


async def test_who_asked_may_end_it_and_it_is_recorded(
    owner: httpx.AsyncClient, bare_admin: httpx.AsyncClient, own: str, begin: Begin
) -> None:
    waiting, running = await begin(own, "holding", "a", later=True), await begin(own, "holding", "b")
    assert (await owner.post(f"/v1/jobs/{waiting}/cancel")).json()["state"] == "cancelled"
    asked = (await owner.post(f"/v1/jobs/{running}/cancel")).json()
    assert asked["cancel_requested_at"] is not None
    ended = await owner.get(f"/v1/jobs/{running}", params={"wait": 30})
    assert ended.json()["job"]["state"] == "cancelled"
    again = await owner.post(f"/v1/jobs/{running}/cancel")
    assert (again.status_code, again.json()["code"]) == (409, "job_over")
    trail = (await bare_admin.get("/v1/audit", params={"action": "job.cancel", "target": running})).json()["items"]
    assert [one["status"] for one in trail] == ["failed", "succeeded"]


@pytest.mark.parametrize("where", [{"target": "local/team/app"}, {"target_prefix": "local/team"}])
async def test_who_ended_a_job_is_found_by_what_it_was_about(
    owner: httpx.AsyncClient, bare_admin: httpx.AsyncClient, own: str, begin: Begin, where: dict[str, str]
) -> None:
    job = await begin(own, "holding", later=True)
    await owner.post(f"/v1/jobs/{job}/cancel")
    await bare_admin.post(f"/v1/jobs/{job}/retry")
    trail = (await bare_admin.get("/v1/audit", params=where)).json()["items"]
    assert [(one["action"], one["target"]) for one in trail] == [("job.retry", job), ("job.cancel", job)]


async def test_an_admin_may_end_what_others_asked_for(bare_admin: httpx.AsyncClient, own: str, begin: Begin) -> None:
    job = await begin(own, "holding", later=True)
    assert (await bare_admin.post(f"/v1/jobs/{job}/cancel")).json()["state"] == "cancelled"


async def test_a_retry_does_what_was_left_undone(
    bare_admin: httpx.AsyncClient, own: str, begin: Begin, kinds: Kinds
) -> None:
    job = await begin(own, "failing")
    await bare_admin.get(f"/v1/jobs/{job}", params={"wait": 30})
    answer = await bare_admin.post(f"/v1/jobs/{job}/retry", headers={"Idempotency-Key": "again"})
    assert answer.status_code == 202
    assert answer.headers["location"] == f"/v1/jobs/{answer.json()['id']}"
    assert answer.json()["id"] != job
    done = await bare_admin.get(answer.headers["location"], params={"wait": 30})
    assert (done.status_code, done.json()["progress"]) == (200, {"done": 2, "failed": 0, "todo": 0})
    assert kinds.done == ["first", "second"]
    repeated = await bare_admin.post(f"/v1/jobs/{job}/retry", headers={"Idempotency-Key": "again"})
    assert repeated.headers["idempotency-replayed"] == "true"
    assert repeated.json()["id"] == answer.json()["id"]


async def test_a_retry_is_of_what_failed_of_a_kind_that_takes_it_and_of_nothing_that_is_at_work(
    bare_admin: httpx.AsyncClient, owner: httpx.AsyncClient, own: str, begin: Begin
) -> None:
    running, failed, once = [await begin(own, kind, kind) for kind in ("holding", "failing", "once")]
    for job in (failed, once):
        await bare_admin.get(f"/v1/jobs/{job}", params={"wait": 30})

    async def refused(job: str) -> str:
        answer = await bare_admin.post(f"/v1/jobs/{job}/retry")
        assert answer.status_code == 409
        return str(answer.json()["code"])

    assert await refused(running) == "job_not_failed"
    assert await refused(once) == "job_not_repeatable"
    await begin(own, "failing", "failing", later=True)
    assert await refused(failed) == "job_running"
    assert (await owner.post(f"/v1/jobs/{failed}/retry")).status_code == 403
