"""What can be asked for, and which roles grant it."""

from enum import StrEnum


class Role(StrEnum):
    """What its holder may do; the README has the table."""

    VIEWER = "viewer"
    DEVELOPER = "developer"
    DEPLOYER = "deployer"
    PRIVILEGED_DEPLOYER = "privileged_deployer"
    AUDITOR = "auditor"
    ADMIN = "admin"


class Action(StrEnum):
    """What can be asked for; mutating ones are the `action` of an audit row."""

    REPOSITORY_READ = "repository.read"
    REPOSITORY_CREATE = "repository.create"
    REPOSITORY_UPDATE = "repository.update"
    REPOSITORY_DELETE = "repository.delete"
    IMAGE_TAG = "image.tag"
    IMAGE_DELETE = "image.delete"
    POLICY_PUT = "policy.put"
    POLICY_PUT_FOREIGN = "policy.put_foreign"
    POLICY_DELETE = "policy.delete"
    TOKEN_PULL = "token.pull"  # noqa: S105 - the name of an action
    TOKEN_PUSH = "token.push"  # noqa: S105 - likewise
    TOKEN_REGISTRY = "token.registry"  # noqa: S105 - likewise
    DEPLOYMENT_READ = "deployment.read"
    DEPLOYMENT_CREATE = "deployment.create"
    DEPLOYMENT_ROLLBACK = "deployment.rollback"
    DEPLOYMENT_CANCEL = "deployment.cancel"
    DEPLOYMENT_DELETE = "deployment.delete"
    DEPLOYMENT_FORCE = "deployment.force"
    DEPLOYMENT_ADOPT = "deployment.adopt"
    DEPLOYMENT_SERVICE_ACCOUNT = "deployment.service_account"
    DEPLOYMENT_RESERVED_NAMESPACE = "deployment.reserved_namespace"
    JOB_READ = "job.read"
    JOB_READ_ALL = "job.read_all"
    JOB_CANCEL = "job.cancel"
    JOB_CANCEL_ALL = "job.cancel_all"
    JOB_RETRY = "job.retry"
    AUDIT_READ = "audit.read"
    AUDIT_READ_ALL = "audit.read_all"
    KEY_READ = "key.read"
    KEY_CREATE = "key.create"
    KEY_ROTATE = "key.rotate"
    KEY_REVOKE = "key.revoke"


class Step(StrEnum):
    """What a rollout does to a cluster, and what a schedule sets off: the `action` of rows that no call asks for.

    No sweep settles it: whoever takes a rollout over does the step again, which makes what is there already no other.
    """

    APPLY_DEPLOYMENT = "cluster.apply_deployment"
    APPLY_SERVICE = "cluster.apply_service"
    DELETE_SERVICE = "cluster.delete_service"
    DELETE_DEPLOYMENT = "cluster.delete_deployment"
    JOB_SCHEDULE = "job.schedule"


READ_ACTIONS = frozenset(
    {
        Action.REPOSITORY_READ,
        Action.DEPLOYMENT_READ,
        Action.JOB_READ,
        Action.JOB_READ_ALL,
        Action.AUDIT_READ,
        Action.AUDIT_READ_ALL,
        Action.KEY_READ,
    }
)
"""They change nothing, and leave no row."""
RIGHTS = frozenset(
    {
        Action.DEPLOYMENT_FORCE,
        Action.DEPLOYMENT_ADOPT,
        Action.DEPLOYMENT_SERVICE_ACCOUNT,
        Action.DEPLOYMENT_RESERVED_NAMESPACE,
        Action.JOB_CANCEL_ALL,
    }
)
"""Asked for beside another action, whose row it is."""
CHANGES = frozenset(Action) - READ_ACTIONS - RIGHTS
"""Each leaves a row, and has a way in which that is settled (`Operations.settles`)."""

_EVERYONE = frozenset(Role)
_DEVELOPERS = frozenset({Role.DEVELOPER, Role.ADMIN})
_PRIVILEGED = frozenset({Role.PRIVILEGED_DEPLOYER, Role.ADMIN})
_DEPLOYERS = _PRIVILEGED | {Role.DEPLOYER}
_AUDITORS = frozenset({Role.AUDITOR, Role.ADMIN})
_ADMINS = frozenset({Role.ADMIN})

GRANTS: dict[Action, frozenset[Role]] = {
    Action.REPOSITORY_READ: _EVERYONE,
    Action.REPOSITORY_CREATE: _DEVELOPERS,
    Action.REPOSITORY_UPDATE: _DEVELOPERS,
    Action.REPOSITORY_DELETE: _DEVELOPERS,
    Action.IMAGE_TAG: _DEVELOPERS,
    Action.IMAGE_DELETE: _DEVELOPERS,
    Action.POLICY_PUT: _DEVELOPERS,
    Action.POLICY_PUT_FOREIGN: _ADMINS,
    Action.POLICY_DELETE: _DEVELOPERS,
    Action.TOKEN_PULL: _DEVELOPERS | _DEPLOYERS,
    Action.TOKEN_PUSH: _DEVELOPERS,
    Action.TOKEN_REGISTRY: _ADMINS,
    Action.DEPLOYMENT_READ: _EVERYONE,
    Action.DEPLOYMENT_CREATE: _DEPLOYERS,
    Action.DEPLOYMENT_ROLLBACK: _DEPLOYERS,
    Action.DEPLOYMENT_CANCEL: _DEPLOYERS,
    Action.DEPLOYMENT_DELETE: _DEPLOYERS,
    Action.DEPLOYMENT_FORCE: _ADMINS,
    Action.DEPLOYMENT_ADOPT: _ADMINS,
    Action.DEPLOYMENT_SERVICE_ACCOUNT: _PRIVILEGED,
    Action.DEPLOYMENT_RESERVED_NAMESPACE: _PRIVILEGED,
    Action.JOB_READ: _EVERYONE,
    Action.JOB_READ_ALL: _AUDITORS,
    Action.JOB_CANCEL: _EVERYONE,
    Action.JOB_CANCEL_ALL: _ADMINS,
    Action.JOB_RETRY: _ADMINS,
    Action.AUDIT_READ: _EVERYONE,
    Action.AUDIT_READ_ALL: _AUDITORS,
    Action.KEY_READ: _ADMINS,
    Action.KEY_CREATE: _ADMINS,
    Action.KEY_ROTATE: _ADMINS,
    Action.KEY_REVOKE: _ADMINS,
}
