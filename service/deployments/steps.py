"""The steps of a rollout, each recorded, and idempotent: a crash or a replica that was paused may begin one twice."""

from collections.abc import Mapping
from functools import partial

from service.access.actions import Step
from service.clusters.clusters import Clusters
from service.deployments.fencing import gone
from service.deployments.objects import Objects
from service.deployments.record import DeploymentRecord
from service.deployments.workloads import (
    DEPLOYMENT_ANNOTATION,
    GENERATION_ANNOTATION,
    Object,
    deployment,
    service,
    service_selector,
)
from service.operations.calls import Json
from service.operations.jobs.work import Work


class Steps:
    def __init__(self, *, objects: Objects, clusters: Clusters) -> None:
        self._objects = objects
        self._clusters = clusters

    async def apply_deployment(self, work: Work, record: DeploymentRecord) -> Object:
        """Gives the Deployment as it was applied, or as it is now where that was done before."""
        kube = await self._clusters.connect(record.place.cluster)
        applied: Object | None = None

        async def act() -> Json:
            nonlocal applied
            applied = await self._objects.apply(kube, record, "Deployment", partial(_deployment_of, record))
            return {"generation": applied["metadata"].get("generation"), "digest": record.digest}

        request = {"image_uri": record.image_uri, "digest": record.digest}
        await work.step(Step.APPLY_DEPLOYMENT, request, act, within=record.spec.progress_deadline)
        present = applied or await kube.find("Deployment", record.place.namespace, record.name)
        if present is None:
            raise gone("Deployment", record.name)
        return present

    async def apply_service(self, work: Work, record: DeploymentRecord, labels: Mapping[str, str]) -> None:
        """In front of the pods of the Deployment with these match labels."""
        kube = await self._clusters.connect(record.place.cluster)
        chosen = service_selector(record.name, labels, is_adopting=record.is_adopting)

        async def act() -> Json:
            applied = await self._objects.apply(kube, record, "Service", lambda _: _service_of(record, chosen))
            return {"ports": applied["spec"].get("ports")}

        await work.step(Step.APPLY_SERVICE, {"port": record.spec.port}, act, within=record.spec.progress_deadline)

    async def delete(self, work: Work, record: DeploymentRecord, step: Step, kind: str) -> None:
        kube = await self._clusters.connect(record.place.cluster)

        async def act() -> Json:
            return {"deleted": await self._objects.delete(kube, record, kind)}

        await work.step(step, {"kind": kind, "name": record.name}, act, within=record.spec.progress_deadline)


def _deployment_of(record: DeploymentRecord, present: Object | None) -> Object:
    return deployment(record.name, record.spec, record.image_uri, _annotations(record), present)


def _service_of(record: DeploymentRecord, chosen: Mapping[str, str]) -> Object:
    return service(record.name, record.spec, _annotations(record), chosen)


def _annotations(record: DeploymentRecord) -> dict[str, str]:
    return {DEPLOYMENT_ANNOTATION: record.id, GENERATION_ANNOTATION: str(record.generation)}
