"""The description of the interface, served: readable without the internet, under a policy that lets nothing else in."""

import re

import httpx
import pytest
import yaml

from tests.marks import only_sqlite

pytestmark = [pytest.mark.asyncio, only_sqlite]


async def test_the_root_leads_to_the_docs(bare_client: httpx.AsyncClient) -> None:
    answer = await bare_client.get("/")
    assert (answer.status_code, answer.headers["Location"]) == (307, "docs")
    assert (await bare_client.get("/", follow_redirects=True)).url.path == "/docs"


async def test_the_docs_ask_no_other_host_for_anything(bare_client: httpx.AsyncClient) -> None:
    page = await bare_client.get("/docs")
    linked = re.findall(r'(?:src|href)="([^"]+)"', page.text)
    assert len(linked) == 4
    assert "//" not in page.text
    for one in linked:
        found = await bare_client.get(page.url.join(one).path)
        assert found.status_code == 200, one
        assert found.content
    script = await bare_client.get("/docs/start.js")
    assert "SwaggerUIBundle" in (await bare_client.get("/docs/assets/swagger-ui-bundle.js")).text
    [described] = re.findall(r'url: "([^"]+)"', script.text)
    assert (await bare_client.get(page.url.join(described).path)).json()["info"]["title"] == "Wharfinger"


async def test_the_docs_let_nothing_in_that_is_not_ours(bare_client: httpx.AsyncClient) -> None:
    page = await bare_client.get("/docs")
    policy = dict(one.strip().split(" ", 1) for one in page.headers["Content-Security-Policy"].split(";"))
    assert (policy["default-src"], policy["script-src"], policy["style-src"]) == ("'none'", "'self'", "'self'")
    assert "unsafe" not in page.headers["Content-Security-Policy"]
    # What stands in the page itself, the policy would not let run.
    assert not re.findall(r"<script>|<style|\bon\w+=|style=", page.text)


async def test_the_contract_is_served_as_yaml_too(bare_client: httpx.AsyncClient) -> None:
    answer = await bare_client.get("/openapi.yaml")
    assert (answer.status_code, answer.headers["Content-Type"]) == (200, "application/yaml")
    assert yaml.safe_load(answer.text) == (await bare_client.get("/openapi.json")).json()
