"""Where models, metadata and finished work live: one SQLAlchemy schema, in SQLite or PostgreSQL.

`Store` keeps models by name and version, each array once by content address. `Work` keeps what searches have finished,
and `Leases` what they are at;
`Tenants` what was uploaded to a server, `TokenTable` who may ask it for what.
Crash safety and concurrency are the database's, not ours: what must not be torn apart is one transaction.
"""

from keepfit.store.leases import LEASE_S, Leases
from keepfit.store.models import Store
from keepfit.store.records import (
    CandidateInfo,
    FinishedTask,
    ModelInfo,
    ModelNotFoundError,
    NameTakenError,
    Quota,
    QuotaError,
    ReusedTask,
    SearchInfo,
    SearchRecord,
    TaskInfo,
    TokenInfo,
    VersionInfo,
)
from keepfit.store.work import Work

__all__ = [
    "LEASE_S",
    "CandidateInfo",
    "FinishedTask",
    "Leases",
    "ModelInfo",
    "ModelNotFoundError",
    "NameTakenError",
    "Quota",
    "QuotaError",
    "ReusedTask",
    "SearchInfo",
    "SearchRecord",
    "Store",
    "TaskInfo",
    "TokenInfo",
    "VersionInfo",
    "Work",
]
