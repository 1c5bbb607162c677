"""The gate `namespace`: whether objects can be made there."""

from service.base.errors import ClusterPermissionError, NotFoundError
from service.gates.findings import Finding
from service.gates.gate import Gate
from service.gates.subject import Subject
from service.models.preflights import Verdict

_PROBE = {
    "apiVersion": "v1",
    "kind": "Service",
    "metadata": {"name": "wharfinger-preflight"},
    "spec": {"ports": [{"port": 80}]},
}
"""What is asked for in a dry run."""
_EVIDENCE = {"dry_run": "Service/wharfinger-preflight"}


class Namespace(Gate):
    """By what a deploy does there, since to read namespaces is a right that it does not need.

    Only reported: the dry run of a deploy asks the same.
    """

    name = "namespace"

    async def judge(self, subject: Subject) -> Finding:
        namespace = subject.namespace
        kube = await subject.kube
        try:
            await kube.apply(_PROBE, namespace, force=False, dry_run=True)
        except NotFoundError as error:
            advice = f"Make it: kubectl create namespace {namespace}"
            return Finding(Verdict.FAILED, error.detail, advice, _EVIDENCE)
        except ClusterPermissionError as error:
            return Finding(Verdict.UNKNOWN, error.detail, "See the check `permissions`.", _EVIDENCE)
        return Finding(Verdict.PASSED, f"Objects can be made in {namespace}.", evidence=_EVIDENCE)
