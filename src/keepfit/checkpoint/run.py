"""`checkpoint` and the `Run` it gives."""

from __future__ import annotations

import contextlib
import os
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial

from keepfit.checkpoint.evaluation import evaluate
from keepfit.checkpoint.joblib_seam import installed
from keepfit.checkpoint.progress import Counts, Progress, progress_for
from keepfit.checkpoint.stopping import terminable
from keepfit.store import Store, Work

__all__ = ["Run", "RunSearch", "checkpoint"]


@dataclass(frozen=True)
class RunSearch:
    """One call that evaluates, as a run has seen it: a search, a rung of a halving search, a cross-validation.

    Parameters
    ----------
    id : int
        Its number in the store.
    label : str
        Such as ``GridSearchCV over SVC``.
    state : {"running", "finished", "stopped", "failed"}
    task_count : int
        Tasks in all.
    reused, computed, failed : int
        Tasks taken from the store, computed, and those of both that failed.
    best_score : float or None
        The best score of a single task.
    fit_count : int
        How many models were to be fitted for the tasks that were not reused; fewer than these where work is shared.
    scorers : tuple of str
        By what it judges: the name of the scorer that its scores are by, then of the others where there are several.
    """

    id: int
    label: str
    state: str
    task_count: int
    reused: int
    computed: int
    failed: int
    best_score: float | None
    fit_count: int
    scorers: tuple[str, ...]


class Run:
    """What happened inside a ``keepfit.checkpoint`` block. Stays readable after it.

    Attributes
    ----------
    reused : int
        Tasks whose results came from the store.
    computed : int
        Tasks that were run.
    failed : int
        Tasks whose fit or score failed, reused and computed ones.
    searches : list of RunSearch
        In the order in which they began.
    notes : list of str
        What the user was told: what could not be reused, and why.
    heading : str
        What the searches that begin from now on are called, in progress and in the store; empty for a description.
    metric : str or None
        By which of several metrics the scores of the searches that begin from now on are shown, in progress and in the
        store. None for the one that a search's ``refit`` names (which scikit-learn tells from 1.9 on), else the first.
    """

    def __init__(self, place: str) -> None:
        self.notes: list[str] = []
        self.heading = ""
        self.metric: str | None = None
        self._place = place
        self._searches: list[tuple[int, Counts]] = []
        self._states: list[str] = []

    @property
    def reused(self) -> int:
        return sum(counts.reused for _, counts in self._searches)

    @property
    def computed(self) -> int:
        return sum(counts.computed for _, counts in self._searches)

    @property
    def failed(self) -> int:
        return sum(counts.failed for _, counts in self._searches)

    @property
    def searches(self) -> list[RunSearch]:
        return [
            RunSearch(
                id=search_id,
                label=counts.label,
                state=state,
                task_count=counts.total,
                reused=counts.reused,
                computed=counts.computed,
                failed=counts.failed,
                best_score=counts.score,
                fit_count=counts.fits,
                scorers=counts.scorers,
            )
            for (search_id, counts), state in zip(self._searches, self._states, strict=True)
        ]

    def __repr__(self) -> str:
        return f"<Run in {self._place}: {self.reused} reused, {self.computed} computed, {self.failed} failed>"


class _Journal:
    """Writes down in a run what happens, and shows it."""

    def __init__(self, run: Run, work: Work, progress: Progress, share: bool) -> None:
        self.work = work
        self.share = share
        self.progress = progress
        self.occurrences: Counter[bytes] = Counter()
        self._run = run
        self._kin: set[tuple[str, ...]] = set()
        self._waits = False  # told of in this search

    @property
    def heading(self) -> str:
        return self._run.heading

    @property
    def metric(self) -> str | None:
        return self._run.metric

    def begins(self, search_id: int, counts: Counts) -> None:
        self._run._searches.append((search_id, counts))
        self._run._states.append("running")
        self._waits = False
        self.progress.begin(counts)

    def ends(self, state: str) -> None:
        self._run._states[-1] = state
        self.progress.end()
        if state != "finished":
            self.say_stopped("stopped" if state == "stopped" else "stopped by an error")

    def say_stopped(self, what: str = "stopped") -> None:
        """Tell how much is kept and how to go on."""
        if self._run._searches:
            counts = self._run._searches[-1][1]
            kept = f"{counts.reused + counts.kept} of {counts.total} kept in {self._run._place}"
            self.progress.say(f"{what}: {kept}; run the same code again to go on")

    def note(self, text: str) -> None:
        if text not in self._run.notes:
            self._run.notes.append(text)
            self.progress.say(text)

    def waits(self, task_count: int) -> None:
        if not self._waits:
            self._waits = True
            self.progress.say(f"waiting for {task_count} tasks that another process is at")

    def is_first(self, kin: tuple[str, ...]) -> bool:
        if kin in self._kin:
            return False
        self._kin.add(kin)
        return True


