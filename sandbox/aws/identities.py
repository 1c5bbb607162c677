"""Who is who: users and roles in moto's IAM, sessions of assumed roles in our own state, seeded to begin with."""

import json
import secrets
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from string import Template
from typing import Any

from moto.iam.models import AccessKey, AWSManagedPolicy, IAMBackend, iam_backends

from sandbox.aws.issuer import AUDIENCE, ISSUER
from sandbox.aws.policy import Principal
from sandbox.clock import CLOCK
from sandbox.places import MAIN_ACCOUNT, MAIN_REGION, OTHER_ACCOUNT
from sandbox.state import State

ADMINISTRATOR = json.dumps(
    {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*"}]}
)
_MAY_ASSUME = json.dumps(
    {
        "Version": "2012-10-17",
        "Statement": [{"Effect": "Allow", "Action": "sts:AssumeRole", "Resource": "arn:aws:iam::*:role/wharfinger"}],
    }
)
_IAM_DOCUMENTS = Path(__file__).parents[2] / "deploy" / "iam"
_NODE_TRUST = json.dumps(
    {
        "Version": "2012-10-17",
        "Statement": [
            {"Effect": "Allow", "Principal": {"Service": "ec2.amazonaws.com"}, "Action": "sts:AssumeRole"},
        ],
    }
)
_PULL_POLICY = "AmazonEC2ContainerRegistryPullOnly"
_PULL = {
    "CreateDate": "2024-10-10T00:00:00+00:00",
    "UpdateDate": "2024-10-10T00:00:00+00:00",
    "Path": "/",
    "DefaultVersionId": "v1",
    "Document": {
        "Version": "2012-10-17",
        "Statement": [
            {
                "Effect": "Allow",
                "Action": [
                    "ecr:GetAuthorizationToken",
                    "ecr:BatchCheckLayerAvailability",
                    "ecr:GetDownloadUrlForLayer",
                    "ecr:BatchGetImage",
                    "ecr:BatchImportUpstreamImage",
                ],
                "Resource": "*",
            }
        ],
    },
}
SERVICE_USER = "wharfinger"
NODE_ROLE = "demo-node"
OPERATOR = "operator"


@dataclass(frozen=True, slots=True)
class Credentials:
    access_key: str
    secret_key: str


@dataclass(frozen=True, slots=True)
class Known:
    """What an access key stands for: its secret, and whose it is."""

    secret: str
    account: str
    user: str | None = None
    role_arn: str | None = None
    session: str | None = None
    session_policies: tuple[str, ...] | None = None
    token: str | None = None
    expires_at: float | None = None

    @property
    def arn(self) -> str:
        if self.role_arn is None:
            return f"arn:aws:iam::{self.account}:user/{self.user}"
        role = self.role_arn.rpartition("/")[2]
        return f"arn:aws:sts::{self.account}:assumed-role/{role}/{self.session}"

    @property
    def is_session(self) -> bool:
        return self.role_arn is not None


class Identities:
    """Looks access keys up. IAM's own state is moto's and ends with the process; what is seeded comes back."""

    def __init__(self, state: State) -> None:
        self._state = state

    def seed(self) -> None:
        """Accounts with an operator, and wharfinger's user and roles by the documents of `deploy/iam/`."""
        for account in (MAIN_ACCOUNT, OTHER_ACCOUNT):
            iam = _iam(account)
            iam.reset()
            self._seed_user(account, OPERATOR, ADMINISTRATOR)
            if account == MAIN_ACCOUNT:
                self._seed_user(account, SERVICE_USER, _MAY_ASSUME)
                _seed_node_role(account)
                iam.create_open_id_connect_provider(f"https://{ISSUER}", [], [AUDIENCE], [])
            _seed_role(account, "wharfinger", "wharfinger-trust.json", "wharfinger-policy.json")
            _seed_role(account, "wharfinger-broker", "broker-trust.json", "broker-policy.json")

    def credentials(self, account: str, user: str) -> Credentials:
        """:raises KeyError: no such user was seeded."""
        row = self._state.one("SELECT id, secret FROM access_keys WHERE account = ? AND user = ?", account, user)
        if row is None:
            raise KeyError(user)
        return Credentials(row["id"], row["secret"])

    def find(self, access_key: str) -> Known | None:
        """What the key stands for, an expired session too: the caller looks at `expires_at`."""
        row = self._state.one("SELECT * FROM sessions WHERE access_key = ?", access_key)
        if row is None:
            return _user_of(access_key)
        return Known(
            secret=row["secret"],
            account=row["account"],
            role_arn=row["role_arn"],
            session=row["name"],
            session_policies=tuple(json.loads(row["policies"])) or None,
            token=row["token"],
            expires_at=row["expires_at"],
        )

    def principal(self, known: Known) -> Principal:
        """The key's owner with the policies that count, as IAM has them now."""
        holder = role(known.role_arn) if known.role_arn else _iam(known.account).users.get(known.user or "")
        return Principal(
            account=known.account,
            arn=known.arn,
            role_arn=known.role_arn,
            identity=tuple(_documents(holder)) if holder else (),
            session=known.session_policies,
        )

    def start_session(self, role_arn: str, name: str, policies: Iterable[str], seconds: int) -> Mapping[str, Any]:
        """Credentials of a new session; as a row of the sessions table."""
        account = role_arn.split(":")[4]
        # moto's, so that the services of its own know the account that the key belongs to.
        key = _iam(account).create_temp_access_key()
        row = {
            "access_key": key.access_key_id,
            "secret": key.secret_access_key,
            "token": secrets.token_urlsafe(180),
            "account": account,
            "role_arn": role_arn,
            "name": name,
            "policies": json.dumps(list(policies)),
            "expires_at": float(int(CLOCK.time()) + seconds),
        }
        self._state.sql.execute(
            "INSERT INTO sessions VALUES (:access_key, :secret, :token, :account, :role_arn, :name, :policies,"
            " :expires_at)",
            row,
        )
        return row

    def _seed_user(self, account: str, name: str, policy: str) -> None:
        iam = _iam(account)
        iam.create_user(region_name=MAIN_REGION, user_name=name)
        iam.put_user_policy(name, "seeded", policy)
        key = iam.create_access_key(name)
        row = self._state.one("SELECT id, secret FROM access_keys WHERE account = ? AND user = ?", account, name)
        if row is None:
            values = (account, name, key.access_key_id, key.secret_access_key)
            self._state.sql.execute("INSERT INTO access_keys VALUES (?, ?, ?, ?)", values)
        else:
            _rename(iam, key, row["id"], row["secret"])


def role(arn: str) -> Any | None:  # noqa: ANN401 - moto's own class, untyped
    """The role as IAM has it; None where there is none."""
    account = arn.split(":")[4]
    return next((one for one in _iam(account).roles.values() if one.arn == arn), None)


def has_identity_provider(account: str, issuer: str) -> bool:
    """Whether an OIDC issuer, named without its scheme, is registered there."""
    return f"arn:aws:iam::{account}:oidc-provider/{issuer}" in _iam(account).open_id_providers


def managed_policy(account: str, arn: str) -> str | None:
    """The text of a managed policy, AWS's or the account's; None where there is none."""
    policy = _iam(account).managed_policies.get(arn)
    return _text(policy) if policy else None


def _iam(account: str) -> IAMBackend:
    return iam_backends[account]["aws"]


def _seed_role(account: str, name: str, trust: str, policy: str) -> None:
    _create_role(account, name, _document(trust, account))
    _iam(account).put_role_policy(name, "seeded", _document(policy, account))


def _seed_node_role(account: str) -> None:
    """The role of the cluster's nodes, with the policy of AWS's own by which they pull."""
    iam = _iam(account)
    _create_role(account, NODE_ROLE, _NODE_TRUST)
    # moto brings AWS's managed policies only where a setting asks for all fourteen hundred.
    policy = AWSManagedPolicy.from_data(_PULL_POLICY, account, MAIN_REGION, _PULL)
    iam.managed_policies[policy.arn] = policy
    iam.attach_role_policy(policy.arn, NODE_ROLE)


def _create_role(account: str, name: str, trust: str) -> None:
    _iam(account).create_role(
        role_name=name,
        assume_role_policy_document=trust,
        path="/",
        permissions_boundary=None,
        description="seeded by the sandbox",
        tags=[],
        max_session_duration="3600",
    )


def _document(file: str, account: str) -> str:
    user = f"arn:aws:iam::{MAIN_ACCOUNT}:user/{SERVICE_USER}"
    text = Template((_IAM_DOCUMENTS / file).read_text())
    # Nodes' roles are called here whatever somebody who tries things out calls them.
    names = {"NodeRole": "*", "NodePolicy": "*"}
    return text.substitute(names, Partition="aws", AccountId=account, Region="*", WharfingerPrincipalArn=user)


def _documents(holder: Any) -> Iterable[str]:  # noqa: ANN401 - as above
    yield from holder.policies.values()
    for policy in holder.managed_policies.values():
        yield _text(policy)


def _text(policy: Any) -> str:  # noqa: ANN401 - as above
    versions = {version.version_id: version.document for version in policy.versions}
    return str(versions[policy.default_version_id])


def _rename(iam: IAMBackend, key: AccessKey, access_key: str, secret: str) -> None:
    del iam.access_keys[key.access_key_id]
    key.access_key_id, key.secret_access_key = access_key, secret
    iam.access_keys[access_key] = key


def _user_of(access_key: str) -> Known | None:
    for account, backends in list(iam_backends.items()):
        key = backends["aws"].access_keys.get(access_key)
        if key is not None and key.user_name and key.status == "Active":
            return Known(secret=key.secret_access_key, account=account, user=key.user_name)
    return None
