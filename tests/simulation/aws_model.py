"""A model of ECR and STS: what each call does to an immutable state, and what it answers. Knows no network."""

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any

from tests.simulation.virtual_time import EPOCH

Json = dict[str, Any]
ACCOUNT, REGION = "111111111111", "eu-central-1"


class RefusalError(Exception):
    """AWS's code for a call that it refuses: nothing was done."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


@dataclass(frozen=True)
class Image:
    text: str
    pushed_at: int
    """In whole seconds, as ECR has it."""


@dataclass(frozen=True)
class Repo:
    created_at: float
    mutability: str = "MUTABLE"
    scan: bool = False
    tags: Mapping[str, str] = field(default_factory=dict)
    images: Mapping[str, Image] = field(default_factory=dict)
    """By digest."""
    image_tags: Mapping[str, str] = field(default_factory=dict)
    """Digests by tag."""
    policy: str | None = None


State = Mapping[str, Repo]
_Write = Callable[[Json, State, float], tuple[State, Json]]


def manifest(number: int) -> str:
    return json.dumps({"schemaVersion": 2, "number": number})


def digest_of(text: str) -> str:
    return f"sha256:{hashlib.sha256(text.encode()).hexdigest()}"


def read(operation: str, asked: Json, state: State) -> Json:
    """:raises RefusalError: there is no such thing."""
    return _READS[operation](asked, state)


def write(operation: str, asked: Json, state: State, now: float) -> tuple[State, Json]:
    """The state after the call, and the answer.

    :raises RefusalError: nothing is changed.
    """
    return _WRITES[operation](asked, state, now)


def name_of(asked: Json) -> str:
    """The repository that a call is about."""
    return str(asked.get("repositoryName") or asked.get("resourceArn", "").partition("repository/")[2])


def _timestamp(seconds: float) -> float:
    return (EPOCH + timedelta(seconds=seconds)).timestamp()


def _repo(asked: Json, state: State) -> Repo:
    if (found := state.get(name_of(asked))) is None:
        raise RefusalError("RepositoryNotFoundException")
    return found


def _described(name: str, repo: Repo) -> Json:
    return {
        "repositoryName": name,
        "repositoryArn": f"arn:aws:ecr:{REGION}:{ACCOUNT}:repository/{name}",
        "repositoryUri": f"{ACCOUNT}.dkr.ecr.{REGION}.amazonaws.com/{name}",
        "registryId": ACCOUNT,
        "createdAt": _timestamp(repo.created_at),
        "imageTagMutability": repo.mutability,
        "imageScanningConfiguration": {"scanOnPush": repo.scan},
        "encryptionConfiguration": {"encryptionType": "AES256"},
    }


def _describe(asked: Json, state: State) -> Json:
    [name] = asked["repositoryNames"]
    return {"repositories": [_described(name, _repo({"repositoryName": name}, state))]}


def _list_tags(asked: Json, state: State) -> Json:
    return {"tags": [{"Key": key, "Value": value} for key, value in _repo(asked, state).tags.items()]}


def _digest(image: Json, repo: Repo) -> str | None:
    digest = repo.image_tags.get(image.get("imageTag", "")) or image.get("imageDigest", "")
    return digest if digest in repo.images else None


def _describe_images(asked: Json, state: State) -> Json:
    repo = _repo(asked, state)
    if (digest := _digest(asked["imageIds"][0], repo)) is None:
        raise RefusalError("ImageNotFoundException")
    tags = [tag for tag, of in repo.image_tags.items() if of == digest]
    detail = {"registryId": ACCOUNT, "repositoryName": name_of(asked), "imageDigest": digest, "imageTags": tags}
    return {"imageDetails": [detail | {"imagePushedAt": _timestamp(repo.images[digest].pushed_at)}]}


def _get_image(asked: Json, state: State) -> Json:
    repo = _repo(asked, state)
    if (digest := _digest(asked["imageIds"][0], repo)) is None:
        return {"images": [], "failures": [{"imageId": asked["imageIds"][0], "failureCode": "ImageNotFound"}]}
    return {"images": [{"imageId": {"imageDigest": digest}, "imageManifest": repo.images[digest].text}], "failures": []}


def _get_policy(asked: Json, state: State) -> Json:
    if (policy := _repo(asked, state).policy) is None:
        raise RefusalError("RepositoryPolicyNotFoundException")
    return {"repositoryName": name_of(asked), "policyText": policy}


def _create(asked: Json, state: State, now: float) -> tuple[State, Json]:
    name = asked["repositoryName"]
    if name in state:
        raise RefusalError("RepositoryAlreadyExistsException")
    made = Repo(
        created_at=now,
        mutability=asked["imageTagMutability"],
        scan=asked["imageScanningConfiguration"]["scanOnPush"],
        tags={tag["Key"]: tag["Value"] for tag in asked.get("tags", ())},
    )
    return {**state, name: made}, {"repository": _described(name, made)}


def _delete(asked: Json, state: State, _: float) -> tuple[State, Json]:
    name, repo = asked["repositoryName"], _repo(asked, state)
    if repo.images and not asked.get("force"):
        raise RefusalError("RepositoryNotEmptyException")
    return {one: of for one, of in state.items() if one != name}, {"repository": _described(name, repo)}


def _changing(change: Callable[[Json, Repo, float], tuple[Repo, Json]]) -> _Write:
    def changed(asked: Json, state: State, now: float) -> tuple[State, Json]:
        repo, answer = change(asked, _repo(asked, state), now)
        return {**state, name_of(asked): repo}, answer

    return changed


def _set_mutability(asked: Json, repo: Repo, _: float) -> tuple[Repo, Json]:
    return replace(repo, mutability=asked["imageTagMutability"]), {}


def _set_scan(asked: Json, repo: Repo, _: float) -> tuple[Repo, Json]:
    return replace(repo, scan=asked["imageScanningConfiguration"]["scanOnPush"]), {}


def _add_tags(asked: Json, repo: Repo, _: float) -> tuple[Repo, Json]:
    return replace(repo, tags={**repo.tags, **{tag["Key"]: tag["Value"] for tag in asked["tags"]}}), {}


def _remove_tags(asked: Json, repo: Repo, _: float) -> tuple[Repo, Json]:
    return replace(repo, tags={key: repo.tags[key] for key in repo.tags if key not in asked["tagKeys"]}), {}


def _put_image(asked: Json, repo: Repo, now: float) -> tuple[Repo, Json]:
    text, tag = asked["imageManifest"], asked["imageTag"]
    digest = digest_of(text)
    standing = repo.image_tags.get(tag)
    if standing == digest:
        raise RefusalError("ImageAlreadyExistsException")
    if standing and repo.mutability == "IMMUTABLE":
        raise RefusalError("ImageTagAlreadyExistsException")
    images = {digest: Image(text, int(now)), **repo.images}
    tags = {**repo.image_tags, tag: digest}
    return replace(repo, images=images, image_tags=tags), {"image": {"imageId": {"imageDigest": digest}}}


def _delete_image(asked: Json, repo: Repo, _: float) -> tuple[Repo, Json]:
    [image] = asked["imageIds"]
    if (digest := _digest(image, repo)) is None:
        raise RefusalError("ImageNotFound")
    gone = image.get("imageTag")
    left = {tag: of for tag, of in repo.image_tags.items() if (tag != gone if gone else of != digest)}
    images = {one: text for one, text in repo.images.items() if one != digest or digest in left.values()}
    return replace(repo, images=images, image_tags=left), {"imageIds": [image], "failures": []}


def _put_policy(asked: Json, repo: Repo, _: float) -> tuple[Repo, Json]:
    return replace(repo, policy=asked["policyText"]), {"policyText": asked["policyText"]}


def _delete_policy(_: Json, repo: Repo, __: float) -> tuple[Repo, Json]:
    if repo.policy is None:
        raise RefusalError("RepositoryPolicyNotFoundException")
    return replace(repo, policy=None), {"policyText": repo.policy}


_READS: dict[str, Callable[[Json, State], Json]] = {
    "BatchGetImage": _get_image,
    "DescribeImages": _describe_images,
    "DescribeRepositories": _describe,
    "GetRepositoryPolicy": _get_policy,
    "ListTagsForResource": _list_tags,
}
_WRITES: dict[str, _Write] = {
    "BatchDeleteImage": _changing(_delete_image),
    "CreateRepository": _create,
    "DeleteRepository": _delete,
    "DeleteRepositoryPolicy": _changing(_delete_policy),
    "PutImage": _changing(_put_image),
    "PutImageScanningConfiguration": _changing(_set_scan),
    "PutImageTagMutability": _changing(_set_mutability),
    "SetRepositoryPolicy": _changing(_put_policy),
    "TagResource": _changing(_add_tags),
    "UntagResource": _changing(_remove_tags),
}
WRITES = frozenset(_WRITES)
READS = frozenset(_READS)
