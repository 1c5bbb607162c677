"""The registries of the settings, by name."""

from collections.abc import Mapping

from service.access import authz
from service.access.authz import Caller
from service.base.errors import WharfingerError
from service.base.settings import RegistrySettings
from service.clients.ecr.repositories import Ecr
from service.models.registries import Registry, RegistryList, RegistryStatus


class Registries:
    """Finds a registry by name; no name means the default: the one set, or the only one."""

    def __init__(self, *, clients: Mapping[str, Ecr], default: str | None) -> None:
        self._clients = clients
        self._default = default or (next(iter(clients)) if len(clients) == 1 else None)

    def find(self, name: str | None) -> Ecr:
        """:raises NotFoundError: there is none of that name, or none is named and there is no default."""
        chosen = name or self._default
        if chosen is None or chosen not in self._clients:
            raise authz.no_registry()
        return self._clients[chosen]

    def list(self, caller: Caller) -> RegistryList:
        known = [
            self._describe(one.settings) for name, one in self._clients.items() if authz.reaches_registry(caller, name)
        ]
        return RegistryList(items=known, next_cursor=None)

    async def get(self, caller: Caller, name: str) -> RegistryStatus:
        """:raises NotFoundError: there is none of that name that the caller may know of."""
        client = self.find(name)
        authz.require_registry(caller, name)
        facts = self._describe(client.settings).model_dump()
        try:
            return RegistryStatus(**facts, reachable=True, problem=None, settings=await client.account_settings())
        except WharfingerError as error:
            return RegistryStatus(**facts, reachable=False, problem=error.code, settings={})

    def _describe(self, settings: RegistrySettings) -> Registry:
        return Registry(
            name=settings.name,
            account_id=settings.account_id,
            region=settings.region,
            is_default=settings.name == self._default,
            vends_credentials=settings.broker_role is not None,
        )
