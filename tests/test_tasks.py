"""Labelled texts: every packing reads alike, and unusable data gets one line that names the row."""

import gzip
import importlib.util
import json
import lzma

import pytest
from conftest import SHARED

from explorer.errors import DataError
from explorer.texts.tasks import LONGEST_TEXT, Task, check_text, read_task

ROWS = [("a good film", "positive"), ('she said "no", twice', "negative"), ("naïve café ½", "positive")]
EXPECTED = (tuple(text for text, _ in ROWS), tuple(label for _, label in ROWS))


def tsv() -> str:
    return "text\tlabel\n" + "".join(f"{text}\t{label}\n" for text, label in ROWS)


def csv() -> str:
    quoted = "".join('"{}",{}\r\n'.format(text.replace('"', '""'), label) for text, label in ROWS)
    return f"text,label\r\n{quoted}"


def jsonl() -> str:
    return "\n".join(json.dumps({"label": label, "text": text, "more": [1]}) for text, label in ROWS) + "\n\n"


@pytest.mark.parametrize(
    ("suffix", "content"), [("tsv", tsv()), ("csv", csv()), ("jsonl", jsonl()), ("tsv", "\ufeff" + tsv())]
)
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
        (
            "good",
            ("yes",),
            ("no", "yes"),
        ): r"mine, texts: found the text 'good'; expected a list, such as \['good'\]",
        (("good",), "yes", ("no", "yes")): "mine, answers: found the text 'yes'",
        (
            ("good",),
            ("yes",),
            "no,yes",
        ): r"mine, labels: found the text 'no,yes'; expected a list, such as \['no', 'yes'\]",
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
        ("a.tsv", b"text\tmood\nx\ty\n", "found the columns text, mood; expected label: name the column"),
        (
            "a.csv",
            b"one,two\nx,y\n",
            "found the columns one, two; expected text and label: name the columns, or give the data "
            "a header",
        ),
        (
            "a.csv",
            b"review,sentence,label\nx,y,z\n",
            "several columns that could be the text: review, sentence; expected one: name it",
        ),
        (
            "a.tsv",
            b"text\tlabel\nx\ty\n\nz\n",
            r"row 4: the label is missing; expected 2 columns \(text, label\)",
        ),
        (
            "a.tsv",
            b"text\tlabel\nx\ty\nz\t\nz\tnan\n",
            r"row 3: the label is missing \(and in 1 row more\); expected one in every row",
        ),
        (
            "a.jsonl",
            b'{"text": "a", "label": 0}\n\n{"text": "b", "label": NaN}\n',
            "row 3: the label is missing; expected one",
        ),
        (
            "a.tsv",
            b"text\tlabel\nx\ty\nz\tu\tw\n",
            r"row 3: found 3 columns; expected 2 \(text, label\): put quotes around a text that has tabs",
        ),
        (
            "a.tsv",
            b"text\tlabel\nx\tYes\nz\tyes\n",
            "the labels Yes and yes, which differ only by case; expected one spelling",
        ),
        (
            "a.csv",
            b'text,label\n"good, film" x,yes\nbad,no\n',
            "row 2: found a quote that opens a field and is not closed at its end",
        ),
        (
            "a.tsv",
            b"text\tlabel\nx\t1\ny\t0\nz\t1.0\n",
            "the labels 1 and 1.0, which differ only by the way they are written",
        ),
        (
            "a.tsv",
            b'text\tlabel\n"x\tyes\ny\tno"\nz\tno\n',
            'the labels no and no", which differ only by the way they are written',
        ),
        (
            "a.csv",
            "text,label\nx,yes\ny,yes\u200b\nz,no\n".encode(),
            "the labels yes and yes.u200b, which differ only by the way they are written",
        ),
        (
            "a.csv",
            "text,label\nx,caf\u00e9\ny,cafe\u0301\nz,no\n".encode(),
            "which differ only by the way they are written",
        ),
        (
            "a.csv",
            b'text,label\n"good,yes\nbad,no\nfine",yes\nx,no\n',
            "row 2: a quote opens here and closes 2 lines below, over what look like rows",
        ),
        (
            "a.csv",
            b'text;label\n"good;yes\nbad;no\nfine";yes\nx;no\n',
            "row 2: a quote opens here and closes 2 lines below, over what look like rows",
        ),
        (
            "a.csv",
            b'label,text\nyes,"good\nno,bad\nyes,fine"\nno,x\n',
            "row 2: a quote opens here and closes 2 lines below, over what look like rows",
        ),
        (
            "a.csv",
            b'text,label,note\ngood,yes,"open\nbad,no,x\nfine,yes,shut"\nx,no,y\n',
            "row 2: a quote opens here and closes 2 lines below",
        ),
        (
            "a.csv",
            b'text,label\n"good,yes\nbad",no\nx,yes\n',
            "row 2: a quote opens here and closes 1 line below, over what look like rows",
        ),
        (
            "a.tsv",
            b'text\tlabel\n"good\tor\nnot"\tyes\nbad\tno\n',
            "row 2: a quote opens here and closes 1 line below",
        ),
        (
            "a.tsv",
            b'label\ttext\nyes\t"good\nno\tbad"\nyes\tfine\n',
            "row 2: a quote opens here and closes 1 line below",
        ),
        (
            "a.csv",
            "text,label\nпривет,yes\n".encode("cp1251"),
            "row 2 is not UTF-8, nor clearly another encoding",
        ),
        ("a.csv", b"text,label\n\xc3\xa9 and \xe9,yes\n", "row 2 is not UTF-8"),
        ("a.csv", b"text,label\nx\0,yes\n", "it has zero bytes"),
        ("a.tsv", b"", "no rows; expected the columns text and label"),
        ("a.tsv", b"text\tlabel\n", "no rows"),
        ("a.tsv", b"text\tlabel\ngood\tyes\n  \tno\n", "row 3 is empty; expected some words"),
        (
            "a.tsv",
            b"text\tlabel\ngood\tyes\nfine\tyes\n",
            "found the label yes; expected at least two class labels",
        ),
        ("a.tsv.xz", b"not packed", "cannot be read"),
        ("a.csv.gz", b"not packed", "cannot be read"),
        ("a.csv.gz", gzip.compress(b"text,label\na,b\n" * 100, mtime=0)[:-20], "cannot be read"),
        (
            "a.csv.gz",
            gzip.compress(b"text,label\na,b\n", mtime=0) + b"a part whose beginning is damaged",
            "something that is not compressed follows its end",
        ),
        ("a.txt", b"text\tlabel\n", r"found the suffix \.txt; expected \.tsv, \.csv or \.jsonl"),
        ("a", b"text\tlabel\n", "found the suffix none"),
        ("a.jsonl", b'{"text": "a", "label": "b"}\n{"text": \n', "line 2: no JSON"),
        ("a.jsonl", b"[1, 2]\n", "line 1: found a JSON list; expected an object"),
        ("a.jsonl", b"[" * 100_000, "line 1: no JSON"),
        (
            "a.jsonl",
            b'{"text": ["a"], "label": "b"}\n',
            "row 1: found a text or label that is no plain value",
        ),
        (
            "a.jsonl",
            b'{"mood": "a", "label": "b"}\n',
            "row 1: found the columns mood, label; expected text: name the column$",
        ),
        (
            "a.jsonl",
            b'{"text": "a", "label": {"b": 1}}\n',
            "row 1: found a text or label that is no plain value",
        ),
        (
            "a.jsonl",
            b'{"text": "a", "label": Infinity}\n{"text": "b", "label": 0}\n',
            "row 1: the label is missing",
        ),
        (
            "a.jsonl",
            b'{"text": "a", "label": "\\ud800"}\n{"text": "b", "label": 0}\n',
            r"row 1: the label '\\ud800' is not Unicode text; change it",
        ),
        (
            "a.jsonl",
            b'{"text": null, "label": "b"}\n',
            "row 1: the text is missing; expected a text and a label in every row",
        ),
    ],
)
def test_unusable_files_get_one_line(name, content, message, tmp_path):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError, match=message) as caught:
        read_task(tmp_path / name)
    assert "\n" not in str(caught.value)
    assert name in str(caught.value)


