"""An answer in, the letter of the option that it names out. Extraction only; comparing with gold happens elsewhere.

An answer that cannot be read is None, never a default letter, and a wrong reading is worse than none. An option is
named by its letter, by its text, or by both, which must agree. Three things count, the first that is there:

    stated     "The answer is B", "24 mg is correct", \\boxed{B}, {"answer": "B"}, "So, B."
    opening    the answer begins with the option: "B", "B) 24 mg", "24 mg, because ..."; where letter and text agree
               ("B. 24 mg. 12 mg is for children"), its reasons may name other options, if they prefer none of them
    mentioned  no other option is named anywhere, in a text that neither doubts nor denies it

A letter that belongs to a word ("hepatitis B", "vitamin C", "section D.2") is none of them, unless that word and letter
are an option's text.
"""

from __future__ import annotations

import functools
import itertools
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

# Of whoever writes, in the first person: that a patient cannot answer is a finding.
REFUSAL = re.compile(
    "(?=[iakjnн我抱对對お回답대도와ل])(?:"  # how they begin: most places are passed over by that alone
    r"\b(?:i(?:'m| am) (?:sorry|unable|not able)|i (?:can(?:no|')t|cannot|can not|won't|will not) "
    r"(?:answer|provide|assist|help|give|offer|diagnose)|as an ai\b|as a language model\b)"
    r"|\b(?:ich kann|kann ich)\b[^.!?]{0,60}\b(?:nicht|kein\w{0,2})\b[^.!?]{0,60}(?:antworten|helfen|geben|stellen)\b"
    r"|\bno puedo (?:responder|contestar|ayudar|proporcionar|dar|ofrecer)"
    r"|\bje ne (?:peux|puis|suis)\b[^.!?]{0,40}\b(?:répondre|aider|fournir|donner)"
    r"|\bnão posso (?:responder|ajudar|fornecer|dar|oferecer)"
    r"|\bnon posso (?:rispondere|aiutar|fornire|dare|offrire)"
    r"|\bне могу (?:ответить|отвечать|помочь|предоставить|дать)"
    r"|(?:我|抱歉|对不起|對不起)[^。！？]{0,15}(?:无法|無法|不能)(?:回答|提供|帮助|幫助|协助|協助|给出|給出)"
    r"|(?:お答え|回答|お手伝い|お力添え)(?:することは|することが|は|が)?でき(?:ません|ない)"
    r"|(?:답변|대답|도움|도와)[^.!?]{0,12}수 없"
    r"|لا (?:أستطيع|يمكنني) (?:الإجابة|المساعدة|تقديم|إعطاء)"
    ")",
    re.IGNORECASE,
)
_MOST = 400  # options named in a text: in one that names more, the first and the last are looked at
_MATCHES = 2000  # at either end of a text, of what may name an option: only a text that repeats itself holds more
_AROUND = 90  # characters before and after a name that say how it is meant

# Characters that nobody sees; other forms of letters and marks; emphasis and other markup.
_UNSEEN = re.compile("[\u00ad\u200b-\u200f\u202a-\u202e\u2060-\u2064\ufeff]")
_FORMS: dict[int, str] = {code: chr(code - 0xFEE0) for code in range(0xFF01, 0xFF5F)} | {
    ord(form): mark
    for forms, mark in (("“”„«»", '"'), ("‘’", "'"), ("–—−", " - "), ("。", "."), ("、", ","), ("\u3000", " "))
    for form in forms
}
_EMOJI = re.compile("[\u2600-\u27bf\u2b00-\u2bff\ufe0f\U0001f300-\U0001faff]")
_LATEX_FONT = re.compile(r"\\(?:text|math)[a-z]{0,6}\s?\{([^{}]{0,200})\}")
_BOXED = re.compile(r"\\boxed\s?\{([^{}]{0,200})\}|\\boxed\s?([A-Za-z])\b")
_ANSWER_TAG = re.compile(r"<(?:final[ _-]?)?answer>", re.IGNORECASE)
_LETTER_TAG = re.compile(r"<([A-Z])>")
_TAG = re.compile(r"</?[A-Za-z][A-Za-z0-9 _-]{0,30}>|<\|[a-z_]{1,30}\|>")
_CITATION = re.compile(r"\s?\[\d{1,3}\]")
_MARKUP = re.compile(r"[*`#\"$]|\\[()\[\]]|(?<!\w)'|'(?!\w)")
_LINE_MARK = re.compile(r"(?m)^ ?(?:(?:[>#•→⇒=-]+|\d{1,2}[.)]) )+")
_NEXT_QUESTION = re.compile(r"\n ?(?:question|q) ?\d{0,4} ?:", re.IGNORECASE)

