"""Where keepfit stands in joblib: a backend that hands each call on to the engine, evaluations by way of the store.

joblib asks the active backend to `configure` itself for every Parallel object. `_Door` is what is active inside
``keepfit.checkpoint``: it falls back at once to the engine that would have been active without keepfit, unless the
object is one that scikit-learn's searches use; then it falls back to a `_Passage` of its own. The passage lets joblib
dispatch one task, sees from it what the call is, and takes the rest itself: evaluations are looked up and kept, all
else goes to the engine as it came, one task at a time.

A backend that is chosen inside the block, as by ``joblib.parallel_config``, becomes the engine of what is in its own
block: the active settings are a `_Settings`, which put another door before it.

Private names used, in joblib 1.4 to 1.6: of Parallel ``_original_iterator``; of a loky backend ``_prepare_worker_env``;
``joblib.parallel._backend`` (its ``config``). Undocumented ones: of ``parallel_config`` ``old_parallel_config`` and
``parallel_config``, and that it copies the settings and updates the copy; of the batches that a backend gets ``items``;
of ``joblib.parallel`` BACKENDS, DEFAULT_BACKEND, DEFAULT_THREAD_BACKEND, FallbackToBackend and its backends.
"""

from __future__ import annotations

import contextlib
import itertools
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any

import joblib
from joblib.parallel import (
    BACKENDS,
    DEFAULT_BACKEND,
    DEFAULT_THREAD_BACKEND,
    FallbackToBackend,
    MultiprocessingBackend,
    ParallelBackendBase,
    SequentialBackend,
    ThreadingBackend,
)

from keepfit.checkpoint import sklearn_seam
from keepfit.checkpoint.warned import Warned, call

__all__ = ["Engine", "Evaluate", "TaskCall", "installed"]

#: A delayed call: function, positional and named arguments.
TaskCall = tuple[Callable[..., Any], tuple[Any, ...], dict[str, Any]]

#: Takes the number of a task, its result, and the warnings it gave.
Arrived = Callable[[int, Any, list[Warned]], None]

#: Settings that a Parallel object has, and those it gives its backend only. The engine gets them as they are.
_OF_PARALLEL = ("verbose", "pre_dispatch", "batch_size")
_OF_BACKEND = ("max_nbytes", "temp_folder", "mmap_mode")


class Engine:
    """The joblib backend that runs the tasks of one call.

    Parameters
    ----------
    backend : ParallelBackendBase
    n_jobs : int
        As asked for; may be negative.
    settings : dict of str to object
        Further arguments of `joblib.Parallel`.

    Attributes
    ----------
    worker_count : int
        How many tasks it runs at once; 1 runs them here, one after the other.
    """

    def __init__(self, backend: ParallelBackendBase, n_jobs: int, settings: dict[str, Any]) -> None:
        self._backend = backend
        self._n_jobs = n_jobs
        self._settings = settings
        self.worker_count: int = backend.effective_n_jobs(n_jobs)

    def worker_environment(self) -> Mapping[str, str] | None:
        """The environment variables of worker processes as far as known; None if tasks run here or in a fork."""
        backend = self._backend
        if self.worker_count == 1 or isinstance(backend, (SequentialBackend, ThreadingBackend, MultiprocessingBackend)):
            return None
        environment: Mapping[str, str] = {}
        if isinstance(backend, BACKENDS.get("loky", ())):
            environment = backend._prepare_worker_env(n_jobs=self.worker_count)
        return environment

    def run(self, tasks: Sequence[TaskCall], arrived: Arrived) -> list[Any]:
        """Run tasks.

        Parameters
        ----------
        tasks : sequence of (function, args, kwargs)
        arrived : callable
            Gets the number of a task, its result as soon as there is one, and the warnings it gave in this process. In
            any thread.

        Returns
        -------
        list
            The results in order.
        """
        if self.worker_count == 1:
            results = []
            for number, (function, args, kwargs) in enumerate(tasks):
                result, warned = call(function, args, kwargs)
                results.append(result)
                arrived(number, result, warned)
            return results
        told: set[int] = set()

        def tell(number: int, result: Any) -> None:
            told.add(number)
            arrived(number, result, [])

        with _listening(self._backend, tasks, tell):
            results = self.pass_on(iter(tasks))
        for number, result in enumerate(results):
            if number not in told:  # the backend fell back to another one that nobody listened to
                arrived(number, result, [])
        return results

    def pass_on(self, tasks: Iterator[TaskCall]) -> list[Any]:
        """Run tasks as they come, as joblib would without keepfit."""
        if self.worker_count == 1 and not self._settings["verbose"]:
            return [function(*args, **kwargs) for function, args, kwargs in tasks]
        results: list[Any] = joblib.Parallel(self._n_jobs, backend=self._backend, **self._settings)(tasks)
        return results


