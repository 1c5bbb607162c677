"""A document that a registry has once: a made-up kind of it, by the same routes as those that each repository has."""

import hashlib
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Annotated, Any

import httpx
import pytest
import pytest_asyncio
from fastapi import APIRouter, FastAPI
from pydantic import Field
from starlette.types import ASGIApp
from typing_extensions import TypeAliasType

from api.app import create
from api.http.documents import DocumentRoutes, add_routes
from api.http.routing import KeyedRoute
from service.access.actions import Action
from service.base.clock import running
from service.base.errors import AnswerLostError, InvalidError
from service.base.settings import RegistrySettings, Settings
from service.clients.aws.lengths import Length, length_of
from service.clients.aws.sessions import RegistryClients
from service.clients.aws.translation import translated
from service.container import Container
from service.operations.document_kinds import Change, Document, DocumentClient, DocumentKind
from service.operations.documents import Documents
from service.operations.settlement import Settlement
from tests.conftest import Connect, MakeKey
from tests.marks import only_sqlite
from tests.opened import opened
from tests.service.machine import Machine

pytestmark = [pytest.mark.asyncio, only_sqlite]

PATH = "/v1/motto"
MOTTO, OTHER = {"words": ["wharf"]}, {"words": ["keel"]}
Motto = TypeAliasType("Motto", Annotated[dict[str, Any], Field(description="What a registry goes by")])


@dataclass(slots=True)
class Aws:
    """Keeps a motto for each registry, in capitals."""

    texts: dict[str, str] = field(default_factory=dict)
    length: Length = field(default=Length(14, 60))
    lost: list[str] = field(default_factory=list)
    """What becomes of the next changes whose answers are lost: they are made, or not."""

    async def get(self, name: str, /) -> Document | None:
        return dict(json.loads(self.texts[name])) if name in self.texts else None

    async def put(self, name: str, text: str, /) -> Document:
        if (fate := self._fate()) != "not made":
            self.texts[name] = text.upper().replace("WORDS", "words")
        self._answer(fate)
        return dict(json.loads(self.texts[name]))

    async def delete(self, name: str, /) -> None:
        if (fate := self._fate()) != "not made":
            del self.texts[name]
        self._answer(fate)

    def _fate(self) -> str | None:
        return self.lost.pop() if self.lost else None

    def _answer(self, fate: str | None) -> None:
        if fate:
            raise AnswerLostError("It was lost.")


class Lifecycles:
    """At ECR, whose model says how short a lifecycle policy may be."""

    def __init__(self, clients: RegistryClients) -> None:
        self._ecr = clients.ecr

    @property
    def length(self) -> Length:
        return length_of(self._ecr, "PutLifecyclePolicy", "lifecyclePolicyText")

    async def get(self, _: str, /) -> Document | None:
        return None

    async def put(self, name: str, text: str, /) -> Document:
        with translated("PutLifecyclePolicy", repository=name):
            put = await self._ecr.put_lifecycle_policy(repositoryName=name, lifecyclePolicyText=text)
        return dict(json.loads(put["lifecyclePolicyText"]))

    async def delete(self, _: str, /) -> None:
        """There is none."""


def parse(content: bytes, _: RegistrySettings) -> Document:
    document = json.loads(content)
    if set(document) != {"words"}:
        raise InvalidError("That is no motto.", code="invalid_policy")
    return dict(document)


def hash_of(document: Document) -> str:
    return hashlib.sha256(json.dumps(document).lower().encode()).hexdigest()


@pytest.fixture
def at_aws() -> Aws:
    return Aws()


def kind_of(at_aws: DocumentClient | None, *, is_deleted: bool = True) -> DocumentKind:
    """:param at_aws: what keeps it; None: ECR, as a lifecycle policy."""
    return DocumentKind(
        noun="policy",
        is_of_registry=True,
        read=Action.REPOSITORY_READ,
        put=Change(Action.POLICY_PUT_FOREIGN, "PutMotto"),
        delete=Change(Action.POLICY_DELETE, "DeleteMotto") if is_deleted else None,
        client=(lambda _: at_aws) if at_aws else Lifecycles,
        parse=parse,
        hash_of=hash_of,
    )


