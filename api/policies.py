"""`/v1/policies` and `/v1/policy-templates`: who else may use a repository."""

from typing import Annotated, Any

from fastapi import APIRouter, Path, Query
from pydantic import Field, StringConstraints
from typing_extensions import TypeAliasType

from api.http.answers import TAGGED, Http
from api.http.deps import RegistryName
from api.http.paths import NAME_IN_PATH
from api.http.problems import declare
from api.http.routing import KeyedRoute
from service.base.errors import NotFoundError, PreconditionError, TooLargeError
from service.iam import templates
from service.iam.documents import hash_of
from service.models.policies import PolicyTemplateList
from service.models.references import RepositoryName

PolicyDocument = TypeAliasType("PolicyDocument", dict[str, Any])
"""By name, so that the contract has one schema for it."""
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
DOCUMENT = {"schema": {"$ref": "#/components/schemas/PolicyDocument"}, "example": EXAMPLE}
BODY = {"requestBody": {"required": True, "content": {"application/json": DOCUMENT}}}

router = APIRouter(tags=["policies"], route_class=KeyedRoute)
Name = Annotated[RepositoryName, Path(description="The repository's name, as it is or percent-encoded")]
Account = Annotated[str, StringConstraints(pattern=r"^[0-9]{12}$"), Field(examples=["222222222222"])]


@router.get(
    "/v1/policies/repositories" + NAME_IN_PATH,
    operation_id="get_repository_policy",
    summary="Get a repository's policy",
    description="The document as AWS has it. The ETag is that of its canonical form.",
    responses=TAGGED | declare(NotFoundError),
)
async def get_repository_policy(name: Name, http: Http, registry: RegistryName = None) -> PolicyDocument:
    document = await http.services.policies.get(http.caller, registry, name)
    http.etag(hash_of(document))
    return document


@router.put(
    "/v1/policies/repositories" + NAME_IN_PATH,
    operation_id="put_repository_policy",
    summary="Set a repository's policy",
    description="One that lets another account, a service or everyone in takes an admin.",
    responses=declare(NotFoundError, PreconditionError, TooLargeError),
    openapi_extra=BODY,
)
async def put_repository_policy(name: Name, http: Http, registry: RegistryName = None) -> PolicyDocument:
    # The document's own bytes: AWS is sent what the caller wrote, not what we would make of it.
    done = await http.services.policies.put(await http.call(), registry, name, await http.body())
    http.note(done)
    http.etag(hash_of(done.value))
    return done.value


@router.delete(
    "/v1/policies/repositories" + NAME_IN_PATH,
    status_code=204,
    operation_id="delete_repository_policy",
    summary="Delete a repository's policy",
    description="What the account's own identities may do, their own policies say.",
    responses=declare(NotFoundError, PreconditionError),
)
async def delete_repository_policy(name: Name, http: Http, registry: RegistryName = None) -> None:
    http.note(await http.services.policies.delete(await http.call(), registry, name))


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
