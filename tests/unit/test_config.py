"""`config.toml` is the documentation of every setting, and what is wrong in it is named by line and reason."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from stackyn_server import config, config_file

SHIPPED = Path(__file__).parents[2] / "config.toml"
# One table documents the keys that all plans share, and one comment may stand above keys that belong together.
SAME_AS_FREE = re.compile(r"plans\.(?!free\b)")


def keys_of(table: Mapping[str, object], above: str = "") -> Iterator[str]:
    for key, value in table.items():
        yield above + key
        if isinstance(value, Mapping):
            yield from keys_of(value, f"{above}{key}.")


def write(folder: Path, text: str) -> Path:
    file = folder / "config.toml"
    file.write_text(text)
    return file


def problem(file: Path, environment: Mapping[str, str] | None = None) -> str:
    with pytest.raises(config.ConfigInvalid) as caught:
        config_file.load(file, environment or {})
    return caught.value.message


def test_the_shipped_file_holds_every_setting_and_no_other() -> None:
    assert set(keys_of(tomllib.loads(SHIPPED.read_text()))) == set(keys_of(config.Settings().model_dump()))


def test_the_shipped_file_holds_exactly_the_defaults_of_the_code() -> None:
    assert config_file.load(SHIPPED, {}).model_dump() == config.Settings().model_dump()


def test_every_setting_of_the_shipped_file_is_explained() -> None:
    table, explained, unexplained = "", False, []
    for line in SHIPPED.read_text().splitlines():
        if header := re.match(r"\[(.+)\]", line):
            table, explained = header[1], False
        elif line.startswith("#"):
            explained = True
        elif not line.strip():
            explained = False
        elif not explained and not SAME_AS_FREE.match(table):
            unexplained.append(f"{table}.{line.split('=')[0].strip()}")
    assert unexplained == []


def test_without_a_file_the_defaults_hold() -> None:
    assert config_file.load(None, {}) == config.Settings()


@pytest.mark.parametrize(
    ("text", "pattern"),
    [
        ("[server]\nport = 99999\n", r"config\.toml, line 2: server\.port: .*65535"),
        ('# first\n\n[server]\n\nport = "many"\n', r"line 5: server\.port: .*integer"),
        ("[server]\nprot = 8080\n", r"line 2: server\.prot: .*not permitted"),
        ("[sevrer]\nport = 8080\n", r"line 1: sevrer: .*not permitted"),
        ('[server]\nlog_level = "loud"\n', r"line 2: server\.log_level: .*debug"),
        ("[auth.firebase]\nsession_hours = 0\n", r"line 2: auth\.firebase\.session_hours: .*greater"),
        ('[network]\nsubnet = "10.0.0.1/16"\n', r"line 2: network\.subnet: .*valid IPv4 network"),
        ("[server]\ndrain_seconds = 0\n", r"line 2: server\.drain_seconds: .*greater than 0"),
        ("[server\nport = 1\n", r"config\.toml: .*line 1"),
    ],
    ids=["range", "type", "unknown key", "unknown table", "choice", "nested", "network", "zero", "not TOML"],
)
def test_a_wrong_value_is_named_by_line_and_reason(tmp_path: Path, text: str, pattern: str) -> None:
    assert re.search(pattern, problem(write(tmp_path, text))), problem(write(tmp_path, text))


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ('[billing]\ndefault_plan = "gold"\n', "default_plan names a plan"),
        (
            '[public]\nbase_domain = "apps.example.com"\n[auth]\ndevelopment_codes = true\n',
            "development_codes",
        ),
        ('[public]\nbase_domain = "apps.example.com"\n[billing]\ntest_endpoint = true\n', "test_endpoint"),
        ('[network]\nbuild_subnet = "10.213.16.0/20"\n', "overlap"),
        ('[network]\nsubnet = "10.213.0.0/22"\n', "at least a /21"),
        ("[frontend]\nport = 8471\n", "[hold] port and [frontend] port must differ"),
        ("[ingress]\nhttp_port = 8080\n", "[server] port and [ingress] http_port must differ"),
    ],
)
def test_settings_that_contradict_each_other_are_refused(tmp_path: Path, text: str, reason: str) -> None:
    assert reason in problem(write(tmp_path, text))


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    assert f"{tmp_path / 'nowhere.toml'}: can't be read" in problem(tmp_path / "nowhere.toml")


def test_the_exit_code_says_that_the_configuration_is_wrong(tmp_path: Path) -> None:
    with pytest.raises(config.ConfigInvalid) as caught:
        config_file.load(tmp_path / "nowhere.toml", {})
    assert caught.value.exit_code == 78


def test_the_environment_wins_over_the_file(tmp_path: Path) -> None:
    file = write(tmp_path, "[server]\nport = 8081\ndrain_seconds = 5\n")
    settings = config_file.load(
        file, {"STACKYN_SERVER__PORT": "8082", "STACKYN_AUTH__FIREBASE__PROJECT_ID": "shop"}
    )
    assert (settings.server.port, settings.server.drain_seconds) == (8082, 5)
    assert settings.auth.firebase.project_id == "shop"


@pytest.mark.parametrize(
    ("variable", "value", "read"),
    [
        ("STACKYN_SOURCE__SCHEMES", '["https", "http"]', ("https", "http")),
        ("STACKYN_AUTH__SIGNUP", "false", False),
        ("STACKYN_PUBLIC__BASE_DOMAIN", "apps.example.com", "apps.example.com"),
        ("STACKYN_BUILDS__CPU", "1.5", 1.5),
    ],
)
def test_a_variable_is_read_like_a_value_of_the_file(variable: str, value: str, read: object) -> None:
    table, key = variable.removeprefix("STACKYN_").lower().split("__")
    assert getattr(getattr(config_file.load(None, {variable: value}), table), key) == read


def test_an_unknown_variable_is_named() -> None:
    with pytest.raises(config.ConfigInvalid, match=r"server\.prot"):
        config_file.load(None, {"STACKYN_SERVER__PROT": "1"})


def test_variables_of_others_are_left_alone() -> None:
    assert config_file.load(None, {"STACKYN_VENV": "/venv", "PATH": "/bin"}) == config.Settings()


def test_a_development_switch_works_on_local_names() -> None:
    settings = config_file.load(
        None, {"STACKYN_AUTH__DEVELOPMENT_CODES": "true", "STACKYN_PUBLIC__BASE_DOMAIN": "a.test"}
    )
    assert settings.auth.development_codes


@pytest.mark.parametrize(
    ("scheme", "ports", "url"),
    [
        ("http", {"http_port": 80}, "http://shop.localhost"),
        ("http", {"http_port": 8000}, "http://shop.localhost:8000"),
        ("https", {"https_port": 443}, "https://shop.localhost"),
        ("https", {"https_port": 8443}, "https://shop.localhost:8443"),
    ],
)
def test_public_addresses_show_only_an_unusual_port(scheme: str, ports: dict[str, int], url: str) -> None:
    settings = config.Settings.model_validate({"public": {"scheme": scheme}, "ingress": ports})
    assert settings.public_url("shop") == url


def test_the_public_port_wins_behind_a_further_proxy() -> None:
    settings = config.Settings.model_validate({"public": {"port": 80}, "ingress": {"http_port": 8000}})
    assert settings.public_url("shop") == "http://shop.localhost"


@pytest.mark.parametrize(
    ("text", "origins"),
    [
        ("", ("*",)),
        ('[public]\nallowed_origins = ["https://a.test", "*"]', ("*",)),
        (
            '[public]\nallowed_origins = ["https://a.test"]\nbase_domain = "Apps.test"\nscheme = "https"\n'
            "[ingress]\nhttps_port = 8443",
            ("https://a.test", "https://console.apps.test:8443", "https://cms.apps.test:8443"),
        ),
        ('[public]\nallowed_origins = []', ("http://console.localhost", "http://cms.localhost")),
    ],
)  # fmt: skip
def test_our_own_pages_may_always_call_the_api(tmp_path: Path, text: str, origins: tuple[str, ...]) -> None:
    assert config_file.load(write(tmp_path, text), {}).allowed_origins == origins
