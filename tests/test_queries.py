from ragmed.tasks.queries import MOST_QUERIES, MOST_WORDS, short_queries


def test_what_comes_first_is_asked_first_and_the_rest_is_spread_over_the_text() -> None:
    note = " ".join(f"Sentence number {i} is here." for i in range(60))
    queries = short_queries("The knee hurts badly. Yes.", note)
    assert len(queries) == MOST_QUERIES
    assert queries[0] == "The knee hurts badly."
    assert [int(query.split()[2]) for query in queries[1:]] == [0, 8, 17, 25, 34, 42, 51]


def test_nothing_is_asked_twice_and_all_is_asked_where_there_is_room() -> None:
    text = "It hurts a lot.\nIt  hurts a lot. He cannot walk now."
    assert short_queries(text, text) == ("It hurts a lot.", "He cannot walk now.")


def test_a_long_sentence_is_cut_and_short_ones_alone_are_one_query() -> None:
    (query,) = short_queries("word " * 300)
    assert len(query.split()) == MOST_WORDS
    assert short_queries("No. Yes.\nNo fever.") == ("No. Yes. No fever.",)
    assert short_queries(" \n") == ()
