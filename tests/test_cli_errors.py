"""Bad input in the shell: one line that says what was found, what was expected and what to do; never a
traceback.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from explorer.cli import app
from explorer.formats import find_prompts
from explorer.system.files import MODELS

ROOT = Path(__file__).resolve().parent.parent
IN_SHELL = (
    "import runpy, signal, sys; signal.signal(signal.SIGINT, signal.default_int_handler); "
    "runpy.run_module('explorer', run_name='__main__')"
)
"""`python -m explorer` with Ctrl-C working even where the tests run in the background"""


def fails(*arguments: object, code: int = 1, stdin: str | None = None) -> str:
    """What a command that must fail says on stderr; it says nothing on stdout and does not crash."""
    result = CliRunner().invoke(
        app, [str(argument) for argument in arguments], input=stdin, prog_name="explorer"
    )
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert result.exit_code == code, result.output
    assert result.stdout == ""
    errors = [line for line in result.stderr.splitlines() if line.startswith("Error: ")]
    assert len(errors) == 1, result.stderr
    assert result.stderr.splitlines()[-1] == errors[0], "the error stands last"
    return errors[0]


def misused(*arguments: object, stdin: str | None = None) -> str:
    """What a command says about bad usage."""
    return fails(*arguments, code=2, stdin=stdin)


def start(*arguments: object, **settings: object) -> subprocess.Popen:
    """A command in a process of its own."""
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    return subprocess.Popen(
        [sys.executable, "-c", IN_SHELL, *map(str, arguments)],
        stderr=subprocess.PIPE,
        env=environment,
        **settings,
    )


@pytest.fixture
def prompt(tiny_prompts) -> str:
    """One readable prompt of the bundled model."""
    return str(next(path for path, _ in find_prompts(tiny_prompts)))


@pytest.fixture
def wide(tmp_path) -> Path:
    """A prompt of another width than the bundled model's."""
    np.save(tmp_path / "wide.npy", np.ones((2, 768), np.float32))
    return tmp_path / "wide.npy"


@pytest.mark.parametrize("name", ["", " "])
def test_an_empty_name_is_told(name):
    assert "found an empty name; expected a prompt's file or folder, or its name" in fails("inspect", name)


READERS = ("inspect", "neighbors", "clusters", "labels", "map")


@pytest.mark.parametrize("command", READERS)
def test_a_prompt_that_is_not_there(command):
    assert (
        "no-such-prompt: no such file, folder or bundled prompt (`python -m explorer prompts` lists"
        in fails(command, "no-such-prompt")
    )


def test_a_misspelled_name_gets_the_nearest_one(tmp_path):
    assert "; did you mean sentiment/class-label-0? (`python" in fails("neighbors", "sentiment/clas-label-0")
    np.save(tmp_path / "warm.npy", np.ones((2, 4), np.float32))
    assert f"; did you mean {tmp_path / 'warm.npy'}?" in fails("inspect", tmp_path / "wamr.npy")


def test_a_folder_of_prompts_names_some_of_them(tiny_prompts):
    message = fails("neighbors", "sentiment")
    assert (
        "sentiment: a folder with prompts below it; expected one of them, such as "
        "sentiment/class-label-0, sentiment/class-label-1,"
    ) in message
    assert message.endswith(", …")
    assert f"such as {tiny_prompts}/sentiment/class-label-0, " in fails("inspect", tiny_prompts)


def test_prompts_of_one_name_in_different_places_are_told_apart(tmp_path):
    from test_cli import as_json

    for run in ("first", "second"):
        (tmp_path / run).mkdir()
        np.save(tmp_path / run / "best.npy", np.ones((1, 256), np.float32))
    found = as_json("neighbors", tmp_path / "first" / "best.npy", tmp_path / "second" / "best.npy", "-k", 1)
    assert [row["prompt"] for row in found] == ["first/best.npy", "second/best.npy"]
    assert "best is given twice; expected different prompts" in fails(
        "neighbors", tmp_path / "first" / "best.npy", tmp_path / "first" / "best.npy"
    )


@pytest.mark.parametrize("command", ["inspect", "neighbors"])
def test_a_folder_that_is_no_prompt(command, tmp_path):
    (tmp_path / "notes.txt").write_text("hello")
    assert "found notes.txt; expected a prompt: adapter_config.json" in fails(command, tmp_path)


