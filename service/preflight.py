"""Whether a cluster could run an image: looked into before anything is asked of it. Changes nothing."""

import asyncio
from collections.abc import Mapping
from enum import StrEnum

from service import authz
from service.authz import Action, Caller, Target
from service.clients.ecr_images import EcrImages
from service.clusters import Clusters, platforms
from service.errors import WharfingerError
from service.registries import Registries
from service.resources import Model, Reference


class Verdict(StrEnum):
    OK = "ok"
    FAILED = "failed"
    UNKNOWN = "unknown"


class Check(Model):
    """One thing that was looked into; `advice` is what to do where it is not ok."""

    name: str
    verdict: Verdict
    detail: str
    advice: str | None


class Preflight(Model):
    cluster: str
    namespace: str
    image: str
    verdict: Verdict
    checks: list[Check]


_WRITTEN = (("apps", "deployments"), ("", "services"))
_VERBS = ("get", "list", "watch", "create", "patch", "delete")


class Preflights:
    def __init__(self, *, registries: Registries, images: Mapping[str, EcrImages], clusters: Clusters) -> None:
        self._registries = registries
        self._images = images
        self._clusters = clusters

    async def check(
        self, caller: Caller, cluster: str, registry: str | None, image: Reference, namespace: str
    ) -> Preflight:
        """Every check with its verdict; one that trips over an error is `failed` or `unknown` by it, and no error.

        :raises NotFoundError: there is no such cluster, registry or repository that the caller may know of.
        """
        home = self._clusters.registry_of(cluster)
        chosen = self._registries.find(registry or home).name
        authz.require(caller, Action.DEPLOYMENT_READ, Target(cluster=cluster, namespace=namespace))
        authz.require(caller, Action.REPOSITORY_READ, Target(chosen, image.repository))
        checks = await asyncio.gather(
            self._platforms(cluster, chosen, image),
            self._permissions(cluster, namespace),
            self._reach(chosen, home),
            self._node_roles(cluster),
        )
        return Preflight(
            cluster=cluster, namespace=namespace, image=str(image), verdict=_worst(list(checks)), checks=list(checks)
        )

    async def _platforms(self, cluster: str, registry: str, image: Reference) -> Check:
        client, name = self._images[registry], "platforms"
        try:
            found = await client.describe(image)
            manifest = await client.manifest(Reference(image.repository, None, found.digest))
            built_for = await client.platforms(image.repository, manifest)
            nodes = platforms(await (await self._clusters.connect(cluster)).nodes())
        except WharfingerError as error:
            return _tripped(name, error)
        fitting = {"/".join(one.split("/")[:2]) for one in built_for} & set(nodes)
        detail = (
            f"The image is built for {', '.join(built_for) or 'no platform it names'}; nodes are {', '.join(nodes)}."
        )
        if fitting:
            return Check(name=name, verdict=Verdict.OK, detail=detail, advice=None)
        verdict = Verdict.FAILED if built_for and nodes else Verdict.UNKNOWN
        return Check(name=name, verdict=verdict, detail=detail, advice="Build the image for a platform of the nodes.")

    async def _permissions(self, cluster: str, namespace: str) -> Check:
        name = "permissions"
        asked = [(verb, group, resource) for group, resource in _WRITTEN for verb in _VERBS]
        try:
            kube = await self._clusters.connect(cluster)
            allowed = await asyncio.gather(*(kube.may(*one, namespace) for one in asked))
        except WharfingerError as error:
            return _tripped(name, error)
        missing = [
            f"{verb} {resource}"
            for (verb, _, resource), is_allowed in zip(asked, allowed, strict=True)
            if not is_allowed
        ]
        if not missing:
            detail = f"Wharfinger may write Deployments and Services in {namespace}."
            return Check(name=name, verdict=Verdict.OK, detail=detail, advice=None)
        detail = f"Wharfinger may not: {', '.join(missing)} in {namespace}."
        advice = "Give wharfinger's role an access entry with AmazonEKSEditPolicy for this namespace."
        return Check(name=name, verdict=Verdict.FAILED, detail=detail, advice=advice)

    async def _reach(self, registry: str, home: str | None) -> Check:
        name, there = "registry", self._registries.find(registry).settings
        here = self._registries.find(home).settings if home else None
        if here and (here.account_id, here.region) == (there.account_id, there.region):
            return Check(name=name, verdict=Verdict.OK, detail="Same account and Region as the cluster.", advice=None)
        detail = f"The image is in account {there.account_id}, Region {there.region}, other than the cluster's."
        advice = "Let the nodes' account pull by a repository policy, and replicate to the cluster's Region."
        return Check(name=name, verdict=Verdict.UNKNOWN, detail=detail, advice=advice)

    async def _node_roles(self, cluster: str) -> Check:
        detail = f"Whether the node roles of {cluster} may pull is not looked into yet."
        advice = "Attach AmazonEC2ContainerRegistryPullOnly to each node role."
        return Check(name="node_roles", verdict=Verdict.UNKNOWN, detail=detail, advice=advice)


def _tripped(name: str, error: WharfingerError) -> Check:
    verdict = Verdict.UNKNOWN if error.retryable or error.code == "aws_permission_missing" else Verdict.FAILED
    return Check(name=name, verdict=verdict, detail=error.detail, advice=None)


def _worst(checks: list[Check]) -> Verdict:
    found = {one.verdict for one in checks}
    return next((one for one in (Verdict.FAILED, Verdict.UNKNOWN) if one in found), Verdict.OK)
