"""Calls and intents of a made-up caller, for what is tested below HTTP."""

from datetime import timedelta

from service.access.actions import Action, Role
from service.access.authz import Binding, Caller, Target
from service.base.deadlines import Deadline
from service.operations.calls import Call, Intent, Json

CALLER = Caller("caller-1", "ci", (Binding(role=Role.DEVELOPER, repository="team"),))


def make_call(
    *,
    key: str | None = None,
    caller: Caller = CALLER,
    fingerprint: str = "the request",
    within: timedelta = timedelta(seconds=10),
) -> Call:
    return Call(
        caller=caller,
        request_id="request-1",
        deadline=Deadline.after(within),
        fingerprint=fingerprint,
        idempotency_key=key,
    )


def as_recorded(result: Json) -> Json:
    """Restores what is recorded as it is answered."""
    return result


def intent(action: Action = Action.REPOSITORY_CREATE, repository: str = "team/app") -> Intent[Json]:
    return Intent(action, Target("local", repository), {"name": repository}, as_recorded)
