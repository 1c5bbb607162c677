"""`/v1/policies` and `/v1/policy-templates`: who else may use a repository."""

from typing import Annotated, Any

from fastapi import APIRouter, Path, Query
from pydantic import Field, StringConstraints
from typing_extensions import TypeAliasType

from api.http.documents import RepositoryDocument, add_routes
from api.http.problems import declare
from api.http.routing import KeyedRoute
from service.base.errors import NotFoundError
from service.iam import templates
from service.models.policies import PolicyTemplateList

PolicyDocument = TypeAliasType(
    "PolicyDocument", Annotated[dict[str, Any], Field(description="An IAM policy document, as AWS has it")]
)
EXAMPLE = {
    "Version": "2012-10-17",
    "Statement": [
        {
            "Sid": "CrossAccountPull",
            "Effect": "Allow",
            "Principal": {"AWS": ["222222222222"]},
            "Action": ["ecr:BatchCheckLayerAvailability", "ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer"],
        }
    ],
}
router = APIRouter(tags=["policies"], route_class=KeyedRoute)
Account = Annotated[str, StringConstraints(pattern=r"^[0-9]{12}$"), Field(examples=["222222222222"])]


add_routes(
    router,
    RepositoryDocument(
        path="/v1/policies/repositories",
        name="repository_policy",
        noun="policy",
        schema=PolicyDocument,
        example=EXAMPLE,
        documents=lambda services: services.policies,
        on_get="The document as AWS has it. The ETag is that of its canonical form.",
        on_put="One that lets another account, a service or everyone in takes an admin.",
        on_delete="What the account's own identities may do, their own policies say.",
    ),
)


@router.get(
    "/v1/policy-templates",
    operation_id="list_policy_templates",
    summary="List the policy templates",
    description="Each makes a repository policy for the accounts that it is asked for.",
)
async def list_policy_templates() -> PolicyTemplateList:
    return templates.list_all()


@router.get(
    "/v1/policy-templates/{name}",
    operation_id="get_policy_template",
    summary="Get a policy made from a template, for the accounts named",
    description="The answer is the document alone, ready to be put as a repository's policy.",
    responses=declare(NotFoundError),
)
async def get_policy_template(
    name: Annotated[str, Path(max_length=64, examples=["cross-account-push"], description="As listed")],
    account: Annotated[list[Account], Query(min_length=1, max_length=100, description="Account ids; repeatable")],
) -> PolicyDocument:
    return templates.fill(name, account)
