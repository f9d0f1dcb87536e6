"""Tokens of identity providers, and the known ways to forge them."""

import base64
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from jwt.algorithms import ECAlgorithm, OKPAlgorithm, RSAAlgorithm

from spanledger_ingest.auth import Authenticator, CredentialError, CredentialUnavailableError, KeyRing, StateDb
from spanledger_ingest.auth._issuers import verifier_of
from spanledger_ingest.auth._jwks import REFETCH_SECONDS, STALE_SECONDS, Jwks
from spanledger_ingest.auth._jwt import JwtVerifier
from spanledger_ingest.settings import SettingsError

ISSUER = "https://id.example"
RSA_KEY = rsa.generate_private_key(public_exponent=65537, key_size=2048)
EC_KEY = ec.generate_private_key(ec.SECP256R1())
ED_KEY = ed25519.Ed25519PrivateKey.generate()
STRANGER = rsa.generate_private_key(public_exponent=65537, key_size=2048)
SHARED = "s" * 40
PUBLIC_PEM = RSA_KEY.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)

Claims = dict[str, Any]


def jwk(algorithm: Any, key: Any, kid: str, **more: Any) -> Claims:
    return {**json.loads(algorithm.to_jwk(key.public_key())), "kid": kid, **more}


def jwks(*entries: Claims) -> str:
    return json.dumps({"keys": entries})


KEYS = jwks(
    jwk(RSAAlgorithm, RSA_KEY, "r1", use="sig"),
    jwk(ECAlgorithm, EC_KEY, "e1"),
    jwk(OKPAlgorithm, ED_KEY, "d1"),
    {"kty": "oct", "kid": "o1", "k": base64.urlsafe_b64encode(SHARED.encode()).decode()},
    jwk(RSAAlgorithm, STRANGER, "enc", use="enc"),
    {"kty": "RSA", "kid": "broken", "n": "!", "e": "AQAB"},
)


def claims(**changed: Any) -> Claims:
    now = int(time.time())
    whole = {
        "iss": ISSUER, "aud": "spanledger", "sub": "ann", "iat": now, "exp": now + 600,
        "tenant": "acme", "role": "engineer",
    }  # fmt: skip
    return {key: value for key, value in (whole | changed).items() if value is not None}


def signed(said: Claims, key: Any = RSA_KEY, algorithm: str = "RS256", kid: str | None = "r1") -> str:
    return jwt.encode(said, key, algorithm=algorithm, headers=None if kid is None else {"kid": kid})


@pytest.fixture
def table(tmp_path: Path) -> Claims:
    (tmp_path / "jwks.json").write_text(KEYS)
    return {"issuer": ISSUER, "audience": "spanledger", "jwks": str(tmp_path / "jwks.json")}


def verifier(*tables: Claims) -> JwtVerifier:
    found = verifier_of(tables)
    assert found is not None
    found.refresh()
    return found


@pytest.mark.parametrize(
    ("key", "algorithm", "kid"), [(RSA_KEY, "RS256", "r1"), (RSA_KEY, "PS256", "r1"), (EC_KEY, "ES256", "e1"),
                                  (ED_KEY, "EdDSA", "d1")]
)  # fmt: skip
def test_a_good_token_speaks_for_its_tenant_and_role(table: Claims, key: Any, algorithm: str, kid: str) -> None:
    principal = verifier(table).check(signed(claims(), key, algorithm, kid))
    assert (principal.tenant, principal.owner, principal.name) == ("acme", "acme", f"{ISSUER} ann")
    assert "read:traces" in principal.scopes
    assert not {"ingest:write", "read:content", "ops:read"} & principal.scopes


def unsigned(said: Claims, **header: Any) -> str:
    parts = [json.dumps({"typ": "JWT", **header}), json.dumps(said)]
    return ".".join(base64.urlsafe_b64encode(part.encode()).decode().rstrip("=") for part in parts) + "."


def hmac_with_the_public_key(said: Claims) -> str:
    import hashlib
    import hmac

    body = unsigned(said, alg="HS256", kid="r1")[:-1]
    tag = hmac.digest(PUBLIC_PEM, body.encode(), hashlib.sha256)
    return f"{body}.{base64.urlsafe_b64encode(tag).decode().rstrip('=')}"


def tampered(said: Claims) -> str:
    head, _, tag = signed(said).split(".")
    other = unsigned({**said, "tenant": "zeta"}, alg="RS256").split(".")[1]
    return f"{head}.{other}.{tag}"