_COMMON = frozenset("yes no none both all any other others neither either maybe true false never always same".split())
"""Texts of options that stand in any prose, so that their being mentioned is no answer."""

# What stands right before an option that is stated to be the answer. Verbs link a noun to it.
_LINK = (
    r"(?: (?:to|for) (?:this|the) question| here)?"
    r"(?: (?:is|was|would be|should be|must be|will be|has to be|remains|es|ist|lautet|est|è|é) ?:?| ?[:=]| -)"
)
_ANSWER = (
    r"\b(?:answer(?: choice| option| letter| key)?|ans\.?|(?:respuesta|opción)(?: correcta)?|antwort|lösung"
    r"|réponse(?: correcte)?|(?:risposta|opzione)(?: corretta)?|(?:resposta|opção|alternativa)(?: correta)?|ответ)"
)
_QUALITY = r"\b(?:correct|right|best|final|most appropriate|most likely|chosen|selected)"
_CUE = re.compile(
    rf"(?:{_ANSWER}{_LINK}"
    rf"|{_QUALITY}(?: [a-z]+){{1,3}}{_LINK}"
    r"|(?:答案|回答|正解|정답|选|選|选择|選擇) ?(?:是|为|為|は|은)? ?:?"
    r"|(?:^|\n|[.!?] )(?:(?:the|my) )?(?:correct |right |best |final )?"
    r"(?:answer|choice|option|selection|response|solution|result|conclusion|letter|correct|verdict)(?: is)?"
    r"(?: ?[:=-]|\n| )"
    r"|\b(?:choice|option|selection|response|solution|selected|letter) ?[:=]"
    r"|\bi(?:'d|'ll| would| will| shall)?"
    r" (?:choose|pick|select|say|answer|recommend|suggest|go with|go for|opt for|vote for)"
    r"|\b(?:it(?:'s| is| should be| must be| has to be)|this is|that is|that leaves)"
    r"|(?:^|\n|[.!?,;] )(?:so|thus|therefore|hence|ergo|in conclusion|ok|okay|sure|certainly|finally)(?: it is)?[,:]?"
    r"|\b(?:says|states|said|stated|above)[,:]"
    r")\s?(?:(?:the|la|die|clearly|most|likely|probably|definitely|therefore|indeed|simply) ){0,2}$",
    re.IGNORECASE,
)
_ANSWER_SAID = re.compile(r"\b(?:answer|correct|right|best|so|thus|therefore|hence)\b", re.IGNORECASE)
_IS_RIGHT = re.compile(
    r" (?:is|was|must be|should be|would be|has to be|seems|looks)"
    r" (?:(?:clearly|definitely|probably|therefore|indeed|also|the|my|a|most|likely) ){0,4}"
    r"(?:correct|right|best|answer|true|choice|accurate|appropriate)\b(?! (?:if|when|unless|about|for|in)\b)",
    re.IGNORECASE,
)
_BUT = re.compile(r",? ?(?:but|rather|instead)(?: rather| it is| it's)?[,:]? ?", re.IGNORECASE)

