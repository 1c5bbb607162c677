"""Whether a cluster could run an image: looked into before anything is asked of it. Changes nothing."""

import asyncio

from service.access import authz
from service.access.actions import Action
from service.access.authz import Caller, Target
from service.base.errors import ClusterPermissionError, NotFoundError, WharfingerError
from service.base.tasks import all_of
from service.clients.eks import Eks
from service.clients.registry import Registry
from service.clusters.clusters import Clusters
from service.clusters.platforms import are_unfit, built_for, fitting, platforms_of
from service.gates.checks import Finding, settled, tripped, worst
from service.gates.node_checks import check_roles, find_roles
from service.gates.repository_checks import Regions, check_policy
from service.models.preflights import Preflight, Verdict
from service.models.references import Reference
from service.registry import references
from service.registry.registries import Registries

_WRITTEN = (("apps", "deployments"), ("", "services"))
_VERBS = ("get", "watch", "create", "patch", "delete")

_PROBE = {
    "apiVersion": "v1",
    "kind": "Service",
    "metadata": {"name": "wharfinger-preflight"},
    "spec": {"ports": [{"port": 80}]},
}
"""What is asked for in a dry run."""

_NO_ACCOUNT = Finding(
    Verdict.UNKNOWN,
    "The cluster is not one of EKS: as whom and from where its nodes pull, AWS does not know.",
    "Give the service account of the pods an imagePullSecret for this registry, or the nodes a credential provider.",
)


class Preflights:
    """Looks into clusters."""

    def __init__(self, *, registries: Registries, clusters: Clusters) -> None:
        self._registries = registries
        self._clusters = clusters
        self._regions = Regions(registries=registries)

    async def check(
        self, caller: Caller, cluster: str, registry: str | None, image: Reference, namespace: str
    ) -> Preflight:
        """Every check with its verdict; one that trips over an error is `failed` or `unknown` by it, and no error.

        :raises NotFoundError: there is no such cluster, registry or repository that the caller may know of.
        """
        home = self._clusters.registry_of(cluster)
        authz.require(caller, Action.DEPLOYMENT_READ, Target(cluster=cluster, namespace=namespace))
        chosen = self._registries.find(registry or home)
        authz.require(caller, Action.REPOSITORY_READ, Target(chosen.name, image.repository))
        found = await asyncio.gather(
            self._platforms(cluster, chosen, image),
            self._permissions(cluster, namespace),
            self._namespace(cluster, namespace),
            self._pulls(caller, cluster, chosen, image),
        )
        platforms_fit, may_write, is_there, pulls = found
        findings = {"platforms": platforms_fit, "permissions": may_write, "namespace": is_there, **pulls}
        return Preflight(
            cluster=cluster,
            namespace=namespace,
            image=str(image),
            verdict=worst([one.verdict for one in findings.values()]),
            checks=[one.to_check(name) for name, one in findings.items()],
        )

    async def _platforms(self, cluster: str, registry: Registry, image: Reference) -> Finding:
        try:
            await references.require(registry, image)
            _, built = await built_for(registry.images, image)
            found = await (await self._clusters.connect(cluster)).nodes()
        except WharfingerError as error:
            return tripped(error)
        nodes = platforms_of(found)
        told = ", ".join(nodes) or "none that tell their platform"
        detail = f"The image is built for {', '.join(built) or 'no platform it names'}; nodes are {told}."
        if fitting(built, nodes):
            return Finding(Verdict.OK, detail)
        verdict = Verdict.FAILED if are_unfit(found, built) else Verdict.UNKNOWN
        return Finding(verdict, detail, "Build the image for a platform of the nodes.")

    async def _permissions(self, cluster: str, namespace: str) -> Finding:
        asked = [(verb, group, resource) for group, resource in _WRITTEN for verb in _VERBS]
        try:
            kube = await self._clusters.connect(cluster)
            allowed = await all_of(kube.may(*one, namespace) for one in asked)
        except WharfingerError as error:
            return tripped(error)
        missing = [
            f"{verb} {resource}"
            for (verb, _, resource), is_allowed in zip(asked, allowed, strict=True)
            if not is_allowed
        ]
        if not missing:
            detail = f"Wharfinger may write Deployments and Services in {namespace}."
            return Finding(Verdict.OK, detail)
        detail = f"Wharfinger may not: {', '.join(missing)} in {namespace}."
        advice = "Put wharfinger's role into the group of deploy/cluster/access.yaml by its access entry, bound here."
        return Finding(Verdict.FAILED, detail, advice)

    async def _namespace(self, cluster: str, namespace: str) -> Finding:
        """By what a deploy does there: to read namespaces is a right that it does not need."""
        try:
            kube = await self._clusters.connect(cluster)
            await kube.apply(_PROBE, namespace, force=False, dry_run=True)
        except NotFoundError as error:
            return Finding(Verdict.FAILED, error.detail, f"Make it: kubectl create namespace {namespace}")
        except ClusterPermissionError as error:
            return Finding(Verdict.UNKNOWN, error.detail, "See the check `permissions`.")
        except WharfingerError as error:
            return tripped(error)
        return Finding(Verdict.OK, f"Objects can be made in {namespace}.")

    async def _pulls(self, caller: Caller, cluster: str, registry: Registry, image: Reference) -> dict[str, Finding]:
        """Whether the nodes are let in, by what each side allows, and from how far."""
        eks = self._clusters.eks(cluster)
        if eks is None:
            return dict.fromkeys(("node_roles", "repository_policy", "region"), _NO_ACCOUNT)
        home = self._registries.find(self._clusters.registry_of(cluster))
        region, (node_roles, policy) = await asyncio.gather(
            self._regions.check(caller, registry, image, home),
            _sides(eks, home, registry, image.repository),
        )
        return {"node_roles": node_roles, "repository_policy": policy, "region": region}


async def _sides(eks: Eks, home: Registry, registry: Registry, repository: str) -> tuple[Finding, Finding]:
    nodes, image = home.settings, registry.settings
    arn = image.repository_arn(repository)
    roles, policy = await asyncio.gather(find_roles(eks), settled(registry.policies.get(repository)))
    if isinstance(policy, WharfingerError):
        return await check_roles(home.iam, roles, arn), tripped(policy)
    own_policy = policy if nodes.account_id == image.account_id else None
    granted = check_policy(policy, repository, image, nodes.account_id, sorted(roles.users))
    return await check_roles(home.iam, roles, arn, own_policy), granted
