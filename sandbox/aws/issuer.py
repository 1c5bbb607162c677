"""The cluster's OIDC issuer: signs the tokens that pods hold, by which they become IAM roles (IRSA).

Source: Amazon EKS User Guide, "IAM roles for service accounts"; STS API reference, "AssumeRoleWithWebIdentity".
"""

from pathlib import Path
from typing import Any

from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import RSAKey

from sandbox.clock import CLOCK

AUDIENCE = "sts.amazonaws.com"
ISSUER = "oidc.eks.eu-central-1.amazonaws.com/id/5A4DB0C5000000000000000000000001"
"""Without its scheme, as IAM names it."""
_LIFE = 86_400


class Issuer:
    """Its key is made once per folder."""

    def __init__(self, file: Path) -> None:
        if not file.exists():
            file.touch(mode=0o600)
            file.write_bytes(RSAKey.generate_key(2048).as_pem(private=True))
        self._key = RSAKey.import_key(file.read_bytes())

    def token(self, namespace: str, service_account: str) -> str:
        """As the kubelet projects it into a pod for a day."""
        now = int(CLOCK.time())
        claims = {
            "iss": f"https://{ISSUER}",
            "aud": [AUDIENCE],
            "sub": f"system:serviceaccount:{namespace}:{service_account}",
            "iat": now,
            "exp": now + _LIFE,
        }
        return jwt.encode({"alg": "RS256"}, claims, self._key)

    def claims(self, token: str) -> dict[str, Any] | None:
        """What a token says that was signed here, be it expired or not; None for any other."""
        try:
            return jwt.decode(token, self._key, algorithms=["RS256"]).claims
        except (JoseError, ValueError):
            return None
