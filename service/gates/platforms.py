"""The gate `platforms`: whether a node can run what the image was built for."""

from service.base.errors import InvalidError
from service.clusters.platforms import are_unfit, fitting, platforms_of
from service.gates.findings import Finding
from service.gates.gate import Enforcement, Gate
from service.gates.subject import Subject
from service.models.preflights import Verdict


class Platforms(Gate):
    """Unknown where the image names no platform, there is no node, or one does not tell its own."""

    name = "platforms"
    enforcement = Enforcement.FAIL_OPEN

    async def judge(self, subject: Subject) -> Finding:
        await subject.checked
        built, nodes = await subject.platforms, await subject.nodes
        runnable = platforms_of(nodes)
        evidence = {"digest": (await subject.summary).digest, "platforms": list(built), "nodes": runnable}
        reason = (
            f"The image is built for {', '.join(built) or 'no platform it names'}; "
            f"nodes are {', '.join(runnable) or 'none that tell their platform'}."
        )
        if fitting(built, runnable):
            return Finding(Verdict.PASSED, reason, evidence=evidence)
        verdict = Verdict.FAILED if are_unfit(nodes, built) else Verdict.UNKNOWN
        return Finding(verdict, reason, "Build the image for a platform of the nodes.", evidence)

    def failure(self, finding: Finding) -> InvalidError:
        return InvalidError(finding.reason, code="platform_mismatch")
