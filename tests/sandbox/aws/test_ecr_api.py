"""The sandbox's ECR by the AWS SDK: the facts of the service model and of AWS's documentation."""

import base64
import hashlib
import json
from collections.abc import AsyncIterator, Awaitable
from typing import Any

import pytest
import pytest_asyncio
from botocore.exceptions import ClientError

from sandbox.aws.ecr.api import OPERATIONS
from sandbox.aws.ecr.layers import LEAST_PART
from sandbox.aws.ecr.model import service as model
from sandbox.server import Sandbox
from sandbox.story.image_writer import ImageConfig, Index, Platform, build_image, build_index, build_layer
from tests.conftest import ACCOUNT, REGION
from tests.images import image, push_image
from tests.sandbox.clients import sdk

pytestmark = pytest.mark.asyncio

_OTHER = "222222222222"

Client = Any
"""botocore makes its clients at run time."""


@pytest_asyncio.fixture
async def ecr(aws: Sandbox) -> AsyncIterator[Client]:
    async with sdk("ecr", aws) as client:
        yield client


@pytest_asyncio.fixture
async def app(ecr: Client) -> str:
    """The name of a repository."""
    await ecr.create_repository(repositoryName="team/app")
    return "team/app"


async def refused(call: Awaitable[object]) -> str:
    """The code that a call is refused with, which the model or AWS's common errors must know."""
    with pytest.raises(ClientError) as caught:
        await call
    return str(caught.value.response["Error"]["Code"])


async def test_only_operations_of_the_model_are_imitated() -> None:
    assert set(OPERATIONS) < set(model().operation_names)


async def test_a_repository_is_described_as_it_was_created(ecr: Client, aws: Sandbox) -> None:
    made = (await ecr.create_repository(repositoryName="team/app", tags=[{"Key": "a", "Value": "b"}]))["repository"]
    found = (await ecr.describe_repositories(repositoryNames=["team/app"]))["repositories"]
    tags = await ecr.list_tags_for_resource(resourceArn=made["repositoryArn"])
    assert found == [made]
    assert made["repositoryUri"] == f"{aws.host(ACCOUNT, REGION)}/team/app"
    assert made["repositoryArn"] == f"arn:aws:ecr:{REGION}:{ACCOUNT}:repository/team/app"
    assert tags["tags"] == [{"Key": "a", "Value": "b"}]


@pytest.mark.parametrize(
    ("given", "code"),
    [
        ({"repositoryName": "UPPER"}, "InvalidParameterException"),
        ({"repositoryName": "a" * 257}, "InvalidParameterException"),
        ({"repositoryName": "app", "imageTagMutability": "SOMETIMES"}, "InvalidParameterException"),
        ({"repositoryName": "app", "registryId": "123"}, "InvalidParameterException"),
        ({"repositoryName": "app", "imageTagMutability": "MUTABLE_WITH_EXCLUSION"}, "InvalidParameterException"),
        ({"repositoryName": "app", "tags": [{"Key": "aws:x", "Value": ""}]}, "InvalidTagParameterException"),
        (
            {"repositoryName": "app", "tags": [{"Key": str(number), "Value": ""} for number in range(51)]},
            "TooManyTagsException",
        ),
    ],
)
async def test_what_the_model_does_not_allow_is_refused(ecr: Client, given: dict[str, Any], code: str) -> None:
    assert await refused(ecr.create_repository(**given)) == code


async def test_repositories_that_are_there_or_not(ecr: Client, app: str, aws: Sandbox) -> None:
    assert await refused(ecr.create_repository(repositoryName=app)) == "RepositoryAlreadyExistsException"
    assert await refused(ecr.describe_repositories(repositoryNames=["no"])) == "RepositoryNotFoundException"
    await push_image(aws, app, "1", image("one"))
    assert await refused(ecr.delete_repository(repositoryName=app)) == "RepositoryNotEmptyException"
    await ecr.delete_repository(repositoryName=app, force=True)
    assert await refused(ecr.delete_repository(repositoryName=app)) == "RepositoryNotFoundException"


async def test_pages_meet_and_exclude_names(ecr: Client) -> None:
    names = [f"app-{number:03}" for number in range(7)]
    for name in names:
        await ecr.create_repository(repositoryName=name)
    pages = ecr.get_paginator("describe_repositories").paginate(PaginationConfig={"PageSize": 3})
    seen = [[one["repositoryName"] for one in page["repositories"]] async for page in pages]
    assert seen == [names[:3], names[3:6], names[6:]]
    both = ecr.describe_repositories(repositoryNames=names[:1], maxResults=3)
    assert await refused(both) == "InvalidParameterException"
    assert await refused(ecr.describe_repositories(nextToken="mine")) == "InvalidParameterException"