def app_with(kind: DocumentKind, settings: Settings) -> FastAPI:
    router = APIRouter(tags=["policies"], route_class=KeyedRoute)
    texts = {"on_get": "It.", "on_put": "It.", "on_delete": "It."}
    add_routes(router, DocumentRoutes(kind=kind, path=PATH, name="motto", schema=Motto, example=MOTTO, **texts))
    app = create(settings)
    app.include_router(router)
    return app


@pytest.fixture
def machine() -> Machine:
    return Machine()


@pytest_asyncio.fixture
async def services(at_aws: Aws, settings: Settings, machine: Machine) -> AsyncIterator[tuple[ASGIApp, Container]]:
    kind = kind_of(at_aws)
    deadlines = settings.deadlines.model_copy(update={"second_look": timedelta(seconds=10)})
    settings = settings.model_copy(update={"deadlines": deadlines})
    with running(machine.boot()):
        async with opened(app_with(kind, settings), settings) as (app, container):
            of_kind = Documents(kind, find=container.registries.find, operations=container.operations)
            container.documents[kind] = of_kind
            container.operations.settles(of_kind.settling)
            yield app, container


@pytest.fixture
def app(services: tuple[ASGIApp, Container]) -> ASGIApp:
    return services[0]


@pytest.fixture
def settlement(services: tuple[ASGIApp, Container]) -> Settlement:
    return services[1].settlement


async def newest(admin: httpx.AsyncClient) -> dict[str, Any]:
    return dict((await admin.get("/v1/audit", params={"limit": 1})).json()["items"][0])


async def test_it_is_put_found_and_deleted_without_a_name(
    admin: httpx.AsyncClient, viewer: httpx.AsyncClient, at_aws: Aws
) -> None:
    put = await admin.put(PATH, json=MOTTO)
    assert (put.status_code, put.json()) == (200, {"words": ["WHARF"]})
    row = await newest(admin)
    assert (row["action"], row["target"], row["status"]) == ("policy.put_foreign", "local", "succeeded")
    found = await viewer.get(PATH)
    assert (found.json(), found.headers["ETag"]) == (put.json(), put.headers["ETag"])
    assert (await viewer.get(PATH, params={"registry": "local-us"})).status_code == 404
    assert [*at_aws.texts] == ["local"]
    assert (await admin.delete(PATH)).status_code == 204
    gone = await viewer.get(PATH)
    assert (gone.status_code, gone.json()["code"], "'local'" in gone.json()["detail"]) == (
        404,
        "policy_not_found",
        True,
    )


async def test_only_a_binding_to_all_repositories_reaches_it(
    app: ASGIApp, connect: Connect, make_key: MakeKey, at_aws: Aws
) -> None:
    of_team = connect(app, await make_key("admin", repository="team"))
    assert (await of_team.get(PATH)).status_code == 403
    assert (await of_team.put(PATH, json=MOTTO)).status_code == 403
    assert (await of_team.delete(PATH)).status_code == 403
    assert at_aws.texts == {}


async def test_it_is_changed_only_as_it_was_seen(admin: httpx.AsyncClient) -> None:
    first = {"If-Match": (await admin.put(PATH, json=MOTTO)).headers["ETag"]}
    changed = await admin.put(PATH, json=OTHER, headers=first)
    late, late_delete = await admin.put(PATH, json=MOTTO, headers=first), await admin.delete(PATH, headers=first)
    assert [one.status_code for one in (changed, late, late_delete)] == [200, 412, 412]
    assert (await admin.delete(PATH, headers={"If-Match": changed.headers["ETag"]})).status_code == 204


async def test_it_is_tried_without_a_change(admin: httpx.AsyncClient, at_aws: Aws) -> None:
    dry = {"dry_run": "true"}
    created = await admin.put(PATH, json=MOTTO, params=dry)
    assert (created.json()["change"], at_aws.texts) == ("created", {})
    await admin.put(PATH, json=MOTTO)
    same, other = await admin.put(PATH, json=MOTTO, params=dry), await admin.put(PATH, json=OTHER, params=dry)
    deleted = await admin.delete(PATH, params=dry)
    assert [one.json()["change"] for one in (same, other, deleted)] == ["none", "replaced", "deleted"]
    assert at_aws.texts == {"local": '{"words":["WHARF"]}'}


