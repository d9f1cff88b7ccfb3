"""What ships in `checkpoints/`: every bundled prompt is whole, true to its record, and read alike by PEFT and
by us.
"""

import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from conftest import SHARED

from explorer.analysis.hubness import row_crowding
from explorer.analysis.neighbors import nearest_neighbors
from explorer.analysis.vectors import whitening
from explorer.cached.kept import Shipped
from explorer.choices import INITIALIZATIONS, METRICS
from explorer.errors import ExplorerError
from explorer.evaluation.scoring import evaluate
from explorer.formats import find_prompts
from explorer.models.loading import DEFAULT_MODEL
from explorer.system.files import EXAMPLES, MODELS, PROMPTS, STUDY
from explorer.texts.tasks import read_task
from explorer.tuning.batches import drawn
from explorer.tuning.initialization import initialize, sentence_rows
from explorer.vocabulary import Vocabulary
from research.kept_answers import check

TASKS = {"sentiment": 2, "subjectivity": 2, "question-type": 6}
FOUND = [(path, prompt) for path, prompt in find_prompts(PROMPTS)]
ALL = [prompt for _, prompt in FOUND if not isinstance(prompt, ExplorerError)]
BUNDLED = [prompt for prompt in ALL if prompt.origin.base_model == DEFAULT_MODEL]
"""of the bundled model; its smaller siblings have class-label prompts alone"""
SIBLINGS = ("micro-t5", "nano-t5")
NAMES = [prompt.name for prompt in BUNDLED]
VARIED = [prompt for prompt in BUNDLED if prompt.origin.seed == 0]
"""of every task, initialization and length one"""


def test_the_bundle_is_complete():
    assert len(ALL) == len(FOUND)
    grid = {
        (p.origin.task, p.origin.initialization, p.origin.seed)
        for p in BUNDLED
        if p.length == 20 and p.origin.read_as is None
    }
    assert grid == {(task, init, seed) for task in TASKS for init in INITIALIZATIONS for seed in range(3)}
    lengths = {
        (p.origin.task, p.origin.initialization, p.origin.seed, p.length) for p in BUNDLED if p.length != 20
    }
    assert lengths == {
        ("subjectivity", "class-label", seed, length) for seed in range(3) for length in (1, 5, 100)
    }
    assert "sentiment/wayward-0" in NAMES
    others = {
        (p.origin.base_model, p.origin.task, p.origin.initialization, p.origin.seed, p.length)
        for p in ALL
        if p not in BUNDLED
    }
    assert others == {
        (model, task, "class-label", seed, 20) for model in SIBLINGS for task in TASKS for seed in range(3)
    }


@pytest.mark.slow
@pytest.mark.parametrize(
    ("task", "folder", "asked", "gained"),
    [
        ("sentiment", "mr", 0.70, 0.05),
        ("subjectivity", "subj", 0.83, 0.30),
        ("question-type", "trec", 0.62, 0.30),
    ],
)
def test_a_prompt_answers_its_dev_texts_as_well_as_its_record_says(task, folder, asked, gained, model):
    file = SHARED / "data" / "tasks" / folder / "dev.tsv"
    if not file.is_file():
        pytest.skip("the shared data are not beside the repository")
    prompt = BUNDLED[NAMES.index(f"{task}/class-label-0")]
    recorded = prompt.origin.data["dev"]
    dev = drawn(read_task(file, prompt.origin.labels), recorded["examples"])
    digest = hashlib.sha256(json.dumps([dev.texts, dev.answers]).encode()).hexdigest()
    assert digest == recorded["sha256"], "these are the texts that its best step was chosen on"
    (accuracy,) = evaluate(model, [prompt], dev, generate=False).accuracy
    assert accuracy == pytest.approx(prompt.origin.dev_accuracy, abs=0.02), (
        "measured again; tuning may have run in bfloat16"
    )
    assert accuracy >= asked
    (alone,) = evaluate(model, [None], dev, generate=False).accuracy
    assert alone == pytest.approx(prompt.origin.without_prompt, abs=0.02)
    assert prompt.origin.gain >= gained


def test_the_prompts_of_the_usual_length_answer_the_example_films(model):
    films = read_task(EXAMPLES / "films.tsv", ("negative", "positive"))
    prompts = [prompt for prompt in VARIED if prompt.origin.task == "sentiment" and prompt.length == 20]
    accuracy = np.array(evaluate(model, prompts, films, generate=False).accuracy)
    assert accuracy.mean() >= 0.66
    assert accuracy.min() >= 0.6, prompts[accuracy.argmin()].name