# What stands before or after an option that is denied, or doubted.
_CLAUSE = re.compile(r"[.,:;!?\n]|\b(?:but|so|hence|thus|therefore)\b", re.IGNORECASE)
_DENIED_BEFORE = re.compile(
    r"(?:\b(?:not|no|never|neither|nor|cannot|without|except|excluding|than|(?:rather|instead) (?:than|of)|exclude"
    r"|rules? out|ruled out|wrong|incorrect)|n't)(?: [\w'-]+){0,3} ?\(?$",
    re.IGNORECASE,
)
_DENIED_AFTER = re.compile(
    r",? (?:(?:is|are|was|were|seems|would be|being|can be|has been) (?:\w+ly |also |both )?"
    r"(?:not|wrong|incorrect|false|too|unlikely|less|least|the least|ruled out|excluded|contraindicated|inappropriate"
    r"|insufficient)\b"
    r"|(?:should|must|can|could|do|does|did|will|would|may|has|have) ?(?:not|n't)\b|cannot\b|(?:is|was|do|does)n't\b"
    r"|ruled out)",
    re.IGNORECASE,
)
_WRONG = re.compile(r"\b(?:wrong|incorrect) [a-z]+(?: is)? ?:? $", re.IGNORECASE)
_DOUBTED_BEFORE = re.compile(
    r"\b(?:if|whether|unless|suppose|assume|could|might|may|either|perhaps|possibly|between|thought|consider|considering"
    r"|both|all of)\b",
    re.IGNORECASE,
)
_DOUBTED_AFTER = re.compile(r" ?\?| (?:if|unless)\b|[^.!?\n]{0,60} if (?:the|it|he|she)\b", re.IGNORECASE)
_JOINED = re.compile(
    r",? ?(?:/|,|&|-|or|and|and/or|or perhaps|or maybe|to|then|oder|ou|o)(?: (?:option|either))? ?", re.I
)
_CORRECTED = re.compile(
    r"\b(?:wait|no|actually|correction|sorry|wrong|incorrect|instead|second thought|rather|but|final|so|thus|therefore"
    r"|hence|conclusion|however)\b",
    re.IGNORECASE,
)
_TAKEN_BACK = re.compile(
    r"\bwait[,.!:]"
    r"|\b(?:actually|correction|sorry|second thoughts?|on reflection|i was|mistake|mistaken|reconsider\w*)\b"
    r"|(?:\n|[.!?] )no[,:.]"
    r"|\b(?:this|that|it|which|answer|option|choice) (?:is|was|would be) (?:wrong|incorrect|not (?:the )?"
    r"(?:correct|right|best|most))\b",
    re.IGNORECASE,
)
"""Words after an answer that take it back, for which `_CORRECTED` is too wide: reasons hold "but" and "however"."""
_NOT_RIGHT = re.compile(
    r" (?:is|was|would be|cannot be|can't be|isn't) (?:\w+ ){0,2}(?:wrong|incorrect|correct|right|the answer)\b",
    re.IGNORECASE,
)
_PREFERRED = re.compile(
    r" (?:fits|suits) better\b"
    r"|,? (?:(?:is|was|are|(?:would|should|could|may|might|must) be|has to be|seems|remains) (?:[\w-]+ ){0,3})"
    r"(?:better|best|prefer\w+|recommended|mo(?:re|st) (?:appropriate|suitable|accurate|likely)"
    r"|first[- ](?:line|choice)|of choice|gold standard|indicated|needed|required|given|chosen)\b",
    re.IGNORECASE,
)
_IN_FULL = r"(?i:,? (?:i\.e\.,?|which (?:is|stands for|represents),?) )"
_SAID_IN_FULL = re.compile(_IN_FULL)
_ITEM = re.compile(r"[(\[]?\w(?!\w)")

