"""Cues: a planted bag of words is recovered, chance gives none, and what cannot be used is said."""

import zlib
from collections.abc import Callable, Sequence

import numpy as np
import pytest
from planted import prompt

from explorer.errors import DataError
from explorer.evaluation.cues import ALONG, HAD, LEARNED, LOST, cues, text_cues
from explorer.evaluation.scorer import centered
from explorer.evaluation.surrogate import ALPHAS, presence
from explorer.evaluation.text_words import PIECES_NOTE, text_words

LABELS = ("no", "yes")
FILLER = [
    f"{a}{b}" for a in ("ra", "lo", "mi", "su", "te", "ka") for b in ("den", "pol", "gar", "vin", "sot")
]
SOME = prompt(np.ones((2, 4)), "some")
Score = Callable[[str], float]


class Planted:
    """A model whose score of `yes` over `no` is a function of the text, another one with a prompt than without."""

    def __init__(self, with_prompt: Score, without: Score, labels: int = 2):
        self.functions, self.asked, self.labels = (with_prompt, without), 0, labels

    def label_log_probabilities(self, prompts, texts, labels, done=None) -> np.ndarray:
        self.asked += len(prompts) * len(texts)
        found = [[self.functions[one is None](text) for text in texts] for one in prompts]
        return np.stack([-np.array(found), np.array(found)], axis=2) / 2 - 5


def weighted(weights: dict[str, float]) -> Score:
    return lambda text: sum(weights.get(word, 0) for word in set(text.split()))


def noise(text: str) -> float:
    """A score that has nothing to do with words: another one for every text."""
    return float(np.random.default_rng(zlib.crc32(text.encode())).standard_normal())


def planted_texts(
    count: int, words: Sequence[str] = FILLER, seed: int = 0, length: int = 9
) -> tuple[str, ...]:
    generator = np.random.default_rng(seed)
    return tuple(" ".join(generator.choice(words, length)) for _ in range(count))


WORDS = {"mipol": 4.0, "sugar": 3.0, "raden": -4.0, "kavin": -3.0}


def test_a_planted_weighted_sum_of_words_is_recovered():
    texts = planted_texts(300)
    gold = np.array([int(weighted(WORDS)(text) > 0) for text in texts])
    result = cues(Planted(weighted(WORDS), lambda text: 0.0), [SOME], texts, LABELS, gold)
    r2 = result.labels_frame().set_index("label").r2
    assert (r2 >= 0.95).all()
    frame = result.to_frame()
    learned = frame[frame.kind == LEARNED]
    yes = learned[learned.label == "yes"].term.tolist()
    assert set(yes[:2]) == {"mipol", "sugar"}
    assert set(learned[learned.label == "no"].term[:2]) == {"raden", "kavin"}
    assert (learned.effect > 0).all()
    assert (learned.deletion < 0).all()
    first = learned[learned.term == "mipol"].iloc[0]
    assert first.deletion == pytest.approx(-2.0, abs=1e-4)  # half of the difference of two labels is centered
    assert first.effect == pytest.approx(2.0, abs=0.2)
    assert not first.not_in_data
    assert result.conclusion.startswith("no: raden, kavin; yes: mipol, sugar. Single words explain")


def test_effects_of_two_opposite_labels_have_opposite_signs_and_scale_with_the_score():
    texts = planted_texts(200)
    single = cues(Planted(weighted(WORDS), noise), [SOME], texts, LABELS)
    assert np.allclose(single.surrogate.effects[0, 0], -single.surrogate.effects[0, 1], atol=1e-6)
    double = cues(Planted(lambda text: 2 * weighted(WORDS)(text), noise), [SOME], texts, LABELS)
    assert np.allclose(double.surrogate.effects[0], 2 * single.surrogate.effects[0], atol=1e-4)
    assert double.surrogate.r2[0] == pytest.approx(single.surrogate.r2[0], abs=1e-6)


def test_the_order_of_texts_changes_nothing():
    texts = planted_texts(200)
    model = Planted(lambda text: weighted(WORDS)(text) + noise(text), noise)
    frame = cues(model, [SOME], texts, LABELS).to_frame()
    turned = cues(model, [SOME], texts[::-1], LABELS).to_frame()
    assert frame.term.tolist() == turned.term.tolist()
    assert np.allclose(frame.deletion, turned.deletion, equal_nan=True)
    assert np.allclose(frame.effect, turned.effect, atol=1e-6)