def test_a_prompt_with_nan(tmp_path):
    np.save(tmp_path / "nan.npy", np.array([[1.0, np.nan], [1.0, 2.0]], np.float32))
    assert "1 of 2 prompt tokens hold NaN or infinity; training has probably diverged" in fails(
        "neighbors", tmp_path / "nan.npy"
    )


def test_a_name_that_steers_the_terminal_is_printed_harmlessly():
    message = fails("neighbors", "no\x1b[31m\nsuch")
    assert "\\x1b[31m\\nsuch: no such file" in message


def test_names_and_texts_that_are_not_utf_8(prompt, tmp_path):
    import shutil

    shutil.copytree(prompt, tmp_path / "\udcff")
    from test_cli import as_json

    assert {row["prompt"] for row in as_json("neighbors", tmp_path / "\udcff", "-k", 1)} == {"\\udcff"}, (
        "a name is escaped"
    )
    assert "text 1 is not Unicode text (character 4); change it" in fails(
        "predict", prompt, "--text", "caf\udce9"
    )
    assert "which is not UTF-8; rename the file or change the text" in fails(
        "labels", prompt, "--labels", "caf\udce9"
    )


def test_a_name_longer_than_any_file_s():
    message = fails("neighbors", "a" * 5000)
    assert "no such file, folder or bundled prompt" in message
    assert len(message) < 500


@pytest.mark.parametrize("command", ["neighbors", "clusters", "labels", "map"])
def test_vectors_of_another_width_than_the_model_name_both_widths(command, wide):
    message = fails(command, wide, "--model", "mini-t5")
    assert "768" in message
    assert "256" in message


def test_vectors_of_another_width_than_the_fallback_name_both_widths(wide):
    message = fails("neighbors", wide)
    assert (
        "vectors of width 768, records no base model, and the bundled mini-t5 has embeddings of "
        "width 256; give the prompt's own model (--model)"
    ) in message


@pytest.mark.parametrize(
    "arguments",
    [("neighbors", "PROMPT"), ("map", "PROMPT"), ("predict", "PROMPT", "--text", "fine"), ("app",)],
    ids=lambda arguments: arguments[0],
)
def test_a_model_that_is_not_there(arguments, prompt):
    given = [prompt if argument == "PROMPT" else argument for argument in arguments]
    assert "./nowhere: no such folder; expected a model folder, a name under checkpoints/models" in fails(
        *given, "--model", "./nowhere"
    )


def test_a_folder_that_is_no_model(prompt, tmp_path):
    assert "no config.json; expected a model folder" in fails("neighbors", prompt, "--model", tmp_path)


def test_a_model_without_weights(prompt, tmp_path):
    (tmp_path / "config.json").write_text("{}")
    (tmp_path / "tokenizer.json").write_bytes((MODELS / "mini-t5" / "tokenizer.json").read_bytes())
    assert "no model.safetensors; expected weights as safetensors" in fails(
        "neighbors", prompt, "--model", tmp_path
    )


def test_prompts_of_a_folder_that_is_not_there():
    assert "nowhere: no such folder; expected a folder with trained prompts" in fails("prompts", "nowhere")


# usage


@pytest.mark.parametrize("command", ["neighbors", "clusters", "compare"])
def test_no_neighbors_at_all(command, prompt):
    assert "'-k'" in misused(command, prompt, prompt, "-k", 0)


def test_a_metric_that_does_not_exist(prompt):
    assert "'manhattan' is not one of 'cosine', 'whitened', 'l2', 'dot', 'csls'" in misused(
        "neighbors", prompt, "--metric", "manhattan"
    )


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        (
            ("--metric", "cos"),
            "'cos' is not one of 'cosine', 'whitened', 'l2', 'dot', 'csls', 'auto'; did you mean 'cosine'?",
        ),
        (
            ("--metric", "Cosine"),
            "'Cosine' is not one of 'cosine', 'whitened', 'l2', 'dot', 'csls', 'auto'; did you mean 'cosine'?",
        ),
        (("-k", "ten"), "found 'ten'; expected a valid integer"),
        (("-k", "0"), "'-k'"),
    ],
    ids=str,
)
def test_a_wrong_value_is_said_in_plain_words(prompt, typed, said):
    told = misused("neighbors", prompt, *typed)
    assert said in told
    assert "Value error" not in told
    assert "Input should" not in told


