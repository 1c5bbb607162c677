"""Repository policies: get, put, delete."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass

from service.access import authz
from service.access.actions import Action
from service.access.authz import Caller, Target
from service.base.errors import FieldError, InvalidError, NotFoundError
from service.clients.registry import Registry
from service.iam.documents import Document, hash_of, names_others, parse
from service.iam.reach import places_of_broker
from service.operations import settling
from service.operations.calls import Call, Done, Intent, Json, Open, Outcome, Settled, as_recorded, nothing
from service.operations.runner import Operations, Settling
from service.registry.registries import Registries


@dataclass(frozen=True, slots=True)
class _State:
    """What a repository has for a policy; and when it was made, as another one of its name is another matter."""

    document: Document | None
    created_at: str | None

    @property
    def sha256(self) -> str | None:
        return None if self.document is None else hash_of(self.document)

    def facts(self) -> Json:
        return {"sha256": self.sha256, "repository": self.created_at}


class Policies:
    def __init__(self, *, registries: Registries, operations: Operations) -> None:
        self._registries = registries
        self._operations = operations

    @property
    def settling(self) -> Mapping[Action, Settling]:
        put = Settling(self._settle_put, looks=True, call="SetRepositoryPolicy")
        delete = Settling(self._settle_delete, looks=True, call="DeleteRepositoryPolicy")
        return {Action.POLICY_PUT: put, Action.POLICY_PUT_FOREIGN: put, Action.POLICY_DELETE: delete}

    async def get(self, caller: Caller, registry: str | None, name: str) -> Document:
        """The policy of repository `name`.

        :raises NotFoundError: it has none, or there is no such repository that the caller may know of.
        """
        chosen = self._registries.find(registry)
        authz.require(caller, Action.REPOSITORY_READ, Target(chosen.name, name))
        found = await chosen.policies.get(name)
        if found is None:
            raise NotFoundError("policy", name)
        return found

    async def put(self, call: Call, registry: str | None, name: str, content: bytes) -> Done[Document]:
        """Set the policy of repository `name` to a document, sent to AWS as it came.

        :raises InvalidError: the document has mistakes, or lets in the role that vended credentials are narrowed from.
        :raises PreconditionError: `If-Match` names a policy that is gone.
        """
        chosen = self._registries.find(registry)
        document = parse(content)
        _keep_broker_out(document, chosen.settings.broker_role)

        async def act(operation_id: str) -> Outcome[Document]:
            await self._keep(call, operation_id, chosen, name)
            stored = await chosen.policies.put(name, content.decode())
            return Outcome(stored, stored)

        lets_others_in = names_others(document, chosen.settings.account_id)
        action = Action.POLICY_PUT_FOREIGN if lets_others_in else Action.POLICY_PUT
        request = {"name": name, "document": document, "sha256": hash_of(document)}
        intent = Intent(action, Target(chosen.name, name), request, as_recorded, keeps_before=True)
        return await self._operations.run(call, intent, act)

    async def delete(self, call: Call, registry: str | None, name: str) -> Done[None]:
        """:raises NotFoundError: there is none."""
        chosen = self._registries.find(registry)

        async def act(operation_id: str) -> Outcome[None]:
            await self._keep(call, operation_id, chosen, name)
            await chosen.policies.delete(name)
            return Outcome.empty()

        target = Target(chosen.name, name)
        intent = Intent(Action.POLICY_DELETE, target, {"name": name}, nothing, keeps_before=True)
        return await self._operations.run(call, intent, act)

    async def _keep(self, call: Call, operation_id: str, registry: Registry, name: str) -> None:
        """Keep what is there, which is read once: for `If-Match` and for settling."""
        there = await _state(registry, name)
        call.require_match(there.sha256 and f'"{there.sha256}"', f"The policy of {name}")
        await self._operations.keep(operation_id, there.facts())

    async def _settle_put(self, operation: Open) -> Settled:
        there = await _state(self._registries.find(operation.registry), operation.request["name"])
        asked = {"sha256": operation.request["sha256"]}
        return settling.change(
            operation, there.facts(), asked, result=operation.request["document"], found=there.document
        )

    async def _settle_delete(self, operation: Open) -> Settled:
        there = await _state(self._registries.find(operation.registry), operation.request["name"])
        now = None if there.document is None else there.facts()
        return settling.deletion(operation, now, found=there.document)


async def _state(registry: Registry, name: str) -> _State:
    try:
        document, created_at = await asyncio.gather(
            registry.policies.get(name), registry.repositories.creation_time(name)
        )
    except NotFoundError:
        return _State(None, None)
    return _State(document, created_at)


def _keep_broker_out(document: Document, role: str | None) -> None:
    if role and (places := places_of_broker(document, role)):
        kept_out = f'{{"ArnNotEquals": {{"aws:PrincipalArn": "{role}"}}}}'
        reason = f"lets in the role that wharfinger narrows credentials from; the condition {kept_out} keeps it out"
        raise InvalidError(
            "A repository policy may not let in the broker role.",
            code="broker_role_in_policy",
            errors=[FieldError(place, reason) for place in places],
        )