def test_scores_that_have_nothing_to_do_with_words_have_no_cues():
    """Terms tested on the texts that they were chosen on would be confirmed by regression to the mean."""
    words = [f"{one}{number}" for one in FILLER for number in range(4)]
    checked = called = 0
    for seed in range(12):
        result = cues(Planted(noise, noise), [SOME], planted_texts(200, words, seed), LABELS)
        checked += len(result.checks)
        called += sum(one.kind != ALONG for one in result.checks)
        assert (result.labels_frame().r2 < 0.1).all()
    assert checked > 200
    assert called / checked <= 0.05


def test_permuted_scores_are_what_the_fidelity_is_compared_with():
    texts = planted_texts(200)
    result = cues(Planted(weighted(WORDS), noise), [SOME], texts, LABELS)
    frame = result.labels_frame()
    assert (frame.r2_null < 0.1).all()
    assert (frame.p == 1 / 20).all()
    assert (frame.r2_no_prompt < 0.2).all()


def test_kinds_learned_had_and_lost():
    texts = planted_texts(400)
    with_prompt = weighted({"mipol": 4.0, "sugar": 3.0})
    without = weighted({"sugar": 3.0, "lovin": 4.0})
    result = cues(Planted(with_prompt, without), [SOME], texts, LABELS)
    kinds = {row.term: row.kind for row in result.to_frame().itertuples() if row.label == "yes"}
    assert kinds["mipol"] == LEARNED
    assert kinds["sugar"] == HAD
    assert kinds["lovin"] == LOST


def test_a_prompt_that_does_nothing_learned_no_cue():
    result = cues(Planted(weighted(WORDS), weighted(WORDS)), [SOME], planted_texts(200), LABELS)
    kinds = set(result.to_frame().kind)
    assert LEARNED not in kinds
    assert LOST not in kinds
    assert HAD in kinds
    assert " 0 cues of " in result.conclusion


def test_a_fellow_traveller_goes_with_it():
    """`sugar` always stands with `mipol`, which alone decides."""
    generator = np.random.default_rng(0)
    texts = [
        f"{text} {'mipol sugar' if generator.random() < 0.4 else ''} {number}".strip()
        for number, text in enumerate(planted_texts(300, [w for w in FILLER if w not in WORDS]))
    ]
    frame = cues(Planted(weighted({"mipol": 4.0}), noise), [SOME], texts, LABELS).to_frame()
    kinds = {row.term: row.kind for row in frame.itertuples() if row.label == "yes"}
    assert kinds["mipol"] == LEARNED
    assert kinds["sugar"] == ALONG


def test_a_cue_that_the_labels_do_not_have_is_not_in_the_data():
    texts = planted_texts(300)
    gold = np.array([int("sugar" in text.split()) for text in texts])
    frame = cues(
        Planted(weighted({"sugar": 3.0, "mipol": 3.0}), noise), [SOME], texts, LABELS, gold
    ).to_frame()
    told = {row.term: row.not_in_data for row in frame.itertuples() if row.label == "yes"}
    assert told["mipol"]
    assert not told["sugar"]


def test_effects_agree_with_scikit_learn():
    from sklearn.feature_extraction.text import CountVectorizer
    from sklearn.linear_model import RidgeCV
    from sklearn.model_selection import PredefinedSplit, cross_val_predict

    from explorer.evaluation.scorer import parts

    texts = planted_texts(150)
    model = Planted(lambda text: weighted(WORDS)(text) + noise(text), noise)
    result = cues(model, [SOME], texts, LABELS)
    vectorizer = CountVectorizer(binary=True, ngram_range=(1, 2), min_df=4)
    held = vectorizer.fit_transform(texts).toarray()
    assert tuple(vectorizer.get_feature_names_out()) == result.terms
    scores = centered(model.label_log_probabilities([SOME], texts, LABELS))[0, :, 1]
    fit = RidgeCV(alphas=ALPHAS).fit(held, scores)
    assert np.allclose(fit.coef_, result.surrogate.effects[0, 1], atol=1e-4)
    guessed = cross_val_predict(RidgeCV(alphas=ALPHAS), held, scores, cv=PredefinedSplit(parts(texts, 5)))
    r2 = 1 - ((scores - guessed) ** 2).sum() / ((scores - scores.mean()) ** 2).sum()
    assert result.surrogate.r2[0, 1] == pytest.approx(r2, abs=1e-4)


