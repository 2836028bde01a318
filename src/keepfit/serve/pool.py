"""`Pool`: the front's side of the workers. Who is asked, what is asked together, what happens when one dies."""

from __future__ import annotations

import asyncio
import itertools
import os
from collections import deque
from collections.abc import Coroutine
from dataclasses import dataclass
from typing import Any

from keepfit.serve.channel import Channel
from keepfit.serve.crew import Crew
from keepfit.serve.errors import RequestError, UnavailableError
from keepfit.serve.launching import Zygote
from keepfit.serve.messages import Answer, Call, Isolation, Spawn
from keepfit.serve.queueing import Reply
from keepfit.serve.roster import Conversion, Model, Tally, Worker
from keepfit.serve.settings import PoolSettings
from keepfit.serve.signature import Signature

__all__ = ["Pool", "PoolFigures", "PoolSettings"]

_LOOKS_A_SECOND = 10.0
_TURN_S = 1.0  # that a tenant's jail may go on while another tenant waits for one
_RESTART_PAUSE_S = 1.0
_STOP_LOOK_S = 0.02


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolFigures:
    """What the pool does now, and what it has done.

    Attributes
    ----------
    workers, jails : int
        Processes alive now.
    models : int
        Models loaded now.
    queued, running : int
        Calls that wait, and that workers have in hand.
    answered, refused : int
        Calls so far: answered (also with an error of theirs), and turned away because a queue was full.
    batches, batched : int
        Messages so far in which several calls were joined, and calls in them.
    deaths : int
        Workers so far that ended without being told to.
    """

    workers: int = 0
    jails: int = 0
    models: int = 0
    queued: int = 0
    running: int = 0
    answered: int = 0
    refused: int = 0
    batches: int = 0
    batched: int = 0
    deaths: int = 0