@contextlib.contextmanager
def checkpoint(
    store: str | os.PathLike[str] | Store, *, progress: bool | None = None, share: bool = True
) -> Iterator[Run]:
    """Keep the work of any scikit-learn search inside the block, and go on from it.

    Every (candidate, split) that finishes is kept. When the same code runs again, after Ctrl-C, SIGTERM, ``kill -9`` or
    a power cut, what is done is not done again, and the results are those of a run without a break. A grown grid
    computes only what is new.

    Parameters
    ----------
    store : str, path-like or Store
        Where finished work lives: a path (SQLite), a database URL, or an open store.
    progress : bool, default=None
        Whether to show progress on standard error: a bar on a terminal, a line now and then elsewhere. None is True.
    share : bool, default=True
        Whether candidates that differ only in a parameter such as ``n_estimators`` are taken from one fit, and steps of
        pipelines that candidates have in common are fitted once. Every score is equal to the bit either way.

    Yields
    ------
    Run
        ``run.reused``, ``run.computed``, ``run.failed``, and more about each search.

    Raises
    ------
    StoreError
        If the store cannot be opened, read or written.

    Notes
    -----
    Works for GridSearchCV, RandomizedSearchCV, the halving searches, cross_validate, cross_val_score, learning_curve,
    validation_curve and permutation_test_score in the thread that opened the block, on any joblib backend (loky,
    threads, Dask, Ray), be it chosen around the block or inside; ``n_jobs`` means what it always does. Everything else
    in the block runs as it would without.

    A result is reused for a task in which everything that can change it is the same: estimator and parameters, data,
    split, scorer, fit and score parameters, the code of your own classes and functions and all it names, settings of
    scikit-learn and `numpy.geterr`, library releases, and the number of threads of the arithmetic (set
    ``OMP_NUM_THREADS`` to reuse work across machines and ``n_jobs``). Data are compared by content, which costs about a
    second per gigabyte and call. What has no stable content, such as an open file, is computed each time, and you are
    told once. So are you when nothing is reused although a similar search is kept: which part differs.

    Not compared is what your own code asks of the process or the world as it runs: environment variables, files that it
    opens, the clock, printing options, NumPy's and Python's global random state. Where a result depends on one of them,
    make it a parameter; ``docs/identity.md`` has the whole list.

    An estimator with ``random_state=None`` gives another result each time; what it gave is kept, and reused when the
    code runs again. Warnings that a fit gave, the first 20 that differ, are given again with a reused result where
    ``n_jobs`` is 1; those of worker processes are seen once, on their standard error. What a fit draws from NumPy's
    global random state is not drawn again for it, so what draws after a reused search goes on from another state.

    Results are committed in groups, 50 ms to half a second apart, so that it takes a hundredth of the time: ``kill -9``
    loses those and what was in flight. Workers hand on results each second while they are at tasks that share work; of
    others what joblib gives them at once, about a second's work where all take alike long. SIGTERM raises `SystemExit`
    in the block, unless you handle the signal yourself. Several processes, on one or on several machines, may run the
    same search on one store: each task is done by one of them, and those of a process that was killed are taken on by
    the others, on another machine after two minutes.

    Examples
    --------
    >>> import keepfit, tempfile
    >>> from pathlib import Path
    >>> from sklearn.datasets import load_iris
    >>> from sklearn.model_selection import GridSearchCV
    >>> from sklearn.tree import DecisionTreeClassifier
    >>> X, y = load_iris(return_X_y=True)
    >>> folder = tempfile.TemporaryDirectory()
    >>> store = Path(folder.name) / "state.db"
    >>> search = GridSearchCV(DecisionTreeClassifier(random_state=0), {"max_depth": [1, 2, 3]}, cv=5)
    >>> with keepfit.checkpoint(store, progress=False) as run:
    ...     _ = search.fit(X, y)
    >>> run.reused, run.computed
    (0, 15)
    >>> search.set_params(param_grid={"max_depth": [1, 2, 3, 4]})  # doctest: +ELLIPSIS
    GridSearchCV(...)
    >>> with keepfit.checkpoint(store, progress=False) as run:
    ...     _ = search.fit(X, y)
    >>> run.reused, run.computed
    (15, 5)
    >>> folder.cleanup()
    """
    with contextlib.ExitStack() as stack:
        opened = store if isinstance(store, Store) else stack.enter_context(Store(store))
        run = Run(_place_of(store))
        journal = _Journal(run, opened.work, progress_for(progress), share)
        stack.enter_context(terminable(journal.say_stopped))
        stack.enter_context(installed(partial(evaluate, journal)))
        yield run


def _place_of(store: str | os.PathLike[str] | Store) -> str:
    """The name of a store for people: no password."""
    place = store.url if isinstance(store, Store) else os.fspath(store)
    if "://" not in place:
        return place
    from sqlalchemy import make_url

    url = make_url(place)
    database = url.database or ":memory:"
    return database if url.get_backend_name() == "sqlite" else url.render_as_string(hide_password=True)
