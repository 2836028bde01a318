"""Who may ask for what: tokens with a role, checked against what a store keeps of them.

A token is ``kf_KEY_SECRET``. The key looks it up; of the secret, 256 random bits, the store keeps the SHA-256: a secret
that nobody can guess needs no slow hash, and who reads the store learns no token.
"""

from __future__ import annotations

import enum
import hashlib
import hmac
import re
import secrets
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import TYPE_CHECKING

from keepfit.errors import ServeError

if TYPE_CHECKING:
    from keepfit.store import Store, TokenInfo

__all__ = ["ANYBODY", "TENANT_NAME", "Grant", "Role", "Tokens", "is_good"]

#: No dots: a model's public name is ``tenant.name``, and the first dot ends the tenant.
TENANT_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,49}")

_TOKEN = re.compile(r"kf_([0-9a-f]{16})_([A-Za-z0-9_-]{43})", re.ASCII)
_NO_DIGEST = bytes(32)


class Role(enum.Enum):
    """What a token opens. Each opens what the one before opens."""

    INFER = "infer"
    UPLOAD = "upload"
    ADMIN = "admin"

    def includes(self, other: Role) -> bool:
        """Whether who has this role may do what needs the other."""
        ranks = list(Role)
        return ranks.index(self) >= ranks.index(other)


@dataclass(frozen=True, slots=True)
class Grant:
    """What the bearer of a token may do.

    Parameters
    ----------
    key : str
        The token's key, for logs; empty for who came without a token.
    role : Role
    tenant : str or None
        Whose uploaded models it may use, besides the owner's models.
    """

    key: str
    role: Role
    tenant: str | None

    def sees(self, tenant: str | None) -> bool:
        """Whether models of that tenant are there for the bearer; None stands for the owner's models."""
        return tenant is None or tenant == self.tenant or self.role is Role.ADMIN


#: For a server without tokens: anybody who reaches it may ask for predictions.
ANYBODY = Grant("", Role.INFER, None)


class Tokens:
    """The tokens in a store.

    Parameters
    ----------
    store : Store

    Notes
    -----
    `check` asks no database: it compares with what `refresh` has read last, which a server calls every few seconds. So
    a new token is known, and a revoked one refused, after that time.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._known: dict[str, TokenInfo] = {}
        self.refresh()

    def refresh(self) -> None:
        """Read what the store has.

        Raises
        ------
        StoreError
            If it cannot be read. What was known is known still.
        """
        self._known = {one.key: one for one in self._store.tokens.all()}

    def count(self) -> int:
        """How many are good now."""
        return sum(is_good(one) for one in self._known.values())

    def create(
        self, role: Role, tenant: str | None = None, label: str = "", *, lifetime: timedelta | None = None
    ) -> str:
        """Make a token.

        Parameters
        ----------
        role : Role
        tenant : str, default=None
            Needed for `Role.UPLOAD`: where uploads go. For `Role.INFER`, whose uploads it may use.
        label : str, default=""
            For people.
        lifetime : timedelta, default=None
            How long it is good; for ever without.

        Returns
        -------
        str
            The token. It is not kept and cannot be had again.

        Raises
        ------
        ServeError
            If the tenant is missing, is not wanted or has a name that will not do.
        StoreError
            If the store cannot be written.
        """
        from keepfit.store import TokenInfo

        if role is Role.UPLOAD and tenant is None:
            raise ServeError("a token for uploads needs a tenant: its models are named tenant.name")
        if role is Role.ADMIN and tenant is not None:
            raise ServeError("an admin's token is for all tenants; leave the tenant out")
        if tenant is not None and not TENANT_NAME.fullmatch(tenant):
            raise ServeError(
                f"{tenant!r} cannot be a tenant: 1 to 50 letters, digits, - and _, the first a letter or digit"
            )
        key, secret = secrets.token_hex(8), secrets.token_urlsafe(32)
        now = datetime.now(UTC)
        expires_at = None if lifetime is None else now + lifetime
        token = TokenInfo(key, _digest_of(secret), role.value, tenant, label, now, expires_at)
        self._store.tokens.add(token)
        self._known[key] = token
        return f"kf_{key}_{secret}"

    def check(self, token: str) -> Grant | None:
        """What a token opens; None if it is none, is wrong, revoked or expired.

        Takes some microseconds, as long for a key that is unknown as for a secret that is wrong.
        """
        parts = _TOKEN.fullmatch(token)
        key, secret = parts.groups() if parts else ("", "")
        known = self._known.get(key)
        same = hmac.compare_digest(_digest_of(secret), _NO_DIGEST if known is None else known.digest)
        if known is None or not same or not is_good(known):
            return None
        return _grant_of(key, known.role, known.tenant)


@lru_cache(maxsize=1024)
def _grant_of(key: str, role: str, tenant: str | None) -> Grant:
    return Grant(key, Role(role), tenant)


def is_good(token: TokenInfo) -> bool:
    """Whether a token was neither revoked nor has expired."""
    return token.revoked_at is None and (token.expires_at is None or token.expires_at > datetime.now(UTC))


def _digest_of(secret: str) -> bytes:
    return hashlib.sha256(secret.encode()).digest()
