"""Settings: nothing is needed, the environment wins, and an unknown name refuses to start."""

from datetime import timedelta
from pathlib import Path

import pytest

from service.base.settings import FILE_VARIABLE, RegistrySettings, StartupError, load

ROLE = "arn:aws:iam::111111111111:role/wharfinger"
REGISTRY = f"""
[[registries]]
name = "local"
account_id = "111111111111"
region = "eu-central-1"
role = "{ROLE}"
"""


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The settings file that `load` reads."""
    path = tmp_path / "given.toml"
    path.touch()
    monkeypatch.setenv(FILE_VARIABLE, str(path))
    return path


def test_without_a_file_or_a_variable_it_runs_on_sqlite_in_the_data_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(FILE_VARIABLE)
    monkeypatch.chdir(tmp_path)
    settings = load()
    assert settings.database_url == "sqlite+aiosqlite:///data/wharfinger.db"
    assert settings.registries == ()


def test_a_file_of_the_usual_name_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(FILE_VARIABLE)
    monkeypatch.chdir(tmp_path)
    Path("wharfinger.toml").write_text("port = 9000\n")
    assert load().port == 9000


def test_the_environment_wins_over_the_file_field_by_field(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file.write_text('port = 9000\n[deadlines]\nrequest = "PT20S"\naws_read = 4\n' + REGISTRY)
    monkeypatch.setenv("WHARFINGER__DEADLINES__AWS_READ", "PT6S")
    settings = load()
    assert settings.port == 9000
    assert settings.deadlines.request == timedelta(seconds=20)
    assert settings.deadlines.aws_read == timedelta(seconds=6)
    assert [registry.role for registry in settings.registries] == [ROLE]


def test_a_file_that_is_named_must_exist(file: Path) -> None:
    file.unlink()
    with pytest.raises(StartupError, match=r"there is no file .*given\.toml"):
        load()


def test_a_file_that_is_not_toml_is_said_to_be_wrong(file: Path) -> None:
    file.write_text("port = = 1\n")
    with pytest.raises(StartupError, match=r"given\.toml is not TOML: .*line 1"):
        load()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("prot = 1\n", "unknown setting prot; did you mean port?"),
        ("[deadlines]\nreqest = 1\n", "unknown setting deadlines.reqest; did you mean request?"),
        ("[database]\nuri = 'x'\n", "unknown setting database.uri; did you mean url?"),
        (REGISTRY + 'acount_id = "1"\n', "unknown setting registries.0.acount_id; did you mean account_id?"),
    ],
)
def test_an_unknown_name_in_the_file_names_the_nearest(file: Path, text: str, said: str) -> None:
    file.write_text(text)
    with pytest.raises(StartupError) as caught:
        load()
    assert said in str(caught.value)


@pytest.mark.parametrize(
    ("variable", "nearest"),
    [
        ("WHARFINGER__PROT", "did you mean WHARFINGER__PORT?"),
        ("WHARFINGER__DATABSE__URL", "did you mean WHARFINGER__DATABASE?"),
        ("WHARFINGER__DATABASE__ULR", "did you mean url?"),
    ],
)
def test_an_unknown_variable_names_the_nearest(
    file: Path, monkeypatch: pytest.MonkeyPatch, variable: str, nearest: str
) -> None:
    assert file.exists()
    monkeypatch.setenv(variable, "1")
    with pytest.raises(StartupError) as caught:
        load()
    assert nearest in str(caught.value)


def test_what_kubernetes_injects_for_a_service_of_our_name_is_no_setting(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert file.exists()
    monkeypatch.setenv("WHARFINGER_PORT", "tcp://10.0.0.1:8080")
    assert load().port == 8080


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("port = 70000\n", "port: "),
        ('log_level = "loud"\n', "log_level: "),
        ("[deadlines]\naws_read = 0\n", "deadlines.aws_read: "),
        ('[database]\nurl = ""\n', "database.url: "),
        ('[database]\nurl = "mysql://u:pw@db/wharf"\n', "database.url: give postgresql:"),
        ('[database]\nurl = "postgresql://u:pw@db:port/wharf"\n', "database.url: "),
        (REGISTRY + REGISTRY, "two have the same name"),
        ('default_registry = "other"\n' + REGISTRY, "default_registry: 'other' is not among"),
        (REGISTRY.replace("111111111111", "1111"), "registries.0.account_id: "),
    ],
)
def test_a_wrong_value_is_named_with_its_place(file: Path, text: str, said: str) -> None:
    file.write_text(text)
    with pytest.raises(StartupError) as caught:
        load()
    assert said in str(caught.value)


@pytest.mark.parametrize(
    ("given", "url"),
    [
        ("postgresql://user@db/wharf", "postgresql+psycopg://user@db/wharf"),
        ("postgres://user@db/wharf", "postgresql+psycopg://user@db/wharf"),
        ("sqlite:////srv/w.db", "sqlite+aiosqlite:////srv/w.db"),
    ],
)
def test_a_database_url_is_given_without_its_driver(
    file: Path, monkeypatch: pytest.MonkeyPatch, given: str, url: str
) -> None:
    assert file.exists()
    monkeypatch.setenv("WHARFINGER__DATABASE__URL", given)
    assert load().database_url == url


@pytest.mark.parametrize("name", ["role", "broker_role"])
def test_a_role_of_another_account_than_the_registrys_does_not_start(file: Path, name: str) -> None:
    """By its credentials ECR would answer for that account."""
    place = 'name = "main"\naccount_id = "222222222222"\nregion = "eu-central-1"\n'
    file.write_text(f'[[registries]]\n{place}{name} = "{ROLE}"\n')
    with pytest.raises(StartupError, match=f"{name} is of account 111111111111, and account_id is 222222222222"):
        load()


def test_a_password_in_the_url_is_not_shown(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert file.exists()
    monkeypatch.setenv("WHARFINGER__DATABASE__URL", "postgresql://user:hunter2@db/wharf")
    assert "hunter2" not in repr(load())


def test_a_password_whose_end_would_be_taken_for_the_host_does_not_start_and_is_not_shown(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert file.exists()
    monkeypatch.setenv("WHARFINGER__DATABASE__URL", "postgresql://user:hun@ter2@db/wharf")
    with pytest.raises(StartupError, match=r"database\.url: in a password, write @ as %40") as caught:
        load()
    assert "ter2" not in str(caught.value)
    monkeypatch.setenv("WHARFINGER__DATABASE__URL", "postgresql://user:hun%40ter2@db/wharf")
    assert load().database_url.endswith("@db/wharf")


@pytest.mark.parametrize(
    ("region", "partition"), [("eu-central-1", "aws"), ("cn-north-1", "aws-cn"), ("us-gov-west-1", "aws-us-gov")]
)
def test_a_region_is_in_a_partition(region: str, partition: str) -> None:
    registry = RegistrySettings(name="local", account_id="111111111111", region=region)
    assert registry.partition == partition


@pytest.mark.parametrize("pattern", ["*", "", "Team", "team-*-a", "*-team", "team/a"])
def test_a_namespace_of_the_settings_is_a_name_or_a_beginning(file: Path, pattern: str) -> None:
    file.write_text(f'[[clusters]]\nname = "demo"\nkubeconfig = "kube"\nnamespaces = ["team-*", "{pattern}"]\n')
    with pytest.raises(StartupError, match=r"clusters.0.namespaces.1"):
        load()
