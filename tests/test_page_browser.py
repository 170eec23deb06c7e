"""The page of a run in a real browser, from disk. Needs Debian's `chromium` and the package playwright; the check of
accessibility needs axe-playwright-python as well, which brings axe-core."""

from __future__ import annotations

import dataclasses
import re
import shutil
import time
from pathlib import Path

import pages
import pytest
from answers import answer, changed, compared

from ragmed.comparison.compare import ComparisonSettings, Prices
from ragmed.comparison.costs.break_even import bounded
from ragmed.comparison.costs.rows import BreakEven, Line
from ragmed.comparison.rows import Published
from ragmed.records import Completion, Message, Step
from ragmed.report import effects
from ragmed.report.page import write_page
from ragmed.report.run_list import RunEntry, write_list

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
FLAGS = (
    "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking "
    "--disable-component-update --disable-sync"
)
HIT = "window.hit=1;alert(1)"
HOSTILE = [
    text.replace("HIT", HIT)
    for text in (
        "<script>HIT</script>", "<ScRiPt>HIT</ScRiPt>", "</script><script>HIT</script>", "--><script>HIT</script>",
        "<img src=x onerror=HIT>", '<img src=x onerror="HIT">', "<svg onload=HIT>", "<svg/onload=HIT>", "</title>HIT",
        "<svg><script>HIT</script></svg>", "<body onload=HIT>", "<iframe src=javascript:HIT>",
        "<base href=//evil.test/>",
        '<iframe srcdoc="<script>parent.HIT</script>">', "<a href=javascript:HIT>x</a>", "<details open ontoggle=HIT>",
        "<input autofocus onfocus=HIT>", "<video><source onerror=HIT></video>", "<math><mtext><script>HIT</script>",
        "<object data=javascript:HIT>", "<embed src=javascript:HIT>", "<form action=javascript:HIT><button>x</button>",
        '" onmouseover="HIT', "' onfocus='HIT' autofocus='", '"><script>HIT</script>', "'><img src=x onerror=HIT>",
        "{{ HIT }}", "{% raw %}<script>HIT</script>", "${HIT}", '");HIT;//', "');HIT;//", "]]);HIT;//", "\\\";HIT;//",
        "\\u003cscript>HIT\\u003c/script>", "\u2028HIT\u2029", "<!--<script>HIT</script>-->", "javascript:HIT",
        "<style>@import 'javascript:HIT';</style>", "<link rel=stylesheet href=https://evil.test/x.css>", "__proto__",
        "<img src=https://evil.test/p.png>", "<meta http-equiv=refresh content='0;url=javascript:HIT'>", "constructor",
        "<template><script>HIT</script></template>", "<noscript><p title='</noscript><img src=x onerror=HIT>'>",
        "<xss style=animation-name:x onanimationstart=HIT>", "\u202e\x00\x1b[31m", "\ud800<script>HIT</script>",
    )
]  # fmt: skip


@pytest.fixture(scope="module")
def chromium():
    if CHROMIUM is None:
        pytest.skip("no chromium here: apt-get install chromium")
    driver = pytest.importorskip("playwright.sync_api", reason="needs playwright: pip install playwright")
    with driver.sync_playwright() as started:
        browser = started.chromium.launch(executable_path=CHROMIUM, args=FLAGS.split())
        yield browser
        browser.close()


class Visit:
    """A page that was opened, and everything on it that must not be."""

    def __init__(self, chromium, index: Path, fragment: str = "", **words) -> None:
        self.context = chromium.new_context(viewport={"width": 1200, "height": 900}, **words)
        self.page = self.context.new_page()
        self.page.set_default_timeout(20_000)
        self.wrong: list[str] = []
        self.read: list[str] = []
        self.page.on("console", lambda said: self.wrong.append(f"{said.type}: {said.text}"))
        self.page.on("pageerror", lambda error: self.wrong.append(str(error)))
        self.page.on("requestfailed", lambda request: self.wrong.append(f"failed: {request.url}"))
        self.page.on(
            "request", lambda r: r.url.startswith(("file://", "data:")) or self.wrong.append(f"asked: {r.url}")
        )
        self.page.on("request", lambda request: self.read.append(request.url.rpartition("/")[2]))
        self.page.on("dialog", lambda dialog: (self.wrong.append(f"dialog: {dialog.message}"), dialog.dismiss()))
        self.page.goto(index.as_uri() + fragment)

    def count(self, expected: str) -> None:
        self.page.wait_for_function("text => document.getElementById('count').textContent === text", arg=expected)

    def browse(self) -> None:
        self.page.locator("#samples").scroll_into_view_if_needed()
        self.page.wait_for_selector("#examples button")


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    samples = pages.samples_of()
    folder = tmp_path_factory.mktemp("page")
    return write_page(pages.results_of(samples), run_info=pages.INFO, answers=samples, folder=folder)


