"""What the decoder makes of a prompt: words bring words of their kind, batches change nothing, nothing minus
nothing is nothing.
"""

from dataclasses import replace

import numpy as np
import planted
import pytest

from explorer.errors import DataError, ExplorerError, PromptError
from explorer.evaluation.decoder_reading import evidence, read_decoder
from explorer.evaluation.neutral_texts import ALONE, GAP, NEUTRAL
from explorer.formats import read_prompt
from explorer.prompt import SoftPrompt
from explorer.session import open_session
from explorer.vocabulary import Vocabulary
from research.decoder_control import words_control

TEXTS = ("a good film", "the river is <extra_id_0> in the north", "no")


@pytest.fixture(scope="module")
def tiny_vocabulary(tiny_t5_folder):
    return Vocabulary.load(tiny_t5_folder)


@pytest.fixture(scope="module")
def prompts():
    generator = np.random.default_rng(0)
    return [SoftPrompt(generator.standard_normal((length, 16)) * 2, f"p{length}") for length in (1, 3, 12)]


# The model's first pieces


def test_probabilities_sum_to_one(tiny, prompts):
    found = np.exp(tiny.first_pieces([*prompts, None], [ALONE, GAP, *TEXTS]).astype(np.float64))
    assert found.shape == (4, 5, len(tiny.network.embedding))
    np.testing.assert_allclose(found.sum(axis=2), 1, atol=1e-5)


def test_first_pieces_are_those_of_transformers(tiny, tiny_t5_folder, prompts):
    """Alone the input is the prompt and eos; behind a gap the decoder has written the sentinel already."""
    import torch
    from transformers import AutoModelForSeq2SeqLM, AutoTokenizer

    whole, tokenizer = (
        AutoModelForSeq2SeqLM.from_pretrained(tiny_t5_folder).eval(),
        AutoTokenizer.from_pretrained(tiny_t5_folder),
    )
    found = tiny.first_pieces([prompts[1], None], [ALONE, *TEXTS])
    for row, front in zip(found, (torch.from_numpy(prompts[1].vectors), torch.zeros(0, 16)), strict=True):
        for text, mine in zip((ALONE, *TEXTS), row, strict=True):
            ids = tokenizer(text)["input_ids"] if text else [tokenizer.eos_token_id]
            embeds = torch.cat([front, whole.get_input_embeddings()(torch.tensor(ids))])[None]
            before = [0, tokenizer.convert_tokens_to_ids(GAP)] if GAP in text else [0]
            with torch.no_grad():
                logits = whole(inputs_embeds=embeds, decoder_input_ids=torch.tensor([before])).logits[0, -1]
            np.testing.assert_allclose(mine, torch.log_softmax(logits, -1).numpy(), atol=1e-4)


def test_a_prompt_of_a_texts_own_words_is_that_text(model, vocabulary):
    front = vocabulary.embedding[vocabulary.encode("the film was")]
    np.testing.assert_allclose(
        model.first_pieces([front], ["very good"])[0],
        model.first_pieces([None], ["the film was very good"])[0],
        atol=1e-3,
    )


def test_nothing_minus_nothing_is_nothing(tiny, prompts):
    """No prompt among long prompts answers as alone, and has no evidence for anything."""
    among = tiny.first_pieces([prompts[2], None, prompts[0]], [ALONE, *TEXTS])[1]
    alone = tiny.first_pieces([None], [ALONE, *TEXTS])[0]
    np.testing.assert_allclose(among, alone, atol=1e-5)
    assert not evidence(alone, alone).any()


# The reading


def test_a_batch_reads_as_one_by_one(tiny, tiny_vocabulary, prompts):
    together, _ = read_decoder(tiny, tiny_vocabulary, prompts, TEXTS, k=6)
    for prompt, found in zip(prompts, together, strict=True):
        ((alone,), _) = read_decoder(tiny, tiny_vocabulary, [prompt], TEXTS, k=6)
        assert alone.pieces == found.pieces
        for name in ("probability", "without_prompt", "gain", "evidence", "divergence"):
            np.testing.assert_allclose(getattr(alone, name), getattr(found, name), atol=1e-4)


