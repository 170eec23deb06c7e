"""A page of a PDF as pypdf parses it in, the same page as a reader takes it in out: powers marked, columns in order.

Nothing is decoded here: operations of the page's content are marked and put into another order, and pypdf reads them.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

Matrix = tuple[float, float, float, float, float, float]

IDENTITY: Matrix = (1.0, 0.0, 0.0, 1.0, 0.0, 0.0)
MAX_OPERATIONS = 200_000
"""A page of more (a map, a plot) is read as it is drawn."""

RAISED = (0.15, 0.75)
"""How far above the line a power stands, in sizes of the line's letters."""

SMALLER = 0.85
"""A power is no larger than this share of the line's letters, unless it is raised by the text's own rise."""

BESIDE = 0.3
"""A power begins within this many sizes of where the letters before it end."""

GUTTER = 1.0
"""Sizes of white space that part two columns."""

LINE = 3.0
"""Sizes from one line down to the next, at most, within columns."""

COLUMN_ROWS = 3
"""Rows in which both columns have words, at least."""

COLUMN_EMS = 12.0
COLUMN_FILLED = 0.55
"""Lines of prose are this long on average, and fill this share of their column; cells of a table do not."""

MARGIN = 0.1
"""Share of a page's height at its top and bottom where the line stands that a fax or scanner adds."""

SCANNED = 0.5
"""Share of the page that is covered by images, at least, where it is a scan."""


@dataclass(frozen=True, slots=True)
class _State:
    """What a text operation needs, as PDF 32000-1, 9.3, has it."""

    matrix: Matrix = IDENTITY
    name: Any = None
    font: Any = None
    size: float = 12.0
    scale: float = 100.0
    spacing: float = 0.0
    words: float = 0.0
    leading: float = 0.0
    rise: float = 0.0
    invisible: bool = False


@dataclass(slots=True)
class _Shown:
    """An operation that shows text, or an object. `start`, `end`, `base`, `size`: its place on the page, in points; a
    `size` of 0 where it is no upright text. `text`: as far as its codes are letters. `before`: what the operation did
    beside showing text."""

    operation: tuple[Any, bytes]
    state: _State
    text_matrix: Matrix
    start: float = 0.0
    end: float = 0.0
    base: float = 0.0
    size: float = 0.0
    text: str = ""
    before: tuple[tuple[Any, bytes], ...] = ()


@dataclass(slots=True)
class Layout:
    """What a page shows. `covered`: the share of the page under images."""

    shown: list[_Shown] = field(default_factory=list)
    covered: float = 0.0
    height: float = 0.0
    bottom: float = 0.0

    def is_scan(self) -> bool:
        """Whether images cover the page, and what text there is stands at its upper or lower edge alone.

        The invisible text that OCR lays over a scan counts as text.
        """
        texts = [one for one in self.shown if one.size and one.text.strip()]
        low, high = self.bottom + MARGIN * self.height, self.bottom + (1 - MARGIN) * self.height
        return (
            self.covered >= SCANNED
            and all(one.size for one in self.shown if one.operation[1] != b"Do")
            and not any(one.state.invisible or low < one.base < high for one in texts)
        )


def read_in_order(page: Any) -> Layout:
    """
        layout = read_in_order(reader.pages[0])
        text = reader.pages[0].extract_text()  # '0.5 x 10^9/L', and one column after the other

    Replaces the page's content where it has powers, or columns that are drawn line by line across the page.
    """
    from pypdf.generic import ContentStream, NameObject

    layout = Layout(height=float(page.mediabox.height), bottom=float(page.mediabox.bottom))
    if "/Contents" not in page:
        return layout
    content = ContentStream(page["/Contents"].get_object(), page.pdf, "bytes")  # codes, to be read by their fonts
    if len(content.operations) > MAX_OPERATIONS:
        return layout
    walk = _Walk(page, layout)
    operations = [walk.take(operands, operator) for operands, operator in content.operations]
    marked = _mark_powers(layout.shown)
    ordered = _in_columns(layout.shown)
    if ordered is not layout.shown:
        content.operations = [operation for one in ordered for operation in _alone(one)]
    elif marked:
        content.operations = [operation for one in operations for operation in _in_place(one)]
    page[NameObject("/Contents")] = content
    return layout


