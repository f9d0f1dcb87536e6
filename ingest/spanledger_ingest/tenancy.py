"""Whose data a request brings, as the one text that travels with it through the journal.

It is the tenant of the credential. A gateway's credential stands for several: then it is the list of them, and each
item belongs to the tenant that it names itself, if that is one of the list.
"""

import re
from collections.abc import Iterable
from dataclasses import replace
from typing import Final

from spanledger_analytics.records import Rejection, Span
from spanledger_ingest.otlp import Decoded, Item

ANY: Final = "*"
CLAIMED: Final = "spanledger.claimed_tenant"
"""The attribute that keeps what an item said where its credential says otherwise."""

_SEPARATOR: Final = "\x1f"
_NAME: Final = re.compile(r"[^\x00-\x20\x7f*]([^\x00-\x1f\x7f]{0,126}[^\x00-\x20\x7f])?")
_TENANT: Final = "tenant.id"


def is_tenant(name: object) -> bool:
    """Tell whether this can name a tenant: 1 to 128 characters, no control characters, not beginning with ``*``."""
    return isinstance(name, str) and _NAME.fullmatch(name) is not None


def gateway(tenants: Iterable[str]) -> str:
    """Return the owner that stands for several tenants, or for :data:`ANY`."""
    return _SEPARATOR + _SEPARATOR.join(tenants)


def is_gateway(owner: str) -> bool:
    """Tell whether each item names its own tenant."""
    return owner.startswith(_SEPARATOR)


def may_send_for(owner: str, tenant: str) -> bool:
    """Tell whether a gateway stands for a tenant."""
    allowed = owner[1:].split(_SEPARATOR)
    return is_tenant(tenant) and (ANY in allowed or tenant in allowed)


def label(owner: str) -> str:
    """Return what a request as a whole is booked under: a gateway's belongs to no tenant."""
    return "" if is_gateway(owner) else owner


def assign(decoded: Decoded, owner: str, max_rejections: int) -> None:
    """Give each item to its tenant, in place, and flag what claims another.

    Items of a gateway that name no tenant, or one that it may not send for, are rejected; at most ``max_rejections``
    of all rejections are kept.
    """
    if is_gateway(owner):
        _by_claim(decoded, owner[1:].split(_SEPARATOR), max_rejections)
    elif owner:
        _flag(decoded, owner)


def _claim(item: Item) -> object:
    own = item.attributes.get(_TENANT)
    return item.resource.attributes.get(_TENANT) if own is None else own


def _flag(decoded: Decoded, owner: str) -> None:
    for place, item in enumerate(decoded.items):
        claim = _claim(item)
        if claim is not None and claim != owner:
            decoded.items[place] = replace(item, attributes={**item.attributes, CLAIMED: claim})
            decoded.foreign += 1


def _by_claim(decoded: Decoded, allowed: list[str], max_rejections: int) -> None:
    kept = []
    for item in decoded.items:
        claim = _claim(item)
        reason = _refusal(claim, allowed)
        if reason is None:
            kept.append(replace(item, owner=str(claim)))
            continue
        decoded.rejected += 1
        decoded.reasons[reason] += 1
        decoded.reasons[reason] += 1
        if len(decoded.rejections) < max_rejections:
            decoded.rejections.append(_dead_letter(decoded, item, reason))
    decoded.items[:] = kept


def _refusal(claim: object, allowed: list[str]) -> str | None:
    if claim is None:
        return f"no {_TENANT}: this credential stands for several tenants, so each item must name its own"
    if not is_tenant(claim) or not (ANY in allowed or claim in allowed):
        return f"{_TENANT} names a tenant that this credential does not stand for"
    return None


def _dead_letter(decoded: Decoded, item: Item, reason: str) -> Rejection:
    service = item.resource.attributes.get("service.name")
    return Rejection(
        owner="",
        signal=decoded.signal,
        reason=reason,
        service_name=service if isinstance(service, str) else None,
        time_ns=item.start_ns if isinstance(item, Span) else item.time_ns,
    )
