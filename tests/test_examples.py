"""The example texts: enough of them, balanced, distinct and readable as a task."""

import csv
import re
from collections import Counter
from itertools import combinations, pairwise
from pathlib import Path
from statistics import mean

import pytest

from explorer.tasks import read_task

EXAMPLES = Path(__file__).parent.parent / "examples"
DOMAINS = ("films", "restaurants", "products")
LABELS = ("negative", "positive")


def _rows(domain: str) -> list[dict[str, str]]:
    with open(EXAMPLES / f"{domain}.tsv", encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file, delimiter="\t"))


def _words(text: str) -> list[str]:
    return re.findall(r"\w+", text.casefold().replace("'", ""))


def test_there_are_enough_rows_and_none_comes_twice():
    texts = [" ".join(_words(row["text"])) for domain in DOMAINS for row in _rows(domain)]
    assert len(texts) >= 240
    assert [text for text, times in Counter(texts).items() if times > 1] == []


def test_domains_and_labels_are_balanced():
    counts = Counter((domain, row["label"]) for domain in DOMAINS for row in _rows(domain))
    assert set(counts) == {(domain, label) for domain in DOMAINS for label in LABELS}
    average = mean(counts.values())
    assert all(abs(count - average) <= 0.1 * average for count in counts.values()), counts


@pytest.mark.parametrize("domain", DOMAINS)
def test_labels_are_mixed_without_a_pattern(domain):
    answers = [row["label"] for row in _rows(domain)]
    changes = sum(first != second for first, second in pairwise(answers))
    assert 0.3 < changes / (len(answers) - 1) < 0.7


@pytest.mark.parametrize("domain", DOMAINS)
def test_cells_are_plain_and_short(domain):
    for row in _rows(domain):
        assert set(row) == {"text", "label"}, row
        text = row["text"]
        assert 5 <= len(text.split()) <= 40, text
        assert text == " ".join(text.split()), text
        assert '"' not in text, text
        assert text[0] not in "=+-@", text


@pytest.mark.parametrize("domain", DOMAINS)
def test_openings_differ(domain):
    openings = Counter(tuple(_words(row["text"])[:4]) for row in _rows(domain))
    assert [opening for opening, times in openings.items() if times > 1] == []


@pytest.mark.parametrize("domain", DOMAINS)
def test_texts_share_few_words(domain):
    texts = [set(_words(row["text"])) for row in _rows(domain)]
    overlaps = [len(first & second) / len(first | second) for first, second in combinations(texts, 2)]
    assert mean(overlaps) < 0.1
    assert max(overlaps) < 0.4


@pytest.mark.parametrize("domain", DOMAINS)
def test_read_task_reads_them(domain):
    task = read_task(EXAMPLES / f"{domain}.tsv")
    rows = _rows(domain)
    assert task.labels == LABELS
    assert task.texts == tuple(row["text"] for row in rows)
    assert task.answers == tuple(row["label"] for row in rows)