def test_memory_does_not_change_a_reading(tiny, tiny_vocabulary, prompts, monkeypatch):
    whole = read_decoder(tiny, tiny_vocabulary, prompts, TEXTS)[0].to_frame()
    monkeypatch.setattr("explorer.evaluation.decoder_reading.BYTES_AT_ONCE", 1)
    parted = read_decoder(tiny, tiny_vocabulary, prompts, TEXTS)[0].to_frame()
    assert parted["piece"].tolist() == whole["piece"].tolist()
    np.testing.assert_allclose(parted["evidence"], whole["evidence"], atol=1e-5)


def test_the_figures_are_those_of_the_distributions(tiny, tiny_vocabulary, prompts):
    ((found,), mass) = read_decoder(tiny, tiny_vocabulary, prompts[:1], TEXTS, k=4)
    assert mass is None
    assert found.texts == (ALONE, GAP, "mean of 3 texts")
    p, q = (tiny.first_pieces([one], TEXTS)[0].astype(np.float64) for one in (prompts[0], None))
    shown = (np.sqrt(np.exp(p)) * (p - q)).mean(axis=0)
    shown[~tiny_vocabulary.searchable] = -np.inf
    ids = found.token_ids[2]
    assert ids.tolist() == np.argsort(-shown, kind="stable")[:4].tolist()
    np.testing.assert_allclose(found.evidence[2], shown[ids], atol=1e-6)
    np.testing.assert_allclose(found.probability[2], np.exp(p).mean(axis=0)[ids], atol=1e-6)
    np.testing.assert_allclose(found.without_prompt[2], np.exp(q).mean(axis=0)[ids], atol=1e-6)
    np.testing.assert_allclose(found.gain[2], (p - q).mean(axis=0)[ids], atol=1e-5)
    assert found.divergence[2] == pytest.approx((np.exp(p) * (p - q)).sum(axis=1).mean(), abs=1e-5)
    assert (found.divergence > 0).all()
    frame = found.to_frame()
    assert list(frame) == [
        "prompt",
        "text",
        "rank",
        "token_id",
        "piece",
        "token",
        "probability",
        "without_prompt",
        "gain",
        "evidence",
        "divergence",
    ]
    assert frame["rank"].tolist() == [1, 2, 3, 4] * 3
    assert frame["text"].tolist()[::4] == list(found.texts)


def test_special_pieces_are_listed_only_when_asked(tiny, tiny_vocabulary, prompts):
    plain, whole = (
        read_decoder(tiny, tiny_vocabulary, prompts, TEXTS, k=len(tiny_vocabulary), include_special=special)[
            0
        ].to_frame()
        for special in (False, True)
    )
    assert tiny_vocabulary.searchable[plain["token_id"]].all()
    assert {"<pad>", "</s>", GAP} <= set(whole["piece"])
    assert len(whole) == 3 * 3 * len(tiny_vocabulary)
    np.testing.assert_allclose(whole.groupby(["prompt", "text"])["probability"].sum(), 1, atol=1e-5)


def test_words_bring_words_of_their_kind(model, vocabulary):
    """Half of the words of a kind as a prompt: the other half stands high, and not behind prompts of random
    words (fresh seed).
    """
    found = words_control(model, vocabulary, random=6, seed=11).set_index("read")
    assert (found["percentile"] > 94).all()
    assert (found["percentile_random"] < 75).all()
    assert (found["excess"] > 2).all()
    assert found.loc["in a gap", "percentile"] > 99
    assert found.loc["in a gap", "listed"] >= 3.5
    assert (found["listed"] >= 1.5).all()
    assert (found["listed_random"] < 0.3).all()


def test_the_conclusion_names_what_the_decoder_rather_writes(model, vocabulary):
    words = planted.prompt(
        vocabulary.embedding[[vocabulary.encode(word)[0] for word in ["song", "band", "album", "music"]]]
    )
    ((found,), _) = read_decoder(model, vocabulary, [words])
    assert found.conclusion.startswith("The decoder begins more often than without the prompt, alone: ")
    assert "; in a gap: song, album" in found.conclusion or "; in a gap: album, song" in found.conclusion
    assert "; before 4 texts: " in found.conclusion
    assert found.words()[1][0] in ("song", "album")
    assert "DecoderReading of planted/prompt: 30 rows" in repr(found)


