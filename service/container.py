"""Everything a process has, built once: the database, the AWS clients, the services."""

import asyncio
import contextlib
import math
from dataclasses import dataclass

from service.access.identity import Identity
from service.base.clock import new_id
from service.base.db import Database
from service.base.errors import DatabaseError
from service.base.settings import JobsWork, Settings
from service.base.telemetry import POOL, UNSETTLED
from service.base.write_probe import WriteProbe
from service.clients.aws.sessions import Aws
from service.clusters.clusters import Clusters
from service.credentials.bootstrap import adopt_key
from service.credentials.keys import Keys
from service.credentials.tokens import Tokens
from service.deployments.deployments import Deployments
from service.deployments.rollouts import Rollouts
from service.gates.preflight import Preflights
from service.operations.audit import Audit
from service.operations.core import Core
from service.operations.document_kinds import DocumentKind
from service.operations.documents import Documents
from service.operations.jobs.jobs import Jobs
from service.operations.jobs.requests import JobRequests
from service.operations.jobs.schedules import Schedules
from service.operations.ledger import Ledger
from service.operations.operations import Operations
from service.operations.settlement import Settlement
from service.registry.documents import DOCUMENT_KINDS
from service.registry.images import Images
from service.registry.registries import Registries
from service.registry.repositories import Repositories

_LAST_SWEEP_SECONDS = 5.0


@dataclass(slots=True)
class Container:
    """Made by `open`; the fields are what requests and background work use."""

    settings: Settings
    database: Database
    write_probe: WriteProbe
    identity: Identity
    keys: Keys
    audit: Audit
    operations: Operations
    settlement: Settlement
    registries: Registries
    repositories: Repositories
    images: Images
    documents: dict[DocumentKind, Documents]
    tokens: Tokens
    clusters: Clusters
    preflights: Preflights
    deployments: Deployments
    jobs: Jobs
    job_requests: JobRequests
    schedules: Schedules
    _ledger: Ledger
    _rollouts: Rollouts
    _aws: Aws
    _sweep: asyncio.Task[None] | None = None

    @classmethod
    async def open(cls, settings: Settings) -> "Container":
        core = Core.open(settings)
        database, operations = core.database, core.operations
        aws = Aws(settings.registries, settings.deadlines)
        registries = Registries(clients=await aws.open(), default=settings.registry_by_default)
        jobs = Jobs(database=database, ledger=core.ledger, owner=new_id())
        clusters = Clusters(settings=settings.clusters, registries=registries, own_namespace=settings.own_namespace)
        rollouts = Rollouts.of(settings.rollouts, core, clusters=clusters, jobs=jobs)
        opened = cls(
            settings=settings,
            database=database,
            write_probe=WriteProbe(database=database, within=settings.database.timeout.total_seconds()),
            identity=Identity(database=database),
            keys=Keys.of(settings, core),
            audit=Audit(database=database),
            operations=operations,
            settlement=Settlement.of(settings.deadlines, core, lambda name: registries.find(name).cloudtrail),
            registries=registries,
            repositories=Repositories(registries=registries, operations=operations),
            images=Images(registries=registries, operations=operations),
            documents={kind: Documents(kind, find=registries.find, operations=operations) for kind in DOCUMENT_KINDS},
            tokens=Tokens(registries=registries, operations=operations),
            clusters=clusters,
            preflights=Preflights(registries=registries, clusters=clusters),
            deployments=Deployments.of(core, registries=registries, clusters=clusters, rollouts=rollouts, jobs=jobs),
            jobs=jobs,
            schedules=Schedules(database=database, ledger=core.ledger, jobs=jobs),
            job_requests=JobRequests(jobs=jobs, operations=operations),
            _ledger=core.ledger,
            _rollouts=rollouts,
            _aws=aws,
        )
        opened._declare_settlings()
        return opened

    def _declare_settlings(self) -> None:
        for area in (self.keys, self.tokens, self.repositories, self.images, self.deployments, self.job_requests):
            self.operations.settles(area.settling)
        for documents in self.documents.values():
            self.operations.settles(documents.settling)

    async def start(self) -> None:
        """Adopt the bootstrap key, if one is set, and begin the background work.

        :raises StartupError: the file of the bootstrap key can't be read, or has no key.
        """
        await adopt_key(self.settings, self.keys)
        self._sweep = asyncio.create_task(self.settlement.run())
        if self.settings.jobs.work is not JobsWork.NO:
            self.jobs.runner.start()
        if self.settings.clusters:
            self._rollouts.start()

    async def observe(self) -> None:
        """Bring the figures up to date that are read off and not counted."""
        POOL.labels("in_use").set(self.database.connections_in_use)
        POOL.labels("limit").set(self.settings.database.pool_size)
        try:
            UNSETTLED.set(await self._ledger.count_unsettled())
            await self.jobs.observe()
        except DatabaseError:
            UNSETTLED.set(math.nan)
            self.jobs.observe_nothing()

    async def close(self) -> None:
        if self._sweep:
            self.settlement.stop()
            # Not cancelled at once: a driver's thread that is cut off answers to a loop that is gone.
            with contextlib.suppress(asyncio.CancelledError, TimeoutError):
                await asyncio.wait_for(self._sweep, _LAST_SWEEP_SECONDS)
        await self.jobs.runner.close()
        await self._rollouts.close()
        await self.identity.close()
        await self.clusters.close()
        await self._aws.close()
        await self.database.close()
