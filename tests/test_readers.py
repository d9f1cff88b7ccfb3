"""Other tools' checkpoints: each format as its own tool or libraries write it reads as the vectors that were
written.
"""

import io
import json
import shutil
import zipfile

import foreign
import numpy as np
import pytest
from conftest import SHARED
from test_formats import IGNORE_PEFT

from explorer.errors import PromptError
from explorer.formats import find_prompts, peft, read_prompt
from explorer.report.tables import card_in_words, what_was_read

VECTORS = np.random.default_rng(5).standard_normal((5, 12)).astype(np.float32)
ROUNDED = VECTORS.astype(foreign.BFLOAT16).astype(np.float32)
ALSO = {"trainer": "peft"}
"""what the prompt of a format says that it is read as, where that is another"""


@pytest.mark.parametrize("format", foreign.WRITERS)
def test_every_format_reads_as_what_was_written(format, tmp_path):
    prompt = read_prompt(foreign.WRITERS[format](tmp_path, VECTORS))
    half = prompt.origin.dtype == "bfloat16"
    np.testing.assert_array_equal(prompt.vectors, ROUNDED if half else VECTORS)
    assert prompt.origin.format == ALSO.get(format, format)
    assert prompt.vectors.flags.writeable
    card = what_was_read(prompt)
    assert {
        "format",
        "key",
        "length",
        "dimension",
        "dtype",
        "dropped_rows",
        "origin",
        "norms",
        "warnings",
    } <= set(card)
    assert card_in_words(prompt)["shape"] == "5 tokens × 12"


@pytest.mark.parametrize("format", foreign.WRITERS)
def test_every_format_is_found_once_below_a_folder(format, tmp_path):
    foreign.WRITERS[format](tmp_path, VECTORS)
    (found,) = list(find_prompts(tmp_path))
    np.testing.assert_allclose(found[1].vectors, VECTORS, rtol=0.01)


@pytest.mark.parametrize("format", foreign.WRITERS)
def test_the_content_tells_the_format_and_not_the_name(format, tmp_path):
    path = foreign.WRITERS[format](tmp_path, VECTORS)
    if path.is_dir():
        path.rename(tmp_path / "nameless")
        assert read_prompt(tmp_path / "nameless").origin.format == ALSO.get(format, format)
        return
    shutil.move(path, tmp_path / "nameless")
    if format == "nemo":
        with pytest.raises(PromptError, match="a gzip file; unpack it"):
            read_prompt(tmp_path / "nameless")
        (tmp_path / "plain").mkdir()
        shutil.move(foreign.nemo(tmp_path / "plain", VECTORS, mode="w"), tmp_path / "nameless")
    assert read_prompt(tmp_path / "nameless").origin.format == format


def test_googles_steps_are_a_trajectory_that_starts_where_training_did(tmp_path):
    prompt = read_prompt(foreign.google(tmp_path, VECTORS))
    assert prompt.origin.step == 1_101_000
    np.testing.assert_array_equal(prompt.trajectory.steps, [1_100_000, 1_100_500, 1_101_000])
    np.testing.assert_array_equal(prompt.initial, 0 * VECTORS)
    shutil.rmtree(tmp_path / "run" / "checkpoint_1100000")
    later = read_prompt(tmp_path / "run")
    assert later.initial is None
    assert len(later.trajectory.steps) == 2
    assert read_prompt(f"{tmp_path}/run#1100500").origin.step == 1_100_500
    assert read_prompt(tmp_path / "run" / "checkpoint_1100500").origin.step == 1_100_500
    with pytest.raises(PromptError, match="no step 7; name one of those in the folder"):
        read_prompt(tmp_path / "run", key="7")
    peft.write(later, tmp_path / "kept", {})
    assert read_prompt(tmp_path / "kept").initial is None, (
        "a converted trajectory does not pass for one from the start"
    )


@pytest.mark.parametrize("chunks", [(5, 12), (2, 5), (5, 7)])
@pytest.mark.parametrize("compressor", ["gzip", "blosc", "zstd", None])
def test_t5x_arrays_beside_the_index_are_read_chunk_by_chunk(chunks, compressor, tmp_path):
    prompt = read_prompt(foreign.t5x(tmp_path, VECTORS, chunks, compressor))
    np.testing.assert_array_equal(prompt.vectors, VECTORS)
    assert (prompt.origin.key, prompt.origin.step) == ("target/encoder/prompt/prompt/prompt", 1_000_100)


def test_t5x_arrays_may_not_lie_outside_and_may_not_be_missing(tmp_path):
    import msgpack

    place = foreign.t5x(tmp_path, VECTORS, (5, 12))
    (place / "target.encoder.prompt.prompt.prompt" / "0.0").unlink()
    with pytest.raises(PromptError, match="damaged or incomplete"):
        read_prompt(place)
    for path in ("../../etc", "/etc", 3):
        leaf = {"driver": "zarr", "kvstore": {"path": path}}
        (place / "checkpoint").write_bytes(msgpack.packb({"target": {"prompt": {"prompt": leaf}}}))
        with pytest.raises(PromptError, match="outside the checkpoint; refused"):
            read_prompt(place)


def test_orbax_is_refused_by_name(tmp_path):
    (tmp_path / "_METADATA").write_text("{}")
    with pytest.raises(PromptError, match=r"an Orbax checkpoint.*numpy\.save"):
        read_prompt(tmp_path)


