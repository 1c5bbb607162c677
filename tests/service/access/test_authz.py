"""Who may do what: the whole matrix, how far a binding reaches, and what a refusal gives away."""

from pathlib import Path

import pytest

from service.access.actions import Action, Role
from service.access.authz import Binding, Caller, Target, is_allowed, require
from service.base.errors import ForbiddenError, NotFoundError

MATRIX = Path(__file__).with_name("authz_matrix.txt")
IMAGE = Target(registry="local", repository="team/app")


def caller(*bindings: Binding) -> Caller:
    return Caller("id", "somebody", bindings)


def test_the_matrix_is_the_one_that_was_agreed() -> None:
    holders = {role: caller(Binding(role=role)) for role in Role}
    lines = [f"{'action':<32}" + "".join(f"{role:<21}" for role in Role)]
    for action in Action:
        cells = ("yes" if is_allowed(holder, action, IMAGE) else "-" for holder in holders.values())
        lines.append(f"{action:<32}" + "".join(f"{cell:<21}" for cell in cells))
    found = "".join(line.rstrip() + "\n" for line in lines)
    assert found == MATRIX.read_text(), (
        f"Who may do what has changed; if that is meant, {MATRIX.name} becomes:\n{found}"
    )


@pytest.mark.parametrize(
    ("prefix", "name", "reaches"),
    [
        ("team", "team", True),
        ("team", "team/app", True),
        ("team", "team/app/deep", True),
        ("team/app", "team/app", True),
        ("team/app", "team", False),
        ("team", "team-b", False),
        ("team", "team-b/app", False),
        ("team", "teams/app", False),
        ("team", "other/team", False),
        ("*", "anything/at/all", True),
    ],
)
def test_a_prefix_matches_whole_segments(prefix: str, name: str, *, reaches: bool) -> None:
    holder = caller(Binding(role=Role.DEVELOPER, repository=prefix))
    assert is_allowed(holder, Action.REPOSITORY_CREATE, Target("local", name)) is reaches


@pytest.mark.parametrize("prefix", ["team/", "/team", "te*", "team/*", "", "Team", "**"])
def test_a_prefix_that_would_match_nothing_or_too_much_is_refused(prefix: str) -> None:
    with pytest.raises(ValueError, match="repository"):
        Binding(role=Role.VIEWER, repository=prefix)


def test_a_binding_to_a_registry_ends_there() -> None:
    holder = caller(Binding(role=Role.ADMIN, registry="local"))
    assert is_allowed(holder, Action.REPOSITORY_DELETE, Target("local", "app"))
    assert not is_allowed(holder, Action.REPOSITORY_DELETE, Target("other", "app"))


def test_all_repositories_of_a_registry_need_a_binding_to_all() -> None:
    whole, part = caller(Binding(role=Role.ADMIN)), caller(Binding(role=Role.ADMIN, repository="team"))
    assert is_allowed(whole, Action.TOKEN_REGISTRY, Target("local"))
    assert not is_allowed(part, Action.TOKEN_REGISTRY, Target("local"))


@pytest.mark.parametrize(
    "narrow",
    [
        {"repository": "team"},
        {"registry": "local"},
        {"cluster": "c"},
        {"namespace": "n"},
        {"registry": "*"},
        {"cluster": "*"},
        {"cluster": "*", "repository": "team"},
    ],
)
def test_wharfinger_as_a_whole_needs_a_binding_without_any_bound(narrow: dict[str, str]) -> None:
    holder = caller(Binding(role=Role.ADMIN, **narrow))
    assert not is_allowed(holder, Action.KEY_CREATE, Target())
    assert is_allowed(caller(Binding(role=Role.ADMIN)), Action.KEY_CREATE, Target())


def test_a_namespace_is_bound_within_its_cluster() -> None:
    holder = caller(Binding(role=Role.VIEWER, cluster="blue", namespace="web"))
    assert is_allowed(holder, Action.REPOSITORY_READ, Target(cluster="blue", namespace="web"))
    assert not is_allowed(holder, Action.REPOSITORY_READ, Target(cluster="blue", namespace="db"))
    assert not is_allowed(holder, Action.REPOSITORY_READ, Target(cluster="green", namespace="web"))
    assert not is_allowed(holder, Action.REPOSITORY_READ, Target(cluster="blue"))


@pytest.mark.parametrize("repository", [None, "app"])
@pytest.mark.parametrize("bounds", [{"cluster": "blue"}, {"namespace": "web"}, {"cluster": "*", "namespace": "*"}])
def test_a_binding_to_clusters_reaches_no_registry(bounds: dict[str, str], repository: str | None) -> None:
    holder = caller(Binding(role=Role.ADMIN, **bounds))
    assert not is_allowed(holder, Action.REPOSITORY_READ, Target("local", repository))


@pytest.mark.parametrize("namespace", [None, "web"])
@pytest.mark.parametrize("bounds", [{"registry": "local"}, {"repository": "team"}, {"registry": "*"}])
def test_a_binding_to_registries_reaches_no_cluster(bounds: dict[str, str], namespace: str | None) -> None:
    holder = caller(Binding(role=Role.ADMIN, **bounds))
    assert not is_allowed(holder, Action.DEPLOYMENT_READ, Target(cluster="blue", namespace=namespace))


def test_what_is_written_out_reaches_both_sides() -> None:
    holder = caller(Binding(role=Role.ADMIN, repository="team", cluster="blue"))
    assert is_allowed(holder, Action.REPOSITORY_DELETE, Target("local", "team/app"))
    assert is_allowed(holder, Action.DEPLOYMENT_DELETE, Target(cluster="blue", namespace="web"))
    assert not is_allowed(holder, Action.DEPLOYMENT_DELETE, Target(cluster="green", namespace="web"))


def test_role_and_reach_of_two_bindings_do_not_mix() -> None:
    holder = caller(Binding(role=Role.DEVELOPER, repository="mine"), Binding(role=Role.VIEWER))
    assert is_allowed(holder, Action.REPOSITORY_READ, Target("local", "theirs"))
    assert not is_allowed(holder, Action.REPOSITORY_DELETE, Target("local", "theirs"))


def test_who_may_read_it_is_told_that_they_may_not_do_this() -> None:
    with pytest.raises(ForbiddenError, match=r"'somebody' grants repository\.delete on local/team/app"):
        require(caller(Binding(role=Role.VIEWER)), Action.REPOSITORY_DELETE, IMAGE)


def test_who_may_not_read_it_is_not_told_that_it_exists() -> None:
    with pytest.raises(NotFoundError) as caught:
        require(caller(Binding(role=Role.ADMIN, repository="other")), Action.REPOSITORY_DELETE, IMAGE)
    assert caught.value.code == "repository_not_found"


def test_without_a_binding_nothing_is_allowed() -> None:
    assert not any(is_allowed(caller(), action, None) for action in Action)
