"""A pool that loads models in this process, for tests of what decides when to load and unload."""

from __future__ import annotations

import asyncio
import os
from types import SimpleNamespace

import keepfit
from keepfit import artifact, persistence
from keepfit.errors import KeepfitError


class LocalPool:
    """What a `Repository` needs of a `Pool`.

    `models` is what is loaded, by key; `said` what happened, in order; `trying` names and versions that are being
    loaded. No model loads while `gate` is shut, nor one of a name in `gates` while that is.
    """

    def __init__(self) -> None:
        self.models: dict[str, object] = {}
        self.said: list[str] = []
        self.tenants: dict[str, str | None] = {}
        self.gate = asyncio.Event()
        self.gate.set()
        self.gates: dict[str, asyncio.Event] = {}
        self.trying: list[str] = []
        self.error: KeepfitError | None = None

    async def load(
        self,
        key: str,
        fd: int,
        *,
        tenant: str | None = None,
        trusted: tuple[str, ...] = (),
        allow: tuple[str, ...] = (),
    ) -> object:
        what = key.rpartition(" ")[0]
        self.trying.append(what)
        await self.gate.wait()
        if what.split()[0] in self.gates:
            await self.gates[what.split()[0]].wait()
        self.trying.remove(what)
        if self.error is not None:
            os.close(fd)
            raise self.error
        with open(fd, "rb") as file:
            assert file.read(1)
            assert not file.writable()
            file.seek(0)
            graph, facts = artifact.read(file.read())
        self.models[key] = persistence.build(graph, trusted=trusted, allow=allow)
        self.tenants[key] = tenant
        self.said.append(f"load {what}")
        return SimpleNamespace(type=facts["class"], facts=facts)

    async def convert(self, fd: int, out_fd: int, *, tenant: str) -> None:
        with open(fd, "rb", closefd=False) as source, open(out_fd, "wb", closefd=False) as target:
            keepfit.convert(source.read(), target)

    async def unload(self, key: str) -> None:
        del self.models[key]
        self.said.append(f"unload {key.rpartition(' ')[0]}")
