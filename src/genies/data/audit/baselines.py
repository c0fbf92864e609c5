"""Trivial classifiers as baselines: they see only the lengths of responses, only their Markdown, or only their words.

All are logistic regressions without an intercept on the difference of two responses' features (a Bradley-Terry
model), fitted on the train pairs and tested on the test pairs. The prompt is not used, because it cancels. If such a
classifier solves a distribution, a model can solve it without doing what the prompts ask. A target without a train
split has fixed rules in their place: the longer response, and the one with more Markdown.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from genies.data.audit.finding import Content, Finding, Rule
from genies.data.distribution import Example

MAX_TRAIN_EXAMPLES = 2_000
MAX_TEST_EXAMPLES = 2_000
"""Number of examples used, from the start of each split; enough for an accuracy within a few percentage points."""

# Case and punctuation are kept, because some distributions differ in nothing else.
_TOKENS = re.compile(r"\w+|[^\w\s]")

Rows: TypeAlias = npt.NDArray[np.int64]


def baselines(content: Content) -> list[Finding]:
    """The number of test pairs that each classifier gets right. A tie counts half; the sum is rounded down."""
    if not content.test or not (content.train or content.target_only):
        return []

    from sklearn.feature_extraction.text import CountVectorizer  # takes three times as long to import as all others

    train, test = content.train[:MAX_TRAIN_EXAMPLES], content.test[:MAX_TEST_EXAMPLES]
    train_texts, test_texts = _texts(train), _texts(test)
    of = len(_pairs(test)[0])
    found = {
        rule: _right(train, test, features(train_texts), features(test_texts))
        if train
        else _larger(test, features(test_texts)[:, 0])
        for rule, features in ((Rule.LENGTH_BASELINE, _lengths), (Rule.FORMAT_BASELINE, _markdown))
    }
    if any(map(_TOKENS.search, train_texts)):
        vectorizer = CountVectorizer(lowercase=False, binary=True, token_pattern=_TOKENS.pattern)
        words = _right(train, test, vectorizer.fit_transform(train_texts), vectorizer.transform(test_texts))
        found[Rule.BAG_OF_WORDS_BASELINE] = words
    elif train:
        found[Rule.BAG_OF_WORDS_BASELINE] = of // 2  # without any word in train, all pairs are ties
    return [content.counted(rule, "test", right, of) for rule, right in found.items()]


def _texts(examples: Sequence[Example]) -> list[str]:
    return [response for example in examples for response in example.responses]


def _pairs(examples: Sequence[Example]) -> tuple[Rows, Rows]:
    """Row numbers in _texts of the best and the worse response of each pair."""
    best: list[int] = []
    worse: list[int] = []
    start = 0
    for example in examples:
        for place in example.best:
            best += [start + place] * len(example.worse)
            worse += [start + each for each in example.worse]
        start += len(example.responses)
    return np.array(best), np.array(worse)


def _lengths(texts: Sequence[str]) -> Any:
    """log(1 + n) for the numbers n of characters and of words, shape (texts, 2)."""
    return np.log1p([[len(text), len(text.split())] for text in texts])


_MARKS = (
    re.compile(
        r"^ {0,3}(?:#{1,6} |[-*+] |\d{1,3}[.)] |> |```|\|)", re.MULTILINE
    ),  # headers, lists, quotes, code, tables
    re.compile(r"\*\*[^*\n]+\*\*|__[^_\n]+__|`[^`\n]+`"),  # strong and code within a line
)


def _markdown(texts: Sequence[str]) -> Any:
    """log(1 + n) for the numbers n of all Markdown marks, of those of lines and of those within lines, shape
    (texts, 3)."""
    counts = [[len(mark.findall(text)) for mark in _MARKS] for text in texts]
    return np.log1p([[sum(each), *each] for each in counts])


def _larger(test: Sequence[Example], feature: Any) -> int:
    """Number of test pairs whose best response has more of a feature."""
    best, worse = _pairs(test)
    return int(2 * np.sum(feature[best] > feature[worse]) + np.sum(feature[best] == feature[worse])) // 2


def _right(train: Sequence[Example], test: Sequence[Example], train_features: Any, test_features: Any) -> int:
    """Number of test pairs that a classifier fitted on the train pairs gets right."""
    from sklearn.linear_model import LogisticRegression

    best, worse = _pairs(train)
    if len(best) == 1:
        best, worse = best.repeat(2), worse.repeat(2)
    # Every second pair is reversed: a classifier needs both labels, and without an intercept the fit is the same.
    as_it_is = np.arange(len(best)) % 2 == 0
    differences = train_features[np.where(as_it_is, best, worse)] - train_features[np.where(as_it_is, worse, best)]
    model = LogisticRegression(C=0.1, fit_intercept=False, solver="liblinear", random_state=0, max_iter=200)
    model.fit(differences, as_it_is)
    best, worse = _pairs(test)
    scores = (test_features[best] - test_features[worse]) @ model.coef_[0]
    return int(2 * np.sum(scores > 0) + np.sum(scores == 0)) // 2