@pytest.mark.parametrize(
    "arguments",
    [("clusters", "--nulls", "0"), ("clusters", "--nulls", "many"), ("labels", "--seed", "-1")],
    ids=" ".join,
)
def test_numbers_out_of_range(arguments, prompt):
    assert arguments[1] in misused(arguments[0], prompt, *arguments[1:])


def test_an_unknown_command_and_an_unknown_option(prompt):
    assert "No such command 'neighbours'. Did you mean 'neighbors'?" in misused("neighbours", prompt)
    assert "--colour" in misused("neighbors", prompt, "--colour", "red")


def test_two_results_for_one_stdout(prompt):
    assert "only one of --json, --csv - and --html - can go to stdout" in misused(
        "neighbors", prompt, "--json", "--csv", "-"
    )
    assert "can go to stdout" in misused("decode", prompt, "--json", "--label-mass", "-")
    assert "found a.csv for two results" in misused(
        "decode", prompt, "--csv", "a.csv", "--label-mass", "a.csv"
    )


def test_a_target_that_is_the_source(prompt):
    assert "found a file twice" in misused(
        "shift", prompt, "--source", "examples/films.tsv", "--target", "examples/films.tsv"
    )


def test_comparing_one_prompt(prompt):
    assert "found one prompt; expected at least two" in misused("compare", prompt)


def test_repeated_or_empty_labels(prompt):
    assert "expected different values with commas between them" in misused(
        "labels", prompt, "--labels", "good,good"
    )
    assert "expected different values with commas between them" in misused(
        "labels", prompt, "--labels", "good,,bad"
    )


def test_a_label_without_a_piece_in_the_vocabulary(tmp_path):
    from safetensors.numpy import save_file
    from tokenizers import Tokenizer
    from tokenizers.models import WordLevel

    save_file({"shared.weight": np.eye(3, dtype=np.float32)}, tmp_path / "model.safetensors")
    (tmp_path / "config.json").write_text("{}")
    Tokenizer(WordLevel({"<unk>": 0, "good": 1, "bad": 2}, unk_token="<unk>")).save(
        str(tmp_path / "tokenizer.json")
    )
    np.save(tmp_path / "prompt.npy", np.eye(3, dtype=np.float32))
    message = fails("labels", tmp_path / "prompt.npy", "--model", tmp_path, "--labels", "good,zzz")
    assert "label 'zzz' has no piece in the vocabulary" in message


def test_labels_of_a_prompt_that_records_none(tmp_path):
    np.save(tmp_path / "bare.npy", np.ones((2, 256), np.float32))
    assert "bare records no class labels; name them, such as negative and positive (--labels)" in fails(
        "labels", tmp_path / "bare.npy"
    )


# running prompts


@pytest.fixture
def data(tmp_path):
    """Writes a file and returns its path."""

    def write(content: str, name: str = "data.tsv") -> Path:
        (tmp_path / name).write_text(content, encoding="utf-8")
        return tmp_path / name

    return write


GOOD = "text\tlabel\na fine film\tpositive\na dull film\tnegative\n"


def test_predict_without_a_text(prompt):
    assert "found no text; expected --text or --text-file" in misused("predict", prompt)


def test_predict_of_an_empty_text(prompt, data):
    assert "text 2 is empty" in fails("predict", prompt, "--text", "fine", "--text", "  ")
    assert "texts.txt, line 2 is empty; expected a text on every line" in fails(
        "predict", prompt, "--text-file", data("a\n\nb\n", "texts.txt")
    )
    assert "texts.txt: no lines; expected texts, one a line" in fails(
        "predict", prompt, "--text-file", data("", "texts.txt")
    )


def test_predict_of_a_file_that_cannot_be_read(prompt, tmp_path):
    assert "gone.txt: cannot be read (No such file or directory); expected texts" in fails(
        "predict", prompt, "--text-file", tmp_path / "gone.txt"
    )
    (tmp_path / "bytes.txt").write_bytes(b"caf\xe9\xfa\xfb\xfc\n")
    assert "bytes.txt: cannot be read (row 1 is not UTF-8, nor clearly another encoding)" in fails(
        "predict", prompt, "--text-file", tmp_path / "bytes.txt"
    )


