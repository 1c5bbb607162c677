"""The templates of all kinds of documents."""

from collections.abc import Iterator, Mapping
from typing import Any

from service.base.errors import NotFoundError
from service.models.policies import PolicyTemplate, PolicyTemplateList
from service.operations.document_kinds import Template
from service.registry.documents import DOCUMENT_KINDS

TEMPLATES: Mapping[str, Template[Any]] = {one.name: one for kind in DOCUMENT_KINDS for one in kind.templates}


def list_all() -> PolicyTemplateList:
    return PolicyTemplateList(items=list(_described()), next_cursor=None)


def find(name: str) -> Template[Any]:
    """:raises NotFoundError: there is no template of that name."""
    if name not in TEMPLATES:
        raise NotFoundError("policy_template", name)
    return TEMPLATES[name]


def _described() -> Iterator[PolicyTemplate]:
    for kind in DOCUMENT_KINDS:
        for one in kind.templates:
            yield PolicyTemplate(
                name=one.name,
                description=one.description,
                actions=list(one.actions),
                document=kind.noun,
                parameters=list(one.parameters.model_fields),
            )
