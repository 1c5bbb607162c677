"""Going back: which deployment to, as it was asked for or by itself, and what the rollback takes from it."""

from service.base.errors import ConflictError
from service.deployments.record import DeploymentRecord
from service.deployments.store import DeploymentStore
from service.deployments.values import FORGOTTEN
from service.models.deployments import DeploymentKind, DeploymentStatus
from service.operations.calls import Json


async def goal_asked_for(store: DeploymentStore, record: DeploymentRecord, to: str | None) -> DeploymentRecord | None:
    """A named one that fits, or the last success before `record`."""
    if to is None:
        return await store.last_success(record.place, record.generation, with_image=True)
    goal = await store.get(to)
    is_fit = goal is not None and goal.place == record.place and goal.kind is not DeploymentKind.DELETE
    return goal if goal is not None and is_fit and goal.status is DeploymentStatus.SUCCEEDED else None


async def goal_by_itself(store: DeploymentStore, failed: DeploymentRecord) -> DeploymentRecord | None:
    """What one that failed goes back to without anybody's asking, if it is to."""
    if not failed.is_to_be_rolled_back:
        return None
    last = await store.last_success(failed.place, failed.generation)
    # Not behind a removal: what somebody took away does not come back by itself.
    return last if last is not None and last.kind is not DeploymentKind.DELETE else None


def require_goal(record: DeploymentRecord, goal: DeploymentRecord | None, named: str | None) -> DeploymentRecord:
    """:raises ConflictError: there is none (`nothing_to_roll_back_to`), or it can't be had again as it was."""
    if goal is None:
        which = f"has no deployment {named} that succeeded" if named else "has no earlier deployment that succeeded"
        text = f"There is nothing to go back to: {record.place} {which}."
        raise ConflictError(text, code="nothing_to_roll_back_to")
    if goal.stored_spec.get(FORGOTTEN):
        raise ConflictError(
            f"The values of the environment of deployment {goal.id} are not kept any more: deploy it anew.",
            code="environment_forgotten",
        )
    return goal


def facts_of_rollback(goal: DeploymentRecord) -> Json:
    """Of the deployment that goes back to `goal`, all but whose it is."""
    return goal.carried() | {"kind": DeploymentKind.ROLLBACK, "rollback_to": goal.id}
