"""What `/metrics` and the log tell of calls, vends, rollouts and rows that wait for their outcome."""

import math
import re
from datetime import timedelta
from pathlib import Path

import httpx
import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families
from sqlalchemy import text
from structlog.testing import capture_logs

from sandbox.faults import Kind
from sandbox.server import Sandbox
from service.base.db import Database
from service.base.settings import Settings
from service.models.audit import Status
from service.operations.ledger import Ledger
from tests.api.test_deployments import deploy
from tests.conftest import Connect, Serve
from tests.images import publish
from tests.marks import only_sqlite
from tests.service.calls import intent, make_call

pytestmark = pytest.mark.asyncio

MONITORING = Path(__file__).parents[2] / "deploy" / "kubernetes" / "monitoring"


class Figures:
    """The samples of `/metrics`, read again whenever they are asked for."""

    def __init__(self, client: httpx.AsyncClient) -> None:
        self._client = client

    async def text(self) -> str:
        return (await self._client.get("/metrics")).text

    async def value(self, name: str, **labels: str) -> float:
        """0 where there is no such sample yet, as with a counter that nothing raised."""
        families = text_string_to_metric_families(await self.text())
        samples = (sample for family in families for sample in family.samples)
        return next((one.value for one in samples if (one.name, one.labels) == (name, labels)), 0.0)


@pytest.fixture
def figures(client: httpx.AsyncClient) -> Figures:
    return Figures(client)


async def _aws_calls(figures: Figures, operation: str, outcome: str) -> float:
    return await figures.value("wharfinger_aws_calls_total", service="ecr", operation=operation, outcome=outcome)


@only_sqlite
@pytest.mark.parametrize(
    ("fault", "outcome"),
    [(None, "ok"), ("throttle", "throttled"), ("error", "failed"), ("reset", "lost")],
)
async def test_calls_to_aws_are_counted_by_outcome(
    admin: httpx.AsyncClient, aws: Sandbox, figures: Figures, fault: Kind | None, outcome: str
) -> None:
    if fault:
        aws.fault("CreateRepository", fault, times=2)
    before = await _aws_calls(figures, "CreateRepository", outcome)
    await admin.post("/v1/repositories", json={"name": "team/app"})
    assert await _aws_calls(figures, "CreateRepository", outcome) == before + 1


@only_sqlite
async def test_a_refusal_is_counted_as_one(admin: httpx.AsyncClient, figures: Figures) -> None:
    before = await _aws_calls(figures, "CreateRepository", "refused")
    for status in (201, 409):
        assert (await admin.post("/v1/repositories", json={"name": "team/app"})).status_code == status
    assert await _aws_calls(figures, "CreateRepository", "refused") == before + 1


@only_sqlite
async def test_a_throttle_is_counted_though_a_retry_made_it_good(
    admin: httpx.AsyncClient, aws: Sandbox, figures: Figures
) -> None:
    labels = {"service": "ecr", "operation": "CreateRepository"}
    before = await figures.value("wharfinger_aws_throttles_total", **labels)
    aws.fault("CreateRepository", "throttle", times=1)
    assert (await admin.post("/v1/repositories", json={"name": "team/app"})).status_code == 201
    assert await figures.value("wharfinger_aws_throttles_total", **labels) == before + 1


@only_sqlite
async def test_a_credential_is_counted_by_where_it_came_from(developer: httpx.AsyncClient, figures: Figures) -> None:
    before = [await figures.value("wharfinger_vends_total", source=source) for source in ("aws", "cache")]
    for _ in range(3):
        await developer.post("/v1/tokens", json={"repositories": ["team/app"], "actions": ["pull"]})
    after = [await figures.value("wharfinger_vends_total", source=source) for source in ("aws", "cache")]
    assert [now - then for now, then in zip(after, before, strict=True)] == [1, 2]


@only_sqlite
async def test_a_rollout_is_counted_with_what_it_asked_of_the_cluster(
    deployer: httpx.AsyncClient, aws: Sandbox, figures: Figures
) -> None:
    await publish(aws, "myapp", "1")
    applied = {"verb": "apply", "resource": "deployments", "outcome": "ok"}
    before = [
        await figures.value("wharfinger_rollouts_total", outcome="succeeded"),
        await figures.value("wharfinger_cluster_calls_total", **applied),
    ]
    assert (await deploy(deployer)).status_code == 200
    assert await figures.value("wharfinger_rollouts_total", outcome="succeeded") == before[0] + 1
    # The dry run of the acceptance, and the rollout's own.
    assert await figures.value("wharfinger_cluster_calls_total", **applied) == before[1] + 2


async def test_operations_without_an_outcome_are_counted(
    bare_settings: Settings, serve: Serve, connect: Connect, database: Database
) -> None:
    # So that the sweep with which a process begins leaves alone what is counted.
    deadlines = bare_settings.deadlines.model_copy(update={"settle_grace": timedelta(hours=1)})
    ledger = Ledger(database=database, remember=timedelta(hours=1))
    async with serve(bare_settings.model_copy(update={"deadlines": deadlines})) as app:
        figures = Figures(connect(app))
        await ledger.open(make_call(within=timedelta(hours=1)), intent())
        assert await figures.value("wharfinger_unsettled_operations") == 0
        overdue = await ledger.open(make_call(within=timedelta(seconds=-1)), intent())
        assert await figures.value("wharfinger_unsettled_operations") == 1
        await ledger.complete(overdue, Status.SUCCEEDED)
        assert await figures.value("wharfinger_unsettled_operations") == 0
        assert await figures.value("wharfinger_database_connections", state="limit") == 5


@only_sqlite
async def test_the_log_has_who_asked_and_from_where(admin: httpx.AsyncClient) -> None:
    key = (await admin.get("/v1/keys")).json()["items"][0]["id"]
    with capture_logs() as lines:
        await admin.get("/v1/registries")
        await admin.get("/v1/registries", headers={"Authorization": "Bearer none"})
    asked = [(line["key"], line["client"]) for line in lines if line["event"] == "request"]
    assert asked == [(key, "127.0.0.1"), (None, "127.0.0.1")]


@only_sqlite
async def test_what_aws_does_not_have_is_no_warning(admin: httpx.AsyncClient) -> None:
    with capture_logs() as lines:
        assert (await admin.get("/v1/repositories/team/app")).status_code == 404
    levels = {line["log_level"] for line in lines if line["event"] == "aws_refused"}
    assert levels == {"info"}


@only_sqlite
async def test_the_alerts_ask_for_figures_that_there_are(figures: Figures) -> None:
    rules = yaml.safe_load((MONITORING / "alerts.yaml").read_text())["spec"]["groups"][0]["rules"]
    asked = {name for rule in rules for name in re.findall(r"wharfinger_\w+", rule["expr"])}
    known = {line.split()[2] for line in (await figures.text()).splitlines() if line.startswith("# TYPE")}
    assert len(asked) >= 7
    assert {name.removesuffix("_bucket") for name in asked} <= known


@only_sqlite
async def test_what_can_not_be_counted_is_no_number(figures: Figures, database: Database) -> None:
    async def are_numbers() -> tuple[bool, bool]:
        unsettled = await figures.value("wharfinger_unsettled_operations")
        waiting = await figures.value("wharfinger_jobs_waiting_seconds", kind="rollout")
        return not math.isnan(unsettled), not math.isnan(waiting)

    assert await are_numbers() == (True, True)
    async with database.write() as connection:
        await connection.execute(text("ALTER TABLE jobs RENAME TO away"))
    assert await are_numbers() == (False, False)
