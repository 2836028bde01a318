"""Regular expressions of strangers: those that may run for ever need the caller's word."""

from __future__ import annotations

import pytest
from sklearn.compose import make_column_selector
from sklearn.feature_extraction.text import CountVectorizer, HashingVectorizer, TfidfVectorizer
from spoiling import assert_refused

from keepfit import codecs
from keepfit.codecs.patterns import ends_soon
from keepfit.errors import InvalidStateError, UnsupportedError, UntrustedError


@pytest.mark.parametrize(
    "pattern",
    [
        r"(?u)\b\w\w+\b", r"\w+", r"\S+", r"[a-zA-Z]+", r"(?u)\b[a-z]{3,}\b", r"\b[^\d\W]+\b", r"[a-z]+|\d+",
        r"(?:#|@)?\w+", r"(?i)[A-Z]\w*", r"\b\w+-\w+\b|\w+", r"(\w+)", r"(?<=x)\w+", r"[\w']+", r"[]a]+", r"\{\w+\}",
        r"[A-Za-z]+(?=\s)", r"(?u)\b[\w-]+\b", "", ".",
    ],
)  # fmt: skip
def test_patterns_that_people_find_words_by_pass(pattern: str) -> None:
    assert ends_soon(pattern)
    built = codecs.decode(codecs.encode(TfidfVectorizer(token_pattern=pattern)))
    assert built.token_pattern == pattern


@pytest.mark.parametrize(
    "pattern",
    [
        r"(a+)+$", r"(a|aa)*b", r"(.*)*", r"(\w+\s?)*$", r"(a)\1+", r"(?P<x>a)(?P=x)", r"((a+))+", r"(a?){50}a{50}",
        r"(?:(?:a|b)|c)*", r"(x+x+)+y", r"(.+.+.+.+.+.+.+.+.+)x", r"(?(1)a|b)", r"(?:a{1,5}){1,9}",
        "a?" * 40 + "a" * 40, "(?:a|a)" * 40 + "b", "a" * 2000, "(", "a)", "[a", "a**", "(?#comment)", "(?>a|b)",
    ],
)  # fmt: skip
def test_patterns_that_may_run_for_ever_need_the_callers_word(pattern: str) -> None:
    assert not ends_soon(pattern)
    for vectorizer in (TfidfVectorizer, CountVectorizer, HashingVectorizer):
        graph = codecs.encode(vectorizer(token_pattern=pattern))
        with pytest.raises(UntrustedError, match="patterns"):
            codecs.decode(graph)
        assert codecs.decode(graph, allow={"patterns"}).token_pattern == pattern
    graph = codecs.encode(make_column_selector(pattern))
    with pytest.raises(UntrustedError, match="patterns"):
        codecs.decode(graph)
    assert codecs.decode(graph, allow={"patterns"}).pattern == pattern


def test_n_grams_of_any_length_are_refused() -> None:
    codecs.decode(codecs.encode(CountVectorizer(ngram_range=(1, 20), analyzer="char_wb")))
    vectorizer = CountVectorizer(ngram_range=(1, 10**9))
    with pytest.raises(UnsupportedError, match="n-grams"):
        codecs.encode(vectorizer)
    assert_refused(vectorizer, InvalidStateError, "n-grams")
