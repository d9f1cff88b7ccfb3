"""Every command that runs a model, with prompts of a decoder-only one: trained here, read by PEFT, asked
within their template.
"""

import json

import numpy as np
import pytest
import torch

from explorer.formats import find_prompts, read_prompt
from explorer.models.load import load_frozen
from explorer.models.templates import template_for
from tests.decoders import decoder_folder
from tests.test_cli import run, words

TEMPLATE = "{text}\nKind:"
GOOD, BAD = (
    ("good music", "a happy end", "a great cast", "a charming place", "a good film"),
    ("a slow waiter", "bad food", "an awful meal", "so bad", "the old house"),
)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A model's folder, labelled texts, and where two prompts that were tuned on them lie."""
    home = tmp_path_factory.mktemp("decoder")
    model = decoder_folder(home / "tiny-llama", "llama")
    data = home / "kinds.tsv"
    rows = [
        f"{text} {number}\t{label}"
        for number in range(4)
        for label, texts in (("good", GOOD), ("bad", BAD))
        for text in texts
    ]
    for file in (data, data.with_name("other.tsv")):
        file.write_text("\n".join(["text\tlabel", *rows]) + "\n")
    shape = (
        "--length",
        "4",
        "--steps",
        "6",
        "--evaluate-every",
        "3",
        "--batch-size",
        "8",
        "--lr",
        "0.1",
        "--dtype",
        "float32",
    )
    run(
        "train",
        "--model",
        model,
        "--data",
        data,
        "--out",
        home / "out",
        "--init",
        "class-label,random",
        "--seeds",
        "0",
        *shape,
        "--template",
        r"{text}\nKind:",
    )
    return (
        model,
        data,
        [home / "out" / "kinds" / name for name in ("class-label-0-length-4", "random-0-length-4")],
    )


@pytest.mark.slow
def test_a_tuned_prompt_records_its_template_and_kind(made):
    model, _, folders = made
    prompt = read_prompt(folders[0])
    assert (prompt.origin.template, prompt.origin.task_type) == (TEMPLATE, "CAUSAL_LM")
    assert prompt.origin.base_model == str(model)
    assert [row.label for row in prompt.origin.rows[:2]] == ["bad", "good"]
    config = json.loads((folders[0] / "adapter_config.json").read_text())
    assert config["task_type"] == "CAUSAL_LM"


def test_peft_loads_what_was_tuned_and_agrees(made):
    from peft import PeftModel
    from transformers import AutoModelForCausalLM, AutoTokenizer

    model, _, folders = made
    frozen, tokenizer = load_frozen(model).templated(TEMPLATE), AutoTokenizer.from_pretrained(model)
    adapted = PeftModel.from_pretrained(
        AutoModelForCausalLM.from_pretrained(model, dtype=torch.float32), folders[0]
    ).eval()
    prompt, label = read_prompt(folders[0]), frozen.label_ids("good")
    ids = tokenizer("a good film\nKind:")["input_ids"]
    with torch.no_grad():
        scores = adapted(input_ids=torch.tensor([ids + label])).logits[0].log_softmax(-1)
    start = len(scores) - len(label) - 1
    expected = sum(float(scores[start + place, piece]) for place, piece in enumerate(label))
    assert frozen.label_log_probabilities([prompt], ["a good film"], ["good"])[0, 0, 0] == pytest.approx(
        expected, abs=1e-4
    )


def test_tuning_lowers_the_loss_and_together_is_as_alone(made, tmp_path):
    model, data, folders = made
    shape = (
        "--length",
        "4",
        "--steps",
        "6",
        "--evaluate-every",
        "3",
        "--batch-size",
        "8",
        "--lr",
        "0.1",
        "--dtype",
        "float32",
    )
    run(
        "train",
        "--model",
        model,
        "--data",
        data,
        "--out",
        tmp_path,
        "--init",
        "random",
        "--seeds",
        "0",
        *shape,
        "--template",
        r"{text}\nKind:",
    )
    alone, together = read_prompt(tmp_path / "kinds" / "random-0-length-4"), read_prompt(folders[1])
    assert np.allclose(alone.vectors, together.vectors, atol=1e-5)
    losses = [one.loss for one in together.origin.history if one.loss is not None]
    assert losses[-1] < losses[0]


def test_answers_are_those_of_python(made):
    model, _, folders = made
    (answered,) = json.loads(run("predict", folders[0], "--text", "a good film", "--json").stdout)
    frozen = load_frozen(model).templated(TEMPLATE)
    found = frozen.label_probabilities([read_prompt(folders[0])], ["a good film"], ["bad", "good"])[0, 0]
    assert answered["probabilities"] == pytest.approx(
        dict(zip(("bad", "good"), found.tolist(), strict=True)), abs=1e-5
    )
    other = json.loads(
        run("predict", folders[0], "--text", "a good film", "--template", "{text} is", "--json").stdout
    )
    assert other[0]["probabilities"] != answered["probabilities"]


