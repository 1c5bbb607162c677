"""Repositories: create, describe, delete, their settings and their resource tags."""

import json
import sqlite3
from collections.abc import Mapping

from sandbox.aws.ecr import paging
from sandbox.aws.ecr.errors import EcrError, invalid
from sandbox.aws.ecr.registry import Json, Registry
from sandbox.clock import CLOCK

_MOST_TAGS = 50
_MOST_TAG_KEY, _MOST_TAG_VALUE = 128, 256
_WITH_EXCLUSION = "_WITH_EXCLUSION"


def create_repository(registry: Registry, asked: Json) -> Json:
    name, place = asked["repositoryName"], registry.place
    mutability = asked.get("imageTagMutability", "MUTABLE")
    exclusions = asked.get("imageTagMutabilityExclusionFilters", [])
    _check_exclusions(mutability, exclusions)
    tags = _merged({}, asked.get("tags", []))
    encryption = asked.get("encryptionConfiguration", {"encryptionType": "AES256"})
    if encryption.get("kmsKey") and encryption["encryptionType"] == "AES256":
        raise invalid("Invalid parameter at 'encryptionConfiguration': a KMS key needs encryption type KMS or KMS_DSSE")
    if encryption["encryptionType"] != "AES256" and "kmsKey" not in encryption:
        encryption |= {"kmsKey": f"arn:aws:kms:{place.region}:{place.account}:alias/aws/ecr"}
    scan = asked.get("imageScanningConfiguration", {}).get("scanOnPush", False)
    values = (place.account, place.region, name, CLOCK.time(), mutability, json.dumps(exclusions), scan)
    try:
        registry.state.sql.execute(
            "INSERT INTO repositories (account, region, name, created_at, mutability, exclusions, scan_on_push,"
            " encryption, tags) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (*values, json.dumps(encryption), json.dumps(tags)),
        )
    except sqlite3.IntegrityError:
        raise EcrError(
            "RepositoryAlreadyExistsException",
            f"The repository with name '{name}' already exists in the registry with id '{place.account}'",
        ) from None
    return {"repository": _described(registry, registry.repository(name))}


def describe_repositories(registry: Registry, asked: Json) -> Json:
    paging.refuse_both(asked, "repositoryNames")
    if names := asked.get("repositoryNames"):
        return {"repositories": [_described(registry, registry.repository(name)) for name in names]}
    rows, following = paging.of_registry(registry, "repositories", "name", asked)
    return {"repositories": [_described(registry, row) for row in rows]} | following


def delete_repository(registry: Registry, asked: Json) -> Json:
    row = registry.repository(asked["repositoryName"])
    has_images = registry.state.one("SELECT 1 FROM images WHERE repository = ? LIMIT 1", row["id"])
    if has_images and not asked.get("force", False):
        raise EcrError(
            "RepositoryNotEmptyException",
            f"The repository with name '{row['name']}' in registry with id '{registry.place.account}' "
            "cannot be deleted because it still contains images",
        )
    answer = {"repository": _described(registry, row)}
    registry.state.sql.execute("DELETE FROM repositories WHERE id = ?", (row["id"],))
    return answer


def put_image_tag_mutability(registry: Registry, asked: Json) -> Json:
    row = registry.repository(asked["repositoryName"])
    mutability = asked["imageTagMutability"]
    exclusions = asked.get("imageTagMutabilityExclusionFilters", [])
    _check_exclusions(mutability, exclusions)
    registry.state.sql.execute(
        "UPDATE repositories SET mutability = ?, exclusions = ? WHERE id = ?",
        (mutability, json.dumps(exclusions), row["id"]),
    )
    answer = registry.named(row["name"]) | {"imageTagMutability": mutability}
    return answer | ({"imageTagMutabilityExclusionFilters": exclusions} if exclusions else {})


def put_image_scanning_configuration(registry: Registry, asked: Json) -> Json:
    row = registry.repository(asked["repositoryName"])
    enabled = asked["imageScanningConfiguration"].get("scanOnPush", False)
    registry.state.sql.execute("UPDATE repositories SET scan_on_push = ? WHERE id = ?", (enabled, row["id"]))
    return registry.named(row["name"]) | {"imageScanningConfiguration": {"scanOnPush": enabled}}


def list_tags_for_resource(registry: Registry, asked: Json) -> Json:
    tags = json.loads(_by_arn(registry, asked["resourceArn"])["tags"])
    return {"tags": [{"Key": key, "Value": value} for key, value in tags.items()]}


def tag_resource(registry: Registry, asked: Json) -> Json:
    row = _by_arn(registry, asked["resourceArn"])
    _keep_tags(registry, row, _merged(json.loads(row["tags"]), asked["tags"]))
    return {}


def untag_resource(registry: Registry, asked: Json) -> Json:
    row = _by_arn(registry, asked["resourceArn"])
    gone = set(asked["tagKeys"])
    _keep_tags(registry, row, {key: value for key, value in json.loads(row["tags"]).items() if key not in gone})
    return {}


def _keep_tags(registry: Registry, row: sqlite3.Row, tags: Mapping[str, str]) -> None:
    registry.state.sql.execute("UPDATE repositories SET tags = ? WHERE id = ?", (json.dumps(tags), row["id"]))


def _by_arn(registry: Registry, arn: str) -> sqlite3.Row:
    prefix = registry.place.repository_arn("")
    if not arn.startswith(prefix):
        raise invalid(f"Invalid parameter at 'resourceArn': {arn} is not a repository of this registry")
    return registry.repository(arn.removeprefix(prefix))


def _merged(before: Mapping[str, str], given: list[Json]) -> dict[str, str]:
    for tag in given:
        is_in_size = 1 <= len(tag["Key"]) <= _MOST_TAG_KEY and len(tag["Value"]) <= _MOST_TAG_VALUE
        if not is_in_size or tag["Key"].lower().startswith("aws:"):
            raise EcrError("InvalidTagParameterException", f"The tag {tag['Key']!r} is not valid")
    if len({tag["Key"] for tag in given}) != len(given):
        raise EcrError("InvalidTagParameterException", "Two tags have the same key")
    merged = {**before, **{tag["Key"]: tag["Value"] for tag in given}}
    if len(merged) > _MOST_TAGS:
        raise EcrError("TooManyTagsException", f"A repository has at most {_MOST_TAGS} tags")
    return merged


def _check_exclusions(mutability: str, exclusions: list[Json]) -> None:
    if bool(exclusions) != mutability.endswith(_WITH_EXCLUSION):
        raise invalid(
            "Invalid parameter at 'imageTagMutabilityExclusionFilters': filters go with, and only with, a mutability "
            "that ends in _WITH_EXCLUSION"
        )


def _described(registry: Registry, row: sqlite3.Row) -> Json:
    name, exclusions = row["name"], json.loads(row["exclusions"])
    answer = {
        "repositoryArn": registry.place.repository_arn(name),
        **registry.named(name),
        "repositoryUri": f"{registry.host}/{name}",
        "createdAt": row["created_at"],
        "imageTagMutability": row["mutability"],
        "imageScanningConfiguration": {"scanOnPush": bool(row["scan_on_push"])},
        "encryptionConfiguration": json.loads(row["encryption"]),
    }
    return answer | ({"imageTagMutabilityExclusionFilters": exclusions} if exclusions else {})
