"""The kubelet's stand-in: takes the pods of all nodes from being bound to being ready, or says why they are not."""

import asyncio
import copy
import logging
import math
import secrets
from collections.abc import Callable, Iterable
from functools import partial

from sandbox.clock import CLOCK
from sandbox.kube.conditions import put_condition
from sandbox.kube.containers import Behaviour, behaviour_of, first_status, running, terminated, waiting
from sandbox.kube.images import Images, Pulled, PullError
from sandbox.kube.kinds import NODE, POD
from sandbox.kube.manager import Key
from sandbox.kube.references import ConfigError, check_user, check_volumes, environment_of
from sandbox.kube.store import Change, Object, Store, now
from sandbox.kube.view import View, key_of

_STEP = 0.01
"""Seconds between two steps of a pod's life, so that each can be seen."""
_FIRST_BACK_OFF, _LONGEST_BACK_OFF = 10, 300
"""Seconds; the kubelet's own, for pulls and for restarts."""
_LOOK_AGAIN = 1
"""Seconds until it looks anew for what a pod names; the kubelet takes longer."""
_log = logging.getLogger(__name__)


class Pods:
    """One task for each pod that is bound to a node; it ends where nothing more will happen."""

    def __init__(self, store: Store, view: View, images: Images) -> None:
        self._store = store
        self._view = view
        self._images = images
        self._tasks: dict[str, asyncio.Task[None]] = {}

    def concerns(self, change: Change) -> Iterable[Key]:
        uid = change.object["metadata"]["uid"]
        if change.kind is POD and change.type == "DELETED":
            if task := self._tasks.pop(uid, None):
                task.cancel()
        elif change.kind is POD and change.object["spec"].get("nodeName") and uid not in self._tasks:
            yield key_of(change.object)

    def reconcile(self, key: Key) -> None:
        pod = self._view.find(POD, *key)
        if pod is None or pod["metadata"]["uid"] in self._tasks:
            return
        uid = pod["metadata"]["uid"]
        self._tasks[uid] = asyncio.create_task(self._run(pod), name=f"pod {key}")

    async def close(self) -> None:
        """End the tasks. The pods stay as they are, and are taken up by the next start."""
        tasks = list(self._tasks.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _run(self, pod: Object) -> None:
        node = self._store.find(NODE, None, pod["spec"]["nodeName"])
        if node is None:
            return
        life = _Life(self._store, self._images, pod, node)
        try:
            await life.run()
        except Exception:  # noqa: BLE001 - told here, as nobody awaits the task
            _log.exception("the pod %s was left as it is", key_of(pod))


class _Life:
    """A pod on its node."""

    def __init__(self, store: Store, images: Images, pod: Object, node: Object) -> None:
        self._store = store
        self._images = images
        self._pod = pod
        self._node = node
        info = node["status"]["nodeInfo"]
        self._platform = (info["operatingSystem"], info["architecture"])

    async def run(self) -> None:
        if "startTime" not in self._pod.get("status", {}):
            self._update(self._accept)
            await CLOCK.sleep(_STEP)
        await self._mount()
        await asyncio.gather(*(self._run_container(one) for one in self._pod["spec"]["containers"]))

    async def _run_container(self, container: Object) -> None:
        if self._serves(container):
            return
        behaviour = await self._configure(container, await self._pull(container))
        await CLOCK.sleep(_STEP)
        back_off = 0
        while True:
            self._set(container, _started)
            if behaviour.exit_code is None:
                break
            await CLOCK.sleep(_STEP)
            self._set(container, partial(_exited, container, behaviour))
            await self._back_off(container, back_off)
            back_off = _next(back_off)
        await self._become_ready(container, behaviour)

    async def _mount(self) -> None:
        """Until then the containers are being created, without a word: a real cluster tells it by an Event."""
        while True:
            try:
                return check_volumes(self._store, self._pod)
            except ConfigError:
                await CLOCK.sleep(_LOOK_AGAIN)

    async def _configure(self, container: Object, image: Pulled) -> Behaviour:
        namespace = self._pod["metadata"]["namespace"]
        while True:
            try:
                check_user(self._pod, container, image.user)
                own = environment_of(self._store, namespace, container)
            except ConfigError as error:
                self._set(container, partial(_wait, "CreateContainerConfigError", str(error)))
                await CLOCK.sleep(_LOOK_AGAIN)
            else:
                return behaviour_of(container, {**image.environment, **own})

    async def _pull(self, container: Object) -> Pulled:
        back_off = _FIRST_BACK_OFF
        while True:
            try:
                pulled = self._images.pull(container["image"], self._platform)
            except PullError as error:
                await self._note_failed_pull(container, error)
                await CLOCK.sleep(back_off)
                back_off = _next(back_off)
            else:
                self._set(container, partial(_pulled, pulled.image_id))
                return pulled

    async def _note_failed_pull(self, container: Object, error: PullError) -> None:
        self._set(container, partial(_wait, error.reason, error.message))
        if error.reason == "ErrImagePull":
            await CLOCK.sleep(_STEP)
            text = f'Back-off pulling image "{container["image"]}": ErrImagePull: {error.message}'
            self._set(container, partial(_wait, "ImagePullBackOff", text))

    async def _back_off(self, container: Object, seconds: int) -> None:
        """The first restart is at once; later ones wait, and say so."""
        await CLOCK.sleep(_STEP)
        if seconds:
            namespace, name = key_of(self._pod)
            text = (
                f"back-off {_duration(seconds)} restarting failed container={container['name']} "
                f"pod={name}_{namespace}({self._pod['metadata']['uid']})"
            )
            self._set(container, partial(_wait_again, "CrashLoopBackOff", text))
            await CLOCK.sleep(seconds)

    async def _become_ready(self, container: Object, behaviour: Behaviour) -> None:
        if behaviour.ready_after == math.inf:
            return
        if behaviour.ready_after:
            await CLOCK.sleep(behaviour.ready_after)
        self._set(container, _ready)

    def _serves(self, container: Object) -> bool:
        """Whether it came to its end of the road before the sandbox was started anew."""
        statuses = self._pod.get("status", {}).get("containerStatuses") or ()
        return any(one["name"] == container["name"] and one["ready"] for one in statuses)

    def _accept(self, status: Object) -> None:
        address = next(one["address"] for one in self._node["status"]["addresses"] if one["type"] == "InternalIP")
        pod_ip = f"10.244.{secrets.randbelow(254) + 1}.{secrets.randbelow(254) + 1}"
        status |= {
            "hostIP": address,
            "hostIPs": [{"ip": address}],
            "podIP": pod_ip,
            "podIPs": [{"ip": pod_ip}],
            "startTime": now(),
            "containerStatuses": [first_status(one) for one in self._pod["spec"]["containers"]],
        }

    def _set(self, container: Object, change: Callable[[Object], object]) -> None:
        def applied(status: Object) -> None:
            change(next(one for one in status["containerStatuses"] if one["name"] == container["name"]))

        self._update(applied)

    def _update(self, change: Callable[[Object], None]) -> None:
        """Write the status anew. The pod may be another's by now: then this task is about to be cancelled."""
        pod = self._store.find(POD, *key_of(self._pod))
        if pod is None or pod["metadata"]["uid"] != self._pod["metadata"]["uid"]:
            raise asyncio.CancelledError
        before = copy.deepcopy(pod)
        change(pod["status"])
        _summarize(pod)
        if pod != before:
            self._store.replace(POD, pod)


def _started(status: Object) -> None:
    if "terminated" in (state := status["state"]) or "terminated" in status["lastState"]:
        status["restartCount"] += 1
        status["lastState"] = state if "terminated" in state else status["lastState"]
    if "running" not in state:
        status |= {"state": running(), "started": True, "containerID": f"containerd://{secrets.token_hex(32)}"}


def _exited(container: Object, behaviour: Behaviour, status: Object) -> None:
    status |= {"state": terminated(container, behaviour, status), "started": False, "ready": False}


def _ready(status: Object) -> None:
    status["ready"] = True


def _pulled(image_id: str, status: Object) -> None:
    status["imageID"] = image_id


def _wait(reason: str, message: str, status: Object) -> None:
    status["state"] = waiting(reason, message)


def _wait_again(reason: str, message: str, status: Object) -> None:
    status["lastState"] = status["state"]
    _wait(reason, message, status)


def _next(seconds: int) -> int:
    return min(seconds * 2, _LONGEST_BACK_OFF) or _FIRST_BACK_OFF


def _duration(seconds: int) -> str:
    """As Go writes one: `10s`, `2m40s`, `5m0s`."""
    minutes, rest = divmod(seconds, 60)
    return f"{minutes}m{rest}s" if minutes else f"{rest}s"


def _summarize(pod: Object) -> None:
    """The pod's phase and conditions, from its containers'."""
    status = pod["status"]
    statuses = status.get("containerStatuses", [])
    status["phase"] = _phase(statuses)
    unready = [one["name"] for one in statuses if not one["ready"]]
    why = {"reason": "ContainersNotReady", "message": f"containers with unready status: [{' '.join(unready)}]"}
    for kind in ("PodReadyToStartContainers", "Initialized"):
        put_condition(status, {"type": kind, "status": "True"})
    for kind in ("Ready", "ContainersReady"):
        put_condition(status, {"type": kind, "status": "False" if unready else "True", **(why if unready else {})})


def _phase(statuses: list[Object]) -> str:
    has_started = any("running" in one["state"] or "terminated" in one["state"] or one["lastState"] for one in statuses)
    return "Running" if has_started else "Pending"
