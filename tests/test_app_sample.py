"""The sample app, and the pipeline that brings it to a registry, run as CI does, with stand-ins around them."""

import importlib.util
import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import httpx
import pytest

APP = Path(__file__).parents[1] / "app-sample"
KEY = "whf_a-key-that-must-not-show"
PASSWORD = "a-password-that-must-not-show"
URI = "111111111111.dkr.ecr.eu-central-1.amazonaws.com/myapp"
DIGEST = "sha256:" + "a" * 64

ENGINE = """#!/bin/sh
name=$(basename "$0")
echo "$name $*" >> "$LOG/argv"
case "$1" in
    info) test -z "$NO_ENGINE" ;;
    login) cat > "$LOG/stdin" ;;
    image) echo "other/myapp@sha256:0"; echo "$URI@$DIGEST" ;;
    push) while [ $# -gt 1 ]; do if [ "$1" = --digestfile ]; then echo "$DIGEST" > "$2"; fi; shift; done ;;
esac
"""
CURL = """#!/bin/sh
echo "curl $*" >> "$LOG/argv"
PATH=$REAL_PATH exec curl "$@"
"""


@pytest.mark.asyncio
async def test_the_app_says_its_version_and_where_it_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    spec = importlib.util.spec_from_file_location("app_sample", APP / "main.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    monkeypatch.setenv("APP_VERSION", "0.0.1")
    transport = httpx.ASGITransport(app=module.app)
    async with httpx.AsyncClient(transport=transport, base_url="http://app") as client:
        hello = (await client.get("/")).json()
        health = await client.get("/healthz")
    assert hello["version"] == "0.0.1"
    assert hello["hostname"] == os.uname().nodename
    assert health.json() == {"status": "ok"}


def test_the_app_ends_by_itself_when_asked_to() -> None:
    command = [sys.executable, "-m", "uvicorn", "main:app", "--host", "127.0.0.1", "--port", "0"]
    with subprocess.Popen(command, cwd=APP, stderr=subprocess.PIPE, text=True) as server:  # noqa: S603 - our own app
        assert server.stderr
        url = next(found[0] for line in server.stderr if (found := re.search(r"http://127\.0\.0\.1:\d+", line)))
        assert httpx.get(url + "/healthz").status_code == 200
        server.send_signal(signal.SIGTERM)
        assert "Application shutdown complete." in server.stderr.read()
    # uvicorn shuts down and then ends by the signal it was sent.
    assert server.returncode in {0, -signal.SIGTERM}


def test_its_requirements_are_exact() -> None:
    lines = (APP / "requirements.txt").read_text().splitlines()
    assert lines
    assert all(re.fullmatch(r"#.*|[a-z0-9-]+==[0-9.]+", line) for line in lines)


@dataclass
class Wharfinger:
    """Answers like the service, from a script: one list of answers per call, the last one repeating."""

    answers: dict[str, list[tuple[int, str]]] = field(
        default_factory=lambda: {
            "POST /v1/repositories": [(201, '{"name": "myapp"}')],
            "GET /v1/repositories/myapp": [(200, URI + "\n")],
            "GET /v1/images/myapp:0.0.1": [(404, '{"code": "image_not_found"}')],
            "POST /v1/tokens": [(200, PASSWORD + "\n")],
            "POST /v1/deployments": [(200, "http://10.0.0.1:32410\n")],
        }
    )
    calls: list[tuple[str, dict[str, str], str]] = field(default_factory=list)

    def answer(self, call: str, headers: dict[str, str], body: str) -> tuple[int, str]:
        self.calls.append((call, headers, body))
        script = self.answers[call.partition("?")[0]]
        return script.pop(0) if len(script) > 1 else script[0]

    def called(self, call: str) -> list[tuple[str, dict[str, str], str]]:
        return [entry for entry in self.calls if entry[0] == call]


class Handler(BaseHTTPRequestHandler):
    wharfinger: Wharfinger

    def do_GET(self) -> None:
        length = int(self.headers.get("Content-Length", "0"))
        headers = {name.lower(): value for name, value in self.headers.items()}
        status, text = self.wharfinger.answer(f"{self.command} {self.path}", headers, self.rfile.read(length).decode())
        self.send_response(status)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text.encode())

    do_POST = do_GET  # noqa: N815 - the name is http.server's

    def log_message(self, *_: Any) -> None:  # noqa: ANN401 - the signature is http.server's
        """Keep the test's output clean."""