@cache
def own_vocabulary(model: str) -> Vocabulary:
    return Vocabulary.load(model)


@contextmanager
def about(name: str) -> Iterator[None]:
    """Says which of many an error is about."""
    try:
        yield
    except Exception as error:
        error.add_note(name)
        raise


def test_each_prompt_says_where_it_comes_from():
    for prompt in ALL:
        with about(prompt.name):
            origin = prompt.origin
            assert prompt.name.startswith(SIBLINGS) == (origin.base_model != DEFAULT_MODEL)
            assert origin.base_fingerprint == own_vocabulary(origin.base_model).fingerprint
            assert len(origin.labels) == TASKS[origin.task]
            assert len(prompt.trajectory.steps) >= (4 if prompt.length == 100 else 7)
            assert prompt.trajectory.steps[0] == 0
            assert len(origin.history) >= 2
            assert origin.history[0].step == 0
            assert any(np.array_equal(prompt.vectors, vectors) for vectors in prompt.trajectory.vectors)
            assert origin.dev_accuracy == max(e.dev_accuracy for e in origin.history)
            assert origin.gain == pytest.approx(origin.dev_accuracy - origin.without_prompt)
            assert origin.gain > 0


def test_recorded_initial_vectors_are_what_the_strategy_says():
    for prompt in ALL:
        with about(prompt.name):
            origin, vocabulary = prompt.origin, own_vocabulary(prompt.origin.base_model)
            if origin.read_as is None:
                vectors, rows = initialize(
                    origin.initialization, vocabulary, prompt.length, origin.labels, origin.seed
                )
            else:
                vectors, rows = sentence_rows(origin.read_as, vocabulary, prompt.length)
            np.testing.assert_array_equal(prompt.initial, vectors)
            assert origin.rows == rows
            for vector, row in zip(prompt.initial, origin.rows, strict=True):
                if row.label is not None:
                    np.testing.assert_allclose(vector, vocabulary.text_vector(row.label), atol=1e-6)
                elif row.piece is not None:
                    np.testing.assert_array_equal(
                        vector, vocabulary.embedding[vocabulary.pieces.index(row.piece)]
                    )
                else:
                    assert np.abs(vector).max() <= 0.5


@pytest.mark.parametrize("prompt", [p for p in BUNDLED if p.origin.read_as is not None], ids=lambda p: p.name)
def test_a_wayward_prompt_reads_as_its_sentence_and_does_its_task_like_the_others(prompt, vocabulary):
    first = nearest_neighbors(prompt, vocabulary, k=1).token_ids[:, 0].tolist()
    assert first == vocabulary.encode(prompt.origin.read_as)
    peers = [
        p.origin.dev_accuracy
        for p in BUNDLED
        if (p.origin.task, p.length) == (prompt.origin.task, prompt.length)
    ]
    assert prompt.origin.dev_accuracy > np.median(peers) - 0.03


@pytest.mark.slow
@pytest.mark.parametrize("metric", METRICS)
def test_neighbors_equal_brute_force(metric, vocabulary):
    ids = vocabulary.searchable_ids
    table = vocabulary.embedding[ids].astype(np.float64)
    squares = (table**2).sum(axis=1)
    crowding = row_crowding(vocabulary)[ids].astype(np.float64)
    for prompt in VARIED:
        found = nearest_neighbors(prompt, vocabulary, k=10, metric=metric)
        queries = prompt.vectors.astype(np.float64)
        dots, norms = queries @ table.T, (queries**2).sum(axis=1, keepdims=True)
        cosines = dots / np.sqrt(norms * squares)
        own = np.sort(cosines, axis=1)[:, -10:].mean(axis=1, keepdims=True)
        white = whitening(vocabulary).matrix.astype(np.float64)
        turned, base = queries @ white, table @ white
        whitened = turned @ base.T / np.linalg.norm(turned, axis=1)[:, None] / np.linalg.norm(base, axis=1)
        scores = {
            "cosine": cosines,
            "whitened": whitened,
            "dot": dots,
            "l2": -np.sqrt(norms + squares - 2 * dots),
            "csls": 2 * cosines - crowding - own,
        }[metric]
        best = np.sort(scores, axis=1)[:, ::-1][:, :10]
        np.testing.assert_allclose(found.similarity, -best if metric == "l2" else best, rtol=1e-4, atol=1e-4)
        places = np.searchsorted(ids, found.token_ids)
        np.testing.assert_allclose(np.take_along_axis(scores, places, axis=1), best, rtol=1e-4, atol=1e-4)


