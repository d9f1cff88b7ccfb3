"""Prompt tuning: the model stays frozen, runs together equal runs alone, a stopped call goes on, prompts
learn.
"""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from transformers import AutoModelForSeq2SeqLM, AutoTokenizer

from explorer.errors import ModelError, PromptError
from explorer.evaluation.scoring import evaluate
from explorer.formats import find_prompts, read_prompt
from explorer.models.encoder_decoder import FrozenT5
from explorer.texts.tasks import Task
from explorer.tuning.loop import ModelTuning, Tuning
from explorer.tuning.runs import PromptRun
from explorer.tuning.settings import Run, TuningConfig
from explorer.tuning.tune import tune, tune_to_folder
from explorer.tuning.whole_models import read_tuned_model, tune_models_to_folder
from explorer.vocabulary import Vocabulary

RUNS = [Run("random", 0), Run("sampled-vocab", 1), Run("class-label", 0)]


@pytest.fixture(scope="module")
def tiny(tiny, tiny_t5_folder):
    """The tiny model with its vocabulary."""
    return tiny, Vocabulary.load(tiny_t5_folder)


@pytest.fixture(scope="module")
def task():
    """Texts that hold the word of their label, so that there is something to learn."""
    generator = np.random.default_rng(0)
    answers = tuple(generator.choice(["bad", "good"], 60).tolist())
    fillers = ["alpha mine", "sort of", "a little", "and then some", "me too", "in the end"]
    texts = tuple(
        f"{generator.choice(fillers)} {'positive' if a == 'good' else 'negative'} {generator.choice(fillers)}"
        for a in answers
    )
    return Task(texts, answers, ("bad", "good"), "planted")


def weights(model):
    return {name: weight.detach().clone() for name, weight in model.network.tensors.items()}


CONFIG = TuningConfig(length=4, steps=6, learning_rate=0.3, batch_size=8, evaluate_every=2, dtype="float32")


def test_runs_together_equal_runs_alone_and_the_model_stays_frozen(tiny, task):
    model, vocabulary = tiny
    before = weights(model)
    together = tune(model, vocabulary, task, task, RUNS, CONFIG, "planted")
    for run, prompt in zip(RUNS, together, strict=True):
        (alone,) = tune(model, vocabulary, task, task, [run], CONFIG, "planted")
        np.testing.assert_allclose(prompt.trajectory.vectors, alone.trajectory.vectors, atol=2e-3)
        assert [e.step for e in prompt.origin.history] == [0, 2, 4, 6]
    after = weights(model)
    assert all((before[name] == after[name]).all() for name in before)
    assert all(weight.grad is None for weight in model.network.tensors.values())


def test_the_loss_is_the_mean_over_the_pieces_of_the_targets(tiny, tiny_t5_folder):
    """What padding adds to shorter targets counts neither above nor below the line: transformers' loss."""
    labels = ("bad", "not so bad after all")
    texts = ("a good film", "the food was slow", "me too", "a happy end", "the old house", "no")
    task = Task(texts, labels * 3, labels, "planted")
    config = replace(CONFIG, steps=1, batch_size=6, evaluate_every=1)
    (prompt,) = tune(*tiny, task, task, [Run("random", 0)], config, "planted")
    tokenizer = AutoTokenizer.from_pretrained(tiny_t5_folder)
    network = AutoModelForSeq2SeqLM.from_pretrained(tiny_t5_folder).eval()
    inputs = tokenizer(list(texts), return_tensors="pt", padding=True)
    wanted = tokenizer(list(task.answers), return_tensors="pt", padding=True)
    front = torch.tensor(prompt.trajectory.vectors[0]).expand(6, -1, -1)
    with torch.no_grad():
        expected = network(
            inputs_embeds=torch.cat([front, network.get_input_embeddings()(inputs.input_ids)], dim=1),
            attention_mask=torch.cat([torch.ones(6, front.shape[1]), inputs.attention_mask], dim=1),
            labels=wanted.input_ids.masked_fill(wanted.attention_mask == 0, -100),
        ).loss
    assert prompt.origin.history[-1].loss == pytest.approx(float(expected), abs=1e-4)


