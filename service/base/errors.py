"""What can go wrong, told apart by what a caller can do about it.

Each error has an HTTP status and a stable `code`; `api/http/problems.py` renders it. Nothing here carries the
words of AWS or a stack trace: those are logged where they occur.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal


@dataclass(frozen=True, slots=True)
class FieldError:
    """One mistake in what the caller sent: where (`body.name`, `query.limit`, `Statement[0].Action`) and why."""

    path: str
    reason: str


@dataclass(frozen=True, slots=True)
class AwsRefusal:
    """The code and request id of a refusal by AWS, so that a user can quote them to AWS support."""

    code: str
    request_id: str | None


@dataclass(frozen=True, slots=True)
class LongWork:
    """Long work that goes on, or has ended, beside the request: by its kind and id it can be looked at."""

    kind: Literal["deployment", "job"]
    id: str


class WharfingerError(Exception):
    """Base of all errors that are part of the interface."""

    status: ClassVar[int]
    title: ClassVar[str]
    code: str
    retryable: bool = False

    def __init__(
        self,
        detail: str,
        *,
        code: str | None = None,
        errors: Sequence[FieldError] = (),
        retry_after: int | None = None,
        retryable: bool | None = None,
        aws: AwsRefusal | None = None,
        work: LongWork | None = None,
        members: Mapping[str, object] | None = None,
    ) -> None:
        super().__init__(detail)
        self.detail = detail
        self.code = code or type(self).code
        self.errors = tuple(errors)
        self.retryable = type(self).retryable if retryable is None else retryable
        self.retry_after = retry_after
        self.aws = aws
        self.work = work
        """What to look at afterwards."""
        self.members = dict(members or {})
        """Extension members of the problem (RFC 9457, section 3.2)."""

    @property
    def whole_detail(self) -> str:
        """With the place and the reason of each mistake, for where `errors` is not kept beside it."""
        where = "; ".join(f"{one.path}: {one.reason}" for one in self.errors)
        return f"{self.detail} {where}".strip()


class ParameterError(WharfingerError):
    """A path, query or header parameter is wrong: mend the request."""

    status, code, title = 400, "invalid_parameter", "A parameter is invalid"


class UnauthenticatedError(WharfingerError):
    """No usable API key came with the request."""

    status, code, title = 401, "unauthenticated", "An API key is required"


class ForbiddenError(WharfingerError):
    """The caller is known and may not do this: ask an admin for a binding."""

    status, code, title = 403, "forbidden", "The caller may not do this"


Noun = Literal[
    "registry",
    "repository",
    "image",
    "policy",
    "policy_template",
    "key",
    "operation",
    "cluster",
    "namespace",
    "deployment",
    "job",
]


class NotFoundError(WharfingerError):
    """It does not exist, or the caller may not know that it does."""

    status, code, title = 404, "not_found", "Not found"

    def __init__(self, noun: Noun, name: str | None, *, why: str = "", aws: AwsRefusal | None = None) -> None:
        words = noun.replace("_", " ")
        what = f"{words} {name!r}" if name else f"such {words}"
        detail = f"There is no {what}. {why}".strip()
        super().__init__(detail, code=f"{noun}_not_found", aws=aws)


class RequestTimeoutError(WharfingerError):
    """The request did not come whole in the time that there is for it; nothing was done."""

    status, code, title, retryable = 408, "request_timeout", "The request did not come in time", True


class ConflictError(WharfingerError):
    """The state of things does not allow it; `code` says which state."""

    status, code, title = 409, "conflict", "The present state does not allow this"


class MayImportError(ConflictError):
    """To read an image may import it from an upstream, which only an operation may do."""

    code, title = "image_may_import", "To read this image may import it"


class InProgressError(ConflictError):
    """The first request with this Idempotency-Key has no known outcome yet."""

    code, title, retryable = "operation_in_progress", "The first request with this key is still at work", True


class UndeterminedError(ConflictError):
    """Nobody can tell any more whether the first request with this Idempotency-Key was done: nothing is done again."""

    code, title = "outcome_undetermined", "What became of the first request with this key can't be told"


class PreconditionError(WharfingerError):
    """`If-Match` names a state that is no longer there: read again, then decide."""

    status, code, title = 412, "precondition_failed", "The resource has changed"


class TooLargeError(WharfingerError):
    """The body is over the limit."""

    status, code, title = 413, "body_too_large", "The request body is too large"


class UnsupportedMediaTypeError(WharfingerError):
    """The body came as something else than JSON, or compressed: mend the header named."""

    status, code, title = 415, "unsupported_media_type", "The body's media type is not supported"


class HeadersTooLargeError(WharfingerError):
    """The request's line and headers are over the limit; the rest of it was not read."""

    status, code, title = 431, "headers_too_large", "The request's headers are too large"