BARE = 'text\tlabel\n"good\tyes\nbad film"\tno\n"fine" one\tyes\n'
ACCEPTED = {
    "bare quotes": ("a.tsv", BARE, ['"good', 'bad film"', '"fine" one'], "yes no yes"),
    "bare quotes that pair up": (
        "a.tsv",
        'text\tlabel\n"good\tyes\nbad film"\tno\nfine\tyes\n',
        ['"good', 'bad film"', "fine"],
        "yes no yes",
    ),
    "bare quotes, labels first": (
        "a.tsv",
        'label\ttext\nyes\t"good\nno\tbad"\nyes\tfine\nno\tawful\n',
        ['"good', 'bad"', "fine", "awful"],
        "yes no yes no",
    ),
    "a bare quote in CSV": (
        "a.csv",
        'text,label\n"good" film,yes\nbad,no\n',
        ['"good" film', "bad"],
        "yes no",
    ),
    "a quote open to the end": ("a.csv", 'text,label\n"good,yes\nbad,no\n', ['"good', "bad"], "yes no"),
    "quoted lines and tabs": (
        "a.tsv",
        'text\tlabel\n"so\tgood\tor\nnot"\tyes\nbad\tno\n',
        ["so\tgood\tor\nnot", "bad"],
        "yes no",
    ),
    "quoted lines, labels first": (
        "a.tsv",
        'label\ttext\r\nyes\t"good\r\nfilm"\r\nno\tbad\r\n\r\n\r\n',
        ["good\r\nfilm", "bad"],
        "yes no",
    ),
    "quoted lines in CSV": (
        "a.csv",
        'id,label,text\n1,yes,"good, so\nto ""say"""\n2,no,bad\n,,\n',
        ['good, so\nto "say"', "bad"],
        "yes no",
    ),
    "names in other case": (
        "a.TSV",
        "Label\tSENTENCE\tmore\nyes\tgood\t1\nno\tbad\t2\n",
        ["good", "bad"],
        "yes no",
    ),
    "semicolons": ("a.csv", "text;label\ngood, film;yes\nbad;no\n", ["good, film", "bad"], "yes no"),
    "no header": (
        "a.tsv",
        "good\tyes\nbad\tno\nfine\tyes\nawful\tno\n",
        ["good", "bad", "fine", "awful"],
        "yes no yes no",
    ),
    "no header, labels first": (
        "a.csv",
        "1,good\n0,bad\n1,fine\n0,awful\n",
        ["good", "bad", "fine", "awful"],
        "1 0 1 0",
    ),
    "quotes after a space": ("a.csv", 'text, label\ngood, "yes"\nbad, "no"\n', ["good", "bad"], "yes no"),
    "JSON in other case": (
        "a.jsonl",
        '{"Sentence": "good", "LABEL": 1.0}\n\n{"Sentence": "bad", "LABEL": 0}\n\n',
        ["good", "bad"],
        "1 0",
    ),
}


