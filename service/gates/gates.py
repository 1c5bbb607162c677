"""All gates, and the two ways to go through them: a preflight asks each, a deploy passes those that are enforced."""

from collections.abc import Mapping, Sequence

from service.base.errors import WharfingerError
from service.base.tasks import all_of
from service.gates.findings import Finding, tripped
from service.gates.gate import Enforcement, Gate
from service.gates.namespace import Namespace
from service.gates.node_roles import NodeRoles
from service.gates.permissions import Permissions
from service.gates.platforms import Platforms
from service.gates.region import Region
from service.gates.repository_policy import RepositoryPolicy
from service.gates.subject import Subject

GATES: Sequence[Gate] = (
    Platforms(),
    Permissions(),
    Namespace(),
    NodeRoles(),
    RepositoryPolicy(),
    Region(),
)
"""In the order in which they are shown."""


async def ask_all(subject: Subject, gates: Sequence[Gate] = GATES) -> Mapping[str, Finding]:
    """The finding of every gate, by its name; an error that one trips over is a finding too."""
    findings = await all_of(_ask(one, subject) for one in gates)
    return {gate.name: finding for gate, finding in zip(gates, findings, strict=True)}


async def pass_enforced(subject: Subject, gates: Sequence[Gate] = GATES) -> Mapping[str, Finding]:
    """The findings of the gates that a deploy must pass, by their names; the others are not asked.

    :raises WharfingerError: it does not pass one, or something that one needs could not be asked.
    """
    enforced = [one for one in gates if one.enforcement is not Enforcement.REPORTED]
    findings = await all_of(one.judge(subject) for one in enforced)
    for gate, finding in zip(enforced, findings, strict=True):
        if refusal := gate.refusal(finding):
            raise refusal
    return {gate.name: finding for gate, finding in zip(enforced, findings, strict=True)}


async def _ask(gate: Gate, subject: Subject) -> Finding:
    try:
        return await gate.judge(subject)
    except WharfingerError as error:
        return tripped(error)