class InvalidError(WharfingerError):
    """The body is wrong: mend the fields named in `errors`."""

    status, code, title = 422, "invalid_body", "The request body is invalid"


class AwsPermissionError(WharfingerError):
    """Our own role lacks a permission: an operator must grant the action named."""

    status, code, title = 502, "aws_permission_missing", "Wharfinger's own role lacks a permission"


class AwsRejectedError(WharfingerError):
    """AWS refused for a reason that the caller can't mend."""

    status, code, title = 502, "aws_rejected", "AWS refused the request"


class AwsThrottledError(WharfingerError):
    """AWS asked us to slow down."""

    status, code, title, retryable = 503, "aws_throttled", "AWS is throttling", True


class AwsUnavailableError(WharfingerError):
    """AWS failed or could not be reached; nothing was done."""

    status, code, title, retryable = 503, "aws_unavailable", "AWS is not available", True


class AnswerLostError(AwsUnavailableError):
    """A request was sent to AWS and no answer came. Never rendered: operations turn it into an unknown outcome."""

    code = "answer_lost"


class PartialError(WharfingerError):
    """Some of a change was made, then AWS refused the rest. A repeat with the same key sends the rest alone."""

    status, code, title = 502, "partially_applied", "Only part of the change was made"

    def __init__(self, applied: Sequence[str], cause: WharfingerError) -> None:
        done = ", ".join(applied)
        super().__init__(f"Changed: {done}. Then: {cause.detail}", retry_after=cause.retry_after, aws=cause.aws)
        self.applied = tuple(applied)


class ClusterUnavailableError(WharfingerError):
    """The cluster's API server failed or could not be reached."""

    status, code, title, retryable = 503, "cluster_unavailable", "The cluster is not available", True


class ClusterPermissionError(WharfingerError):
    """The cluster does not let wharfinger's own identity do this: an operator must mend its access."""

    status, code, title = 502, "cluster_permission_missing", "The cluster refuses wharfinger's own identity"


class ClusterRejectedError(WharfingerError):
    """The cluster refused for a reason that the caller can't mend."""

    status, code, title = 502, "cluster_rejected", "The cluster refused the request"


class DeploymentFailedError(ConflictError):
    """The deployment that was waited for is over without success; the problem carries it."""

    code, title = "deployment_failed", "The deployment failed"


class JobFailedError(ConflictError):
    """The job that was waited for is over without success; the problem carries it."""

    code, title = "job_failed", "The job failed"


class WaitTimeoutError(WharfingerError):
    """The time to wait is up; the work goes on. Look at `work`: asked for again, it may be done again."""

    status, code, title = 504, "wait_timeout", "The time to wait is up; the work goes on"


class OutcomeUnknownError(WharfingerError):
    """It may have been done; the audit row stays open until it is settled. `retryable` only where a repeat is safe."""

    status, code, title, retryable = 503, "outcome_unknown", "The outcome is not known yet", True


class DatabaseError(WharfingerError):
    """The audit trail can't be written, so nothing was done."""

    status, code, title, retryable = 503, "database_unavailable", "The database is not available", True

    @property
    def reason(self) -> str:
        """What the driver said, in one line. It may name hosts and users: for the log and the command line alone."""
        return " ".join(str(getattr(self.__cause__, "orig", self.__cause__)).split())


class DeadlineError(WharfingerError):
    """The request's time was up before anything was changed."""

    status, code, title, retryable = 504, "deadline_exceeded", "The deadline has passed", True


class InternalError(WharfingerError):
    """A defect of ours; the log has the rest under the request id."""

    status, code, title = 500, "internal_error", "Something went wrong in wharfinger"


class CallerGoneError(WharfingerError):
    """The caller hung up before the answer: nobody sees this, but the log line has its status."""

    status, code, title = 499, "caller_gone", "The caller hung up"


class NotServingError(WharfingerError):
    """This process works on jobs alone: whoever sent the request here meant another one."""

    status, code, title, retryable = 503, "not_serving", "This replica works on jobs alone", True


class UnavailableError(WharfingerError):
    """This process takes no more work; another one does."""

    status, code, title, retryable = 503, "shutting_down", "Shutting down", True
