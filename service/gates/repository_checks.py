"""Whether a repository lets a cluster's nodes in, and whether the image is in their Region."""

from collections.abc import Callable, Iterable, Sequence

from service.access import authz
from service.access.actions import Action
from service.access.authz import Caller, Target
from service.base.errors import WharfingerError
from service.base.settings import RegistrySettings
from service.base.tasks import or_none
from service.clients.registry import Registry
from service.gates.checks import Finding, tripped
from service.iam.documents import Document
from service.iam.grants import denials, grants
from service.iam.matching import Certainty
from service.models.preflights import Verdict
from service.models.references import Reference
from service.registry.registries import Registries


def check_policy(
    document: Document | None, repository: str, registry: RegistrySettings, account: str, role_arns: Sequence[str]
) -> Finding:
    """Whether a repository's policy lets nodes of an account pull: a foreign one needs its grant."""
    if registry.account_id == account:
        return _own(document, repository, account, role_arns)
    return _foreign(document, repository, registry.name, account, role_arns)


class Regions:
    """Whether an image is where a cluster is."""

    def __init__(self, *, registries: Registries) -> None:
        self._registries = registries

    async def check(self, caller: Caller, registry: Registry, image: Reference, home: Registry) -> Finding:
        """Whether the image is in the Region of a cluster, which is that of its registry `home`.

        From another Region a pull works where there is a way, and is slow and charged for: `unknown`, as endpoints of a
        VPC, where nodes have no other way out, reach no other Region (ECR User Guide, "Interface VPC endpoints").
        """
        there, near = registry.settings.region, home.settings.region
        if there == near:
            return Finding(Verdict.OK, f"The image is in {there}, as the cluster is.")
        try:
            replica = await self._replica(caller, registry, image, home)
        except WharfingerError as error:
            return tripped(error)
        if replica:
            detail = f"The image is in {there}, and replicated to {near}"
            return Finding(Verdict.OK, f"{detail}: deploy it with registry={replica}.")
        detail = f"The image is in {there} and not in the cluster's Region, {near}."
        advice = (
            f"Replicate {image.repository} to {near}: pulls between Regions are slow and charged for, "
            "and VPC endpoints do not let them through."
        )
        return Finding(Verdict.UNKNOWN, detail, advice)

    async def _replica(self, caller: Caller, registry: Registry, image: Reference, home: Registry) -> str | None:
        """The registry of the cluster's account and Region that has the image too, if the caller may read there."""
        digest = (await registry.images.describe(image)).digest
        for one in self._registries.list(caller).items:
            is_near = (one.account_id, one.region) == (home.settings.account_id, home.settings.region)
            if is_near and authz.is_allowed(caller, Action.REPOSITORY_READ, Target(one.name, image.repository)):
                same = Reference(image.repository, None, digest)
                if await or_none(self._registries.find(one.name).images.describe(same)):
                    return one.name
        return None


def _own(document: Document | None, repository: str, account: str, role_arns: Sequence[str]) -> Finding:
    rights = {} if document is None else _of_roles(denials, document, account, role_arns, max)
    denied = [action for action, certainty in rights.items() if certainty is Certainty.YES]
    if denied:
        detail = f"The policy of {repository} denies the nodes {', '.join(denied)}."
        return Finding(Verdict.FAILED, detail, "Take that Deny out of the policy, or except the role of the nodes.")
    if any(certainty is Certainty.MAYBE for certainty in rights.values()):
        return Finding(
            Verdict.UNKNOWN,
            f"The policy of {repository} may deny the nodes a pull: that hangs on a condition or on exceptions.",
            "See that no Deny of the policy is about the nodes.",
        )
    return Finding(Verdict.OK, f"The repository is of the nodes' own account, {account}, and denies them nothing.")


def _foreign(
    document: Document | None, repository: str, registry: str, account: str, role_arns: Sequence[str]
) -> Finding:
    advice = (
        f"Add to the policy what GET /v1/policy-templates/cross-account-pull?account={account} answers: "
        f"PUT /v1/policies/repositories/{repository}?registry={registry}."
    )
    if document is None:
        detail = f"Repository {repository} has no policy, and the nodes are of another account, {account}."
        return Finding(Verdict.FAILED, detail, advice)
    rights = _of_roles(grants, document, account, role_arns, min)
    missing = [action for action, certainty in rights.items() if certainty is Certainty.NO]
    if missing:
        detail = f"The policy of {repository} does not let nodes of account {account}: {', '.join(missing)}."
        return Finding(Verdict.FAILED, detail, advice)
    unsure = [action for action, certainty in rights.items() if certainty is Certainty.MAYBE]
    if unsure:
        detail = f"The policy of {repository} may let nodes of account {account} {', '.join(unsure)}, or may not."
        return Finding(Verdict.UNKNOWN, detail, advice)
    return Finding(Verdict.OK, f"The policy of {repository} lets nodes of account {account} pull.")


def _of_roles(
    judge: Callable[..., dict[str, Certainty]],
    document: Document,
    account: str,
    role_arns: Sequence[str],
    choose: Callable[[Iterable[Certainty]], Certainty],
) -> dict[str, Certainty]:
    """Of each action what the roles come to together; without any, what is so for a role that is not known."""
    roles: Sequence[str | None] = role_arns or [None]
    judged = [judge(document, account=account, role_arn=one) for one in roles]
    return {action: choose(one[action] for one in judged) for action in judged[0]}