#: Runs the evaluations of one call through the engine, as far as needed, and gives all results in order.
Evaluate = Callable[[list[TaskCall], Engine], list[Any]]


@contextlib.contextmanager
def _listening(
    backend: ParallelBackendBase, tasks: Sequence[TaskCall], arrived: Callable[[int, Any], None]
) -> Iterator[None]:
    """Hear of each result when the backend gives it to joblib. What workers get stays as it is.

    A batch of tasks is known by its tasks' argument dicts, which joblib hands on as they are. Between `submit` and
    `retrieve_result_callback`, both called by joblib, the numbers of a batch travel with its callback.
    """
    numbers = {id(kwargs): number for number, (_, _, kwargs) in enumerate(tasks)}
    here = threading.local()
    submit_name = "submit" if hasattr(ParallelBackendBase, "submit") else "apply_async"  # before joblib 1.5
    submit, retrieve = getattr(backend, submit_name), backend.retrieve_result_callback

    def tell(batch: Sequence[int], results: Sequence[Any]) -> None:
        for number, result in zip(batch, results, strict=False):
            arrived(number, result)

    def submitting(batch: Any, callback: Any = None) -> Any:
        batch_numbers = [numbers[id(kwargs)] for _, _, kwargs in batch.items]

        def done(out: Any) -> None:
            here.numbers = batch_numbers
            callback(out)

        job = submit(batch, callback=done)
        return job if backend.supports_retrieve_callback else _Job(job, partial(tell, batch_numbers))

    def retrieving(out: Any) -> Any:
        results = retrieve(out)
        tell(here.numbers, results)
        return results

    ours = {submit_name: submitting, "retrieve_result_callback": retrieving}
    vars(backend).update(ours)
    try:
        yield
    finally:
        for name in ours:
            vars(backend).pop(name, None)


class _Job:
    """A job of a backend that gives results only when asked for them."""

    def __init__(self, job: Any, tell: Callable[[Sequence[Any]], None]) -> None:
        self._job = job
        self._tell = tell

    def get(self, *args: Any, **kwargs: Any) -> Any:
        results = self._job.get(*args, **kwargs)
        self._tell(results)
        return results

    def __getattr__(self, name: str) -> Any:
        return getattr(self._job, name)


class _Backend(ParallelBackendBase):  # type: ignore[misc]
    """What a backend of ours says of itself: what the engine's says."""

    supports_retrieve_callback = True
    supports_return_generator = True
    supports_timeout = True

    def submit(self, func: Any, callback: Any = None) -> Any:
        raise NotImplementedError("no batch comes here: `configure` hands the call on")

    def apply_async(self, func: Any, callback: Any = None) -> Any:  # its name before joblib 1.5
        return self.submit(func, callback)


class _Block:
    """What the doors of one block have in common.

    Parameters
    ----------
    evaluate : callable
        As for `installed`.

    Attributes
    ----------
    is_open : bool
        Whether the block has begun and not ended: what comes through objects made inside it goes to the engine later.
    is_busy : bool
        Whether an evaluation runs.
    """

    def __init__(self, evaluate: Evaluate) -> None:
        self._evaluate = evaluate
        self.is_open = False
        self.is_busy = False

    def evaluating(self, tasks: list[TaskCall], engine: Engine) -> list[Any]:
        """Results of evaluations."""
        if not self.is_open:
            return engine.pass_on(iter(tasks))
        self.is_busy = True
        try:
            return self._evaluate(tasks, engine)
        finally:
            self.is_busy = False

    def door_to(self, backend: Any) -> Any:
        """What is active in place of a backend that is chosen inside the block: it becomes the engine."""
        is_another = isinstance(backend, ParallelBackendBase) and not isinstance(backend, _Backend)
        if not is_another or not self.is_open or self.is_busy:
            return backend
        door = _Door(self)
        door.lead_to(backend)
        return door


class _Settings(dict[str, Any]):
    """joblib's settings inside a block, of which `joblib.parallel_config` takes a copy to put its own into."""

    def __init__(self, settings: Mapping[str, Any], block: _Block) -> None:
        super().__init__(settings)
        self._block = block

    def copy(self) -> _Settings:
        return _Settings(self, self._block)

    def update(self, settings: Mapping[str, Any]) -> None:  # type: ignore[override]
        super().update(settings)
        if "backend" in settings:
            self["backend"] = self._block.door_to(settings["backend"])


