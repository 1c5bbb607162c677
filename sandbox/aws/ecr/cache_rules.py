"""Pull-through cache rules: kept and told. Nothing is imported by them yet."""

import sqlite3

from sandbox.aws.ecr import paging
from sandbox.aws.ecr.errors import EcrError
from sandbox.aws.ecr.registry import Json, Registry
from sandbox.clock import CLOCK


def create_pull_through_cache_rule(registry: Registry, asked: Json) -> Json:
    prefix = asked["ecrRepositoryPrefix"]
    values = (*_place(registry), prefix, asked["upstreamRegistryUrl"], CLOCK.time())
    try:
        registry.state.sql.execute("INSERT INTO cache_rules VALUES (?, ?, ?, ?, ?)", values)
    except sqlite3.IntegrityError:
        text = f"A pull through cache rule with the prefix '{prefix}' already exists"
        raise EcrError("PullThroughCacheRuleAlreadyExistsException", text) from None
    return _told(registry, _required(registry, prefix))


def describe_pull_through_cache_rules(registry: Registry, asked: Json) -> Json:
    paging.refuse_both(asked, "ecrRepositoryPrefixes")
    if prefixes := asked.get("ecrRepositoryPrefixes"):
        return {"pullThroughCacheRules": [_told(registry, _required(registry, prefix)) for prefix in prefixes]}
    rows, following = paging.of_registry(registry, "cache_rules", "prefix", asked)
    return {"pullThroughCacheRules": [_told(registry, row) for row in rows]} | following


def delete_pull_through_cache_rule(registry: Registry, asked: Json) -> Json:
    row = _required(registry, asked["ecrRepositoryPrefix"])
    registry.state.sql.execute(
        "DELETE FROM cache_rules WHERE account = ? AND region = ? AND prefix = ?", (*_place(registry), row["prefix"])
    )
    return _told(registry, row)


def _required(registry: Registry, prefix: str) -> sqlite3.Row:
    row = registry.state.one(
        "SELECT * FROM cache_rules WHERE account = ? AND region = ? AND prefix = ?", *_place(registry), prefix
    )
    if row is None:
        text = f"A pull through cache rule with the prefix '{prefix}' does not exist"
        raise EcrError("PullThroughCacheRuleNotFoundException", text)
    return row


def _place(registry: Registry) -> tuple[str, str]:
    return registry.place.account, registry.place.region


def _told(registry: Registry, row: sqlite3.Row) -> Json:
    return {
        "ecrRepositoryPrefix": row["prefix"],
        "upstreamRegistryUrl": row["upstream_url"],
        "createdAt": row["created_at"],
        "registryId": registry.place.account,
    }
