"""Whether a cluster could run an image: every gate asked, before anything is asked of the cluster. Changes nothing."""

from collections.abc import Mapping

from service.access import authz
from service.access.actions import Action
from service.access.authz import Caller, Target
from service.clusters.clusters import Clusters
from service.gates.findings import Finding, worst
from service.gates.gates import ask_all
from service.gates.subject import Subject
from service.models.preflights import Preflight, PreflightCheck
from service.models.references import Reference
from service.registry.registries import Registries


class Preflights:
    def __init__(self, *, registries: Registries, clusters: Clusters) -> None:
        self._registries = registries
        self._clusters = clusters

    async def check(
        self, caller: Caller, cluster: str, registry: str | None, image: Reference, namespace: str
    ) -> Preflight:
        """Every gate with its verdict.

        :raises NotFoundError: there is no such cluster, registry or repository that the caller may know of.
        """
        home = self._clusters.registry_of(cluster)
        authz.require(caller, Action.DEPLOYMENT_READ, Target(cluster=cluster, namespace=namespace))
        chosen = self._registries.find(registry or home)
        authz.require(caller, Action.REPOSITORY_READ, Target(chosen.name, image.repository))
        subject = Subject(
            registries=self._registries,
            clusters=self._clusters,
            caller=caller,
            cluster=cluster,
            namespace=namespace,
            registry=chosen,
            image=image,
        )
        return _to_preflight(subject, await ask_all(subject))


def _to_preflight(subject: Subject, findings: Mapping[str, Finding]) -> Preflight:
    return Preflight(
        cluster=subject.cluster.name,
        namespace=subject.namespace,
        image=str(subject.image),
        verdict=worst([one.verdict for one in findings.values()]),
        checks=[
            PreflightCheck(
                name=name, verdict=one.verdict, detail=one.reason, advice=one.advice, evidence=dict(one.evidence)
            )
            for name, one in findings.items()
        ],
    )
