"""The tenants, use cases and models of a world as columns of numbers, so that calls can be made by the thousand."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from spanledger_ingest.traffic._catalogue import MODELS, PLACES, USE_CASES
from spanledger_ingest.traffic._draws import Reals, Whole
from spanledger_ingest.traffic._served import SERVED

if TYPE_CHECKING:
    from spanledger_ingest.traffic._world import Tenant

PROVIDERS: Final = tuple(dict.fromkeys(model.provider.stored for model in MODELS))
CASES: Final = tuple(case.name for case in USE_CASES)
MODEL_NAMES: Final = tuple(model.name for model in MODELS)
REGIONS: Final = tuple(region for _, region in PLACES)
SERVICES: Final = tuple(dict.fromkeys(case.service for case in USE_CASES))
NEVER: Final = 2**40
"""More tokens than any answer has: no limit."""

PROVIDER_OF: Final = np.array([PROVIDERS.index(model.provider.stored) for model in MODELS])
ERROR_RATE: Final = np.array([model.error_rate for model in MODELS])
TTFT_MS: Final = np.array([model.ttft_ms for model in MODELS])
TOKENS_PER_SECOND: Final = np.array([model.tokens_per_second for model in MODELS])
REASONS: Final = np.array([model.reasons for model in MODELS])
CACHES: Final = np.array([model.cache_read_price is not None for model in MODELS])
WRITES: Final = np.array([model.cache_write_price is not None for model in MODELS])
STREAMS: Final = np.array([case.streams for case in USE_CASES])
CACHEABLE: Final = np.array([case.cacheable for case in USE_CASES])
TOOLS: Final = np.array([len(case.tools) for case in USE_CASES])
SERVICE_OF: Final = np.array([SERVICES.index(case.service) for case in USE_CASES])
PRICES: Final = np.array(
    [[s.input_price, s.output_price, s.cache_read_price, s.cache_write_price] for s in SERVED], dtype=np.int64
)


@dataclass(frozen=True, slots=True, eq=False)
class Lexicon:
    """Columns by tenant, and by workload: the workloads of all tenants one after the other."""

    first: Whole
    """Place of each tenant's first workload."""
    second_from: Reals
    """From which uniform number on a request goes to the second workload."""
    users: Whole
    regions: Whole
    """[tenant, first or second] place in `REGIONS`; -1 is none."""
    case: Whole
    model: Whole
    fallback: Whole
    input_median: Reals
    output_median: Reals
    limit: Whole
    """``max_tokens`` of the requests."""
    version: Whole

    def load_of(self, tenant: int, use_case: str) -> int | None:
        """Return the place of a tenant's workload, if it has it."""
        end = self.first[tenant + 1] if tenant + 1 < len(self.first) else len(self.case)
        found = [load for load in range(self.first[tenant], end) if CASES[self.case[load]] == use_case]
        return found[0] if found else None


def lexicon(tenants: Sequence["Tenant"]) -> Lexicon:
    """Make the columns of tenants."""
    loads = [load for tenant in tenants for load in tenant.workloads]
    counts = [len(tenant.workloads) for tenant in tenants]
    return Lexicon(
        first=np.cumsum([0, *counts[:-1]]),
        second_from=np.array([t.workloads[0].weight / sum(load.weight for load in t.workloads) for t in tenants]),
        users=np.array([tenant.users for tenant in tenants]),
        regions=np.array([[_region(tenant.region), _region(tenant.second_region)] for tenant in tenants]),
        case=np.array([CASES.index(load.use_case.name) for load in loads]),
        model=np.array([MODEL_NAMES.index(load.model.name) for load in loads]),
        fallback=np.array([MODEL_NAMES.index(load.fallback.name) for load in loads]),
        input_median=np.array([load.use_case.input_median for load in loads]),
        output_median=np.array([load.use_case.output_median for load in loads]),
        limit=np.array([load.use_case.max_tokens or NEVER for load in loads]),
        version=np.array([load.version for load in loads]),
    )


def _region(name: str | None) -> int:
    return -1 if name is None else REGIONS.index(name)