@pytest.mark.parametrize("kind", ACCEPTED)
def test_what_is_unambiguous_is_accepted_with_every_row(kind, tmp_path):
    name, content, texts, answers = ACCEPTED[kind]
    (tmp_path / name).write_bytes(content.encode())
    task = read_task(tmp_path / name)
    assert (list(task.texts), list(task.answers)) == (texts, answers.split())


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32", "cp1252"])
def test_encodings_are_told_and_a_guess_is_noted(encoding, tmp_path):
    path = tmp_path / "a.csv"
    path.write_bytes("text,label\na naïve “café”,yes\nbad and long enough,no\n".encode(encoding))
    task = read_task(path)
    assert task.texts == ("a naïve “café”", "bad and long enough")
    assert bool(task.notes) == (encoding == "cp1252")
    if encoding == "cp1252":
        assert "row 2 is not UTF-8; the file is read as Windows-1252" in task.notes[0]


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be"])
@pytest.mark.parametrize(
    ("texts", "answers"),
    [(("хороший фильм", "плохой"), ("да", "нет")), (("很好的电影", "很差的电影"), ("正面", "负面"))],
)
def test_utf_16_without_a_mark_is_told_in_any_script(texts, answers, encoding, tmp_path):
    path = tmp_path / "a.tsv"
    path.write_bytes(
        "".join(
            f"{text}\t{label}\r\n" for text, label in (("text", "label"), *zip(texts, answers, strict=True))
        ).encode(encoding)
    )
    task = read_task(path)
    assert (task.texts, task.answers) == (texts, answers)


def test_parts_of_a_packed_file_may_have_padding_between_them(tmp_path):
    (tmp_path / "a.tsv.xz").write_bytes(
        lzma.compress(b"text\tlabel\ngood\tyes\n") + bytes(8) + lzma.compress(b"bad\tno\n") + bytes(4)
    )
    assert read_task(tmp_path / "a.tsv.xz").texts == ("good", "bad")


@pytest.mark.parametrize(("labels", "found"), [(("0", "1"), "1.0 0.0 1"), (("0.0", "1.0"), "1 0 1.0")])
def test_labels_asked_for_may_be_numbers_written_otherwise(labels, found, tmp_path):
    path = tmp_path / "a.tsv"
    path.write_text("text\tlabel\n" + "".join(f"good\t{label}\n" for label in found.split()))
    assert read_task(path, labels).answers == (labels[1], labels[0], labels[1])


