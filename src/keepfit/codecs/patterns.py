"""Which regular expressions are certain to end soon.

A stranger's model may carry one (``token_pattern``), and Python's matcher can be made to take time exponential in the
length of a text. It needs a choice inside a repetition for that: ``(a+)+``, ``(a|aa)*``, or a reference back.
"""

from __future__ import annotations

import re

__all__ = ["ends_soon"]

#: Each more choice that the matcher may have to take back multiplies the time that a text takes.
_CHOICES = 8
_LENGTH = 1000

_TOKEN = re.compile(
    r"""
      (?P<escape>  \\ (?: [1-9] | [^1-9] ) )
    | (?P<set>     \[ \^? \]? (?: \\. | [^\]\\] )* \] )
    | (?P<flags>   \(\?[aiLmsux-]+\) )
    | (?P<open>    \( (?: \?: | \?P<\w+> | \?[aiLmsux-]+: | \?= | \?! | \?<= | \?<! )? (?! \? ) )
    | (?P<close>   \) )
    | (?P<repeat>  (?: [*+?] | \{ \d* (?: ,\d* )? \} ) [?+]? )
    | (?P<choice>  \| )
    | (?P<other>   [^()\[\]\\*+?|] )
    """,
    re.VERBOSE | re.DOTALL,
)


def ends_soon(pattern: str) -> bool:
    """Whether a pattern has no choice inside a repetition, no reference back, and few choices.

    Parameters
    ----------
    pattern : str

    Notes
    -----
    The answer is no for some that would end as well, and for what is no pattern.
    """
    if len(pattern) > _LENGTH:
        return False
    choices = [False]  # for each open group, whether it holds a choice
    count = place = 0
    repeatable = True  # whether what stands before holds none
    while place < len(pattern):
        token = _TOKEN.match(pattern, place)
        if token is None or token["escape"] in _REFERENCES:
            return False
        place = token.end()
        if token["open"]:
            choices.append(False)
        elif token["close"]:
            if len(choices) == 1:
                return False
            repeatable = not choices.pop()
            choices[-1] |= not repeatable
            count += not repeatable
        elif token["choice"]:
            choices[-1] = True
        elif token["repeat"]:
            if not repeatable and token["repeat"][0] != "?":
                return False
            count += 1
            repeatable = False
            choices[-1] = True
        else:
            repeatable = True
    return count <= _CHOICES and len(choices) == 1


_REFERENCES = frozenset(f"\\{digit}" for digit in "123456789")
