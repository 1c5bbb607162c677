"""Repository policies: get, put, delete."""

from collections.abc import Mapping

from service import authz
from service.authz import Action, Caller, Target
from service.clients.ecr_policies import EcrPolicies
from service.errors import FieldError, InvalidError, NotFoundError
from service.ledger import Call, Done, Intent, Open, Outcome, Settled, Status
from service.operations import Operations
from service.policy_documents import Document, hash_of, names_others, parse
from service.policy_reach import places_of_broker
from service.registries import Registries


class Policies:
    def __init__(self, *, registries: Registries, clients: Mapping[str, EcrPolicies], operations: Operations) -> None:
        self._registries = registries
        self._clients = clients
        self._operations = operations
        operations.settles(Action.POLICY_PUT, self._settle_put)
        operations.settles(Action.POLICY_PUT_FOREIGN, self._settle_put)
        operations.settles(Action.POLICY_DELETE, self._settle_delete)

    async def get(self, caller: Caller, registry: str | None, name: str) -> Document:
        """The policy of repository `name`.

        :raises NotFoundError: it has none, or there is no such repository that the caller may know of.
        """
        client = self._find(registry)
        authz.require(caller, Action.REPOSITORY_READ, Target(client.settings.name, name))
        found = await client.get(name)
        if found is None:
            raise NotFoundError("policy", name)
        return found

    async def put(self, call: Call, registry: str | None, name: str, content: bytes) -> Done:
        """Set the policy of repository `name` to a document, sent to AWS as it came.

        :raises InvalidError: the document has mistakes, or lets in the role that vended credentials are narrowed from.
        :raises PreconditionError: `If-Match` names a policy that is gone.
        """
        client = self._find(registry)
        document = parse(content)
        _keep_broker_out(document, client.settings.broker_role)

        async def act(_: str) -> Outcome:
            await _match(client, name, call)
            return Outcome(await client.put(name, content.decode()))

        lets_others_in = names_others(document, client.settings.account_id)
        action = Action.POLICY_PUT_FOREIGN if lets_others_in else Action.POLICY_PUT
        request = {"name": name, "document": document, "sha256": hash_of(document)}
        return await self._operations.run(call, Intent(action, Target(client.settings.name, name), request), act)

    async def delete(self, call: Call, registry: str | None, name: str) -> Done:
        """:raises NotFoundError: there is none."""
        client = self._find(registry)

        async def act(_: str) -> Outcome:
            await _match(client, name, call)
            await client.delete(name)
            return Outcome({})

        intent = Intent(Action.POLICY_DELETE, Target(client.settings.name, name), {"name": name})
        return await self._operations.run(call, intent, act)

    def _find(self, registry: str | None) -> EcrPolicies:
        return self._clients[self._registries.find(registry).name]

    async def _settle_put(self, operation: Open) -> Settled:
        found = await self._found(operation)
        if found is None:
            return Settled(Status.FAILED, "absent: it was not put")
        if hash_of(found) != operation.request["sha256"]:
            return Settled(Status.FAILED, "there is another policy than the one sent")
        return Settled(Status.SUCCEEDED, "found as it was sent", found)

    async def _settle_delete(self, operation: Open) -> Settled:
        if await self._found(operation) is None:
            return Settled(Status.SUCCEEDED, "absent; who deleted it is not proven", {})
        return Settled(Status.FAILED, "it is still there")

    async def _found(self, operation: Open) -> Document | None:
        try:
            return await self._find(operation.registry).get(operation.request["name"])
        except NotFoundError:
            return None


def _keep_broker_out(document: Document, role: str | None) -> None:
    if role and (places := places_of_broker(document, role)):
        kept_out = f'{{"ArnNotEquals": {{"aws:PrincipalArn": "{role}"}}}}'
        reason = f"lets in the role that wharfinger narrows credentials from; the condition {kept_out} keeps it out"
        raise InvalidError(
            "A repository policy may not let in the broker role.",
            code="broker_role_in_policy",
            errors=[FieldError(place, reason) for place in places],
        )


async def _match(client: EcrPolicies, name: str, call: Call) -> None:
    if call.if_match is not None:
        found = await client.get(name)
        call.require_match(None if found is None else f'"{hash_of(found)}"', f"The policy of {name}")
