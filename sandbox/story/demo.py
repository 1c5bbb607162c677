"""The story of the README, walked on this machine: the sandbox, the service as its own process, plain HTTP between."""

import shlex
import signal
import tempfile
import uuid
from pathlib import Path
from types import FrameType
from typing import Any, NoReturn

import httpx
import typer

from sandbox.places import MAIN_ACCOUNT, MAIN_REGION, OTHER_ACCOUNT
from sandbox.server import Sandbox
from sandbox.story.demo_service import SETTINGS_VARIABLE, require_free, serving, settings_file
from sandbox.story.image_writer import sample_app_image
from sandbox.story.narrator import Narrator, StoryError
from sandbox.story.push import PushError, push

ACCOUNT, REGION = MAIN_ACCOUNT, MAIN_REGION
_STOPS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


def run(*, once: bool, data: Path | None, port: int) -> None:
    """Walk the story; then keep serving until interrupted, unless `once`.

    :raises StoryError: the port is taken, or a step did not do what it should.
    """
    require_free(port)
    for number in _STOPS:
        signal.signal(number, _stop)
    typer.echo("Starting a stand-in for AWS (accounts 111111111111 and 222222222222) and wharfinger in front of it.")
    with tempfile.TemporaryDirectory() as scratch:
        folder = data or Path(scratch)
        own = folder / "wharfinger"
        is_new = not own.exists()
        with Sandbox(data=folder / "sandbox") as sandbox, serving(sandbox, own, port) as (url, key):
            if is_new:
                _Story(sandbox, Narrator(url, key)).walk()
            else:
                typer.echo(f"The story wants an empty folder: what was made in {folder} before is there again.")
            if not once:
                _serve_on(sandbox, url, key, folder, settings_file(own))


