"""`/v1/policies` and `/v1/policy-templates`."""

from service.models.common import Model, Page


class PolicyTemplate(Model):
    """A policy that is filled in for accounts."""

    name: str
    description: str
    actions: list[str]


class PolicyTemplateList(Page):
    """All there are."""

    items: list[PolicyTemplate]
