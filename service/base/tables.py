"""The tables, the same on SQLite and PostgreSQL. A change here needs a migration; a test compares the two."""

from datetime import UTC, datetime
from typing import Any

from sqlalchemy import JSON, DateTime, Dialect, Index, Table, TypeDecorator, false, text
from sqlmodel import Field, SQLModel


class UtcDateTime(TypeDecorator[datetime]):
    """An aware UTC time. SQLite keeps no zone, so reading puts it back; writing refuses a naive time."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:  # noqa: ARG002 - its signature
        if value is not None and value.tzinfo is None:
            raise ValueError("a naive time can't be stored")
        return value.astimezone(UTC) if value else None

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:  # noqa: ARG002 - as above
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


class _NullableJson(TypeDecorator[Any]):
    """JSON whose None is SQL's NULL."""

    impl = JSON(none_as_null=True)
    cache_ok = True


def _partial_index(name: str, where: str, *columns: str, unique: bool = False) -> Index:
    return Index(name, *columns, unique=unique, sqlite_where=text(where), postgresql_where=text(where))


class OperationRow(SQLModel, table=True):
    """The audit trail: what was about to be done, and what came of it. A trigger makes a completed row immutable."""

    __tablename__ = "operations"
    __table_args__ = (
        # A page of the trail by one filter, or by an action with a status, is a range of one of these.
        Index("ix_operations_completed", "completed_at", "id"),
        Index("ix_operations_actor", "actor", "completed_at", "id"),
        Index("ix_operations_label", "actor_label", "completed_at", "id"),
        Index("ix_operations_action", "action", "status", "completed_at", "id"),
        _partial_index("ix_operations_odd", "status <> 'succeeded'", "status", "completed_at", "id"),
        _partial_index("ix_operations_open", "completed_at IS NULL", "deadline_at"),
        # A step of a job is one row, however often it is tried.
        _partial_index("ix_operations_step", "parent_id IS NOT NULL", "parent_id", "action", "item", unique=True),
    )

    id: str = Field(primary_key=True, max_length=36)
    parent_id: str | None = Field(None, max_length=36)
    actor: str = Field(max_length=64)
    actor_label: str = Field(max_length=128)
    action: str = Field(max_length=64)
    registry_name: str | None = Field(None, max_length=64)
    target: str = Field(max_length=1024)
    request_id: str = Field(max_length=128)
    request: dict[str, Any] = Field(sa_type=JSON)
    status: str = Field(max_length=16)
    started_at: datetime = Field(sa_type=UtcDateTime)
    deadline_at: datetime = Field(sa_type=UtcDateTime)
    completed_at: datetime | None = Field(None, sa_type=UtcDateTime)
    code: str | None = Field(None, max_length=64)
    aws: dict[str, Any] | None = Field(None, sa_type=_NullableJson)
    result: dict[str, Any] | None = Field(None, sa_type=_NullableJson)
    replay_of: str | None = Field(None, max_length=36)
    settled_by: str | None = Field(None, max_length=16)
    note: str | None = Field(None, max_length=512)
    claimed_until: datetime | None = Field(None, sa_type=UtcDateTime)
    before: dict[str, Any] | None = Field(None, sa_type=_NullableJson)
    seen: dict[str, Any] | None = Field(None, sa_type=_NullableJson)
    client_address: str | None = Field(None, max_length=64)
    subjects: list[str] | None = Field(None, sa_type=_NullableJson)
    item: str = Field("", max_length=512, sa_column_kwargs={"server_default": ""})


class OperationSubjectRow(SQLModel, table=True):
    """By what a completed operation is found (`operations/subjects.py`); triggers write it from its row."""

    __tablename__ = "operation_subjects"
    __table_args__ = {"sqlite_with_rowid": False}

    subject: str = Field(primary_key=True, max_length=1024)
    completed_at: datetime = Field(primary_key=True, sa_type=UtcDateTime)
    operation_id: str = Field(primary_key=True, max_length=36)


