"""`Uploads`: models that come over the network, from people who may send anything.

What comes goes to disk, is built in the tenant's jail, and only then kept, as the bytes that came. This process never
reads it as a model: what it knows of one is what the jail says.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import secrets
import shutil
import tempfile
import time
from collections import deque
from collections.abc import AsyncIterator, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, BinaryIO

from keepfit.errors import KeepfitError, StoreError
from keepfit.serve.errors import OverloadedError, RequestError, UnavailableError
from keepfit.serve.sources import MODEL_NAME
from keepfit.serve.tokens import Grant, Role
from keepfit.store import ModelNotFoundError, NameTakenError, Quota, QuotaError, Store

if TYPE_CHECKING:
    from keepfit.serve.pool import Pool
    from keepfit.serve.repository import ModelEntry, Repository
    from keepfit.serve.signature import Signature

__all__ = ["UploadLimits", "Uploads"]

_HOUR_S = 3600.0
_REASON_CHARS = 1000
_TYPE_CHARS = 255
_FACTS = ("class", "versions", "parameters", "features", "classes", "metadata")
_NAME_RULE = "letters, digits, '.', '_' and '-', the first a letter or digit, at most 100 with the tenant before it"

_log = logging.getLogger("keepfit.serve")


@dataclass(frozen=True, slots=True, kw_only=True)
class UploadLimits:
    """What may be uploaded.

    Parameters
    ----------
    file_bytes : int, default=500,000,000
        Of one file, and of what a pickle is converted to.
    tenant_bytes : int, default=5,000,000,000
        Of all that a tenant keeps.
    tenant_models : int, default=100
        Names of a tenant.
    model_versions : int, default=50
        Versions of one name.
    tenant_uploads_per_hour : int, default=120
        Those that are refused count too.
    tenant_uploads_at_once : int, default=2
    uploads_at_once : int, default=8
        Of all tenants; so much of the disk is taken by what is not kept yet.
    facts_bytes : int, default=200,000
        Of what a file says of itself; more is not kept beside it.
    """

    file_bytes: int = 500_000_000
    tenant_bytes: int = 5_000_000_000
    tenant_models: int = 100
    model_versions: int = 50
    tenant_uploads_per_hour: int = 120
    tenant_uploads_at_once: int = 2
    uploads_at_once: int = 8
    facts_bytes: int = 200_000

    @property
    def quota(self) -> Quota:
        """What a tenant may keep."""
        return Quota(models=self.tenant_models, versions=self.model_versions, size_bytes=self.tenant_bytes)


class Uploads:
    """Takes models of tenants and removes them.

    Parameters
    ----------
    store : Store
        Where they are kept. `repository` is of the same store.
    pool : Pool
    repository : Repository
    limits : UploadLimits, default=UploadLimits()
    converts : bool, default=False
        Whether pickle and joblib files are taken too, and converted in the jail.
    spool_folder : str, default=None
        Where files are while they come; the system's temporary folder without.
    """

    def __init__(
        self,
        store: Store,
        pool: Pool,
        repository: Repository,
        *,
        limits: UploadLimits | None = None,
        converts: bool = False,
        spool_folder: str | None = None,
    ) -> None:
        self.limits = limits or UploadLimits()
        self._store = store
        self._pool = pool
        self._repository = repository
        self._converts = converts
        self.spool_folder = spool_folder
        self._recent: dict[str, deque[float]] = {}
        self._in_hand: dict[str, int] = {}

    async def take(self, grant: Grant, name: str, chunks: AsyncIterator[bytes]) -> ModelEntry:
        """Take a file as the newest version of a model of the bearer's tenant.

        Parameters
        ----------
        grant : Grant
            For uploads, with a tenant.
        name : str
            Without the tenant, or with it: ``iris`` and ``lab.iris`` are the same for tenant ``lab``.
        chunks : async iterator of bytes
            The file. It goes to disk as it comes.

        Returns
        -------
        ModelEntry
            Of the new version, in service.

        Raises
        ------
        RequestError
            If the bearer may not (403), the name will not do (400) or is taken (409), the file is too long (413) or
            none that can be served (400: the words of the error say why), or the tenant has no room (403).
        OverloadedError
            If the tenant, or all together, upload too much at once or too often.
        UnavailableError
            If the store cannot be written now.
        """
        tenant = _tenant_of(grant)
        public_name = _public_name(tenant, name)
        with self._admitted(tenant), contextlib.ExitStack() as stack:
            fd = await self._received(chunks)
            stack.callback(os.close, fd)
            if self._converts and not _looks_like_ours(fd):
                fd = await self._converted(fd, tenant)
                stack.callback(os.close, fd)
            signature = await self._tried(fd, tenant)
            version = await self._kept(fd, tenant, public_name, signature)
            _log.info("model uploaded", extra={"model": public_name, "version": version, "tenant": tenant})
            await self._repository.refresh(public_name)
            return self._repository.find(public_name, version)

    async def remove(self, grant: Grant, name: str) -> None:
        """Remove a model of a tenant, with all versions.

        Parameters
        ----------
        grant : Grant
            Of the tenant for uploads, or an admin's; an admin gives the whole name.
        name : str

        Raises
        ------
        RequestError
            If the bearer may not (403), or there is no such model (404).
        UnavailableError
            If the store cannot be written now.
        """
        if grant.role is Role.ADMIN:
            tenant, public_name = name.partition(".")[0], name
        else:
            tenant = _tenant_of(grant)
            public_name = _public_name(tenant, name)
        try:
            await asyncio.to_thread(self._store.tenants.delete, tenant, public_name)
        except ModelNotFoundError:
            raise RequestError(f"there is no uploaded model {public_name!r}", status=404) from None
        except StoreError as error:
            raise _not_written(error) from None
        _log.info("model removed", extra={"model": public_name, "tenant": tenant})
        await self._repository.look()

    @contextlib.contextmanager
    def _admitted(self, tenant: str) -> Iterator[None]:
        """Count an upload among those in hand, if there may be one more."""
        limits = self.limits
        now = time.monotonic()
        recent = self._recent.setdefault(tenant, deque())
        while recent and recent[0] < now - _HOUR_S:
            recent.popleft()
        if len(recent) >= limits.tenant_uploads_per_hour:
            wait_s = recent[0] + _HOUR_S - now
            raise OverloadedError(
                f"{tenant!r} may upload {limits.tenant_uploads_per_hour} times an hour", retry_after_s=wait_s
            )
        if self._in_hand.get(tenant, 0) >= limits.tenant_uploads_at_once:
            raise OverloadedError("an upload of yours is still coming; wait for it", retry_after_s=5.0)
        if sum(self._in_hand.values()) >= limits.uploads_at_once:
            raise OverloadedError("too many uploads are coming at once; try again", retry_after_s=5.0)
        recent.append(now)
        self._in_hand[tenant] = self._in_hand.get(tenant, 0) + 1
        try:
            yield
        finally:
            self._in_hand[tenant] -= 1

    async def _received(self, chunks: AsyncIterator[bytes]) -> int:
        """What comes, in a file without a name, open for reading."""
        size_bytes = 0
        with self._file() as (file, fd):
            async for chunk in chunks:
                size_bytes += len(chunk)
                self._check_length(size_bytes)
                file.write(chunk)
            file.flush()
            if not size_bytes:
                raise RequestError("the file is empty")
            return os.dup(fd)

    async def _converted(self, fd: int, tenant: str) -> int:
        with self._file() as (file, out_fd), self._file() as (copy, copy_fd):
            with _refusals():
                await self._pool.convert(fd, file.fileno(), tenant=tenant)
            self._check_length(os.fstat(out_fd).st_size)
            # What the jail had open for writing, it may still have: go on with what it has not.
            with open(out_fd, "rb", closefd=False) as written:
                await asyncio.to_thread(shutil.copyfileobj, written, copy)
            copy.flush()
            self._check_length(os.fstat(copy_fd).st_size)
            return os.dup(copy_fd)

    async def _tried(self, fd: int, tenant: str) -> Signature:
        """What the jail says of the file, having built the model."""
        key = f"upload {secrets.token_hex(8)}"
        with _refusals():
            signature = await self._pool.load(key, os.dup(fd), tenant=tenant)
        with contextlib.suppress(KeepfitError):  # the jail may have made room for another tenant's
            await self._pool.unload(key)
        return signature

    async def _kept(self, fd: int, tenant: str, name: str, signature: Signature) -> str:
        def save() -> int:
            with open(fd, "rb", closefd=False) as file:
                facts = _told(signature.facts, self.limits.facts_bytes)
                told = _clean(signature.type)[:_TYPE_CHARS]
                info = self._store.tenants.save(tenant, name, file, type=told, facts=facts, quota=self.limits.quota)
                return info.version

        try:
            return str(await asyncio.to_thread(save))
        except QuotaError as error:
            raise RequestError(str(error), status=403) from None
        except NameTakenError as error:
            raise RequestError(str(error), status=409) from None
        except StoreError as error:
            raise _not_written(error) from None

    def _check_length(self, size_bytes: int) -> None:
        if size_bytes > self.limits.file_bytes:
            raise RequestError(f"the file is longer than the {self.limits.file_bytes:,} bytes taken", status=413)

    @contextlib.contextmanager
    def _file(self) -> Iterator[tuple[BinaryIO, int]]:
        """A file without a name, to write to, and a descriptor that only reads it."""
        with contextlib.ExitStack() as stack:
            descriptor, path = tempfile.mkstemp(prefix="keepfit-", dir=self.spool_folder)
            try:
                file = stack.enter_context(open(descriptor, "wb"))
                fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
                stack.callback(os.close, fd)
            finally:
                os.unlink(path)  # nothing is left behind, however the server ends
            yield file, fd


def _tenant_of(grant: Grant) -> str:
    if grant.tenant is None or not grant.role.includes(Role.UPLOAD):
        raise RequestError(
            "an upload takes a token of a tenant: keepfit token create --role upload --tenant NAME", status=403
        )
    return grant.tenant


def _public_name(tenant: str, name: str) -> str:
    own = name.removeprefix(f"{tenant}.")
    public_name = f"{tenant}.{own}"
    if not MODEL_NAME.fullmatch(own) or not MODEL_NAME.fullmatch(public_name):
        raise RequestError(f"the name will not do: {_NAME_RULE}")
    return public_name


def _looks_like_ours(fd: int) -> bool:
    """Whether a file begins as keepfit's do: the length of a header as 8 bytes, and JSON. No more is looked at here."""
    return os.pread(fd, 9, 0)[8:] == b"{"


@contextlib.contextmanager
def _refusals() -> Iterator[None]:
    """Whatever the jail says against a file is the answer to who sent it, in its words."""
    try:
        yield
    except (OverloadedError, RequestError):
        raise
    except UnavailableError as error:
        raise RequestError(f"the file ended the process that tried it: {_shown(error)}") from None
    except KeepfitError as error:
        raise RequestError(f"the file is refused: {_shown(error)}") from None


def _shown(error: KeepfitError) -> str:
    return _clean(str(error))[:_REASON_CHARS]


def _not_written(error: StoreError) -> UnavailableError:
    _log.error("the store cannot be written", exc_info=error)
    return UnavailableError("the upload cannot be kept now; the server's log says why")


def _told(facts: Mapping[str, str], limit_bytes: int) -> dict[str, str]:
    """What a file says of itself, as far as it is of the known kinds and not too much."""
    found = {}
    for name in _FACTS:
        text = facts.get(name, "").replace("\0", "")  # PostgreSQL takes none
        limit_bytes -= len(text.encode(errors="replace"))
        if text and limit_bytes >= 0:
            found[name] = text
    return found


def _clean(text: str) -> str:
    return "".join(c if c.isprintable() else "?" for c in text)