def test_the_best_step_is_kept(tiny, task):
    (prompt,) = tune(*tiny, task, task, [Run("random", 3)], CONFIG, "planted")
    accuracies = [e.dev_accuracy for e in prompt.origin.history]
    best = prompt.origin.history[int(np.argmax(accuracies))]
    assert prompt.origin.step == best.step
    assert prompt.origin.dev_accuracy == max(accuracies)
    place = prompt.trajectory.steps.tolist().index(best.step)
    np.testing.assert_array_equal(prompt.trajectory.vectors[place], prompt.vectors)


@pytest.mark.slow
def test_prompts_learn_a_planted_task(model, vocabulary):
    generator = np.random.default_rng(1)
    answers = tuple(generator.choice(["negative", "positive"], 120).tolist())
    words = {"negative": ["awful", "terrible", "horrible"], "positive": ["great", "wonderful", "excellent"]}
    texts = tuple(
        f"It was {generator.choice(words[a])} that day, {generator.choice(words[a])} indeed." for a in answers
    )
    train = Task(texts[:80], answers[:80], ("negative", "positive"), "words")
    dev = Task(texts[80:], answers[80:], ("negative", "positive"), "words")
    config = TuningConfig(length=8, steps=100, learning_rate=0.3, batch_size=16, evaluate_every=10)
    (prompt,) = tune(model, vocabulary, train, dev, [Run("class-label", 0)], config, "words")
    assert prompt.origin.dev_accuracy >= 0.8
    losses = [e.loss for e in prompt.origin.history[1:]]
    assert np.mean(losses[-3:]) < np.mean(losses[:3])


def test_the_record_says_what_the_model_does_without_a_prompt(model, vocabulary):
    texts = ("a wonderful film", "awful", "great", "terrible and dull")
    task = Task(
        texts * 3, ("positive", "negative", "positive", "negative") * 3, ("negative", "positive"), "words"
    )
    (prompt,) = tune(
        model,
        vocabulary,
        task,
        task,
        [Run("random", 0)],
        TuningConfig(length=3, steps=1, batch_size=4, dtype="float32"),
        "words",
    )
    (expected,) = evaluate(model, [None], task, generate=False).accuracy
    assert prompt.origin.without_prompt == pytest.approx(expected, abs=1e-6)
    assert prompt.origin.gain == pytest.approx(prompt.origin.dev_accuracy - expected, abs=1e-6)


def test_a_part_of_dev_is_drawn_once_and_recorded(tiny, task):
    config = replace(CONFIG, dev_examples=20, random_range="released", steps=2)
    first, second = tune(*tiny, task, task, RUNS[:2], config, "planted")
    assert first.origin.data["dev"]["examples"] == 20
    assert first.origin.data["dev"] == second.origin.data["dev"]
    assert first.origin.data["train"]["examples"] == len(task)
    assert (first.origin.hyperparameters["dev_examples"], first.origin.hyperparameters["random_range"]) == (
        20,
        "released",
    )
    assert first.initial.min() >= 0
    assert all((e.dev_accuracy * 20) % 1 == pytest.approx(0, abs=1e-4) for e in first.origin.history)


def test_runs_that_share_a_pass_equal_runs_alone(tiny, task):
    """What an accelerator does: rows of one batch carry different prompts."""
    together = Tuning(*tiny, task, task, RUNS, CONFIG)
    together.runs_per_pass = 2
    for number, run in enumerate(RUNS):
        alone = Tuning(*tiny, task, task, [run], CONFIG)
        for _ in range(3):
            alone.train_step(alone.runs)
            if number == 0:
                together.train_step(together.runs)
        np.testing.assert_allclose(together.runs[number].vectors(), alone.runs[0].vectors(), atol=2e-3)
    assert together.accuracies(together.runs) == pytest.approx(
        [together.accuracies([run])[0] for run in together.runs]
    )


