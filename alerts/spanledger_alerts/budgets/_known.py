"""Whether a budget could ever match a call, judged by the names that were seen or are known."""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from typing import Final

from spanledger_alerts._hints import nearest
from spanledger_alerts.budgets._definition import DIMENSIONS, Budget
from spanledger_alerts.errors import BudgetError

_NOUNS: Final = {"use_case": "use case"}


def _never(_model: str, _provider: str) -> bool:
    return False


def _nothing(_name: str) -> bool:
    return False


@dataclass(frozen=True, slots=True)
class KnownNames:
    """Names by dimension."""

    seen: Mapping[str, Collection[str]] = field(default_factory=dict)
    """Of stored calls."""
    known: Mapping[str, Collection[str]] = field(default_factory=dict)
    """Of keys, of the price book: they may come."""
    knows_model: Callable[[str], bool] = _nothing
    """Whether the price book has the model, in any spelling."""
    contradicts: Callable[[str, str], bool] = _never
    """Whether a model is known to be of other providers, and was never seen of this one."""


def check_can_match(budget: Budget, names: KnownNames) -> None:
    """Refuse a budget for which no call could count.

    A dimension of which no name at all is known, as in a new installation, is taken as it is.

    Raises:
        BudgetError: it says which name is the reason, and the nearest that there is.
    """
    if budget.allow_unseen:
        return
    for name in DIMENSIONS:
        known = {*names.seen.get(name, ()), *names.known.get(name, ())}
        for value in budget.scope.get(name, ()):
            if known and value not in known and not (name == "model" and names.knows_model(value)):
                raise _unseen(budget, name, value, known)
    if budget.each_tenant:
        _check_tenants(budget, names)
    _check_pairs(budget, names)


def _check_tenants(budget: Budget, names: KnownNames) -> None:
    known = {*names.seen.get("tenant", ()), *names.known.get("tenant", ())}
    for tenant in budget.overrides:
        if known and tenant not in known:
            raise _unseen(budget, "tenant", tenant, known)


def _unseen(budget: Budget, name: str, value: str, known: Collection[str]) -> BudgetError:
    hint = nearest(value, known, few=True)
    return BudgetError(
        f"budgets.{budget.name}.{name}: no call of {_NOUNS.get(name, name)} {value!r} was ever seen, so none would"
        f" count{hint or ';'} if it is yet to come, say allow_unseen = true"
    )


def _check_pairs(budget: Budget, names: KnownNames) -> None:
    models, providers = budget.scope.get("model", ()), budget.scope.get("provider", ())
    if models and providers and all(names.contradicts(model, provider) for model in models for provider in providers):
        raise BudgetError(
            f"budgets.{budget.name}: {', '.join(providers)} has no model {' or '.join(models)}, so no call could ever"
            " count; if it is yet to come, say allow_unseen = true"
        )
