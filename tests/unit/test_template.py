"""Path templates: what they take, what overlaps, and that the number of routes does not matter."""

from __future__ import annotations

import itertools
import random
import re

import pytest

from tracker.capture import template
from tracker.capture.template import Template, Tree, parse


def tree(*texts: str) -> Tree[str]:
    built: Tree[str] = Tree()
    for text in texts:
        assert built.add(parse(text), text) is None
    return built


@pytest.mark.parametrize(
    ("text", "path", "values"),
    [
        ("/imp/{campaign}/{creative}.gif", "/imp/c1/cr1.gif", ["c1", "cr1"]),
        ("/imp/{campaign}/{creative}.gif", "/imp/c1/a.gif.gif", ["c1", "a.gif"]),
        ("/imp/{campaign}/{creative}.gif", "/imp/c1/.gif", None),
        ("/imp/{campaign}/{creative}.gif", "/imp//cr1.gif", None),
        ("/imp/{campaign}/{creative}.gif", "/imp/c1/cr1.gif/", None),
        ("/imp/{campaign}/{creative}.gif", "//imp/c1/cr1.gif", None),
        ("/imp/{campaign}/{creative}.gif", "/imp/c1/cr1.GIF", None),
        ("/imp/{campaign}/{creative}.gif", "/imp/../cr1.gif", ["..", "cr1"]),
        ("/imp/{campaign}/{creative}.gif", "/imp/./c/cr1.gif", None),
        ("/imp/{campaign}/{creative}.gif", "imp/c1/cr1.gif", None),
        ("/imp/{campaign}/{creative}.gif", "x/imp/c1/cr1.gif", None),
        ("/imp/{campaign}/{creative}.gif", "", None),
        ("/imp/{campaign}/{creative}.gif", "*", None),
        ("/v{major}-x/t", "/v2-x/t", ["2"]),
        ("/v{major}-x/t", "/v-x/t", None),
        ("/a{x}a", "/aa", None),
        ("/a{x}a", "/aaa", ["a"]),
        ("/", "/", []),
        ("/", "", None),
        ("/a/", "/a/", []),
        ("/a/", "/a", None),
        ("/a//b", "/a//b", []),
        ("/a//b", "/a/b", None),
        ("/a/../b", "/b", None),
        ("/é/{x}", "/é/ü", ["ü"]),
        ("/{x}", "/imp", ["imp"]),
        ("/{x}", "/-", None),
        ("/{x}/y", "/-/y", None),
        ("/a/{x}", "/a/-", ["-"]),
        ("/{x}-", "/--", ["-"]),
        ("/o/{id:integer}.gif", "/o/0123.gif", ["0123"]),
        ("/o/{id:integer}.gif", "/o/12a.gif", None),
        ("/o/{id:integer}", "/o/\u0661", None),
        ("/o/{id:integer}", "/o/", None),
        ("/o/{id:hex}", "/o/Ff09", ["Ff09"]),
        ("/o/{id:hex}", "/o/g", None),
        ("/o/{id:word}", "/o/a-B_9", ["a-B_9"]),
        ("/o/{id:word}", "/o/a.b", None),
        ("/o/{id:word}", "/o/é", None),
    ],
)
def test_a_path_fits_as_it_is_written(text: str, path: str, values: list[str] | None) -> None:
    """Nothing is normalised; a parameter takes at least one character, and never the tracker's own first segment."""
    assert tree(text).find(path) == (None if values is None else (text, values))


@pytest.mark.parametrize(
    ("one", "other", "overlap"),
    [
        ("/a/{x}", "/a/{y}", True),
        ("/a/{x}.gif", "/a/{x}.png", False),
        ("/a/{x}.gif", "/a/{x}", True),
        ("/a/{x}.gif", "/a/x.gif", True),
        ("/a/{x}.gif", "/a/.gif", False),
        ("/a/b", "/a/{x}", True),
        ("/a/b", "/a/b", True),
        ("/a/b", "/a/b/", False),
        ("/a/b", "/a/c", False),
        ("/a/{x}/c", "/a/b/{y}", True),
        ("/a/{x}/c", "/a/b/d", False),
        ("/{x}/b", "/a/{y}", True),
        ("/p{x}", "/{y}s", True),
        ("/p{x}", "/q{y}", False),
        ("/ab{x}", "/a{y}", True),
        ("/{x}", "/a/b", False),
    ],
)
def test_two_routes_that_a_path_fits_overlap_in_either_order(one: str, other: str, overlap: bool) -> None:
    """A literal against a parameter is an overlap too; the example shown fits both."""
    for first, second in ((one, other), (other, one)):
        built = tree(first)
        found = built.add(parse(second), second)
        assert (found is not None) == overlap
        if found is not None:
            path = template.example(parse(second), found[0])
            assert tree(first).find(path) is not None
            assert tree(second).find(path) is not None


@pytest.mark.parametrize(
    "text",
    [
        "", "imp", "imp/{x}", "/{", "/}", "/{x", "/x}", "/{}", "/{X}", "/{1}", "/{x}{y}", "/{x}-{y}", "/{x}/{x}", "/{{x}}",
        "/a b", "/a?b", "/a#b", "/a%20b", "/a\\b", "/a\nb", "/a\x00", "/-/x", "/-", "/{x y}", "/{x/y}",
    ],
)  # fmt: skip
def test_a_bad_template_is_refused_with_a_sentence(text: str) -> None:
    """``ValueError``, never a route that takes something else."""
    with pytest.raises(ValueError, match=r"."):
        parse(text)