def test_only_pieces_that_come_more_often_are_named(model, vocabulary):
    """Over several texts a piece may have the evidence of some and still be rarer on average."""
    found = read_decoder(model, vocabulary, [read_prompt("sentiment/sampled-vocab-0")])[0][0]
    frame = found.to_frame().query("text == @found.texts[2]")
    rarer = frame[(frame["evidence"] > 0) & (frame["probability"] < frame["without_prompt"])]["token"]
    assert len(rarer), "there is such a piece"
    assert not set(rarer) & set(found.words()[2])


def test_one_text_is_called_by_itself_and_its_gap_is_filled(model, vocabulary):
    prompt = read_prompt("subjectivity/class-label-0")
    gap, plain = (
        read_decoder(model, vocabulary, [prompt], [text])[0][0]
        for text in ("I saw <extra_id_0> today.", "I saw it today.")
    )
    assert gap.texts[2] == "I saw <extra_id_0> today."
    assert "before 'I saw it today.': subject, objective, " in plain.conclusion, (
        "the first piece of subjective is subject"
    )
    assert plain.probability[2, 0] > 0.5 > gap.probability[2, 0]


def test_a_prompt_of_zeros_is_read(model, vocabulary):
    ((found,), _) = read_decoder(model, vocabulary, [planted.prompt(np.zeros((5, vocabulary.dimension)))])
    assert np.isfinite(found.evidence).all()
    assert np.isfinite(found.divergence).all()


def test_a_model_without_sentinels_has_no_gap(tiny, tiny_vocabulary, prompts):
    tokenizer = replace(
        tiny.tokenizer,
        pieces=tuple("~" if (piece or "").startswith("<extra") else piece for piece in tiny.tokenizer.pieces),
    )
    found, _ = read_decoder(replace(tiny, tokenizer=tokenizer), tiny_vocabulary, prompts, ["a film"])
    assert found[0].texts == (ALONE, "a film")


# Bad input


def test_bad_input_is_said_in_one_line(model, vocabulary):
    prompt = read_prompt("sentiment/random-0")
    with pytest.raises(
        PromptError,
        match="vectors of width 3, but mini-t5 has embeddings of width 256; give the prompt's own base model",
    ):
        read_decoder(model, vocabulary, [planted.prompt(np.ones((2, 3)))])
    with pytest.raises(DataError, match="found no texts; expected at least one to put behind the prompts"):
        read_decoder(model, vocabulary, [prompt], [])
    with pytest.raises(DataError, match="text 1 is empty"):
        read_decoder(model, vocabulary, [prompt], [" "])
    with pytest.raises(DataError, match="texts: found the text 'one'; expected a list"):
        read_decoder(model, vocabulary, [prompt], "one")
    with pytest.raises(PromptError, match="expected a list of prompts"):
        read_decoder(model, vocabulary, prompt)
    with pytest.raises(ExplorerError, match="found k = 0; expected at least 1"):
        read_decoder(model, vocabulary, [prompt], k=0)


def test_no_prompts_have_no_reading(model, vocabulary):
    found, mass = read_decoder(model, vocabulary, [], labels=["negative", "positive"])
    assert len(found) == 0
    assert mass is None
    with pytest.raises(PromptError, match="found no prompts; expected at least one"):
        open_session().decode()


def test_the_session_reads_with_its_settings(model, vocabulary):
    session = open_session("sentiment/random-0", "question-type/random-0", k=3)
    assert session.decode() is session.decode(NEUTRAL)
    assert session.decode("one text")["question-type/random-0"].texts[-1] == "one text"
    assert len(session.decode().to_frame()) == 2 * 3 * 3
    special = session.change(include_special=True, k=len(vocabulary)).decode().to_frame()
    assert "</s>" in set(special["piece"])
    bare = open_session(planted.prompt(vocabulary.embedding[100:104]))
    with pytest.raises(
        DataError, match="planted/prompt records no class labels; name them, such as negative and positive"
    ):
        bare.label_mass()
    assert bare.change(labels=["good", "bad"]).label_mass().tasks == ("good / bad",)
