"""Names, versions and aliases: the rows about models. Arrays are in arrays.py."""

from __future__ import annotations

import difflib
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from numbers import Integral
from typing import Any

import msgspec
from sqlalchemy import Connection, Row, func, or_, select, update

from keepfit.errors import StoreError
from keepfit.facts import metadata_of
from keepfit.graph import Graph, Ref
from keepfit.store import schema
from keepfit.store.database import insert_row, keepfit_version
from keepfit.store.records import ModelInfo, ModelNotFoundError, VersionInfo

__all__ = [
    "add_version",
    "aliases",
    "check_name",
    "delete",
    "describe",
    "facts",
    "find",
    "has",
    "info",
    "listing",
    "names",
    "rename",
    "set_alias",
    "tenant_of",
    "versions",
]

_NAME_CHARACTERS = 255
_LAST_VERSION = 2**31 - 1  # PostgreSQL's INTEGER
_model, _version, _alias, _link = schema.model, schema.model_version, schema.alias, schema.model_array

_newest = (
    select(_version.c.model_id, func.max(_version.c.version).label("newest")).group_by(_version.c.model_id).subquery()
)
_listing = (
    select(
        _model.c.name,
        _model.c.tenant,
        _version.c.version,
        _version.c.digest,
        _version.c.created_at,
        _alias.c.alias,
        _newest.c.newest,
    )
    .join_from(_model, _newest, _newest.c.model_id == _model.c.id)
    .join(_version, _version.c.model_id == _model.c.id)
    .outerjoin(_alias, _alias.c.version_id == _version.c.id)
    .where(or_(_version.c.version == _newest.c.newest, _alias.c.alias.is_not(None)))
    .order_by(_alias.c.alias)
)


def check_name(name: object, what: str = "name") -> None:
    """Refuse a name that could not be shown or written in an address such as ``state.db#rf@2``.

    Raises
    ------
    StoreError
        If it will not do.
    """
    if not isinstance(name, str):
        raise StoreError(f"the {what} of a model is a str, not {type(name).__name__}")
    if not 1 <= len(name) <= _NAME_CHARACTERS:
        raise StoreError(f"the {what} of a model has 1 to {_NAME_CHARACTERS} characters, this one {len(name)}")
    wrong = _wrong_character(name)
    if wrong is not None:
        raise StoreError(f"the {what} {name!r} holds {wrong!r}; take it out")


def names(connection: Connection) -> list[str]:
    """All names, in order."""
    return sorted(connection.execute(select(_model.c.name)).scalars())


def has(connection: Connection, name: object) -> bool:
    """Whether there is a model of that name."""
    return _id_of(connection, name) is not None


def find(connection: Connection, name: str, version: int | str | None) -> Row[Any]:
    """The row of a version.

    Raises
    ------
    ModelNotFoundError
        If there is no such name, version or alias.
    """
    model_id = _model_id(connection, name)
    wanted = select(_version).where(_version.c.model_id == model_id)
    number = _number(version)
    if version is None:
        row = connection.execute(wanted.order_by(_version.c.version.desc()).limit(1)).first()
    elif number is not None:
        row = connection.execute(wanted.where(_version.c.version == number)).first()
    elif _could_be(version):
        row = connection.execute(wanted.join(_alias).where(_alias.c.alias == version)).first()
    else:
        row = None
    if row is None:
        raise _no_version(connection, name, version)
    return row


def info(connection: Connection, name: str, version: int | str | None) -> ModelInfo:
    """What is known of one version."""
    row = find(connection, name, version)
    return _info(name, row, _aliases(connection, row.model_id), tenant_of(connection, name))


def versions(connection: Connection, name: str) -> list[ModelInfo]:
    """What is known of all versions, the oldest first."""
    model_id = _model_id(connection, name)
    given, tenant = _aliases(connection, model_id), tenant_of(connection, name)
    rows = connection.execute(select(_version).where(_version.c.model_id == model_id).order_by(_version.c.version))
    return [_info(name, row, given, tenant) for row in rows]