class _Story:
    def __init__(self, sandbox: Sandbox, narrator: Narrator) -> None:
        self._sandbox = sandbox
        self._tell = narrator
        self._host = sandbox.host(ACCOUNT, REGION)
        self._creation_key = str(uuid.uuid4())
        self._deployed: Any = None
        self._failed = ""

    def walk(self) -> None:
        for step in (
            self.create_repository,
            self.push_two_versions,
            self.inspect,
            self.push_with_a_pull_token,
            self.let_another_account_in,
            self.repeat_a_call,
            self.deploy,
            self.deploy_what_is_not_there,
            self.deploy_what_crashes,
            self.roll_back,
            self.show_the_trail,
        ):
            step()
        self._tell.chapter("Every step did what it should.")

    def create_repository(self) -> None:
        self._tell.chapter("1. A repository, with immutable tags and scan on push")
        self._create()

    def push_two_versions(self) -> None:
        self._tell.chapter("2. A credential for this repository alone, and two versions of the sample app")
        password = self._vend(["pull", "push"])
        self._tell.say("The images are written here without a container engine, over a stand-in for a base image.")
        self._push("0.0.1", "full", password)
        self._push("0.0.2", "slim", password)

    def inspect(self) -> None:
        self._tell.chapter("3. What is in it")
        listed = self._tell.call("GET", "/v1/images?repository=myapp", expect=200).json()["items"]
        sizes = {tag: image["size_bytes"] for image in listed for tag in image["tags"]}
        for tag, size in sorted(sizes.items()):
            self._tell.say(f"{tag}: {size:,} bytes")
        self._tell.check(sizes["0.0.2"] < sizes["0.0.1"], "the second version should be smaller")
        self._tell.call("GET", "/v1/images/myapp:0.0.2", expect=200, gist=("digest", "layers", "pushed_at"))

    def push_with_a_pull_token(self) -> None:
        self._tell.chapter("4. A credential reaches no further than asked: a push with a pull token")
        self._refused("0.0.3", "AWS", self._vend(["pull"]))

    def let_another_account_in(self) -> None:
        self._tell.chapter(f"5. Account {OTHER_ACCOUNT} is refused, until a repository policy lets it in")
        username, password = self._sandbox.docker_login(OTHER_ACCOUNT, REGION)
        self._tell.say(
            f"(that account logs in with its own AWS identity: aws ecr get-login-password --region {REGION})"
        )
        self._refused("from-outside", username, password)
        template = f"/v1/policy-templates/cross-account-push?account={OTHER_ACCOUNT}"
        document = self._tell.call("GET", template, expect=200, gist=("Version", "Statement")).json()
        self._tell.call("PUT", "/v1/policies/repositories/myapp", document, expect=200)
        digest = push(
            sample_app_image("0.0.3", "slim"),
            host=self._host,
            repository="myapp",
            tag="from-outside",
            username=username,
            password=password,
        )
        self._tell.say(f"pushed by {OTHER_ACCOUNT}: {self._host}/myapp:from-outside@{digest}")

    def repeat_a_call(self) -> None:
        self._tell.chapter("6. The first call again, with its key: answered from the record, nothing happens twice")
        answer = self._create()
        replayed = answer.headers.get("Idempotency-Replayed")
        self._tell.say(f"Idempotency-Replayed: {replayed}")
        self._tell.check(replayed == "true", "the answer should be a replay")

    def deploy(self) -> None:
        self._tell.chapter("7. myapp:0.0.2 on the cluster, as a Deployment and a NodePort Service, and its URL")
        deployed = self._deploy("myapp:0.0.1", expect=200)
        self._tell.check(bool(deployed["urls"]), "it should have a URL")
        self._tell.say("The newer version, by the digest that its tag stands for now:")
        self._deployed = self._deploy("myapp:0.0.2", expect=200)
        self._tell.check(deployed["digest"] != self._deployed["digest"], "the digests should differ")
        self._show_the_url(self._deployed["image_uri"])

    def deploy_what_is_not_there(self) -> None:
        self._tell.chapter("8. A tag that does not exist is refused, before anything is changed")
        self._deploy("myapp:9.9.9", expect=404, gist=("code", "detail"))

    def deploy_what_crashes(self) -> None:
        self._tell.chapter(
            "9. A version that ends at once: why, in the container's own words; the old pods keep serving"
        )
        self._tell.say("(no container runs here: the variable SANDBOX_EXIT says how one would end)")
        failed = self._deploy("myapp:0.0.1", expect=409, gist=("code", "detail"), env={"SANDBOX_EXIT": "1 no database"})
        self._tell.check(failed["deployment"]["reason"]["code"] == "crash_loop", "it should fail by its crash loop")
        self._failed = failed["deployment"]["id"]
        self._show_the_url(self._deployed["image_uri"])

    def roll_back(self) -> None:
        self._tell.chapter("10. Back to the last version that worked, as a deployment of its own")
        path = f"/v1/deployments/{self._failed}/rollback?wait=60"
        back = self._tell.call("POST", path, {}, expect=200, gist=("kind", "status", "image_uri", "urls")).json()
        self._tell.check(back["digest"] == self._deployed["digest"], "it should be the version that worked")
        self._show_the_url(back["image_uri"])

    def show_the_trail(self) -> None:
        self._tell.chapter("11. The audit trail, newest first")
        rows = self._tell.call("GET", "/v1/audit?limit=30", expect=200).json()["items"]
        for row in rows:
            self._tell.say(f"{row['started_at']}  {row['status']:<9}  {row['action']:<24}  {row['target']}")
        actions = {(row["action"], row["status"]) for row in rows}
        done = (
            "repository.create",
            "token.push",
            "policy.put_foreign",
            "deployment.create",
            "cluster.apply_deployment",
        )
        wanted = {(action, "succeeded") for action in done}
        self._tell.check(wanted <= actions, f"the trail lacks {wanted - actions}")

    def _create(self) -> httpx.Response:
        return self._tell.call(
            "POST",
            "/v1/repositories",
            {"name": "myapp", "tag_mutability": "IMMUTABLE", "scan_on_push": True},
            headers={"Idempotency-Key": self._creation_key},
            expect=201,
            gist=("uri", "tag_mutability", "scan_on_push"),
        )

    def _deploy(
        self, image: str, *, expect: int, gist: tuple[str, ...] = ("status", "image_uri", "urls"), **more: object
    ) -> Any:  # noqa: ANN401 - JSON
        asked = {
            "cluster": "demo",
            "name": "myapp",
            "image": image,
            "replicas": 2,
            "port": 8080,
            "service_type": "NodePort",
        }
        return self._tell.call("POST", "/v1/deployments?wait=60", asked | more, expect=expect, gist=gist).json()

    def _show_the_url(self, image_uri: str) -> None:
        """Ask the URL that the deployment gives: the stand-in there says what would run."""
        answer = httpx.get(self._deployed["urls"][0], trust_env=False).json()
        self._tell.say(f"$ curl {self._deployed['urls'][0]}")
        self._tell.say(f"-> {answer['message']}, image {answer['image']}")
        self._tell.check(answer["image"] == image_uri, "the pods should be of this image")

    def _vend(self, actions: list[str]) -> str:
        asked = {"repositories": ["myapp"], "actions": actions}
        token = self._tell.call(
            "POST", "/v1/tokens", asked, expect=200, gist=("username", "host", "expires_at", "repositories", "actions")
        )
        return str(token.json()["password"])

    def _push(self, version: str, base: str, password: str) -> None:
        image = sample_app_image(version, "full" if base == "full" else "slim")
        digest = push(image, host=self._host, repository="myapp", tag=version, username="AWS", password=password)
        self._tell.say(f"pushed {self._host}/myapp:{version}@{digest}")

    def _refused(self, tag: str, username: str, password: str) -> None:
        try:
            push(
                sample_app_image("0.0.3", "slim"),
                host=self._host,
                repository="myapp",
                tag=tag,
                username=username,
                password=password,
            )
        except PushError as error:
            self._tell.say(f"refused by the registry: {error}")
        else:
            raise StoryError(f"the push of {tag} should have been refused")


