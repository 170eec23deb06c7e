"""An arm's declared query form, and examples, in; the queries that a retriever is asked for each of them out.

A task says what of an example may be sought (its question, or its material); the form says in what words. Options are
added where an arm declares it, gold never. What the arm's own model writes is greedy, under the model's own seed, and
is kept in the sample: an example that is asked again is sought by the same words.

Papers: HyDE: Gao et al. 2023, "Precise Zero-Shot Dense Retrieval without Relevance Labels", ACL, section 3.2, with one
passage, which is the query; rewriting: Ma et al. 2023, "Query Rewriting in Retrieval-Augmented Large Language Models",
EMNLP, section 3.1, by the frozen reader.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from ragmed.arms import BY_MODEL, QueryForm
from ragmed.errors import UsageError
from ragmed.models import Model
from ragmed.prompts import harmless
from ragmed.records import Completion, Example, Message
from ragmed.retrieval.words import WORD
from ragmed.tasks import BoundTask

VERSION = 1
"""Raised with every change below that can change a query."""
WRITE = {
    "hyde": "Write a short passage, as a medical reference text could hold it, that answers the following.",
    "rewrite": "Write a short search query that finds the passage of a medical reference text that answers the "
    "following. Write nothing but the query.",
}
ENDS = {"hyde": "Passage:", "rewrite": "Search query:"}
MOST_TOKENS = {"hyde": 128, "rewrite": 48}
"""What a model may write of a form; of a passage that is longer, its beginning is the query."""
FUNCTION_WORDS = frozenset(
    "a about after all also an and any are as at be because been before being between both but by can could did do "
    "does doing each else for from had has have having he her here him his how i if in into is it its may me might "
    "more most must my no nor not of on once only or other our over shall she should so some such than that the their "
    "them then there these they this those through to under until up upon us was we were what when where whether which "
    "while who whom whose why will with within without would you your".split()
)
"""English words that say nothing of what is sought."""


@dataclass(frozen=True, slots=True)
class Asked:
    """The queries of one example, one or several; `error`: why there is none; `lost`: for no answer came back. Tokens:
    what the model read and wrote."""

    queries: tuple[str, ...] = ()
    input_tokens: int = 0
    output_tokens: int = 0
    error: str = ""
    lost: bool = False


@dataclass(frozen=True, slots=True)
class Queries:
    """
        Queries("keywords").of(bound, bound.examples[:1])[0].queries   # ('gout treatment',)

    `recorded`: by the id of the example, what was asked for it before; it is taken again, and no model is asked.
    """

    form: QueryForm = "question"
    recorded: Mapping[str, Asked] = field(default_factory=dict)

    @property
    def needs_model(self) -> bool:
        return self.form in BY_MODEL

    def of(self, bound: BoundTask, examples: Sequence[Example], model: Model | None = None) -> list[Asked]:
        """One for each example, in order. UsageError for options that the task has not, and where a model must write
        and there is none."""
        if not self.needs_model:
            return [Asked(_by_rule(self.form, bound, example)) for example in examples]
        open_ = [example for example in examples if example.id not in self.recorded]
        if open_ and model is None:
            raise UsageError(
                f"query: {self.form}: the arm's own model writes the queries of '{bound.name}', and no model is "
                "loaded here; name a run that holds them, or take another form"
            )
        made = dict(zip((e.id for e in open_), written(self.form, bound, open_, model), strict=True)) if model else {}
        return [self.recorded.get(example.id) or made[example.id] for example in examples]


def _by_rule(form: QueryForm, bound: BoundTask, example: Example) -> tuple[str, ...]:
    queries = bound.task.query(example)
    if form == "question+options":
        if not example.options:
            raise UsageError(f"query: {form}: task '{bound.name}' has no options; leave query out")
        options = " ".join(example.options.values())
        return tuple(f"{query} {options}" for query in queries)
    return tuple(keywords(query) for query in queries) if form == "keywords" else queries


def keywords(text: str) -> str:
    """
    >>> keywords("Which drugs are given for gout, and how are the drugs taken?")
    'drugs given gout taken'

    The words of a text that are no function words, in its order, each once; the text itself where none is left.
    """
    words = dict.fromkeys(word for word in WORD.findall(text) if word.lower() not in FUNCTION_WORDS)
    return " ".join(words) or text


def written(form: QueryForm, bound: BoundTask, examples: Sequence[Example], model: Model) -> list[Asked]:
    """What a model writes of a form, of what the task lets be sought and nothing else."""
    prompts = [query_messages(form, bound, example) for example in examples]
    most = MOST_TOKENS[form]
    room = model.context_tokens - most - model.thinking_tokens
    fits = [tokens <= room for tokens in model.count_tokens(prompts)] if prompts else []
    completions = iter(
        model.generate([prompt for prompt, fit in zip(prompts, fits, strict=True) if fit], max_tokens=most)
        if any(fits)
        else []
    )
    long = Asked(error=f"no query was written: its prompt and {most} tokens are more than '{model.name}' holds")
    return [_asked(form, next(completions)) if fit else long for fit in fits]


def query_messages(form: QueryForm, bound: BoundTask, example: Example) -> tuple[Message, ...]:
    """The prompt by which a model is asked for a query: one turn, without passages, options or few-shot examples."""
    sought = "\n".join(harmless(query) for query in bound.task.query(example))
    return (Message("user", f"{WRITE[form]}\n\n{sought}\n\n{ENDS[form]}"),)


def _asked(form: QueryForm, completion: Completion) -> Asked:
    tokens = completion.input_tokens, completion.output_tokens
    if completion.finish in ("error", "refused"):
        why = completion.error or "the model refused"
        return Asked((), *tokens, error=f"no query was written: {why}", lost=completion.finish == "error")
    text = query_text(form, completion.text)
    return Asked((text,), *tokens) if text else Asked((), *tokens, error="no query was written: the answer is empty")


def query_text(form: QueryForm, text: str) -> str:
    """
    >>> query_text("rewrite", 'Search query: "gout treatment"')
    'gout treatment'

    What of an answer is the query: of a rewriting its first line, without the words that asked for it and quotes;
    else all of it.
    """
    if form != "rewrite":
        return " ".join(text.removeprefix(ENDS[form]).split())
    lines = (line.strip() for line in text.strip().removeprefix(ENDS[form]).splitlines())
    return next((found for line in lines if (found := line.strip("\"'`*“” ").strip())), "")