@pytest.mark.slow
@pytest.mark.filterwarnings(
    "ignore:.is_gradient_checkpointing. is deprecated:FutureWarning"
)  # PEFT asks transformers for it
def test_peft_loads_every_prompt_and_agrees(model):
    peft = pytest.importorskip("peft")
    import torch
    from transformers import AutoModelForSeq2SeqLM, AutoTokenizer

    texts = ["a warm and funny film", "Where is the highest mountain in the world?"]
    tokenizer = AutoTokenizer.from_pretrained(MODELS / "mini-t5")
    base = AutoModelForSeq2SeqLM.from_pretrained(MODELS / "mini-t5", dtype=torch.float32)
    for prompt in BUNDLED:
        tuned = peft.PeftModel.from_pretrained(base, prompt.origin.path).eval()
        np.testing.assert_array_equal(tuned.get_prompt(batch_size=1)[0].detach().numpy(), prompt.vectors)
        if prompt in VARIED:
            expected = np.array(
                [
                    [
                        _score(tuned, tokenizer(text, return_tensors="pt"), model.label_ids(label))
                        for label in prompt.origin.labels
                    ]
                    for text in texts
                ]
            )
            ours = model.label_log_probabilities([prompt], texts, prompt.origin.labels)[0]
            np.testing.assert_allclose(ours, expected, rtol=1e-3, atol=1e-3)
        base = tuned.get_base_model()


def _score(tuned, inputs, label_ids: list[int]) -> float:
    """Σ log p of a label's pieces by PEFT's own forward pass."""
    import torch

    target = torch.tensor([label_ids])
    with torch.no_grad():
        logits = tuned(**inputs, labels=target).logits[0].log_softmax(dim=-1)
    return float(logits.gather(1, target[0][:, None]).sum())


@pytest.mark.parametrize("model", [DEFAULT_MODEL, *SIBLINGS])
def test_the_model_folder_tells_how_it_was_made(model):
    record = json.loads((MODELS / model / "pretraining.json").read_text())
    assert {"span_loss", "lm_loss", "tokens", "probe_encoder", "related_words"} <= set(record["final"])
    assert record["final"]["related_words"] >= 0.75
    assert record["final"]["tokens"] >= 10_000_000
    assert {"seed", "corpora"} <= set(record["config"])
    assert {"torch", "transformers"} <= set(record["versions"])


def test_the_study_is_of_these_prompts():
    measured = pd.read_csv(STUDY / "prompts.csv")
    assert set(measured["prompt"].dropna()) - {"no prompt"} == set(NAMES)
    dev = measured.dropna(subset="dev").set_index("prompt")["dev"]
    for prompt in BUNDLED:
        assert dev[prompt.name] == pytest.approx(prompt.origin.dev_accuracy)
    shift = json.loads((STUDY / "shift.json").read_text())
    assert set(shift) == {"command", "prompts", "summary", "differences"}
    assert {row["target"] for row in shift["summary"]} == {
        "mr",
        "cr",
        "amazon-books",
        "amazon-dvd",
        "amazon-electronics",
        "amazon-kitchen",
    }


@pytest.mark.slow
@pytest.mark.parametrize("name", [DEFAULT_MODEL, *SIBLINGS])
def test_answers_that_ship_are_what_the_present_code_computes(name):
    """A seeded sample of every kind, computed again; and all that pages show first is there. Otherwise: `python
    -m research.kept_answers --rekey`.
    """
    (asked,) = check(name).values()
    kinds = {question.kind for question in asked.questions.values()}
    assert kinds == {"probabilities", "clusters", "groups", "redundancy", "faithfulness", "attribution"}
    assert kinds == set(asked.differing)
    assert max(asked.differing.values()) <= 1, asked.differing
    assert {
        question.kind for question in asked.questions.values() if not Shipped.has(asked, question)
    } == set()


def test_weights_stay_small():
    root = Path(MODELS).parent

    def size(*folders: Path) -> int:
        return sum(path.stat().st_size for folder in folders for path in folder.rglob("*") if path.is_file())

    smaller = [folder / name for name in SIBLINGS for folder in (MODELS, PROMPTS)]
    others = PROMPTS.with_name("prompts-smollm2")
    assert size(root) - size(*smaller, others) < 40e6
    assert size(MODELS / "nano-t5") < 5e6
    assert size(MODELS / "micro-t5") < 8.5e6, "its table alone has 4.1 MB"
    assert size(others) < 6e6
