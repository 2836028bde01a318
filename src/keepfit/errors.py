"""One tree of errors. Every error that keepfit raises on purpose is a `KeepfitError`.

Each carries the place inside the object it is about (``steps.scale.mean_``) where there is one, and says what to
do next.
"""

from __future__ import annotations

__all__ = [
    "CheckpointError",
    "FormatError",
    "InvalidStateError",
    "KeepfitError",
    "KeepfitWarning",
    "PartNotFoundError",
    "ServeError",
    "StoreError",
    "UnsupportedError",
    "UntrustedError",
    "VersionError",
]


class KeepfitError(Exception):
    """Base of all errors raised by keepfit.

    Parameters
    ----------
    message : str
        What is wrong and what to do.
    path : str, default=""
        Where inside the object, such as ``steps.scale.mean_``; empty for the object itself.
    """

    def __init__(self, message: str, *, path: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.path = path

    def __str__(self) -> str:
        return f"{self.path}: {self.message}" if self.path else self.message


class FormatError(KeepfitError):
    """The bytes are not a whole, undamaged keepfit file within the limits."""


class UntrustedError(KeepfitError):
    """The file names types or capabilities that the caller has not opened.

    Parameters
    ----------
    message : str
        What is wrong and what to do.
    path : str, default=""
        Where inside the object.
    names : tuple of str, default=()
        The type names that ``trusted=`` would need.
    """

    def __init__(self, message: str, *, path: str = "", names: tuple[str, ...] = ()) -> None:
        super().__init__(message, path=path)
        self.names = names


class InvalidStateError(KeepfitError):
    """The contents of a known type could crash or mislead, so nothing is built from them."""


class UnsupportedError(KeepfitError):
    """The object cannot be kept exactly; the message says why and what to do."""


class VersionError(KeepfitError):
    """The file was written under a library release whose state differs from the running one's."""


class PartNotFoundError(KeepfitError, KeyError):
    """The file has no such array or part."""


class StoreError(KeepfitError):
    """The store cannot be opened, or does not hold what was asked for."""


class CheckpointError(KeepfitError):
    """A search cannot be resumed or recorded."""


class ServeError(KeepfitError):
    """A request cannot be answered; `status` is the HTTP status that says so.

    Attributes
    ----------
    status : int, default=500
    """

    status: int = 500


class KeepfitWarning(UserWarning):
    """What keepfit did differently from what was asked; said once."""
