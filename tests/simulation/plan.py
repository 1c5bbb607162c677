"""What a history is made of: who asks what and when, who else is there, when replicas die and sweep."""

import json
from dataclasses import dataclass, field, replace
from random import Random

from tests.simulation import aws_model
from tests.simulation.aws_model import Image, Json, Repo, State, digest_of, manifest

APP = "team/app"
TAG = "latest"
OVERDUE = 45.0
"""Seconds after which an operation without an outcome is settled, with the deadline and the grace as they come."""
KINDS = ("create", "update", "delete", "tag", "untag", "delete_image", "put_policy", "delete_policy", "vend")


@dataclass(frozen=True, slots=True)
class Ask:
    """A caller's request; those with the same `key` are repeats of one another."""

    at: float
    name: str
    kind: str
    key: str | None
    params: Json = field(default_factory=dict)
    replica: int = 0

    def __str__(self) -> str:
        key = f" under key {self.key}" if self.key else ""
        return f"asks to {self.kind} {json.dumps(self.params)}{key} of replica {self.replica}"


@dataclass(frozen=True, slots=True)
class Outside:
    """Somebody changes something past wharfinger."""

    at: float
    call: str
    asked: Json


@dataclass(frozen=True, slots=True)
class Crash:
    at: float
    replica: int


@dataclass(frozen=True, slots=True)
class Freeze:
    """A replica stands still for a while, and then goes on as if nothing had been."""

    at: float
    replica: int
    seconds: float
    is_suspended: bool = False
    """Whether its timers stand still too."""

    def __str__(self) -> str:
        return f"{'is suspended' if self.is_suspended else 'stands still'} for {self.seconds} s"


@dataclass(frozen=True, slots=True)
class Sweep:
    at: float
    replica: int


Event = Ask | Outside | Crash | Freeze | Sweep


@dataclass(frozen=True, slots=True)
class Plan:
    seed: int
    fault_rate: float
    read_fault_rate: float
    start: State
    events: tuple[Event, ...]
    calm: frozenset[str] = frozenset()
    """Attempts that are spared their faults: how a failing history is made small."""

    @property
    def until(self) -> float:
        """When faults stop."""
        return max((one.at for one in self.events), default=0.0) + 5


def draw(seed: int) -> Plan:
    random = Random(seed)  # noqa: S311 - to be repeated, not to be unforeseeable
    drawn = _Drawing(random)
    asks = [drawn.ask(number) for number in range(random.choice((1, 1, 2, 2, 3)))]
    repeats = [drawn.repeat(random.choice(asks), number) for number in range(random.choice((0, 1, 1, 2, 3)))]
    outside = [drawn.outside(random.choice(asks)) for _ in range(random.choice((0, 0, 1, 1, 2, 3)))]
    sweeps = [drawn.sweep(random.choice(asks)) for _ in range(random.choice((1, 2, 4)))]
    events: list[Event] = [*asks, *(one for one in repeats if one), *outside, *sweeps]
    at_work = [(ask.at, ask.replica) for ask in asks] + [(sweep.at, sweep.replica) for sweep in sweeps]
    for at, replica in random.choices(at_work, k=random.choice((0, 0, 0, 1, 2))):
        events.append(Crash(drawn.soon(at), replica))
    for at, replica in random.choices(at_work, k=random.choice((0, 0, 0, 1, 2))):
        seconds, is_suspended = random.choice((1, 12, 28, 45, 60, 75)), random.random() < 0.5
        events.append(Freeze(drawn.soon(at), replica, seconds, is_suspended))
    rate = random.choice((0.0, 0.3, 0.5, 0.7))
    read_rate = rate * random.choice((0.0, 0.3, 0.8))
    return Plan(seed, rate, read_rate, drawn.start, tuple(sorted(events, key=lambda one: one.at)))