# Where a sentence or a line begins, and what may follow a letter, or a text, that stands for itself.
_BEGINS = re.compile(r"(?:^|\n|[.!?] )\s?$")
_CLOSES = re.compile(r"\s?(?:$|\n|[.!](?!\w))")
_LETTER_ENDS = re.compile(
    r"\s?(?:$|\n|[.,:;!?])|\s?\(| - | (?:because|since|as|and|due|but|not|here|for)\b", re.IGNORECASE
)
_SMALL_ENDS = re.compile(r"\s?(?:$|\n|[.!)](?:\s|$))| (?:because|since|and not)\b")
_TEXT_ENDS = re.compile(
    r"\s?(?:$|\n|[.,:;!?)\]])|\s?\(| - | (?:because|since|as|due|but|not|here|which"
    r"|(?:is|was|are|should be|must be) (?:the|my|correct|right|best|given|needed|required|used|stopped|indicated"
    r"|recommended|stated|likely|preferred|first))\b",
    re.IGNORECASE,
)
_SENTENCE_ENDS = re.compile(
    r"\s?(?:$|\n|[.!;)](?!\w)|\()|,? (?:because|since|as|due|but|not|which|so)\b", re.IGNORECASE
)
_TEXT_BEGINS = re.compile(
    r"(?:^|[\n.,:;!?(] ?|\b(?:is|was|has|have|be|the|an?|give|given|stop|use|start|need|needs|of|at|with|to|should|must"
    r"|so|thus|hence|therefore|likely|as|then) )$",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class _Named:
    """An option that is named at [start, end): `letter`, None where letter and text disagree."""

    start: int
    end: int
    letter: str | None
    marked: bool
    """Whether it cannot be a word of the sentence: `(B)`, `B)`, `option B`, `B. 24 mg`."""
    by_text: bool
    by_both: bool
    """Whether its letter and its text stand together."""
    telling: bool
    """Whether its text, without a letter, says which option is meant: "no" does not."""
    ended: bool
    denied: bool
    doubted: bool
    before: str
    after: str

    @property
    def counts(self) -> bool:
        return self.ended and not self.denied and not self.doubted


def find_letter(text: str, options: Mapping[str, str], *, cut: bool = False) -> str | None:
    """
    >>> doses = {"A": "12 mg", "B": "24 mg"}
    >>> find_letter("The answer is (B), because ...", doses), find_letter("It is 24 mg.", doses)
    ('B', 'B')
    >>> find_letter("B. 12 mg", doses), find_letter("Hepatitis B.", doses), find_letter("A or B", doses)
    (None, None, None)

    `options`: letter -> text; an empty text is none. `cut`: the text was cut off, so that an option's text at its end
    may be the beginning of something else. Where a text states several answers the last one is read if it says that it
    corrects itself or concludes, else none. Of two options with one text, which are named by it, the first is read.
    """
    if not options:
        return None
    plain = _plain(text)
    if next_question := _NEXT_QUESTION.search(plain, 1):
        plain = plain[: next_question.start()]  # the model goes on with a question of its own
    named = list(_named(plain, options))
    if cut:
        named = [name for name in named if not (name.by_text and name.end == len(plain))]
    stated = [name for name in named if name.counts and _is_stated(name, named, plain)]
    opening = next((name for name in named[:1] if name.start == 0 and name.counts), None)
    if stated:
        return _last(stated, opening, named, plain)
    marked = {name.letter for name in named if name.marked and not name.denied}
    if opening and any(_denies(name, opening) for name in named[1:]):
        return None
    if opening and _stands(opening, named[1:], plain):
        return opening.letter
    if opening and (opening.marked or not opening.by_text or _TEXT_ENDS.match(opening.after)):
        rivals = marked | {name.letter for name in named if name.by_text and name.telling and not name.denied}
        rivals |= {name.letter for name in named if name.counts and not plain[name.end :].strip(" \n.!")}
        return opening.letter if rivals <= {opening.letter} else None
    mentioned = [name for name in named if (name.marked or name.telling) and not name.denied]
    if cut or not mentioned or any(name.doubted for name in mentioned):
        return None
    if not any(name.ended and (name.marked or _stands_for_itself(name)) for name in mentioned):
        return None
    letters = {name.letter for name in mentioned}
    return letters.pop() if len(letters) == 1 else None


def _last(stated: Sequence[_Named], opening: _Named | None, named: Sequence[_Named], plain: str) -> str | None:
    """The letter of the last statement, unless another one stands before it and nothing between takes that back."""
    last = stated[-1]
    before = [name for name in stated if name.letter != last.letter]
    listed = {name.letter for name in named if name.marked and _BEGINS.search(name.before)}
    if opening and opening.letter != last.letter and len(listed) < 2:
        before.append(opening)
    if last.by_text and not _ANSWER_SAID.search(last.before) and not _IS_RIGHT.match(last.after):
        # "The dose is 12 mg. In renal failure it is 24 mg."
        before += [
            name
            for name in named
            if name.telling and name.counts and name.letter != last.letter and name.end < last.start
        ]
    if before and not _CORRECTED.search(plain, max(name.end for name in before), last.start):
        return None
    return last.letter


def _stands(opening: _Named, after: Sequence[_Named], plain: str) -> bool:
    """Whether an answer opens with an option's letter and text, or with its letter and, in its reasons, with its text
    before that of any other; and the reasons neither take it back nor prefer, list or close with another option.
    """
    told = [name for name in after if (name.marked or name.telling) and not name.denied]
    if opening.by_text or not opening.letter:
        return False
    if opening.by_both:
        agrees = bool(_TEXT_ENDS.match(opening.after) or _SAID_IN_FULL.search(plain, opening.start, opening.end))
    else:
        agrees = bool(told) and told[0].letter == opening.letter and not told[0].doubted and told[0].telling
    if not agrees or _TAKEN_BACK.search(plain, opening.end):
        return False
    rivals = [name for name in after if name.letter != opening.letter and not name.denied]
    return not any(_PREFERRED.match(name.after) or _opens_or_closes(name, plain) for name in rivals)


def _denies(name: _Named, opening: _Named) -> bool:
    """Whether an answer says of its own option that it is not the right one."""
    return name.letter == opening.letter and name.denied and _NOT_RIGHT.match(name.after) is not None


def _opens_or_closes(name: _Named, plain: str) -> bool:
    """Whether a name stands as an answer of its own: an item of a list of options, "B. 24 mg" at the beginning of a
    line or sentence ("Option B is for later" is none), or the last sentence.
    """
    item = name.marked and _ITEM.match(plain, name.start)
    return bool(_BEGINS.search(name.before)) and bool(item or not plain[name.end :].strip(" \n.!"))


def _is_stated(name: _Named, named: Sequence[_Named], plain: str) -> bool:
    if _IS_RIGHT.match(name.after):
        return name.marked or not name.by_text or name.telling
    if _CUE.search(name.before):
        return True
    if name.start == 0:
        return False
    previous = next((other for other in reversed(named) if other.end <= name.start), None)
    if previous and previous.denied and _BUT.fullmatch(plain, previous.end, name.start):
        return True
    rivals = {other.letter for other in named if other.counts and other.marked} - {name.letter}
    alone = _BEGINS.search(name.before) and _CLOSES.match(name.after) and not rivals
    return bool(alone) and not plain[name.end :].strip(" \n.!")


def _stands_for_itself(name: _Named) -> bool:
    return bool(_TEXT_BEGINS.search(name.before) and _SENTENCE_ENDS.match(name.after))


def _plain(text: str) -> str:
    """Without markup, in one form of each mark. Runs of white space become a blank, or a line's end where they hold
    one: patterns would try every way to share them out.
    """
    text = _one_space(_EMOJI.sub("", _UNSEEN.sub("", text)).translate(_FORMS))
    for _ in range(2):
        text = _LATEX_FONT.sub(r"\1", text)
    text = _BOXED.sub(r"\nanswer: \1\2\n", text)
    text = _TAG.sub("\n", _LETTER_TAG.sub(r"(\1)", _ANSWER_TAG.sub("\nanswer: ", text)))
    text = _MARKUP.sub("", _CITATION.sub("", text)).replace("_", " ").replace("{", "\n").replace("}", "\n")
    text = _one_space(text)
    return _LINE_MARK.sub("", text.strip()).strip()


def _one_space(text: str) -> str:
    """A blank, or a line's end, for every run of white space that is not a single blank already."""
    return re.sub(r"\s{2,}|[^\S ]", lambda run: "\n" if "\n" in run.group() else " ", text)


def _named(plain: str, options: Mapping[str, str]) -> Iterator[_Named]:
    """Every place where an option is named, in order."""
    texts = _texts_of(tuple(options.items()))
    found = [match for match in _matches(texts.pattern(plain), plain) if not _is_word(match, plain, options)]
    if len(found) > _MOST:
        found = [*found[: _MOST // 2], *found[-_MOST // 2 :]]
    joined: set[int] = set()
    for number, (one, other) in enumerate(itertools.pairwise(found)):
        if _JOINED.fullmatch(plain, one.end(), other.start()):
            joined |= {number, number + 1}
    for number, match in enumerate(found):
        yield _name(match, plain, texts, joined=number in joined)


def _matches(pattern: re.Pattern[str], plain: str) -> list[re.Match[str]]:
    """All matches, or the first and the last `_MATCHES` of a text that holds more than twice as many."""
    first = list(itertools.islice(pattern.finditer(plain), _MATCHES))
    if len(first) < _MATCHES:
        return first
    looked_at = 4 * _MATCHES
    while True:
        begin = max(first[-1].end(), len(plain) - looked_at)
        last = list(pattern.finditer(plain, begin))
        if len(last) > _MATCHES or begin == first[-1].end():  # more, as the first of these may begin inside another
            return [*first, *last[-_MATCHES:]]
        looked_at *= 2


def _is_word(match: re.Match[str], plain: str, options: Mapping[str, str]) -> bool:
    """Whether a small letter is a word of the sentence ("a dose"), and names nothing."""
    letter = match["letter"]
    bare = letter and letter not in options and not (match["word"] or match["close"] or match["text"])
    return bool(bare) and not _SMALL_ENDS.match(plain, match.end())


def _name(match: re.Match[str], plain: str, texts: _Texts, *, joined: bool) -> _Named:
    written: str = match["letter"] or match["second"] or ""
    text: str = match["first"] or match["short"] or match["text"] or ""
    start, end = match.span()
    before, after = plain[max(0, start - _AROUND) : start], plain[end : end + _AROUND]
    letter: str | None = written if written in texts.options else written.upper() or None
    begins = bool(_BEGINS.search(before))
    enclosed = match["close"] and (begins or (match["open"] and written in texts.options))
    marked = ended = bool(enclosed or match["word"] or match["short"] or (written and text))
    if written and text:
        if letter not in texts.letters(text):
            letter = None
        if match["letter"] and match["between"] == " " and not (match["close"] or match["word"]):
            marked = ended = bool(_TEXT_ENDS.match(after))  # "A 12 mg dose" names no option A
    elif text:
        letter, ended = texts.letters(text)[0], bool(_TEXT_ENDS.match(after))
    else:
        if not match["word"] and texts.is_anothers(written, letter):
            letter = None
        ends = _LETTER_ENDS if written in texts.options else _SMALL_ENDS
        ended = bool(enclosed or ends.match(after) or _IS_RIGHT.match(after))
        marked = marked or (begins and after.startswith((".", ":")))
    clause = _CLAUSE.split(before)[-1]
    return _Named(
        start,
        end,
        letter,
        marked=marked,
        by_text=bool(text) and not written,
        by_both=bool(text and written),
        telling=bool(match["short"]) or bool(text and texts.is_telling(text)),
        ended=ended,
        denied=bool(_DENIED_BEFORE.search(clause) or _WRONG.search(before) or _DENIED_AFTER.match(after)),
        doubted=joined or bool(_DOUBTED_BEFORE.search(clause) or _DOUBTED_AFTER.match(after)),
        before=before,
        after=after,
    )


@functools.lru_cache(1 << 13)  # every arm answers the same questions
def _texts_of(options: tuple[tuple[str, str], ...]) -> _Texts:
    return _Texts(dict(options))


class _Texts:
    """The texts of an example's options, and the patterns of all ways to name one of them.

    `letters(text)`: the options that have a text. Case counts only where it alone tells two options apart (AA, Aa, aa).
    """

    def __init__(self, options: Mapping[str, str]) -> None:
        self.options = options
        plain = {letter: _plain(text).replace("\n", " ").strip(" .") for letter, text in options.items()}
        plain = {letter: text for letter, text in plain.items() if text}
        exact, folded = ({fold(text) for text in plain.values()} for fold in (str, str.casefold))
        self._case_counts = len(folded) < len(exact)
        self._letters: dict[str, list[str]] = {}
        for letter, text in plain.items():
            self._letters.setdefault(self._key(text), []).append(letter)
        longest_first = sorted(set(plain.values()), key=len, reverse=True)
        self._bare = {text: "".join(text.split()).casefold() for text in longest_first}

    def letters(self, text: str) -> Sequence[str]:
        return self._letters[self._key(text)]

    def is_anothers(self, written: str, letter: str | None) -> bool:
        """Whether a letter is another option's text, and not its own: where A is "O" and B is "A", "A" is neither."""
        having = self._letters.get(self._key(written))
        return having is not None and letter not in having

    def is_telling(self, text: str) -> bool:
        folded = text.casefold()
        has_unit = any(map(str.isdigit, text)) and any(map(str.isalpha, text))
        return has_unit or (len(text) > 3 and folded not in _COMMON and not text.isdecimal())

    def _key(self, text: str) -> str:
        key = re.sub(r"\s", "", text)
        return key if self._case_counts or len(key) == 1 else key.casefold()

    def pattern(self, plain: str) -> re.Pattern[str]:
        """All ways to name an option in this text. An option's text that is not in it, blanks and case apart, is left
        out, so that most answers share a pattern. (Beyond ASCII case is not that simple.)
        """
        squeezed = "".join(plain.split()).casefold() if plain.isascii() else None
        there = (
            text for text, bare in self._bare.items() if squeezed is None or not text.isascii() or bare in squeezed
        )
        return _pattern(tuple(self.options), tuple(there), case_counts=self._case_counts)


@functools.lru_cache(1 << 13)  # one is 8 KB, and takes up to 4 ms
def _pattern(options: tuple[str, ...], texts: tuple[str, ...], *, case_counts: bool) -> re.Pattern[str]:
    """Groups: `first` a text, `second` the letter after it; `short` a text of one or two letters after a word such as
    "group"; `letter` between `open` and `close`, after a `word` such as "option", its `text` after `between`.
    """
    letters = "".join((*options, *(c.lower() for c in options if c.lower() not in options)))
    one, never = f"[{re.escape(letters)}]", r"(?!)"
    case = "(?:" if case_counts else "(?i:"
    end = r"(?!\w|[.,]\d|/\w|-\w)"
    alone, alone_end = r"(?<![A-Za-z0-9\u00c0-\u024f°'.-])", r"(?![A-Za-z0-9\u00c0-\u024f']|-\w|\.\d)"
    spelt = {text: _spelt(text) for text in texts}
    every = "|".join(spelt.values()) or never
    longer = "|".join(spelt[text] for text in texts if text.upper() not in options) or never
    short = "|".join(re.escape(text) for text in texts if len(text) <= 2 and text.isalpha()) or never
    return re.compile(
        rf"(?i:\b(?:group|type|antigen|genotype) (?:is )?)(?P<short>{short}){alone_end}"
        rf"|(?<![\w-])(?<!\d[.,/])(?P<first>{case}{longer})){end}"
        rf"(?:,? (?:\((?i:option |choice )?|(?i:option |choice ))(?P<second>{one}){alone_end}\)?)?"
        rf"|(?P<word>(?i:\b(?:option|choice|letter|alternative) ))?(?P<open>[(\[]?)"
        rf"{alone}(?P<letter>{one}){alone_end}"
        rf"(?P<close>[)\]]?)(?:(?P<between>[.:,]? ?[=-]? ?[(\[]?? ?|{_IN_FULL})(?<=[ .:,)=(\[-])"
        rf"(?P<text>{case}{every})){end}[)\]]?)?"
    )


def _spelt(text: str) -> str:
    """A pattern of a text whose blanks may be line ends, and are not needed between a number and its unit."""
    if len(text) == 1:
        return f"(?-i:{re.escape(text)})"
    blank = re.sub(r"(?<=\d)\\ (?=[A-Za-z%])", r"\\s?", re.escape(text))
    return re.sub(r"(?:\\ )?\\-(?:\\ )?", r"\\s?-\\s?", blank).replace("\\ ", r"\s")


def corrects_itself(text: str) -> bool:
    """
    >>> corrects_itself("B. Wait, no: that dose is a child's."), corrects_itself("B, for an adult.")
    (True, False)

    Whether a text that gave an answer takes it back, or comes to a conclusion.
    """
    return _CORRECTED.search(text) is not None


def goes_on_asking(text: str) -> bool:
    """
    >>> goes_on_asking("B\\n\\nQuestion: Which dose is given?")
    True

    Whether a model goes on, after its answer, with a question of its own.
    """
    return _NEXT_QUESTION.search(text) is not None


def is_refusal(text: str) -> bool:
    """
    >>> is_refusal("I’m sorry, but I can’t help."), is_refusal("抱歉，我无法回答。"), is_refusal("He cannot answer.")
    (True, True, False)

    Whether a text refuses to answer, in English or one of ten other languages.
    """
    return REFUSAL.search(text.replace("’", "'")) is not None


def seen(text: str) -> str:
    """
    >>> seen("\u202eB\u202c\u200b")
    'B'

    A text without the characters that nobody sees.
    """
    return _UNSEEN.sub("", text)


def mirage_answer(text: str) -> str:
    """The part that MIRAGE's evaluation looks at: what follows the last `"answer_choice": "`, else the whole text."""
    return text.rsplit('"answer_choice": "', maxsplit=1)[-1].strip()


def mirage_letter(text: str) -> str | None:
    """
    >>> mirage_letter('{"step_by_step_thinking": "...", "answer_choice": "B. 40 mg"}')
    'B'

    The letter that MIRAGE's own evaluation reads (github.com/Teddy-XiongGZ/MIRAGE, src/utils.py: ten patterns, the
    first that matches wins) in `mirage_answer`. None where it falls back to "A".
    """
    answer = mirage_answer(text)
    for before, after in _MIRAGE:
        match = re.search(f"{before}([ABCD]){after}", answer)
        if match:
            return match.group(1)
    return None


_MIRAGE = (
    *(("^", after) for after in (r"$", " or", " and", "/", ",")),
    ("[Oo]ption ", ""),
    (r":\s*", ""),
    *(("^", after) for after in (r"\.", '"', ":")),
)