@pytest.fixture
def visit(chromium, written):
    found = Visit(chromium, written)
    yield found
    found.context.close()
    assert found.wrong == []


def test_a_link_of_the_ledger_opens_its_examples_and_can_be_sent_on(chromium, written, visit):
    page = visit.page
    page.locator("#ledger tbody a").first.click()
    visit.count("20 of 120 examples")
    page.locator("#examples button").nth(2).click()
    page.wait_for_selector(".answer")
    assert page.locator("#example h3").inner_text() == "handbook · h00008"
    assert re.search(r"#samples\?contrast=0&change=fixed&on=handbook&id=h00008$", page.url)
    assert page.locator(".answer h4 span:first-child").all_inner_texts() == ["general", "rag", "tuned", "both"]
    other = Visit(chromium, written, page.url[page.url.index("#") :])
    other.count("20 of 120 examples")
    other.page.wait_for_selector(".answer")
    assert other.page.locator("#example h3").inner_text() == "handbook · h00008"
    assert other.page.locator("#examples [aria-current]").count() == 1
    other.context.close()
    assert other.wrong == []


def test_an_example_is_shown_as_it_was(visit):
    visit.page.goto(visit.page.url.split("#")[0] + "#samples?on=handbook-letters&id=h00002&task=handbook-letters")
    visit.page.wait_for_selector(".answer")
    second = visit.page.locator(".answer").nth(1)
    assert second.locator(".completion").evaluate("e => e.textContent") == "  It is  ash.\n\tSurely. "
    folded = second.locator("summary").all_inner_texts()
    assert folded == ["1 · 0.500 · ✓ gold · Beds. 2031.", "2 · 0.250 · not gold · Other.", "Prompt, as it was sent"]
    assert second.locator("mark").all_text_contents() == ["ward", "ash"]
    prompt = second.locator("details").last.locator(".text").all_text_contents()
    assert prompt[0] == "Answer. "
    assert prompt[1].startswith("<passages>\n<passage 1>\nWards > Beds\nBed 2 of the annex stands on ward ash. \n")


def test_what_was_done_before_the_question_is_shown_and_never_run(chromium, tmp_path):
    bad = HOSTILE[4]
    taken = (
        Step("follow-up", ("c:a#0", "c:b#0"), (f"gout diet {bad}",), completions=(Completion(bad, "stop", 40, 6),)),
        Step("evidence-filter", ("c:b#0",), dropped={"c:a#0": f"the model said no {bad}"}, note=f"one {bad} unread"),
    )
    samples = {
        (arm, "t"): [answer(f"e{n}", arm, "t", completion="A", options=("x", "y"), steps=steps) for n in range(2)]
        for arm, steps in (("plain", ()), ("searches", taken))
    }
    results = compared(samples, run="r", settings=ComparisonSettings(baseline="plain", resamples=100))
    index = write_page(results, run_info={}, answers=samples, folder=tmp_path)
    seen = Visit(chromium, index, "#samples?on=t&id=e0")
    seen.page.wait_for_selector(".answer")
    card = seen.page.locator(".answer").nth(1)
    card.evaluate("one => one.querySelectorAll('details').forEach(part => { part.open = true; })")
    assert card.locator("summary").all_inner_texts() == [
        "Before the question: Further queries", "Before the question: Evidence filter",
    ]  # fmt: skip
    lines = card.locator("details .aside").all_inner_texts()
    assert lines == [
        f"Searched for: gout diet {bad}", "After it: c:a#0, c:b#0", "40 tokens in · 6 out",
        f"Dropped: c:a#0: the model said no {bad}", "After it: c:b#0",
    ]  # fmt: skip
    assert card.locator("details .notice").all_inner_texts() == [f"one {bad} unread"]
    assert seen.page.locator("p.steps button").count() == 2  # back and on are still there
    assert seen.page.evaluate("window.hit") is None
    seen.context.close()
    assert seen.wrong == []


