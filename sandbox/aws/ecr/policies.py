"""Repository policies."""

from sandbox.aws.ecr.errors import EcrError, invalid
from sandbox.aws.ecr.registry import Json, Registry
from sandbox.aws.policy import MalformedPolicyError, parse


def set_repository_policy(registry: Registry, asked: Json) -> Json:
    row = registry.repository(asked["repositoryName"])
    text = asked["policyText"]
    try:
        parse(text)
    except MalformedPolicyError as error:
        raise invalid(
            "Invalid parameter at 'PolicyText' failed to satisfy constraint: "
            f"'Invalid repository policy provided' ({error})"
        ) from error
    registry.state.sql.execute("UPDATE repositories SET policy = ? WHERE id = ?", (text, row["id"]))
    return registry.named(row["name"]) | {"policyText": text}


def get_repository_policy(registry: Registry, asked: Json) -> Json:
    row = registry.repository(asked["repositoryName"])
    if row["policy"] is None:
        raise _missing(registry, row["name"])
    return registry.named(row["name"]) | {"policyText": row["policy"]}


def delete_repository_policy(registry: Registry, asked: Json) -> Json:
    answer = get_repository_policy(registry, asked)
    registry.state.sql.execute(
        "UPDATE repositories SET policy = NULL WHERE id = ?", (registry.repository(asked["repositoryName"])["id"],)
    )
    return answer


def _missing(registry: Registry, name: str) -> EcrError:
    return EcrError(
        "RepositoryPolicyNotFoundException",
        f"Repository policy does not exist for the repository with name '{name}' "
        f"in the registry with id '{registry.place.account}'",
    )
