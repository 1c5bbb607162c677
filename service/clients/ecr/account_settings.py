"""Settings of an account in a Region at Amazon ECR, translated."""

from service.base.tasks import all_of
from service.clients.aws.answers import as_text
from service.clients.aws.sessions import RegistryClients
from service.clients.aws.translation import translated

_NAMES = ("BASIC_SCAN_TYPE_VERSION", "REGISTRY_POLICY_SCOPE")


class EcrAccountSettings:
    """The settings of one registry's account in its Region."""

    def __init__(self, clients: RegistryClients) -> None:
        self._ecr = clients.ecr

    async def get(self) -> dict[str, str]:
        """By ECR's names for them."""
        with translated("GetAccountSetting"):
            answers = await all_of(self._ecr.get_account_setting(name=name) for name in _NAMES)
            return {answer["name"]: as_text(answer["value"]) for answer in answers}