def test_filters_and_search(visit):
    page = visit.page
    visit.browse()
    visit.count("120 examples")
    page.select_option("[name=status]", "unparsed")
    visit.count("7 of 120 examples")
    page.select_option("[name=arm]", "rag")
    page.select_option("[name=status]", "right")
    visit.count("73 of 120 examples")
    page.select_option("[name=task]", "handbook")
    visit.count("40 of 120 examples")
    page.fill("[name=q]", "BED 5")
    visit.count("8 of 120 examples")  # 5, 50 … 59, without those that are wrong
    page.fill("[name=q]", "night nurse")
    visit.count("0 of 120 examples")
    assert page.locator("#example").inner_text() == "No example fits these filters."
    page.check("[name=deep]")
    visit.count("40 of 120 examples")
    page.click("#filters [type=reset]")
    visit.count("120 examples")
    assert page.locator("#page-at").inner_text() == "page 1 of 3"
    page.click("#page-on")
    assert page.locator("#examples button").count() == 50


def test_a_part_of_the_decomposition_is_a_list_of_its_own(visit):
    visit.page.locator("#decomposition td a").nth(1).click()
    visit.count("3 of 120 examples")
    assert "Only: rag on handbook: no gold document shown" in visit.page.locator("#only").inner_text()
    visit.page.click("#only button")
    visit.count("120 examples")


def test_a_count_of_failures_opens_the_answers_that_it_counts(visit):
    page = visit.page
    page.locator("#failures td a").nth(1).click()  # wrong form, of the second arm
    visit.count("7 of 120 examples")
    assert "Only: rag on handbook-letters: wrong form" in page.locator("#only").inner_text()
    assert page.input_value("[name=arm]") == "rag"
    shown = [text.split()[0] for text in page.locator("#examples button").all_inner_texts()]
    assert len(shown) == 7
    page.locator("#examples button").first.click()
    page.wait_for_selector(".answer")
    assert page.locator(".answer h4").first.inner_text().split() == ["rag", "∅", "unparsed"]


def test_the_keyboard_alone_is_enough(visit):
    page = visit.page
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.className") == "skip"
    page.keyboard.press("j")
    page.wait_for_selector(".answer")
    first = page.locator("#example h3").inner_text()
    page.keyboard.press("j")
    page.wait_for_function("was => document.querySelector('#example h3').textContent !== was", arg=first)
    page.keyboard.press("k")
    page.wait_for_function("was => document.querySelector('#example h3').textContent === was", arg=first)
    page.locator("#examples [aria-current]").focus()
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")
    page.wait_for_function("was => document.querySelector('#example h3').textContent !== was", arg=first)
    page.keyboard.press("/")
    page.wait_for_function("() => document.activeElement.name === 'q'")
    page.keyboard.type("j/k bed")
    assert page.input_value("[name=q]") == "j/k bed"


def test_enter_on_a_count_takes_the_keyboard_along(visit):
    page = visit.page
    for _ in range(2):  # the second time the address is the same
        page.locator("#ledger tbody a").first.focus()
        page.keyboard.press("Enter")
        visit.count("20 of 120 examples")
        page.wait_for_function("() => document.activeElement.id === 'count'")
        page.keyboard.press("Tab")
        assert page.evaluate("document.activeElement.closest('ol').id") == "examples"


@pytest.mark.parametrize("typed", ["-3", "", "1e999"])
def test_a_price_that_is_none_is_said_beside_its_field(visit, typed):
    page = visit.page
    for name, price in (("machine_hour", "3.6"), ("million_input_tokens", "0.5"), ("million_output_tokens", "1.5")):
        page.fill(f"[name={name}]", price)
    assert page.locator("#price-error-machine_hour").inner_text() == ""
    page.locator("[name=machine_hour]").select_text()
    page.keyboard.press("Delete")
    page.keyboard.type(typed[:-1])  # each character that makes a price of it is followed
    before = page.locator(".money-line").all_inner_texts()
    assert before
    page.keyboard.type(typed[-1:])
    assert page.locator("#price-error-machine_hour").inner_text() == "Give a number, 0 or more."
    assert page.locator("[name=machine_hour]").get_attribute("aria-invalid") == "true"
    assert page.locator("#price-error-million_input_tokens").inner_text() == ""
    assert page.locator(".money-line").all_inner_texts() == before
    page.click("#prices [type=reset]")
    page.wait_for_function("() => document.getElementById('price-error-machine_hour').textContent === ''")


