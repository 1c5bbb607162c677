"""Everything a process has, built once: the database, the AWS clients, the services."""

import asyncio
import contextlib
import math
from dataclasses import dataclass

from service.audit import Audit
from service.bootstrap import adopt_key
from service.clients.aws import Aws
from service.clients.broker import Broker
from service.clients.cloudtrail import CloudTrail
from service.clients.ecr import Ecr
from service.clients.ecr_images import EcrImages
from service.clients.ecr_policies import EcrPolicies
from service.clients.iam import Iam
from service.clock import new_id
from service.cloudtrail_witness import CloudTrailWitness
from service.clusters import Clusters
from service.db import Database
from service.deployment_checks import DeploymentChecks
from service.deployment_store import DeploymentStore
from service.deployments import Deployments
from service.errors import DatabaseError
from service.identity import Identity
from service.images import Images
from service.keys import Keys
from service.ledger import Ledger
from service.operations import Operations
from service.policies import Policies
from service.preflight import Preflights
from service.references import References
from service.registries import Registries
from service.repositories import Repositories
from service.repository_checks import Regions
from service.rollout_steps import Steps
from service.rollouts import Rollouts
from service.settings import Settings
from service.settlement import Settlement
from service.telemetry import POOL, UNSETTLED
from service.tokens import Tokens
from service.write_probe import WriteProbe

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
    settlement: Settlement
    registries: Registries
    repositories: Repositories
    images: Images
    policies: Policies
    tokens: Tokens
    clusters: Clusters
    preflights: Preflights
    deployments: Deployments
    _ledger: Ledger
    _rollouts: Rollouts
    _aws: Aws
    _sweep: asyncio.Task[None] | None = None

    @classmethod
    async def open(cls, settings: Settings) -> "Container":
        database = Database(settings)
        aws = Aws(settings.registries, settings.deadlines)
        clients = await aws.open()
        ledger = Ledger(database=database, remember=settings.deadlines.idempotency)
        operations = Operations(ledger=ledger)
        registries = Registries(
            clients={name: Ecr(client) for name, client in clients.items()}, default=settings.default_registry
        )
        images = {name: EcrImages(client) for name, client in clients.items()}
        references = References(registries=registries, images=images)
        policies = {name: EcrPolicies(client) for name, client in clients.items()}
        clusters = Clusters(
            settings=settings.clusters,
            registries=clients,
            default=settings.default_registry,
            own_namespace=settings.own_namespace,
        )
        store = DeploymentStore(database=database, owner=new_id(), lease=settings.rollouts.lease)
        rollouts = Rollouts(
            store=store,
            steps=Steps(database=database, ledger=ledger, store=store, clusters=clusters),
            lease=settings.rollouts.lease,
            keep=settings.rollouts.keep,
        )
        return cls(
            settings=settings,
            database=database,
            write_probe=WriteProbe(database=database, within=settings.database.timeout.total_seconds()),
            identity=Identity(database=database),
            keys=Keys(
                database=database,
                operations=operations,
                registries=list(clients),
                clusters=[one.name for one in settings.clusters],
            ),
            audit=Audit(database=database),
            settlement=Settlement(
                ledger=ledger,
                operations=operations,
                grace=settings.deadlines.settle_grace,
                interval=settings.deadlines.sweep_interval,
                second_look=settings.deadlines.second_look,
                longest=settings.deadlines.request,
                witness=CloudTrailWitness(
                    clients={name: CloudTrail(client) for name, client in clients.items()},
                    patience=settings.deadlines.cloudtrail,
                ),
            ),
            registries=registries,
            repositories=Repositories(registries=registries, operations=operations),
            images=Images(
                registries=registries,
                clients=images,
                references=references,
                operations=operations,
            ),
            policies=Policies(
                registries=registries,
                clients=policies,
                operations=operations,
            ),
            tokens=Tokens(
                registries=registries,
                brokers={name: Broker(client) for name, client in clients.items()},
                operations=operations,
            ),
            clusters=clusters,
            preflights=Preflights(
                registries=registries,
                images=images,
                references=references,
                clusters=clusters,
                iams={name: Iam(client) for name, client in clients.items()},
                policies=policies,
                regions=Regions(registries=registries, images=images),
            ),
            deployments=Deployments(
                registries=registries,
                clusters=clusters,
                checks=DeploymentChecks(registries=registries, images=images, references=references, clusters=clusters),
                store=store,
                rollouts=rollouts,
                operations=operations,
            ),
            _ledger=ledger,
            _rollouts=rollouts,
            _aws=aws,
        )

    async def start(self) -> None:
        """Adopt the bootstrap key, if one is set, and begin the background work.

        :raises StartupError: the file of the bootstrap key can't be read, or has no key.
        """
        await adopt_key(self.settings, self.keys)
        self._sweep = asyncio.create_task(self.settlement.run())
        if self.settings.clusters:
            self._rollouts.start()

    async def observe(self) -> None:
        """Bring the figures up to date that are read off and not counted."""
        POOL.labels("in_use").set(self.database.connections_in_use)
        POOL.labels("limit").set(self.settings.database.pool_size)
        try:
            UNSETTLED.set(await self._ledger.count_unsettled())
        except DatabaseError:
            UNSETTLED.set(math.nan)

    async def close(self) -> None:
        if self._sweep:
            self.settlement.stop()
            # Not cancelled at once: a driver's thread that is cut off answers to a loop that is gone.
            with contextlib.suppress(asyncio.CancelledError, TimeoutError):
                await asyncio.wait_for(self._sweep, _LAST_SWEEP_SECONDS)
        await self._rollouts.close()
        await self.identity.close()
        await self.clusters.close()
        await self._aws.close()
        await self.database.close()
