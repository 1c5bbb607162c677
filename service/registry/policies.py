"""Repository policies: who else may use a repository."""

from service.access.actions import Action
from service.base.errors import FieldError, InvalidError
from service.base.settings import RegistrySettings
from service.clients.ecr.policies import EcrPolicies
from service.iam.broker_role import places_of_broker
from service.iam.documents import Document, hash_of, names_others, parse
from service.iam.templates import REPOSITORY_POLICIES
from service.operations.document_kinds import Change, DocumentKind


def _parse(content: bytes, settings: RegistrySettings) -> Document:
    document = parse(content)
    _keep_broker_out(document, settings.broker_role)
    return document


def _keep_broker_out(document: Document, role: str | None) -> None:
    if role and (places := places_of_broker(document, role)):
        kept_out = f'{{"ArnNotEquals": {{"aws:PrincipalArn": "{role}"}}}}'
        reason = f"lets in the role that wharfinger narrows credentials from; the condition {kept_out} keeps it out"
        raise InvalidError(
            "A repository policy may not let in the broker role.",
            code="broker_role_in_policy",
            errors=[FieldError(place, reason) for place in places],
        )


def _lets_others_in(document: Document, settings: RegistrySettings) -> bool:
    return names_others(document, settings.account_id)


REPOSITORY_POLICY = DocumentKind(
    noun="policy",
    read=Action.REPOSITORY_READ,
    put=Change(Action.POLICY_PUT, "SetRepositoryPolicy"),
    delete=Change(Action.POLICY_DELETE, "DeleteRepositoryPolicy"),
    wider={Action.POLICY_PUT_FOREIGN: _lets_others_in},
    client=EcrPolicies,
    parse=_parse,
    hash_of=hash_of,
    templates=REPOSITORY_POLICIES,
)