@pytest.mark.parametrize(
    "arguments",
    [
        ("evaluate", "{first}", "{second}", "--no-prompt", "--data", "{data}"),
        ("ensemble", "{first}", "{second}", "--data", "{data}"),
        ("shift", "{first}", "--source", "{data}", "--target", "{other}"),
        ("faithfulness", "{first}", "--data", "{data}", "--draws", "2", "--points", "2"),
        ("attribution", "{first}", "--text", "a good film", "--orders", "5"),
        ("decode", "{first}", "{second}"),
        ("labels", "{first}"),
        ("clusters", "{first}"),
        ("compare", "{first}", "{second}"),
        ("decompose", "{first}"),
    ],
    ids=lambda arguments: arguments[0],
)
def test_every_command_serves_prompts_of_a_decoder(made, arguments):
    _, data, (first, second) = made
    given = [
        one.format(first=first, second=second, data=data, other=data.with_name("other.tsv"))
        for one in arguments
    ]
    assert run(*given).stdout.strip()
    assert json.loads(run(*given, "--json").stdout)


def test_what_tokens_are_taken_for_is_a_table(made, tmp_path):
    import pandas as pd

    _, _, folders = made
    said = words(run("decode", folders[0], "--verbalization", tmp_path / "words.csv").stdout)
    assert "of real words in their place it repeats" in said
    table = pd.read_csv(tmp_path / "words.csv")
    assert list(table.columns) == [
        "prompt",
        "position",
        "rank",
        "token_id",
        "piece",
        "token",
        "probability",
        "by_chance",
        "divergence",
        "p",
        "q",
    ]
    assert (table.groupby("position").size() == 5).all()
    assert table["p"].between(0, 1).all()


def test_no_t5_says_what_tokens_mean(tmp_path):
    result = run("decode", "sentiment/class-label-0", "--verbalization", tmp_path / "words.csv", code=1)
    assert "is an encoder–decoder; only a language model" in words(result.stderr)
    assert not (tmp_path / "words.csv").exists()


def test_a_report_of_a_decoder(made, tmp_path):
    _, _, folders = made
    run("report", folders[0], "--out", tmp_path / "report", "--nulls", "50")
    there = {path.name for path in (tmp_path / "report").iterdir()}
    assert {"decoder.csv", "verbalization.csv", "label-mass.csv"} <= there
    assert "What the model takes its tokens for" in (tmp_path / "report" / "report.html").read_text()
    assert json.loads((tmp_path / "report" / "report.json").read_text())["settings"]["template"] is None


def test_a_prompt_of_the_other_kind_is_named_before_any_number(made, tiny_t5_folder, tmp_path):
    """A decoder's prompt on a T5 of the same width, and a T5's on a decoder."""
    from explorer.prompt import Origin, SoftPrompt

    model, _, _ = made
    t5_width = read_width(tiny_t5_folder)
    for width, kind, other in ((t5_width, "CAUSAL_LM", tiny_t5_folder), (32, "SEQ_2_SEQ_LM", model)):
        origin = Origin(base_model=str(other), task_type=kind, labels=("good", "bad"))
        SoftPrompt(np.ones((2, width), np.float32), "p", origin).save(tmp_path / kind)
        result = run("neighbors", tmp_path / kind, "--model", other)
        assert f"({kind}), which" in words(result.stderr)
        assert "is not; its readings and answers may mean nothing" in words(result.stderr)


def read_width(folder) -> int:
    return json.loads((folder / "config.json").read_text())["d_model"]


def test_bad_templates_are_one_line(made):
    _, data, folders = made
    for command in (
        ("predict", folders[0], "--text", "a"),
        ("evaluate", folders[0], "--data", data),
        ("decode", folders[0]),
    ):
        result = run(*command, "--template", "no place for it", code=1)
        assert "found no {text} in 'no place for it'; expected {text} once" in words(result.stderr)
        assert "(--template)" in result.stderr


def test_prompts_of_two_templates_are_not_asked_together(made, tmp_path):
    from dataclasses import replace

    _, data, folders = made
    prompt = read_prompt(folders[1])
    replace(prompt, name="other", origin=replace(prompt.origin, template="{text} =>")).save(
        tmp_path / "other"
    )
    result = run("evaluate", folders[0], tmp_path / "other", "--data", data, code=1)
    assert "expected one template" in words(result.stderr)
    assert run("evaluate", folders[0], tmp_path / "other", "--data", data, "--template", TEMPLATE).stdout


def test_whole_models_are_tuned_of_the_t5_family_alone(made, tmp_path):
    model, data, _ = made
    result = run(
        "train",
        "--model",
        model,
        "--data",
        data,
        "--out",
        tmp_path / "out",
        "--tune",
        "model",
        "--seeds",
        "0",
        "--steps",
        "1",
        code=1,
    )
    assert "is no T5" in words(result.stderr)


def test_a_t5_may_have_a_template_too(tiny_prompts):
    label_prompt = next(
        path for path, prompt in find_prompts(tiny_prompts) if prompt.origin.initialization == "class-label"
    )
    plain = json.loads(run("predict", label_prompt, "--text", "a good film", "--json").stdout)
    same = json.loads(
        run("predict", label_prompt, "--text", "a good film", "--template", "{text}", "--json").stdout
    )
    longer = json.loads(
        run(
            "predict", label_prompt, "--text", "a good film", "--template", "the film : {text}", "--json"
        ).stdout
    )
    assert plain == same
    assert plain[0]["probabilities"] != longer[0]["probabilities"]
    assert template_for(None, None) == "{text}"