def listing(connection: Connection) -> list[VersionInfo]:
    """Of every name the newest version and those that aliases stand for, by name and version. One query."""
    found: dict[tuple[str, int], VersionInfo] = {}
    for row in connection.execute(_listing):
        aliases = () if row.alias is None else (row.alias,)
        key = (row.name, row.version)
        if key in found:
            found[key] = replace(found[key], aliases=(*found[key].aliases, *aliases))
        else:
            newest = row.version == row.newest
            found[key] = VersionInfo(*key, row.digest, row.created_at, newest, aliases, row.tenant)
    return [found[key] for key in sorted(found)]


def tenant_of(connection: Connection, name: str) -> str | None:
    """Who uploaded a model; None for the owner's own, and where there is none of that name."""
    tenant: str | None = connection.execute(select(_model.c.tenant).where(_model.c.name == name)).scalar()
    return tenant


def aliases(connection: Connection, name: str) -> dict[str, int]:
    """Aliases and the versions they stand for."""
    return _aliases(connection, _model_id(connection, name))


def facts(row: Row[Any]) -> dict[str, str]:
    """The facts of a version."""
    return msgspec.json.decode(row.facts, type=dict[str, str])


def describe(graph: Graph, facts: Mapping[str, str], digest: str, size_bytes: int) -> dict[str, Any]:
    """The row of a new version, as far as the model alone says."""
    root = graph.roots["object"]
    return {
        "digest": digest,
        "type": graph.node_of(root).type if isinstance(root, Ref) else type(root).__name__,
        "created_at": schema.now(),
        "size_bytes": size_bytes,
        "versions": _json({"keepfit": keepfit_version(), **graph.versions}),
        "facts": _json(dict(facts)),
    }


def add_version(
    connection: Connection, name: str, row: Mapping[str, Any], array_ids: Sequence[int], *, tenant: str | None = None
) -> int:
    """Add a version and the name, where it is new, as the tenant's. The caller is alone among writers of models.

    Returns
    -------
    int
        The number of the version.
    """
    found = connection.execute(select(_model).where(_model.c.name == name)).first()
    if found is None:
        version = 1
        model_id = insert_row(connection, _model, {"name": name, "last_version": version, "tenant": tenant})
    else:
        model_id, version = found.id, found.last_version + 1
        connection.execute(update(_model).where(_model.c.id == model_id).values(last_version=version))
    version_id = insert_row(connection, _version, {"model_id": model_id, "version": version, **row})
    links = [
        {"version_id": version_id, "place": place, "array_id": array_id} for place, array_id in enumerate(array_ids)
    ]
    connection.execute(_link.insert(), links)
    return version


def set_alias(connection: Connection, name: str, alias: str, version: int | str | None) -> None:
    """Point an alias at a version, or remove it."""
    check_name(alias, "alias")
    if alias.isdigit():
        raise StoreError(f"the alias {alias!r} is a number; numbers are versions")
    model_id = _model_id(connection, name)
    row = None if version is None else find(connection, name, version)
    removed = connection.execute(_alias.delete().where(_alias.c.model_id == model_id, _alias.c.alias == alias))
    if row is not None:
        connection.execute(_alias.insert().values(model_id=model_id, alias=alias, version_id=row.id))
    elif not removed.rowcount:
        raise _no_version(connection, name, alias)


def rename(connection: Connection, old: str, new: str) -> None:
    """Give a model another name."""
    check_name(new)
    model_id = _model_id(connection, old)
    if new != old and has(connection, new):
        raise StoreError(f"there is a model named {new!r} already; delete it or take another name")
    connection.execute(update(_model).where(_model.c.id == model_id).values(name=new))


