"""What must hold of every history, judged by what AWS did. It knows the promises, and not how they are kept."""

import json
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from service.base.errors import InProgressError, OutcomeUnknownError, PartialError
from tests.simulation.aws_model import Json, Repo, State
from tests.simulation.driver import Answered, Played
from tests.simulation.plan import APP, TAG, Freeze
from tests.simulation.replica import DEADLINES
from tests.simulation.virtual_time import EPOCH
from tests.simulation.world import Effect

_RECORDING = 15.0
"""Seconds past its deadline that a request may take to write down its outcome."""


@dataclass(frozen=True, slots=True)
class Violation:
    rule: str
    text: str

    def __str__(self) -> str:
        return f"{self.rule}: {self.text}"


def judge(played: Played) -> list[Violation]:
    """Every promise that this history breaks; none, if it is as it should be."""
    return list(_Judge(played).violations())


class _Judge:
    def __init__(self, played: Played) -> None:
        self._played = played
        self._rows = {row["id"]: row for row in played.rows}
        self._effects = [one for one in played.world.effects if one.operation_id in self._rows]

    def violations(self) -> Iterator[Violation]:
        for text in self._played.world.unrecorded:
            yield Violation("unrecorded", text)
        for text in self._played.world.late:
            yield Violation("sent past its deadline", text)
        for text in self._played.defects:
            yield Violation("defect", text)
        for row in self._played.rows:
            yield from self._of_row(row)
        yield from self._of_keys()
        for answered in self._played.answers:
            yield from self._of_answer(answered)
        for ask in self._played.unanswered:
            yield Violation("no answer", f"{ask.name} waits for ever")

    def _of_row(self, row: Json) -> Iterator[Violation]:
        changes, what = self._changes(row["id"]), f"{row['action']} {row['id']} ({row['note'] or row['code']})"
        match row["status"]:
            case "pending":
                yield Violation("open for ever", what)
            case "failed" if any(not self._is_undone(one, row) for one in changes):
                yield Violation("failed, but done", f"{what}: AWS acted on {', '.join(_named(changes))}")
            case "refused" | "replayed" if changes:
                yield Violation("refused, but done", what)
            case "succeeded" if missing := self._missing(row):
                yield Violation("succeeded, but not done", f"{what}: {', '.join(missing)}")
            case "partial":
                yield from self._of_partial(row, what)
            case "unknown" if row["action"] not in _VENDS and self._was_keyed(row) and not self._is_held(row):
                yield Violation("unknown, but the key is free", what)

    def _of_partial(self, row: Json, what: str) -> Iterator[Violation]:
        missing = self._missing(row)
        asked = _asked_of(row)
        if len(missing) == len(asked):
            yield Violation("partial, but nothing is done", what)
        if wrong := set(missing) & _applied(row):
            yield Violation("partial, but not applied", f"{what}: {sorted(wrong)}")

    def _of_keys(self) -> Iterator[Violation]:
        """Each effect at most once under one key, over all operations that the key stood for and all their attempts."""
        keys = {ask.name: ask.key for ask in self._asks if ask.key and ask.kind != "vend"}
        done = defaultdict[tuple[str, str], set[str]](set)
        within = Counter[tuple[str, str]]()
        for effect in self._effects:
            row = self._rows[effect.operation_id]
            if row["request_id"] not in keys:
                continue
            within[row["id"], effect.call] += effect.is_change
            # Also what changed nothing: the same again could have undone what somebody did since.
            if not (_is_told_undone(effect, row) and self._is_undone(effect, row)):
                done[keys[row["request_id"]] or "", effect.call].add(row["id"])
        for (key, call), by in done.items():
            if len(by) > 1:
                yield Violation("twice under one key", f"{call} under {key}, by {len(by)} operations")
        for (operation, call), count in within.items():
            if count > 1 and call not in _SENT_AGAIN:
                yield Violation("twice within one operation", f"{call} of {operation}, {count} times")

    def _of_answer(self, answered: Answered) -> Iterator[Violation]:
        name, error = answered.ask.name, answered.error
        frozen = [one for one in self._played.plan.events if isinstance(one, Freeze)]
        took = answered.at - answered.ask.at - sum(one.seconds for one in frozen)
        if took > DEADLINES.request.total_seconds() + _RECORDING:
            yield Violation("late answer", f"{name} after {took:.0f} s")
        if answered.done and self._rows[answered.done.operation_id]["status"] != "succeeded":
            yield Violation("told done, but the row differs", name)
        if error is None or isinstance(error, InProgressError | OutcomeUnknownError | PartialError):
            return
        for row in self._played.rows:
            if row["request_id"] == name and any(not self._is_undone(one, row) for one in self._changes(row["id"])):
                yield Violation("told not done, but done", f"{name}: {error.code}")

    @property
    def _asks(self) -> list[Any]:
        return [event for event in self._played.plan.events if hasattr(event, "kind")]

    def _was_keyed(self, row: Json) -> bool:
        return any(ask.name == row["request_id"] and ask.key for ask in self._asks)

    def _is_held(self, row: Json) -> bool:
        return row["id"] in self._played.keys.values()

    def _changes(self, operation_id: str) -> list[Effect]:
        return [one for one in self._effects if one.operation_id == operation_id and one.is_change]

    def _missing(self, row: Json) -> list[str]:
        """What was asked for, and was neither done by this operation nor true at any moment of its life."""
        done = {one.call for one in self._effects if one.operation_id == row["id"]}
        start, end = _seconds(row["started_at"]), _seconds(row["completed_at"])
        states = list(self._played.world.between(start, end))
        return [
            name
            for name, (call, holds) in _asked_of(row).items()
            if call not in done and not any(holds(state) for state in states)
        ]

    def _is_undone(self, effect: Effect, row: Json) -> bool:
        """Whether somebody else brought back what the operation had found there, so that no look at the state can tell.

        The one thing that is let pass: only CloudTrail could say that it was done.
        """
        end = _seconds(row["completed_at"]) if row["completed_at"] else float("inf")
        if effect.call == "GetAuthorizationToken" or effect.at > end:
            return False
        aspect = _ASPECTS[effect.call]
        found = [aspect(state.get(APP)) for state in self._found_by(effect, row)]
        after = [aspect(state.get(APP)) for state in self._played.world.between(effect.at, end)]
        return any(one in found and one != after[0] for one in after)

    def _found_by(self, effect: Effect, row: Json) -> list[State]:
        """The states that an operation looked at before its effect; where it looked at none, the last one before it."""
        looks = (one for one in self._played.world.looks if one.who == row["request_id"])
        return [one.state for one in looks if one.at <= effect.at] or [effect.before]