def by_regex(text: str) -> re.Pattern[str]:
    pattern = "/".join(
        re.escape(segment.prefix) + (f"([^/]+){re.escape(segment.suffix)}" if segment.name else "")
        for segment in parse(text).segments
    )
    return re.compile("/" + pattern, re.DOTALL)


def test_the_tree_agrees_with_a_regular_expression_for_each_template() -> None:
    """60 random tables of small segments: every path leads where the one fitting expression says, and nowhere else."""
    chooser = random.Random(7)
    kinds = ["a", "b", "", "ab", "{x}", "a{x}", "{x}b", "a{x}b", "{x}a"]
    paths = ["/" + "/".join(parts) for n in (1, 2, 3) for parts in itertools.product(["a", "b", "", "ab", "aab", "bab", "-"], repeat=n)]
    for _ in range(60):
        built: Tree[str] = Tree()
        kept: list[str] = []
        for _ in range(12):
            parts = [chooser.choice(kinds) for _ in range(chooser.randint(1, 3))]
            text = "/" + "/".join(part.replace("x", f"x{i}") for i, part in enumerate(parts))
            if built.add(parse(text), text) is None:
                kept.append(text)
        for path in paths:
            fits = [(text, found) for text in kept if (found := by_regex(text).fullmatch(path))]
            if path.startswith("/-"):
                fits = [(text, found) for text, found in fits if not parse(text).segments[0].name]
            assert len(fits) <= 1
            expected = (fits[0][0], list(fits[0][1].groups())) if fits else None
            assert built.find(path) == expected, (kept, path)


def test_a_thousand_routes_take_no_more_looks_than_a_few() -> None:
    """Counted, not timed: as many look-ups lead to a route among a thousand as to one among a few of the same shapes."""

    class Counted(dict[str, object]):
        looks = 0

        def get(self, key: str, default: object = None) -> object:  # type: ignore[override]
            Counted.looks += 1
            return super().get(key, default)

    def looks(built: Tree[str], path: str) -> int:
        nodes = [built._root]
        while nodes:
            node = nodes.pop()
            nodes += [*node.literals.values(), *node.patterns.values()]
            node.literals = Counted(node.literals)  # type: ignore[assignment]
            node.shapes = [(a, b, Counted(table)) for a, b, table in node.shapes]  # type: ignore[misc, arg-type]
        Counted.looks = 0
        assert built.find(path) is not None
        return Counted.looks

    def table(n: int) -> Tree[str]:
        six = ["/imp/{c}/{x}.gif", "/click/{c}/{x}", "/go/spring", "/conv/{c}.gif", "/video/{c}/{x}/{a}.gif", "/hit/{e}"]
        more = [[f"/go/s{i}", f"/imp/{{c}}/{{x}}.{i:03}", f"/p{i}/{{a}}/{{b}}"] for i in range(n)]
        return tree(*six, *itertools.chain.from_iterable(more))

    for path in ("/go/spring", "/imp/c1/cr1.gif", "/video/a/b/start.gif", "/p1/a/b"):
        assert looks(table(2), path) == looks(table(332), path) < 10


def test_a_template_knows_its_parameters_from_left_to_right() -> None:
    """The order in which ``find`` gives their values."""
    assert parse("/v/{b}/x{a}.gif").names == ("b", "a")
    assert isinstance(parse("/"), Template)


@pytest.mark.parametrize("seed", range(40))
def test_two_places_have_a_text_in_common_exactly_if_one_can_be_found(seed: int) -> None:
    """Against brute force: every text of up to five characters that could matter."""
    chance = random.Random(seed)
    texts = ["".join(letters) for size in range(1, 6) for letters in itertools.product("1a-.", repeat=size)]
    for _ in range(60):
        one, other = (
            template.Segment(
                "".join(chance.choices("1a-.", k=chance.randint(0, 2))), "x",
                "".join(chance.choices("1a-.", k=chance.randint(0, 2))), chance.choice(["", "integer", "hex", "word"]),
            )
            for _ in range(2)
        )
        found = template.common(one, other)
        shared = [text for text in texts if one.takes(text) and other.takes(text)]
        assert bool(found) == bool(shared), (one, other, found, shared[:3])
        assert not found or (one.takes(found) and other.takes(found))


def test_typed_and_literal_places_stand_side_by_side_where_no_path_fits_both() -> None:
    """``/go/{id:integer}`` and ``/go/spring``; and a typed one beside an untyped one that goes on differently."""
    built = tree("/go/{id:integer}", "/go/spring", "/go/{slug}/more", "/go/{id:integer}/less")
    assert built.find("/go/7") == ("/go/{id:integer}", ["7"])
    assert built.find("/go/spring") == ("/go/spring", [])
    assert built.find("/go/winter") is None
    assert built.find("/go/7/more") == ("/go/{slug}/more", ["7"])
    assert built.find("/go/7/less") == ("/go/{id:integer}/less", ["7"])
    assert built.find("/go/x/less") is None
    overlapped = built.add(parse("/go/{code:hex}"), "new")
    assert overlapped is not None
    assert overlapped[1] == "/go/{id:integer}"
    assert template.example(parse("/go/{code:hex}"), overlapped[0]) == "/go/0"
