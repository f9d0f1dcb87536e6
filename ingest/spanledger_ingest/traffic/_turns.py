"""What each turn asks for and gets: tokens, cache, the model that answers, how likely it fails; what incidents do."""

from dataclasses import dataclass
from typing import Final

import numpy as np

from spanledger_ingest.traffic import _lexicon as lex
from spanledger_ingest.traffic._draws import Flags, Reals, Whole, quantile, spread, uniform
from spanledger_ingest.traffic._incidents import Incident, Scope
from spanledger_ingest.traffic._rows import CONTENT_FILTER, LENGTH, STOP, TOOL_CALL, Requests, Turns
from spanledger_ingest.traffic._served import position
from spanledger_ingest.traffic._world import World

INPUT_SIGMA: Final = 0.6
OUTPUT_SIGMA: Final = 0.7
_HISTORY = 380
_LEAST_INPUT = 16
_MOST_INPUT = 45_000  # four times this stays below the 200,000 tokens from which some models cost more
_CACHE_BLOCK = 128
_CACHE_FROM = 1024
_HIT_SHARE = 0.7
_FILTERED = 0.001
_CLUSTER = 8.0
_MOST_LIKELY = 0.95


@dataclass(slots=True, eq=False)
class Asked:
    """Columns by turn, which incidents may change before anything is drawn from them."""

    tenant: Whole
    case: Whole
    model: Whole
    region: Whole
    at_ns: Whole
    served: Whole
    limit: Whole
    input_factor: Reals
    """On the input beside the cached prefix."""
    hit_factor: Reals
    error_rate: Reals
    again_rate: Reals
    slower: Reals
    repeats: Reals
    """Calls that are made for one turn on average, for no good reason."""


@dataclass(slots=True, eq=False)
class Usage:
    """Tokens by turn, how the answer ends, and its price in nano-USD."""

    input: Whole
    output: Whole
    cache_read: Whole
    cache_write: Whole
    reasoning: Whole
    finish: Whole
    cost: Whole


def asked(world: World, requests: Requests, turns: Turns) -> Asked:
    """Return what each turn asks for, after the incidents had their way."""
    at = turns.request
    load, model = requests.load[at], requests.model[at]
    count = len(at)
    base = lex.ERROR_RATE[model]
    found = Asked(
        tenant=requests.tenant[at],
        case=world.lexicon.case[load],
        model=model,
        region=requests.region[at],
        at_ns=requests.start_us[at] * 1000,
        served=model.copy(),
        limit=world.lexicon.limit[load],
        input_factor=np.ones(count),
        hit_factor=np.ones(count),
        error_rate=base,
        again_rate=base * _CLUSTER,
        slower=np.ones(count),
        repeats=np.ones(count),
    )
    _changed(world, found)
    for incident in world.incidents:
        mine = concerned(world, incident, found)
        if mine.any():
            _apply(incident, found, mine)
    return found


def concerned(world: World, incident: Incident, turns: Asked) -> Flags:
    """Tell which turns an incident is about."""
    return matches(world, incident.scope, turns) & (turns.at_ns >= incident.onset_ns) & (turns.at_ns < incident.end_ns)


def matches(world: World, scope: Scope, turns: Asked) -> Flags:
    """Tell which turns lie in a scope."""
    mine = np.ones(len(turns.case), dtype=np.bool_)
    if scope.tenant_id is not None:
        mine &= turns.tenant == next(n for n, tenant in enumerate(world.tenants) if tenant.id == scope.tenant_id)
    if scope.use_case is not None:
        mine &= turns.case == lex.CASES.index(scope.use_case)
    if scope.model is not None:
        mine &= turns.model == lex.MODEL_NAMES.index(scope.model)
    if scope.provider is not None:
        mine &= lex.PROVIDER_OF[turns.model] == lex.PROVIDERS.index(scope.provider)
    if scope.region is not None:
        mine &= turns.region == lex.REGIONS.index(scope.region)
    return mine