def test_two_prompts_that_listen_to_the_same_words_are_alike():
    class Two(Planted):
        def label_log_probabilities(self, prompts, texts, labels, done=None):
            kinds = {"a": WORDS, "b": WORDS, "c": {"tesot": 4.0, "kapol": -3.0}}
            found = [
                [
                    weighted(kinds.get(getattr(one, "name", ""), {}))(text) + noise(f"{one}{text}")
                    for text in texts
                ]
                for one in prompts
            ]
            return np.stack([-np.array(found), np.array(found)], axis=2) / 2

    three = [prompt(np.ones((2, 4)), name) for name in "abc"]
    pairs = cues(Two(noise, noise), three, planted_texts(200), LABELS).likeness_frame()
    alike = pairs.set_index(["prompt", "other"])
    assert alike.correlation["a", "b"] > 0.7
    assert alike.low["a", "b"] > alike.high["a", "c"]


def test_deleting_takes_whole_words_and_pairs_away():
    cut = text_words(["Who is the man?"])
    assert cut.without("Who is who , is the whole?", "who") == "is , is the whole?"
    assert cut.without("who is who is the man?", "who is") == "the man?"
    assert cut.terms("It's fine") == ["it's", "fine", "it's fine"]


def test_texts_without_spaces_are_cut_into_pieces(tiny):
    texts = [f"这部电影很好看{'人地数'[n % 3]}{chr(0x4E00 + n)}" for n in range(60)]
    result = cues(Planted(lambda text: 3.0 * ("人" in text), noise), [SOME], texts, LABELS)
    assert PIECES_NOTE in result.conclusion
    assert "人" in [row.term for row in result.to_frame().itertuples() if row.kind == LEARNED]
    spans = text_words(["你好吗"], tiny.tokenizer).spans("你好吗")
    assert [("你好吗")[slice(*span)] for span in spans] == ["你", "好", "吗"]


def test_one_text_word_by_word():
    model = Planted(weighted(WORDS), noise)
    result = text_cues(model, [SOME], "mipol then sugar", LABELS)
    assert model.asked == 2 * 4
    assert result.answers == ("yes",)
    assert result.deletion[0] == pytest.approx([-2.0, 0, -1.5])
    assert result.to_frame().word.tolist() == ["mipol", "then", "sugar"]
    assert "“mipol” decides most: without it the score of yes changes by -2.00 nats" in result.conclusion


def test_few_texts_texts_alike_and_texts_without_common_words_are_refused():
    model = Planted(noise, noise)
    with pytest.raises(
        DataError, match="found 40 different texts; expected at least 50 to learn which words"
    ):
        cues(model, [SOME], planted_texts(40), LABELS)
    with pytest.raises(DataError, match="found 1 different text; expected at least 50"):
        cues(model, [SOME], ["the same"] * 90, LABELS)
    with pytest.raises(DataError, match="found no word that 4 of 60 texts hold"):
        cues(model, [SOME], [f"one{n} two{n}" for n in range(60)], LABELS)
    with pytest.raises(DataError, match="expected at least two different ones"):
        cues(model, [SOME], planted_texts(60), ["yes"])


def test_a_model_that_scores_all_texts_alike_has_no_fidelity():
    result = cues(Planted(lambda text: 1.0, lambda text: 1.0), [SOME], planted_texts(80), LABELS)
    assert result.labels_frame().r2.isna().all()
    assert result.conclusion.startswith("No single word was shown to decide its answers.")


def test_terms_stand_in_one_of_250_texts():
    texts = [f"common w{n // 5}x" for n in range(1500)]
    terms, held = presence(texts, text_words(texts))
    assert terms == ("common",)
    assert held.sum() == 1500
