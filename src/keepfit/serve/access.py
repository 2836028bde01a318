"""Who asks, and whether they may: bearer tokens on the way in, what an answer says to those who may not."""

from __future__ import annotations

from collections.abc import Mapping, MutableMapping
from typing import TYPE_CHECKING, Any

from keepfit.serve.errors import RequestError
from keepfit.serve.tokens import ANYBODY, Grant, Role, Tokens

if TYPE_CHECKING:
    from keepfit.serve.app import App
    from keepfit.serve.repository import ModelEntry, Repository

__all__ = ["Access", "grant_of"]


class Access:
    """What requests are allowed to do.

    Parameters
    ----------
    repository : Repository
    tokens : Tokens or None
        None for a server without tokens: anybody may ask for predictions, nobody for more.
    """

    def __init__(self, repository: Repository, tokens: Tokens | None) -> None:
        self._repository = repository
        self._tokens = tokens

    @property
    def has_tokens(self) -> bool:
        """Whether a token is needed."""
        return self._tokens is not None

    def grant(self, headers: Mapping[bytes, bytes], role: Role = Role.INFER) -> Grant:
        """What the bearer of a request may do.

        Parameters
        ----------
        headers : mapping of bytes to bytes
        role : Role, default=Role.INFER
            What it has to be allowed at least.

        Returns
        -------
        Grant

        Raises
        ------
        RequestError
            With status 401 without a good token, 403 if the token is not for this.
        """
        if self._tokens is None:
            grant = ANYBODY
        else:
            scheme, _, token = headers.get(b"authorization", b"").partition(b" ")
            found = self._tokens.check(token.strip().decode("latin-1")) if scheme.lower() == b"bearer" else None
            if found is None:
                raise RequestError("a token is needed: send Authorization: Bearer TOKEN", status=401)
            grant = found
        if role is not Role.INFER and not grant.role.includes(role):
            hint = "" if self._tokens else ", and this server has none: make one with keepfit token create"
            raise RequestError(f"this takes a token for {role.value}{hint}", status=403)
        return grant

    def find(self, grant: Grant, name: str, version: str | None) -> ModelEntry:
        """A model by its name, if the bearer may see it; ``version`` may be an alias.

        Raises
        ------
        RequestError
            With status 404, in the same words whether it is not there or not for the bearer.
        """
        try:
            entry = self._repository.find(name, version, asker=grant.tenant)
        except RequestError as error:
            if error.status != 404:
                raise
            raise _missing(name, version) from None
        if not grant.sees(entry.tenant):
            raise _missing(name, version)
        return entry

    async def ready(self, grant: Grant, name: str, version: str | None) -> ModelEntry:
        """A model that can answer now; a version that is not loaded yet is loaded. See `Repository.ready`.

        Raises
        ------
        RequestError
            As for `find`.
        UnavailableError
            If it does not load, or was unloaded.
        """
        try:
            entry = self.find(grant, name, version)
        except RequestError:
            if version is None:
                raise
            self.find(grant, name, None)  # the name is there, and the bearer may see it
        else:
            if entry.state == "READY":
                return entry
        try:
            entry = await self._repository.ready(name, version, asker=grant.tenant)
        except RequestError as error:
            if error.status != 404:
                raise
            raise _missing(name, version) from None
        if not grant.sees(entry.tenant):  # it may have gone to another meanwhile
            raise _missing(name, version)
        return entry

    def entries(self, grant: Grant) -> list[ModelEntry]:
        """The models that the bearer may see."""
        return [entry for entry in self._repository.entries() if grant.sees(entry.tenant)]


def grant_of(app: App, scope: MutableMapping[str, Any], role: Role = Role.INFER) -> Grant:
    """What the bearer of a request may do (see `Access.grant`), noted for the log."""
    grant = app.access.grant(dict(scope["headers"]), role)
    scope["keepfit.note"].token = grant.key
    return grant


def _missing(name: str, version: str | None) -> RequestError:
    of = "" if version is None else f" of version {version[:100]!r}"
    return RequestError(f"there is no model {name[:100]!r}{of}", status=404)
