"""Writing the objects of a deployment, each only as it was read, and as long as no newer generation has written it.

One that was not there when it was read is the exception: server-side apply has no way to say "only if there is still
none". There, the lease alone holds back who was paused (`docs/decisions/0001`).
"""

from collections.abc import Callable
from typing import TYPE_CHECKING

from service.base.errors import ClusterUnavailableError
from service.clients.kube.errors import StaleError
from service.deployments.adoption import managers_taken_over
from service.deployments.fencing import Fence, refuse_foreign
from service.deployments.record import DeploymentRecord
from service.deployments.workloads import Object, is_ours

if TYPE_CHECKING:
    from service.clients.kube.client import Kube

_MOST_STALE = 20
"""How often an object may change under our hands before we begin again: controllers write to it all the time."""

Make = Callable[[Object | None], Object]
"""Gives an object as it is to become, from the one that is there."""


class Objects:
    def __init__(self, *, fence: Fence) -> None:
        self._fence = fence

    async def apply(self, kube: "Kube", record: DeploymentRecord, kind: str, make: Make) -> Object:
        """Gives the object as it is once it is applied.

        :raises LostError: a newer generation has written it.
        :raises ConflictError: it is not ours, or not of this installation.
        :raises ClusterUnavailableError: others write to it all the time.
        """
        for _ in range(_MOST_STALE):
            present = await kube.find(kind, record.place.namespace, record.name)
            made = make(present)
            try:
                if present is not None:
                    made["metadata"]["resourceVersion"] = await self._version_to_write(kube, record, present)
                return await kube.apply(made, record.place.namespace, force=record.is_forced)
            except StaleError:
                continue
        raise ClusterUnavailableError(f"{kind} {record.name} changes faster than it can be applied.")

    async def delete(self, kube: "Kube", record: DeploymentRecord, kind: str) -> bool:
        """Delete it where it is ours; says whether it was there. Raises as `apply` does."""
        for _ in range(_MOST_STALE):
            present = await kube.find(kind, record.place.namespace, record.name)
            if present is None or not is_ours(present):
                return False
            await self._fence.refuse_newer(record, present)
            try:
                await kube.delete(present)
            except StaleError:
                continue
            return True
        raise ClusterUnavailableError(f"{kind} {record.name} changes faster than it can be deleted.")

    async def _version_to_write(self, kube: "Kube", record: DeploymentRecord, present: Object) -> str:
        """Of the object as it was read; where others are to lose it, as it is with what runs in it ours."""
        await self._fence.refuse_newer(record, present)
        refuse_foreign(record, present, present["kind"])
        entries = managers_taken_over(present) if record.is_adopting else None
        ready = present if entries is None else await kube.set_managers(present, entries)
        return str(ready["metadata"]["resourceVersion"])
