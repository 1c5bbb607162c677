"""`/v1/registries`."""

from service.models.common import Model, Page


class Registry(Model):
    """A registry of the settings."""

    name: str
    account_id: str
    region: str
    is_default: bool
    vends_credentials: bool


class RegistryStatus(Registry):
    """A registry, and what AWS says of it just now."""

    reachable: bool
    problem: str | None
    settings: dict[str, str]


class RegistryList(Page):
    """All that the caller may know of."""

    items: list[Registry]
