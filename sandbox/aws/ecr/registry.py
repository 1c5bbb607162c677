"""One registry: what every operation starts from, and the few operations about the registry itself."""

import base64
import json
import secrets
import sqlite3
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from sandbox.aws.ecr.errors import EcrError, invalid
from sandbox.clock import CLOCK
from sandbox.places import Place
from sandbox.state import State, sha256_of

Json = dict[str, Any]

LOGIN_LIFE = timedelta(hours=12)
"""Documented by AWS: a token is valid for twelve hours, whichever principal asked."""

_DEFAULT_SETTINGS = {"BASIC_SCAN_TYPE_VERSION": "AWS_NATIVE", "REGISTRY_POLICY_SCOPE": "V2"}


@dataclass(frozen=True, slots=True)
class Registry:
    """An account's registry in a Region, reached at a loopback host."""

    state: State
    place: Place
    host: str
    layer_host: str
    """Where its layers are downloaded from."""

    def repository(self, name: str) -> sqlite3.Row:
        """:raises EcrError: `RepositoryNotFoundException`"""
        row = self.state.one(
            "SELECT * FROM repositories WHERE account = ? AND region = ? AND name = ?",
            self.place.account,
            self.place.region,
            name,
        )
        if row is None:
            raise EcrError(
                "RepositoryNotFoundException",
                f"The repository with name '{name}' does not exist in the registry with id '{self.place.account}'",
            )
        return row

    def policy(self, name: str) -> str | None:
        """The repository's policy document; None also where there is no such repository."""
        row = self.state.one(
            "SELECT policy FROM repositories WHERE account = ? AND region = ? AND name = ?",
            self.place.account,
            self.place.region,
            name,
        )
        return row["policy"] if row else None

    def named(self, name: str) -> Json:
        """The two members that almost every answer begins with."""
        return {"registryId": self.place.account, "repositoryName": name}


def vend_login(registry: Registry, access_key: str) -> Json:
    """GetAuthorizationToken for the principal behind an access key."""
    expires_at = CLOCK.time() + LOGIN_LIFE.total_seconds()
    payload = {"payload": secrets.token_urlsafe(96), "version": "2", "type": "DATA_KEY", "expiration": int(expires_at)}
    password = base64.b64encode(json.dumps(payload).encode()).decode()
    registry.state.sql.execute(
        "INSERT INTO logins VALUES (?, ?, ?)", (sha256_of(password.encode()), access_key, expires_at)
    )
    token = base64.b64encode(f"AWS:{password}".encode()).decode()
    grant = {"authorizationToken": token, "expiresAt": expires_at, "proxyEndpoint": f"http://{registry.host}"}
    return {"authorizationData": [grant]}


def describe_registry(registry: Registry, _: Json) -> Json:
    return {"registryId": registry.place.account, "replicationConfiguration": {"rules": []}}


def get_account_setting(registry: Registry, asked: Json) -> Json:
    name = asked["name"]
    if name not in _DEFAULT_SETTINGS:
        raise invalid(f"Invalid parameter at 'name': there is no account setting {name}")
    row = registry.state.one(
        "SELECT value FROM account_settings WHERE account = ? AND region = ? AND name = ?",
        registry.place.account,
        registry.place.region,
        name,
    )
    return {"name": name, "value": row["value"] if row else _DEFAULT_SETTINGS[name]}


def put_account_setting(registry: Registry, asked: Json) -> Json:
    get_account_setting(registry, asked)
    registry.state.sql.execute(
        "INSERT OR REPLACE INTO account_settings VALUES (?, ?, ?, ?)",
        (registry.place.account, registry.place.region, asked["name"], asked["value"]),
    )
    return {"name": asked["name"], "value": asked["value"]}