class _Walk:
    """Follows the state of a page's operations."""

    def __init__(self, page: Any, layout: Layout) -> None:
        self._fonts = page._layout_mode_fonts()  # the same widths that pypdf's own extraction goes by
        self._images = _images(page)
        self._layout = layout
        self._area = float(page.mediabox.width) * layout.height or 1.0
        self._state, self._stack = _State(), list[_State]()
        self._text = self._line = IDENTITY

    def take(self, operands: Any, operator: bytes) -> Any:
        """The operation, or what it shows: a list of _Shown."""
        if operator in (b"Tj", b"TJ", b"'", b'"'):
            return self._show(operands, operator)
        if operator == b"Do":
            return self._draw(operands)
        if operator in _MOVES:
            numbers = [float(one) for one in operands or () if isinstance(one, int | float)]
            self._move(operator, numbers, operands)
        return (operands, operator)

    def _move(self, operator: bytes, numbers: list[float], operands: Any) -> None:
        state = self._state
        if operator == b"q":
            self._stack.append(state)
        elif operator == b"Q" and self._stack:
            self._state = self._stack.pop()
        elif operator == b"cm" and len(numbers) == 6:
            self._state = replace(state, matrix=_times(_matrix(numbers), state.matrix))
        elif operator == b"BT":
            self._text = self._line = IDENTITY
        elif operator == b"Tm" and len(numbers) == 6:
            self._text = self._line = _matrix(numbers)
        elif operator in (b"Td", b"TD") and len(numbers) == 2:
            if operator == b"TD":
                self._state = replace(state, leading=-numbers[1])
            self._next_line(numbers[0], numbers[1])
        elif operator == b"T*":
            self._next_line(0.0, -state.leading)
        elif operator == b"Tf" and numbers:
            self._state = replace(state, name=operands[0], font=self._fonts.get(operands[0]), size=numbers[-1])
        elif operator in _SETTINGS and numbers:
            changed: dict[str, Any] = {_SETTINGS[operator]: numbers[0]}
            self._state = replace(state, **changed)
        elif operator == b"Tr" and numbers:
            self._state = replace(state, invisible=numbers[0] == 3)

    def _next_line(self, x: float, y: float) -> None:
        self._text = self._line = _times((1.0, 0.0, 0.0, 1.0, x, y), self._line)

    def _show(self, operands: Any, operator: bytes) -> Any:
        from pypdf.generic import ArrayObject

        before: tuple[tuple[Any, bytes], ...] = ()
        if operator == b'"' and len(operands) >= 3:
            before = ((operands[:1], b"Tw"), (operands[1:2], b"Tc"))
            for operation in before:
                self.take(*operation)
        if operator in (b"'", b'"'):
            self._next_line(0.0, -self._state.leading)
            before, operands = (*before, ([], b"T*")), operands[-1:]
        if not operands:
            return (operands, operator)
        parts = operands[0] if isinstance(operands[0], list) else [operands[0]]
        return [
            self._stretch(ArrayObject(group), before if number == 0 else ())
            for number, group in enumerate(_parted(parts))
        ]

    def _stretch(self, parts: list[Any], before: tuple[tuple[Any, bytes], ...]) -> _Shown:
        shown = _Shown(([parts], b"TJ"), self._state, self._text, before=before)
        state, moved, ahead, text = self._state, 0.0, 0.0, ""
        for part in parts:
            if isinstance(part, int | float):
                moved -= float(part) / 1000 * state.size
                ahead = ahead if text else moved
            else:
                letters, width = _measured(part, state.font)
                text += letters
                moved += width / 1000 * state.size + state.spacing * len(letters) + state.words * letters.count(" ")
        moved, ahead = moved * state.scale / 100, ahead * state.scale / 100
        a, b, c, d, x, y = _times(self._text, state.matrix)
        if a > 0 and d > 0 and abs(b) + abs(c) < 0.01 * (a + d):
            shown.start, shown.end = x + a * ahead, x + a * moved
            shown.base, shown.size, shown.text = y + d * state.rise, d * abs(state.size), text
        self._text = _times((1.0, 0.0, 0.0, 1.0, moved, 0.0), self._text)
        self._layout.shown.append(shown)
        return shown

    def _draw(self, operands: Any) -> Any:
        a, b, c, d, _, _ = self._state.matrix
        if operands and operands[0] in self._images:
            self._layout.covered += abs(a * d - b * c) / self._area
        shown = _Shown((operands, b"Do"), self._state, IDENTITY)
        self._layout.shown.append(shown)
        return [shown]


