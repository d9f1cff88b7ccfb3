"""Labelled texts: every packing reads alike, and unusable data gets one line that names the row."""

import gzip
import importlib.util
import json
import lzma

import pytest
from conftest import SHARED

from explorer.errors import DataError
from explorer.tasks import LONGEST_TEXT, Task, check_text, read_task

ROWS = [("a good film", "positive"), ('she said "no", twice', "negative"), ("naïve café ½", "positive")]
EXPECTED = (tuple(text for text, _ in ROWS), tuple(label for _, label in ROWS))


def tsv() -> str:
    return "text\tlabel\n" + "".join(f"{text}\t{label}\n" for text, label in ROWS)


def csv() -> str:
    quoted = "".join('"{}",{}\r\n'.format(text.replace('"', '""'), label) for text, label in ROWS)
    return f"text,label\r\n{quoted}"


def jsonl() -> str:
    return "\n".join(json.dumps({"label": label, "text": text, "more": [1]}) for text, label in ROWS) + "\n\n"


@pytest.mark.parametrize(("suffix", "content"), [("tsv", tsv()), ("csv", csv()), ("jsonl", jsonl()), ("tsv", "\ufeff" + tsv())])
@pytest.mark.parametrize("packing", ["", ".xz", ".gz"])
def test_every_packing_reads_alike(suffix, content, packing, tmp_path):
    path = tmp_path / f"data.{suffix}{packing}"
    opener = {"": open, ".xz": lzma.open, ".gz": gzip.open}[packing]
    with opener(path, "wb") as file:
        file.write(content.encode())
    task = read_task(path)
    assert (task.texts, task.answers) == EXPECTED
    assert task.labels == ("negative", "positive")
    assert (task.name, len(task)) == (path.name, 3)


def test_lists_become_a_task_that_can_be_told_from_others():
    task = Task(["good", "bad"], ["yes", "no"], ["no", "yes"], "mine")
    assert task == Task(("good", "bad"), ("yes", "no"), ("no", "yes"), "mine")
    assert hash(task) == hash(Task(("good", "bad"), ("yes", "no"), ("no", "yes"), "mine"))
    assert task.gold.tolist() == [1, 0]
    assert repr(task) == "<Task mine: 2 texts, labels no, yes>"
    for given, message in {
        ("good", ("yes",), ("no", "yes")): r"mine, texts: found the text 'good'; expected a list, such as \['good'\]",
        (("good",), "yes", ("no", "yes")): "mine, answers: found the text 'yes'",
        (("good",), ("yes",), "no,yes"): r"mine, labels: found the text 'no,yes'; expected a list, such as \['no', 'yes'\]",
        ((3,), ("yes",), ("no", "yes")): "mine, texts: found a int; expected a list of texts",
        (None, ("yes",), ("no", "yes")): "mine, texts: found None; expected a list of texts",
        (("\ud800",), ("yes",), ("no", "yes")): r"mine, row 1 is not Unicode text \(character 1\)",
    }.items():
        with pytest.raises(DataError, match=message):
            Task(*given, "mine")


