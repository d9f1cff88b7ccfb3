"""Runs of the Trainer: checkpoints of adapters are one prompt with a trajectory; what is passed over is
counted and said.
"""

import json
import shutil
from pathlib import Path

import foreign
import numpy as np
import pytest
from safetensors.numpy import save_file
from test_cli import as_json, run
from test_cli_errors import fails
from test_formats import IGNORE_PEFT

from explorer.errors import ExplorerError, PromptError
from explorer.formats import PassedOver, find_prompts, in_words, peft, read_prompt
from explorer.formats import trainer as reader

VECTORS = np.random.default_rng(7).standard_normal((5, 12)).astype(np.float32)


def adapter(place: Path, vectors: np.ndarray, **config: object) -> Path:
    """An adapter as PEFT saves it for an encoder–decoder: two halves."""
    place.mkdir(parents=True, exist_ok=True)
    settings = {
        "peft_type": "PROMPT_TUNING",
        "task_type": "SEQ_2_SEQ_LM",
        "num_virtual_tokens": len(vectors),
        "base_model_name_or_path": "t5-base",
    }
    (place / "adapter_config.json").write_text(json.dumps({**settings, **config}))
    save_file({"prompt_embeddings": np.concatenate([vectors, vectors])}, place / "adapter_model.safetensors")
    return place


def state(place: Path, last: int, every: int = 10, **more: object) -> None:
    log = [{"step": step, "loss": 1 / step, "learning_rate": 0.3} for step in range(every, last + 1, every)]
    log += [
        {"step": step, "eval_loss": 0.5, "eval_accuracy": 0.5 + step / 1000}
        for step in range(every, last + 1, every)
    ]
    (place / "trainer_state.json").write_text(
        json.dumps({"global_step": last, "max_steps": last, "log_history": log, **more})
    )


@pytest.fixture
def trained(tmp_path) -> Path:
    """A run of five checkpoints whose names do not sort as their numbers do, with the Trainer's other
    files.
    """
    import torch

    folder = tmp_path / "run"
    for step in (20, 40, 60, 80, 100):
        place = adapter(folder / f"checkpoint-{step}", VECTORS * step)
        state(place, step)
        torch.save({"state": {}}, place / "optimizer.pt")
    return folder


def test_checkpoints_are_a_trajectory_in_the_order_of_their_numbers(trained):
    prompt = read_prompt(trained)
    assert (prompt.name, prompt.origin.step, prompt.origin.path, prompt.origin.base_model) == (
        "run",
        100,
        trained,
        "t5-base",
    )
    np.testing.assert_array_equal(prompt.trajectory.steps, [20, 40, 60, 80, 100])
    np.testing.assert_array_equal(
        prompt.trajectory.vectors, np.stack([VECTORS * step for step in (20, 40, 60, 80, 100)])
    )
    np.testing.assert_array_equal(prompt.vectors, VECTORS * 100)
    assert prompt.initial is None, "training had begun at step 20"
    assert [one.step for one in prompt.origin.history] == list(range(10, 101, 10))
    assert prompt.origin.history[3].loss == pytest.approx(1 / 40)
    assert prompt.origin.dev_accuracy == pytest.approx(0.6)
    assert prompt.origin.warnings == ("5 of 10 rows dropped: PEFT never uses nor trains the decoder's half",)


def test_one_checkpoint_is_read_by_its_name_or_its_step(trained):
    for given in (trained / "checkpoint-40", trained / "checkpoint-40" / "adapter_model.safetensors"):
        alone = read_prompt(given)
        np.testing.assert_array_equal(alone.vectors, VECTORS * 40)
        assert (alone.name, alone.origin.step, alone.trajectory) == ("run/checkpoint-40", 40, None)
        assert alone.origin.dev_accuracy == pytest.approx(0.54)
    for key in ("40", "checkpoint-40"):
        until = read_prompt(f"{trained}#{key}")
        np.testing.assert_array_equal(until.vectors, VECTORS * 40)
        np.testing.assert_array_equal(until.trajectory.steps, [20, 40])
        assert until.origin.history[-1].step == 40
    with pytest.raises(
        PromptError, match="no step 50 in this run; name one of those in the folder, such as 20"
    ):
        read_prompt(trained, key="50")
    np.testing.assert_array_equal(read_prompt(trained, key="untrained").vectors, VECTORS * 100)


