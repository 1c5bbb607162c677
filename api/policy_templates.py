"""`/v1/policy-templates`: policies that most people want, ready to be put."""

from typing import Annotated

from fastapi import APIRouter, Path

from api.http.answers import Http
from api.http.problems import declare
from api.http.query import parameters_of, read_query
from api.http.routing import KeyedRoute
from api.policies import PolicyDocument
from service.base.errors import NotFoundError
from service.models.policies import PolicyTemplateList
from service.registry import templates

router = APIRouter(tags=["policies"], route_class=KeyedRoute)
_PARAMETERS = parameters_of(one.parameters for one in templates.TEMPLATES.values())


@router.get(
    "/v1/policy-templates",
    operation_id="list_policy_templates",
    summary="List the policy templates",
    description="Each makes a policy of the parameters that it is asked for with.",
)
async def list_policy_templates() -> PolicyTemplateList:
    return templates.list_all()


@router.get(
    "/v1/policy-templates/{name}",
    operation_id="get_policy_template",
    summary="Get a policy made from a template, by the template's own parameters",
    description="The answer is the document alone, ready to be put.",
    responses=declare(NotFoundError),
    openapi_extra={"parameters": _PARAMETERS},
)
async def get_policy_template(
    name: Annotated[str, Path(max_length=64, examples=["cross-account-push"], description="As listed")], http: Http
) -> PolicyDocument:
    template = templates.find(name)
    return template.fill(read_query(http, template.parameters))
