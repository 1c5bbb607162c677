"""The gate `permissions`: whether wharfinger itself may write in the namespace what a deploy writes."""

from service.base.tasks import all_of
from service.gates.findings import Finding
from service.gates.gate import Gate
from service.gates.subject import Subject
from service.models.preflights import Verdict

_WRITTEN = (("apps", "deployments"), ("", "services"))
_VERBS = ("get", "watch", "create", "patch", "delete")
_REVIEWED = [(verb, group, resource) for group, resource in _WRITTEN for verb in _VERBS]
_GRANT = "Put wharfinger's role into the group of deploy/cluster/access.yaml by its access entry, bound here."


class Permissions(Gate):
    """Only reported: the dry run of a deploy finds out what is missing by itself."""

    name = "permissions"

    async def judge(self, subject: Subject) -> Finding:
        kube = await subject.kube
        allowed = await all_of(kube.may(*one, subject.namespace) for one in _REVIEWED)
        reviewed = zip(_REVIEWED, allowed, strict=True)
        missing = [f"{verb} {resource}" for (verb, _, resource), is_allowed in reviewed if not is_allowed]
        evidence = {"missing": missing}
        if missing:
            reason = f"Wharfinger may not: {', '.join(missing)} in {subject.namespace}."
            return Finding(Verdict.FAILED, reason, _GRANT, evidence)
        reason = f"Wharfinger may write Deployments and Services in {subject.namespace}."
        return Finding(Verdict.PASSED, reason, evidence=evidence)
