"""`Tenants`: models that were uploaded to a server, each under the name of who did.

Such a model is kept as the file that came, byte for byte: keeping it takes no reading of it. Everything that loads,
exports or inspects models takes it as any other; a server loads it only in a process made for that.
"""

from __future__ import annotations

import hashlib
import mmap
from collections.abc import Mapping
from typing import BinaryIO

import msgspec
import numpy as np
from sqlalchemy import Connection, func, select

from keepfit.store import arrays, catalogue, schema
from keepfit.store.database import Database
from keepfit.store.records import ModelInfo, ModelNotFoundError, NameTakenError, Quota, QuotaError

__all__ = ["Tenants"]

_model, _version = schema.model, schema.model_version


class Tenants:
    """Models that were uploaded to a server.

    Got from `Store.tenants`. Safe for threads and processes; every method is one transaction.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    def save(
        self, tenant: str, name: str, file: BinaryIO, *, type: str, facts: Mapping[str, str], quota: Quota
    ) -> ModelInfo:
        """Keep a file as the newest version of a tenant's model.

        Parameters
        ----------
        tenant : str
        name : str
            The whole name, as it stands in the store.
        file : binary file object
            A file of the disk, not empty, which nobody changes meanwhile. It is not read as a model.
        type : str
            As in `ModelInfo`.
        facts : mapping of str to str
            As in `ModelInfo`.
        quota : Quota

        Returns
        -------
        ModelInfo

        Raises
        ------
        QuotaError
            If the tenant has no room for it. Nothing is kept then.
        NameTakenError
            If there is a model of this name that is not this tenant's.
        StoreError
            If the store cannot be written.

        Notes
        -----
        Memory: one chunk of `arrays.CHUNK_BYTES`.
        """
        catalogue.check_name(name)
        content = np.frombuffer(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ), np.uint8)
        digest = arrays.digest_of(content)
        row = {
            "digest": hashlib.sha256(digest).hexdigest(),
            "type": type,
            "created_at": schema.now(),
            "size_bytes": len(content),
            "versions": _versions_in(facts),
            "facts": msgspec.json.encode(dict(facts)).decode(),
            "form": "file",
        }
        with self._database.write(alone="models") as connection:
            _check_room(connection, tenant, name, len(content), quota)
            ids = arrays.keep(connection, [content], [digest])
            version = catalogue.add_version(connection, name, row, ids, tenant=tenant)
            return catalogue.info(connection, name, version)

    def usage(self, tenant: str) -> Quota:
        """What a tenant keeps: names, the most versions of one of them, bytes."""
        with self._database.read() as connection:
            return _usage(connection, tenant)

    def delete(self, tenant: str, name: str) -> None:
        """Delete a tenant's model with all versions.

        Raises
        ------
        ModelNotFoundError
            If this tenant has none of this name.
        """
        with self._database.write(alone="models") as connection:
            if catalogue.tenant_of(connection, name) != tenant:
                raise ModelNotFoundError(f"there is no model {name!r} of {tenant!r}")
            arrays.drop_unused(connection, catalogue.delete(connection, name, None))
        self._database.give_back_space()


def _check_room(connection: Connection, tenant: str, name: str, size_bytes: int, quota: Quota) -> None:
    is_new = not catalogue.has(connection, name)
    if not is_new and catalogue.tenant_of(connection, name) != tenant:
        raise NameTakenError(f"the name {name!r} is taken; give the model another name")
    used = _usage(connection, tenant)
    if is_new and used.models >= quota.models:
        raise QuotaError(f"{tenant!r} keeps {used.models:,} models, and may keep no more; remove one first")
    kept = 0 if is_new else len(catalogue.versions(connection, name))
    if kept >= quota.versions:
        raise QuotaError(f"{name!r} has {kept:,} versions, and may have no more; remove it first or take another name")
    if used.size_bytes + size_bytes > quota.size_bytes:
        raise QuotaError(
            f"{tenant!r} keeps {used.size_bytes:,} bytes of at most {quota.size_bytes:,}, and this file has "
            f"{size_bytes:,}; remove models first"
        )


def _usage(connection: Connection, tenant: str) -> Quota:
    each = (
        select(func.count(_version.c.id).label("versions"), func.sum(_version.c.size_bytes).label("size_bytes"))
        .join(_model)
        .where(_model.c.tenant == tenant)
        .group_by(_model.c.id)
        .subquery()
    )
    row = connection.execute(select(func.count(), func.max(each.c.versions), func.sum(each.c.size_bytes))).one()
    return Quota(models=row[0], versions=int(row[1] or 0), size_bytes=int(row[2] or 0))


def _versions_in(facts: Mapping[str, str]) -> str:
    """The releases that a file names, as far as they are such."""
    try:
        found = msgspec.json.decode(facts.get("versions", "{}"), type=dict[str, str])
    except (msgspec.MsgspecError, RecursionError):
        found = {}
    return msgspec.json.encode(found).decode()