def test_labels_may_be_numbers_and_keep_the_order_asked_for(tmp_path):
    path = tmp_path / "data.jsonl"
    path.write_text('{"text": "a", "label": 1}\n{"text": "b", "label": 0}\n')
    assert read_task(path).labels == ("0", "1")
    assert read_task(path, ("1", "0", "2")).labels == ("1", "0", "2")


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.tsv", b"sentence\tlabel\nx\ty\n", r"row 1: found the columns sentence, label; expected text in every row"),
        ("a.csv", b"one,two\nx,y\n", "row 1: found the columns one, two; expected text and label in every row"),
        ("a.tsv", b"text\tlabel\nx\ty\nz\n", "row 2: found the columns text; expected label in every row"),
        ("a.tsv", b"", "no rows; expected the columns text and label"),
        ("a.tsv", b"text\tlabel\n", "no rows"),
        ("a.tsv", b"text\tlabel\ngood\tyes\n  \tno\n", "row 2 is empty; expected some words"),
        ("a.tsv", b"text\tlabel\ngood\tyes\nfine\tyes\n", "found the label yes; expected at least two class labels"),
        ("a.tsv", b'text\tlabel\n"good" film\tyes\nbad\tno\n', "cannot be read .* expected UTF-8 TSV"),
        ("a.tsv", b"text\tlabel\n\xff\xfe\tyes\n", "cannot be read .* expected UTF-8 TSV"),
        ("a.tsv.xz", b"not packed", "cannot be read"),
        ("a.csv.gz", b"not packed", "cannot be read"),
        ("a.csv.gz", gzip.compress(b"text,label\na,b\n" * 100, mtime=0)[:-20], "cannot be read"),
        ("a.txt", b"text\tlabel\n", r"found the suffix \.txt; expected \.tsv, \.csv or \.jsonl"),
        ("a", b"text\tlabel\n", "found the suffix none"),
        ("a.jsonl", b'{"text": "a", "label": "b"}\n{"text": \n', "line 2: no JSON"),
        ("a.jsonl", b"[1, 2]\n", "line 1: found a JSON list; expected an object"),
        ("a.jsonl", b"[" * 100_000, "line 1: no JSON"),
        ("a.jsonl", b'{"text": ["a"], "label": "b"}\n', "row 1: found a text or label that is no plain value"),
        ("a.jsonl", b'{"text": "a", "label": {"b": 1}}\n', "row 1: found a text or label that is no plain value"),
        ("a.jsonl", b'{"text": null, "label": "b"}\n', "row 1: found the columns label; expected text in every row"),
    ],
)
def test_unusable_files_get_one_line(name, content, message, tmp_path):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError, match=message) as caught:
        read_task(tmp_path / name)
    assert "\n" not in str(caught.value)
    assert name in str(caught.value)


def test_a_missing_file_and_a_folder_are_named(tmp_path):
    for path in (tmp_path / "nowhere.tsv", tmp_path):
        with pytest.raises(DataError, match="no such file; expected TSV, CSV or JSONL"):
            read_task(path)


def test_a_label_the_task_does_not_have_is_named(tmp_path):
    (tmp_path / "a.tsv").write_text(tsv())
    with pytest.raises(DataError, match="found the label 'negative'; the task has yes, no, positive"):
        read_task(tmp_path / "a.tsv", ("yes", "no", "positive"))


def test_hub_names_are_checked_and_need_datasets():
    for name in ("hf:", "hf:sst2", "hf::train", "hf:a:b:c"):
        with pytest.raises(DataError, match=r"expected hf:NAME\[/CONFIG\]:SPLIT"):
            read_task(name)
    if importlib.util.find_spec("datasets") is None:
        with pytest.raises(DataError, match="needs `pip install datasets`"):
            read_task("hf:sst2:train")


def test_tasks_are_checked_however_they_are_made():
    with pytest.raises(DataError, match="2 texts and 1 labels; expected as many of both"):
        Task(("a", "b"), ("x",), ("x", "y"), "planted")
    with pytest.raises(DataError, match="0 texts and 0 labels"):
        Task((), (), ("x", "y"), "planted")
    with pytest.raises(DataError, match=r"planted, row 2 is empty"):
        Task(("a", ""), ("x", "y"), ("x", "y"), "planted")
    with pytest.raises(DataError, match="20,001 characters; expected at most 20,000"):
        check_text("a" * (LONGEST_TEXT + 1))


@pytest.mark.skipif(not (SHARED / "data" / "tasks").is_dir(), reason="the shared data are not beside the repository")
def test_the_shared_tasks_have_the_rows_their_readme_names():
    for task, split, rows, labels in (("mr", "train", 8662, 2), ("subj", "dev", 1000, 2), ("trec", "test", 500, 6), ("cr", "train", 2365, 2)):
        read = read_task(SHARED / "data" / "tasks" / task / f"{split}.tsv")
        assert (len(read), len(read.labels)) == (rows, labels)
        assert not any("\n" in text for text in read.texts)
