"""What the interface says of API keys."""

from typing import Annotated

from pydantic import AfterValidator, AwareDatetime, Field, StrictInt, StringConstraints

from service.access.authz import Binding
from service.base.clock import utcnow
from service.models.common import Model, Page, UtcTime

_WEEK = 7 * 24 * 3600


def _in_the_future(when: UtcTime) -> UtcTime:
    if when <= utcnow():
        raise ValueError("must be in the future")
    return when


Label = Annotated[
    str,
    StringConstraints(pattern=r"^[^\s\x00-\x1f\x7f-\x9f][^\x00-\x1f\x7f-\x9f]*$", max_length=128),
    Field(description="Who or what holds the key, for people", examples=["ci of team"]),
]


class KeyCreate(Model):
    """A key to make: for whom, and what it may."""

    label: Label
    bindings: list[Binding] = Field(
        min_length=1, max_length=100, examples=[[{"role": "developer", "repository": "team"}]]
    )
    expires_at: Annotated[UtcTime, AfterValidator(_in_the_future)] | None = Field(
        None, description="When the key ends by itself; without it, never"
    )


class KeyRotate(Model):
    """How the old secrets end."""

    overlap_seconds: StrictInt = Field(
        3600, ge=0, le=_WEEK, description="How long the secrets before the new one still work"
    )


class Key(Model):
    """A key as it is listed: never its secret. Its id is the actor of the audit trail, also after a rotation."""

    id: str
    label: str
    bindings: list[Binding]
    warnings: list[str] = Field(
        description="What a binding reaches, perhaps unmeant: it is of when naming one side left the other at `*`"
    )
    created_at: AwareDatetime
    created_by: str = Field(description="The id of the key that made it; `cli` or `bootstrap` for an operator")
    expires_at: AwareDatetime | None
    revoked_at: AwareDatetime | None
    last_used_at: AwareDatetime | None = Field(description="To the minute")


class NewKey(Key):
    """A key with its secret."""

    secret: str = Field(description="Shown this once", examples=["whf_…"])


class RotatedKey(NewKey):
    """A key with its new secret."""

    previous_until: AwareDatetime = Field(description="When the secrets before this one end, at the latest")


class KeyPage(Page):
    """One page of keys."""

    items: list[Key]
