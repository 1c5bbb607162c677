"""Accounts and Regions of the sandbox, and the loopback port of each pair."""

from collections.abc import Mapping
from dataclasses import dataclass, field

MAIN_ACCOUNT = "111111111111"
OTHER_ACCOUNT = "222222222222"
MAIN_REGION = "eu-central-1"
PLACES = ((MAIN_ACCOUNT, MAIN_REGION), (MAIN_ACCOUNT, "us-east-1"), (OTHER_ACCOUNT, MAIN_REGION))


@dataclass(frozen=True, slots=True)
class Place:
    """A registry: an account in a Region."""

    account: str
    region: str

    def repository_arn(self, name: str) -> str:
        return f"arn:aws:ecr:{self.region}:{self.account}:repository/{name}"


@dataclass(frozen=True, slots=True)
class Hosts:
    """Which loopback host answers for which registry."""

    ports: Mapping[Place, int] = field(default_factory=dict)

    def of(self, place: Place) -> str:
        """:raises KeyError: the sandbox has no such account and Region."""
        return f"127.0.0.1:{self.ports[place]}"
