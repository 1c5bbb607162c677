"""Docker credentials: vended for named repositories and actions, each with a durable row, never stored."""

import asyncio
import hashlib
import re
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import timedelta
from weakref import WeakValueDictionary

from service.access.actions import Action
from service.access.authz import Caller, Target
from service.base.clock import utcnow
from service.base.errors import ConflictError, DeadlineError, FieldError, InvalidError
from service.base.settings import RegistrySettings
from service.base.telemetry import VENDS
from service.clients.broker import Broker, Credential
from service.clients.ecr.actions import LIST_TAGS, PULL, PUSH
from service.iam.session_policies import MOST_CHARACTERS, session_policy
from service.models.audit import Status
from service.models.tokens import Token, TokenAction, TokenRequest, TokenScope
from service.operations.calls import Call, Done, Intent, Json, Open, Outcome, Settled
from service.operations.operations import Operations, Settling
from service.registry.registries import Registries

_TOKEN_LIFE = timedelta(hours=12)
_MOST_CACHED = 10_000
_FROM_CACHE, _FROM_AWS = VENDS.labels("cache"), VENDS.labels("aws")


@dataclass(frozen=True, slots=True)
class _Key:
    """Whose credential, where, and how wide: two with the same key are interchangeable."""

    caller: str
    registry: str
    scope: TokenScope
    repositories: tuple[str, ...]
    actions: tuple[TokenAction, ...]


class Tokens:
    def __init__(self, *, registries: Registries, operations: Operations) -> None:
        self._registries = registries
        self._operations = operations
        self._cache: OrderedDict[_Key, Token] = OrderedDict()
        self._vending: WeakValueDictionary[_Key, asyncio.Lock] = WeakValueDictionary()

    @property
    def settling(self) -> Mapping[Action, Settling]:
        actions = (Action.TOKEN_PULL, Action.TOKEN_PUSH, Action.TOKEN_REGISTRY)
        return dict.fromkeys(actions, Settling(_settle))

    async def vend(self, call: Call, registry: str | None, asked: TokenRequest) -> Done[Token]:
        """A credential for what is asked and no more; from the cache where one has time left. Each is an operation.

        :raises ConflictError: the registry has no broker role (`broker_role_missing`).
        :raises InvalidError: the repositories don't fit in one session policy.
        """
        least = timedelta(seconds=asked.min_seconds)
        broker = self._registries.find(registry).broker
        key = _key(call.caller, broker.settings.name, asked)
        intent = _intent(key)
        if (known := self._cached(key, least)) is not None:
            return await self._give_again(call, intent, known)
        return await self._vend_once(call, broker, key, intent, least)

    async def _give_again(self, call: Call, intent: Intent[Token], known: Token) -> Done[Token]:
        done = await self._operations.record(call, intent, Outcome(_facts(known, is_cached=True), known))
        _FROM_CACHE.inc()
        return done

    async def _vend_once(
        self, call: Call, broker: Broker, key: _Key, intent: Intent[Token], least: timedelta
    ) -> Done[Token]:
        """Requests for the same credential wait for the first of them, then have it from the cache."""
        lock = self._vending.setdefault(key, asyncio.Lock())
        try:
            async with asyncio.timeout_at(call.deadline.act_by):
                await lock.acquire()
        except TimeoutError:
            raise DeadlineError("Another request for this credential is still at work.", retry_after=1) from None
        try:
            if (known := self._cached(key, least)) is not None:
                return await self._give_again(call, intent, known)
            return await self._vend(call, broker, key, intent)
        finally:
            lock.release()

    async def _vend(self, call: Call, broker: Broker, key: _Key, intent: Intent[Token]) -> Done[Token]:
        async def act(_: str) -> Outcome[Token]:
            token = _token(await _from_aws(broker, key, call.caller), key)
            return Outcome(_facts(token, is_cached=False), token)

        # A secret is never replayed: a repeated vend is a new operation, so the Idempotency-Key is not claimed.
        done = await self._operations.run(replace(call, idempotency_key=None), intent, act)
        _FROM_AWS.inc()
        self._cache[key] = done.value
        self._cache.move_to_end(key)
        if len(self._cache) > _MOST_CACHED:
            self._cache.popitem(last=False)
        return done

    def _cached(self, key: _Key, least: timedelta) -> Token | None:
        known = self._cache.get(key)
        return known if known is not None and known.expires_at - utcnow() >= least else None


