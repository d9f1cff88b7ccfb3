"""Checkpoint formats: round trips, PEFT's own files, and hostile bits that get one clear line."""

import io
import json
import os
import pickle
import shutil
from dataclasses import replace
from pathlib import Path

import ml_dtypes
import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from explorer.errors import ExplorerError, PromptError, WriteError
from explorer.formats import arrays, find_prompts, peft, prompt_name, read_prompt
from explorer.prompt import Origin, SoftPrompt
from explorer.report.tables import list_prompts
from explorer.system.files import PROMPTS

IGNORE_PEFT = pytest.mark.filterwarnings(
    "ignore:.is_gradient_checkpointing. is deprecated:FutureWarning"
)  # PEFT asks transformers for it


@pytest.fixture
def folder(tiny_prompts, tmp_path):
    """One written prompt that a test may damage."""
    return shutil.copytree(
        tiny_prompts / "sentiment" / "class-label-1", tmp_path / "prompts" / "sentiment" / "class-label-1"
    )


def edit(path, **changes):
    """Change keys of a JSON file."""
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def test_a_written_prompt_is_read_back_whole(vocabulary, tmp_path):
    from conftest import small_prompt

    written = small_prompt(vocabulary, "class-label", 1)
    peft.write(written, tmp_path / "prompts" / "sentiment" / "class-label-1", {"explorer": "test"})
    read = read_prompt(tmp_path / "prompts" / "sentiment" / "class-label-1")
    np.testing.assert_array_equal(read.vectors, written.vectors)
    np.testing.assert_array_equal(read.trajectory.vectors, written.trajectory.vectors)
    np.testing.assert_array_equal(read.trajectory.steps, written.trajectory.steps)
    assert read.name == written.name
    for field in (
        "task",
        "labels",
        "initialization",
        "seed",
        "step",
        "rows",
        "history",
        "without_prompt",
        "hyperparameters",
        "data",
        "base_model",
        "base_fingerprint",
    ):
        assert getattr(read.origin, field) == getattr(written.origin, field), field
    assert read.origin.dev_accuracy == written.origin.dev_accuracy
    assert read.origin.gain == pytest.approx(written.origin.dev_accuracy - 0.55)
    assert (read.origin.format, read.origin.key, read.origin.dtype, read.origin.dropped_rows) == (
        "explorer",
        "prompt_embeddings",
        "float32",
        0,
    )


def test_the_record_has_the_keys_that_other_programs_rely_on(tiny_prompts):
    record = json.loads((tiny_prompts / "sentiment" / "class-label-1" / "explorer.json").read_text())
    assert {
        "task",
        "labels",
        "initialization",
        "seed",
        "length",
        "base_model",
        "rows",
        "steps",
        "history",
    } <= set(record)
    assert record["rows"][0] == {"label": "negative"}
    assert record["history"][0] == {"step": 0, "loss": None, "dev_accuracy": 0.5}
    assert (
        json.loads((tiny_prompts / "sentiment" / "random-0" / "explorer.json").read_text())["rows"][0] is None
    )


def test_a_trajectory_that_does_not_begin_before_training_says_so(folder):
    assert read_prompt(folder).initial is not None
    edit(folder / "explorer.json", from_start=False)
    assert read_prompt(folder).trajectory.from_start is False
    assert read_prompt(folder).initial is None, "what was first saved is no initialization"


def test_our_record_says_how_a_prompt_began_and_the_configuration_beside_it_does_not(folder):
    """PEFT's configuration must name some initialization; ours always says RANDOM."""
    assert json.loads((folder / "adapter_config.json").read_text())["prompt_tuning_init"] == "RANDOM"
    assert read_prompt(folder).origin.initialization == "class-label"
    edit(folder / "explorer.json", initialization=None)
    assert read_prompt(folder).origin.initialization is None
    (folder / "explorer.json").unlink()
    assert read_prompt(folder).origin.initialization == "random", "without a record it is all there is"


