"""Documents that a stranger may have written: too deep, too large, or with numbers that are none."""

import base64
import json
from dataclasses import replace

import httpx
import pytest

from sandbox.server import Sandbox
from sandbox.story.image_writer import Blob, Image
from tests.images import image, publish, push_image
from tests.marks import only_sqlite

pytestmark = [pytest.mark.asyncio, only_sqlite]
LISTS = ["/v1/repositories", "/v1/images?repository=team/app", "/v1/keys", "/v1/audit", "/v1/deployments"]


@pytest.mark.parametrize("path", LISTS)
@pytest.mark.parametrize("text", ["[" * 3000, '{"after":' * 300, "1" * 3000, "{}", '{"after":' + "9" * 3000 + "}"])
async def test_a_cursor_of_any_make_is_refused(admin: httpx.AsyncClient, path: str, text: str) -> None:
    cursor = base64.urlsafe_b64encode(text.encode()).decode()
    answer = await admin.get(path, params=dict(httpx.URL(path).params) | {"cursor": cursor})
    assert (answer.status_code, answer.json()["code"]) == (400, "invalid_parameter")
    assert [one["path"] for one in answer.json()["errors"]] == ["query.cursor"]


@pytest.mark.parametrize("number", ["9" * 400, "-" + "9" * 400, "1e999"])
async def test_a_number_that_no_policy_has_is_named_with_its_place(admin: httpx.AsyncClient, number: str) -> None:
    statement = {
        "Effect": "Allow",
        "Principal": {"AWS": "111111111111"},
        "Action": "ecr:BatchGetImage",
        "Condition": {"NumericLessThan": {"aws:MultiFactorAuthAge": "NUMBER"}},
    }
    document = json.dumps({"Version": "2012-10-17", "Statement": [statement]}).replace('"NUMBER"', number)
    headers = {"Content-Type": "application/json"}
    answer = await admin.put("/v1/policies/repositories/team/app", content=document, headers=headers)
    assert (answer.status_code, answer.json()["code"]) == (422, "invalid_policy")
    [mistake] = answer.json()["errors"]
    assert mistake["path"].startswith("body.Statement[0].Condition.NumericLessThan")


PLATFORM = b'"os": "linux", "architecture": "amd64"'
LARGE = b"{" + PLATFORM + b', "history": "' + b"x" * (4 * 1024 * 1024) + b'"}'
DEEP = b"{" + PLATFORM + b', "history": ' + b"[" * 200_000 + b"]" * 200_000 + b"}"


@pytest.mark.parametrize(
    "config", [LARGE, DEEP, b"no JSON", b"[]", b'{"os": ["linux"], "architecture": {"is": "amd64"}}']
)
async def test_a_config_of_any_make_tells_no_platform(admin: httpx.AsyncClient, aws: Sandbox, config: bytes) -> None:
    await publish(aws, "myapp", "1")
    await push_image(aws, "myapp", "odd", with_config(image("odd"), config))
    answer = await admin.get("/v1/clusters/demo/preflight", params={"image": "myapp:odd"})
    assert answer.status_code == 200, answer.text
    [platforms] = [one for one in answer.json()["checks"] if one["name"] == "platforms"]
    assert platforms["verdict"] != "ok"


async def test_a_config_below_the_limit_is_read(admin: httpx.AsyncClient, aws: Sandbox) -> None:
    await publish(aws, "myapp", "1")
    nearly = b"{" + PLATFORM + b', "history": "' + b"x" * (4 * 1024 * 1024 - 100) + b'"}'
    await push_image(aws, "myapp", "odd", with_config(image("odd"), nearly))
    answer = await admin.get("/v1/clusters/demo/preflight", params={"image": "myapp:odd"})
    [platforms] = [one for one in answer.json()["checks"] if one["name"] == "platforms"]
    assert platforms["verdict"] == "ok"


def with_config(of: Image, content: bytes) -> Image:
    config = Blob(of.config.media_type, content)
    manifest = json.loads(of.manifest.content) | {"config": config.to_descriptor()}
    return replace(of, config=config, manifest=Blob(of.manifest.media_type, json.dumps(manifest).encode()))