@pytest.mark.parametrize(
    ("mutability", "filters", "tag", "moves"),
    [
        ("MUTABLE", [], "1", True),
        ("IMMUTABLE", [], "1", False),
        ("MUTABLE_WITH_EXCLUSION", ["v*"], "v1", False),
        ("MUTABLE_WITH_EXCLUSION", ["v*"], "1", True),
        ("IMMUTABLE_WITH_EXCLUSION", ["dev-*"], "dev-1", True),
        ("IMMUTABLE_WITH_EXCLUSION", ["dev-*"], "1", False),
    ],
)
async def test_whether_a_tag_moves(
    *, ecr: Client, aws: Sandbox, mutability: str, filters: list[str], tag: str, moves: bool
) -> None:
    exclusions = [{"filterType": "WILDCARD", "filter": one} for one in filters]
    more = {"imageTagMutabilityExclusionFilters": exclusions} if exclusions else {}
    await ecr.create_repository(repositoryName="app", imageTagMutability=mutability, **more)
    await push_image(aws, "app", tag, image("one"))
    await push_image(aws, "app", "other", image("two"))
    second = (await ecr.batch_get_image(repositoryName="app", imageIds=[{"imageTag": "other"}]))["images"][0]
    put = ecr.put_image(repositoryName="app", imageManifest=second["imageManifest"], imageTag=tag)
    if moves:
        assert (await put)["image"]["imageId"]["imageDigest"] == second["imageId"]["imageDigest"]
    else:
        assert await refused(put) == "ImageTagAlreadyExistsException"


async def test_a_digest_is_that_of_the_exact_bytes(ecr: Client, app: str, aws: Sandbox) -> None:
    await push_image(aws, app, "1", image("one"))
    [found] = (await ecr.batch_get_image(repositoryName=app, imageIds=[{"imageTag": "1"}]))["images"]
    text = found["imageManifest"]
    assert found["imageId"]["imageDigest"] == "sha256:" + hashlib.sha256(text.encode()).hexdigest()

    again = ecr.put_image(repositoryName=app, imageManifest=text, imageTag="1")
    assert await refused(again) == "ImageAlreadyExistsException"
    spaced = json.dumps(json.loads(text), indent=1)
    other = (await ecr.put_image(repositoryName=app, imageManifest=spaced, imageTag="2"))["image"]
    assert other["imageId"]["imageDigest"] != found["imageId"]["imageDigest"]
    wrong = ecr.put_image(repositoryName=app, imageManifest=text, imageTag="3", imageDigest="sha256:" + "0" * 64)
    assert await refused(wrong) == "ImageDigestDoesNotMatchException"


async def test_what_a_manifest_names_must_be_there(ecr: Client, app: str) -> None:
    alone = image("never pushed").manifest.content.decode()
    assert await refused(ecr.put_image(repositoryName=app, imageManifest=alone)) == "LayersNotFoundException"
    index = build_index([image("never pushed")]).manifest.content.decode()
    assert await refused(ecr.put_image(repositoryName=app, imageManifest=index)) == "ReferencedImagesNotFoundException"
    assert await refused(ecr.put_image(repositoryName=app, imageManifest="{}")) == "InvalidParameterException"


async def test_the_last_tag_takes_the_image_with_it(ecr: Client, app: str, aws: Sandbox) -> None:
    digest = await push_image(aws, app, "1", image("one"))
    await push_image(aws, app, "2", image("one"))
    first = await ecr.batch_delete_image(repositoryName=app, imageIds=[{"imageTag": "1"}])
    assert first["imageIds"] == [{"imageDigest": digest, "imageTag": "1"}]
    [left] = (await ecr.describe_images(repositoryName=app))["imageDetails"]
    assert (left["imageDigest"], left["imageTags"]) == (digest, ["2"])
    await ecr.batch_delete_image(repositoryName=app, imageIds=[{"imageTag": "2"}])
    assert (await ecr.describe_images(repositoryName=app))["imageDetails"] == []


async def test_failures_are_told_image_by_image(ecr: Client, app: str, aws: Sandbox) -> None:
    await push_image(aws, app, "1", image("one"))
    asked = [{"imageTag": "no"}, {"imageDigest": "short"}, {}, {"imageTag": "1", "imageDigest": "sha256:" + "0" * 64}]
    answer = await ecr.batch_get_image(repositoryName=app, imageIds=[{"imageTag": "1"}, *asked])
    assert len(answer["images"]) == 1
    assert [failure["failureCode"] for failure in answer["failures"]] == [
        "ImageNotFound",
        "InvalidImageDigest",
        "MissingDigestAndTag",
        "ImageTagDoesNotMatchDigest",
    ]


