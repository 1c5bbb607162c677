"""Gates about who pulls, and from where."""

from abc import abstractmethod

from service.clients.registry import Registry
from service.gates.findings import Finding
from service.gates.gate import Gate
from service.gates.subject import Subject
from service.models.preflights import Verdict

_NO_ACCOUNT = Finding(
    Verdict.UNKNOWN,
    "The cluster is not one of EKS: as whom and from where its nodes pull, AWS does not know.",
    "Give the service account of the pods an imagePullSecret for this registry, or the nodes a credential provider.",
)


class PullGate(Gate):
    """One that needs to know the account and Region of the nodes, as AWS does of those of EKS alone."""

    async def judge(self, subject: Subject) -> Finding:
        return _NO_ACCOUNT if subject.home is None else await self.judge_pull(subject, subject.home)

    @abstractmethod
    async def judge_pull(self, subject: Subject, home: Registry) -> Finding:
        """:param home: the registry of the nodes' account and Region."""