def _key(caller: Caller, registry: str, asked: TokenRequest) -> _Key:
    names, actions = tuple(sorted(set(asked.repositories))), tuple(sorted(asked.actions))
    return _Key(caller.id, registry, asked.scope, names, actions)


def _intent(key: _Key) -> Intent[Token]:
    request = {"scope": key.scope, "repositories": list(key.repositories), "actions": list(key.actions)}
    if key.scope is TokenScope.REGISTRY:
        return Intent(Action.TOKEN_REGISTRY, Target(key.registry), request, restore=None, is_harmless_twice=True)
    asked = [Action.TOKEN_PUSH if one is TokenAction.PUSH else Action.TOKEN_PULL for one in key.actions]
    targets = [Target(key.registry, name) for name in key.repositories]
    return Intent(
        asked[-1],
        Target(key.registry, ",".join(key.repositories)),
        request,
        restore=None,
        requires=tuple((action, target) for action in asked for target in targets),
        targets=targets,
        is_harmless_twice=True,
    )


async def _from_aws(broker: Broker, key: _Key, caller: Caller) -> Credential:
    if broker.settings.broker_role is None:
        if key.scope is TokenScope.REGISTRY:
            return await broker.vend_own()
        raise ConflictError(
            f"Registry {key.registry} can't narrow credentials: set broker_role in its settings "
            "(deploy/iam/broker-policy.json), or ask an admin for scope registry.",
            code="broker_role_missing",
        )
    return await broker.vend(_policy(broker.settings, key), _session_name(caller))


def _policy(settings: RegistrySettings, key: _Key) -> str:
    """:raises InvalidError: these repositories don't fit in one."""
    wanted = {TokenAction.PULL: (*PULL, LIST_TAGS), TokenAction.PUSH: PUSH}
    actions = dict.fromkeys(name for action in key.actions for name in wanted[action])
    policy = session_policy([settings.repository_arn(name) for name in key.repositories or ("*",)], list(actions))
    if len(policy) > MOST_CHARACTERS:
        mistake = FieldError(
            "body.repositories",
            f"too many: their session policy has {len(policy):,} characters of {MOST_CHARACTERS:,}; "
            "name a prefix, as `team/*`, or ask for several credentials",
        )
        raise InvalidError("These repositories don't fit in one credential.", errors=[mistake])
    return policy


def _session_name(caller: Caller) -> str:
    """The caller in CloudTrail: label and id, in the characters and the length that STS allows."""
    label = re.sub(r"[^A-Za-z0-9_+=,.-]", "-", caller.label)
    return f"{label[:27]}@{caller.id}"[:64]


def _facts(token: Token, *, is_cached: bool) -> Json:
    return {
        "sha256": hashlib.sha256(token.password.encode()).hexdigest(),
        "expires_at": token.expires_at.isoformat(),
        "from_cache": is_cached,
    }


def _token(credential: Credential, key: _Key) -> Token:
    return Token(
        username=credential.username,
        password=credential.password,
        registry=key.registry,
        host=credential.endpoint.partition("://")[2],
        expires_at=credential.expires_at,
        scope=key.scope,
        repositories=key.repositories,
        actions=key.actions,
    )


async def _settle(_: Open) -> Settled:
    worst = (utcnow() + _TOKEN_LIFE).isoformat()
    return Settled(Status.UNKNOWN, "assume it was handed out", {"assume_valid_until": worst})
