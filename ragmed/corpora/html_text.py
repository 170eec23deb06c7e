"""An HTML tree in, its text with Markdown headings, lists, tables and listings out.

The text is what a reader sees, or can open by a click. What is no text of the page is left out: scripts, styles,
navigation, form controls, drawings, what the page hides, the site's footer. All else is kept.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from ragmed.corpora.grid import Grid, span

DROPPED = frozenset(
    "script style noscript template nav svg canvas iframe object embed video audio map select textarea input "
    "head title annotation annotation-xml dialog".split()
)
DROPPED_ROLES = frozenset("navigation search menu menubar contentinfo dialog alertdialog".split())
LABELLED = frozenset("h1 h2 h3 h4 h5 h6 summary dt th caption legend".split())
"""Elements whose words may stand in a button that opens what follows, or sorts a column."""

SECTIONS = frozenset("article aside blockquote details dialog fieldset figure main nav section td".split())
"""A footer in one of these is that part's own, with its authors or sources; any other is the site's."""
BLOCKS = frozenset(
    "address article aside blockquote body caption center dd details dir div dl dt fieldset figcaption figure footer "
    "form h1 h2 h3 h4 h5 h6 header hgroup hr legend li main menu ol p pre section summary table tbody td tfoot th "
    "thead tr ul".split()
)
LISTS = frozenset(("ul", "ol", "dir", "menu"))
HEADINGS = frozenset(f"h{level}" for level in range(1, 7))
OPENING = {"sup": "^", "del": "~~", "s": "~~", "strike": "~~", "q": '"'}
CLOSING = {"del": "~~", "s": "~~", "strike": "~~", "q": '"'}
MAX_INDENT = 8  # a deeper list is no list

MAX_RULES = 500
"""Rules of a page's styles that are looked at: each is searched for in all the others."""

_SPACE = re.compile(r"\s+")
_HEADING_MARK = re.compile(r"^([ ]{0,3})(#{1,6})(?=\s|\Z)", re.MULTILINE)
_HEADINGS = "h1, h2, h3, h4, h5, h6, [role=heading]"
_HIDING = re.compile(r"(?:^|[;{\s])(?:display\s*:\s*none|visibility\s*:\s*hidden)\b", re.I)
_SHOWING = re.compile(r"(?:^|[;{\s])(?:display\s*:\s*(?!none\b)[a-z]|visibility\s*:\s*visible)", re.I)
_COMMENT = re.compile(r"/\*.*?\*/", re.DOTALL)
_AT_RULE = re.compile(r"@[^;{}]*(?:;|\{(?:[^{}]*\{[^{}]*\})*[^{}]*\})")  # such as what holds in print alone
_RULE = re.compile(r"([^{}]+)\{([^{}]*)\}")
_SIMPLE = re.compile(r"[a-z][a-z0-9]*|[a-z0-9]*(?:[.#][A-Za-z_][\w-]*)+")
_WITHIN = "table table, table h1, table h2, table h3, table h4"


def markdown_of(root: Any) -> str:
    """
        markdown_of(LexborHTMLParser("<h1>A</h1><ul><li>b<li>c</ul>").body)  # '# A\\n\\n- b\\n- c\\n'

    Powers keep their mark (10^9, not 109), struck text its own (~~5 mg~~); a cell that spans rows is repeated in each.
    """
    hidden = _Hidden(root)
    writer = _Writer({node.mem_id for node in _layout_tables(root)})
    steps: list[tuple[Any, bool]] = [(root, True)]
    while steps:
        node, entering = steps.pop()
        if not entering:
            writer.leave(node)
        elif node.is_text_node:
            writer.text(node.text_content or "")
        elif node.is_element_node and (node.mem_id == root.mem_id or not (_dropped(node) or hidden.holds(node))):
            writer.enter(node)
            steps.append((node, False))
            child = node.last_child
            while child is not None:
                steps.append((child, True))
                child = child.prev
    return writer.whole()


