"""Accounts and Regions of the sandbox, and the loopback port of each pair."""

from collections.abc import Mapping
from dataclasses import dataclass, field

MAIN_ACCOUNT = "111111111111"
OTHER_ACCOUNT = "222222222222"
MAIN_REGION = "eu-central-1"
PLACES = ((MAIN_ACCOUNT, MAIN_REGION), (MAIN_ACCOUNT, "us-east-1"), (OTHER_ACCOUNT, MAIN_REGION))

_STS_OF_AWS = {"sts.amazonaws.com", *(f"sts.{region}.amazonaws.com" for _, region in PLACES)}


@dataclass(frozen=True, slots=True)
class Place:
    """A registry: an account in a Region."""

    account: str
    region: str

    def repository_arn(self, name: str) -> str:
        return f"arn:aws:ecr:{self.region}:{self.account}:repository/{name}"


@dataclass(frozen=True, slots=True)
class Hosts:
    """Which loopback host answers for which registry, and at which port layers are downloaded."""

    ports: Mapping[Place, int] = field(default_factory=dict)
    layer_port: int = 0

    def of(self, place: Place) -> str:
        """Where the sandbox has no such account and Region: AWS's own name, at which nothing of it answers."""
        if place not in self.ports:
            return f"{place.account}.dkr.ecr.{place.region}.amazonaws.com"
        return f"127.0.0.1:{self.ports[place]}"

    def is_sts(self, scheme: str, host: str) -> bool:
        """Whether it is ours, or what `aws eks get-token` signs for where nobody tells it of ours."""
        if scheme == "http":
            return host in map(self.of, self.ports)
        return scheme == "https" and host in _STS_OF_AWS

    @property
    def layers(self) -> str:
        """Another name than that of the registries: clients drop their login when they are sent to another host."""
        return f"localhost:{self.layer_port}"
