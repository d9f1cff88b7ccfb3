"""What a small T5 has learned so far: related words, held-out losses' companions, and a linear probe of its
encoder.
"""

from pathlib import Path

import numpy as np

from explorer.texts.tasks import read_task

_WORDS = """
good-great bad-terrible funny-hilarious sad-tragic happy-glad big-large small-tiny fast-quick slow-faster
king-queen prince-princess father-mother brother-sister son-daughter uncle-aunt man-woman boy-girl husband-wife
doctor-nurse teacher-student actor-actress director-producer writer-author singer-musician painter-artist
monday-friday january-february spring-autumn summer-winter morning-evening day-night week-month hour-minute
one-two three-four five-six seven-eight nine-ten hundred-thousand million-billion first-second third-fourth
red-blue green-yellow black-white north-south east-west left-right up-down inside-outside above-below
france-germany italy-spain england-scotland china-japan india-pakistan london-paris texas-california
french-german english-spanish chinese-japanese european-asian catholic-protestant church-cathedral
dog-cat horse-cow lion-tiger bird-fish tree-flower river-lake mountain-hill sea-ocean island-coast
car-truck train-bus ship-boat plane-aircraft road-highway bridge-tunnel street-avenue house-home
bread-butter milk-cheese wine-beer coffee-tea sugar-salt meat-chicken breakfast-dinner apple-orange
army-navy war-battle soldier-officer gun-rifle sword-knife enemy-ally kill-murder police-detective
school-college university-professor science-physics biology-chemistry book-novel story-tale poem-poetry
music-song album-band guitar-piano film-movie comedy-drama horror-thriller scene-sequence plot-storyline
football-basketball team-player win-victory game-match goal-score league-championship olympic-medal
president-minister government-parliament law-court judge-jury election-vote party-democratic city-town
money-cash bank-loan company-corporation buy-sell price-cost market-trade tax-income job-work
hand-arm eye-ear head-face heart-blood leg-foot hair-skin nose-mouth brain-mind disease-cancer
love-hate hope-fear laugh-smile cry-weep run-walk eat-drink speak-talk see-watch think-believe
boring-dull brilliant-superb awful-horrible beautiful-gorgeous stupid-silly clever-smart
sun-moon star-planet earth-world water-ice fire-smoke wind-storm rain-snow gold-silver iron-steel stone-wood
"""
RELATED_WORDS: tuple[tuple[str, str], ...] = tuple(
    (pair.split("-")[0], pair.split("-")[1]) for pair in _WORDS.split()
)
"""Pairs of related English words, written for this project, to judge an embedding table with."""


def related_pairs_found(
    embedding: np.ndarray, word_ids: dict[str, int], searchable: np.ndarray, k: int = 50
) -> tuple[float, int]:
    """Share of `RELATED_WORDS` of which each word is among the other's `k` nearest rows by cosine.

    embedding: [V, H]; word_ids: word -> row; searchable: [V] bool. Returns (share in 0…1, pairs that are
    single pieces).
    """
    rows = np.flatnonzero(searchable)
    table = embedding[rows].astype(np.float32)
    table /= np.maximum(np.linalg.norm(table, axis=1, keepdims=True), 1e-9)
    place = {int(row): index for index, row in enumerate(rows)}
    pairs = [(word_ids[a], word_ids[b]) for a, b in RELATED_WORDS if a in word_ids and b in word_ids]
    found = 0
    for a, b in pairs:
        near_a, near_b = table @ table[place[a]], table @ table[place[b]]
        rank_b = int((near_a > near_a[place[b]]).sum())  # the word itself is rank 0
        rank_a = int((near_b > near_b[place[a]]).sum())
        found += rank_a <= k and rank_b <= k
    return found / max(len(pairs), 1), len(pairs)


def linear_probe(
    train: np.ndarray, train_labels: tuple[str, ...], test: np.ndarray, test_labels: tuple[str, ...]
) -> float:
    """Accuracy of a logistic regression on frozen features. train: [N, H], test: [M, H] float32."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.preprocessing import StandardScaler

    scaler = StandardScaler().fit(train)
    probe = LogisticRegression(C=0.1, max_iter=500).fit(scaler.transform(train), train_labels)
    return float(probe.score(scaler.transform(test), test_labels))


def mean_features(
    model, tokenizer, texts: tuple[str, ...], batch: int = 100
) -> tuple[np.ndarray, np.ndarray]:
    """Mean of the encoder's outputs and mean of the input embeddings over each text's pieces: two [N, H]
    float32.
    """
    import torch

    encoded, embedded = [], []
    device = next(model.parameters()).device
    with torch.no_grad():
        for start in range(0, len(texts), batch):
            inputs = tokenizer(
                list(texts[start : start + batch]), padding=True, truncation=True, return_tensors="pt"
            ).to(device)
            states = model.get_encoder()(
                input_ids=inputs["input_ids"], attention_mask=inputs["attention_mask"]
            ).last_hidden_state
            weight = inputs["attention_mask"][:, :, None] / inputs["attention_mask"].sum(dim=1)[:, None, None]
            encoded.append((states * weight).sum(dim=1).float().cpu().numpy())
            embedded.append(
                (model.get_input_embeddings()(inputs["input_ids"]) * weight).sum(dim=1).float().cpu().numpy()
            )
    return np.concatenate(encoded), np.concatenate(embedded)


def probe_accuracies(model, tokenizer, train_file: Path, dev_file: Path) -> dict[str, float]:
    """Dev accuracy of a linear probe on mean encoder outputs, and of one on mean input embeddings as its
    baseline.
    """
    train, dev = read_task(train_file), read_task(dev_file)
    features = [mean_features(model, tokenizer, task.texts) for task in (train, dev)]
    names = ("probe_encoder", "probe_embeddings")
    return {
        name: round(linear_probe(features[0][i], train.answers, features[1][i], dev.answers), 4)
        for i, name in enumerate(names)
    }


TRIAL_STEPS = 300


def tuning_trial(model: Path, train_file: Path, dev_file: Path) -> dict[str, float]:
    """A short run of prompt tuning (class-label, 20 tokens, seed 0): dev accuracy at its start and at its
    best, training loss at its end (nats).
    """
    from explorer.context import LocalLoader
    from explorer.tuning.settings import Run, TuningConfig
    from explorer.tuning.tune import tune

    train = read_task(train_file)
    loader, dev = LocalLoader(), read_task(dev_file, train.labels)
    config = TuningConfig(steps=TRIAL_STEPS, schedule="linear", dev_examples=500)
    frozen = loader.frozen(str(model))
    (prompt,) = tune(
        frozen, loader.vocabulary(str(model)), train, dev, [Run("class-label", 0)], config, "trial"
    )
    history = prompt.origin.history
    return {
        "start": history[0].dev_accuracy,
        "best": prompt.origin.dev_accuracy,
        "loss": history[-1].loss,
        "steps": TRIAL_STEPS,
    }