def test_a_pass_that_does_not_fit_is_halved_and_no_step_is_lost(tiny, task, monkeypatch):
    whole, real = Tuning(*tiny, task, task, RUNS, CONFIG), Tuning._gradients
    whole.train_step(whole.runs)

    def at_most_one(self, runs):
        losses = real(self, runs)  # the memory ends late, when there are gradients already
        if len(runs) > 1:
            raise torch.OutOfMemoryError("out of memory")
        return losses

    monkeypatch.setattr(Tuning, "_gradients", at_most_one)
    halved = Tuning(*tiny, task, task, RUNS, CONFIG)
    halved.runs_per_pass = 3
    halved.train_step(halved.runs)
    assert halved.runs_per_pass == 1
    for one, other in zip(whole.runs, halved.runs, strict=True):
        assert (one.step, other.step) == (1, 1)
        np.testing.assert_allclose(one.vectors(), other.vectors(), atol=1e-5)

    def never(self, runs):
        raise torch.OutOfMemoryError("out of memory")

    monkeypatch.setattr(Tuning, "_gradients", never)
    with pytest.raises(ModelError, match="a batch of 8 does not fit into memory; ask for smaller batches"):
        halved.train_step(halved.runs)


def test_a_stopped_call_goes_on_to_the_same_prompts(tiny, task, tmp_path):
    whole = tune(*tiny, task, task, RUNS, CONFIG, "planted")
    files = [tmp_path / f"{number}.pt" for number in range(len(RUNS))]
    stopped = Tuning(*tiny, task, task, RUNS, replace(CONFIG, steps=4), files)
    assert sum(run.step == 4 for run in stopped.run()) == len(RUNS)
    said = []
    resumed = Tuning(*tiny, task, task, RUNS, CONFIG, files)
    ended = {state.run: state for state in resumed.run(said.append)}
    assert said == [f"{run.initialization}-{run.seed}: going on from step 4 of 6" for run in RUNS]
    for prompt, run in zip(whole, RUNS, strict=True):
        np.testing.assert_array_equal(prompt.vectors, ended[run].saved[prompt.origin.step])
        np.testing.assert_array_equal(prompt.trajectory.vectors[-1], ended[run].saved[6])
        assert list(prompt.origin.history) == ended[run].history


def test_what_a_run_goes_on_from_is_of_the_same_settings_and_data(tiny, task, tmp_path):
    file = tmp_path / "0.pt"
    begun = Tuning(*tiny, task, task, RUNS[:1], replace(CONFIG, steps=2), [file], {"train data": "abc"})
    assert list(begun.run()) == begun.runs
    with pytest.raises(
        PromptError,
        match=(
            r'0.pt: a run that was begun with other settings \(train data: "abc", now "xyz"\); give the '
            r"same, or remove it"
        ),
    ):
        Tuning(*tiny, task, task, RUNS[:1], CONFIG, [file], {"train data": "xyz"})
    with pytest.raises(PromptError, match=r"learning_rate: 0\.3, now 0\.1"):
        Tuning(*tiny, task, task, RUNS[:1], replace(CONFIG, learning_rate=0.1), [file], {"train data": "abc"})
    file.write_bytes(file.read_bytes()[:-100])
    with pytest.raises(PromptError, match="not a run that can go on"):
        Tuning(*tiny, task, task, RUNS[:1], CONFIG, [file], {"train data": "abc"})


def test_a_run_that_gets_no_better_ends_by_itself(tiny, task):
    config = replace(CONFIG, steps=400, patience=3, evaluate_every=1)
    prompts = tune(*tiny, task, task, RUNS[:2], config, "planted")
    for prompt in prompts:
        last = prompt.origin.history[-1].step
        assert last < 400
        assert last == prompt.origin.step + 3


def test_only_what_is_worth_it_is_kept(tiny, task):
    (prompt,) = tune(
        *tiny, task, task, RUNS[:1], replace(CONFIG, steps=20, evaluate_every=1, saved_points=3), "planted"
    )
    assert {0, 10, 20} <= set(prompt.trajectory.steps.tolist()) <= {0, 10, 20, prompt.origin.step}
    assert len(prompt.origin.history) == 21