def test_a_prompt_without_a_trajectory_leaves_none_of_the_one_it_replaces(folder):
    prompt = read_prompt(folder)
    peft.write(replace(prompt, trajectory=None), folder, {}, overwrite=True)
    assert read_prompt(folder).trajectory is None
    assert {path.name for path in folder.iterdir()} == {
        "adapter_config.json",
        "adapter_model.safetensors",
        "explorer.json",
    }


def test_nothing_is_overwritten_unless_asked(folder):
    prompt = read_prompt(folder)
    with pytest.raises(WriteError, match="exists already; choose another folder"):
        peft.write(prompt, folder, {})
    peft.write(prompt, folder, {}, overwrite=True)
    assert not list(folder.parent.glob(".*"))
    np.testing.assert_array_equal(read_prompt(folder).vectors, prompt.vectors)


def test_a_folder_that_cannot_be_written_is_named_and_leaves_nothing(folder, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(WriteError, match="cannot be written"):
        peft.write(read_prompt(folder), tmp_path / "file" / "prompt", {})
    assert (tmp_path / "file").read_text() == ""


@IGNORE_PEFT
@pytest.mark.parametrize("initialization", ["RANDOM", "TEXT"])
def test_peft_itself_writes_two_halves_and_only_the_first_is_kept(initialization, tiny_t5_folder, tmp_path):
    """PEFT's default for encoder–decoders stores 2n rows and never uses the second n."""
    from peft import PromptTuningConfig, get_peft_model
    from transformers import AutoModelForSeq2SeqLM

    network = AutoModelForSeq2SeqLM.from_pretrained(tiny_t5_folder)
    config = PromptTuningConfig(
        task_type="SEQ_2_SEQ_LM",
        num_virtual_tokens=5,
        prompt_tuning_init=initialization,
        prompt_tuning_init_text="good food and bad music" if initialization == "TEXT" else None,
        tokenizer_name_or_path=str(tiny_t5_folder) if initialization == "TEXT" else None,
    )
    get_peft_model(network, config).save_pretrained(tmp_path / "theirs")
    stored = load_file(tmp_path / "theirs" / "adapter_model.safetensors")["prompt_embeddings"]
    assert len(stored) == 10
    prompt = read_prompt(tmp_path / "theirs")
    np.testing.assert_array_equal(prompt.vectors, stored[:5])
    assert (prompt.origin.format, prompt.origin.dropped_rows, prompt.origin.base_model) == (
        "peft",
        5,
        str(tiny_t5_folder),
    )
    assert prompt.origin.warnings == ("5 of 10 rows dropped: PEFT never uses nor trains the decoder's half",)
    assert prompt.origin.initialization == (
        "text: good food and bad music" if initialization == "TEXT" else "random"
    )


@IGNORE_PEFT
def test_a_lora_adapter_is_refused_by_name(tiny_t5_folder, tmp_path):
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForSeq2SeqLM

    network = get_peft_model(
        AutoModelForSeq2SeqLM.from_pretrained(tiny_t5_folder), LoraConfig(task_type="SEQ_2_SEQ_LM", r=2)
    )
    network.save_pretrained(tmp_path / "lora")
    with pytest.raises(PromptError, match="found a LORA adapter; expected peft_type PROMPT_TUNING"):
        read_prompt(tmp_path / "lora")


def test_plain_arrays_are_read(tmp_path):
    vectors = np.random.default_rng(0).standard_normal((4, 8)).astype(np.float32)
    np.save(tmp_path / "one.npy", vectors)
    np.savez(tmp_path / "two.npz", prompt=vectors, steps=np.arange(3))
    save_file({"soft": vectors.astype(ml_dtypes.bfloat16)}, tmp_path / "three.safetensors")
    np.save(tmp_path / "four.npy", vectors.astype(np.float16))
    expected = {
        "one.npy": (None, "float32"),
        "two.npz": ("prompt", "float32"),
        "three.safetensors": ("soft", "bfloat16"),
        "four.npy": (None, "float16"),
    }
    for name, (key, dtype) in expected.items():
        prompt = read_prompt(tmp_path / name)
        assert (prompt.origin.key, prompt.origin.dtype, prompt.vectors.dtype) == (key, dtype, np.float32)
        np.testing.assert_allclose(prompt.vectors, vectors, rtol=0.01)
        assert prompt.name == name.split(".")[0]


def damage_nan(folder):
    vectors = load_file(folder / "adapter_model.safetensors")["prompt_embeddings"].copy()
    vectors[1, 2] = np.nan
    save_file({"prompt_embeddings": vectors}, folder / "adapter_model.safetensors")


def damage_truncated(folder):
    path = folder / "adapter_model.safetensors"
    path.write_bytes(path.read_bytes()[:-40])


def damage_lying_header(folder):
    path = folder / "adapter_model.safetensors"
    path.write_bytes((2**62).to_bytes(8, "little") + path.read_bytes()[8:])


def damage_other_key(folder):
    save_file({"something": np.zeros((2, 2), np.float32)}, folder / "adapter_model.safetensors")


def damage_one_dimension(folder):
    save_file({"prompt_embeddings": np.zeros(6, np.float32)}, folder / "adapter_model.safetensors")


def damage_no_rows(folder):
    save_file({"prompt_embeddings": np.zeros((0, 6), np.float32)}, folder / "adapter_model.safetensors")


def damage_integers(folder):
    save_file({"prompt_embeddings": np.ones((6, 6), np.int32)}, folder / "adapter_model.safetensors")
    (folder / "trajectory.safetensors").unlink()


def damage_trajectory(folder):
    save_file(
        {"vectors": np.zeros((3, 2, 2), np.float32), "steps": np.arange(3)}, folder / "trajectory.safetensors"
    )


def damage_trajectory_steps(folder):
    tensors = load_file(folder / "trajectory.safetensors")
    save_file(
        {"vectors": tensors["vectors"], "steps": np.array([0, 9, 4])}, folder / "trajectory.safetensors"
    )


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (damage_nan, "1 of 6 prompt tokens hold NaN or infinity"),
        (damage_truncated, "cannot be read as safetensors"),
        (damage_lying_header, "cannot be read as safetensors"),
        (damage_other_key, "found something; expected prompt_embeddings"),
        (damage_one_dimension, r"prompt_embeddings has shape \(6,\); expected two dimensions"),
        (damage_no_rows, "names 6 virtual tokens, the weights hold 0"),
        (damage_integers, "found int32 values; expected floating-point"),
        (damage_trajectory, r"vectors of shape \(3, 2, 2\); expected \[S, 6, "),
        (damage_trajectory_steps, "expected ascending steps"),
        (lambda folder: (folder / "adapter_model.safetensors").unlink(), r"no adapter_model\.safetensors"),
        (
            lambda folder: (folder / "adapter_config.json").write_text("[1, 2]"),
            "found a JSON list; expected an object",
        ),
        (lambda folder: (folder / "adapter_config.json").write_text("{"), "cannot be read as JSON"),
        (
            lambda folder: (folder / "adapter_config.json").write_bytes(b"\xff\xfe\x00"),
            "cannot be read as JSON",
        ),
        (lambda folder: (folder / "adapter_config.json").write_text("[" * 100_000), "cannot be read as JSON"),
        (lambda folder: (folder / "adapter_config.json").write_text("{}"), "found a nameless adapter"),
        (
            lambda folder: (folder / "adapter_config.json").write_text('{"peft_type": "IA3"}'),
            "found an IA3 adapter; expected peft_type",
        ),
        (
            lambda folder: edit(folder / "adapter_config.json", num_virtual_tokens=7),
            "names 7 virtual tokens, the weights hold 6",
        ),
        (
            lambda folder: edit(folder / "adapter_config.json", num_virtual_tokens=-1),
            "names -1 virtual tokens",
        ),
        (
            lambda folder: edit(folder / "adapter_config.json", num_virtual_tokens="6"),
            "names '6' virtual tokens",
        ),
        (lambda folder: edit(folder / "explorer.json", rows=["label"]), "not as this project writes it"),
        (
            lambda folder: edit(folder / "explorer.json", history=[{"loss": 1}]),
            "not as this project writes it",
        ),
        (lambda folder: edit(folder / "explorer.json", history={"step": 1}), "not as this project writes it"),
        (lambda folder: edit(folder / "explorer.json", labels=3), "not as this project writes it"),
        (lambda folder: edit(folder / "explorer.json", labels="ab"), "not as this project writes it"),
        (lambda folder: edit(folder / "explorer.json", seed="zero"), "not as this project writes it"),
        (
            lambda folder: edit(folder / "explorer.json", rows=[{"piece": 3}] * 6),
            "not as this project writes it",
        ),
        (
            lambda folder: edit(folder / "explorer.json", step=True),
            r"\(Expected `int \| null`, got `bool` - at `\$\.step`\); delete the file",
        ),
        (
            lambda folder: edit(folder / "explorer.json", data=[]),
            r"Expected `object \| null`, got `array` - at `\$\.data`",
        ),
        (lambda folder: edit(folder / "explorer.json", seed=2**64), "takes more than 64 bits"),
        (
            lambda folder: edit(folder / "explorer.json", history=[{"step": 10**400}]),
            "takes more than 64 bits",
        ),
        (
            lambda folder: edit(folder / "explorer.json", history=[{"step": 1, "loss": 10**400}]),
            "takes more than 64 bits",
        ),
        (lambda folder: edit(folder / "explorer.json", task="\ud800"), "cannot be read as JSON"),
        (
            lambda folder: edit(folder / "explorer.json", rows=[None]),
            "6 prompt tokens, but the origin of 1 is recorded",
        ),
    ],
)
def test_damage_gets_one_line(damage, message, folder):
    damage(folder)
    with pytest.raises(PromptError, match=message) as caught:
        read_prompt(folder)
    assert "\n" not in str(caught.value)
    assert "class-label-1" in str(caught.value)


