"""What the API server says of itself: health, version, groups and resources (the older, unaggregated form)."""

from itertools import groupby

from starlette.responses import JSONResponse, PlainTextResponse, Response

from sandbox.kube.kinds import ACCESS_REVIEW, DEPLOYMENT, STORED, Kind
from sandbox.kube.store import Object

_HEALTH = ("/healthz", "/readyz", "/livez")
_VERBS = ["create", "delete", "get", "list", "patch", "watch"]
_PART_VERBS = ["get", "patch"]
_VERSION = {
    "major": "1",
    "minor": "34",
    "gitVersion": "v1.34.1-sandbox",
    "gitCommit": "0000000000000000000000000000000000000000",
    "gitTreeState": "clean",
    "buildDate": "2025-09-09T00:00:00Z",
    "goVersion": "none",
    "compiler": "none",
    "platform": "linux/amd64",
}
_KINDS = sorted((*STORED, ACCESS_REVIEW), key=lambda kind: (kind.group, kind.version))


def is_health(path: str) -> bool:
    """Health is told to everyone."""
    return path.split("?", maxsplit=1)[0].rstrip("/") in _HEALTH


def answer(path: str) -> Response | None:
    """The answer to a request for a document about the API itself; None: the path is none of them."""
    path = path.rstrip("/")
    if is_health(path):
        return PlainTextResponse("ok")
    document = _DOCUMENTS.get(path)
    return JSONResponse(document) if document else None


def _group(group: str, versions: list[str]) -> Object:
    named = [{"groupVersion": f"{group}/{one}", "version": one} for one in versions]
    return {"name": group, "versions": named, "preferredVersion": named[0]}


def _resources(kinds: list[Kind]) -> Object:
    listed = [one for kind in kinds for one in _entries(kind)]
    version = kinds[0].api_version
    return {"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": version, "resources": listed}


def _entries(kind: Kind) -> list[Object]:
    whole = {
        "name": kind.plural,
        "singularName": kind.singular,
        "namespaced": kind.is_namespaced,
        "kind": kind.name,
        "verbs": ["create"] if kind is ACCESS_REVIEW else _VERBS,
        **({"shortNames": list(kind.short_names)} if kind.short_names else {}),
        **({"categories": ["all"]} if kind in _IN_ALL else {}),
    }
    entries = [whole]
    if kind.has_status:
        entries.append(_part(kind, "status", kind.name))
    if kind is DEPLOYMENT:
        entries.append(_part(kind, "scale", "Scale") | {"group": "autoscaling", "version": "v1"})
    return entries


def _part(kind: Kind, name: str, shown: str) -> Object:
    return {
        "name": f"{kind.plural}/{name}",
        "singularName": "",
        "namespaced": kind.is_namespaced,
        "kind": shown,
        "verbs": _PART_VERBS,
    }


def _documents() -> dict[str, Object]:
    documents: dict[str, Object] = {"/version": _VERSION}
    documents["/api"] = {"kind": "APIVersions", "apiVersion": "v1", "versions": ["v1"]}
    groups = []
    for name, members in groupby(_KINDS, key=lambda kind: kind.group):
        kinds = list(members)
        if not name:
            documents["/api/v1"] = _resources(kinds)
            continue
        group = _group(name, sorted({kind.version for kind in kinds}))
        groups.append(group)
        documents[f"/apis/{name}"] = {"kind": "APIGroup", "apiVersion": "v1", **group}
        documents[f"/apis/{kinds[0].api_version}"] = _resources(kinds)
    documents["/apis"] = {"kind": "APIGroupList", "apiVersion": "v1", "groups": groups}
    return documents


_IN_ALL = [kind for kind in STORED if kind.plural in ("pods", "services", "deployments", "replicasets")]
_DOCUMENTS = _documents()