def _dropped(node: Any) -> bool:
    if node.tag == "button":
        return not _labels(node)
    if node.tag == "footer":
        return _is_of_site(node)
    return node.tag in DROPPED or _role(node) in DROPPED_ROLES


def _role(node: Any) -> str:
    return (node.attributes.get("role") or "").strip().lower()


def _above(node: Any) -> Iterator[Any]:
    while (node := node.parent) is not None:
        yield node


def _labels(button: Any) -> bool:
    """Whether a button's words are a heading, as where a click opens the section: it holds one, or stands in one."""
    return button.css_first(_HEADINGS) is not None or any(
        node.tag in LABELLED or _role(node) == "heading" for node in _above(button)
    )


def _is_of_site(footer: Any) -> bool:
    """Not the footer of an article, and not one that holds notes to which the text refers."""
    if any(node.tag in SECTIONS for node in _above(footer)):
        return False
    notes = {node.attributes.get("id") for node in footer.css("[id]")} - {footer.attributes.get("id")}
    references = _root(footer).css("sup a[href^='#'], a[role=doc-noteref]")
    return not any((node.attributes.get("href") or "")[1:] in notes for node in references)


class _Hidden:
    """What a page hides: by the attribute `hidden`, by its own style or by the page's, from readers by `aria-hidden`.

    What a click on a heading or a tab shows is not hidden, nor is what the page's styles show in another state.
    """

    def __init__(self, root: Any) -> None:
        page = _root(root)
        openers = [node for node in page.css("button[aria-controls]") if _labels(node)]
        openers += page.css("[role=tab][aria-controls], [role=heading] [aria-controls], summary[aria-controls]")
        named = " ".join(node.attributes.get("aria-controls") or "" for node in openers)
        self._opened = set(named.split())
        styles = [node.text() for node in page.css("style") if _on_screen(node)]
        selectors = ", ".join(_hiding("\n".join(styles)))
        self._by_style = {node.mem_id for node in page.css(selectors)} if selectors else set()

    def holds(self, node: Any) -> bool:
        marks = node.attributes
        if marks.get("id") in self._opened or _role(node) == "tabpanel":
            return False
        if node.mem_id in self._by_style or _HIDING.search(marks.get("style") or ""):
            return True
        if "hidden" in marks and (marks["hidden"] or "").strip().lower() != "until-found":
            return True
        # A page that was saved while a notice lay over it has its whole text marked so.
        return (marks.get("aria-hidden") or "").strip().lower() == "true" and node.css_first("main, h1") is None


def _on_screen(style: Any) -> bool:
    return (style.attributes.get("media") or "all").strip().lower() in ("all", "screen")


def is_hidden(node: Any) -> bool:
    """Whether an element says itself that it is not shown."""
    return "hidden" in node.attributes or bool(_HIDING.search(node.attributes.get("style") or ""))


def _hiding(css: str) -> list[str]:
    """The simple selectors (`.sr`, `p.note`, `#banner`) that a page's styles hide in every state and medium."""
    rules = [match.groups() for match in _RULE.finditer(_AT_RULE.sub("", _COMMENT.sub("", css)))]
    shown = " ".join(selector for selector, body in rules if _SHOWING.search(body))
    hiding = (one.strip() for selector, body in rules if _HIDING.search(body) for one in selector.split(","))
    names = [one for one in dict.fromkeys(hiding) if _SIMPLE.fullmatch(one)]
    return [one for one in names[:MAX_RULES] if not re.search(rf"{re.escape(one)}(?![\w-])", shown)]


def _root(node: Any) -> Any:
    return [node, *_above(node)][-1]


def _layout_tables(root: Any) -> list[Any]:
    """Tables that lay out a page: those around other tables or headings, and those that say so."""
    tables: list[Any] = list(root.css("table[role=presentation], table[role=none]"))
    for inner in root.css(_WITHIN):
        node = inner.parent
        while node is not None and node.tag != "table":
            node = node.parent
        if node is not None:
            tables.append(node)
    return tables


def _number(node: Any, name: str, default: int) -> int:
    value = (node.attributes.get(name) or "").strip()
    return int(value) if value.isascii() and value.isdigit() and len(value) < 7 else default