NOW = int(time.time())
ATTACKS: dict[str, Callable[[], str]] = {
    "alg none": lambda: unsigned(claims(), alg="none", kid="r1"),
    "alg None": lambda: unsigned(claims(), alg="None", kid="r1"),
    "no alg": lambda: unsigned(claims(), kid="r1"),
    "HS256 with the public key": lambda: hmac_with_the_public_key(claims()),
    "HS256 with a published symmetric key": lambda: signed(claims(), SHARED, "HS256", "o1"),
    "a key of its own in the header": lambda: jwt.encode(
        claims(), STRANGER, algorithm="RS256", headers={"kid": "r1", "jwk": jwk(RSAAlgorithm, STRANGER, "r1")}
    ),
    "an address of its own in the header": lambda: jwt.encode(
        claims(), STRANGER, algorithm="RS256", headers={"kid": "r1", "jku": "https://evil.example/jwks.json"}
    ),
    "a stranger's key": lambda: signed(claims(), STRANGER),
    "an encryption key": lambda: signed(claims(), STRANGER, kid="enc"),
    "an algorithm of another kind of key": lambda: signed(claims(), EC_KEY, "ES256", "r1"),
    "changed claims": lambda: tampered(claims()),
    "wrong audience": lambda: signed(claims(aud="another")),
    "no audience": lambda: signed(claims(aud=None)),
    "wrong issuer": lambda: signed(claims(iss="https://evil.example")),
    "issuer as a list": lambda: unsigned(claims(iss=[ISSUER]), alg="RS256"),
    "expired": lambda: signed(claims(exp=NOW - 61)),
    "no expiry": lambda: signed(claims(exp=None)),
    "no time of issue": lambda: signed(claims(iat=None)),
    "issued in the future": lambda: signed(claims(iat=NOW + 3600)),
    "not yet valid": lambda: signed(claims(nbf=NOW + 3600)),
    "expiry that is no number": lambda: signed(claims(exp="soon")),
    "kid that is a path": lambda: signed(claims(), kid="../../../../dev/null"),
    "kid that is SQL": lambda: signed(claims(), kid="x' UNION SELECT 'key' --"),
    "kid that is no text": lambda: unsigned(claims(), alg="RS256", kid=["r1"]),
    "no kid among many keys": lambda: signed(claims(), kid=None),
    "no tenant": lambda: signed(claims(tenant=None)),
    "several tenants": lambda: signed(claims(tenant=["acme", "zeta"])),
    "all tenants": lambda: signed(claims(tenant="*")),
    "a tenant with a separator in it": lambda: signed(claims(tenant="\x1f*")),
    "no role": lambda: signed(claims(role=None)),
    "unknown role": lambda: signed(claims(role="king")),
    "infinite expiry": lambda: unsigned(claims(exp=float("inf")), alg="none"),
    "deep nesting": lambda: "e30." + base64.urlsafe_b64encode(b"[" * 5000).decode().rstrip("=") + ".e30",
    "no token at all": lambda: "abc",
    "binary noise": lambda: "\x00\xff.\x00.\x00",
}


@pytest.mark.parametrize("attack", ATTACKS)
def test_forged_tokens_are_refused(table: Claims, attack: str) -> None:
    token = ATTACKS[attack]()
    with pytest.raises(CredentialError) as refused:
        verifier(table).check(token)
    assert refused.value.reason in ("malformed", "invalid_token")
    assert token not in str(refused.value)


def test_an_oversized_token_is_refused_before_it_is_read(table: Claims, tmp_path: Path) -> None:
    state = StateDb(tmp_path / "data")
    service = Authenticator(KeyRing(state), verifier(table))
    with pytest.raises(CredentialError, match="longer than 8192"):
        service.check("Bearer " + signed(claims(padding="x" * 8192)))
    assert service.check("Bearer " + signed(claims())).tenant == "acme"
    assert service.required
    state.close()


def test_one_subject_of_two_issuers_is_two_people(table: Claims) -> None:
    other = {"issuer": "https://other.example", "audience": "spanledger", "key": SHARED, "roles": {"ops": "sre"}}
    both = verifier(table, other)
    first = both.check(signed(claims()))
    second = both.check(signed(claims(iss=other["issuer"], role=["x", "ops"]), SHARED, "HS256", None))
    assert (first.name, second.name) == (f"{ISSUER} ann", "https://other.example ann")
    assert second.scopes > first.scopes
    with pytest.raises(CredentialError):  # each issuer's tokens are good with its own keys only
        both.check(signed(claims(), SHARED, "HS256", None))
    with pytest.raises(CredentialError):
        both.check(signed(claims(iss=other["issuer"])))


