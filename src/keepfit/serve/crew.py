"""A crew: workers that hold the same models, and the calls for these. The operator's crew; one for each tenant."""

from __future__ import annotations

import asyncio
import logging
import os
from collections import deque
from collections.abc import Callable, Iterable
from typing import Any

from keepfit.errors import KeepfitError
from keepfit.serve.errors import OverloadedError, UnavailableError
from keepfit.serve.formulas import Formulas
from keepfit.serve.messages import (
    SIGNATURE_BYTES_MAX,
    Answer,
    Answers,
    Call,
    Convert,
    Done,
    Infer,
    Load,
    Loaded,
    Ready,
    Refusal,
    ToFront,
    Unload,
)
from keepfit.serve.plausibility import are_answers, signature_in
from keepfit.serve.queueing import Queue, Reply, Request, size_of
from keepfit.serve.roster import Batch, Conversion, Job, Model, Tally, Worker, opened_again, told_of
from keepfit.serve.settings import PoolSettings

__all__ = ["Crew"]

_START_S = 30.0
_DEATHS_MAX = 3  # in a row, until a model is barred
_BARRED_S, _BARRED_MAX_S = 5.0, 60.0
_PAUSE_S, _PAUSE_MAX_S = 0.1, 5.0  # before a worker that did not start is tried again
_MEAN_WEIGHT = 0.1

_log = logging.getLogger("keepfit.serve")