def test_what_is_no_prompt_is_named(tmp_path):
    with pytest.raises(PromptError, match="no such file, folder or bundled prompt"):
        read_prompt(tmp_path / "nowhere")
    (tmp_path / "empty").mkdir()
    with pytest.raises(PromptError, match="found an empty folder; expected a prompt"):
        read_prompt(tmp_path / "empty")
    (tmp_path / "empty" / "notes.txt").write_text("hello")
    with pytest.raises(PromptError, match=r"found notes\.txt; expected a prompt"):
        read_prompt(tmp_path / "empty")
    with pytest.raises(PromptError, match="not a prompt checkpoint"):
        read_prompt(tmp_path / "empty" / "notes.txt")


class Bomb:
    """Fails the test if anybody unpickles it."""

    def __reduce__(self):
        return (pytest.fail, ("a pickle was executed",))


def test_pickles_are_never_executed(tmp_path):
    np.save(tmp_path / "objects.npy", np.array([Bomb()], dtype=object), allow_pickle=True)
    (tmp_path / "bare.npy").write_bytes(pickle.dumps(Bomb()))
    np.savez(tmp_path / "objects.npz", prompt=np.array([[Bomb()]], dtype=object))
    for name in ("objects.npy", "bare.npy", "objects.npz"):
        with pytest.raises(PromptError, match=r"cannot be read as a NumPy array .* no pickled objects"):
            read_prompt(tmp_path / name)