_MOVES = frozenset(
    (b"q", b"Q", b"cm", b"BT", b"Tm", b"Td", b"TD", b"T*", b"Tf", b"Tz", b"Tc", b"Tw", b"TL", b"Ts", b"Tr")
)
_SETTINGS = {b"Tz": "scale", b"Tc": "spacing", b"Tw": "words", b"TL": "leading", b"Ts": "rise"}


def _parted(parts: Sequence[Any]) -> list[list[Any]]:
    """An array of codes and moves, parted before each move that leaves as much room as a gutter."""
    groups: list[list[Any]] = [[]]
    for part in parts:
        if isinstance(part, int | float) and part <= -1000 * GUTTER and groups[-1]:
            groups.append([])
        groups[-1].append(part)
    return groups


def _matrix(numbers: Sequence[float]) -> Matrix:
    a, b, c, d, e, f = numbers
    return a, b, c, d, e, f


def _times(first: Matrix, second: Matrix) -> Matrix:
    a, b, c, d, e, f = first
    g, h, i, j, k, m = second
    return (a * g + b * i, a * h + b * j, c * g + d * i, c * h + d * j, e * g + f * i + k, e * h + f * j + m)


def _images(page: Any) -> set[str]:
    resources = page.get("/Resources")
    drawn = resources.get_object().get("/XObject") if resources is not None else None
    named = drawn.get_object().items() if drawn is not None else ()
    return {name for name, item in named if item.get_object().get("/Subtype") == "/Image"}


def _measured(codes: Any, font: Any) -> tuple[str, float]:
    """The letters that codes stand for, and their width in thousandths of the size; half a size each without a font."""
    if font is None:
        return str(codes), 500.0 * len(codes)
    from pypdf._text_extraction import get_text_operands

    text, _, width = get_text_operands([codes], list(IDENTITY), list(IDENTITY), font, (0,))
    return text, width


def _mark_powers(shown: Sequence[_Shown]) -> bool:
    """Puts a mark before each power; whether there was one."""
    from pypdf.generic import FloatObject, TextStringObject

    base: _Shown | None = None  # the letters on the line before, and where the power after them ends
    end, marked, found = 0.0, False, False
    for one in shown:
        if not one.size or not one.text.strip():
            end = one.end if one.size and base and abs(one.start - end) < BESIDE * base.size else end
            continue
        if base and _is_power(one, base, end):
            if not marked and one.text.strip() not in ("\u2122", "\u00ae", "\u00b0", "\u00ba"):
                # pypdf takes a str for text and bytes for codes; the mark's width is taken back, since it moved no pen
                caret = float(one.state.font.get_text_width("^")) if one.state.font else 0.0
                one.operation[0][0][:0] = [TextStringObject("^"), FloatObject(caret)]
                found = True
            marked = True
        else:
            base, marked = one, False
        end = one.end
    return found


def _is_power(one: _Shown, base: _Shown, end: float) -> bool:
    raised = (one.base - base.base) / base.size
    smaller = one.size <= SMALLER * base.size
    by_rise = one.state.rise > 0 and one.size <= base.size
    beside = abs(one.start - end) <= BESIDE * base.size
    return RAISED[0] <= raised <= RAISED[1] and (smaller or by_rise) and beside


@dataclass(slots=True)
class _Row:
    """What is drawn on one line, from left to right: stretches between gutters."""

    base: float
    size: float
    stretches: list[list[_Shown]]

    def spans(self) -> list[tuple[float, float]]:
        return [(one[0].start, one[-1].end) for one in self.stretches]

    def gaps(self) -> list[tuple[float, float]]:
        return [(a[1], b[0]) for a, b in itertools.pairwise(self.spans())]