class Pool:
    """Worker processes and the models in them.

    All methods are called from one event loop.

    Parameters
    ----------
    settings : PoolSettings

    Notes
    -----
    The zygote is a fresh interpreter, not a copy of this process: no worker holds what this process has in memory, such
    as tokens and keys. So `start` may be called at any time, also when there are threads.
    """

    def __init__(self, settings: PoolSettings | None = None) -> None:
        self.settings = settings or PoolSettings()
        self._tally = Tally()
        self._isolation = Isolation()
        self._zygote = self._new_zygote()
        self._numbers = itertools.count()
        self._crews: dict[str | None, Crew] = {}  # by tenant
        self._crew_of: dict[str, Crew] = {}  # by key
        self._waiting: deque[Crew] = deque()  # for a jail
        self._is_stopping = False
        self._tasks: set[asyncio.Task[None]] = set()

    async def start(self) -> None:
        """Start the zygote and the workers, and wait until they have imported everything: 1 or 2 seconds.

        Raises
        ------
        UnavailableError
            If they do not start.
        """
        self._isolation = await self._zygote.start()
        self._crews[None] = self._new_crew(None)
        self._crews[None].fill()
        self._keep(self._check_times())

    async def load(
        self,
        key: str,
        fd: int,
        *,
        tenant: str | None = None,
        trusted: tuple[str, ...] = (),
        allow: tuple[str, ...] = (),
    ) -> Signature:
        """Load a model: in every worker, or in the tenant's jail.

        Parameters
        ----------
        key : str
            Names this version of this model from here on; no other that is loaded may have it.
        fd : int
            Of a keepfit file of the disk (or a memfd), open for reading. It belongs to the pool from here on, also when
            this fails: workers that start later get it again.
        tenant : str, default=None
            Whose it is. None for the operator's.
        trusted : tuple of str, default=()
            Dotted names, as for `keepfit.load`.
        allow : tuple of str, default=()
            As for `keepfit.load`.

        Returns
        -------
        Signature

        Raises
        ------
        KeepfitError
            The one that loading raised in the worker: same class, same words.
        UnavailableError
            If loading killed the worker, or took too long.
        ValueError
            If a model of this key is loaded.
        """
        if key in self._crew_of or self._is_stopping:
            os.close(fd)
            self._check_open()
            raise ValueError(f"a model {key!r} is loaded already")
        crew = self._crew_of[key] = self._crew(tenant)
        model = Model(key, fd, trusted, allow, asyncio.get_running_loop().create_future())
        crew.add(model)
        self._admit(crew)
        try:
            signature = await model.loaded
        except BaseException:
            self._crew_of.pop(key, None)
            if crew.models.get(key) is model:
                crew.discard(key)
            self._let_go(crew)
            raise
        model.is_public = True
        return signature

    async def unload(self, key: str) -> None:
        """Let a model go, when the calls that were made for it have been answered.

        Raises
        ------
        RequestError
            If no model of this key is loaded.
        """
        model = self._model(key)
        model.is_leaving = True
        if model.open_calls:
            await model.drained.wait()
        crew = self._crew_of.pop(key)
        crew.discard(key)
        self._let_go(crew)

    async def infer(self, key: str, call: Call) -> Answer:
        """Ask a model, and wait for its answer. See `submit`."""
        answer: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        self.submit(key, call, answer)
        if answer.done():
            await asyncio.sleep(0)  # who asks again and again lets others have their turn
        return await answer

    def submit(self, key: str, call: Call, reply: Reply) -> None:
        """Ask a model; the answer or the error goes to `reply`: an answer may do so before this has returned.

        Raises
        ------
        RequestError
            If something is wrong with the call; with status 404 if no model of this key is loaded.
        OverloadedError
            If too many calls wait already.
        UnavailableError
            If the worker died or took too long; or at once, for a few seconds, if the model's workers died again
            and again.
        """
        self._check_open()
        model = self._model(key)
        crew = self._crew_of[key]
        crew.submit(model, call, reply)
        if not crew.workers:
            self._admit(crew)

    async def convert(self, fd: int, out_fd: int, *, tenant: str) -> None:
        """Make a keepfit file of a pickle or joblib file, in the tenant's jail, which ends then.

        Parameters
        ----------
        fd : int
            Of the file to read. It and `out_fd` stay the caller's, to close.
        out_fd : int
            Of an empty file, open for writing.
        tenant : str

        Raises
        ------
        KeepfitError
            The one that `keepfit.convert` raised.
        UnavailableError, OverloadedError
            As for `infer`.
        """
        self._check_open()
        crew = self._crew(tenant)
        conversion = Conversion(fd, out_fd, asyncio.get_running_loop().create_future())
        crew.convert(conversion)
        self._admit(crew)
        try:
            await conversion.done
        finally:
            self._let_go(crew)

    @property
    def zygote_pid(self) -> int:
        """The process id of the zygote, whose children the workers are."""
        return self._zygote.pid

    def isolation(self) -> Isolation:
        """What holds the jails, as found out by trying when the pool started."""
        return self._isolation

    def figures(self) -> PoolFigures:
        """What the pool does now, and what it has done."""
        tally = self._tally
        crews = self._crews.values()
        return PoolFigures(
            workers=sum(len(crew.workers) for crew in crews if not crew.is_jailed),
            jails=sum(len(crew.workers) for crew in crews if crew.is_jailed),
            models=sum(len(crew.models) for crew in crews),
            queued=tally.queued,
            running=tally.running,
            answered=tally.answered,
            refused=tally.refused,
            batches=tally.batches,
            batched=tally.batched,
            deaths=tally.deaths,
        )

    async def stop(self, grace_s: float) -> None:
        """Take no more calls, wait until those taken are answered, but no longer than `grace_s`, and end all processes.

        What is not answered by then gets `UnavailableError`.
        """
        self._is_stopping = True
        end_s = asyncio.get_running_loop().time() + grace_s
        while any(crew.has_work for crew in self._crews.values()) and asyncio.get_running_loop().time() < end_s:
            await asyncio.sleep(_STOP_LOOK_S)
        for task in self._tasks:
            task.cancel()
        for crew in self._crews.values():
            crew.dismiss()
            crew.refuse_all(UnavailableError("the server is stopping"))
            for key in list(crew.models):
                crew.discard(key)
        self._crews.clear()
        self._crew_of.clear()
        await self._zygote.stop()

    # Models and crews

    def _model(self, key: str) -> Model:
        crew = self._crew_of.get(key)
        model = crew.models.get(key) if crew is not None else None
        if model is None or not model.is_public or model.is_leaving:
            raise RequestError(f"no model {key!r} is loaded", status=404)
        return model

    def _crew(self, tenant: str | None) -> Crew:
        crew = self._crews.get(tenant)
        if crew is None:
            crew = self._crews[tenant] = self._new_crew(tenant)
        return crew

    def _new_crew(self, tenant: str | None) -> Crew:
        return Crew(
            self.settings,
            size=self.settings.worker_count if tenant is None else 1,
            is_jailed=tenant is not None,
            tally=self._tally,
            hire=self._hire,
            kill=self._zygote_kill,
            may_go_on=self._may_go_on,
        )

    def _check_open(self) -> None:
        if self._is_stopping:
            raise UnavailableError("the server is stopping")

    # Jails: at most so many at a time

    def _admit(self, crew: Crew) -> None:
        """Let a tenant have its jail: now, if there is room or somebody's is idle; else in turn."""
        if not crew.is_admitted:
            admitted = [each for each in self._crews.values() if each.is_jailed and each.is_admitted]
            idle = [each for each in admitted if not each.has_work]
            if len(admitted) >= self.settings.jails:
                if not idle:
                    if crew not in self._waiting:
                        self._waiting.append(crew)
                    return
                min(idle, key=lambda each: each.busy_s).dismiss()
            crew.is_admitted = True
            crew.admitted_s = asyncio.get_running_loop().time()
        crew.fill()

    def _let_go(self, crew: Crew) -> None:
        """End the jail of a tenant that has nothing any more."""
        if crew.is_jailed and not crew.models and not crew.has_work:
            crew.dismiss()
            for tenant in [tenant for tenant, each in self._crews.items() if each is crew]:
                del self._crews[tenant]
            self._admit_next()

    def _admit_next(self) -> None:
        if self._waiting:
            self._admit(self._waiting.popleft())

    def _may_go_on(self, crew: Crew) -> bool:
        """Whether a worker that is free may take more; if not, its jail has gone to the tenant that waits longest."""
        if not crew.is_jailed or not self._waiting:
            return True
        if crew.has_work and asyncio.get_running_loop().time() - crew.admitted_s < _TURN_S:
            return True
        crew.dismiss()
        if crew.has_work:
            self._waiting.append(crew)
        self._admit_next()
        return False

    # Processes

    def _hire(self, crew: Crew) -> Worker | None:
        if not self._zygote.is_awake or self._is_stopping:
            return None
        settings = self.settings
        worker = Worker(next(self._numbers))
        sock = self._zygote.spawn(
            Spawn(
                worker.number,
                crew.is_jailed,
                settings.memory_bytes,
                settings.cpu_s,
                settings.load_timeout_s,
                settings.answer_bytes_max,
                settings.converted_bytes_max,
            )
        )
        worker.channel = Channel(
            sock,
            frame_bytes_max=settings.answer_bytes_max,
            on_message=lambda message: crew.on_message(worker, message),
            on_end=lambda: crew.on_end(worker),
        )
        return worker

    def _zygote_kill(self, number: int) -> None:
        self._zygote.kill(number)

    def _new_zygote(self) -> Zygote:
        return Zygote(self.settings.imports, on_end=self._on_zygote_end)

    def _on_zygote_end(self) -> None:
        """The zygote is gone, and the workers with it: another takes its place."""
        if not self._is_stopping:
            self._keep(self._restart())

    async def _restart(self) -> None:
        await self._zygote.stop()
        while True:
            self._zygote = self._new_zygote()
            try:
                await self._zygote.start()
            except UnavailableError:
                await asyncio.sleep(_RESTART_PAUSE_S)
            else:
                break
        for crew in self._crews.values():
            crew.replace()

    async def _check_times(self) -> None:
        while True:
            await asyncio.sleep(1 / _LOOKS_A_SECOND)
            for crew in list(self._crews.values()):
                crew.check_times()

    def _keep(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