class Crew:
    """Workers, models and the queue before them.

    A worker that becomes free first comes in step with the models of the crew (loads what it lacks, lets go what the
    crew has not any more), then takes the next batch. Nothing is sent to a worker that has not answered.

    Parameters
    ----------
    settings : PoolSettings
    size : int
        How many workers.
    is_jailed : bool
    tally : Tally
    hire : function
        Of a `Worker`: starts the process, and its channel; False where that cannot be now.
    kill : function
        Of the number of a worker.
    may_go_on : function
        Asked before a free worker is given more.
    """

    def __init__(
        self,
        settings: PoolSettings,
        *,
        size: int,
        is_jailed: bool,
        tally: Tally,
        hire: Callable[[Crew], Worker | None],
        kill: Callable[[int], None],
        may_go_on: Callable[[Crew], bool],
    ) -> None:
        self.is_jailed = is_jailed
        self.models: dict[str, Model] = {}
        self.workers: list[Worker] = []
        self.is_admitted = not is_jailed  # whether it may have workers now
        self.admitted_s = self.busy_s = 0.0  # when it was admitted, and when a worker was given something last
        self._settings = settings
        self._size = size
        self._tally = tally
        self._hire, self._kill, self._may_go_on = hire, kill, may_go_on
        self._loop = asyncio.get_running_loop()
        self._idle: list[Worker] = []
        self._queue = Queue(settings.max_batch_rows if settings.batching else 0)
        self._queue_max = settings.tenant_queue_max if is_jailed else settings.queue_max
        self._queued = self._queued_bytes = 0
        self._conversions: deque[Conversion] = deque()
        self._generation = 0
        self._answered: list[tuple[Request, Answer]] = []  # that are not told yet
        self._failed_starts = 0
        self._is_pausing = False
        self._mean_s = 0.0

    @property
    def has_work(self) -> bool:
        """Whether somebody waits for something: calls, loads, conversions."""
        return bool(
            self._queue
            or self._conversions
            or any(not isinstance(worker.job, Unload | None) for worker in self.workers)
            or any(not model.loaded.done() for model in self.models.values())
        )

    # What is asked of it

    def add(self, model: Model) -> None:
        """Have a model loaded; `Model.loaded` tells when it is. A crew without workers has to be admitted first."""
        self.models[model.key] = model
        self._generation += 1
        self._wake()

    def discard(self, key: str) -> None:
        """Have all workers let a model go, as they become free."""
        model = self.models.pop(key)
        os.close(model.fd)
        self._generation += 1
        self._wake()

    def submit(self, model: Model, call: Call, reply: Reply) -> None:
        """Have a call answered: here by a formula, at once by a free worker, or in its turn.

        Raises
        ------
        OverloadedError, UnavailableError
        """
        now_s = self._loop.time()
        if model.barred_until_s > now_s:
            raise model.barred(now_s)
        if model.formulas is not None and (found := model.formulas.answer(call.inputs, call.outputs)):
            self._tally.answered += 1
            reply.set_result(Answer(found, batch_rows=1))
            return
        request = Request(model.key, call, reply, now_s)
        worker = self._idle.pop() if self._idle else None
        if worker is not None and worker.seen == self._generation and model in worker.loaded:
            model.open_calls += 1
            self._give_batch(worker, Batch(model, [request]))
            return
        if worker is None:
            self._check_room(size_of(call))
        model.open_calls += 1
        self._queue.put(request, is_rowwise=model.is_rowwise)
        self._count_queue()
        if worker is not None:
            self._give_next(worker)

    def convert(self, conversion: Conversion) -> None:
        """Have a file converted; `Conversion.done` tells when it is."""
        if len(self._conversions) >= self._queue_max:
            raise OverloadedError("too many files wait to be converted; try again later", retry_after_s=5.0)
        self._conversions.append(conversion)
        self._wake()

    def fill(self) -> None:
        """Start as many workers as there are to be."""
        while self.is_admitted and len(self.workers) < self._size and not self._is_pausing:
            worker = self._hire(self)
            if worker is None:
                return
            worker.since_s = self._loop.time()
            self.workers.append(worker)

    def check_times(self) -> None:
        """Kill workers that take too long, and answer requests that have waited too long."""
        now_s = self._loop.time()
        for worker in self.workers:
            allowed_s = self._allowed_s(worker)
            if now_s - worker.since_s > allowed_s and not worker.reason:
                worker.reason = f"the worker took longer than {allowed_s:g} s"
                self._kill(worker.number)
        oldest_s = now_s - self._settings.timeout_s
        if self._queue:
            self._refuse(
                self._queue.drop(lambda request: request.since_s < oldest_s or not request.is_wanted),
                UnavailableError(f"no worker was free within {self._settings.timeout_s:g} s; try again later"),
            )

    def dismiss(self) -> None:
        """End all workers and start no more. What they have in hand is refused."""
        self.is_admitted = False
        for worker in self.workers:
            worker.channel.close()
            self._kill(worker.number)
            self._lose_job(worker, UnavailableError("the server is stopping"))
        self.workers.clear()
        self._idle.clear()
        self._settle()

    def refuse_all(self, error: KeepfitError) -> None:
        """Refuse all that waits."""
        self._refuse(self._queue.drop(lambda _: True), error)
        for conversion in self._conversions:
            _fail(conversion.done, error)
        self._conversions.clear()
        for model in self.models.values():
            _fail(model.loaded, error)

    # What workers say

    def on_message(self, worker: Worker, message: ToFront) -> None:
        """Take what a worker says, and give it what is next."""
        job, worker.job = worker.job, None
        if isinstance(message, Ready) and not worker.is_ready:
            worker.is_ready = True
            self._failed_starts = 0
        elif not self._finish(worker, job, message):
            worker.job = job
            worker.reason = "the worker said what cannot be"
            worker.channel.close()
            self._kill(worker.number)
            self.on_end(worker)
            return
        if isinstance(job, Conversion):
            self._retire(worker)
        else:
            self._give_next(worker)
        answered, self._answered = self._answered, []
        for request, answer in answered:  # the worker has its next job before those who wait are told
            if request.is_wanted:
                request.answer.set_result(answer)

    def on_end(self, worker: Worker) -> None:
        """A worker is gone: what it had in hand is answered, and another takes its place."""
        self.workers.remove(worker)
        if worker in self._idle:
            self._idle.remove(worker)
        self._tally.deaths += 1
        reason = worker.reason or "the worker died"
        _log.warning("a worker ended", extra={"reason": reason, "jailed": self.is_jailed, **told_of(worker.job)})
        self._lose_job(worker, UnavailableError(f"{reason}; the request may be at fault"))
        if not worker.is_ready:
            self._failed_starts += 1
            self._is_pausing = True
            pause_s = min(_PAUSE_MAX_S, _PAUSE_S * 2**self._failed_starts)
            self._loop.call_later(pause_s, self._go_on)
        self._settle()
        self.replace()

    def _retire(self, worker: Worker) -> None:
        """End a worker that has written to a file, which it may have open still and could go on to fill."""
        worker.channel.close()
        self._kill(worker.number)
        self.workers.remove(worker)
        self._settle()
        if self._may_go_on(self):
            self.replace()

    def replace(self) -> None:
        """Start workers for those that are gone: of a jail, only if something waits for it."""
        if not self.is_jailed or self.has_work:
            self.fill()

    def _go_on(self) -> None:
        self._is_pausing = False
        self.replace()

    def _finish(self, worker: Worker, job: Job | None, message: ToFront) -> bool:
        """Take the answer to a job. Returns whether it is one."""
        if isinstance(job, Batch) and isinstance(message, (Answers, Refusal)):
            items = message.items if isinstance(message, Answers) else (message,) * len(job.requests)
            return self._finish_batch(worker, job, items)
        if isinstance(job, Model) and isinstance(message, Loaded):
            return self._finish_load(worker, job, message)
        if isinstance(job, Model) and isinstance(message, Refusal):
            worker.failed.add(job)
            if not job.is_tried:
                self._give_up(job, message.to_error())
            self._settle()
            return True
        if isinstance(job, Conversion) and isinstance(message, Done | Refusal):
            if isinstance(message, Refusal):
                _fail(job.done, message.to_error())
            elif not job.done.done():
                job.done.set_result(None)
            return True
        if isinstance(job, Unload) and isinstance(message, Done | Refusal):
            worker.loaded = {model for model in worker.loaded if model.key != job.key}
            return True
        return False

    def _finish_batch(self, worker: Worker, batch: Batch, items: Iterable[Answer | Refusal]) -> bool:
        items = tuple(items)
        if len(items) != len(batch.requests):
            return False
        if self.is_jailed and not are_answers(items, batch):
            return False
        batch.model.deaths = 0
        self._mean_s += _MEAN_WEIGHT * (self._loop.time() - worker.since_s - self._mean_s)
        self._tally.running -= len(items)
        self._tally.answered += len(items)
        for request, item in zip(batch.requests, items, strict=True):
            if isinstance(item, Refusal):
                _fail(request.answer, item.to_error())
            else:
                self._answered.append((request, item))
        self._close_calls(batch.model, len(items))
        return True

    def _finish_load(self, worker: Worker, model: Model, message: Loaded) -> bool:
        if not model.is_tried:
            if self.is_jailed and (message.formulas or len(memoryview(message.signature)) > SIGNATURE_BYTES_MAX):
                return False  # its worker would have said none, and of too long a signature so itself
            model.signature = signature_in(message)
            if model.signature is None:
                return False
            model.is_rowwise, model.is_tried = message.is_rowwise, True
            model.formulas = Formulas(message.formulas, model.signature.defaults) if message.formulas else None
        worker.loaded.add(model)
        self._settle()
        self._wake()
        return True

    # What is next

    def _wake(self) -> None:
        """Have free workers look again, and start some where there are none."""
        idle, self._idle = self._idle, []
        for worker in idle:
            self._give_next(worker)

    def _give_next(self, worker: Worker) -> None:
        if not self._may_go_on(self):
            return
        if worker.seen != self._generation and self._come_in_step(worker):
            return
        if self._conversions:
            self._give_conversion(worker, self._conversions.popleft())
            return
        while self._queue:
            requests = self._queue.take()
            self._count_queue()
            batch = self._batch_of(worker, requests)
            if batch is not None:
                self._give_batch(worker, batch)
                return
        self._idle.append(worker)

    def _batch_of(self, worker: Worker, requests: list[Request]) -> Batch | None:
        """The requests of them that are still wanted, if the worker has the model."""
        model = self.models[requests[0].key]
        wanted = [request for request in requests if request.is_wanted]
        self._close_calls(model, len(requests) - len(wanted))
        if wanted and model not in worker.loaded:
            self._refuse(wanted, UnavailableError("the model could not be loaded again; try again later"))
            return None
        return Batch(model, wanted) if wanted else None

    def _come_in_step(self, worker: Worker) -> bool:
        """Have a worker load or let go one model. Returns False when there is none, or none now."""
        is_deferred = False
        now_s = self._loop.time()
        for model in worker.loaded:
            if self.models.get(model.key) is not model:
                unload = Unload(model.key)
                self._give(worker, unload, unload)
                return True
        for model in self.models.values():
            if model in worker.loaded or model in worker.failed:
                continue
            if model.barred_until_s > now_s or self._is_held_back(worker, model):
                is_deferred = True
            else:
                self._give_load(worker, model)
                return True
        worker.is_synced = True
        worker.failed.intersection_update(self.models.values())
        if not is_deferred:
            worker.seen = self._generation
        return False

    def _is_held_back(self, worker: Worker, model: Model) -> bool:
        """Whether a model is to be loaded later: when another worker has tried it; when fewer workers load."""
        loading = [other.job for other in self.workers if isinstance(other.job, Model) and other.is_synced]
        if worker.is_synced and len(loading) >= max(1, self._size // 2):
            return True
        return not model.is_tried and any(other.job is model for other in self.workers)

    def _give_conversion(self, worker: Worker, conversion: Conversion) -> None:
        try:
            fd = opened_again(conversion.fd)
        except OSError as error:
            _fail(conversion.done, UnavailableError(f"the file cannot be opened again: {error.strerror}"))
            self._give_next(worker)
            return
        self._give(worker, conversion, Convert(), (fd, conversion.out_fd))
        os.close(fd)

    def _give_load(self, worker: Worker, model: Model) -> None:
        try:
            fd = opened_again(model.fd)
        except OSError as error:
            refusal = Refusal.of(UnavailableError(f"its file cannot be opened again: {error.strerror}"))
            self._finish(worker, model, refusal)
            self._give_next(worker)
            return
        self._give(worker, model, Load(model.key, model.trusted, model.allow), (fd,))
        os.close(fd)

    def _give_batch(self, worker: Worker, batch: Batch) -> None:
        count = len(batch.requests)
        self._tally.running += count
        if count > 1:
            self._tally.batches += 1
            self._tally.batched += count
        self._give(worker, batch, Infer(batch.model.key, tuple(request.call for request in batch.requests)))

    def _give(self, worker: Worker, job: Any, message: Any, fds: tuple[int, ...] = ()) -> None:
        worker.job = job
        worker.since_s = self.busy_s = self._loop.time()
        worker.channel.send(message, fds)

    def _allowed_s(self, worker: Worker) -> float:
        if not worker.is_ready:
            return _START_S
        if worker.job is None:
            return float("inf")
        return self._settings.timeout_s if isinstance(worker.job, Batch) else self._settings.load_timeout_s

    # Ends

    def _lose_job(self, worker: Worker, error: UnavailableError) -> None:
        job, worker.job = worker.job, None
        now_s = self._loop.time()
        if isinstance(job, Batch):
            self._tally.running -= len(job.requests)
            self._blame(job.model, now_s)
            if len(job.requests) == 1 or job.model.barred_until_s > now_s:
                self._refuse(job.requests, error)
                return
            for request in reversed(job.requests):  # one of them is at fault: each goes alone now
                request.since_s = now_s
                self._queue.put_back(request)
            self._count_queue()
        elif isinstance(job, Model):
            if job.is_tried:
                self._blame(job, now_s)
            else:
                self._give_up(job, error)
        elif isinstance(job, Conversion):
            _fail(job.done, error)

    def _blame(self, model: Model, now_s: float) -> None:
        """A worker died with this model. After some in a row nobody is asked for a while, so that others are."""
        model.deaths += 1
        if model.deaths >= _DEATHS_MAX:
            model.barred_until_s = now_s + min(_BARRED_MAX_S, _BARRED_S * 2 ** (model.deaths - _DEATHS_MAX))
            self._refuse(self._queue.drop(lambda request: request.key == model.key), model.barred(now_s))

    def _give_up(self, model: Model, error: KeepfitError) -> None:
        if self.models.get(model.key) is model:
            self.discard(model.key)
        _fail(model.loaded, error)

    def _settle(self) -> None:
        """Tell those who wait for a model that it is in all workers that take calls."""
        for model in self.models.values():
            if model.is_tried and not model.loaded.done():
                assert model.signature is not None
                if all(model in each.loaded or model in each.failed for each in self.workers if each.is_synced):
                    model.loaded.set_result(model.signature)

    def _refuse(self, requests: Iterable[Request], error: KeepfitError) -> None:
        for request in requests:
            _fail(request.answer, error)
            self._close_calls(self.models[request.key], 1)
        self._count_queue()

    def _close_calls(self, model: Model, count: int) -> None:
        model.open_calls -= count
        if model.is_leaving and not model.open_calls:
            model.drained.set()

    def _check_room(self, size_bytes: int) -> None:
        settings, tally = self._settings, self._tally
        bytes_max = settings.tenant_queue_bytes_max if self.is_jailed else settings.queue_bytes_max
        is_full = len(self._queue) >= self._queue_max or tally.queued >= settings.queue_max
        is_large = self._queue.size_bytes and self._queue.size_bytes + size_bytes > bytes_max
        if is_full or is_large or tally.queued_bytes + size_bytes > settings.queue_bytes_max:
            self._tally.refused += 1
            wait_s = (len(self._queue) + 1) * self._mean_s / self._size
            raise OverloadedError(
                f"{len(self._queue):,} requests wait already; try again later",
                retry_after_s=min(30.0, max(0.1, wait_s)),
            )

    def _count_queue(self) -> None:
        self._tally.queued += len(self._queue) - self._queued
        self._tally.queued_bytes += self._queue.size_bytes - self._queued_bytes
        self._queued, self._queued_bytes = len(self._queue), self._queue.size_bytes


def _fail(reply: Reply | asyncio.Future[Any], error: KeepfitError) -> None:
    if not reply.done():
        reply.set_exception(error)