class _Drawing:
    """Every value that is written is another one, so that a state does not come back by chance."""

    def __init__(self, random: Random) -> None:
        self._random = random
        self._next = 10
        images = {digest_of(manifest(number)): Image(manifest(number), -1000) for number in range(6)}
        repo = Repo(
            created_at=-1000.0,
            mutability="MUTABLE",
            images=images if random.random() < 0.9 else {},
            policy=policy(1) if random.random() < 0.6 else None,
        )
        if repo.images:
            repo = replace(repo, image_tags={TAG: digest_of(manifest(0)), "old": digest_of(manifest(1))})
        self.start: State = {APP: repo} if random.random() < 0.8 else {}

    def ask(self, number: int) -> Ask:
        random = self._random
        kinds = KINDS if self.start else ("create", *KINDS)
        kind = random.choice(kinds)
        key = f"key-{number}" if random.random() < 0.85 else None
        return Ask(random.uniform(0, 6), f"caller-{number}", kind, key, self._params(kind), random.randrange(2))

    def repeat(self, ask: Ask, number: int) -> Ask | None:
        if ask.key is None:
            return None
        at = ask.at + self._random.choice((1, 10, 40, 70)) * (0.5 + self._random.random())
        return replace(ask, at=at, name=f"{ask.name}/again-{number}", replica=self._random.randrange(2))

    def sweep(self, after: Ask) -> Sweep:
        """At any time, or just when what was asked is overdue."""
        due = after.at + OVERDUE
        at = self._random.uniform(*self._random.choice(((0, 90), (due, due + 3), (due + 10, due + 20))))
        return Sweep(at, self._random.randrange(2))

    def soon(self, after: float) -> float:
        return after + self._random.random() * self._random.choice((0.1, 1, 3, 12, 60))

    def outside(self, beside: Ask) -> Outside:
        fresh, app = self._fresh(), {"repositoryName": APP}
        creation = {"imageTagMutability": "MUTABLE", "imageScanningConfiguration": {"scanOnPush": False}}
        call, asked = self._random.choice(
            (
                ("CreateRepository", creation),
                ("DeleteRepository", {"force": True}),
                ("PutImage", {"imageTag": TAG, "imageManifest": manifest(fresh)}),
                ("BatchDeleteImage", {"imageIds": [{"imageTag": TAG}]}),
                ("SetRepositoryPolicy", {"policyText": policy(fresh)}),
                ("DeleteRepositoryPolicy", {}),
                ("TagResource", {"tags": [{"Key": "team", "Value": f"team-{fresh}"}]}),
                ("PutImageScanningConfiguration", {"imageScanningConfiguration": {"scanOnPush": fresh % 2 == 0}}),
            )
        )
        if call == "TagResource":
            app = {"resourceArn": f"arn:aws:ecr:{aws_model.REGION}:{aws_model.ACCOUNT}:repository/{APP}"}
        return Outside(self.soon(beside.at), call, {**app, **asked})

    def _fresh(self) -> int:
        self._next += 1
        return self._next

    def _params(self, kind: str) -> Json:
        random, fresh = self._random, self._fresh()
        match kind:
            case "update":
                changes = {"tags": {"team": f"team-{fresh}"}, "scan_on_push": True, "tag_mutability": "IMMUTABLE"}
                chosen = random.sample(sorted(changes), random.choice((1, 2, 3)))
                return {name: changes[name] for name in chosen}
            case "tag":
                return {"source": digest_of(manifest(random.choice((2, 3, 4, 5))))}
            case "delete":
                return {"force": random.random() < 0.8}
            case "delete_image":
                return {"digest": digest_of(manifest(random.choice((0, 1, 2))))}
            case "put_policy":
                return {"policy": policy(fresh)}
        return {}


def policy(number: int) -> str:
    account = {"AWS": f"arn:aws:iam::{aws_model.ACCOUNT}:root"}
    statement = {"Sid": f"p{number}", "Effect": "Allow", "Principal": account, "Action": "ecr:BatchGetImage"}
    return json.dumps({"Version": "2012-10-17", "Statement": [statement]})