@dataclass
class Pipeline:
    """Runs `pipeline.sh` against stand-ins for wharfinger, docker and buildah, which note what they are asked."""

    wharfinger: Wharfinger
    environment: dict[str, str]
    log: Path

    def run(self, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(  # noqa: S603 - our own script
            [str(APP / "pipeline.sh"), *arguments],
            env=self.environment | environment,
            capture_output=True,
            text=True,
            check=False,
        )

    @property
    def argv(self) -> str:
        return (self.log / "argv").read_text()


@pytest.fixture
def pipeline(tmp_path: Path) -> Iterator[Pipeline]:
    for name, script in (("docker", ENGINE), ("buildah", ENGINE), ("curl", CURL)):
        (tmp_path / name).write_text(script)
        (tmp_path / name).chmod(0o755)
    wharfinger = Wharfinger()
    handler = type("BoundHandler", (Handler,), {"wharfinger": wharfinger})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        environment = {
            "PATH": f"{tmp_path}:{os.environ['PATH']}",
            "REAL_PATH": os.environ["PATH"],
            "LOG": str(tmp_path),
            "URI": URI,
            "DIGEST": DIGEST,
            "WHARFINGER_URL": f"http://127.0.0.1:{server.server_port}",
            "WHARFINGER_KEY": KEY,
            "TAG": "0.0.1",
        }
        yield Pipeline(wharfinger, environment, tmp_path)
        server.shutdown()


@pytest.mark.parametrize("no_engine", ["", "yes"], ids=["docker", "buildah"])
def test_it_creates_logs_in_builds_and_pushes(pipeline: Pipeline, no_engine: str) -> None:
    done = pipeline.run(NO_ENGINE=no_engine)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == f"{URI}@{DIGEST}"
    assert "repository myapp: created" in done.stdout
    assert (pipeline.log / "stdin").read_text().strip() == PASSWORD
    assert f"{URI}:0.0.1" in pipeline.argv
    assert {headers["authorization"] for _, headers, _ in pipeline.wharfinger.calls} == {f"Bearer {KEY}"}
    assert pipeline.wharfinger.called("POST /v1/tokens")[0][2] == (
        '{"repositories":["myapp"],"actions":["push","pull"]}'
    )


def test_it_shows_neither_key_nor_password(pipeline: Pipeline) -> None:
    done = pipeline.run(SHELLOPTS="xtrace")
    assert done.returncode == 0
    assert "+ set +x" in done.stderr  # the caller did ask for a trace
    shown = done.stdout + done.stderr + pipeline.argv
    assert "login --username AWS" in shown
    assert KEY not in shown
    assert PASSWORD not in shown


def test_it_goes_on_when_the_repository_exists(pipeline: Pipeline) -> None:
    pipeline.wharfinger.answers["POST /v1/repositories"] = [(409, '{"code": "repository_exists"}')]
    done = pipeline.run()
    assert done.returncode == 0
    assert "repository myapp: exists" in done.stdout


def test_it_names_a_registry_when_told_to(pipeline: Pipeline) -> None:
    assert pipeline.run(REGISTRY="second").returncode == 0
    assert pipeline.wharfinger.calls
    assert all(call.endswith("?registry=second") for call, _, _ in pipeline.wharfinger.calls)


def test_it_deploys_where_a_cluster_is_named_and_shows_the_url(pipeline: Pipeline) -> None:
    done = pipeline.run(CLUSTER="demo", NAMESPACE="team", REGISTRY="second")
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "http://10.0.0.1:32410"
    [(_, headers, body)] = pipeline.wharfinger.called("POST /v1/deployments?wait=600&registry=second")
    asked = {"cluster": "demo", "namespace": "team", "name": "myapp", "image": f"myapp:0.0.1@{DIGEST}", "port": 8080}
    assert json.loads(body) == asked
    assert headers["accept"] == "text/plain"


IMMUTABLE = [(200, URI + "\n"), (200, '{"tag_mutability": "IMMUTABLE"}')]


def test_run_again_it_takes_the_image_that_its_immutable_tag_stands_for(pipeline: Pipeline) -> None:
    pipeline.wharfinger.answers["GET /v1/repositories/myapp"] = list(IMMUTABLE)
    pipeline.wharfinger.answers["GET /v1/images/myapp:0.0.1"] = [(200, f"{URI}@{DIGEST}\n")]
    done = pipeline.run(CLUSTER="demo")
    assert done.returncode == 0, done.stderr
    assert f"{URI}@{DIGEST}" in done.stdout.splitlines()
    assert " build " not in pipeline.argv
    assert not pipeline.wharfinger.called("POST /v1/tokens")
    [(_, _, body)] = pipeline.wharfinger.called("POST /v1/deployments?wait=600")
    assert json.loads(body)["image"] == f"myapp:0.0.1@{DIGEST}"


@pytest.mark.parametrize(
    ("mode", "exclusions", "is_built"),
    [
        ("IMMUTABLE_WITH_EXCLUSION", ["dev-*", "latest"], False),
        ("IMMUTABLE_WITH_EXCLUSION", ["dev-*", "0.*"], True),
        ("MUTABLE_WITH_EXCLUSION", ["0.*"], False),
        ("MUTABLE_WITH_EXCLUSION", ["release-*"], True),
        ("MUTABLE", [], True),
    ],
)
def test_run_again_it_heeds_which_tags_are_left_out(
    pipeline: Pipeline, mode: str, exclusions: list[str], *, is_built: bool
) -> None:
    repository = json.dumps({"tag_mutability": mode, "mutability_exclusions": exclusions, "scan_on_push": True})
    pipeline.wharfinger.answers["GET /v1/repositories/myapp"] = [(200, URI + "\n"), (200, repository)]
    pipeline.wharfinger.answers["GET /v1/images/myapp:0.0.1"] = [(200, f"{URI}@{DIGEST}\n")]
    assert pipeline.run().returncode == 0
    assert ("docker push" in pipeline.argv) == is_built


def test_an_immutable_tag_that_is_not_there_yet_is_built(pipeline: Pipeline) -> None:
    pipeline.wharfinger.answers["GET /v1/repositories/myapp"] = list(IMMUTABLE)
    done = pipeline.run()
    assert done.returncode == 0, done.stderr
    assert "docker push" in pipeline.argv


def test_a_tag_that_can_be_moved_is_built_again(pipeline: Pipeline) -> None:
    pipeline.wharfinger.answers["GET /v1/images/myapp:0.0.1"] = [(200, f"{URI}@{DIGEST}\n")]
    assert pipeline.run().returncode == 0
    assert "docker push" in pipeline.argv


def test_a_rollout_that_fails_fails_the_pipeline(pipeline: Pipeline) -> None:
    pipeline.wharfinger.answers["POST /v1/deployments"] = [(409, '{"code": "deployment_failed"}')]
    done = pipeline.run(CLUSTER="demo")
    assert done.returncode == 1
    assert "deployment_failed" in done.stderr


@pytest.mark.parametrize("call", ["POST /v1/repositories", "GET /v1/repositories/myapp", "POST /v1/tokens"])
def test_a_refusal_ends_it_and_is_shown(pipeline: Pipeline, call: str) -> None:
    pipeline.wharfinger.answers[call] = [(403, '{"code": "forbidden"}')]
    done = pipeline.run()
    assert done.returncode == 1
    assert 'wharfinger answered 403: {"code": "forbidden"}' in done.stderr
    assert "build" not in pipeline.argv


def test_another_conflict_is_not_taken_for_an_existing_repository(pipeline: Pipeline) -> None:
    pipeline.wharfinger.answers["POST /v1/repositories"] = [(409, '{"code": "operation_in_progress"}')]
    assert pipeline.run().returncode == 1


def test_creating_is_repeated_under_one_key_and_vending_never(pipeline: Pipeline) -> None:
    pipeline.wharfinger.answers["POST /v1/repositories"] = [(503, "{}"), (201, "{}")]
    pipeline.wharfinger.answers["POST /v1/tokens"] = [(503, "{}")]
    assert pipeline.run().returncode == 1
    keys = [headers["idempotency-key"] for _, headers, _ in pipeline.wharfinger.called("POST /v1/repositories")]
    assert len(keys) == 2
    assert len(set(keys)) == 1
    assert len(pipeline.wharfinger.called("POST /v1/tokens")) == 1


def test_each_run_has_a_key_of_its_own(pipeline: Pipeline) -> None:
    pipeline.run()
    pipeline.run()
    keys = [headers["idempotency-key"] for _, headers, _ in pipeline.wharfinger.called("POST /v1/repositories")]
    assert len(set(keys)) == 2


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("WHARFINGER_URL", ""),
        ("WHARFINGER_URL", "wharfinger.example.com"),
        ("WHARFINGER_KEY", ""),
        ("WHARFINGER_KEY", "AKIA1234"),
        ("WHARFINGER_KEY", "whf_two words"),
        ("REPOSITORY", 'my"app'),
        ("REPOSITORY", "team/"),
        ("TAG", "-v"),
        ("REGISTRY", "a&b"),
        ("CLUSTER", 'a"b'),
        ("NAMESPACE", "Team"),
        ("DEPLOY_WAIT", "long"),
    ],
)
def test_a_wrong_input_is_named_before_anything_is_asked(pipeline: Pipeline, name: str, value: str) -> None:
    done = pipeline.run(**{name: value})
    assert done.returncode == 2
    assert name in done.stderr
    assert not pipeline.wharfinger.calls


def test_help_tells_every_input(pipeline: Pipeline) -> None:
    done = pipeline.run("--help")
    assert done.returncode == 0
    inputs = ("WHARFINGER_URL", "WHARFINGER_KEY", "REPOSITORY", "TAG", "REGISTRY", "BASE_IMAGE", "CLUSTER", "WORKLOAD")
    for name in inputs:
        assert name in done.stdout


def test_an_unknown_argument_is_refused(pipeline: Pipeline) -> None:
    assert pipeline.run("--verbose").returncode == 2
