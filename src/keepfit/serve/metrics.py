"""Figures for Prometheus: requests, how long they took, what waits, which workers are alive.

They are counted in plain numbers, as that is done for every request, and take prometheus-client's form when it is asked
for them. All of it happens on the thread of the event loop.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import accumulate
from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
from prometheus_client.registry import Collector
from prometheus_client.utils import floatToGoString

if TYPE_CHECKING:
    from keepfit.serve.pool import PoolFigures

__all__ = ["CONTENT_TYPE", "Metrics", "Statistics"]

CONTENT_TYPE = CONTENT_TYPE_LATEST

_BUCKETS_S = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, float("inf"))
_MODELS_MAX = 1000
_OTHERS = "(others)"


@dataclass(slots=True)
class Statistics:
    """Requests for one version of a model.

    Attributes
    ----------
    successes, failures : int
    success_s, failure_s : float
        How long they took, all together.
    """

    successes: int = 0
    failures: int = 0
    success_s: float = 0.0
    failure_s: float = 0.0


@dataclass(slots=True)
class _Predictions:
    """Requests for a model, all versions: how many by status, how long they took, the workers' processor time."""

    tenant: str | None
    by_status: Counter[int] = field(default_factory=Counter)
    by_duration: list[int] = field(default_factory=lambda: [0] * len(_BUCKETS_S))
    duration_s: float = 0.0
    cpu_s: float = 0.0


class Metrics:
    """What one server counts.

    Parameters
    ----------
    figures : callable
        Gives the pool's `PoolFigures`.

    Attributes
    ----------
    in_flight : int
        Requests that are being answered.
    """

    def __init__(self, figures: Callable[[], PoolFigures]) -> None:
        self._figures = figures
        self.in_flight = 0
        self._requests: Counter[int] = Counter()  # by status
        self._models: dict[str, _Predictions] = {}
        self._versions: dict[tuple[str, str], tuple[Statistics, _Predictions]] = {}

    def count(self, status: int) -> None:
        """Note a request, of whatever kind."""
        self._requests[status] += 1

    def count_prediction(
        self, model: str, version: str, status: int, duration_s: float, cpu_s: float, *, tenant: str | None = None
    ) -> None:
        """Note a request for a prediction of a model that there is, and whose it is."""
        found = self._versions.get((model, version))
        if found is None:
            found = self._versions[model, version] = self._begin(model, tenant)
        statistics, predictions = found
        if status < 400:
            statistics.successes += 1
            statistics.success_s += duration_s
        else:
            statistics.failures += 1
            statistics.failure_s += duration_s
        predictions.by_status[status] += 1
        predictions.by_duration[bisect_left(_BUCKETS_S, duration_s)] += 1
        predictions.duration_s += duration_s
        predictions.cpu_s += cpu_s

    def _begin(self, model: str, tenant: str | None) -> tuple[Statistics, _Predictions]:
        if len(self._versions) >= _MODELS_MAX:
            del self._versions[next(iter(self._versions))]
        predictions = self._models.get(model)
        if predictions is None:
            if len(self._models) >= _MODELS_MAX:  # names of uploaded models come and go without end
                model, tenant = _OTHERS, None
            predictions = self._models.setdefault(model, _Predictions(tenant))
        return Statistics(), predictions

    def statistics(self, model: str, version: str) -> Statistics:
        """What was counted of a version of a model."""
        found = self._versions.get((model, version))
        return found[0] if found is not None else Statistics()

    def text(self, sees: Callable[[str | None], bool]) -> bytes:
        """All of it as Prometheus reads it, but for models of tenants that are not seen."""
        seen = {model: predictions for model, predictions in self._models.items() if sees(predictions.tenant)}
        registry = CollectorRegistry()
        registry.register(_Families([*self._of_requests(), *_of_models(seen), *_of_pool(self._figures())]))
        return generate_latest(registry)

    def _of_requests(self) -> Iterator[Metric]:
        requests = CounterMetricFamily("keepfit_requests", "Requests by HTTP status.", labels=["status"])
        for status, count in self._requests.items():
            requests.add_metric([str(status)], count)
        yield requests
        yield GaugeMetricFamily("keepfit_requests_in_flight", "Requests being answered.", value=self.in_flight)


class _Families(Collector):
    def __init__(self, families: list[Metric]) -> None:
        self._families = families

    def collect(self) -> Iterator[Metric]:
        yield from self._families


def _of_models(models: dict[str, _Predictions]) -> Iterator[Metric]:
    predictions = CounterMetricFamily("keepfit_predictions", "Requests for predictions.", labels=["model", "status"])
    durations = HistogramMetricFamily(
        "keepfit_prediction_seconds", "From the last header to the answer.", labels=["model"]
    )
    cpu = CounterMetricFamily("keepfit_prediction_cpu_seconds", "Processor time of workers.", labels=["model"])
    for model, of_model in models.items():
        for status, count in of_model.by_status.items():
            predictions.add_metric([model, str(status)], count)
        buckets = zip(map(floatToGoString, _BUCKETS_S), accumulate(of_model.by_duration), strict=True)
        durations.add_metric([model], list(buckets), of_model.duration_s)
        cpu.add_metric([model], of_model.cpu_s)
    yield from (predictions, durations, cpu)


def _of_pool(now: PoolFigures) -> Iterator[Metric]:
    for name, what, value in (
        ("keepfit_workers", "Worker processes alive.", now.workers),
        ("keepfit_jails", "Jails of tenants alive.", now.jails),
        ("keepfit_models", "Models loaded.", now.models),
        ("keepfit_queue_length", "Calls that wait for a worker.", now.queued),
        ("keepfit_calls_running", "Calls that workers have in hand.", now.running),
    ):
        yield GaugeMetricFamily(name, what, value=value)
    for name, what, value in (
        ("keepfit_calls_refused", "Calls turned away because a queue was full.", now.refused),
        ("keepfit_batches", "Messages in which several calls were joined.", now.batches),
        ("keepfit_batched_calls", "Calls that were joined with others.", now.batched),
        ("keepfit_worker_restarts", "Workers that ended without being told to.", now.deaths),
    ):
        yield CounterMetricFamily(name, what, value=value)
