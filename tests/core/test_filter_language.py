"""What a filter says: parsed, its mistakes pointed at, its words found in many scripts."""

from __future__ import annotations

import pickle
from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.errors import UserError
from core.library.filters import nodes
from core.library.filters.fields import FIELDS, completions
from core.library.filters.nodes import And, Author, ByRun, Date, InFolder, Not, Number, Or, State, Words, leaves
from core.library.filters.parser import MAX_CONDITIONS, parse
from core.library.filters.problems import FilterError
from core.library.words import contains, has_words, words

DAY = date(2026, 5, 20)


def bare(node: nodes.Filter) -> nodes.Filter:
    """The tree without its positions."""
    if isinstance(node, And | Or):
        return type(node)(tuple(bare(item) for item in node.items))
    if isinstance(node, Not):
        return Not(bare(node.item))
    values = {name: getattr(node, name) for name in node.__match_args__}
    return type(node)(**values)


# --- reading ---


@pytest.mark.parametrize(
    ("text", "tree"),
    [
        ("", And(())),
        ("  \n", And(())),
        ('""', And(())),
        ("dog", Words("dog")),
        ('"red  car"', Words("red car", True)),
        (r'"a \"b\" c"', Words('a "b" c', True)),
        ("10:30", Words("10:30")),
        ("and or not", And((Words("and"), Words("or"), Words("not")))),
        ("state:Accepted", State("accepted")),
        ("score:<0.55", Number("score", "<", 0.55)),
        ("score<=.5", Number("score", "<=", 0.5)),
        ("RANK>1e2", Number("rank", ">", 100.0)),
        ("rank:1", Number("rank", "=", 1.0)),
        ('folder:"my photos//"', InFolder("my photos/")),
        (r"folder:2024\05", InFolder("2024/05")),
        ("author:me", Author("human")),
        ("author:model", Author("run")),
        ("run:20260101", ByRun("20260101")),
        ("written:today", Date("written", "=", DAY, DAY)),
        ("date:<yesterday", Date("date", "<", date(2026, 5, 19), date(2026, 5, 19))),
        ("date>=2024-02", Date("date", ">=", date(2024, 2, 1), date(2024, 2, 29))),
        ("written:2025", Date("written", "=", date(2025, 1, 1), date(2025, 12, 31))),
        ("a b OR c", Or((And((Words("a"), Words("b"))), Words("c")))),
        ("a AND NOT (b OR c)", And((Words("a"), Not(Or((Words("b"), Words("c"))))))),
        ("NOT NOT a", Not(Not(Words("a")))),
        ('x"y z"', And((Words("x"), Words("y z", True)))),
        ("(a)b", And((Words("a"), Words("b")))),
        ("dog -car", And((Words("dog"), Not(Words("car"))))),
        ('-"red car" -state:seed -(a OR b)',
         And((Not(Words("red car", True)), Not(State("seed")), Not(Or((Words("a"), Words("b"))))))),
        ('a-b - "-car"', And((Words("a-b"), Words("-"), Words("-car", True)))),
        ("état:1", None),
    ],
)  # fmt: skip
def test_what_a_filter_says(text, tree):
    if tree is None:
        with pytest.raises(FilterError):
            parse(text)
    else:
        assert bare(parse(text, today=DAY)) == tree


