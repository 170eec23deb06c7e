"""What a server's or a provider's words say about a refusal. In: words. Out: whether asking again can help, and why.

Servers give a template that fails, or a prompt that is too long, as a passing failure (500) as often as not.
"""

from __future__ import annotations

import re

_TEMPLATE = re.compile(
    r"jinja|chat[ _-]?template|template ?(syntax)? ?error|undefinederror|roles? must alternate|conversation roles", re.I
)
_NO = "(not|n't|unsupported|invalid|never)"
# A server that repeats a prompt in its error names the role as well: only a denial beside it counts.
_SYSTEM = re.compile(
    rf"(system|developer)[ _-]?(role|message|prompt|turn|instruction)s?\b[^.]{{0,30}}\b{_NO}"
    rf"|{_NO}[^.:]{{0,40}}['\"`](system|developer)['\"`]"
    rf"|['\"`](system|developer)['\"`][^.:]{{0,12}}{_NO}"
    rf"|{_NO}[^.:]{{0,20}} (system|developer)[ _-]?(role|message|prompt|turn|instruction)"
    r"|only user,?( and)? (model|assistant)|roles must alternate",
    re.I,
)
_CONTEXT = re.compile(
    r"context[ _]?(length|size|window)|maximum (model|input|sequence|prompt) length|max_model_len|cut the prompt"
    r"|(prompt|input|request)[^.]{0,40} (too (long|many|large)|exceed)|too many (input )?tokens|status 413",
    re.I,
)


def about_system(words: str) -> bool:
    """
    >>> about_system("System role not supported"), about_system("the system is overloaded")
    (True, False)

    Whether a turn of the system's was refused: it can go into the first user turn instead.
    """
    return bool(_SYSTEM.search(words))


def about_context(words: str) -> bool:
    """
    >>> about_context("This model's maximum context length is 512 tokens.")
    True
    """
    return bool(_CONTEXT.search(words))


def lasts(words: str) -> bool:
    """
    >>> lasts("Jinja Exception: System role not supported"), lasts("upstream connect error")
    (True, False)

    Whether the same prompt would be refused again, whatever the status: it is not worth another request.
    """
    return bool(_TEMPLATE.search(words)) or about_system(words) or about_context(words)
