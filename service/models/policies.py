"""`/v1/policies` and `/v1/policy-templates`."""

from pydantic import Field

from service.models.common import Model, Page


class PolicyTemplate(Model):
    """A policy that is filled in by parameters."""

    name: str
    description: str
    actions: list[str]
    document: str = Field(description="The kind of document that it makes, as in the code of one that is not found")
    parameters: list[str] = Field(description="What it is filled in by: parameters of the query")


class PolicyTemplateList(Page):
    """All there are."""

    items: list[PolicyTemplate]
