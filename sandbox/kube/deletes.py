"""Delete an object. What a deleted object owned is collected by the controllers.

Source: Kubernetes API reference, DeleteOptions; documentation, "Garbage Collection", "Finalizers".
"""

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from sandbox.kube.errors import StatusError, bad_request, forbidden
from sandbox.kube.kinds import NAMESPACE, POD, RESOURCE_QUOTA, SERVICE, SERVICE_ACCOUNT
from sandbox.kube.reads import whole
from sandbox.kube.request import Target, body_of, options_of
from sandbox.kube.store import Object, Store, now

_LASTING = ("default", "kube-system", "kube-public", "kube-node-lease")
"""Namespaces that cannot be deleted."""
_TOLD = (POD, RESOURCE_QUOTA, SERVICE, SERVICE_ACCOUNT)
"""Kinds whose deletion answers what was deleted; that of others answers a Status (`ReturnDeletedObject` of each)."""


async def answer(store: Store, request: Request, target: Target) -> Response:
    """:raises StatusError: 404, there is none; 409, it is not the one that was meant; 400, no such policy."""
    body = await body_of(request) if await request.body() else {}
    policy = request.query_params.get("propagationPolicy") or body.get("propagationPolicy") or "Background"
    if policy != "Background":
        raise bad_request(f'propagationPolicy "{policy}" is not imitated')
    is_dry_run = options_of(request).is_dry_run or body.get("dryRun") == ["All"]
    live = store.get(target.kind, target.namespace, target.name or "")
    _check(target, live, body.get("preconditions") or {})
    deleted = _delete(store, target, live, is_dry_run=is_dry_run)
    if target.kind is NAMESPACE:
        # A real server empties it first, and answers before that.
        live["metadata"].setdefault("deletionTimestamp", now())
        return JSONResponse(whole(NAMESPACE, live | {"status": {"phase": "Terminating"}}))
    return JSONResponse(deleted)


def _delete(store: Store, target: Target, live: Object, *, is_dry_run: bool) -> Object:
    if not is_dry_run:
        if live["metadata"].get("finalizers"):
            live["metadata"].setdefault("deletionTimestamp", now())
            return whole(target.kind, store.replace(target.kind, live))
        store.delete(target.kind, target.namespace, target.name or "")
    if target.kind in _TOLD:
        return whole(target.kind, live)
    details = {"name": target.name, "kind": target.kind.plural, "uid": live["metadata"]["uid"]}
    group = {"group": target.kind.group} if target.kind.group else {}
    return {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "details": details | group}


def _check(target: Target, live: Object, wanted: Object) -> None:
    if target.kind is NAMESPACE and target.name in _LASTING:
        raise forbidden("namespaces", "", target.name or "", "this namespace may not be deleted")
    for name, said in (("uid", "UID"), ("resourceVersion", "ResourceVersion")):
        if wanted.get(name, live["metadata"][name]) != live["metadata"][name]:
            full = f"{target.kind.plural}.{target.kind.group}" if target.kind.group else target.kind.plural
            why = f"the {said} in the precondition ({wanted[name]}) does not match the {said} in record "
            text = f'Operation cannot be fulfilled on {full} "{target.name}": Precondition failed: {why}'
            raise StatusError(409, "Conflict", f"{text}({live['metadata'][name]})")
