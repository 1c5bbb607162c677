"""Whether a deployment that is asked for is possible: the image, its platforms, and the API server's own dry run."""

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from service.access.authz import Caller
from service.base.errors import InvalidError
from service.base.tasks import all_of, both
from service.clients.registry import Registry
from service.clusters.clusters import Clusters
from service.clusters.platforms import platforms_of
from service.deployments.adoption import managers_taken_over
from service.deployments.fencing import not_ours
from service.deployments.workloads import (
    Object,
    deployment,
    is_ours,
    match_labels,
    own_annotations,
    service,
    service_selector,
)
from service.gates.findings import Finding
from service.gates.gates import pass_enforced
from service.gates.subject import Subject
from service.models.deployments import DeploymentCreate
from service.models.references import Reference
from service.operations.calls import Json
from service.registry.registries import Registries

if TYPE_CHECKING:
    from service.clients.kube.client import Kube

KINDS = ("Deployment", "Service")


@dataclass(frozen=True, slots=True)
class Checked:
    """A request that was found to be possible: the image by digest, and the objects as they would become."""

    image_uri: str
    digest: str
    checks: Json
    before: Mapping[str, Object | None]
    after: Mapping[str, Object | None]
    """None: there is none, or it goes."""


class DeploymentChecks:
    def __init__(self, *, registries: Registries, clusters: Clusters) -> None:
        self._registries = registries
        self._clusters = clusters

    async def check(self, caller: Caller, registry: Registry, asked: DeploymentCreate) -> Checked:
        """:raises WharfingerError: why it is not possible; `Deployments.create` says which."""
        subject = self._subject(caller, registry, asked)
        await subject.checked
        # All of it ends before an error is told: what goes on under the permit of a row that has failed could import.
        kube, (repository, _) = await both(subject.kube, both(subject.uri, subject.platforms))
        present, findings = await both(_present(kube, asked), pass_enforced(subject))
        before = _ours(asked, present)
        digest = (await subject.summary).digest
        uri = f"{repository}@{digest}"
        after = await _dry_run(kube, asked, uri, before)
        return Checked(uri, digest, await _kept(subject, findings), before, after)

    def _subject(self, caller: Caller, registry: Registry, asked: DeploymentCreate) -> Subject:
        return Subject(
            registries=self._registries,
            clusters=self._clusters,
            caller=caller,
            cluster=asked.cluster,
            namespace=asked.namespace,
            registry=registry,
            image=Reference.parse(asked.image),
            spec=asked,
        )


async def _present(kube: "Kube", asked: DeploymentCreate) -> Mapping[str, Object | None]:
    present = await all_of(kube.find(kind, asked.namespace, asked.name) for kind in KINDS)
    return dict(zip(KINDS, present, strict=True))


def _ours(asked: DeploymentCreate, present: Mapping[str, Object | None]) -> Mapping[str, Object | None]:
    """What a deploy would change of what is there.

    :raises ConflictError: it is not ours, and is not to be adopted.
    """
    before = dict(present)
    if asked.port is None and before["Service"] is not None and not is_ours(before["Service"]):
        before["Service"] = None  # it is no concern of ours, and stays
    for kind, there in before.items():
        if there is not None and not is_ours(there) and not asked.adopt:
            raise not_ours(kind, asked.name)
    return before


async def _kept(subject: Subject, findings: Mapping[str, Finding]) -> Json:
    """What is stored of a check; `platforms` and `nodes` were there before there were gates."""
    gates = [
        {"name": name, "verdict": one.verdict, "reason": one.reason, "evidence": dict(one.evidence)}
        for name, one in findings.items()
    ]
    return {"platforms": list(await subject.platforms), "nodes": platforms_of(await subject.nodes), "gates": gates}


async def _dry_run(
    kube: "Kube", asked: DeploymentCreate, uri: str, before: Mapping[str, Object | None]
) -> dict[str, Object | None]:
    there = before["Deployment"]
    chosen = service_selector(asked.name, match_labels(asked.name, there), is_adopting=asked.adopt)
    # With the annotations of the deployment before: those that it is going to get say nothing of what would run.
    notes = {kind: own_annotations(one) for kind, one in before.items()}
    made = {"Deployment": deployment(asked.name, asked, uri, notes["Deployment"], there)}
    if asked.port is not None:
        made["Service"] = service(asked.name, asked, notes["Service"], chosen)
    done = await all_of(_dry_apply(kube, asked, one, before[kind]) for kind, one in made.items())
    return dict.fromkeys(KINDS) | dict(zip(made, done, strict=True))


async def _dry_apply(kube: "Kube", asked: DeploymentCreate, made: Object, there: Object | None) -> Object:
    if there is not None and asked.adopt and managers_taken_over(there) is not None:
        return await _dry_adopt(kube, asked, made, there)
    return await kube.apply(made, asked.namespace, force=asked.force, dry_run=True)


async def _dry_adopt(kube: "Kube", asked: DeploymentCreate, made: Object, there: Object) -> Object:
    """As the object becomes once what runs in it is ours, which a dry run can't make it: by a patch instead."""
    if not asked.force:
        # It says which fields are others'. That ours do not fit beside theirs is no matter: theirs go.
        with suppress(InvalidError):
            await kube.apply(made, asked.namespace, force=False, dry_run=True)
    labels = (there["metadata"].get("labels") or {}) | made["metadata"]["labels"]
    parts = {"metadata/labels": labels} | {f"spec/{name}": value for name, value in made["spec"].items()}
    return await kube.dry_patch(there, [{"op": "add", "path": f"/{path}", "value": parts[path]} for path in parts])