class IdempotencyKeyRow(SQLModel, table=True):
    """Which operation a caller's Idempotency-Key stands for, and the hash of the request that brought it."""

    __tablename__ = "idempotency_keys"

    actor: str = Field(primary_key=True, max_length=64)
    key: str = Field(primary_key=True, max_length=255)
    operation_id: str = Field(foreign_key="operations.id", index=True, max_length=36)
    fingerprint: str = Field(max_length=64)
    expires_at: datetime = Field(sa_type=UtcDateTime, index=True)


class KeyRow(SQLModel, table=True):
    """Who may call: a key with its bindings. Its id is the actor of the audit trail and outlives rotation."""

    __tablename__ = "keys"

    id: str = Field(primary_key=True, max_length=36)
    label: str = Field(max_length=128)
    bindings: list[dict[str, str | None]] = Field(sa_type=JSON)
    is_written_out: bool = Field(sa_column_kwargs={"server_default": false()})
    created_at: datetime = Field(sa_type=UtcDateTime)
    created_by: str = Field(max_length=64)
    expires_at: datetime | None = Field(None, sa_type=UtcDateTime)
    revoked_at: datetime | None = Field(None, sa_type=UtcDateTime)
    last_used_at: datetime | None = Field(None, sa_type=UtcDateTime)


class KeySecretRow(SQLModel, table=True):
    """A secret of a key, as its SHA-256. Rotation adds one and gives those before it an end."""

    __tablename__ = "key_secrets"

    sha256: str = Field(primary_key=True, max_length=64)
    key_id: str = Field(foreign_key="keys.id", index=True, max_length=36)
    created_at: datetime = Field(sa_type=UtcDateTime)
    expires_at: datetime | None = Field(None, sa_type=UtcDateTime)


class DeploymentTargetRow(SQLModel, table=True):
    """A workload's latest generation: raised by each accepted request, in the transaction that accepts it."""

    __tablename__ = "deployment_targets"

    cluster: str = Field(primary_key=True, max_length=64)
    namespace: str = Field(primary_key=True, max_length=63)
    name: str = Field(primary_key=True, max_length=63)
    generation: int


class DeploymentRow(SQLModel, table=True):
    """A rollout, from its acceptance on. Its id is that of the operation that accepted it."""

    __tablename__ = "deployments"
    __table_args__ = (
        Index("ix_deployments_target", "cluster", "namespace", "name", "generation", unique=True),
        Index("ix_deployments_active", "finished_at", "lease_until"),
        # What `deployments/values` looks for, in the words that each engine's own statement has.
        Index(
            "ix_deployments_values",
            *("cluster", "namespace", "name", "generation"),
            sqlite_where=text("keeps_values IS NOT 0"),
            postgresql_where=text("keeps_values IS NOT false"),
        ),
    )

    id: str = Field(primary_key=True, foreign_key="operations.id", max_length=36)
    kind: str = Field(max_length=16)
    cluster: str = Field(max_length=64)
    namespace: str = Field(max_length=63)
    name: str = Field(max_length=63)
    generation: int
    spec: dict[str, Any] = Field(sa_type=JSON)
    image: str = Field(max_length=512)
    image_uri: str = Field(max_length=512)
    digest: str = Field(max_length=80)
    checks: dict[str, Any] = Field(sa_type=JSON)
    actor: str = Field(max_length=64)
    actor_label: str = Field(max_length=128)
    request_id: str = Field(max_length=128)
    status: str = Field(max_length=16)
    progress: dict[str, Any] | None = Field(None, sa_type=_NullableJson)
    reason: dict[str, Any] | None = Field(None, sa_type=_NullableJson)
    urls: list[str] = Field(sa_type=JSON)
    accepted_at: datetime = Field(sa_type=UtcDateTime)
    started_at: datetime | None = Field(None, sa_type=UtcDateTime)
    progressed_at: datetime | None = Field(None, sa_type=UtcDateTime)
    cluster_away_since: datetime | None = Field(None, sa_type=UtcDateTime)
    finished_at: datetime | None = Field(None, sa_type=UtcDateTime)
    superseded_by: str | None = Field(None, max_length=36)
    rollback_to: str | None = Field(None, max_length=36)
    rolled_back_by: str | None = Field(None, max_length=36)
    lease_owner: str | None = Field(None, max_length=36)
    lease_until: datetime | None = Field(None, sa_type=UtcDateTime)
    keeps_values: bool | None = None