def test_the_tenant_of_all_needs_the_issuer_to_be_trusted_with_it(table: Claims) -> None:
    principal = verifier(table | {"all_tenants": True}).check(signed(claims(tenant="*", role="sre")))
    assert principal.tenant is None
    assert "ops:read" in principal.scopes


def test_a_remembered_token_still_ends(table: Claims) -> None:
    now = time.time()
    found = verifier(table)
    moments = iter([now, now + 700])
    found._clock = lambda: next(moments)
    token = signed(claims(exp=int(now) + 600))
    found.check(token)  # the first one is not looked up among the remembered
    assert token not in repr(found._good)
    found._clock = lambda: now + 600 + 61
    (remembered,) = found._good.values()
    assert remembered[1] <= now + 600 + 60


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_unknown_keys_are_fetched_rarely_and_known_ones_outlive_a_failure(tmp_path: Path) -> None:
    clock, place = Clock(), tmp_path / "jwks.json"
    source = Jwks(str(place), frozenset({"RS256"}), clock)
    assert not source.refresh()
    with pytest.raises(CredentialUnavailableError):
        source.find("r1")  # the issuer did not answer yet: the client must keep its data
    place.write_text(jwks(jwk(RSAAlgorithm, RSA_KEY, "r1")))
    assert not source.refresh(), "too early for another try"
    clock.now += REFETCH_SECONDS
    assert source.refresh()
    assert source.find("r1").algorithms == source.find(None).algorithms == {"RS256"}
    with pytest.raises(CredentialError):
        source.find("r2")
    clock.now += REFETCH_SECONDS
    with pytest.raises(CredentialUnavailableError):
        source.find("r2")
    place.write_text(jwks(jwk(RSAAlgorithm, RSA_KEY, "r1"), jwk(RSAAlgorithm, STRANGER, "r2")))
    assert source.refresh()
    assert source.find("r2").algorithms == {"RS256"}
    place.unlink()
    clock.now += STALE_SECONDS
    assert not source.refresh()
    source.find("r1")
    clock.now += 1
    with pytest.raises(CredentialUnavailableError):
        source.find("r1")


@pytest.mark.parametrize("published", ["{}", "[]", "null", "not json", '{"keys": 3}', "[" * 100_000])
def test_what_is_no_key_set_changes_nothing(tmp_path: Path, published: str) -> None:
    place = tmp_path / "jwks.json"
    place.write_text(published)
    assert not Jwks(str(place), frozenset({"RS256"})).refresh()


def test_keys_that_go_away_take_their_tokens_along(table: Claims) -> None:
    clock = Clock()
    found = verifier(table)
    source: Any = found._issuers[ISSUER].keys
    source._clock = clock
    source._tried = source._succeeded = 0.0
    token = signed(claims())
    found.check(token)
    Path(table["jwks"]).write_text(jwks(jwk(ECAlgorithm, EC_KEY, "e1")))
    clock.now = 300
    found.refresh()
    with pytest.raises(CredentialError, match="does not publish"):
        found.check(token)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"isuer": "x"}, "no such setting; did you mean 'issuer'"),
        ({"issuer": ""}, "issuer is needed"),
        ({"audience": None}, "audience is needed"),
        ({"key": SHARED}, "either jwks"),
        ({"jwks": "http://id.example/jwks"}, "must be an https address"),
        ({"jwks": "ftp://id.example/jwks"}, "must be an https address"),
        ({"algorithms": ["none"]}, "algorithms is a list out of"),
        ({"algorithms": ["HS256"]}, "algorithms is a list out of"),
        ({"algorithms": []}, "algorithms is a list out of"),
        ({"roles": {"a": "king"}}, "roles maps values"),
    ],
)
def test_a_wrong_issuer_is_told_what_is_wrong(table: Claims, change: Claims, words: str) -> None:
    with pytest.raises(SettingsError, match=words):
        verifier_of([table | change])


def test_shared_keys_are_long_and_come_from_where_the_settings_say(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    table = {"issuer": ISSUER, "audience": "spanledger", "key": "env:SHARED_KEY"}
    with pytest.raises(SettingsError, match="SHARED_KEY is empty or missing"):
        verifier_of([table])
    monkeypatch.setenv("SHARED_KEY", "short")
    with pytest.raises(SettingsError, match="shorter than 32 bytes") as refused:
        verifier_of([table])
    assert "short\n" not in str(refused.value)
    (tmp_path / "key").write_text(SHARED + "\n")
    found = verifier(table | {"key": f"file:{tmp_path / 'key'}"})
    assert found.check(signed(claims(), SHARED, "HS256", None)).tenant == "acme"
    with pytest.raises(SettingsError, match="listed twice"):
        verifier_of([table | {"key": SHARED}] * 2)
