"""A table is refused with the key's full path, the value, and the nearest thing that is known; equal values have equal digests."""

from __future__ import annotations

import re
from typing import Annotated, Literal

import pytest
from msgspec import Meta

from dynamics.tables import Table, digest, read

pytestmark = pytest.mark.exact


class Inner(Table, frozen=True):
    sizes: tuple[Annotated[int, Meta(ge=1)], ...] = (1,)
    words: tuple[Literal["alpha", "beta"], ...] = ("alpha",)


class Case(Table, frozen=True, tag_field="kind", tag="case"):
    word: Literal["gamma", "delta"]


class Other(Table, frozen=True, tag_field="kind", tag="other"):
    width: float = 1.0


class Outer(Table, frozen=True):
    name: str
    inner: Inner = Inner()
    cases: tuple[Case | Other, ...] = ()


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "outer.toml"
    path.write_text("name = 'n'\n[inner]\nsizes = [2, 3]\n", encoding="utf-8")
    return path


def test_a_file_is_read_under_overrides_and_replaced_keys(file):
    found = read(file, Outer, ["inner.words=['beta']", "cases=[{kind='case', word='delta'}]", "name=other"])
    assert found == Outer(name="other", inner=Inner(sizes=(2, 3), words=("beta",)), cases=(Case(word="delta"),))
    assert read(file, Outer, name="replaced").name == "replaced"


@pytest.mark.parametrize(
    ("override", "sentence"),
    [
        ("inner.size=[1]", "unknown key inner.size: did you mean inner.sizes?"),
        ("nam=1", "unknown key nam: did you mean name?"),
        ("zzz=1", "unknown key zzz: remove it"),
        ("cases=[{kind='other', widht=1}]", "unknown key cases.0.widht: did you mean cases.width?"),
        ("cases=[{kind='case'}]", "key cases.0.word is missing: add it"),
        ("cases=[{kind='case', word='dleta'}]", "cases.0.word: invalid enum value 'dleta', got 'dleta': did you mean 'delta'?"),
        ("inner.sizes=[1, 0]", "inner.sizes.1: expected `int` >= 1, got 0"),
        ("inner.words=['alpha', 'bteta']", "inner.words.1: invalid enum value 'bteta', got 'bteta': did you mean 'beta'?"),
        ("inner.words=['xyz']", "inner.words.0: invalid enum value 'xyz', got 'xyz'"),
        ("inner.words=3", "inner.words: expected `array`, got `int`, got 3"),
    ],
)  # fmt: skip
def test_a_key_that_does_not_fit_is_named_with_path_value_and_remedy(file, override, sentence):
    with pytest.raises(ValueError) as refused:  # noqa: PT011 the whole sentence is compared
        read(file, Outer, [override])
    assert str(refused.value) == f"{file}: {sentence}"


def test_what_is_infinite_or_no_assignment_is_refused(file):
    for override, sentence in (
        ("cases=[{kind='other', width=inf}]", f"{file}: cases.0.width must be finite, got inf"),
        ("name", "--set takes key=value with a dotted key, got 'name'"),
        ("name.x=1", "--set name.x=1: name is a value, not a table"),
    ):
        with pytest.raises(ValueError, match="^" + re.escape(sentence)):
            read(file, Outer, [override])


def test_a_digest_tells_values_apart_and_does_not_hear_of_the_order_of_keys():
    assert digest({"a": 1, "b": 2.0}) == digest({"b": 2.0, "a": 1})
    assert digest({"a": 1}) == "015abd7f5cc57a2dd94b7590f04ad8084273905ee33ec5cebeae62276a97f862"
    assert digest({"a": 1}) != digest({"a": 2})


def test_a_file_that_is_not_there_is_answered_with_what_was_meant(file):
    for name, remedy in (
        ("outr.toml", f"did you mean {file}?"),
        ("else.toml", "the project's own files are in experiments/"),
    ):
        path = file.with_name(name)
        with pytest.raises(ValueError, match=re.escape(f"{path} cannot be read: No such file or directory; {remedy}")):
            read(path, Outer)