def test_predict_with_one_label(prompt):
    assert "found the label good; expected at least two (--labels)" in fails(
        "predict", prompt, "--text", "fine", "--labels", "good"
    )


@pytest.mark.parametrize("option", ["device", "dtype"])
def test_a_device_and_a_precision_that_do_not_exist(option, prompt):
    assert f"'--{option}'" in misused("predict", prompt, "--text", "fine", f"--{option}", "tape")


def test_a_device_that_is_not_there(prompt):
    import torch

    if torch.cuda.is_available():
        pytest.skip("there is a GPU")
    assert "torch sees no GPU; use cpu (--device)" in fails(
        "predict", prompt, "--text", "fine", "--device", "cuda"
    )


def test_prompts_of_different_tasks_in_one_batch(prompt, tmp_path):
    import shutil

    shutil.copytree(prompt, tmp_path / "other")
    record = json.loads((tmp_path / "other" / "explorer.json").read_text())
    (tmp_path / "other" / "explorer.json").write_text(json.dumps(record | {"labels": ["yes", "no"]}))
    assert "other has yes, no; expected one task: choose others or name the labels (--labels)" in fails(
        "predict", prompt, tmp_path / "other", "--text", "fine"
    )


def test_prompts_of_different_models_in_one_batch(prompt, wide):
    message = fails("map", prompt, wide)
    assert "768" in message
    assert "256" in message


def test_evaluate_needs_data(prompt):
    assert "--data" in misused("evaluate", prompt)


@pytest.mark.parametrize(
    ("content", "name", "expected"),
    [
        (
            None,
            "gone.tsv",
            "gone.tsv: no such file; expected TSV, CSV or JSONL with the columns text and label",
        ),
        (
            "review\tstars\nfine\t5\n",
            "a.tsv",
            "found the columns review, stars; expected label: name the column, or give the data a "
            "header with label (--label-column)",
        ),
        ("text\tlabel\n", "a.tsv", "no rows; expected the columns text and label"),
        (GOOD, "a.txt", "found the suffix .txt; expected .tsv, .csv or .jsonl"),
        ("text\tlabel\nfine\tmixed\n", "a.tsv", "found the label 'mixed'; the task has negative, positive"),
        ("text\tlabel\n \tpositive\n", "a.tsv", "a.tsv, row 2 is empty"),
        ("{", "a.jsonl", "a.jsonl, line 1: no JSON"),
    ],
    ids=["missing", "columns", "empty", "suffix", "label", "empty text", "broken"],
)
def test_data_that_cannot_be_used(content, name, expected, prompt, data, tmp_path):
    path = tmp_path / name if content is None else data(content, name)
    assert expected in fails("evaluate", prompt, "--data", path, "--labels", "negative,positive")


# faithfulness, attribution


def test_faithfulness_and_attribution_name_what_they_cannot_use(data, tmp_path):
    prompt = "sentiment/class-label-0"
    assert "found the label 'mixed'" in fails(
        "faithfulness", prompt, "--data", data("text\tlabel\nfine\tmixed\n")
    )
    assert "gone.tsv: no such file" in fails("faithfulness", prompt, "--data", tmp_path / "gone.tsv")
    assert "expected either --text or --data" in misused("attribution", prompt)
    assert "expected either --text or --data" in misused(
        "attribution", prompt, "--text", "fine", "--data", data(GOOD)
    )
    assert "found the label 'mixed'; expected one of negative, positive" in fails(
        "attribution", prompt, "--text", "fine", "--label", "mixed"
    )
    assert "text 1 is empty" in fails("attribution", prompt, "--text", " ")


# train