def test_an_adapter_beside_the_checkpoints_is_the_last_point(trained):
    adapter(trained, VECTORS * 100)
    same = read_prompt(trained)
    assert (same.origin.step, len(same.trajectory.steps)) == (100, 5), (
        "it equals the last checkpoint and is no further point"
    )
    adapter(trained, VECTORS * 7)
    later = read_prompt(trained)
    np.testing.assert_array_equal(later.vectors, VECTORS * 7)
    np.testing.assert_array_equal(later.trajectory.vectors[-1], VECTORS * 7)
    np.testing.assert_array_equal(later.trajectory.steps, [20, 40, 60, 80, 100, 101])
    assert "at a step that is not recorded; it is counted as 101" in later.origin.warnings[-1]
    state(trained, 115)
    np.testing.assert_array_equal(read_prompt(trained).trajectory.steps, [20, 40, 60, 80, 100, 115])
    assert len(read_prompt(trained).origin.warnings) == 1


def test_the_best_checkpoint_kept_beside_the_others_is_said(trained):
    adapter(trained, VECTORS * 60)
    best = read_prompt(trained)
    np.testing.assert_array_equal(best.vectors, VECTORS * 60)
    assert (best.origin.step, len(best.trajectory.steps)) == (60, 5)
    assert best.origin.dev_accuracy == pytest.approx(0.56)
    assert (
        best.origin.warnings[-1]
        == "the run's adapter is that of checkpoint-60, not of the last, checkpoint-100"
    )


def damage_missing(folder):
    (folder / "checkpoint-100" / "adapter_model.safetensors").unlink()


def damage_truncated(folder):
    file = folder / "checkpoint-100" / "adapter_model.safetensors"
    file.write_bytes(file.read_bytes()[:-20])


def damage_configuration(folder):
    (folder / "checkpoint-100" / "adapter_config.json").write_text("{")


def damage_no_configuration(folder):
    (folder / "checkpoint-100" / "adapter_config.json").unlink()


def damage_shape(folder):
    adapter(folder, VECTORS[:3] * 80)
    adapter(folder / "checkpoint-80", VECTORS[:3] * 80)
    for step in (20, 40, 60):
        shutil.rmtree(folder / f"checkpoint-{step}")


def damage_diverged(folder):
    adapter(folder / "checkpoint-100", VECTORS * np.nan)


def damage_kind(folder):
    adapter(folder / "checkpoint-100", VECTORS, peft_type="LORA")


def damage_not_renamed(folder):
    shutil.rmtree(folder / "checkpoint-100")
    (folder / "tmp-checkpoint-100").mkdir()


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (damage_missing, r"1 of 5 checkpoints passed over: checkpoint-100 \(no adapter_model\.safetensors"),
        (
            damage_truncated,
            r"1 of 5 checkpoints passed over: checkpoint-100 \(.*cannot be read as safetensors",
        ),
        (
            damage_configuration,
            r"1 of 5 checkpoints passed over: checkpoint-100 \(adapter_config\.json: cannot be read as JSON",
        ),
        (
            damage_no_configuration,
            r"1 of 5 checkpoints passed over: checkpoint-100 \(no adapter_config\.json; half-written\?\)",
        ),
        (
            damage_shape,
            r"1 of 2 checkpoints passed over: checkpoint-100 \(shape \(5, 12\), where the last point "
            r"has \(3, 12\)\)",
        ),
        (damage_diverged, r"1 of 5 checkpoints passed over: checkpoint-100 \(.*NaN or infinity"),
        (damage_kind, r"1 of 5 checkpoints passed over: checkpoint-100 \(found a LORA adapter"),
        (
            damage_not_renamed,
            r"1 of 5 checkpoints passed over: tmp-checkpoint-100 \(no adapter_config\.json; half-written\?\)",
        ),
    ],
)
def test_what_cannot_be_read_is_passed_over_and_named(damage, said, trained):
    import re

    damage(trained)
    prompt = read_prompt(trained)
    assert prompt.origin.step == 80
    assert re.match(said, prompt.origin.warnings[-1]), prompt.origin.warnings
    assert str(trained) not in "".join(prompt.origin.warnings)
    assert "passed over" in run("inspect", trained).output
    (found,) = list(find_prompts(trained.parent))
    assert found[1].origin.step == 80


def test_a_run_without_a_whole_checkpoint_is_one_line(trained):
    for folder in trained.iterdir():
        (folder / "adapter_model.safetensors").unlink()
    assert "run: none of its 5 adapters can be read; the last: " in fails("inspect", trained)
    adapter(trained, VECTORS)
    alone = read_prompt(trained)
    assert alone.trajectory is None
    assert (
        "5 of 5 checkpoints passed over: checkpoint-20 (no adapter_model.safetensors"
        in alone.origin.warnings[-1]
    )
    assert alone.origin.warnings[-1].endswith(" and 2 more")


