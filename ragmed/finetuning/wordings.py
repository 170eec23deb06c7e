"""A question and what it is about, or a page's title and heading -> the same asked in other words, from templates.

MedQuAD's questions were themselves made from templates, one a kind; each kind has other ways to ask here. A question
that does not have the form of its kind, or of which nobody says the kind, is only framed: its own words stay.
"""

from __future__ import annotations

MOST = 6
"""Wordings that every question and every page has, its own not counted."""

FORMS: dict[str, tuple[str, ...]] = {
    "information": ("What is (are) {}?", "Do you have information about {}", "Do you have information about {}?"),
    "symptoms": ("What are the symptoms of {}?",),
    "treatment": ("What are the treatments for {}?",),
    "inheritance": ("Is {} inherited?",),
    "frequency": ("How many people are affected by {}?",),
    "genetic changes": ("What are the genetic changes related to {}?",),
    "causes": ("What causes {}?",),
    "exams and tests": ("How to diagnose {}?",),
    "research": ("what research (or clinical trials) is being done for {}?", "what research is being done for {}?"),
    "outlook": ("What is the outlook for {}?", "what is the prognosis for {}?"),
    "susceptibility": ("Who is at risk for {}?",),
    "considerations": ("What to do for {}?",),
    "prevention": ("How to prevent {}?",),
    "stages": ("What are the stages of {}?",),
    "complications": ("What are the complications of {}?",),
    "support groups": ("Where to find support for people with {}?",),
}
"""Kind -> the forms in which MedQuAD asks for it; only these are asked in the words of WORDINGS."""

WORDINGS: dict[str, tuple[str, ...]] = {
    "information": (
        "Can you explain {} to me?",
        "What should one know about {}?",
        "Give an overview of {}.",
        "How would you describe {}?",
        "Tell me about {}.",
        "What is meant by {}?",
    ),
    "symptoms": (
        "How does {} show itself?",
        "Which signs and symptoms point to {}?",
        "What does somebody with {} notice?",
        "Describe the symptoms of {}.",
        "What are typical complaints in {}?",
        "How do I recognise {}?",
    ),
    "treatment": (
        "How is {} treated?",
        "Which therapies are there for {}?",
        "What can be done against {}?",
        "What do doctors offer people with {}?",
        "Describe the treatment of {}.",
        "How is {} managed?",
    ),
    "inheritance": (
        "Is {} passed on in families?",
        "How is {} passed from parents to children?",
        "Does {} run in families?",
        "What is the inheritance pattern of {}?",
        "Can a child get {} from its parents?",
        "Describe how {} is inherited.",
    ),
    "frequency": (
        "How common is {}?",
        "How often does {} occur?",
        "What is the prevalence of {}?",
        "Is {} rare?",
        "How frequent is {} in the population?",
        "Say how many people have {}.",
    ),
    "genetic changes": (
        "Which genes are involved in {}?",
        "Which mutations lead to {}?",
        "What is the genetic basis of {}?",
        "Describe the genetic changes behind {}.",
        "Changes in which genes are linked to {}?",
        "What is known about the genetics of {}?",
    ),
    "causes": (
        "Why does somebody get {}?",
        "What leads to {}?",
        "How does {} come about?",
        "What is the origin of {}?",
        "Describe the causes of {}.",
        "What is behind {}?",
    ),
    "exams and tests": (
        "How is {} diagnosed?",
        "Which tests show {}?",
        "Which examinations are done when {} is suspected?",
        "How do doctors find out that it is {}?",
        "Describe the diagnosis of {}.",
        "By which exams is {} confirmed?",
    ),
    "research": (
        "What is being studied about {}?",
        "Is there ongoing research on {}?",
        "Which studies of {} are under way?",
        "What do researchers work on in {}?",
        "Describe current research on {}.",
        "Are there clinical trials for {}?",
    ),
    "outlook": (
        "What is the prognosis of {}?",
        "How does {} usually go on?",
        "What can people with {} expect?",
        "What is the course of {} over time?",
        "Describe the outlook in {}.",
        "How well do people with {} fare?",
    ),
    "susceptibility": (
        "Which people are likely to get {}?",
        "What are the risk factors for {}?",
        "What raises the risk of {}?",
        "In whom does {} occur more often?",
        "Describe who is at risk of {}.",
        "Whom does {} affect most?",
    ),
    "considerations": (
        "What should one do about {}?",
        "How should one live with {}?",
        "What is there to keep in mind with {}?",
        "What advice is there for people with {}?",
        "Describe what helps with {}.",
        "What should people with {} watch?",
    ),
    "prevention": (
        "How can {} be prevented?",
        "Can one avoid {}?",
        "What protects against {}?",
        "How does one lower the risk of {}?",
        "Describe the prevention of {}.",
        "What can be done so that {} does not occur?",
    ),
    "stages": (
        "Which stages does {} have?",
        "How is {} staged?",
        "Describe the stages of {}.",
        "Into which stages is {} divided?",
        "How is the extent of {} classified?",
        "What does the stage of {} mean?",
    ),
    "complications": (
        "Which complications can {} have?",
        "What can {} lead to?",
        "Which problems may follow {}?",
        "Describe the complications of {}.",
        "What can go wrong in {}?",
        "What are the consequences of {}?",
    ),
    "support groups": (
        "Who supports people with {}?",
        "Are there support groups for {}?",
        "Where do people with {} find help?",
        "Which organisations help people with {}?",
        "Name sources of support for {}.",
        "To whom can families with {} turn?",
    ),
}
"""Kind -> MOST ways to ask for it."""

FRAMES = (
    "Please answer this question: {}",
    "A patient asks: {}",
    "I would like to know the following. {}",
    "Answer from what you have learnt: {}",
    "Somebody wants to know: {}",
    "Here is a health question. {}",
)
"""Around a question whose own words stay."""

PAGES = (
    'What does the page "{}" say?',
    'Tell me what is written under "{}".',
    'Repeat the text on "{}".',
    "What do the references say about: {}?",
    'What are the rules or facts given under "{}"?',
    "Give the reference text on the subject: {}.",
)
"""Around a page's title, with the heading of the section where it has one."""


def question_wordings(question: str, *, kind: str, focus: str, count: int) -> list[str]:
    """
    >>> question_wordings("What causes gout?", kind="causes", focus="gout", count=2)
    ['Why does somebody get gout?', 'What leads to gout?']

    `count` (at most MOST) other wordings. `focus`: what the question is about, as it stands in the question.
    """
    asked = " ".join(question.split()).casefold()
    if focus and any(asked == form.format(focus).casefold() for form in FORMS.get(kind, ())):
        return [wording.format(focus) for wording in WORDINGS[kind][:count]]
    return [frame.format(question) for frame in FRAMES[:count]]


def passage_questions(title: str, heading: str, count: int) -> list[str]:
    """
    >>> passage_questions("Bed tiers", "Moves", 1)
    ['What does the page "Bed tiers > Moves" say?']
    """
    about = " > ".join(part for part in (title, heading) if part)
    return [page.format(about) for page in PAGES[:count]]
