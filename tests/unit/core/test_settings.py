"""Settings come from the environment, refuse what cannot work, and say which value is wrong."""

from pathlib import Path

import pytest
from pydantic import SecretStr, ValidationError

from core.identity import Role
from core.settings import Settings


@pytest.fixture(autouse=True)
def _in_an_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_without_anything_it_is_local_and_needs_nothing() -> None:
    settings = Settings()

    assert settings.is_local
    assert settings.redis_url is None
    assert settings.model_url is None


def test_the_environment_wins_over_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "careline.toml").write_text('port = 9001\ncompany_name = "Kettles"\n', encoding="utf-8")
    monkeypatch.setenv("CARELINE_PORT", "9002")

    settings = Settings()

    assert (settings.port, settings.company_name) == (9002, "Kettles")


def test_keys_carry_tenant_and_role() -> None:
    settings = Settings(api_keys="shop:0123456789abcdef, desk:fedcba9876543210:acme:operator")

    shop, desk = settings.server_keys()

    assert (shop.name, shop.tenant, shop.role) == ("shop", "default", Role.SERVER)
    assert (desk.name, desk.tenant, desk.role) == ("desk", "acme", Role.OPERATOR)
    assert not settings.is_local


@pytest.mark.parametrize(
    "keys",
    ["shop", "shop:short", ":0123456789abcdef", "a:0123456789abcdef:t:king", "a:0123456789abcdef:t:admin:x"],
)
def test_a_key_that_cannot_be_used_is_refused(keys: str) -> None:
    with pytest.raises(ValidationError, match="api_keys"):
        Settings(api_keys=keys)


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("database_url", "mysql://shop@db/careline", "must be sqlite or postgresql"),
        ("database_url", "careline.db", "must be sqlite or postgresql"),
        ("customers_database_url", "oracle://db/shop", "must be sqlite or postgresql"),
        ("tickets_database_url", "nonsense", "must be sqlite or postgresql"),
        ("database_url", "postgresql://db1:5432,db2:many/careline", "the port of 'db2' must be a number"),
        ("database_url", "postgresql://me:pass@db1:99999/careline", "the port of 'db1' must be a number"),
        ("database_url", "postgresql:///careline?host=db1&port=many", "the port of 'db1' must be a number"),
        ("redis_url", "redis://127.0.0.1:abc/0", "the port of '127.0.0.1' must be a number"),
        ("redis_url", "redis://127.0.0.1:6379/first", "the database must be a number"),
        ("redis_url", "nonsense", "must be redis://"),
        ("model_url", "127.0.0.1:8080/v1", "must begin with http"),
        ("model_url", "http://", "name a host"),
        ("identity_jwks_url", "nonsense", "must begin with http"),
        ("smtp_url", "foo", "must be smtp://"),
        ("smtp_url", "smtp://", "must be smtp://"),
        ("smtp_url", "smtp://mail:twentyfive", "must be smtp://"),
        ("rate_limit", "many", "like 30/minute"),
        ("rate_limit_per_customer", "30/fortnight", "like 30/minute"),
    ],
)
def test_a_value_that_cannot_work_is_refused_by_name_and_in_words(
    name: str, value: str, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(f"CARELINE_{name.upper()}", value)

    with pytest.raises(ValidationError) as refused:
        Settings()

    (problem,) = refused.value.errors()
    assert problem["loc"] == (name,)
    assert said in problem["msg"]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("database_url", "sqlite:///careline.db"),
        ("database_url", "postgres://shop:p[ss@db:5432/careline"),
        ("tickets_database_url", "postgresql+psycopg://db/desk"),
        ("database_url", "postgresql://shop:p@db1:5432,db2:5433/careline"),
        ("database_url", "postgresql+psycopg://shop:p@/careline?host=db1:5432&host=db2:5433"),
        ("redis_url", "unix:///run/redis.sock"),
        ("model_url", "http://[::1]:8080/v1"),
        ("smtp_url", "smtps://anna:p%40ss@mail.example"),
        ("rate_limit", " 5 / second "),
        ("rate_limit", "0"),
    ],
)
def test_every_documented_form_is_taken(name: str, value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(f"CARELINE_{name.upper()}", value)

    assert getattr(Settings(), name) is not None


@pytest.mark.parametrize(
    "line", ["https://a.example, https://b.example", '["https://a.example","https://b.example"]']
)
def test_origins_are_listed_on_one_line(line: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CARELINE_ALLOWED_ORIGINS", line)

    assert Settings().allowed_origins == ("https://a.example", "https://b.example")


def test_a_short_secret_is_refused_without_being_shown() -> None:
    with pytest.raises(ValidationError) as refused:
        Settings(identity_secret="much-too-short")

    assert "at least 32 bytes" in str(refused.value)
    assert "much-too-short" not in str(refused.value)


@pytest.mark.parametrize("host", ["0.0.0.0", "192.0.2.1", "::", "careline.example"])  # noqa: S104 -- to be refused
def test_without_credentials_only_this_machine_is_served(host: str) -> None:
    with pytest.raises(ValidationError, match="CARELINE_API_KEYS"):
        Settings(host=host)
    assert Settings(host=host, api_keys="shop:0123456789abcdef").host == host


def test_sqlite_gets_more_time_because_its_writers_queue() -> None:
    settings = Settings(sql_timeout_seconds=1.0)

    assert settings.sql_seconds() == 5.0
    assert settings.sql_seconds("postgresql://db/careline") == 1.0


def test_a_chain_names_each_models_server_and_gives_no_key_to_another(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    further = '[{"model": "b"}, {"model": "c", "url": "http://other/v1"}, {"model": "x:d", "library": "pydantic-ai"}]'
    settings = Settings(model_url="http://one/v1", model="a", model_key=SecretStr("k" * 20))
    monkeypatch.setenv("CARELINE_FURTHER_MODELS", further)
    chain = Settings(model_url="http://one/v1", model="a", model_key=SecretStr("k" * 20)).chosen_models

    assert [each.guard for each in settings.chosen_models] == ["model"]
    assert [(each.guard, each.model, each.url) for each in chain] == [
        ("model", "a", "http://one/v1"),
        ("model.2", "b", "http://one/v1"),
        ("model.3", "c", "http://other/v1"),
        ("model.4", "x:d", None),
    ]
    assert [each.key is not None for each in chain] == [True, True, False, False]


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"further_models": [{"model": "b"}]}, "CARELINE_MODEL_URL is not"),
        ({"model_library": "pydantic-ai"}, "PROVIDER:NAME"),
        ({"model_library": "pydantic-ai", "model": "x:y", "further_models": [{"model": "b"}]}, "needs a url"),
        ({"turn_cost": 0.1}, "CARELINE_MODEL_INPUT_PRICE"),
    ],
)
def test_models_that_do_not_fit_together_stop_the_start(given: dict[str, object], said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        Settings.model_validate(given)
