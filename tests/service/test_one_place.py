"""What is said once: facts of a registry that would otherwise be written wherever one is needed."""

import re
from pathlib import Path

import pytest

SERVICE = Path(__file__).parents[2] / "service"


def places_of(pattern: str) -> list[str]:
    return [one.relative_to(SERVICE).as_posix() for one in SERVICE.rglob("*.py") if re.search(pattern, one.read_text())]


@pytest.mark.parametrize(
    ("fact", "place"),
    [
        (r"f\"arn:.*:repository/", "base/settings.py"),
        (r"\"ecr:InitiateLayerUpload\"", "clients/ecr/actions.py"),
        (r"\"ecr:GetAuthorizationToken\"", "clients/ecr/actions.py"),
        (r"self\.default_registry is None and", "base/settings.py"),
        (r"\bOperations\(ledger=", "operations/core.py"),
        (r"\[limit - 1\]", "base/paging.py"),
        (r"\"maxResults\":", "clients/ecr/pages.py"),
        (r"\b(Ecr\w+|Broker|Iam|CloudTrail)\(clients\)", "clients/registry.py"),
    ],
    ids=[
        "a repository's ARN",
        "the push actions",
        "the login",
        "the default registry",
        "what every area stands on",
        "a page's end",
        "a page asked of ECR",
        "a registry's clients",
    ],
)
def test_it_stands_in_one_module(fact: str, place: str) -> None:
    assert places_of(fact) == [place]


def test_no_class_is_given_clients_by_the_names_of_registries() -> None:
    """Who needs what belongs to a registry finds it by `Registries.find`."""
    takers = places_of(r"Mapping\[str, (Registry|RegistryClients|Ecr\w*|Broker|Iam|CloudTrail)\]")
    assert takers == ["registry/registries.py"]