def test_labels_asked_for_are_matched_without_regard_to_case_and_noted(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text("good,Yes\nbad,NO\n")
    task = read_task(path, ("no", "yes"))
    assert (task.texts, task.answers, task.labels) == (("good", "bad"), ("yes", "no"), ("no", "yes"))
    assert any("has no header; column 1 is taken as the text" in note for note in task.notes)
    assert any("its label Yes is read as yes" in note for note in task.notes)


def test_columns_can_be_named(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text("Opinion;text;Mood\ngood;x;1\nbad;y;0\n")
    task = read_task(path, text_column="opinion", label_column="Mood")
    assert (task.texts, task.answers) == (("good", "bad"), ("1", "0"))
    with pytest.raises(
        DataError, match="found the columns Opinion, text, Mood; expected 'mod' among them"
    ) as caught:
        read_task(path, label_column="mod")
    assert caught.value.setting == "label_column"


def test_a_file_that_is_too_large_is_refused_before_it_is_read_whole(monkeypatch, tmp_path):
    monkeypatch.setattr("explorer.texts.label_files.LARGEST_FILE", 1_000_000)
    path = tmp_path / "a.tsv.gz"
    path.write_bytes(gzip.compress(b"text\tlabel\n" + b"good film\tyes\n" * 100_000))
    with pytest.raises(
        DataError, match=r"has more than 1 MB \(unpacked\); expected at most that: take a part of its rows"
    ):
        read_task(path)


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
    with pytest.raises(DataError, match="planted: found the label x twice; expected different class labels"):
        Task(("a", "b"), ("x", "y"), ("x", "y", "x"), "planted")
    with pytest.raises(DataError, match="100,001 characters; expected at most 100,000"):
        check_text("a" * (LONGEST_TEXT + 1))


@pytest.mark.skipif(
    not (SHARED / "data" / "tasks").is_dir(), reason="the shared data are not beside the repository"
)
def test_the_shared_tasks_have_the_rows_their_readme_names():
    for task, split, rows, labels in (
        ("mr", "train", 8662, 2),
        ("subj", "dev", 1000, 2),
        ("trec", "test", 500, 6),
        ("cr", "train", 2365, 2),
    ):
        read = read_task(SHARED / "data" / "tasks" / task / f"{split}.tsv")
        assert (len(read), len(read.labels)) == (rows, labels)
        assert not any("\n" in text for text in read.texts)


def two(folder, first, second):
    path = folder / "a.tsv"
    path.write_text(f"text\tlabel\nfine\t{second}\nbad\t{first}\nfine too\t{second}\n")
    return path


@pytest.mark.parametrize(
    ("first", "second", "labels"),
    [
        ("0", "1", ("negative", "positive")),
        ("neg", "pos", ("positive", "negative")),
        ("False", "True", ("no", "yes")),
        ("Negative", "Positive", ("bad", "good")),
        ("no", "yes", ("0", "1")),
    ],
)
def test_two_labels_that_say_no_and_yes_are_read_as_two_others(first, second, labels, tmp_path):
    """Faults: .500 for labels that nobody mapped; an order taken from the alphabet; a mapping unsaid."""
    task = read_task(two(tmp_path, first, second), labels)
    low, high = sorted(labels, key=lambda label: label in ("positive", "yes", "good", "1"))
    assert (task.answers, task.labels) == ((high, low, high), labels)
    assert [note.partition(": ")[2] for note in task.notes] == [
        f"its label {old} is read as {new}" for old, new in sorted(((first, low), (second, high)))
    ]


@pytest.mark.parametrize(
    "labels", [("objective", "subjective"), ("negative", "neutral", "positive"), ("yes", "good")]
)
def test_an_order_that_is_not_plain_is_not_guessed(labels, tmp_path):
    with pytest.raises(
        DataError, match=f"found the label '1'; the task has .* or map them, such as 1={labels[0]}"
    ):
        read_task(two(tmp_path, "0", "1"), labels)


def test_labels_are_mapped_as_asked(tmp_path):
    path = two(tmp_path, "0", "1")
    task = read_task(path, ("objective", "subjective"), label_map={"1": "objective", "0": "subjective"})
    assert task.answers == ("objective", "subjective", "objective")
    assert len(task.notes) == 2
    assert read_task(path, label_map={"1": "good"}).labels == ("0", "good")
    with pytest.raises(DataError, match="found the labels 0, 1; none of them is 2, which is mapped to bad"):
        read_task(path, label_map={"2": "bad"})