@pytest.mark.parametrize(
    "content",
    [
        "{",
        "[]",
        '{"log_history": 3}',
        '{"log_history": [3, {"step": "x"}, {"step": true, "loss": 1}, {"step": 5, "loss": NaN}]}',
    ],
)
def test_a_damaged_state_loses_the_history_alone(content, trained):
    for folder in trained.iterdir():
        (folder / "trainer_state.json").write_text(content)
    prompt = read_prompt(trained)
    assert prompt.origin.history == ()
    assert len(prompt.trajectory.steps) == 5
    assert ("trainer_state.json passed over" in "".join(prompt.origin.warnings)) == (content in ("{", "[]"))


def test_accuracies_in_percent_are_shares(trained):
    (trained / "checkpoint-100" / "trainer_state.json").write_text(
        json.dumps({"log_history": [{"step": 100, "eval_exact_match": 91.5}, {"step": 50, "eval_acc": 0.5}]})
    )
    assert [one.dev_accuracy for one in read_prompt(trained).origin.history] == pytest.approx([0.005, 0.915])


def test_runs_of_one_step_name_have_different_names_everywhere(tmp_path):
    from explorer import open as open_prompts

    for place in ("a/one", "a/two", "b/one"):
        adapter(tmp_path / place / "checkpoint-500", np.ones((2, 256), np.float32))
    both = [tmp_path / "a" / "one" / "checkpoint-500", tmp_path / "a" / "two" / "checkpoint-500"]
    assert [read_prompt(one).name for one in both] == ["one/checkpoint-500", "two/checkpoint-500"]
    assert list(dict.fromkeys(row["prompt"] for row in as_json("neighbors", *both, "-k", 1))) == [
        "one/checkpoint-500",
        "two/checkpoint-500",
    ]
    runs = [tmp_path / "a" / "one", tmp_path / "b" / "one"]
    assert [prompt.name for prompt in open_prompts(*runs).prompts] == ["a/one", "b/one"]
    names = [prompt.name for _, prompt in find_prompts(tmp_path)]
    assert names == ["a/one", "two", "b/one"]
    assert [row["name"] for row in as_json("prompts", tmp_path)] == names


def test_adapters_inside_an_adapter_are_listed_and_other_files_counted(tmp_path):
    adapter(tmp_path / "multi", VECTORS)
    adapter(tmp_path / "multi" / "second", 2 * VECTORS)
    np.save(tmp_path / "multi" / "notes.npy", VECTORS)
    passed: list[PassedOver] = []
    found = list(find_prompts(tmp_path, passed))
    assert [(path.relative_to(tmp_path).as_posix(), prompt.name) for path, prompt in found] == [
        ("multi", "multi"),
        ("multi/second", "second"),
    ]
    assert in_words(passed) == "passed over 1 file inside an adapter (notes.npy)"
    assert "passed over 1 file inside an adapter (notes.npy)" in run("prompts", tmp_path).stderr


def test_a_run_of_named_adapters_is_a_trajectory_for_each(tmp_path):
    for step in (9, 10):
        adapter(tmp_path / "run" / f"checkpoint-{step}" / "first", step * VECTORS)
        adapter(tmp_path / "run" / f"checkpoint-{step}" / "second", -step * VECTORS)
    adapter(tmp_path / "run" / "second", -10 * VECTORS)
    with pytest.raises(
        PromptError, match="a run with the adapters first, second; name one, such as run#first"
    ):
        read_prompt(tmp_path / "run")
    second = read_prompt(f"{tmp_path}/run#second")
    np.testing.assert_array_equal(second.vectors, -10 * VECTORS)
    np.testing.assert_array_equal(second.trajectory.steps, [9, 10])
    assert [prompt.name for _, prompt in find_prompts(tmp_path)] == ["run#first", "run#second"]


def test_a_folder_of_runs_names_the_runs(trained):
    adapter(trained, VECTORS)
    with pytest.raises(
        PromptError, match=r"a folder with prompts below it; expected one of them, such as .*/run$"
    ):
        read_prompt(trained.parent)