class DeploymentEventRow(SQLModel, table=True):
    """What happened to a deployment, in order: what its event stream sends, and resumes from."""

    __tablename__ = "deployment_events"

    deployment_id: str = Field(primary_key=True, foreign_key="deployments.id", max_length=36)
    number: int = Field(primary_key=True)
    at: datetime = Field(sa_type=UtcDateTime)
    type: str = Field(max_length=32)
    data: dict[str, Any] = Field(sa_type=JSON)


class JobRow(SQLModel, table=True):
    """Long work, from its acceptance on. Its id is that of the operation that accepted it."""

    __tablename__ = "jobs"
    __table_args__ = (
        # At most one at a time is about the same.
        _partial_index("ix_jobs_live", "finished_at IS NULL", "kind", "key", unique=True),
        # No column that a lease changes, so that renewing one touches no index.
        _partial_index("ix_jobs_due", "finished_at IS NULL", "run_at"),
        Index("ix_jobs_actor", "actor", "id"),
    )

    id: str = Field(primary_key=True, foreign_key="operations.id", max_length=36)
    kind: str = Field(max_length=32)
    key: str = Field(max_length=512)
    payload: dict[str, Any] = Field(sa_type=JSON)
    state: str = Field(max_length=16)
    run_at: datetime = Field(sa_type=UtcDateTime)
    attempts: int
    max_attempts: int | None = None
    lease_owner: str | None = Field(None, max_length=36)
    lease_until: datetime | None = Field(None, sa_type=UtcDateTime)
    epoch: int
    progress: dict[str, Any] | None = Field(None, sa_type=_NullableJson)
    error: dict[str, Any] | None = Field(None, sa_type=_NullableJson)
    actor: str = Field(max_length=64)
    actor_label: str = Field(max_length=128)
    request_id: str = Field(max_length=128)
    target: str = Field(max_length=1024)
    created_at: datetime = Field(sa_type=UtcDateTime)
    started_at: datetime | None = Field(None, sa_type=UtcDateTime)
    cancel_requested_at: datetime | None = Field(None, sa_type=UtcDateTime)
    finished_at: datetime | None = Field(None, sa_type=UtcDateTime)


class JobItemRow(SQLModel, table=True):
    """One of the many things that a job does the same with."""

    __tablename__ = "job_items"
    __table_args__ = (Index("ix_job_items_key", "job_id", "key", unique=True),)

    job_id: str = Field(primary_key=True, foreign_key="jobs.id", max_length=36)
    number: int = Field(primary_key=True)
    key: str = Field(max_length=512)
    state: str = Field(max_length=16)
    result: dict[str, Any] | None = Field(None, sa_type=_NullableJson)


class JobEventRow(SQLModel, table=True):
    """What happened to a job, in order: what its event stream sends, and resumes from."""

    __tablename__ = "job_events"

    job_id: str = Field(primary_key=True, foreign_key="jobs.id", max_length=36)
    number: int = Field(primary_key=True)
    at: datetime = Field(sa_type=UtcDateTime)
    type: str = Field(max_length=32)
    data: dict[str, Any] = Field(sa_type=JSON)


class ScheduleRow(SQLModel, table=True):
    """When the next job of a kind is to be accepted without anybody's asking, and how many seconds after that again."""

    __tablename__ = "schedules"

    name: str = Field(primary_key=True, max_length=64)
    kind: str = Field(max_length=32)
    every: int
    next_at: datetime = Field(sa_type=UtcDateTime)
    payload: dict[str, Any] = Field(sa_type=JSON)


def _table(name: str) -> Table:
    return SQLModel.metadata.tables[name]


operations = _table("operations")
operation_subjects = _table("operation_subjects")
idempotency_keys = _table("idempotency_keys")
keys = _table("keys")
key_secrets = _table("key_secrets")
deployment_targets = _table("deployment_targets")
deployments = _table("deployments")
deployment_events = _table("deployment_events")
jobs = _table("jobs")
job_items = _table("job_items")
job_events = _table("job_events")
schedules = _table("schedules")
