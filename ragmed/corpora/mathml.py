"""A MathML formula -> one readable line of text: fractions with `/`, powers with `^`, charges as they are."""

from __future__ import annotations

import re
from collections.abc import Callable
from xml.etree.ElementTree import Element

from ragmed.corpora.safe_xml import local

_SPACED = frozenset("=+−-–×·÷±<>≤≥≈≠→⇌↔⟶←⇄⟷∝∼")
_AS_IS = re.compile(r"[+−–/,;-]*|[^\W\d]{2,}|[®™°]|[*†‡§¶#]+")
"""A charge, an ordinal's letters, a mark: nothing that could be read as a digit of what stands before."""

_NUMBER = re.compile(r"[0-9]+[+−–-]*")
_ONE = re.compile(r"[−–+-]?[0-9A-Za-z.]+[+−–-]*")


def math_text(element: Element) -> str:
    """
    >>> from ragmed.corpora.safe_xml import parse_xml
    >>> math_text(parse_xml(b"<math><mfrac><mn>1</mn><msup><mn>10</mn><mn>3</mn></msup></mfrac></math>"))
    '1/10^3'
    """
    return " ".join(_write(element).split())


def raised(base: str, above: str) -> str:
    """A text with a superscript after it: `10^6`, so that it is no 106, but `Ca2+` and `HCO3−`.

    >>> raised("10", "6"), raised("Ca", "2+"), raised("HCO3", "−"), raised("s", "−1")
    ('10^6', 'Ca2+', 'HCO3−', 's^−1')
    """
    bare = re.sub(r"\s*([+−–-])\s*", r"\1", above.strip())  # formulas set signs in spaces
    digits_before = base[-1:].isdigit() or base[-1:] == ")"
    if not base.strip() or base[-1:].isspace() or _AS_IS.fullmatch(bare):
        return base + above
    space = above[len(above.rstrip()) :]
    if _NUMBER.fullmatch(bare) and not digits_before:
        return base + bare + space
    return f"{base}^{bare if _ONE.fullmatch(bare) else f'({bare})'}{space}"


def _write(element: Element) -> str:
    name = local(element)
    parts = [_write(child) for child in element]
    write = _LAYOUTS.get(name)
    if write and len(parts) >= 2:
        return write(parts)
    if name == "mspace":
        return " "
    if name == "mo":
        sign = (element.text or "").strip()
        return f" {sign} " if sign in _SPACED else sign
    if name == "msqrt":
        return f"sqrt({''.join(parts).strip()})"
    if name in ("mtable", "mtr"):
        return ("; " if name == "mtable" else " ").join(part.strip() for part in parts if part.strip())
    if name == "mfenced":
        inner = f"{element.get('separators', ',')[:1]} ".join(part.strip() for part in parts)
        return f"{element.get('open', '(')}{inner}{element.get('close', ')')}"
    if name == "semantics":  # the formula, then the same again in other notations
        return parts[0] if parts else ""
    return "".join(parts) if parts else element.text or ""


def _grouped(part: str) -> str:
    part = part.strip()
    return f"({part})" if re.search(r"[\s+×/=]", part) else part


_LAYOUTS: dict[str, Callable[[list[str]], str]] = {
    "mfrac": lambda parts: f"{_grouped(parts[0])}/{_grouped(parts[1])}",
    "msup": lambda parts: raised(parts[0].rstrip(), parts[1]),
    "msub": lambda parts: parts[0].rstrip() + parts[1].strip(),
    "msubsup": lambda parts: raised(parts[0].rstrip() + parts[1].strip(), parts[-1].strip()),
    "munder": lambda parts: _beside(parts[0], parts[1]),
    "mover": lambda parts: _beside(parts[0], parts[1]),
    "munderover": lambda parts: _beside(_beside(parts[0], parts[1]), parts[-1]),
    "mroot": lambda parts: f"root({parts[0].strip()}, {parts[1].strip()})",
}


def _beside(base: str, note: str) -> str:
    """What stands over or under an arrow or a brace, in brackets after it; lines drawn there are left out."""
    note = note.strip()
    return f"{base.rstrip()} ({note}) " if re.search(r"\w", note) else base
