"""A real language model, SmolLM2-135M-Instruct (Apache-2.0), where it is: `../shared/tools/smollm2 FOLDER`
writes it, EXPLORER_SMOLLM2 names the folder.
"""

import os
from pathlib import Path

import numpy as np
import pytest

from explorer.formats import find_prompts, read_prompt
from explorer.system.files import PROMPTS, cache_folder
from tests.conftest import SHARED
from tests.test_decoders import _by_peft

FOLDER = Path(os.environ.get("EXPLORER_SMOLLM2") or (cache_folder() or Path()) / "smollm2")
OURS = PROMPTS.with_name("prompts-smollm2")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        not (FOLDER / "config.json").is_file(),
        reason="SmolLM2 is not here: EXPLORER_SMOLLM2 names its folder",
    ),
]

TEMPLATE = "{text}\nSentiment:"
TEXTS = ("a charming film from start to end", "dull, and far too long")


@pytest.fixture(scope="module")
def model():
    from explorer.models.load import load_frozen

    return load_frozen(FOLDER, dtype="float32").templated(TEMPLATE)


def test_answers_are_those_of_peft_with_one_prompt_and_with_nine(model):
    table, generator = model.network.embedding.numpy(), np.random.default_rng(0)
    prompts = [table[generator.integers(100, 4000, 1 + number)] for number in range(9)]
    alone = model.label_log_probabilities(prompts[8:], TEXTS, ("negative", "positive"))
    found = model.label_log_probabilities(prompts, TEXTS, ("negative", "positive"))
    assert alone[0] == pytest.approx(found[8], abs=1e-4)
    expected = [
        _by_peft(FOLDER, prompts[8], TEXTS[0], model.label_ids(label), TEMPLATE)
        for label in ("negative", "positive")
    ]
    assert found[8, 0] == pytest.approx(expected, abs=1e-4)


def test_what_its_tokens_mean_is_what_they_are(model):
    """The controls of verbalization on a real model: rows of words come back, random vectors of their length
    do not.
    """
    from explorer.analysis.nulls import gaussian_vectors
    from explorer.evaluation.verbalization import ENOUGH, verbalize
    from explorer.prompt import SoftPrompt
    from explorer.vocabulary import Vocabulary

    vocabulary = Vocabulary.load(FOLDER)
    words = [vocabulary.text_vector(f" {word}") for word in ("music", "river", "doctor", "yellow", "seven")]
    read = verbalize(model, vocabulary, SoftPrompt(np.array(words), "words"))
    assert read.repeated > ENOUGH
    assert [row[0] for row in read.words()] == ["music", "river", "doctor", "yellow", "seven"]
    chance = verbalize(model, vocabulary, SoftPrompt(gaussian_vectors(vocabulary, 10, 99), "random"))
    assert chance.significant.sum() <= 1


@pytest.mark.skipif(not OURS.is_dir(), reason="its prompts are not here")
@pytest.mark.parametrize(
    ("task", "data"), [("sentiment", "sst2"), ("subjectivity", "subj"), ("question-type", "trec")]
)
def test_its_prompts_do_what_their_records_say(task, data):
    """On a sample of the test texts, which no step was chosen by: ten points are three standard errors of 120
    texts.
    """
    from explorer.context import LocalLoader, Settings
    from explorer.session import Session
    from explorer.texts.tasks import read_task
    from explorer.tuning.batches import drawn

    file = SHARED / "data" / "tasks" / data / "test.tsv"
    if not file.is_file():
        pytest.skip("the shared data are not here")
    prompt = read_prompt(OURS / task / "class-label-0")
    session = Session([prompt], str(FOLDER), Settings(), LocalLoader("cpu", "bfloat16"))
    scores = session.evaluate(
        drawn(read_task(file, session.class_labels), 120), no_prompt=True, generate=False
    )
    assert scores.accuracy[0] > prompt.origin.dev_accuracy - 0.1
    assert scores.accuracy[0] > scores.accuracy[1] + 0.1, "and the model without a prompt does much worse"


@pytest.mark.skipif(not OURS.is_dir(), reason="its prompts are not here")
def test_peft_alone_gives_the_same_answers(model):
    """Its own loader and forward, without anything of ours but the text around the text."""
    import torch
    from peft import PeftModel
    from transformers import AutoModelForCausalLM, AutoTokenizer

    from explorer.system.files import EXAMPLES
    from explorer.texts.tasks import read_task

    folder, tokenizer = OURS / "sentiment" / "class-label-0", AutoTokenizer.from_pretrained(FOLDER)
    prompt = read_prompt(folder)
    texts = read_task(EXAMPLES / "films.tsv").texts[:24]
    adapted = PeftModel.from_pretrained(
        AutoModelForCausalLM.from_pretrained(FOLDER, dtype=torch.float32), folder
    ).eval()
    pieces = [tokenizer(f" {label}")["input_ids"][0] for label in prompt.origin.labels]
    given = [tokenizer(prompt.origin.template.replace("{text}", text), return_tensors="pt") for text in texts]
    with torch.no_grad():
        theirs = [adapted(**one).logits[0, -1, pieces].argmax().item() for one in given]
    ours = (
        model.templated(prompt.origin.template)
        .label_probabilities([prompt], texts, prompt.origin.labels)[0]
        .argmax(axis=1)
    )
    assert theirs == ours.tolist()


@pytest.mark.skipif(not OURS.is_dir(), reason="its prompts are not here")
def test_all_of_its_prompts_are_of_this_model():
    from explorer.vocabulary import Vocabulary

    fingerprint = Vocabulary.load(FOLDER).fingerprint
    found = [prompt for _, prompt in find_prompts(OURS)]
    assert {prompt.origin.base_fingerprint for prompt in found} == {fingerprint}
    assert {prompt.origin.base_model for prompt in found} == {"HuggingFaceTB/SmolLM2-135M-Instruct"}
    assert all(prompt.origin.task_type == "CAUSAL_LM" and prompt.origin.template for prompt in found)
