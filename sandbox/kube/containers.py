"""What a container without a container would do, told from its environment, and its status as the kubelet writes it.

Nothing runs here. What a container would do is declared where its environment is, in the pod or in the configuration of
its image (the pod's counts first), so that a bad day can be asked for:

- `SANDBOX_EXIT="CODE MESSAGE"`: it exits at once, each time that it is started, with that code and those last words.
  They show in its status as a log would: under `terminationMessagePolicy: FallbackToLogsOnError`, with a code not 0.
- `SANDBOX_READY_AFTER="SECONDS"`: it becomes ready only then; `never`: it does not.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sandbox.kube.store import Object, now

_EXIT, _READY_AFTER = "SANDBOX_EXIT", "SANDBOX_READY_AFTER"
_LONGEST_MESSAGE = 2048


@dataclass(frozen=True, slots=True)
class Behaviour:
    """What a container does once it is started."""

    exit_code: int | None
    """None: it runs for ever."""
    last_words: str
    ready_after: float
    """Seconds."""


def behaviour_of(container: Object, environment: Mapping[str, str]) -> Behaviour:
    """A declaration that can't be read counts as none."""
    code, _, message = environment.get(_EXIT, "").partition(" ")
    return Behaviour(
        exit_code=int(code) if code.isdigit() else None,
        last_words=message,
        ready_after=max(_seconds(environment.get(_READY_AFTER, "")), _probe_delay(container)),
    )


def _seconds(text: str) -> float:
    if text == "never":
        return math.inf
    try:
        return float(text)
    except ValueError:
        return 0.0


def _probe_delay(container: Object) -> float:
    return float((container.get("readinessProbe") or {}).get("initialDelaySeconds") or 0)


def waiting(reason: str, message: str | None = None) -> Object:
    return {"waiting": {"reason": reason, **({"message": message} if message else {})}}


def running() -> Object:
    return {"running": {"startedAt": now()}}


def terminated(container: Object, behaviour: Behaviour, status: Object) -> Object:
    """The state after the container exited as it was declared to."""
    code = behaviour.exit_code or 0
    has_words = code and container.get("terminationMessagePolicy") == "FallbackToLogsOnError"
    state: dict[str, Any] = {
        "exitCode": code,
        "reason": "Error" if code else "Completed",
        "startedAt": now(),
        "finishedAt": now(),
        "containerID": status["containerID"],
    }
    if has_words and behaviour.last_words:
        state["message"] = behaviour.last_words[-_LONGEST_MESSAGE:]
    return {"terminated": state}


def first_status(container: Object) -> Object:
    """The status before anything happened."""
    return {
        "name": container["name"],
        "image": container["image"],
        "imageID": "",
        "ready": False,
        "started": False,
        "restartCount": 0,
        "state": waiting("ContainerCreating"),
        "lastState": {},
    }