def test_only_a_model_hides_what_is_beside_it(tmp_path):
    adapter(tmp_path / "run", VECTORS)
    np.save(tmp_path / "plain.npy", VECTORS)
    for content in ("{}", '{"learning_rate": 0.3}', "[1]", "no JSON"):
        for place in (tmp_path, tmp_path / "run"):
            (place / "config.json").write_text(content)
        assert [prompt.name for _, prompt in find_prompts(tmp_path)] == ["plain", "run"]
        with pytest.raises(PromptError, match="a folder with prompts below it"):
            read_prompt(tmp_path)
    (tmp_path / "run" / "config.json").write_text('{"model_type": "t5"}')
    assert [prompt.name for _, prompt in find_prompts(tmp_path)] == ["plain", "run"], (
        "an adapter that keeps its model's configuration"
    )
    model = tmp_path / "t5"
    model.mkdir()
    (model / "config.json").write_text('{"model_type": "t5"}')
    save_file({"shared.weight": VECTORS}, model / "model.safetensors")
    adapter(model / "prompts" / "films", VECTORS)
    passed: list[PassedOver] = []
    assert [prompt.name for _, prompt in find_prompts(tmp_path, passed)] == ["plain", "run", "films"]
    assert in_words(passed) == "passed over 1 model (t5)"


def test_a_long_run_keeps_its_first_and_last_point_and_says_so(trained, monkeypatch):
    monkeypatch.setattr(reader, "MOST_STEPS", 3)
    prompt = read_prompt(trained)
    np.testing.assert_array_equal(prompt.trajectory.steps, [20, 60, 100])
    assert "the trajectory has 3 of 5 checkpoints" in prompt.origin.warnings[-1]


def test_a_multitask_run_is_read_by_task(tmp_path):
    generator = np.random.default_rng(0)
    for step in (1, 2):
        place = adapter(tmp_path / "run" / f"checkpoint-{step}", VECTORS, peft_type="MULTITASK_PROMPT_TUNING")
        columns, rows = (
            generator.standard_normal((2, 10, 1)).astype(np.float32),
            generator.standard_normal((2, 1, 12)).astype(np.float32),
        )
        table = np.concatenate([VECTORS, VECTORS])
        save_file(
            {"prompt_embeddings": table, "prefix_task_cols": columns, "prefix_task_rows": rows},
            place / "adapter_model.safetensors",
        )
    task = read_prompt(tmp_path / "run", key="1")
    np.testing.assert_allclose(task.vectors, (table * (columns @ rows)[1])[:5], rtol=1e-6)
    assert len(task.trajectory.steps) == 2
    with pytest.raises(PromptError, match="a prompt for each of 2 tasks"):
        read_prompt(tmp_path / "run")


def test_a_run_is_written_and_read_again(trained, tmp_path):
    peft.write(read_prompt(trained), tmp_path / "kept", {})
    kept = read_prompt(tmp_path / "kept")
    np.testing.assert_array_equal(kept.trajectory.steps, [20, 40, 60, 80, 100])
    assert kept.origin.history[-1].step == 100


@pytest.mark.slow
@IGNORE_PEFT
def test_what_the_trainer_itself_writes(tiny_t5_folder, tmp_path):
    import torch
    from peft import PromptTuningConfig, get_peft_model
    from transformers import AutoModelForSeq2SeqLM, Trainer, TrainingArguments

    model = get_peft_model(
        AutoModelForSeq2SeqLM.from_pretrained(tiny_t5_folder),
        PromptTuningConfig(task_type="SEQ_2_SEQ_LM", num_virtual_tokens=3),
    )
    rows = [{"input_ids": torch.tensor([5, 6, 1]), "labels": torch.tensor([7, 1])}] * 4
    arguments = TrainingArguments(
        str(tmp_path / "run"),
        max_steps=12,
        save_steps=4,
        logging_steps=4,
        learning_rate=0.3,
        report_to=[],
        use_cpu=True,
        disable_tqdm=True,
        save_total_limit=None,
    )
    trainer = Trainer(model, arguments, train_dataset=rows)
    trainer.train()
    trainer.save_model()
    prompt = read_prompt(tmp_path / "run")
    np.testing.assert_array_equal(prompt.trajectory.steps, [4, 8, 12])
    np.testing.assert_allclose(
        prompt.vectors, model.get_prompt(batch_size=1)[0].detach().numpy()[:3], rtol=1e-6
    )
    assert [one.step for one in prompt.origin.history] == [4, 8, 12]
    assert all(not isinstance(found, ExplorerError) for _, found in find_prompts(tmp_path))


def test_other_tools_steps_are_called_after_their_run(tmp_path):
    foreign.google(tmp_path, VECTORS)
    assert read_prompt(tmp_path / "run" / "checkpoint_1100500").name == "run/checkpoint_1100500"
