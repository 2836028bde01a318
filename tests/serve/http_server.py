"""A server of the HTTP face in a process of its own, as a script: ``http_server.py PLACE [--tokens] [--limits JSON]``.

It prints its port. Uploads, where it takes any, go into the store in `PLACE` as they come.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import sys
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))

from local_pool import LocalPool

from keepfit import artifact
from keepfit.errors import StoreError
from keepfit.serve.app import App
from keepfit.serve.connections import bounded
from keepfit.serve.errors import OverloadedError, RequestError, UnavailableError
from keepfit.serve.limits import HttpLimits
from keepfit.serve.logs import configure_logging
from keepfit.serve.messages import Answer, Call
from keepfit.serve.pool import Pool, PoolFigures, PoolSettings
from keepfit.serve.predicting import Served
from keepfit.serve.queueing import Reply
from keepfit.serve.repository import Repository
from keepfit.serve.signature import Signature
from keepfit.serve.tokens import Tokens
from keepfit.serve.uploads import Uploads
from keepfit.store import Store


class PredictingPool(LocalPool):
    """Predicts in this process. Inputs named as an error raise it, so that what a client is told can be seen."""

    def __init__(self) -> None:
        super().__init__()
        self.tasks: set[asyncio.Task[None]] = set()

    async def load(self, key: str, fd: int, **options: Any) -> Signature:  # type: ignore[override]
        with open(os.dup(fd), "rb") as file:
            told = artifact.read(file.read())[1]
            file.seek(0)
        await super().load(key, fd, **options)
        self.models[key] = served = Served(self.models[key], told)
        return served.signature

    async def infer(self, key: str, call: Call) -> Answer:
        served = self.models.get(key)
        if not isinstance(served, Served):
            raise RequestError("no such model is loaded", status=404)
        match call.inputs[0].name:
            case "overloaded":
                raise OverloadedError("the queue is full", retry_after_s=3.0)
            case "unavailable":
                raise UnavailableError("the worker died")
            case "without store":
                raise StoreError("a folder of ours: the disk is gone")
            case "broken":
                raise RuntimeError("a fault of ours, with a path of ours")
            case "slow":
                await asyncio.sleep(1.0)
        started = time.process_time()
        outputs = tuple(served.answer(call.inputs, call.outputs))
        return Answer(outputs, time.process_time() - started, 1)

    def submit(self, key: str, call: Call, reply: Reply) -> None:
        async def infer() -> None:
            try:
                reply.set_result(await self.infer(key, call))
            except Exception as error:  # as a pool would tell of what its workers said
                reply.set_exception(error)

        task = asyncio.create_task(infer())
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)

    def figures(self) -> PoolFigures:
        return PoolFigures(workers=1, models=len(self.models))


def main() -> None:
    import uvicorn
    import uvloop

    parser = argparse.ArgumentParser()
    parser.add_argument("place")
    parser.add_argument("--tokens", action="store_true")
    parser.add_argument("--workers", type=int, default=0, help="0 to predict in the server's process")
    parser.add_argument("--limits", type=json.loads, default={})
    chosen = parser.parse_args()
    limits = HttpLimits(**chosen.limits)
    configure_logging()

    async def run() -> None:
        pool: Any = PredictingPool()
        if chosen.workers:
            pool = Pool(PoolSettings(workers=chosen.workers))
            await pool.start()
        store = Store(chosen.place)
        repository = Repository(store, pool)
        await repository.start()
        await repository.refresh()
        tokens = Tokens(store) if chosen.tokens else None
        uploads = Uploads(store, pool, repository) if chosen.tokens else None
        app = App(pool, repository, tokens=tokens, uploads=uploads, store=store, limits=limits)
        config = uvicorn.Config(
            app,
            host="127.0.0.1",
            port=0,
            http=bounded(limits),
            ws="none",
            log_config=None,
            access_log=False,
            lifespan="off",
            interface="asgi3",
            proxy_headers=False,
            server_header=False,
            date_header=False,
        )
        socket = config.bind_socket()
        socket.listen()  # who reads the port may connect at once
        print(socket.getsockname()[1], flush=True)
        await uvicorn.Server(config).serve(sockets=[socket])
        if chosen.workers:
            await pool.stop(2.0)

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(run())


if __name__ == "__main__":
    main()