def _rows(shown: Sequence[_Shown]) -> Iterator[_Row | _Shown]:
    """Rows as they are drawn; what is no upright text comes alone."""
    row: _Row | None = None
    for one in shown:
        if not one.size:
            if row:
                yield row
            row = None
            yield one
            continue
        last = row.stretches[-1][-1] if row else one
        if row and abs(one.base - row.base) <= RAISED[1] * row.size and one.start >= last.end - 0.5 * row.size:
            if one.start - last.end >= GUTTER * row.size:
                row.stretches.append([])
            row.stretches[-1].append(one)
        else:
            if row:
                yield row
            row = _Row(one.base, one.size, [[one]])
    if row:
        yield row


def _in_columns(shown: list[_Shown]) -> list[_Shown]:
    """The same list where nothing is to be put in order."""
    rows = list(_rows(shown))
    ordered: list[_Shown] = []
    changed, at = False, 0
    while at < len(rows):
        stop, gaps = _run(rows, at)
        columns = _columns([row for row in rows[at:stop] if isinstance(row, _Row)], gaps) if gaps else []
        if columns:
            changed = True
            ordered += [one for column in columns for line in column for one in line]
        else:
            stop = at + 1
            row = rows[at]
            ordered += [row] if isinstance(row, _Shown) else [one for part in row.stretches for one in part]
        at = stop
    return ordered if changed else shown


def _run(rows: Sequence[_Row | _Shown], at: int) -> tuple[int, list[tuple[float, float]]]:
    """Where the rows end that leave the same gutters free, and those gutters."""
    first = rows[at]
    if not isinstance(first, _Row) or len(first.stretches) < 2:
        return at + 1, []
    gaps, stop, before = first.gaps(), at + 1, first
    while stop < len(rows):
        row = rows[stop]
        if not isinstance(row, _Row) or not 0 < before.base - row.base <= LINE * before.size:
            break
        left = _left_free(gaps, row)
        if not left:
            break
        gaps, before, stop = left, row, stop + 1
    return stop, gaps


def _left_free(gaps: Sequence[tuple[float, float]], row: _Row) -> list[tuple[float, float]]:
    free = []
    for low, high in gaps:
        for start, end in row.spans():
            if end <= (low + high) / 2:
                low = max(low, end)
            elif start >= (low + high) / 2:
                high = min(high, start)
            else:
                low = high
        if high - low >= 0.8 * GUTTER * row.size:
            free.append((low, high))
    return free


def _columns(rows: Sequence[_Row], gaps: Sequence[tuple[float, float]]) -> list[list[list[_Shown]]]:
    """Column by column the stretches of rows; none where they are not columns of prose."""
    middles = [(low + high) / 2 for low, high in gaps]
    columns: list[list[list[_Shown]]] = [[] for _ in range(len(middles) + 1)]
    for row in rows:
        for stretch in row.stretches:
            columns[sum(stretch[0].start > middle for middle in middles)].append(stretch)
    for column in columns:
        widths = [one[-1].end - one[0].start for one in column]
        if len(widths) < COLUMN_ROWS:
            return []
        whole = max(one[-1].end for one in column) - min(one[0].start for one in column)
        average = sum(widths) / len(widths)
        if average < COLUMN_FILLED * whole or average < COLUMN_EMS * column[0][0].size:
            return []
    return columns


def _in_place(one: Any) -> Sequence[tuple[Any, bytes]]:
    return [op for shown in one for op in (*shown.before, shown.operation)] if isinstance(one, list) else (one,)


def _alone(one: _Shown) -> list[tuple[Any, bytes]]:
    """The operations that show this at its place whatever stands before or after them."""
    from pypdf.generic import FloatObject

    def numbers(*values: float) -> list[Any]:
        return [FloatObject(value) for value in values]

    state = one.state
    if one.operation[1] == b"Do":
        return [([], b"q"), (numbers(*state.matrix), b"cm"), one.operation, ([], b"Q")]
    return [
        ([], b"q"), (numbers(*state.matrix), b"cm"), ([], b"BT"), ([state.name, *numbers(state.size)], b"Tf"),
        (numbers(state.scale), b"Tz"), (numbers(state.spacing), b"Tc"), (numbers(*one.text_matrix), b"Tm"),
        one.operation, ([], b"ET"), ([], b"Q"),
    ]  # fmt: skip
