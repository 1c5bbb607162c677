"""`/v1/policies`: who else may use a repository."""

from typing import Annotated, Any

from fastapi import APIRouter
from pydantic import Field
from typing_extensions import TypeAliasType

from api.http.documents import DocumentRoutes, add_routes
from api.http.routing import KeyedRoute
from service.registry.policies import REPOSITORY_POLICY

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
add_routes(
    router,
    DocumentRoutes(
        kind=REPOSITORY_POLICY,
        path="/v1/policies/repositories",
        name="repository_policy",
        schema=PolicyDocument,
        example=EXAMPLE,
        on_get="The document as AWS has it. The ETag is that of its canonical form.",
        on_put="One that lets another account, a service or everyone in takes an admin.",
        on_delete="What the account's own identities may do, their own policies say.",
    ),
)