def used(world: World, requests: Requests, turns: Turns, wanted: Asked) -> Usage:
    """Draw the tokens of each turn."""
    at, word = turns.request, turns.words
    load = requests.load[at]
    plain = world.lexicon.input_median[load] * requests.input_factor[at] * spread(word[:, 2], INPUT_SIGMA)
    given = np.minimum(_LEAST_INPUT + plain.astype(np.int64) + turns.turn * _HISTORY, _MOST_INPUT)
    read, written = _cache(turns, wanted, given)
    given = (given * wanted.input_factor).astype(np.int64)
    answer = world.lexicon.output_median[load] * requests.output_factor[at] * spread(word[:, 3], OUTPUT_SIGMA)
    output = 1 + answer.astype(np.int64)
    finish = _finish(turns, output >= wanted.limit)
    output = np.minimum(output, wanted.limit)
    thought = (output * (0.3 + 0.5 * uniform(word[:, 7]))).astype(np.int64)
    prices = lex.PRICES[wanted.served]
    tokens = np.stack([given - read - written, output, read, written], axis=1)
    cost: Whole = (tokens * prices).sum(axis=1)
    return Usage(given, output, read, written, np.where(lex.REASONS[wanted.model], thought, 0), finish, cost)


def _cache(turns: Turns, wanted: Asked, given: Whole) -> tuple[Whole, Whole]:
    """Split the stable prefix of a long prompt into tokens read from, and written to, the provider's cache."""
    prefix = (given * lex.CACHEABLE[wanted.case]).astype(np.int64) // _CACHE_BLOCK * _CACHE_BLOCK
    prefix = np.where((given >= _CACHE_FROM) & lex.CACHES[wanted.model], prefix, 0)
    hit = (turns.turn > 0) | (uniform(turns.words[:, 4]) < _HIT_SHARE)
    hit &= uniform(turns.words[:, 16]) < wanted.hit_factor
    return np.where(hit, prefix, 0), np.where(~hit & lex.WRITES[wanted.model], prefix, 0)


def _finish(turns: Turns, cut: Flags) -> Whole:
    filtered = uniform(turns.words[:, 6]) < _FILTERED
    ending = np.where(cut, LENGTH, np.where(filtered, CONTENT_FILTER, STOP))
    return np.where(turns.last, ending, TOOL_CALL)


def _changed(world: World, turns: Asked) -> None:
    """Let the models answer that stand behind the names by then."""
    for change in world.life.served_changes:
        mine = (turns.model == lex.MODEL_NAMES.index(change.asked)) & (turns.at_ns >= change.at_ns)
        turns.served[mine] = position(change.served)


def _apply(incident: Incident, turns: Asked, mine: Flags) -> None:
    factor = incident.factor
    if incident.grows_prompt:
        turns.input_factor[mine] *= factor
    elif incident.kind == "token_drift":
        share = (turns.at_ns[mine] - incident.onset_ns) / (incident.end_ns - incident.onset_ns)
        turns.input_factor[mine] *= 1 + (factor - 1) * share
    elif incident.kind == "cache_collapse":
        turns.hit_factor[mine] *= factor
    elif incident.kind == "latency":
        turns.slower[mine] *= factor
    elif incident.kind == "retry_storm":
        turns.repeats[mine] *= factor
    elif incident.kind == "error_burst":
        turns.error_rate[mine] = np.minimum(turns.error_rate[mine] + factor, _MOST_LIKELY)
        turns.again_rate[mine] = np.maximum(turns.again_rate[mine], turns.error_rate[mine])
    if incident.served is not None:
        turns.served[mine] = position(incident.served)
    if incident.max_tokens is not None:
        turns.limit[mine] = np.minimum(turns.limit[mine], incident.max_tokens)


def cut_at(median: float, share: float) -> int:
    """Return the limit that cuts off a share of the answers with a median length."""
    return max(1, round(median * quantile(1 - share, OUTPUT_SIGMA)))
