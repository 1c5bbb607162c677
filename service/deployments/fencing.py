"""What a rollout must not write over: objects of a newer generation, and those that are not ours."""

from service.base.errors import ConflictError
from service.deployments.record import DeploymentRecord
from service.deployments.store import DeploymentStore
from service.deployments.workloads import Object, deployment_of, generation_of, is_ours
from service.operations.jobs.values import LostError


class Fence:
    """Compares an object as it was read with the deployment that is about to write it."""

    def __init__(self, *, store: DeploymentStore) -> None:
        self._store = store

    async def refuse_newer(self, record: DeploymentRecord, present: Object) -> None:
        """:raises LostError: superseded. :raises ConflictError: the object was written by one we know nothing of."""
        generation = generation_of(present)
        if generation <= record.generation or deployment_of(present) == record.id:
            return
        if not await self._store.is_newest(record.place, record.generation):
            raise LostError(record.id)
        raise ConflictError(
            f"{record.name} has generation {generation} and this is {record.generation}: another installation deployed "
            "it, or this database is older than the cluster. Deploy it anew, which counts on from there.",
            code="generation_ahead",
        )


def refuse_foreign(record: DeploymentRecord, present: Object, kind: str) -> None:
    """:raises ConflictError: others made it, and it is not to be adopted (`object_not_ours`)."""
    if not is_ours(present) and not record.is_adopting:
        raise not_ours(kind, record.name)


def not_ours(kind: str, name: str) -> ConflictError:
    return ConflictError(
        f"There is a {kind} {name} that wharfinger did not make; an admin may adopt it.", code="object_not_ours"
    )


def gone(kind: str, name: str) -> ConflictError:
    return ConflictError(f"{kind} {name} was deleted by somebody else.", code="object_gone")