def test_hostile_arrays_get_one_line(tmp_path):
    np.save(tmp_path / "line.npy", np.zeros(3, np.float32))
    np.savez(tmp_path / "several.npz", a=np.zeros((2, 3)), b=np.zeros((4, 3)))
    np.savez(tmp_path / "none.npz")
    (tmp_path / "text.npz").write_text("no zip")
    np.save(tmp_path / "words.npy", np.array([["a", "b"]]))
    whole = io.BytesIO()
    np.save(whole, np.zeros((10, 10), np.float32))
    (tmp_path / "short.npy").write_bytes(whole.getvalue()[:-8])
    huge = whole.getvalue().replace(b"(10, 10)", b"(99999999, 99999999)")
    (tmp_path / "huge.npy").write_bytes(
        huge[:8] + (int.from_bytes(huge[8:10], "little") + 12).to_bytes(2, "little") + huge[10:]
    )
    for name, message in {
        "line.npy": r"found array \(3,\); expected exactly one array",
        "several.npz": r"found a \(2, 3\), b \(4, 3\); expected exactly one array",
        "none.npz": "found no array",
        "text.npz": "cannot be read as a zip file",
        "words.npy": "expected floating-point vectors",
        "short.npy": "cannot be read as a NumPy array",
        "huge.npy": "cannot be read as a NumPy array",
    }.items():
        with pytest.raises(PromptError, match=message):
            read_prompt(tmp_path / name)


