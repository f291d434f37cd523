"""Settings: typed, from the environment, refused when unsafe; what is secret is never shown."""

import pytest
from pydantic import ValidationError

from app.settings import Settings, hash_key
from app.store.address import dialect_for, parse_database_url
from app.store.libpq import connect_arguments, tls_options
from tests.lifecycle.test_start import refusal
from tests.support.server import run_app

SECRET = "hunter2-very-secret"
KEY = "0123456789abcdef0123"


@pytest.fixture
def settings(monkeypatch):
    """Reads settings from an environment that has only these."""

    def read(**given: object) -> Settings:
        for name in Settings.model_fields:
            monkeypatch.delenv(name.upper(), raising=False)
        for name, value in given.items():
            monkeypatch.setenv(name.upper(), str(value))
        return Settings()

    return read


@pytest.mark.parametrize(
    ("given", "named"),
    [
        ({"environment": "prod"}, "environment"),
        ({"api_keys": f"{KEY},short"}, "api_keys"),
        ({"api_keys": f"sha256:{SECRET}"}, "api_keys"),
        ({"api_keys": hash_key(KEY).upper()[:-1]}, "api_keys"),
        ({"port": "eighty"}, "port"),
        ({"port": 65536}, "port"),
        ({"port": -1}, "port"),
        ({"max_connections": 0}, "max_connections"),
        ({"poll_interval": 0}, "poll_interval"),
        ({"poll_interval": "nan"}, "poll_interval"),
        ({"heartbeat_interval": "inf"}, "heartbeat_interval"),
        ({"write_timeout": "1e12"}, "write_timeout"),
        ({"database_timeout": "0.00001"}, "database_timeout"),
        ({"database_timeout": "1e9"}, "database_timeout"),
        ({"retention_seconds": "1e15"}, "retention_seconds"),
        ({"shutdown_timeout": "1e10"}, "shutdown_timeout"),
        ({"web_concurrency": 0}, "web_concurrency"),
        ({"web_concurrency": "many"}, "web_concurrency"),
        ({"log_level": "loud"}, "log_level"),
        ({"relay_url": f"amqp://u:{SECRET}@h", "database_url": "postgres://h/d"}, "relay_url"),
        ({"relay_url": f"nats://u:{SECRET}@h:4222,nats://", "database_url": "postgres://h/d"}, "relay_url"),
        ({"relay_url": f"nats://u:{SECRET}@h:4222"}, "RELAY_URL"),
        ({"database_url": SECRET}, "database_url"),
        ({"database_url": f"mysql://u:{SECRET}@h/d"}, "database_url"),
        ({"database_url": f"postgres://u:{SECRET}@h:port/d"}, "database_url"),
        ({"database_url": f"postgres://u:{SECRET}@h/d?sslmode=maybe"}, "sslmode"),
        ({"database_url": f"postgres://u:{SECRET}@h/d?sslmode=verify-full&sslrootcert=/not/there"}, "sslrootcert"),
        ({"database_url": "sqlite://"}, "file"),
        ({"shutdown_timeout": "0.01"}, "shutdown_timeout"),
        ({"cors_origins": "example.com"}, "https://example.com"),
        ({"cors_origins": "https://example.com/path"}, "scheme"),
        ({"docs": "perhaps"}, "docs"),
        ({"proxy_header": "X-Real-IP"}, "proxy_header"),
    ],
)
def test_what_is_unsafe_or_wrong_is_refused_by_name(settings, given, named):
    with pytest.raises(ValidationError) as refused:
        settings(**given)
    assert named in str(refused.value)
    assert SECRET not in str(refused.value)


@pytest.mark.parametrize(
    ("name", "given", "taken"),
    [
        ("log_level", "WARNING", "warning"),
        ("log_level", "Debug", "debug"),
        ("environment", "Development", "development"),
        ("proxy_header", "x-forwarded-for", "X-Forwarded-For"),
        ("proxy_header", "FORWARDED", "Forwarded"),
    ],
)
def test_a_choice_may_be_written_in_any_case(settings, name, given, taken):
    assert getattr(settings(**{name: given}), name) == taken


