"""The beginning of a connection: encryption, what the client asks for, and the proof that it has an API key."""

import base64
import binascii
import hmac
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from spanledger_ingest.auth import ITERATIONS, Authenticator, CredentialError, Principal, proves, server_signature
from spanledger_ingest.pgwire import _messages as messages
from spanledger_ingest.pgwire._channel import Channel
from spanledger_ingest.pgwire._errors import BAD_LOGIN, PROTOCOL, UNSUPPORTED, WireError
from spanledger_ingest.pgwire._limits import Limits

_MECHANISM: Final = b"SCRAM-SHA-256"
_WHO: Final = (
    "the user must be a tenant, or 'all', and the password an API key of it that may ask in SQL; keys made by versions"
    " without SQL access must be made anew: 'spanledger keys create --role product'"
)


@dataclass(frozen=True, slots=True)
class Startup:
    """What a client said first."""

    options: Mapping[str, str]
    minor: int

    @property
    def user(self) -> str:
        """The name to log in with."""
        return self.options.get("user", "")


async def first_message(channel: Channel, limits: Limits) -> tuple[int, bytes]:
    """Return code and body of a message without a type.

    Raises:
        WireError: it is none.
    """
    size = int(messages.INT32.unpack(await channel.read(4))[0])
    if not 8 <= size <= limits.login_frame_bytes:
        raise WireError(PROTOCOL, "this port speaks the PostgreSQL protocol; HTTP is on another", fatal=True)
    body = await channel.read(size - 4)
    return int(messages.INT32.unpack(body[:4])[0]), body[4:]


def startup_of(code: int, body: bytes) -> Startup:
    """Read a start-up message.

    Raises:
        WireError: it is none, or of another version of the protocol.
    """
    if code >> 16 != messages.VERSION_3:
        raise WireError(UNSUPPORTED, "only version 3 of the protocol is spoken here", fatal=True)
    reader, options = messages.Body(body), {}
    while name := reader.text():
        options[name] = reader.text()
    reader.end()
    return Startup(options, code & 0xFFFF)


async def prove(channel: Channel, user: str, authenticator: Authenticator, limits: Limits) -> str:
    """Let the client prove by SCRAM-SHA-256 that it has a key of the user; return the key's id.

    Raises:
        WireError: it has none, or its messages make no sense.
    """
    await channel.write(messages.authentication(messages.AUTH_SASL, _MECHANISM + b"\0\0"))
    first = messages.Body(await _answer(channel, limits))
    if first.text().encode() != _MECHANISM:
        raise WireError(PROTOCOL, "only SCRAM-SHA-256 is spoken here", fatal=True)
    header, bare, client_nonce = _client_first(_plain(first.value() or b""))
    keys = authenticator.keys
    nonce = client_nonce + base64.b64encode(secrets.token_bytes(18)).decode()
    salt = base64.b64encode(keys.salt(user)).decode()
    challenge = f"r={nonce},s={salt},i={ITERATIONS}"
    await channel.write(messages.authentication(messages.AUTH_SASL_CONTINUE, challenge.encode()))

    final = _plain(await _answer(channel, limits))
    without_proof, _, proof = final.rpartition(",p=")
    expected = f"c={base64.b64encode(header.encode()).decode()},r={nonce}"
    if not hmac.compare_digest(without_proof.encode(), expected.encode()):
        raise WireError(PROTOCOL, "the answer does not belong to the challenge", fatal=True)
    message = f"{bare},{challenge},{without_proof}".encode()
    return await _checked(channel, user, authenticator, message, _decoded(proof))


async def _checked(channel: Channel, user: str, authenticator: Authenticator, message: bytes, proof: bytes) -> str:
    for id_, verifier in authenticator.keys.verifiers(user).items():
        if proves(verifier, message, proof):
            valid_principal(authenticator, id_)
            signature = base64.b64encode(server_signature(verifier, message))
            await channel.write(messages.authentication(messages.AUTH_SASL_FINAL, b"v=" + signature))
            return id_
    authenticator.refused("unknown")
    raise WireError(BAD_LOGIN, f'password authentication failed for user "{user}": {_WHO}', fatal=True)


def valid_principal(authenticator: Authenticator, id_: str) -> Principal:
    """Return who acts with a key, now.

    Raises:
        WireError: the key has ended, or may not ask in SQL.
    """
    try:
        principal = authenticator.keys.check_id(id_)
    except CredentialError as error:
        authenticator.refused(error.reason)
        raise WireError(BAD_LOGIN, str(error), fatal=True) from None
    if "query:sql" not in principal.scopes:
        raise WireError("42501", "this API key lacks the scope query:sql", fatal=True)
    return principal


async def _answer(channel: Channel, limits: Limits) -> bytes:
    kind = await channel.read(1)
    size = int(messages.INT32.unpack(await channel.read(4))[0])
    if kind != b"p" or not 4 <= size <= limits.login_frame_bytes:
        raise WireError(PROTOCOL, "the password is to be proved now, by SCRAM-SHA-256", fatal=True)
    return await channel.read(size - 4)


def _client_first(text: str) -> tuple[str, str, str]:
    """Return the header, the rest, and the nonce of the first message. ``y`` says that only we lack channel binding."""
    flag, authzid, bare = [*text.split(",", 2), "", ""][:3]
    parts = dict(part.split("=", 1) for part in bare.split(",") if "=" in part)
    nonce = parts.get("r", "")
    if flag not in ("n", "y") or authzid or len(nonce) < 8 or "m" in parts:
        raise WireError(PROTOCOL, "the first message of SCRAM is malformed", fatal=True)
    return f"{flag},{authzid},", bare, nonce


def _plain(data: bytes) -> str:
    try:
        return data.decode()
    except UnicodeDecodeError:
        raise WireError(PROTOCOL, "a message of SCRAM is malformed", fatal=True) from None


def _decoded(proof: str) -> bytes:
    try:
        return base64.b64decode(proof, validate=True)
    except (binascii.Error, ValueError):
        raise WireError(PROTOCOL, "the proof is malformed", fatal=True) from None
