"""AssumeRoleWithWebIdentity: unsigned, for whoever has a token of the cluster's issuer."""

from sandbox.aws.identities import Identities, has_identity_provider
from sandbox.aws.issuer import AUDIENCE, ISSUER, Issuer
from sandbox.aws.policy import Principal, Request
from sandbox.aws.sts import Fields, Members, StsError, require_trust, result, role_asked_for, start
from sandbox.clock import CLOCK

ACTION = "AssumeRoleWithWebIdentity"


def answer(identities: Identities, issuer: Issuer, fields: Fields) -> str:
    """The XML of the action's result.

    :raises StsError:
    """
    arn = role_asked_for(fields)
    account = arn.split(":")[4]
    subject = _subject(issuer, account, fields.get("WebIdentityToken", ""))
    provider = f"arn:aws:iam::{account}:oidc-provider/{ISSUER}"
    principal = Principal(account, provider, role_arn=None, identity=(), session=None)
    context = {f"{ISSUER.lower()}:sub": subject, f"{ISSUER.lower()}:aud": AUDIENCE}
    request = Request(f"sts:{ACTION}", arn, principal, context)
    role = require_trust(arn, request, f"Not authorized to perform sts:{ACTION}")
    members = start(identities, role, fields, most=None)
    named: Members = {"SubjectFromWebIdentityToken": subject, "Audience": AUDIENCE, "Provider": provider}
    return result(ACTION, members | named)


def _subject(issuer: Issuer, account: str, token: str) -> str:
    claims = issuer.claims(token)
    if claims is None:
        raise StsError(400, "InvalidIdentityToken", "The web identity token could not be validated")
    if not has_identity_provider(account, ISSUER):
        raise StsError(
            400, "InvalidIdentityToken", f"No OpenIDConnect provider found in your account for {claims['iss']}"
        )
    if claims["exp"] < CLOCK.time():
        raise StsError(400, "ExpiredTokenException", "Token expired")
    return str(claims["sub"])