def test_of_imported_answers_no_tokens_and_no_seconds_are_shown(chromium, tmp_path):
    samples = {
        (arm, "mmlu/a b"): [
            answer("same?id=1&x", arm, "mmlu/a b", messages=(Message("user", "Which?"),), completion="A",
                   options=("x", "y"))
        ] for arm in ("gpt/cot", "gpt/rag_32")
    }  # fmt: skip
    results = compared(samples, run="r", settings=ComparisonSettings(baseline="gpt/cot", resamples=100))
    index = write_page(results, run_info={"imported": {"kind": "mirage"}}, answers=samples, folder=tmp_path)
    seen = Visit(chromium, index, "#samples?on=mmlu%2Fa+b&id=same%3Fid%3D1%26x")
    seen.page.wait_for_selector(".answer")
    first = seen.page.locator(".answer").first
    assert first.locator("summary").all_inner_texts() == ["Prompt, as far as it is recorded"]
    assert first.locator(".aside").all_inner_texts() == ["Read as: A", "accuracy 1"]
    seen.context.close()
    assert seen.wrong == []


@pytest.mark.parametrize(
    "prices",
    [
        Prices("EUR", 3.6), Prices("EUR", 2.0, 0.5, 1.5), Prices("USD", 0.0, 0.5, 1.5), Prices("", 1.0, 0.5, 0.0),
        Prices("CHF", 0.0, 0.0, 0.0), Prices("EUR", 1000.0, 0.01, 0.01),
    ],
)  # fmt: skip
def test_money_follows_the_prices_as_the_comparison_would_have_it(visit, prices):
    names = ("machine_hour", "million_input_tokens", "million_output_tokens")
    for name in names:
        visit.page.fill(f"[name={name}]", str(getattr(prices, name)))
    visit.page.fill("[name=currency]", prices.currency)
    row = pages.results_of(pages.samples_of(9)).economics[0]
    measured = ("seconds", "input_tokens", "output_tokens")
    sides = [(row.training, "tuned"), (row.index, "retrieved")]
    asked = {role: {name: getattr(row.per_question[role], name) for name in measured} for _, role in sides}
    each = {role: prices.of_question(**took) if prices.given else None for role, took in asked.items()}
    kinds = (prices.million_input_tokens, prices.million_output_tokens)
    reach = {role: row.per_question[role].reach for _, role in sides}
    reach = {role: (kinds[0] * one.input_tokens + kinds[1] * one.output_tokens) / 1e6 for role, one in reach.items()}
    lines = [Line(prices.of_seconds(once.total_seconds), each[role], reach[role]) for once, role in sides]
    found = bounded(*lines)
    missing = "a kind of token has no price" if prices.machine_hour else "a machine hour has no price"
    said = effects.break_even(
        BreakEven(
            prices.currency or "money",
            *lines,
            found.outcome,
            found.questions,
            found.between,
            (found.reason or missing,),
        )
    )
    expected = [f"{said[0].upper()}{said[1:]}."] if prices.by_token else []
    assert visit.page.locator(".money-line").all_inner_texts() == expected
    money = visit.page.locator(".economics tbody tr").nth(2).locator(".money").inner_text()
    assert money == ("-" if each["retrieved"] is None else f"{1000 * each['retrieved']:,.4f}")


def test_without_scripts_only_the_browser_is_missing(chromium, written):
    still = Visit(chromium, written, java_script_enabled=False)
    assert still.page.locator("main > section").count() == 20
    assert still.page.locator("#samples .notice").is_visible()
    assert not still.page.locator("#browser").is_visible()
    assert not still.page.locator("#prices").is_visible()
    assert still.page.locator("#differences img").evaluate("e => e.complete && e.naturalWidth > 500")
    still.context.close()
    assert still.wrong == []


def test_on_paper_all_is_light_and_the_browser_is_left_out(chromium, written):
    paper = Visit(chromium, written, color_scheme="dark")
    paper.page.emulate_media(media="print")
    assert paper.page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    assert not paper.page.locator("#samples").is_visible()
    assert not paper.page.locator(".contents").is_visible()
    paper.page.emulate_media(media="screen")
    assert paper.page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(20, 23, 26)"
    assert paper.page.pdf().startswith(b"%PDF")
    paper.page.set_viewport_size({"width": 690, "height": 900})  # the text of A4
    paper.page.emulate_media(media="print")
    boxes = [picture.bounding_box() for picture in paper.page.locator(".picture img").all()]
    assert len(boxes) == 8
    assert all(box["x"] + box["width"] <= 690 for box in boxes)
    paper.context.close()
    assert paper.wrong == []


