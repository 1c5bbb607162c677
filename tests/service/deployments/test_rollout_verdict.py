"""Why a rollout goes no further, where the stand-in's cluster has no such bad day."""

from typing import Any

from service.deployments.rollout_verdict import hopeless, why_stalled

DEPLOYMENT: dict[str, Any] = {"metadata": {"name": "myapp"}, "spec": {}, "status": {}}


def pod(reason: str, message: str | None = None) -> dict[str, Any]:
    waiting = {"reason": reason} | ({"message": message} if message else {})
    status = {"name": "myapp", "ready": False, "state": {"waiting": waiting}}
    return {"metadata": {"name": "myapp-1"}, "status": {"containerStatuses": [status]}}


def test_a_pull_that_may_yet_succeed_is_waited_for_and_then_the_reason() -> None:
    pods = [pod("ImagePullBackOff", "dial tcp: i/o timeout")]
    assert hopeless(pods) is None
    reason = why_stalled(DEPLOYMENT, pods)
    assert (reason.code, reason.message) == ("image_pull_failed", "ImagePullBackOff: dial tcp: i/o timeout")
    assert (reason.pod, reason.container) == ("myapp-1", "myapp")


def test_a_pull_that_is_refused_is_hopeless() -> None:
    for words in ("403 Forbidden", "pull access denied", "no match for platform in manifest", "manifest unknown"):
        reason = hopeless([pod("ErrImagePull", words)])
        assert reason is not None
        assert (reason.code, reason.message) == ("image_pull_failed", words)


def test_a_container_that_can_not_be_run_is_hopeless() -> None:
    for why in ("InvalidImageName", "CreateContainerConfigError", "RunContainerError"):
        reason = hopeless([pod(why, "no such user")])
        assert reason is not None
        assert (reason.code, reason.message) == ("container_config_invalid", f"{why}: no such user")


def test_without_a_word_from_anybody_it_made_no_progress() -> None:
    reason = why_stalled(DEPLOYMENT, [])
    assert (reason.code, reason.message) == ("progress_deadline_exceeded", "The rollout made no progress.")