def test_a_listed_origin_is_written_as_browsers_send_it(settings):
    read = settings(cors_origins="https://example.com/, HTTP://Example.com:80,*,https://a.b:8443")
    assert read.cors_origins == ("https://example.com", "http://example.com", "*", "https://a.b:8443")


def test_a_wrong_setting_is_said_in_plain_words(tmp_path):
    for name, value, words in (
        ("port", "eighty", "PORT: must be a whole number"),
        ("docs", "perhaps", "DOCS: must be true or false"),
        ("max_connections", "0", "MAX_CONNECTIONS: must be at least 1"),
        ("log_level", "loud", "LOG_LEVEL: must be one of"),
        ("shutdown_timeout", "0.01", "SHUTDOWN_TIMEOUT: must be at least 1.5"),
    ):
        assert words in refusal(run_app(cwd=tmp_path, **{name: value}))


@pytest.mark.parametrize("host", ["127.0.0.1", "127.1.2.3", "::1", "localhost"])
def test_without_keys_only_this_machine_is_listened_to(settings, host):
    assert settings(host=host).key_hashes == frozenset()


def test_with_keys_every_address_may_be_listened_to(settings):
    read = settings(host="0.0.0.0", environment="production", api_keys=f" {KEY} , {hash_key('another ' + KEY)},")
    assert read.key_hashes == {hash_key(KEY), hash_key("another " + KEY)}


def test_empty_variables_count_as_unset(settings):
    read = settings(port="", api_keys="", database_url="")
    assert (read.port, read.api_keys) == (8000, ())


def test_secrets_are_not_shown(settings):
    shown = repr(settings(api_keys=f"{SECRET}-{KEY}", database_url=f"postgres://u:{SECRET}@h/d"))
    assert SECRET not in shown


@pytest.mark.parametrize("scheme", ["postgres", "postgresql", "postgresql+asyncpg"])
def test_each_name_of_postgresql_is_accepted(scheme):
    assert dialect_for(parse_database_url(f"{scheme}://u@h/d"), pool_size=2, timeout=1).name == "postgresql"


@pytest.mark.parametrize("mode", ["disable", "allow", "prefer", "require"])
def test_the_mode_of_tls_is_handed_on(mode):
    assert tls_options(parse_database_url(f"postgres://u@h/d?sslmode={mode}")) == {"ssl": mode}


@pytest.mark.parametrize(("mode", "names_count"), [("verify-ca", False), ("verify-full", True)])
def test_verifying_modes_verify(mode, names_count):
    context = tls_options(parse_database_url(f"postgres://u@h/d?sslmode={mode}"))["ssl"]
    assert context.verify_mode.name == "CERT_REQUIRED"
    assert context.check_hostname is names_count


@pytest.mark.parametrize(
    ("query", "word"),
    [
        ("sslMode=verify-full", "sslMode"),
        ("options=-csearch_path%3Dx", "options"),
        ("target_session_attrs=any", "target_session_attrs"),
        ("sslmode=require&sslmode=disable", "sslmode"),
        ("port=x", "port"),
        ("port=70000", "port"),
        ("connect_timeout=-1", "connect_timeout"),
        ("host=/other", "host twice"),
    ],
)
def test_a_parameter_of_the_database_that_is_not_supported_is_refused_by_name(query, word):
    with pytest.raises(ValueError, match=word):
        parse_database_url(f"postgres://u@h/d?{query}")


def test_a_file_has_no_parameters():
    with pytest.raises(ValueError, match="mode"):
        parse_database_url("sqlite:///x.db?mode=ro")


def test_parameters_that_are_supported_reach_the_driver():
    text = (
        "postgres://u%40x:p%2F%3A%40s@/d?host=/run/pg&port=6000&application_name=mine&connect_timeout=3&sslmode=disable"
    )
    given = connect_arguments(parse_database_url(text), timeout=10)
    assert given == {
        "host": "/run/pg",
        "port": 6000,
        "user": "u@x",
        "password": "p/:@s",
        "database": "d",
        "timeout": 3,
        "server_settings": {"application_name": "mine"},
        "ssl": "disable",
    }