def test_several_arrays_are_named_and_chosen_by_key(tmp_path):
    np.savez(tmp_path / "two.npz", a=VECTORS, b=2 * VECTORS)
    with pytest.raises(
        PromptError,
        match=r"found a \(5, 12\), b \(5, 12\); expected exactly one array .*name one, such as two\.npz#a",
    ):
        read_prompt(tmp_path / "two.npz")
    np.testing.assert_array_equal(read_prompt(tmp_path / "two.npz", key="b").vectors, 2 * VECTORS)
    named = read_prompt(f"{tmp_path}/two.npz#b")
    assert (named.origin.key, named.name) == ("b", "two#b")
    with pytest.raises(PromptError, match=r"no array c; found a \(5, 12\)"):
        read_prompt(tmp_path / "two.npz", key="c")


def test_nemo_has_a_prompt_for_each_task(tmp_path):
    path = foreign.nemo(tmp_path, VECTORS, ("films", "food"))
    with pytest.raises(PromptError, match=r"expected exactly one array .*such as films\.nemo#films"):
        read_prompt(path)
    food = read_prompt(path, key="food")
    np.testing.assert_array_equal(food.vectors, VECTORS + 1)
    assert food.origin.task == "food"


@pytest.mark.parametrize("weights", ["adapter_model.safetensors", "adapter_model.bin"])
def test_pefts_untrained_half_is_a_control_that_can_be_read(weights, tmp_path):
    place = foreign.peft(tmp_path, VECTORS, weights)
    control = read_prompt(place, key="untrained")
    np.testing.assert_array_equal(control.vectors, np.full_like(VECTORS, 9))
    assert "never uses nor trains: a control, not a prompt" in control.origin.warnings[0]
    assert read_prompt(place / weights).origin.dropped_rows == 5, (
        "the file alone is read with the configuration beside it"
    )
    (place / "adapter_config.json").unlink()
    alone = read_prompt(place / weights)
    assert alone.length == 10
    assert "may never have been trained" in alone.origin.warnings[0]


@IGNORE_PEFT
@pytest.mark.parametrize("kind", ["p-tuning", "multitask"])
def test_peft_itself_writes_p_tuning_and_multitask(kind, tiny_t5_folder, tmp_path):
    import torch
    from peft import MultitaskPromptTuningConfig, PromptEncoderConfig, get_peft_model
    from transformers import AutoModelForSeq2SeqLM

    network = AutoModelForSeq2SeqLM.from_pretrained(tiny_t5_folder)
    tasks = {} if kind == "p-tuning" else {"num_tasks": 2, "num_ranks": 1}
    maker = PromptEncoderConfig if kind == "p-tuning" else MultitaskPromptTuningConfig
    model = get_peft_model(network, maker(task_type="SEQ_2_SEQ_LM", num_virtual_tokens=4, **tasks))
    model.save_pretrained(tmp_path / "theirs")
    if kind == "p-tuning":
        used = model.get_prompt(batch_size=1)[0].detach().numpy()
        prompt = read_prompt(tmp_path / "theirs")
        np.testing.assert_allclose(prompt.vectors, used[:4], rtol=1e-5)
        assert prompt.origin.dropped_rows == 4, "the decoder's half"
        return
    with pytest.raises(PromptError, match="a prompt for each of 2 tasks; name one by its number, 0 to 1"):
        read_prompt(tmp_path / "theirs")
    for task in (0, 1):
        used = model.get_prompt(batch_size=1, task_ids=torch.tensor([task]))[0].detach().numpy()
        np.testing.assert_allclose(
            read_prompt(tmp_path / "theirs", key=str(task)).vectors, used[:4], rtol=1e-5
        )


@IGNORE_PEFT
def test_peft_loads_what_convert_writes(tiny_t5_folder, tmp_path):
    from peft import PeftModel
    from transformers import AutoModelForSeq2SeqLM

    vectors = np.random.default_rng(1).standard_normal((5, 16)).astype(np.float32)
    peft.write(read_prompt(foreign.npy(tmp_path, vectors)), tmp_path / "adapter", {})
    model = PeftModel.from_pretrained(
        AutoModelForSeq2SeqLM.from_pretrained(tiny_t5_folder), str(tmp_path / "adapter")
    )
    np.testing.assert_array_equal(model.get_prompt(batch_size=1)[0].detach().numpy(), vectors)


def test_the_published_prompt(tmp_path):
    path = SHARED / "fixtures" / "google" / "sst2.npy"
    if not path.is_file():
        pytest.skip("the shared fixtures are not here")
    card = what_was_read(read_prompt(path))
    assert (card["length"], card["dimension"], card["dtype"], card["likely_base"]) == (
        100,
        768,
        "float32",
        "T5 base, by its width",
    )


def test_a_zip_of_something_else_says_what_to_do(tmp_path):
    with zipfile.ZipFile(tmp_path / "run.zip", "w") as archive:
        archive.writestr("run/adapter_config.json", json.dumps({}))
    with pytest.raises(
        PromptError, match="a zip file without a prompt that could be told; unpack it and give the folder"
    ):
        read_prompt(tmp_path / "run.zip")


def test_v2_values_inside_an_npz_are_bfloat16(tmp_path):
    np.savez(tmp_path / "half.npz", prompt=VECTORS.astype(foreign.BFLOAT16).view("V2"))
    np.testing.assert_array_equal(read_prompt(tmp_path / "half.npz").vectors, ROUNDED)
    fortran = io.BytesIO()
    np.save(fortran, np.asfortranarray(VECTORS))
    (tmp_path / "fortran").write_bytes(fortran.getvalue())
    np.testing.assert_array_equal(read_prompt(tmp_path / "fortran").vectors, VECTORS)