class _Writer:
    """Takes the tree's events in order. Within a table that shows data there is no other table and no heading."""

    def __init__(self, layout: set[int]) -> None:
        self._layout = layout
        self._blocks: list[tuple[str, bool]] = []  # text, and whether it opens a list item: those stand close
        self._inline: list[str] = []
        self._lists: list[int | None] = []  # per open list, the number of its last item, or None for bullets
        self._marker = ""
        self._pre = 0
        self._table: Grid | None = None
        self._in_cell = False

    def text(self, text: str) -> None:
        self._inline.append(text if self._pre else _SPACE.sub(" ", text))

    def enter(self, node: Any) -> None:
        tag = node.tag
        if tag in BLOCKS:
            self._end_block()
        if tag in LISTS:
            self._lists.append(_number(node, "start", 1) - 1 if tag == "ol" else None)
        elif tag == "li":
            self._begin_item()
        elif tag == "pre":
            self._pre += 1
        elif tag == "table" and node.mem_id not in self._layout:
            self._table = Grid()
        elif self._table and tag == "tr":
            self._table.begin_row()
        elif self._table and tag in ("td", "th"):
            self._in_cell = True
        elif tag == "br":
            self._inline.append("\n")
        elif tag == "img" and (node.attributes.get("alt") or "").strip():
            self._inline.append(f" [image: {_SPACE.sub(' ', node.attributes['alt']).strip()}] ")
        else:
            self._inline.append(OPENING.get(tag, ""))

    def leave(self, node: Any) -> None:
        tag = node.tag
        if self._table and tag in ("td", "th"):
            cell = " ".join("".join(self._inline).split())
            self._inline, self._in_cell = [], False
            rows, columns = (span(node.attributes.get(name)) for name in ("rowspan", "colspan"))
            self._table.add(cell, rows=rows, columns=columns, heading=tag == "th")
        elif tag in BLOCKS:
            self._end_block(heading=int(tag[1]) if tag in HEADINGS else 0)
        if tag in LISTS:
            self._lists.pop()
        elif tag == "li":
            self._marker = ""
        elif tag == "pre":
            self._pre -= 1
        elif self._table and tag == "tr":
            self._table.end_row(in_head=node.parent.tag == "thead")
        elif self._table and tag == "table":
            self._blocks.append((self._table.lines(), False))
            self._table = None
        else:
            self._inline.append(CLOSING.get(tag, ""))

    def whole(self) -> str:
        self._end_block()
        pieces: list[str] = []
        close = False
        for block, item in self._blocks:
            pieces.extend(["" if not pieces else "\n" if close and item else "\n\n", block])
            close = item
        return "".join(pieces) + "\n" if pieces else ""

    def _begin_item(self) -> None:
        if not self._lists or (last := self._lists[-1]) is None:
            self._marker = "- "
        else:
            self._lists[-1] = last + 1
            self._marker = f"{last + 1}. "
        if self._in_cell:
            self._inline.append(self._marker)

    def _end_block(self, heading: int = 0) -> None:
        if self._in_cell:
            self._inline.append(" ")
            return
        text = "".join(self._inline)
        self._inline = []
        if not text.strip():
            return
        if self._pre:
            self._blocks.append((f"````\n{text.strip(chr(10))}\n````", False))
        elif heading:
            self._blocks.append(("#" * heading + " " + " ".join(text.split()), False))
        else:
            lines = [" ".join(line.split()) for line in text.split("\n")]
            body = _HEADING_MARK.sub(r"\1\\\2", "\n".join(line for line in lines if line))
            self._blocks.append((self._placed(body), bool(self._marker)))
            self._marker = ""

    def _placed(self, body: str) -> str:
        """Under the list items that it stands in, after its own one's marker."""
        depth = max(len(self._lists), 1 if self._marker else 0)
        if not depth:
            return body
        indent = "  " * min(depth - 1, MAX_INDENT)
        first = indent + (self._marker or "  ")
        return first + body.replace("\n", "\n" + indent + "  ")