@pytest.mark.parametrize("method", ["PUT", "DELETE"])
async def test_a_change_whose_answer_is_lost_is_found_at_the_first_look(
    admin: httpx.AsyncClient, settlement: Settlement, machine: Machine, at_aws: Aws, method: str
) -> None:
    await admin.put(PATH, json=MOTTO)
    at_aws.lost = ["made"]
    lost = await admin.request(method, PATH, json=OTHER if method == "PUT" else None)
    assert (lost.status_code, lost.json()["code"]) == (503, "outcome_unknown")
    machine.wait(timedelta(minutes=1))
    assert await settlement.sweep() == 1
    assert ((await newest(admin))["status"], at_aws.lost) == ("succeeded", [])


@pytest.mark.parametrize("method", ["PUT", "DELETE"])
async def test_one_that_was_not_made_is_seen_twice_before_it_is_said(
    admin: httpx.AsyncClient, settlement: Settlement, machine: Machine, at_aws: Aws, method: str
) -> None:
    await admin.put(PATH, json=MOTTO)
    at_aws.lost = ["not made"]
    assert (await admin.request(method, PATH, json=OTHER if method == "PUT" else None)).status_code == 503
    machine.wait(timedelta(minutes=1))
    assert await settlement.sweep() == 0
    machine.wait(timedelta(seconds=11))
    assert await settlement.sweep() == 1
    assert (await newest(admin))["status"] == "failed"


async def test_the_contract_has_its_paths_without_a_name(settings: Settings, at_aws: Aws) -> None:
    described = app_with(kind_of(at_aws), settings).openapi()["paths"][PATH]
    assert {method: one["operationId"] for method, one in described.items()} == {
        "get": "get_motto",
        "put": "put_motto",
        "delete": "delete_motto",
    }
    named = [one["name"] for one in described["put"]["parameters"]]
    assert named == ["registry", "dry_run", "idempotency-key", "if-match"]
    assert described["get"]["summary"] == "Get the policy"


async def test_what_is_never_deleted_has_neither_route_nor_settling_for_it(
    settings: Settings, services: tuple[ASGIApp, Container], at_aws: Aws
) -> None:
    kind = kind_of(at_aws, is_deleted=False)
    assert set(app_with(kind, settings).openapi()["paths"][PATH]) == {"get", "put"}
    _, container = services
    of_kind = Documents(kind, find=container.registries.find, operations=container.operations)
    assert set(of_kind.settling) == {Action.POLICY_PUT_FOREIGN}


@pytest.mark.parametrize(("motto", "says"), [([], "has 12 characters"), (["wharf"] * 9, "has 83 characters")])
async def test_one_of_a_length_that_aws_does_not_take_is_refused(
    admin: httpx.AsyncClient, at_aws: Aws, motto: list[str], says: str
) -> None:
    for params in ({}, {"dry_run": "true"}):
        refused = await admin.put(PATH, json={"words": motto}, params=params)
        assert (refused.status_code, refused.json()["code"]) == (422, "invalid_body")
        assert refused.json()["errors"] == [{"path": "body", "reason": f"{says}; AWS takes 14 to 60"}]
    assert at_aws.texts == {}


async def test_one_that_is_too_short_for_the_sdk_is_the_callers_mistake_and_no_defect(
    settings: Settings, connect: Connect, make_key: MakeKey
) -> None:
    kind = kind_of(None)
    async with opened(app_with(kind, settings), settings) as (app, container):
        of_kind = Documents(kind, find=container.registries.find, operations=container.operations)
        container.documents[kind] = of_kind
        container.operations.settles(of_kind.settling)
        refused = await connect(app, await make_key("admin")).put(PATH, json=MOTTO)
    assert (refused.status_code, refused.json()["code"]) == (422, "invalid_body")
    assert refused.json()["errors"] == [{"path": "body", "reason": "has 19 characters; AWS takes 100 to 30,720"}]
