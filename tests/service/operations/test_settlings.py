"""Every change has its way to be settled, and only what asks AWS is looked at twice."""

from datetime import timedelta

import pytest

from service.access.actions import CHANGES, Action, Step
from service.base.clock import new_id
from service.base.settings import Settings
from service.container import Container
from service.operations.calls import Parent
from service.operations.ledger import Ledger
from tests.crash.kinds import KINDS
from tests.marks import only_sqlite


@only_sqlite
@pytest.mark.asyncio
async def test_every_change_has_its_way_to_be_settled_and_nothing_else_has(settings: Settings) -> None:
    container = await Container.open(settings)
    known = container.operations
    assert {*known.told_actions, *known.looking_actions} == CHANGES
    # What is one commit with its row, or is assumed to be so, needs no look at AWS; all else does.
    own = {one for one in CHANGES if one.startswith(("key.", "token.", "deployment.", "job."))}
    assert set(known.looking_actions) == CHANGES - own
    await container.close()


def test_every_change_that_aws_is_asked_for_is_cut_off_by_a_kill_in_its_midst() -> None:
    asked = {one for one in CHANGES if not one.startswith(("key.", "deployment.", "job."))}
    # By the calls of others: a wider right to the same, and other scopes of the same credential.
    same = {Action.POLICY_PUT_FOREIGN, Action.TOKEN_PUSH, Action.TOKEN_REGISTRY}
    assert {kind.action for kind in KINDS} == asked - same


@only_sqlite
@pytest.mark.asyncio
async def test_a_step_of_a_rollout_is_left_to_whoever_takes_that_over(ledger: Ledger) -> None:
    async def unguarded(_: object) -> None:
        """Nobody else has the rollout."""

    parent = Parent(new_id(), "caller-1", "ci", "request-1", "local/team/app")
    begun = await ledger.open_child(parent, Step.APPLY_DEPLOYMENT, {}, within=timedelta(0), guard=unguarded)
    claimed = await ledger.claim([*Action, *Step], overdue_since=timedelta(hours=-1), hold=timedelta(seconds=30))
    again = await ledger.open_child(parent, Step.APPLY_DEPLOYMENT, {}, within=timedelta(0), guard=unguarded)
    assert (list(claimed), again.id) == ([], begun.id)