def test_vectors_that_overflow_single_precision_are_refused(tmp_path):
    np.save(tmp_path / "wide.npy", np.full((2, 3), 1e300))
    with pytest.raises(PromptError, match="2 of 2 prompt tokens hold NaN or infinity"):
        read_prompt(tmp_path / "wide.npy")


def test_finding_prompts_goes_on_past_broken_ones(tiny_prompts, tmp_path):
    root = shutil.copytree(tiny_prompts, tmp_path / "prompts")
    damage_truncated(root / "sentiment" / "random-0")
    np.save(root / "plain.npy", np.ones((2, 3), np.float32))
    (root / "sentiment" / ".random-9.partial").mkdir()
    (root / "sentiment" / ".random-9.partial" / "adapter_config.json").write_text("{}")
    found = list(find_prompts(root))
    assert [path for path, _ in found] == sorted(path for path, _ in found)
    assert len(found) == 7
    broken = {path.name for path, result in found if isinstance(result, ExplorerError)}
    assert broken == {"random-0"}
    assert {result.name for _, result in found if isinstance(result, SoftPrompt)} >= {
        "plain",
        "sentiment/class-label-0",
    }
    assert [path for path, _ in find_prompts(root / "sentiment" / "class-label-0")] == [
        root / "sentiment" / "class-label-0"
    ]
    with pytest.raises(PromptError, match="no such folder; expected a folder with trained prompts"):
        list(find_prompts(root / "nowhere"))


def test_names_are_what_stands_below_prompts(tmp_path):
    assert prompt_name(tmp_path / "prompts" / "sentiment" / "random-0") == "sentiment/random-0"
    assert prompt_name(tmp_path / "a" / "b") == "b"
    assert prompt_name(PROMPTS / "x" / "y") == "x/y"


def test_a_file_name_that_is_no_utf8_is_shown_escaped(tmp_path):
    """And tables, which hold Unicode only, can hold it."""
    path = Path(os.fsdecode(os.fsencode(tmp_path) + b"/bad\xff.npy"))
    np.save(path, np.ones((2, 3), np.float32))
    assert read_prompt(path).name == r"bad\udcff"
    (row,) = list_prompts(find_prompts(tmp_path)).to_dict("records")
    assert (row["name"], row["path"].endswith(r"bad\udcff.npy")) == (r"bad\udcff", True)


def test_the_released_prompt_is_read(request):
    from conftest import SHARED

    path = SHARED / "fixtures" / "google" / "sst2.npy"
    if not path.is_file():
        pytest.skip("the shared fixtures are not beside the repository")
    prompt = read_prompt(path)
    assert (prompt.length, prompt.dimension, prompt.origin.format) == (100, 768, "npy")
    assert 800 < np.linalg.norm(prompt.vectors, axis=1).mean() < 1700


def test_origin_of_a_plain_array_leaves_the_unknown_open(tmp_path):
    np.save(tmp_path / "one.npy", np.ones((2, 3), np.float32))
    origin = read_prompt(tmp_path / "one.npy").origin
    assert origin == Origin(format="npy", path=tmp_path / "one.npy", dtype="float32")
    assert origin.dev_accuracy is None
    assert arrays.recognizes(tmp_path / "one.npy")