def delete(connection: Connection, name: str, version: int | str | None) -> list[int]:
    """Delete a version or a whole name.

    Returns
    -------
    list of int
        The ids of the arrays that were in use by what is gone.
    """
    model_id = _model_id(connection, name)
    doomed = _version.c.model_id == model_id
    if version is not None:
        row = find(connection, name, version)
        held = [alias for alias, number in _aliases(connection, model_id).items() if number == row.version]
        if held:
            raise StoreError(
                f"the alias {held[0]!r} stands for version {row.version} of {name!r}; "
                f"point it at another version or remove it first: set_alias({name!r}, {held[0]!r}, None)"
            )
        doomed = _version.c.id == row.id
    used = connection.execute(select(_link.c.array_id).distinct().join(_version).where(doomed)).scalars().all()
    connection.execute(_version.delete().where(doomed))
    if connection.execute(select(_version.c.id).where(_version.c.model_id == model_id).limit(1)).first() is None:
        connection.execute(_model.delete().where(_model.c.id == model_id))
    return list(used)


def _wrong_character(name: str) -> str | None:
    for character in name:
        if character in "#@" or unicodedata.category(character) in ("Cc", "Cs"):
            return character
    return None


def _could_be(name: object) -> bool:
    """Whether a database can be asked for it; PostgreSQL takes no NUL, none takes a lone surrogate."""
    return isinstance(name, str) and _wrong_character(name) is None


def _id_of(connection: Connection, name: object) -> int | None:
    if not _could_be(name):
        return None
    key: int | None = connection.execute(select(_model.c.id).where(_model.c.name == name)).scalar()
    return key


def _model_id(connection: Connection, name: str) -> int:
    found = _id_of(connection, name)
    if found is None:
        known = names(connection)
        hint = _hint(str(name), known) if known else "it is empty"
        raise ModelNotFoundError(f"the store has no model named {name!r}; {hint}")
    return found


def _number(version: int | str | None) -> int | None:
    """The version that is meant by number, if it is; one that no database can hold becomes one that is never given."""
    if isinstance(version, str) and version.isdecimal():
        version = int(version[:20])
    return max(0, min(int(version), _LAST_VERSION)) if isinstance(version, Integral) else None  # NumPy's too


def _no_version(connection: Connection, name: str, version: int | str | None) -> ModelNotFoundError:
    model_id = _model_id(connection, name)
    numbers = connection.execute(
        select(_version.c.version).where(_version.c.model_id == model_id).order_by(_version.c.version)
    ).scalars()
    known = [*map(str, numbers), *_aliases(connection, model_id)]
    return ModelNotFoundError(f"{name!r} has no version or alias {version!r}; {_hint(str(version), known)}")


def _hint(wanted: str, known: Sequence[str]) -> str:
    close = difflib.get_close_matches(wanted, known, n=3)
    if close:
        return f"did you mean {' or '.join(map(repr, close))}?"
    more = f" and {len(known) - 5} more" if len(known) > 5 else ""
    return f"there is {', '.join(map(repr, known[:5]))}{more}"


def _aliases(connection: Connection, model_id: int) -> dict[str, int]:
    rows: Iterable[Row[Any]] = connection.execute(
        select(_alias.c.alias, _version.c.version).join(_version).where(_alias.c.model_id == model_id)
    )
    return dict(sorted((row.alias, row.version) for row in rows))


def _info(name: str, row: Row[Any], given: Mapping[str, int], tenant: str | None) -> ModelInfo:
    known = facts(row)
    return ModelInfo(
        name=name,
        version=row.version,
        digest=row.digest,
        type=row.type,
        created_at=row.created_at,
        size_bytes=row.size_bytes,
        facts=known,
        metadata=metadata_of(known),
        versions=msgspec.json.decode(row.versions, type=dict[str, str]),
        aliases=tuple(alias for alias, number in given.items() if number == row.version),
        tenant=tenant,
        form=row.form,
    )


def _json(value: object) -> str:
    return msgspec.json.encode(value).decode()