async def test_an_index_is_as_large_as_its_largest_child_and_keeps_it(ecr: Client, app: str, aws: Sandbox) -> None:
    small = build_image([build_layer({"/a": b"a"})], ImageConfig(platform=Platform(architecture="amd64")))
    large = build_image(
        [build_layer({"/a": bytes(range(256)) * 40})], ImageConfig(platform=Platform(architecture="arm64"))
    )
    index: Index = build_index([small, large])
    digest = await push_image(aws, app, "both", index)
    details = {one["imageDigest"]: one for one in (await ecr.describe_images(repositoryName=app))["imageDetails"]}
    assert details[digest]["imageSizeInBytes"] == details[large.manifest.digest]["imageSizeInBytes"]
    child = [{"imageDigest": small.manifest.digest}]
    [failure] = (await ecr.batch_delete_image(repositoryName=app, imageIds=child))["failures"]
    assert failure["failureCode"] == "ImageReferencedByManifestList"
    tagged = (await ecr.list_images(repositoryName=app, filter={"tagStatus": "TAGGED"}))["imageIds"]
    untagged = (await ecr.list_images(repositoryName=app, filter={"tagStatus": "UNTAGGED"}))["imageIds"]
    assert tagged == [{"imageDigest": digest, "imageTag": "both"}]
    assert len(untagged) == 2


@pytest.mark.filterwarnings("ignore:Sending a large body:ResourceWarning")
async def test_a_layer_is_uploaded_in_parts(ecr: Client, app: str) -> None:
    content = b"x" * (LEAST_PART + 10)
    digest = "sha256:" + hashlib.sha256(content).hexdigest()
    upload = (await ecr.initiate_layer_upload(repositoryName=app))["uploadId"]
    where = {"repositoryName": app, "uploadId": upload}
    assert await refused(ecr.complete_layer_upload(**where, layerDigests=[digest])) == "EmptyUploadException"
    early = ecr.upload_layer_part(**where, partFirstByte=5, partLastByte=5, layerPartBlob=b"x")
    assert await refused(early) == "InvalidLayerPartException"
    for first, last in ((0, LEAST_PART - 1), (LEAST_PART, LEAST_PART + 9)):
        part = content[first : last + 1]
        await ecr.upload_layer_part(**where, partFirstByte=first, partLastByte=last, layerPartBlob=part)
    await ecr.complete_layer_upload(**where, layerDigests=[digest])
    checked = await ecr.batch_check_layer_availability(repositoryName=app, layerDigests=[digest, "sha256:" + "0" * 64])
    assert [layer["layerSize"] for layer in checked["layers"]] == [len(content)]
    assert [failure["failureCode"] for failure in checked["failures"]] == ["MissingLayerDigest"]
    link = ecr.get_download_url_for_layer(repositoryName=app, layerDigest=digest)
    assert await refused(link) == "LayerInaccessibleException"


async def test_parts_before_the_last_have_a_least_size(ecr: Client, app: str) -> None:
    upload = (await ecr.initiate_layer_upload(repositoryName=app))["uploadId"]
    where = {"repositoryName": app, "uploadId": upload}
    for byte in range(2):
        await ecr.upload_layer_part(**where, partFirstByte=byte, partLastByte=byte, layerPartBlob=b"x")
    digest = "sha256:" + hashlib.sha256(b"xx").hexdigest()
    assert await refused(ecr.complete_layer_upload(**where, layerDigests=[digest])) == "LayerPartTooSmallException"


async def test_another_account_needs_a_repository_policy(ecr: Client, app: str, aws: Sandbox) -> None:
    policy = {
        "Version": "2012-10-17",
        "Statement": [{"Effect": "Allow", "Principal": {"AWS": _OTHER}, "Action": "ecr:ListImages"}],
    }
    async with sdk("ecr", aws, account=_OTHER) as other:
        asked = {"registryId": ACCOUNT, "repositoryName": app}
        assert await refused(other.list_images(**asked)) == "AccessDeniedException"
        await ecr.set_repository_policy(repositoryName=app, policyText=json.dumps(policy))
        assert (await other.list_images(**asked))["imageIds"] == []
        assert await refused(other.describe_images(**asked)) == "AccessDeniedException"
    found = await ecr.get_repository_policy(repositoryName=app)
    assert json.loads(found["policyText"]) == policy
    await ecr.delete_repository_policy(repositoryName=app)
    assert await refused(ecr.get_repository_policy(repositoryName=app)) == "RepositoryPolicyNotFoundException"
    wrong = ecr.set_repository_policy(repositoryName=app, policyText="{")
    assert await refused(wrong) == "InvalidParameterException"


@pytest.mark.parametrize("account", [_OTHER, "333333333333"])
async def test_a_foreign_registry_lets_nobody_in_by_itself(ecr: Client, account: str) -> None:
    for asked in ({}, {"repositoryNames": ["app"]}):
        with pytest.raises(ClientError, match="AccessDeniedException") as raised:
            await ecr.describe_repositories(registryId=account, **asked)
        assert f"arn:aws:ecr:{REGION}:{account}:repository/" in str(raised.value)


async def test_a_login_is_for_twelve_hours(ecr: Client, aws: Sandbox) -> None:
    [login] = (await ecr.get_authorization_token())["authorizationData"]
    assert base64.b64decode(login["authorizationToken"]).startswith(b"AWS:")
    assert login["proxyEndpoint"] == aws.endpoint(ACCOUNT, REGION)


async def test_what_is_not_imitated_says_so(ecr: Client, app: str) -> None:
    assert await refused(ecr.get_lifecycle_policy(repositoryName=app)) == "UnsupportedCommandException"
