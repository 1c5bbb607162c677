"""The registries of the settings, by name."""

from collections.abc import Mapping

from service.access import authz
from service.access.authz import Caller
from service.base.errors import WharfingerError
from service.clients.aws.sessions import RegistryClients
from service.clients.registry import Registry
from service.models import registries as models


class Registries:
    """Finds a registry by name; no name means the default."""

    def __init__(self, *, clients: Mapping[str, RegistryClients], default: str | None) -> None:
        self._known = {name: Registry(one) for name, one in clients.items()}
        self.default = default

    def find(self, name: str | None) -> Registry:
        """:raises NotFoundError: there is none of that name, or none is named and there is no default."""
        chosen = name or self.default
        if chosen is None or chosen not in self._known:
            raise authz.no_registry()
        return self._known[chosen]

    def list(self, caller: Caller) -> models.RegistryList:
        known = [self._describe(one) for name, one in self._known.items() if authz.reaches_registry(caller, name)]
        return models.RegistryList(items=known, next_cursor=None)

    async def get(self, caller: Caller, name: str) -> models.RegistryStatus:
        """:raises NotFoundError: there is none of that name that the caller may know of."""
        chosen = self.find(name)
        authz.require_registry(caller, name)
        facts = self._describe(chosen).model_dump()
        try:
            settings = await chosen.account_settings.get()
        except WharfingerError as error:
            return models.RegistryStatus(**facts, reachable=False, problem=error.code, settings={})
        return models.RegistryStatus(**facts, reachable=True, problem=None, settings=settings)

    def _describe(self, registry: Registry) -> models.Registry:
        settings = registry.settings
        return models.Registry(
            name=settings.name,
            account_id=settings.account_id,
            region=settings.region,
            is_default=settings.name == self.default,
            vends_credentials=settings.broker_role is not None,
        )
