"""The cells of a table with their spans, row by row -> a table in Markdown, in which each row can be read alone."""

from __future__ import annotations

MAX_SPAN = 100
"""Columns or rows that a cell is taken to span: a hostile page says a million."""

MAX_TABLE = 4 * 1024 * 1024
"""Characters: a cell is repeated in the rows that it spans, so that a small file could fill the memory."""


def span(value: str | None) -> int:
    """
    >>> span("3"), span("many"), span(None)
    (3, 1, 1)
    """
    text = (value or "").strip()
    return max(1, min(int(text), MAX_SPAN)) if text.isascii() and text.isdigit() and len(text) < 7 else 1


class Grid:
    """
    >>> grid = Grid()
    >>> for head, cells in ((True, ["Drug", "Dose"]), (False, ["A", "5 mg"])):
    ...     grid.begin_row()
    ...     for cell in cells:
    ...         grid.add(cell, heading=head)
    ...     grid.end_row()
    >>> grid.lines()
    '| Drug | Dose |\\n| --- | --- |\\n| A | 5 mg |'

    `head`: how many rows at the top are headings, as all their cells say, or `in_head`.
    """

    def __init__(self) -> None:
        self.rows: list[list[str]] = []
        self.head = 0
        self._below: dict[int, tuple[int, str]] = {}  # column -> rows that a cell of it still covers, and its text
        self._headings = True
        self._size = 0

    def begin_row(self) -> None:
        self.rows.append([])
        self._headings = True
        self._fill()

    def add(self, text: str, *, rows: int = 1, columns: int = 1, heading: bool = False) -> None:
        """The next cell; ValueError for a table that passes MAX_TABLE characters."""
        row, shown = self.rows[-1], text.replace("|", "\\|")
        self._headings = self._headings and heading
        for nth in range(columns):
            cell = shown if nth == 0 else ""
            if rows > 1:
                self._below[len(row)] = (rows, cell)
            row.append(cell)
        self._fill()

    def end_row(self, *, in_head: bool = False) -> None:
        self._below = {column: (left - 1, text) for column, (left, text) in self._below.items() if left > 1}
        self._size += sum(map(len, self.rows[-1])) + 3 * len(self.rows[-1])
        if self._size > MAX_TABLE:
            raise ValueError(f"a table whose cells span so many rows and columns that it passes {MAX_TABLE} characters")
        if not any(self.rows[-1]):
            self.rows.pop()
        elif self.head == len(self.rows) - 1 and (self._headings or in_head):
            self.head += 1

    def _fill(self) -> None:
        row = self.rows[-1]
        while len(row) in self._below:
            row.append(self._below[len(row)][1])

    def lines(self) -> str:
        width = max(map(len, self.rows), default=0)
        lines = ["| " + " | ".join(row + [""] * (width - len(row))) + " |" for row in self.rows]
        if 0 < self.head < len(lines):
            lines.insert(self.head, "|" + " --- |" * width)
        return "\n".join(lines)