@pytest.mark.parametrize("width", [320, 400, 1000, 1600])
def test_nothing_is_wider_than_the_screen(visit, width):
    visit.page.set_viewport_size({"width": width, "height": 800})
    visit.page.goto(visit.page.url.split("#")[0] + "#samples?on=handbook&id=h00002")
    visit.page.wait_for_selector(".answer")
    visit.page.evaluate("document.querySelectorAll('details').forEach(one => { one.open = true; })")
    assert visit.page.evaluate("document.documentElement.scrollWidth") <= width


@pytest.mark.parametrize("width", [1100, 1279])
def test_no_table_is_wider_than_its_place(chromium, tmp_path, width):
    samples = pages.samples_of()
    row = Published(
        suite="clue", arm="biomedical+rag", model="OpenBioLLM-Llama3-8B", task="longhealth_1", metric="accuracy",
        published=0.5, measured=0.25, ci=(0.125, 0.375), within=False,
    )  # fmt: skip
    results = dataclasses.replace(pages.results_of(samples), published=(row,))
    index = write_page(results, run_info=pages.INFO, answers=samples, folder=tmp_path)
    found = Visit(chromium, index)
    found.page.set_viewport_size({"width": width, "height": 800})
    found.page.evaluate("document.querySelectorAll('details').forEach(one => { one.open = true; })")
    hidden = "e => e.scrollWidth > e.clientWidth + 1"
    wide = found.page.evaluate(f"[...document.querySelectorAll('.scroll')].filter({hidden}).map(e => e.innerText)")
    assert wide == []
    nav = found.page.locator("nav.contents")
    assert not nav.evaluate(hidden)
    found.context.close()


def test_the_list_of_runs_opens_from_disk_and_leads_to_the_page(chromium, tmp_path):
    samples = pages.samples_of(3)
    results = pages.results_of(samples)
    name = "a b&c#d"
    write_page(results, run_info={}, answers=samples, folder=tmp_path / name / "report")
    index = write_list([RunEntry(name, headline=("<b>x</b>",)), RunEntry("old", has_page=False)], tmp_path)
    seen = Visit(chromium, index)
    assert seen.page.locator("h1").inner_text() == "2 runs"
    assert seen.page.locator(".verdicts li").all_inner_texts() == ["<b>x</b>"]
    assert seen.page.evaluate("getComputedStyle(document.querySelector('.list')).maxWidth") == "864px"
    seen.page.locator("h2 a").click()
    seen.page.wait_for_selector("#verdict")
    seen.context.close()
    assert seen.wrong == []


def test_no_text_is_ever_run(chromium, tmp_path):
    def names(name):
        return f"{name}{HOSTILE[pages.ARMS.index(name) if name in pages.ARMS else -1 - len(name) % 3]}"

    count = len(HOSTILE)
    assert count >= 40
    samples = pages.samples_of(count, texts=HOSTILE, names=names)
    info = {**pages.INFO, "experiment": {"question": HOSTILE[0], HOSTILE[4]: HOSTILE}, "started": HOSTILE[23]}
    results = pages.results_of(samples, names=names)
    results = dataclasses.replace(results, notes=(*results.notes, *HOSTILE))
    index = write_page(results, run_info=info, answers=samples, folder=tmp_path)
    hostile = Visit(chromium, index)
    page = hostile.page
    hostile.browse()
    for place in range(count):
        page.evaluate("row => open(row)", place)
        page.wait_for_function(
            "row => state.open === row && document.querySelectorAll('.answer').length === 4", arg=place
        )
        page.evaluate("document.querySelectorAll('details').forEach(one => { one.open = true; })")
    page.fill("[name=q]", "<script")
    page.check("[name=deep]")
    page.wait_for_function("() => document.getElementById('count').textContent.endsWith(' examples')")
    page.wait_for_function("() => document.querySelectorAll('script').length === 4")  # those of samples go once read
    assert page.evaluate("window.hit") is None
    assert (
        page.locator("iframe, object, embed, base, style, [style], form[action], img[src='x'], main svg script").count()
        == 0
    )
    handlers = "e => [...e.attributes].some(a => /^on/i.test(a.name))"
    assert page.evaluate(f"[...document.querySelectorAll('*')].filter({handlers}).length") == 0
    assert page.evaluate("[...document.querySelectorAll('a')].filter(a => !/^file:/.test(a.href)).length") == 0
    assert page.locator("h1").inner_text().startswith("trial<")
    assert hostile.wrong == []
    # and what slipped through nevertheless would be refused by the page's policy
    page.evaluate(
        "document.body.append(Object.assign(document.createElement('script'), {textContent: 'window.hit = 1'}))"
    )
    page.evaluate("document.body.insertAdjacentHTML('beforeend', '<img src=x onerror=\"window.hit = 1\">')")
    page.evaluate("document.body.insertAdjacentHTML('beforeend', '<img src=https://evil.test/p.png>')")
    page.wait_for_timeout(100)
    assert page.evaluate("window.hit") is None
    assert sum("Content Security Policy" in said for said in hostile.wrong) >= 3
    hostile.context.close()