_SENT_AGAIN = ("CreateRepository",)
"""What an operation may do again after an attempt without an answer."""
_VENDS = ("token.pull", "token.push", "token.registry")
_Holds = Callable[[State], bool]


def _asked_of(row: Json) -> dict[str, tuple[str, _Holds]]:  # noqa: PLR0911 - a table of kinds
    """By name, each thing that an operation was to do: AWS's call for it, and whether a state has it done."""
    request = json.loads(row["request"])
    match row["action"]:
        case "repository.create":
            return {"create": ("CreateRepository", lambda _: False)}
        case "repository.update":
            return {name: _FIELDS[name](request[name]) for name in request if name in _FIELDS}
        case "repository.delete":
            return {"delete": ("DeleteRepository", lambda state: APP not in state)}
        case "image.tag":
            digest = request["source"].partition("@")[2]
            return {"tag": ("PutImage", lambda state: _of(state).image_tags.get(TAG) == digest)}
        case "image.delete":
            digest = request["reference"].partition("@")[2]
            gone: _Holds = lambda state: (  # noqa: E731 - one of a table
                digest not in _of(state).images if digest else TAG not in _of(state).image_tags
            )
            return {"delete": ("BatchDeleteImage", gone)}
        case "policy.put" | "policy.put_foreign":
            wanted = request["document"]
            return {"put": ("SetRepositoryPolicy", lambda state: json.loads(_of(state).policy or "0") == wanted)}
        case "policy.delete":
            return {"delete": ("DeleteRepositoryPolicy", lambda state: _of(state).policy is None)}
    if json.loads(row["result"] or "{}").get("from_cache"):
        return {}
    return {"vend": ("GetAuthorizationToken", lambda _: False)}


_FIELDS: dict[str, Callable[[Any], tuple[str, _Holds]]] = {
    "tags": lambda wanted: ("TagResource", lambda state: wanted.items() <= dict(_of(state).tags).items()),
    "scan_on_push": lambda wanted: ("PutImageScanningConfiguration", lambda state: _of(state).scan == wanted),
    "tag_mutability": lambda wanted: ("PutImageTagMutability", lambda state: _of(state).mutability == wanted),
}

_ASPECTS: dict[str, Callable[[Repo | None], object]] = {
    "BatchDeleteImage": lambda repo: repo and (repo.image_tags, repo.images),
    "CreateRepository": lambda repo: repo is None,
    "DeleteRepository": lambda repo: repo,
    "DeleteRepositoryPolicy": lambda repo: repo and repo.policy,
    "PutImage": lambda repo: repo and repo.image_tags,
    "PutImageScanningConfiguration": lambda repo: repo and repo.scan,
    "PutImageTagMutability": lambda repo: repo and repo.mutability,
    "SetRepositoryPolicy": lambda repo: repo and repo.policy,
    "TagResource": lambda repo: repo and repo.tags,
    "UntagResource": lambda repo: repo and repo.tags,
}
"""What of a repository a call changes."""


def _applied(row: Json) -> set[str]:
    """Of what was asked for, what a row says was done; of tags it tells one by one."""
    return {name.partition(".")[0] for name in json.loads(row["result"] or "{}").get("applied", ())}


def _is_told_undone(effect: Effect, row: Json) -> bool:
    """Whether the row says that this was not done, so that a repeat does it."""
    told = {call for name, (call, _) in _asked_of(row).items() if name in _applied(row)}
    return row["status"] == "failed" or (row["status"] == "partial" and effect.call not in told)


def _of(state: State) -> Repo:
    return state.get(APP) or Repo(created_at=0.0)


def _named(effects: list[Effect]) -> list[str]:
    return [f"{one.call} at {one.at:.1f} s" for one in effects]


def _seconds(written: str) -> float:
    return (datetime.fromisoformat(written).replace(tzinfo=UTC) - EPOCH).total_seconds()
