"""Create, patch and apply: from what was sent to what is kept."""

import json
import uuid
from dataclasses import dataclass

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from sandbox.kube import defaults, deletes, managers, scales, services, strictness
from sandbox.kube.admission import admit
from sandbox.kube.bodies import check_identity, check_kind, check_precondition, patched
from sandbox.kube.errors import bad_request, terminating
from sandbox.kube.kinds import DEPLOYMENT, DISRUPTION_BUDGET, NAMESPACE, POD, REPLICA_SET, SERVICE, Kind
from sandbox.kube.managers import Manager
from sandbox.kube.reads import whole
from sandbox.kube.request import Options, Target, Verb, body_of, options_of
from sandbox.kube.store import Object, Store, now
from sandbox.kube.validation import check

_APPLY = "application/apply-patch+yaml"
_COUNTED = (DEPLOYMENT, REPLICA_SET, POD, DISRUPTION_BUDGET)
"""Kinds whose `generation` counts the changes of their spec."""
_OF_SERVER = ("uid", "creationTimestamp", "generation", "resourceVersion", "managedFields", "deletionTimestamp")


@dataclass(frozen=True, slots=True)
class _Written:
    object: Object
    is_new: bool
    warnings: tuple[str, ...] = ()


class Writes:
    """Every change of the store that comes over HTTP."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def answer(self, request: Request, target: Target, verb: Verb) -> Response:
        """:raises StatusError: the change is refused, for one of the many reasons."""
        if verb == "delete":
            return await deletes.answer(self._store, request, target)
        if target.subresource == "scale":
            return await self._scale(request, target, verb)
        written = await self._write(request, target, verb)
        response = JSONResponse(whole(target.kind, written.object), 201 if written.is_new else 200)
        for warning in written.warnings:
            response.headers.append("Warning", f"299 - {json.dumps(warning)}")
        return response

    async def _write(self, request: Request, target: Target, verb: Verb) -> _Written:
        is_apply = verb == "patch" and request.headers.get("content-type", "").split(";")[0] == _APPLY
        options = options_of(request, is_apply=is_apply)
        if is_apply:
            return self._apply(target, await body_of(request), options)
        if verb == "patch":
            await request.body()  # in between, the object may change: a real server lays the patch over it once more
            before = self._store.get(target.kind, target.namespace, target.name or "")
            return self._update(target, await patched(request, target.kind, before), options)
        return self._create_sent(target, await body_of(request), options)

    def _create_sent(self, target: Target, sent: Object, options: Options) -> _Written:
        check_kind(target.kind, sent)
        made, warnings = strictness.decode(target.kind, sent, options.validation)
        # Left out, they are the path's.
        about: Object = {"apiVersion": target.kind.api_version, "kind": target.kind.name}
        made = about | strictness.compact(target.kind, made)
        check_identity(target, made)
        if made["metadata"].get("resourceVersion"):
            raise bad_request("resourceVersion should not be set on objects to be created")
        self._enter(target, made)
        _begin(target.kind, made)
        made = managers.update(target.kind, {}, made, Manager(options.manager, "Update"))
        return _Written(self._create(target.kind, made, options), is_new=True, warnings=tuple(warnings))

    def _apply(self, target: Target, sent: Object, options: Options) -> _Written:
        check_kind(target.kind, sent, is_needed=True)
        kind, name = target.kind, target.name or ""
        strictness.check_applied(kind, sent, target.namespace, name)
        sent, _ = strictness.decode(kind, sent, "Ignore")
        check_identity(target, sent)
        if sent["metadata"].get("managedFields"):
            raise bad_request("metadata.managedFields must be nil")
        before = self._store.find(kind, target.namespace, name)
        manager = Manager(options.manager, "Apply", target.subresource or "")
        if before is None:
            return self._apply_new(target, sent, options, manager)
        check_precondition(kind, before, sent)
        made = managers.apply(kind, before, sent, manager, is_forced=options.is_forced)
        made = strictness.compact(kind, made)
        return _Written(self._replace(target, made, before, options), is_new=False)

    def _apply_new(self, target: Target, sent: Object, options: Options, manager: Manager) -> _Written:
        kind, name = target.kind, target.name or ""
        if target.subresource:
            self._store.get(kind, target.namespace, name)
        if sent["metadata"].get("resourceVersion") or sent["metadata"].get("uid"):
            check_precondition(kind, None, sent)
        made = managers.apply(kind, {}, sent, manager, is_forced=options.is_forced)
        made = strictness.compact(kind, made)
        self._enter(target, made)
        kept = made["metadata"].get("managedFields", [])
        _begin(kind, made)
        made["metadata"]["managedFields"] = kept
        return _Written(self._create(kind, made, options), is_new=True)

    def _update(self, target: Target, sent: Object, options: Options) -> _Written:
        kind = target.kind
        check_kind(kind, sent)
        made, warnings = strictness.decode(kind, sent, options.validation)
        made = strictness.compact(kind, made)
        check_identity(target, made)
        before = self._store.get(kind, target.namespace, target.name or "")
        check_precondition(kind, before, made)
        # Who manages what can be written like any field; left out, it stays.
        kept = before["metadata"].get("managedFields", [])
        made["metadata"]["managedFields"] = made["metadata"].get("managedFields") or kept
        _carry(target, made, before)
        manager = Manager(options.manager, "Update", target.subresource or "")
        made = managers.update(kind, before, made, manager)
        return _Written(self._replace(target, made, before, options), is_new=False, warnings=tuple(warnings))

    async def _scale(self, request: Request, target: Target, verb: Verb) -> Response:
        await request.body()  # as above
        before = self._store.get(target.kind, target.namespace, target.name or "")
        if verb == "get":
            return JSONResponse(scales.of(before))
        options = options_of(request)
        made = await scales.changed(request, target.kind, before)
        manager = Manager(options.manager, "Update", "scale")
        made = managers.update(target.kind, before, made, manager)
        main = Target(target.kind, target.namespace, target.name, None)
        return JSONResponse(scales.of(self._replace(main, made, before, options)))

    def _enter(self, target: Target, made: Object) -> None:
        """:raises StatusError: the namespace to create it in does not exist, 404, or is being deleted, 403."""
        if target.namespace is None:
            return
        namespace = self._store.get(NAMESPACE, None, target.namespace)
        if namespace["metadata"].get("deletionTimestamp"):
            raise terminating(target.kind.plural, target.kind.group, made["metadata"].get("name", ""), target.namespace)

    def _create(self, kind: Kind, made: Object, options: Options) -> Object:
        metadata = made["metadata"]
        check(kind, made, None)
        self._allocate(kind, made, None)
        if kind is POD:
            admit(self._store, made)
        if kind in _COUNTED:
            metadata["generation"] = 1
        if not options.is_dry_run:
            return self._store.create(kind, made)
        metadata |= {"uid": str(uuid.uuid4()), "creationTimestamp": now()}
        if self._store.find(kind, metadata.get("namespace"), metadata["name"]):
            self._store.create(kind, made)
        return made

    def _replace(self, target: Target, made: Object, before: Object, options: Options) -> Object:
        kind = target.kind
        _carry(target, made, before)
        if target.subresource is None:
            check(kind, made, before)
            self._allocate(kind, made, before)
        if kind in _COUNTED and made.get("spec") != before.get("spec"):
            made["metadata"]["generation"] = before["metadata"].get("generation", 1) + 1
        made["metadata"]["resourceVersion"] = before["metadata"]["resourceVersion"]
        if options.is_dry_run:
            return made
        if made["metadata"].get("deletionTimestamp") and not made["metadata"].get("finalizers"):
            return self._store.delete(kind, target.namespace, target.name or "")
        return self._store.replace(kind, made)

    def _allocate(self, kind: Kind, made: Object, before: Object | None) -> None:
        if kind is SERVICE:
            services.allocate(self._store, made, before)


def _begin(kind: Kind, made: Object) -> None:
    """A new object as the server first has it, in place."""
    for name in _OF_SERVER:
        made["metadata"].pop(name, None)
    if kind.has_status:
        made.pop("status", None)
    defaults.fill(kind, made)


def _carry(target: Target, made: Object, before: Object) -> None:
    """What a write through this resource cannot change stays as it was, in place."""
    metadata = made["metadata"]
    for name in ("uid", "creationTimestamp", "generation", "deletionTimestamp"):
        metadata.pop(name, None)
        if name in before["metadata"]:
            metadata[name] = before["metadata"][name]
    if target.subresource == "status":
        status, managed = made.get("status"), metadata.get("managedFields")
        made.clear()
        made.update({**before, "metadata": {**before["metadata"], "managedFields": managed}, "status": status or {}})
        return
    if target.kind.has_status:
        made.pop("status", None)
        if "status" in before:
            made["status"] = before["status"]
    defaults.fill(target.kind, made)
    if target.kind is SERVICE:
        services.keep(made, before)
