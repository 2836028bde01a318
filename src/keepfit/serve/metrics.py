"""Figures for Prometheus: requests, how long they took, what waits, which workers are alive."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
from prometheus_client.registry import Collector

if TYPE_CHECKING:
    from keepfit.serve.pool import PoolFigures

__all__ = ["CONTENT_TYPE", "Metrics", "Statistics"]

CONTENT_TYPE = CONTENT_TYPE_LATEST

_BUCKETS_S = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
_MODELS_MAX = 1000
_OTHERS = "(others)"


@dataclass
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


class Metrics:
    """What one server counts.

    Parameters
    ----------
    figures : callable
        Gives the pool's `PoolFigures`.

    Attributes
    ----------
    in_flight : Gauge
        Requests that are being answered.
    """

    def __init__(self, figures: Callable[[], PoolFigures]) -> None:
        self._registry = CollectorRegistry()
        self._requests = Counter("keepfit_requests", "Requests by HTTP status.", ["status"], registry=self._registry)
        self._predictions = Counter(
            "keepfit_predictions", "Requests for predictions.", ["model", "status"], registry=self._registry
        )
        self._latency = Histogram(
            "keepfit_prediction_seconds",
            "From the last header to the answer.",
            ["model"],
            buckets=_BUCKETS_S,
            registry=self._registry,
        )
        self._worker_cpu = Counter(
            "keepfit_prediction_cpu_seconds", "Processor time of workers.", ["model"], registry=self._registry
        )
        self.in_flight = Gauge("keepfit_requests_in_flight", "Requests being answered.", registry=self._registry)
        self._registry.register(_PoolCollector(figures))
        self._by_status: dict[int, Counter] = {}
        self._by_model: dict[str, tuple[Histogram, Counter]] = {}
        self._by_both: dict[tuple[str, int], Counter] = {}
        self._statistics: dict[tuple[str, str], Statistics] = {}
        self._tenants: dict[str, str | None] = {_OTHERS: None}  # by the name of a model

    def count(self, status: int) -> None:
        """Note a request, of whatever kind."""
        counter = self._by_status.get(status)
        if counter is None:
            counter = self._by_status[status] = self._requests.labels(str(status))
        counter.inc()

    def count_prediction(
        self, model: str, version: str, status: int, duration_s: float, cpu_s: float, *, tenant: str | None = None
    ) -> None:
        """Note a request for a prediction of a model that there is, and whose it is."""
        statistics = self._statistics.get((model, version))
        if statistics is None:
            if len(self._statistics) >= _MODELS_MAX:
                del self._statistics[next(iter(self._statistics))]
            statistics = self._statistics[model, version] = Statistics()
        if status < 400:
            statistics.successes += 1
            statistics.success_s += duration_s
        else:
            statistics.failures += 1
            statistics.failure_s += duration_s
        found = self._by_model.get(model)
        if found is None:
            if len(self._by_model) >= _MODELS_MAX:  # names of uploaded models come and go without end
                model = _OTHERS
            else:
                self._tenants[model] = tenant
            found = self._by_model[model] = (self._latency.labels(model), self._worker_cpu.labels(model))
        latency, worker_cpu = found
        latency.observe(duration_s)
        if cpu_s > 0:
            worker_cpu.inc(cpu_s)
        counter = self._by_both.get((model, status))
        if counter is None:
            counter = self._by_both[model, status] = self._predictions.labels(model, str(status))
        counter.inc()

    def statistics(self, model: str, version: str) -> Statistics:
        """What was counted of a version of a model."""
        return self._statistics.get((model, version), Statistics())

    def text(self, sees: Callable[[str | None], bool]) -> bytes:
        """All of it as Prometheus reads it, but for models of tenants that are not seen."""
        return generate_latest(_Seen(self._registry, lambda model: sees(self._tenants.get(model))))


class _Seen(CollectorRegistry):
    """Of a registry, the samples of models that are seen, and those of no model."""

    def __init__(self, registry: CollectorRegistry, is_seen: Callable[[str], bool]) -> None:
        super().__init__()
        self._all, self._is_seen = registry, is_seen

    def collect(self) -> Iterator[Metric]:
        for metric in self._all.collect():
            metric.samples = [one for one in metric.samples if self._is_seen(one.labels.get("model", _OTHERS))]
            yield metric


class _PoolCollector(Collector):
    def __init__(self, figures: Callable[[], PoolFigures]) -> None:
        self._figures = figures

    def collect(self) -> Iterator[Metric]:
        now = self._figures()
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
