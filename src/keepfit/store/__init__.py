"""Where models, metadata and finished work live: one SQLAlchemy schema, in SQLite or PostgreSQL.

`Store` keeps models by name and version, each array once by content address. `Work` keeps what searches have finished.
Crash safety and concurrency are the database's, not ours: what must not be torn apart is one transaction.
"""

from keepfit.store.models import Store
from keepfit.store.records import (
    CandidateInfo,
    FinishedTask,
    ModelInfo,
    ModelNotFoundError,
    SearchInfo,
    SearchRecord,
    TaskInfo,
)
from keepfit.store.work import Work

__all__ = [
    "CandidateInfo",
    "FinishedTask",
    "ModelInfo",
    "ModelNotFoundError",
    "SearchInfo",
    "SearchRecord",
    "Store",
    "TaskInfo",
    "Work",
]
