"""Settings: precedence, what is refused, what is never shown; and the public names."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import spanledger
from spanledger.settings import Settings, resolve

NO_ENVIRONMENT: dict[str, str] = {}


def test_the_public_names() -> None:
    assert set(spanledger.__all__) == {
        "BudgetExceeded",
        "ConfigurationError",
        "Settings",
        "SpanledgerError",
        "__version__",
        "configure",
        "context",
        "flush",
        "propagate",
        "record_score",
        "shutdown",
    }
    for name in spanledger.__all__:
        assert getattr(spanledger, name) is not None


def test_modules_on_demand() -> None:
    assert spanledger.asgi.ContextMiddleware is not None
    assert spanledger.testing.SpanledgerTestKit is not None
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = spanledger.nothing


def test_the_defaults() -> None:
    settings = resolve({}, NO_ENVIRONMENT)
    assert settings.base_url() == "http://127.0.0.1:4318"
    assert settings.capture_content == "none"
    assert settings.include_usage
    assert not settings.disabled
    assert settings.request_headers() == {}


@given(st.sets(st.sampled_from(["argument", "own", "otel"])))
def test_argument_beats_own_variable_beats_otel_beats_default(given_by: set[str]) -> None:
    arguments = {"endpoint": "http://argument:1"} if "argument" in given_by else {}
    environ = {"SPANLEDGER_ENDPOINT": "http://own:1"} if "own" in given_by else {}
    environ |= {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://otel:1"} if "otel" in given_by else {}
    winner = next((name for name in ("argument", "own", "otel") if name in given_by), "127.0.0.1")
    assert f"//{winner}:" in resolve(arguments, environ).base_url()


def test_the_traces_endpoint_of_otel_counts_unless_ours_is_given() -> None:
    environ = {"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "https://collector.example/otlp/v1/traces"}
    assert resolve({}, environ).base_url() == "https://collector.example/otlp"
    assert resolve({"endpoint": "http://ours:1"}, environ).base_url() == "http://ours:1"
    assert resolve({}, environ | {"SPANLEDGER_ENDPOINT": "http://own:1/"}).base_url() == "http://own:1"


def test_the_key_is_a_bearer_token_and_is_never_shown() -> None:
    environ = {
        "OTEL_EXPORTER_OTLP_HEADERS": "X-Team=blue%20sky,authorization=Basic%20abc",
        "SPANLEDGER_API_KEY": "s3cret",
    }
    settings = resolve({}, environ)
    assert settings.request_headers() == {"x-team": "blue sky", "authorization": "Bearer s3cret"}
    assert "s3cret" not in repr(settings)
    assert "abc" not in repr(settings)


@pytest.mark.parametrize("word", ["1", "true", "YES", " on "])
def test_flags_read_as_people_write_them(word: str) -> None:
    assert resolve({}, {"SPANLEDGER_DISABLED": word}).disabled
    assert resolve({}, {"OTEL_SDK_DISABLED": word}).disabled
    assert not resolve({"disabled": False}, {"SPANLEDGER_DISABLED": word}).disabled


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"capture_content": "some"}, "capture_content: 'some' is not one of none, masked, full"),
        ({"endpoint": "127.0.0.1:4318"}, "endpoint: .* is no http"),
        ({"endpiont": "http://x"}, "no setting 'endpiont'; there are endpoint, "),
        ({"skip": "openai,opnai"}, "no library 'opnai'; known: openai, "),
        ({"export_timeout": -1}, "export_timeout: -1 is not a positive number"),
        ({"export_timeout": float("nan")}, "export_timeout: nan is not a positive number"),
        ({"spool_max_bytes": "much"}, "spool_max_bytes: 'much' is not a number of bytes"),
        ({"disabled": "perhaps"}, "neither true nor false"),
        ({"api_key": " "}, "api_key: it is empty"),
        ({"headers": "x"}, "headers are not of the form"),
        ({"capture_content": 3}, "capture_content"),
    ],
)
def test_bad_arguments_raise_and_name_the_remedy(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(spanledger.ConfigurationError, match=message):
        resolve(arguments, NO_ENVIRONMENT)


@given(st.dictionaries(st.sampled_from(["SPANLEDGER_ENDPOINT", "SPANLEDGER_SKIP", "SPANLEDGER_HEADERS"]), st.text()))
def test_no_environment_value_ever_raises(environ: dict[str, str]) -> None:
    assert isinstance(resolve({}, environ), Settings)


def test_skip_takes_names_in_both_forms() -> None:
    assert resolve({}, {"SPANLEDGER_SKIP": "OpenAI, groq"}).skip == ("openai", "groq")
    assert resolve({"skip": ["bedrock"]}, NO_ENVIRONMENT).skip == ("bedrock",)
