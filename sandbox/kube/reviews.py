"""SelfSubjectAccessReview: what the one who asks may do.

Source: Kubernetes documentation, "Authorization", "Checking API access".
"""

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from sandbox.kube.identity import Identity
from sandbox.kube.kinds import ACCESS_REVIEW
from sandbox.kube.request import body_of
from sandbox.kube.store import Object


async def answer(request: Request, identity: Identity) -> Response:
    """Everyone who is known may ask for themselves."""
    sent = await body_of(request)
    spec: Object = sent.get("spec") or {}
    allowed = _allowed(identity, spec.get("resourceAttributes") or {})
    status: Object = {"allowed": allowed, **({} if allowed else {"reason": ""})}
    review = {"kind": ACCESS_REVIEW.name, "apiVersion": ACCESS_REVIEW.api_version, "metadata": {}}
    return JSONResponse({**review, "spec": spec, "status": status}, 201)


def _allowed(identity: Identity, asked: Object) -> bool:
    part = asked.get("subresource")
    resource = f"{asked.get('resource', '')}/{part}" if part else asked.get("resource", "")
    namespace = asked.get("namespace") or None
    if resource == "namespaces" and namespace is None:
        namespace = asked.get("name") or None
    return identity.may(asked.get("verb", ""), asked.get("group", ""), resource, namespace)
