"""Delete one object or many. What a deleted object owned is collected by the controllers.

Source: Kubernetes API reference, DeleteOptions; documentation, "Garbage Collection", "Finalizers".
"""

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from sandbox.kube.errors import StatusError, bad_request, forbidden
from sandbox.kube.kinds import NAMESPACE, POD, RESOURCE_QUOTA, SERVICE, SERVICE_ACCOUNT, STORED
from sandbox.kube.reads import whole
from sandbox.kube.request import Target, Verb, body_of, options_of
from sandbox.kube.selectors import selector
from sandbox.kube.store import Object, Store, now

_POLICIES = ("Background", "Foreground", "Orphan")
_LASTING = ("default", "kube-system", "kube-public", "kube-node-lease")
"""Namespaces that cannot be deleted."""
_TOLD = (POD, RESOURCE_QUOTA, SERVICE, SERVICE_ACCOUNT)
"""Kinds whose deletion answers what was deleted; that of others answers a Status (`ReturnDeletedObject` of each)."""


async def answer(store: Store, request: Request, target: Target, verb: Verb) -> Response:
    """:raises StatusError: 404, there is none; 409, it is not the one that was meant; 400, no such policy."""
    body = await body_of(request) if await request.body() else {}
    policy = request.query_params.get("propagationPolicy") or body.get("propagationPolicy") or "Background"
    if policy not in _POLICIES:
        raise bad_request(f'invalid propagationPolicy "{policy}"')
    is_dry_run = options_of(request).is_dry_run or body.get("dryRun") == ["All"]
    if verb == "deletecollection":
        return JSONResponse(_delete_many(store, request, target, policy, is_dry_run=is_dry_run))
    found = store.get(target.kind, target.namespace, target.name or "")
    _check(target, found, body.get("preconditions") or {})
    deleted = _delete(store, target, found, policy, is_dry_run=is_dry_run)
    if target.kind is NAMESPACE:
        # A real server empties it first, and answers before that.
        found["metadata"].setdefault("deletionTimestamp", now())
        return JSONResponse(whole(NAMESPACE, found | {"status": {"phase": "Terminating"}}))
    return JSONResponse(deleted)


def _delete_many(store: Store, request: Request, target: Target, policy: str, *, is_dry_run: bool) -> Object:
    query = request.query_params
    kind = target.kind
    wanted = selector(kind, query.get("labelSelector", ""), query.get("fieldSelector", ""))
    found = [one for one in store.all(kind, target.namespace) if wanted(one)]
    for one in found:
        metadata = one["metadata"]
        named = Target(kind, metadata.get("namespace"), metadata["name"], None)
        _delete(store, named, one, policy, is_dry_run=is_dry_run)
    metadata = {"resourceVersion": str(store.revision)}
    return {"kind": f"{kind.name}List", "apiVersion": kind.api_version, "metadata": metadata, "items": found}


def _delete(store: Store, target: Target, found: Object, policy: str, *, is_dry_run: bool) -> Object:
    if not is_dry_run:
        if policy == "Orphan":
            _set_free(store, found["metadata"]["uid"])
        if found["metadata"].get("finalizers"):
            found["metadata"].setdefault("deletionTimestamp", now())
            return whole(target.kind, store.replace(target.kind, found))
        store.delete(target.kind, target.namespace, target.name or "")
    if target.kind in _TOLD:
        return whole(target.kind, found)
    details = {"name": target.name, "kind": target.kind.plural, "uid": found["metadata"]["uid"]}
    group = {"group": target.kind.group} if target.kind.group else {}
    return {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "details": details | group}


def _check(target: Target, found: Object, wanted: Object) -> None:
    if target.kind is NAMESPACE and target.name in _LASTING:
        raise forbidden("namespaces", "", target.name or "", "this namespace may not be deleted")
    for name, said in (("uid", "UID"), ("resourceVersion", "ResourceVersion")):
        if wanted.get(name, found["metadata"][name]) != found["metadata"][name]:
            full = f"{target.kind.plural}.{target.kind.group}" if target.kind.group else target.kind.plural
            why = f"the {said} in the precondition ({wanted[name]}) does not match the {said} in record "
            text = f'Operation cannot be fulfilled on {full} "{target.name}": Precondition failed: {why}'
            raise StatusError(409, "Conflict", f"{text}({found['metadata'][name]})")


def _set_free(store: Store, owner: str) -> None:
    """Take an owner out of what it owns, so that this outlives it."""
    for kind in STORED:
        for one in list(store.all(kind)):
            references = one["metadata"].get("ownerReferences") or []
            kept = [reference for reference in references if reference["uid"] != owner]
            if len(kept) < len(references):
                one["metadata"]["ownerReferences"] = kept
                store.replace(kind, one)
