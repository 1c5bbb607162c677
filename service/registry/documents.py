"""The kinds of documents of a registry and its repositories: one that is not here is neither wired nor settled."""

from collections.abc import Sequence

from service.operations.document_kinds import DocumentKind
from service.registry.policies import REPOSITORY_POLICY

DOCUMENT_KINDS: Sequence[DocumentKind] = (REPOSITORY_POLICY,)
