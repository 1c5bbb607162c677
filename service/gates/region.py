"""The gate `region`: whether the image is where the cluster is."""

from service.access import authz
from service.access.actions import Action
from service.access.authz import Target
from service.base.tasks import or_none
from service.clients.registry import Registry
from service.gates.findings import Finding
from service.gates.pull_gate import PullGate
from service.gates.subject import Subject
from service.models.preflights import Verdict
from service.models.references import Reference


class Region(PullGate):
    """From another Region a pull works where there is a way, and is slow and charged for.

    It is `unknown`, as endpoints of a VPC, where nodes have no other way out, reach no other Region (ECR User Guide,
    "Interface VPC endpoints").
    """

    name = "region"

    async def judge_pull(self, subject: Subject, home: Registry) -> Finding:
        there, near = subject.registry.settings.region, home.settings.region
        evidence = {"image": there, "cluster": near}
        if there == near:
            return Finding(Verdict.PASSED, f"The image is in {there}, as the cluster is.", evidence=evidence)
        if replica := await _replica(subject, home):
            reason = f"The image is in {there}, and replicated to {near}: deploy it with registry={replica}."
            return Finding(Verdict.PASSED, reason, evidence=evidence | {"replica": replica})
        advice = (
            f"Replicate {subject.image.repository} to {near}: pulls between Regions are slow and charged for, "
            "and VPC endpoints do not let them through."
        )
        reason = f"The image is in {there} and not in the cluster's Region, {near}."
        return Finding(Verdict.UNKNOWN, reason, advice, evidence)


async def _replica(subject: Subject, home: Registry) -> str | None:
    """The registry of the cluster's account and Region that has the image too, if the caller may read there."""
    repository = subject.image.repository
    same = Reference(repository, None, (await subject.summary).digest)
    for one in subject.registries.list(subject.caller).items:
        is_near = (one.account_id, one.region) == (home.settings.account_id, home.settings.region)
        if is_near and authz.is_allowed(subject.caller, Action.REPOSITORY_READ, Target(one.name, repository)):
            images = subject.registries.find(one.name).images
            if await or_none(images.describe(same)):
                return one.name
    return None
