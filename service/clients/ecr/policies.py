"""Repository policies at Amazon ECR, translated. A missing policy is None, not an error."""

from typing import Any

from service.clients.aws.answers import as_document
from service.clients.aws.lengths import Length, length_of
from service.clients.aws.sessions import RegistryClients
from service.clients.aws.translation import translated

Document = dict[str, Any]


class EcrPolicies:
    """The repository policies of one registry."""

    def __init__(self, clients: RegistryClients) -> None:
        self.settings = clients.settings
        self._ecr = clients.ecr

    @property
    def length(self) -> Length:
        return length_of(self._ecr, "SetRepositoryPolicy", "policyText")

    async def get(self, repository: str) -> Document | None:
        with translated("GetRepositoryPolicy", repository=repository):
            try:
                answer = await self._ecr.get_repository_policy(repositoryName=repository)
            except self._ecr.exceptions.RepositoryPolicyNotFoundException:
                return None
            return as_document(answer["policyText"])

    async def put(self, repository: str, text: str) -> Document:
        """Set the policy to `text`, as it is; the answer is what ECR made of it, which may be formatted otherwise."""
        with translated("SetRepositoryPolicy", repository=repository):
            answer = await self._ecr.set_repository_policy(repositoryName=repository, policyText=text)
            return as_document(answer["policyText"])

    async def delete(self, repository: str) -> None:
        """:raises NotFoundError: there is none (`policy_not_found`)."""
        with translated("DeleteRepositoryPolicy", repository=repository):
            await self._ecr.delete_repository_policy(repositoryName=repository)