def test_a_word_without_end_is_shown_in_parts_and_at_once(chromium, tmp_path):
    samples = {
        key: [changed(one, completion="x" * 100_000 + "\U0001f600") for one in given[:2]]
        for key, given in pages.samples_of(8).items()
    }
    visit = Visit(chromium, write_page(pages.results_of(samples), run_info={}, answers=samples, folder=tmp_path))
    visit.browse()
    began = time.perf_counter()
    visit.page.evaluate("open(0)")
    visit.page.wait_for_selector(".answer .completion")
    said = visit.page.locator(".answer .completion").first
    assert said.text_content() == "x" * 20_000 + "Show all 100,002 characters"
    said.locator("button").click()
    assert said.text_content() == "x" * 100_000 + "\U0001f600"
    assert time.perf_counter() - began < 10  # measured: 1 s; without places to break more than a minute
    for asked in ("x", "1.5", "-3", "Infinity"):
        visit.page.evaluate("asked => { location.hash = `#samples?page=${asked}`; }", asked)
        visit.page.wait_for_timeout(100)
        assert visit.page.locator("#page-at").inner_text() == "page 1 of 1"
        assert visit.page.locator("#examples li").count() == 4
    assert visit.wrong == []
    visit.context.close()


def test_thirty_thousand_samples_stay_quick(chromium, tmp_path):
    count = 30_000
    samples = {
        ("arm", "task"): [
            answer(
                f"e{n:05d}", "arm", "task", scores={"accuracy": float(n % 7 > 0)},
                question=f"What is the {n}th of so many questions, and who answers?",
                messages=(Message("user", f"Question: What is the {n}th of so many questions, and who answers?"),),
                completion="So it is said. " * 20,
            )
            for n in range(count)
        ]
    }  # fmt: skip
    results = compared(samples, run="many", settings=ComparisonSettings(baseline="arm", resamples=100))
    index = write_page(results, run_info={}, answers=samples, folder=tmp_path)
    many = Visit(chromium, index)
    started = time.monotonic()
    many.browse()
    many.count("30,000 examples")
    assert time.monotonic() - started < 10  # 1.4 s on a laptop's core
    assert many.page.locator("#examples button").count() == 50
    asked = (
        "async () => { const started = performance.now(); form.elements.status.value = 'wrong'; await filter(); "
        "return performance.now() - started; }"
    )
    assert many.page.evaluate(asked) < 2500  # 80 ms
    many.count("4,286 of 30,000 examples")
    assert [name for name in many.read if name[0] == "0"] == []  # no text is read before an example is opened
    many.page.locator("#examples button").last.click()
    many.page.wait_for_selector(".answer")
    assert [name for name in many.read if name[0] == "0"] == ["0001.js"]
    many.context.close()
    assert many.wrong == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_serious(chromium, written, scheme):
    package = pytest.importorskip("axe_playwright_python", reason="needs axe-core: pip install axe-playwright-python")
    seen = Visit(chromium, written, "#samples?on=handbook&id=h00002", color_scheme=scheme)
    seen.page.wait_for_selector(".answer")
    seen.page.evaluate("document.querySelectorAll('details').forEach(one => { one.open = true; })")
    seen.page.evaluate(Path(package.__file__).with_name("axe.min.js").read_text(encoding="utf-8"))
    only = {"runOnly": ["color-contrast"]} if scheme == "dark" else {}  # nothing else depends on the colours
    found = seen.page.evaluate("only => axe.run(document, only)", only)
    assert len(found["passes"]) > (0 if only else 20)
    bad = [(one["impact"], one["id"], [n["target"] for n in one["nodes"]][:3]) for one in found["violations"]]
    assert [one for one in bad if one[0] in ("serious", "critical")] == [], bad
    seen.context.close()