def test_train_names_what_it_cannot_use(data, tmp_path):
    train = ("train", "--model", "mini-t5", "--data", data(GOOD), "--out", tmp_path / "out")
    assert "found 'zeros'; expected random, sampled-vocab, class-label" in misused(*train, "--init", "zeros")
    assert "found '0,one'; expected natural numbers" in misused(*train, "--seeds", "0,one")
    assert "found '0,-1'; expected natural numbers" in misused(*train, "--seeds", "0,-1")
    assert "found 0.0; expected a positive number" in misused(*train, "--lr", 0)
    assert "found --init and --read-as" in misused(*train, "--read-as", "bake the bread", "--init", "random")
    assert "found inf; expected 0 or more" in misused(*train, "--read-as", "bake the bread", "--pull", "inf")
    assert (
        "2 examples; expected at least 10 to hold some out, or dev texts in a file of their own (--dev)"
        in fails(*train)
    )
    assert "found the label 'mixed'" in fails(*train, "--dev", data("text\tlabel\nfine\tmixed\n", "dev.tsv"))
    assert not (tmp_path / "out").exists()
    dev = ("--dev", data(GOOD, "dev.tsv"))
    assert "the sentence has 3 pieces, the prompt 2 tokens" in fails(
        *train, *dev, "--read-as", "the film was", "--length", 2
    )


def test_train_with_a_model_that_is_not_there(data, tmp_path):
    message = fails(
        "train",
        "--model",
        "./nowhere",
        "--data",
        data(GOOD),
        "--dev",
        data(GOOD, "dev.tsv"),
        "--out",
        tmp_path / "out",
    )
    assert "./nowhere: no such folder" in message


def test_train_into_a_file(data, tmp_path):
    (tmp_path / "out").write_text("mine")
    message = fails(
        "train",
        "--model",
        "mini-t5",
        "--data",
        data(GOOD),
        "--dev",
        data(GOOD, "dev.tsv"),
        "--out",
        tmp_path / "out",
    )
    assert "out: is a file; expected a folder for the prompts" in message


# the dashboard


def test_app_with_nothing_to_show(tmp_path):
    assert "nowhere: no such folder; expected a folder with trained prompts" in fails(
        "app", "--prompts", "nowhere"
    )
    assert "found no prompt that can be read; expected PEFT adapter folders" in fails(
        "app", "--prompts", tmp_path
    )
    assert "'--port'" in misused("app", "--port", 70000)


# targets


@pytest.mark.parametrize("option", ["--csv", "--html"])
def test_targets_that_cannot_be_written(option, prompt, tmp_path):
    (tmp_path / "taken").write_text("mine")
    assert "exists already; choose another name or overwrite it (--overwrite)" in fails(
        "map", prompt, option, tmp_path / "taken"
    )
    assert "is a folder; expected the name of a file" in fails("map", prompt, option, tmp_path)
    assert "there is no folder" in fails("map", prompt, option, tmp_path / "no" / "where.out")
    assert (tmp_path / "taken").read_text() == "mine"


def test_targets_are_checked_before_the_work():
    assert "there is no folder" in fails("neighbors", "no-such-prompt", "--csv", "/no/where.csv")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_without_permission(prompt, tmp_path):
    tmp_path.chmod(0o500)
    assert "permission denied" in fails("neighbors", prompt, "--csv", tmp_path / "n.csv")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full")
def test_a_full_disk_leaves_one_line(prompt):
    with open("/dev/full", "wb") as full:
        process = start("neighbors", prompt, "--csv", "-", stdout=full)
        message = process.communicate(timeout=60)[1].decode()
    assert process.returncode == 1
    assert message.splitlines()[-1].startswith("Error: ")
    assert "No space left" in message
    assert "Traceback" not in message


@pytest.mark.slow
@pytest.mark.parametrize(
    ("line", "code", "expected"),
    [
        ("neighbors PROMPT --csv /dev/stdout | head -1", 0, "prompt,position"),
        ("neighbors PROMPT --csv >(head -1) 2>/dev/null; sleep 1", 0, "prompt,position"),
        ("prompts >&-", 0, ""),
        ("neighbors PROMPT --json >&-", 0, ""),
        ("neighbors PROMPT --json >/dev/full", 1, "stdout cannot be written (No space left on device); make"),
        ("--help >/dev/full", 1, "stdout cannot be written (No space left on device); make room"),
        (
            "neighbors PROMPT --csv /dev/full",
            1,
            "/dev/full: cannot be written (No space left on device); make",
        ),
    ],
)
def test_wherever_a_shell_sends_the_output(line, code, expected, prompt):
    words = line.replace("PROMPT", str(prompt))
    script = f"set -o pipefail; {sys.executable} -m explorer {words}"
    done = subprocess.run(["bash", "-c", script], capture_output=True, cwd=ROOT, timeout=60, check=False)
    said = done.stdout + done.stderr
    assert done.returncode in (code, 141) if "head" in line else done.returncode == code, said
    assert expected in said.decode()
    assert b"Traceback" not in said
    assert code == 0 or said.count(b"\n") == 1