@pytest.mark.parametrize(
    ("text", "marked", "message", "expected"),
    [
        ("dog state:done", "done", "“done”", "one of none, seed"),
        ("state:acepted", "acepted", "acepted", "Did you mean accepted?"),
        ("state: dog", "state:", "nothing", "one of none"),
        ("score:abc", "abc", "character 1", "a number"),
        ("score:<", "<", "nothing", "a number"),
        ("score:nan", "nan", "nan", "a number"),
        ("score:1,5", "1,5", "1,5", "a number"),
        ("dog colour:red", "colour:", "“colour:” at character 5", "put the text in quotes"),
        ('cat "red car', '"red car', "character 5", 'A closing "'),
        ("(dog", "(", "never closed", 'A ")"'),
        ("dog)", ")", "“)” at character 4", 'No "(" is open'),
        ("dog ()", ")", "“)” at character 6", "A condition"),
        ("OR dog", "OR", "“OR” at character 1", "A condition"),
        ("dog AND", "AND", "ends after “AND”", "A condition"),
        ("dog AND OR cat", "OR", "“OR” at character 9", "A condition"),
        ("NOT", "NOT", "ends after “NOT”", "A condition"),
        ("date:2024-13", "2024-13", "2024-13", "a date from 1971"),
        ("date:2024-02-30", "2024-02-30", "2024-02-30", "a date"),
        ("written:soon", "soon", "soon", "today"),
        ("date:1000", "1000", "1000", "1971"),
        ("folder:/", "/", "“/”", "part of a folder"),
        ("author:you", "you", "you", "human, me, run, model"),
        ("(" * 60 + "a", "(", "nested", "fewer brackets"),
    ],
)
def test_a_mistake_is_pointed_at(text, marked, message, expected):
    with pytest.raises(FilterError) as caught:
        parse(text)
    error = caught.value
    assert isinstance(error, UserError)
    assert text[error.start : error.end] == marked
    assert message in error.message and expected in error.next_step
    again = pickle.loads(pickle.dumps(error))
    assert (str(again), again.start, again.end) == (str(error), error.start, error.end)


def test_a_filter_that_is_too_long_is_refused():
    parse(" ".join("a" * MAX_CONDITIONS))
    for text in (" ".join("a" * (MAX_CONDITIONS + 1)), "a" * 20_000):
        with pytest.raises(FilterError):
            parse(text)


@given(st.text(alphabet=st.one_of(st.characters(), st.sampled_from('()":<>=ANDORT statescore0.5-')), max_size=60))
def test_whatever_is_typed_is_understood_or_pointed_at(text):
    try:
        tree = parse(text, today=DAY)
    except FilterError as error:
        assert 0 <= error.start < error.end <= len(text)
        assert error.message.endswith(".") and error.next_step
    else:
        for leaf in leaves(tree):
            assert 0 <= leaf.start < leaf.end <= len(text)


def test_what_may_come_next():
    assert completions("sta") == ["state:"]
    assert completions("dog state:acc") == ["state:accepted"]
    assert completions("(folder:", folders=("2024", "my photos")) == ["folder:2024", 'folder:"my photos"']
    assert completions("run:2", runs=("20260101-a", "x")) == ["run:20260101-a"]
    assert completions("A") == ["author:", "AND"] and completions("AN") == ["AND"]
    assert completions("") == [] and completions("nosuch:x") == []
    for name, field in FIELDS.items():  # whatever is offered is understood
        for value in field.values:
            parse(f"{name}:{value}")


# --- words ---


@pytest.mark.parametrize(
    ("text", "cut"),
    [
        ("A red-car, 2nd!", ["a", "red", "car", "2nd"]),
        ("Crème BRÛLÉE", ["creme", "brulee"]),
        ("cafe\u0301", ["cafe"]),
        ("Straße ﬁn ½", ["strasse", "fin", "1", "2"]),
        ("כַּלְבָּ", ["כלב"]),
        ("كَتَبَ ـكتاب", ["كتب", "كتاب"]),
        ("أحمد", ["احمد"]),
        ("می‌خواهم", ["میخواهم"]),
        ("हिन्दी में", ["हिन्दी", "में"]),
        ("红色汽车 BMW", ["红", "色", "汽", "车", "bmw"]),
        ("が一ばん", ["が", "一", "ば", "ん"]),
        ("한국어", ["한국어"]),
        ("☕ ...", []),
    ],
)
def test_words_in_many_scripts(text, cut):
    assert words(text) == cut


def test_words_side_by_side():
    assert has_words(words("a red car"), ["red", "ca"], True)
    assert not has_words(words("a red car"), ["red", "ca"], False)
    assert not has_words(words("a red old car"), ["red", "car"], False)
    assert not has_words(["a"], [], True)
    assert contains("CAF\u00c9.jpg", "cafe\u0301") and contains("A_b.JPG", "a_B") and not contains("\u212a", "k")
