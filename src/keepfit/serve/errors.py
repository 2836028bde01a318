"""What can be wrong with a request, with the HTTP status that says so."""

from __future__ import annotations

from keepfit.errors import ServeError

__all__ = ["OverloadedError", "RequestError", "UnavailableError"]


class RequestError(ServeError):
    """The request asks for what is not there or cannot be.

    Parameters
    ----------
    message : str
    status : int, default=400
        Another status of the 400s: 404 for a model that is not there, 413 for too much.
    """

    def __init__(self, message: str, *, status: int = 400) -> None:
        super().__init__(message)
        self.status = status


class UnavailableError(ServeError):
    """The worker died, or took too long, with this request in its hands; another try may succeed."""

    status = 503


class OverloadedError(UnavailableError):
    """The queue is full.

    Parameters
    ----------
    message : str
    retry_after_s : float
        When to try again.
    """

    status = 429

    def __init__(self, message: str, *, retry_after_s: float) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s
