"""AWS SDK clients of the sandbox."""

import json
from contextlib import AbstractAsyncContextManager
from functools import cache
from typing import Any

from aiobotocore.config import AioConfig
from aiobotocore.session import AioSession

from sandbox.aws.identities import OPERATOR, Credentials
from sandbox.server import Sandbox
from service.clients.aws.models import OVERLAY
from tests.conftest import ACCOUNT, REGION


def sdk(
    service: str, aws: Sandbox, *, account: str = ACCOUNT, user: str = OPERATOR, keys: Credentials | None = None
) -> AbstractAsyncContextManager[Any]:
    """A client under a user's key, or the one given."""
    mine = keys or aws.credentials(user, account)
    client: AbstractAsyncContextManager[Any] = _session().create_client(
        service,
        REGION,
        endpoint_url=aws.endpoint(account, REGION),
        aws_access_key_id=mine.access_key,
        aws_secret_access_key=mine.secret_key,
        config=AioConfig(retries={"total_max_attempts": 1}),
    )
    return client


def session_sdk(service: str, aws: Sandbox, credentials: dict[str, str]) -> AbstractAsyncContextManager[Any]:
    """A client under the credentials that AssumeRole gave."""
    client: AbstractAsyncContextManager[Any] = _session().create_client(
        service,
        REGION,
        endpoint_url=aws.endpoint(ACCOUNT, REGION),
        aws_access_key_id=credentials["AccessKeyId"],
        aws_secret_access_key=credentials["SecretAccessKey"],
        aws_session_token=credentials["SessionToken"],
        config=AioConfig(retries={"total_max_attempts": 1}),
    )
    return client


@cache
def _session() -> AioSession:
    """With the operations that the pinned botocore lacks; one for all clients, as each would read its models anew."""
    session = AioSession()
    session.get_component("data_loader").search_paths.insert(0, str(OVERLAY))
    return session


async def deny_us(iam: Any, action: str) -> None:  # noqa: ANN401 - the SDK's client
    """Take an action from wharfinger's own role."""
    denied = {"Effect": "Deny", "Action": action, "Resource": "*"}
    document = json.dumps({"Version": "2012-10-17", "Statement": [denied]})
    await iam.put_role_policy(RoleName="wharfinger", PolicyName="deny", PolicyDocument=document)