def _serve_on(sandbox: Sandbox, url: str, key: str, folder: Path, settings: Path) -> None:
    kubeconfig = folder / "kubeconfig"
    kubeconfig.touch(mode=0o600)
    kubeconfig.write_text(sandbox.kubeconfig())
    operator = sandbox.credentials()
    typer.echo("\nStill serving, until Ctrl+C. For a second terminal:\n")
    for line in (
        f"export URL={url} AUTH='Authorization: Bearer {key}'",
        f"export AWS_ENDPOINT_URL={sandbox.endpoint(ACCOUNT, REGION)} AWS_DEFAULT_REGION={REGION}",
        f"export AWS_ACCESS_KEY_ID={operator.access_key} AWS_SECRET_ACCESS_KEY={operator.secret_key}",
        f"export KUBECONFIG={shlex.quote(str(kubeconfig.resolve()))}",
        f"export {SETTINGS_VARIABLE}={shlex.quote(str(settings))}",
    ):
        typer.echo(line)
    typer.echo('\nThen: curl -sS --fail-with-body -H "$AUTH" $URL/v1/deployments')
    typer.echo("      aws ecr describe-repositories; kubectl get pods")
    typer.echo(f"The registry is {sandbox.host(ACCOUNT, REGION)}; the API is described at {url}/docs")
    try:
        signal.pause()
    finally:
        typer.echo("\nStopping.")


def _stop(number: int, _: FrameType | None) -> NoReturn:
    """End as by Ctrl+C, so that nothing is left running; told twice, it goes on ending."""
    for one in _STOPS:
        signal.signal(one, signal.SIG_IGN)
    raise SystemExit(128 + number)
