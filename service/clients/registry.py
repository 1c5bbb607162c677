"""What belongs to one registry of the settings: an account in a Region, and all that is asked there."""

from collections.abc import Callable
from typing import TypeVar

from service.base.settings import RegistrySettings
from service.clients.aws.sessions import RegistryClients
from service.clients.broker import Broker
from service.clients.cloudtrail import CloudTrail
from service.clients.ecr.account_settings import EcrAccountSettings
from service.clients.ecr.images import EcrImages
from service.clients.ecr.policies import EcrPolicies
from service.clients.ecr.repositories import EcrRepositories
from service.clients.eks import Eks
from service.clients.iam import Iam

C = TypeVar("C")


class Registry:
    """The handle of a registry. What several features ask of AWS there is one more attribute of it."""

    def __init__(self, clients: RegistryClients) -> None:
        self._clients = clients
        self.account_settings = EcrAccountSettings(clients)
        self.repositories = EcrRepositories(clients)
        self.images = EcrImages(clients)
        self.policies = EcrPolicies(clients)
        self.broker = Broker(clients)
        self.iam = Iam(clients)
        self.cloudtrail = CloudTrail(clients)

    @property
    def settings(self) -> RegistrySettings:
        return self._clients.settings

    @property
    def name(self) -> str:
        return self.settings.name

    def client(self, make: Callable[[RegistryClients], C]) -> C:
        """A client of a feature's own, made of what all others are made of."""
        return make(self._clients)

    def eks(self, cluster: str) -> Eks:
        """An EKS cluster of the account and Region, by its name at EKS. It has tokens of its own: keep it."""
        return Eks(self._clients, cluster)
