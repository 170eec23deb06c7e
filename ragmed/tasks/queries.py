"""A long text -> several short queries for a retriever, whose rankings are fused: a whole note as one query is a mean
of all that it says, and embedders read no more than its beginning."""

from __future__ import annotations

from collections.abc import Iterator

from ragmed.chunking.sentences import sentences

MOST_QUERIES = 8
MOST_WORDS = 48  # of one query: some 64 tokens, well within what embedders read
FEWEST_WORDS = 3  # "Yes.", "No fever." find nothing of their own
PACKED_WORDS = 60
"""Words of a query of whole sentences: what the usual embedders take (256 tokens), and few enough to be about few
things."""


def packed_queries(*texts: str) -> tuple[str, ...]:
    """
    >>> [len(query.split()) for query in packed_queries("Admitted with chest pain. " * 25 + "Died.")]
    [60, 41]

    All of the texts as queries of whole sentences, none of more than PACKED_WORDS words and no word left out; a
    sentence, or a list without full stops, that is longer is cut.
    """
    queries: list[list[str]] = [[]]
    for line in (line for text in texts for line in text.splitlines()):
        for start, end in sentences(line, 0, len(line)):
            words = line[start:end].split()
            if queries[-1] and len(queries[-1]) + len(words) > PACKED_WORDS:
                queries.append([])
            for word in words:
                if len(queries[-1]) == PACKED_WORDS:
                    queries.append([])
                queries[-1].append(word)
    return tuple(" ".join(words) for words in queries if words)


def short_queries(*texts: str, most: int = MOST_QUERIES) -> tuple[str, ...]:
    """
    >>> short_queries("He has had a cough for days. Yes. He takes 5 mg of warfarin daily.")
    ('He has had a cough for days.', 'He takes 5 mg of warfarin daily.')

    At most `most` queries: lines and sentences of the texts, each once, at most MOST_WORDS words of each. Texts that
    come first are asked first: later ones fill up what is left, with sentences spread evenly over their length. A text
    of nothing but short sentences is one query.
    """
    queries: dict[str, None] = {}
    for text in texts:
        found = [query for query in dict.fromkeys(_short(text)) if query not in queries]
        room = most - len(queries)
        queries |= dict.fromkeys(found[place * len(found) // room] for place in range(room) if found)
    if not queries:
        words = " ".join(texts).split()
        return (" ".join(words[:MOST_WORDS]),) if words else ()
    return tuple(queries)


def _short(text: str) -> Iterator[str]:
    for line in text.splitlines():
        for start, end in sentences(line, 0, len(line)):
            words = line[start:end].split()
            if len(words) >= FEWEST_WORDS:
                yield " ".join(words[:MOST_WORDS])