def test_a_full_disk_under_a_file_leaves_nothing_partial(prompt, tmp_path):
    """A limit on the size of files fails writes as a full disk does."""
    import resource

    (tmp_path / "n.csv").write_text("mine")
    limit = {"preexec_fn": lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))}
    process = start("neighbors", prompt, "-k", 100, "--csv", tmp_path / "n.csv", "--overwrite", **limit)
    message = process.communicate(timeout=60)[1].decode()
    assert process.returncode == 1
    assert message.splitlines()[-1].startswith("Error: ")
    assert "cannot be written (File too large)" in message
    assert [path.name for path in tmp_path.iterdir()] == ["n.csv"]
    assert (tmp_path / "n.csv").read_text() == "mine"


# pipes and Ctrl-C, in processes of their own


@pytest.mark.parametrize(
    "arguments",
    [("neighbors", "PROMPT", "-k", "2000", "--csv", "-"), ("neighbors", "PROMPT"), ("--help",)],
    ids=["long", "short", "help"],
)
def test_a_reader_that_leaves_early(arguments, prompt):
    process = start(
        *(prompt if argument == "PROMPT" else argument for argument in arguments), stdout=subprocess.PIPE
    )
    if "--csv" in arguments:
        assert process.stdout.read(10) == b"prompt,pos"
    process.stdout.close()
    message = process.stderr.read().decode()
    process.stderr.close()
    assert process.wait(timeout=60) in (0, 1, 141)
    assert "Traceback" not in message
    assert "BrokenPipe" not in message


def test_ctrl_c_says_one_line_and_exits_with_130(prompt, tmp_path):
    import signal

    os.mkfifo(tmp_path / "texts")
    process = start("predict", prompt, "--text-file", tmp_path / "texts", stdout=subprocess.PIPE)
    with open(tmp_path / "texts", "wb"):  # opens when the command opens its side: now it waits for texts
        process.send_signal(signal.SIGINT)
        out, message = process.communicate(timeout=60)
    assert (process.returncode, out, message) == (130, b"", b"interrupted\n")


@pytest.mark.slow
def test_ctrl_c_while_training_keeps_what_is_done(tiny_t5_folder, data, tmp_path):
    import signal

    sizes = (
        "--length",
        2,
        "--steps",
        1_000_000,
        "--evaluate-every",
        1,
        "--batch-size",
        2,
        "--init",
        "random",
        "--seeds",
        0,
    )
    texts = data(GOOD), "--dev", data(GOOD, "dev.tsv")
    process = start(
        "train",
        "--model",
        tiny_t5_folder,
        "--data",
        *texts,
        "--out",
        tmp_path / "out",
        *sizes,
        stdout=subprocess.PIPE,
    )
    said = b""
    while said.count(b"dev=") < 2:  # a measurement has been made and kept
        said += process.stderr.read1() or pytest.fail(said.decode())
    process.send_signal(signal.SIGINT)
    message = (said + process.communicate(timeout=60)[1]).decode()
    assert process.returncode == 130
    assert message.splitlines()[-1].startswith("interrupted: what is finished is in ")
    assert "Traceback" not in message
    assert [path.suffixes for path in (tmp_path / "out").rglob(".*.pt")] == [[".tuning", ".pt"]]


def test_an_error_in_a_fresh_process_is_one_line():
    process = start("neighbors", "no-such-prompt", "--json", stdout=subprocess.PIPE)
    out, message = process.communicate(timeout=60)
    assert (process.returncode, out) == (1, b"")
    assert message.decode().startswith("Error: no-such-prompt: no such file")
    assert message.count(b"\n") == 1


def test_output_in_a_narrow_encoding(prompt):
    """A terminal that cannot show ▁ gets an escape, not a crash."""
    environment = os.environ | {"PYTHONPATH": str(ROOT), "PYTHONIOENCODING": "ascii", "PYTHONUTF8": "0"}
    for option in ([], ["--json"]):
        command = [sys.executable, "-m", "explorer", "neighbors", prompt, "-k", "3", *option]
        done = subprocess.run(command, capture_output=True, env=environment, timeout=60)
        assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)