class _Door(_Backend):
    """The active backend inside ``keepfit.checkpoint``."""

    def __init__(self, block: _Block) -> None:
        super().__init__()
        self._block = block
        self._chosen: ParallelBackendBase | None = None

    def lead_to(self, chosen: ParallelBackendBase | None) -> None:
        """Take a backend as the engine; None for the one that joblib would make."""
        self._chosen = chosen
        engine = self._engine()
        self.nesting_level = engine.nesting_level
        self.default_n_jobs = engine.default_n_jobs
        self.uses_threads = getattr(engine, "uses_threads", False)
        self.supports_sharedmem = getattr(engine, "supports_sharedmem", False)

    def _engine(self, prefer: str | None = None) -> ParallelBackendBase:
        """The backend that joblib would use: the chosen one, or else a new one as hinted."""
        if self._chosen is not None:
            return self._chosen
        name = DEFAULT_THREAD_BACKEND if prefer == "threads" else DEFAULT_BACKEND
        return BACKENDS[name](nesting_level=self.nesting_level or 0)

    def effective_n_jobs(self, n_jobs: int | None) -> int:
        count: int = self._engine().effective_n_jobs(n_jobs)
        return count

    def configure(self, n_jobs: int = 1, parallel: Any = None, **settings: Any) -> int:
        hinted = settings.get("prefer") is not None or settings.get("require") is not None
        special = parallel.return_generator or parallel.timeout is not None
        engine = self._engine(settings.get("prefer"))
        if self._block.is_busy or hinted or special or not sklearn_seam.is_searching(parallel):
            raise FallbackToBackend(engine)
        raise FallbackToBackend(_Passage(engine, self._block.evaluating))


class _Passage(_Backend):
    """The backend of one Parallel object: holds its first task, then runs all of them in `retrieval_context`."""

    def __init__(self, backend: ParallelBackendBase, evaluate: Evaluate) -> None:
        super().__init__(nesting_level=backend.nesting_level)
        self._engine_backend = backend
        self._evaluate = evaluate
        self._held: list[tuple[Any, Callable[[list[Any]], None]]] = []
        self._settings: dict[str, Any] = {}

    def effective_n_jobs(self, n_jobs: int | None) -> int:
        count: int = self._engine_backend.effective_n_jobs(n_jobs)
        return max(2, count)  # joblib goes round a backend that says 1

    def configure(self, n_jobs: int = 1, parallel: Any = None, **settings: Any) -> int:
        count = self.effective_n_jobs(n_jobs)
        if not self._settings:  # an object may be called several times
            self._settings = {name: getattr(parallel, name) for name in _OF_PARALLEL}
            self._settings.update((name, settings[name]) for name in _OF_BACKEND if name in settings)
        self.parallel = parallel
        parallel.pre_dispatch, parallel.verbose = 1, 0
        return count

    def submit(self, func: Any, callback: Any = None) -> Any:
        self._held.append((func, callback))
        return func

    def retrieve_result_callback(self, out: list[Any]) -> list[Any]:
        return out

    def get_nested_backend(self) -> tuple[ParallelBackendBase, int | None]:
        return SequentialBackend(nesting_level=self.nesting_level), None  # of batches that never run

    @contextlib.contextmanager
    def retrieval_context(self) -> Iterator[None]:
        held, self._held = self._held, []
        if held:  # otherwise there are no tasks, or the first one could not be made
            self._run(held)
        yield

    def _run(self, held: list[tuple[Any, Callable[[list[Any]], None]]]) -> None:
        dispatched = [task for batch, _ in held for task in batch.items]
        tasks = itertools.chain(dispatched, self.parallel._original_iterator or ())
        engine = Engine(self._engine_backend, self.parallel.n_jobs, self._settings)
        if sklearn_seam.evaluation_of(dispatched[0][0]) is not None:
            results = self._evaluate(list(tasks), engine)
        else:
            results = engine.pass_on(tasks)
        # joblib flattens what batches give: the first gives everything.
        for number, (_, callback) in enumerate(held):
            callback(results if number == 0 else [])


@contextlib.contextmanager
def installed(evaluate: Evaluate) -> Iterator[None]:
    """Send this thread's evaluations through a function, and all other calls to the engine.

    Parameters
    ----------
    evaluate : callable
        Takes the tasks of one call and their engine, and gives the results in order.
    """
    block = _Block(evaluate)
    door = _Door(block)
    context = joblib.parallel_config(backend=door)
    try:
        chosen = context.old_parallel_config["backend"]
        door.lead_to(chosen if isinstance(chosen, ParallelBackendBase) else None)
        block.is_open = True
        joblib.parallel._backend.config = _Settings(context.parallel_config, block)
        yield
    finally:
        block.is_open = False
        context.unregister()