def test_finished_prompts_are_left_as_they_are(tiny, task, tmp_path):
    folders = tune_to_folder(*tiny, task, task, RUNS[:1], CONFIG, "planted", tmp_path)
    stamp = (folders[0] / "adapter_model.safetensors").stat().st_mtime_ns
    said = []
    folders = tune_to_folder(*tiny, task, task, RUNS[:2], CONFIG, "planted", tmp_path, said.append)
    assert (folders[0] / "adapter_model.safetensors").stat().st_mtime_ns == stamp
    assert any("1 of 2 prompts are in" in line for line in said)
    assert not list(tmp_path.rglob(".*tuning*"))
    prompt = read_prompt(folders[1])
    assert prompt.origin.seed == 1
    assert prompt.origin.data["train"]["examples"] == 60
    assert prompt.origin.hyperparameters["learning_rate"] == 0.3


def test_a_run_whose_loss_is_nan_stops_alone(tiny, task, monkeypatch):
    real = PromptRun.learn

    def poisoned(self, loss):
        real(self, loss)
        if self.run == RUNS[0] and self.step == 3:
            self.prompt.data.fill_(float("nan"))

    monkeypatch.setattr(PromptRun, "learn", poisoned)
    said = []
    failed, well = tune(*tiny, task, task, RUNS[:2], CONFIG, "planted", said.append)
    assert said == ["random-0: the loss became nan at step 4; stopped, its best step so far is kept"]
    assert [e.step for e in failed.origin.history] == [0, 2]
    assert [e.step for e in well.origin.history] == [0, 2, 4, 6]
    (alone,) = tune(*tiny, task, task, RUNS[1:2], CONFIG, "planted")
    np.testing.assert_allclose(well.vectors, alone.vectors, atol=2e-3)


def test_bad_calls_are_named(tiny, task, vocabulary, tmp_path):
    model, own = tiny
    with pytest.raises(PromptError, match="no runs"):
        tune(model, own, task, task, [], CONFIG, "planted")
    with pytest.raises(PromptError, match="width 256"):
        tune(model, vocabulary, task, task, RUNS, CONFIG, "planted")
    (tmp_path / "file").write_text("")
    with pytest.raises(PromptError, match="cannot be made"):
        tune_to_folder(model, own, task, task, RUNS, CONFIG, "planted", tmp_path / "file")


SENTENCE = "bad"


def test_a_pull_keeps_a_prompt_near_its_sentence_and_records_it(tiny, task, tmp_path):
    """The stronger the pull the nearer the sentence's rows; without any the task alone decides."""
    vocabulary = tiny[1]
    moved = {}
    for pull in (0.0, 1e4):
        config = replace(CONFIG, steps=20, learning_rate=0.05, read_as=SENTENCE, pull=pull)
        (prompt,) = tune(*tiny, task, task, [Run("sentence", 0)], config, "planted")
        moved[pull] = np.linalg.norm(prompt.trajectory.vectors[-1] - prompt.initial, axis=1).mean()
        ids = np.resize(vocabulary.encode(SENTENCE), config.length)
        np.testing.assert_array_equal(prompt.initial, vocabulary.embedding[ids])
        assert [row.piece for row in prompt.origin.rows] == [vocabulary.pieces[i] for i in ids]
    assert moved[1e4] < 0.5 * moved[0.0]
    (folder,) = tune_to_folder(*tiny, task, task, [Run("sentence", 0)], config, "planted", tmp_path)
    assert folder.name == "wayward-0"
    read = read_prompt(folder)
    assert (read.origin.read_as, read.origin.initialization) == (SENTENCE, "sentence")


def test_the_pull_is_the_mean_squared_distance_and_leaves_other_runs_alone(tiny, task):
    config = replace(CONFIG, read_as=SENTENCE, pull=0.5)
    tuning = Tuning(*tiny, task, task, [Run("random", 0), Run("sentence", 0)], config)
    with torch.no_grad():
        tuning.runs[1].prompt.add_(2.0)
    width = tiny[1].dimension
    assert tuning._pulled(tuning.runs).item() == pytest.approx(0.5 * 4 * width)
    assert float(tuning._pulled(tuning.runs[:1])) == 0
    together = tune(*tiny, task, task, [Run("random", 0), Run("sentence", 0)], config, "planted")
    (alone,) = tune(*tiny, task, task, [Run("random", 0)], replace(CONFIG), "planted")
    np.testing.assert_allclose(together[0].trajectory.vectors, alone.trajectory.vectors, atol=2e-3)


