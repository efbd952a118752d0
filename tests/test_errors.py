"""How a message is printed: names that come from outside cannot break it or act on a terminal."""

import traceback

import pytest

from repaudit.errors import RepauditError, nearest, printable


def test_every_part_has_its_place_and_details_keep_their_lines():
    error = RepauditError("wrong", detail="first\nsecond", remedy="mend it")

    assert error.render() == "repaudit: wrong\n  first\n  second\n  try: mend it"


@pytest.mark.parametrize("name", ["a\nb", "a\rb", "a\x1b[2Jb", "a\u2028b", "a\u202eb", "a\udcffb"])
def test_names_in_problem_and_remedy_stay_on_their_line_and_print(name):
    rendered = RepauditError(f"no `{name}`", detail="why", remedy=f"rm {name}").render()

    assert len(rendered.splitlines()) == 3
    assert all(part.isprintable() for part in rendered.splitlines())
    assert "a\\" in rendered


@pytest.mark.parametrize("name", ["Grüße", "犬", "n01440764", "a b", "8×8 … –"])
def test_names_that_print_are_left_alone(name):
    assert printable(name) == name


def test_a_carriage_return_in_a_detail_does_not_overwrite_its_line():
    rendered = RepauditError("wrong", detail="first\r\nsecond\rthird").render()

    assert rendered.split("\n")[1:] == ["  first", "  second\\rthird"]


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("::add-mask::a", r"\x3a:add-mask::a"),
        ("a::Error title=b::c", r"a\x3a:Error title=b::c"),
        ("::warning", r"\x3a:warning"),
        ("##[group]a", r"\x23#[group]a"),
        ("a ##vso[task.complete]", r"a \x23#vso[task.complete]"),
    ],
)
def test_a_command_to_a_ci_server_is_none_any_more(name, shown):
    assert printable(name) == shown


@pytest.mark.parametrize(
    "name", ["std::vector", "embedded:digits-cnn", "# heading", "## [a](b)", "::", "at::native::errors"]
)
def test_what_only_looks_like_a_command_is_left_alone(name):
    assert printable(name) == name


@pytest.mark.parametrize(
    ("asked", "known", "found"),
    [
        ("topl", ["top5", "top1"], "top1"),
        ("t0p5", ["tap5", "tOp5"], "tOp5"),
        ("top", ["top1", "top5"], "top1"),
        ("top", ["top5", "top1"], "top5"),
        ("top5", ["top1", "top5"], "top5"),
    ],
)
def test_of_equally_near_names_the_one_that_looks_alike_is_meant_and_else_the_first(asked, known, found):
    assert nearest(asked, known)[0] == found


def test_no_name_is_suggested_twice_and_none_that_is_far():
    assert nearest("quik", ["quick", "quick", "paper"]) == ["quick"]
    assert nearest("x", []) == []


def test_a_traceback_shows_detail_and_remedy_too():
    error = RepauditError("wrong", detail="first\nsecond", remedy="mend it")

    assert str(error) == "wrong"
    assert "".join(traceback.format_exception(error)).endswith("wrong\n  first\n  second\n  try: mend it\n")
