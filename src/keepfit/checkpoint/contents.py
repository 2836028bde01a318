"""The content of objects as digests, each worked out once per call."""

from __future__ import annotations

from typing import Any

from keepfit.checkpoint import sklearn_seam
from keepfit.checkpoint.arrays import ARRAY_WRITERS, write_array_like
from keepfit.checkpoint.code import CODE_WRITERS, write_code
from keepfit.checkpoint.frames import write_frame
from keepfit.checkpoint.walk import BUILTIN_WRITERS, NoIdentityError, Walk, write_instance

__all__ = ["Contents"]

_WRITERS = {**BUILTIN_WRITERS, **ARRAY_WRITERS, **CODE_WRITERS}


def _write_other(walk: Walk, obj: Any) -> bool:
    stands_for_it = sklearn_seam.for_identity(obj)
    if stands_for_it is not obj:
        walk.add(stands_for_it)
        return True
    return write_instance(walk, obj, without=sklearn_seam.without_effect(obj))


_OTHERS = (write_array_like, write_frame, write_code, _write_other)


class Contents:
    """Digests of what objects hold. Use it for one call: it takes objects not to change meanwhile.

    Attributes
    ----------
    met : dict of int to object
        Classes and functions met so far, by id.
    """

    def __init__(self) -> None:
        self.met: dict[int, Any] = {}
        self._held: list[object] = []
        self._known: dict[int, tuple[object, bytes | NoIdentityError]] = {}  # holds the object: its id stays its own

    def digest(self, obj: Any) -> bytes:
        """The digest of an object's content.

        Raises
        ------
        NoIdentityError
            If it has none that another process would find again.
        """
        known = self._known.get(id(obj))
        if known is None:
            known = self._known[id(obj)] = (obj, self._work_out(obj))
        if isinstance(known[1], NoIdentityError):
            raise known[1]
        return known[1]

    def hold(self, obj: object) -> None:
        """Keep an object alive as long as this lives, so that its id stays its own."""
        self._held.append(obj)

    def _work_out(self, obj: Any) -> bytes | NoIdentityError:
        walk = Walk(_WRITERS, _OTHERS)
        try:
            walk.add(obj)
        except RecursionError:
            return NoIdentityError(f"a {type(obj).__qualname__} is nested too deeply")
        except NoIdentityError as error:
            return error.with_traceback(None)
        finally:
            self.met.update(walk.met)
        return walk.digest()