def test_a_sentence_run_needs_a_sentence(tiny, task):
    with pytest.raises(PromptError, match="no sentence; give one as read_as"):
        tune(*tiny, task, task, [Run("sentence", 0)], CONFIG, "planted")


def test_whole_models_are_tuned_on_copies(tiny, task, tmp_path):
    """Every weight moves, the frozen one's do not; the folder is a model that transformers loads, with the
    weights of the best step.
    """
    model, vocabulary = tiny
    before = weights(model)
    config = replace(CONFIG, steps=30, learning_rate=0.01, evaluate_every=5)
    (folder,) = tune_models_to_folder(model, vocabulary, task, task, [3], config, "planted", tmp_path)
    assert folder == tmp_path / "planted" / "model-3"
    tuned = FrozenT5.load(folder, device="cpu")
    after, moved = weights(model), weights(tuned)
    assert all((before[name] == after[name]).all() for name in before)
    assert sum((before[name] != moved[name]).any().item() for name in before) > 0.8 * len(before)
    record = json.loads((folder / "explorer.json").read_text())
    given = tuned.label_probabilities([None], task.texts, task.labels)[0].argmax(axis=1)
    accuracy = np.mean([task.labels[i] == answer for i, answer in zip(given, task.answers, strict=True)])
    best = max(record["history"], key=lambda evaluation: evaluation["dev_accuracy"])
    assert accuracy == pytest.approx(best["dev_accuracy"], abs=1e-6)
    assert accuracy > record["history"][0]["dev_accuracy"]
    plain = AutoModelForSeq2SeqLM.from_pretrained(folder)
    assert plain.dtype == torch.float32
    assert all(
        torch.equal(plain.get_parameter(name), weight) for name, weight in tuned.network.tensors.items()
    )
    read = read_tuned_model(folder)
    assert (read.name, read.labels, read.seed) == ("planted/model-3", ("bad", "good"), 3)
    assert list(find_prompts(tmp_path)) == [], "a model is no broken prompt"
    with pytest.raises(ModelError, match="not a tuned model"):
        read_tuned_model(tmp_path)


def test_a_stopped_model_goes_on_to_the_same_weights(tiny, task, tmp_path):
    config, run = replace(CONFIG, learning_rate=0.01), Run("model", 0)
    whole = ModelTuning(*tiny, task, task, run, config, None, {})
    list(whole.run())
    file = tmp_path / "model.pt"
    list(ModelTuning(*tiny, task, task, run, replace(config, steps=4), file, {}).run())
    resumed = ModelTuning(*tiny, task, task, run, config, file, {})
    assert resumed.runs[0].step == 4
    list(resumed.run())
    one, other = whole.runs[0].weights, resumed.runs[0].weights
    assert all((one[name] == other[name]).all() for name in one)
    assert whole.runs[0].history == resumed.runs[0].history


def test_a_linear_schedule_ends_at_nothing(tiny, task):
    config = replace(CONFIG, schedule="linear", steps=100, evaluate_every=1, saved_points=101)
    assert (config.rate(0), config.rate(50), config.rate(100)) == (0.3, 0.15, 0)
    assert replace(CONFIG, steps=100).rate(99) == 0.3
    (prompt,) = tune(*tiny, task, task, RUNS[:1], config, "planted")
    moved = np.abs(np.diff(prompt.trajectory.vectors, axis=0)).max(axis=(1, 2))
    assert moved[-5:].mean() < 0.2 * moved[:5].mean()


def test_steps_belong_to_a_schedule_that_ends_with_them(tiny, task, tmp_path):
    config = replace(CONFIG, schedule="linear", steps=4)
    list(Tuning(*tiny, task, task, RUNS[:1], config, [tmp_path / "0.pt"]).run())
    with pytest.raises(PromptError, match="steps: 4, now 6"):
        Tuning(*tiny, task, task, RUNS[:1], replace(config, steps=6), [tmp_path / "0.pt"])
