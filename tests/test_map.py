"""The map: the same seed gives the same map, rows land near themselves, files are whole, plain and of the
right vocabulary.
"""

import os
import pickle
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import planted
import pytest

from explorer.analysis.map import fit, layout, store
from explorer.analysis.map.fit import VocabularyMap, fit_map, nearest_among, principal
from explorer.analysis.map.place import (
    memberships,
    place,
    place_initial,
    place_labels,
    place_prompt,
    place_trajectory,
)
from explorer.analysis.map.store import kept_file, load_map, read_map, save_map
from explorer.analysis.trajectory import neighbor_changes
from explorer.analysis.vectors import unit
from explorer.errors import ExplorerError, PromptError
from explorer.figures import map_figure
from explorer.vocabulary import Vocabulary


@pytest.fixture(scope="module")
def small() -> Vocabulary:
    """600 rows in 20 loose bundles, with duplicates and special rows."""
    generator = np.random.default_rng(0)
    embedding = np.repeat(generator.standard_normal((20, 24)), 30, axis=0) + 0.4 * generator.standard_normal(
        (600, 24)
    )
    embedding[[100, 200, 300]] = embedding[50]
    return planted.from_rows(embedding, special=4)


@pytest.fixture(scope="module")
def fitted(small) -> VocabularyMap:
    return fit_map(small)


def extent(drawn: VocabularyMap) -> float:
    return float(np.linalg.norm(np.ptp(drawn.xy, axis=0)))


def test_the_same_seed_gives_the_same_map_and_duplicates_are_drawn_once(small, fitted):
    said = []
    again = fit_map(small, progress=said.append)
    np.testing.assert_array_equal(again.xy, fitted.xy)
    assert said[-1] == "the map is ready"
    assert not np.array_equal(fit_map(small, seed=1).xy, fitted.xy)
    assert len(fitted.token_ids) == 600 - 4 - 3
    assert 50 in fitted.token_ids
    assert not {100, 200, 300, 599} & set(fitted.token_ids.tolist())
    assert (np.diff(fitted.token_ids) > 0).all()
    assert fitted.xy.dtype == np.float32


def test_bundles_lie_together_on_the_map(fitted):
    bundle = fitted.token_ids // 30
    centers = np.stack([np.median(fitted.xy[bundle == n], axis=0) for n in range(20)])
    spread = np.median(np.linalg.norm(fitted.xy - centers[bundle], axis=1))
    apart = np.median(np.linalg.norm(centers[:, None] - centers[None], axis=2)[np.triu_indices(20, 1)])
    assert spread < 0.25 * apart


def test_a_row_placed_as_new_lands_on_itself_and_its_duplicates_with_it(small, fitted):
    places = place(3 * small.embedding[fitted.token_ids], small, fitted)
    assert np.median(np.linalg.norm(places.xy - fitted.xy, axis=1)) == 0
    np.testing.assert_array_equal(
        place(small.embedding[[200]], small, fitted).xy[0], fitted.xy[fitted.token_ids == 50][0]
    )


def test_a_vector_near_a_row_lands_near_it(small, fitted):
    moved = small.embedding[fitted.token_ids] + 0.1 * np.random.default_rng(1).standard_normal(
        (len(fitted.token_ids), 24)
    )
    places = place(moved, small, fitted)
    assert np.median(np.linalg.norm(places.xy - fitted.xy, axis=1)) < 0.05 * extent(fitted)
    assert places.trust.min() >= 0
    assert places.trust.max() <= 1
    assert places.trust.mean() > 0.3
    away = place(np.random.default_rng(2).standard_normal((200, 24)), small, fitted)
    assert away.trust.mean() < places.trust.mean()


def test_places_do_not_depend_on_what_is_placed_beside_them(small, fitted):
    vectors = np.random.default_rng(3).standard_normal((9, 24)).astype(np.float32)
    together, alone = place(vectors, small, fitted), place(vectors[4:5], small, fitted)
    np.testing.assert_allclose(together.xy[4:5], alone.xy, atol=1e-5)


def test_memberships_are_those_of_umap():
    """ρ is the nearest distance and σ makes the memberships sum to log2(k)."""
    distances = np.sort(np.random.default_rng(4).uniform(0.2, 0.9, (50, 15)), axis=1)
    weights = memberships(distances)
    np.testing.assert_allclose(weights.sum(axis=1), np.log2(15), rtol=1e-6)
    np.testing.assert_array_equal(weights[:, 0], 1)
    assert (np.diff(weights, axis=1) <= 0).all()
    sigma = (distances[:, 1:2] - distances[:, :1]) / -np.log(weights[:, 1:2])
    np.testing.assert_allclose(weights, np.exp(-(distances - distances[:, :1]) / sigma), rtol=1e-6)
    assert np.isfinite(memberships(np.full((1, 15), 0.5))).all()


def test_trust_is_the_share_of_true_neighbors_that_are_near_on_the_map(small, fitted):
    rows = np.arange(5)
    places = place(small.embedding[fitted.token_ids[rows]], small, fitted)
    cosine = unit(small.embedding[fitted.token_ids])
    for row in rows:
        true = set(np.argsort(-cosine @ cosine[row])[:15])
        drawn = set(np.argsort(np.linalg.norm(fitted.xy - fitted.xy[row], axis=1))[:15])
        np.testing.assert_allclose(places.trust[row], len(true & drawn) / 15, atol=1e-6)


def test_small_vocabularies_can_be_drawn():
    assert fit_map(planted.vocabulary(rows=5, special=0)).n_neighbors == 4
    assert fit_map(planted.vocabulary(rows=40, special=0)).xy.shape == (40, 2)
    with pytest.raises(ExplorerError, match="planted: 3 different rows stand for text; expected at least 4"):
        fit_map(planted.vocabulary(rows=5, special=2))
    with pytest.raises(
        ExplorerError, match=r"found n_neighbors 1, min_dist 0.1, seed 0; expected at least 2"
    ):
        fit_map(planted.vocabulary(), n_neighbors=1)


def test_a_map_is_written_whole_and_read_back(tmp_path, fitted):
    path = tmp_path / "deep" / "map.npz"
    save_map(fitted, path)
    assert [file.name for file in path.parent.iterdir()] == ["map.npz"]
    again = read_map(path)
    np.testing.assert_array_equal(again.xy, fitted.xy)
    np.testing.assert_array_equal(again.token_ids, fitted.token_ids)
    assert (again.fingerprint, again.n_neighbors, again.min_dist, again.seed) == (
        fitted.fingerprint,
        15,
        0.1,
        0,
    )


def test_an_interrupted_write_leaves_the_old_map(tmp_path, fitted, monkeypatch):
    path = tmp_path / "map.npz"
    save_map(fitted, path)
    before = path.read_bytes()

    def interrupted(file, **arrays):
        file.write(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(np, "savez_compressed", interrupted)
    with pytest.raises(ExplorerError, match=r"map.npz: cannot be written \(No space left on device\)"):
        save_map(fitted, path)
    assert path.read_bytes() == before
    assert [file.name for file in tmp_path.iterdir()] == ["map.npz"]


class Trap:
    def __reduce__(self):
        return os.system, ("touch trapped",)


def test_no_pickle_in_a_map_is_executed(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    np.savez(
        "pickled.npz",
        token_ids=np.array([Trap()], object),
        xy=np.zeros((1, 2)),
        fingerprint=np.array("x"),
        settings=np.zeros(3),
    )
    Path("bare.npz").write_bytes(pickle.dumps(Trap()))
    for name in ("pickled.npz", "bare.npz"):
        with pytest.raises(ExplorerError, match=f"{name}: cannot be read as a map .* delete it"):
            read_map(Path(name))
    assert not Path("trapped").exists()


def test_damaged_maps_are_named(tmp_path, fitted):
    path = tmp_path / "map.npz"
    save_map(fitted, path)
    whole = path.read_bytes()
    for content in (b"", b"PK\x03\x04", whole[: len(whole) // 2], whole[:200] + b"\0" * 400 + whole[600:]):
        path.write_bytes(content)
        with pytest.raises(ExplorerError, match=r"map.npz: cannot be read as a map"):
            read_map(path)
    np.savez(path, xy=np.zeros((2, 2)))
    with pytest.raises(ExplorerError, match="cannot be read as a map"):
        read_map(path)
    np.savez(
        path,
        token_ids=np.arange(3),
        xy=np.zeros((2, 2)),
        fingerprint=np.array("x"),
        settings=np.array([15, 0.1, 0]),
    )
    with pytest.raises(
        ExplorerError,
        match=r"ids of shape \(3,\) and places of shape \(2, 2\); expected \[M\] integers and \[M, 2\]",
    ):
        read_map(path)
    with pytest.raises(ExplorerError, match="places that are no finite numbers"):
        replace(fitted, xy=fitted.xy * np.float32(np.nan))


def test_the_map_in_the_model_folder_comes_first(tmp_path, small, fitted, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    model = replace(small, path=tmp_path)
    shipped = replace(fitted, xy=fitted.xy + 1, fingerprint=model.fingerprint)
    save_map(shipped, tmp_path / "map.npz")
    np.testing.assert_array_equal(load_map(model).xy, shipped.xy)
    assert not (tmp_path / "cache").exists()


def test_a_map_is_fitted_once_and_kept(tmp_path, small, fitted, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    fits = []
    monkeypatch.setattr(store, "fit_map", lambda vocabulary, progress=None: fits.append(vocabulary) or fitted)
    np.testing.assert_array_equal(load_map(small).xy, fitted.xy)
    np.testing.assert_array_equal(load_map(small).xy, fitted.xy)
    assert len(fits) == 1
    (kept,) = (tmp_path / "soft-prompt-explorer" / "maps").iterdir()
    assert kept.name.startswith(f"{small.fingerprint}-")


def test_foreign_and_damaged_maps_are_passed_over_and_said(tmp_path, small, fitted, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(store, "fit_map", lambda vocabulary, progress=None: fitted)
    model = replace(small, path=tmp_path)
    save_map(replace(fitted, fingerprint="another"), tmp_path / "map.npz")
    cached = kept_file(model)
    cached.parent.mkdir(parents=True)
    cached.write_bytes(b"damaged")
    said = []
    np.testing.assert_array_equal(load_map(model, said.append).xy, fitted.xy)
    assert "map.npz: a map of another vocabulary" in said[0]
    assert "cannot be read as a map" in said[1]
    assert read_map(cached).fingerprint == small.fingerprint  # the damaged file is replaced


def test_a_cache_that_cannot_be_written_is_no_error(tmp_path, small, fitted, monkeypatch):
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    monkeypatch.setattr(store, "fit_map", lambda vocabulary, progress=None: fitted)
    said = []
    np.testing.assert_array_equal(load_map(small, said.append).xy, fitted.xy)
    assert "the map is not kept" in said[0]


def test_a_full_cache_keeps_no_half_map(tmp_path, small, fitted, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(store, "fit_map", lambda vocabulary, progress=None: fitted)

    def full(file, **arrays):
        file.write(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(store.np, "savez_compressed", full)
    said = []
    np.testing.assert_array_equal(load_map(small, said.append).xy, fitted.xy)
    assert len(said) == 1
    assert "the map is not kept" in said[0]
    assert "No space left on device" in said[0]
    assert list((tmp_path / "soft-prompt-explorer").rglob("*.*")) == []


FIT_SLOWLY = """
import sys, time; sys.path.insert(0, "tests"); import planted; from explorer.analysis.map import store; from pathlib import Path
vocabulary = planted.vocabulary()
def fit(vocabulary, progress=None):
    print("fits", flush=True)
    time.sleep(float(sys.argv[1]))
    return store.VocabularyMap(vocabulary.searchable_ids, vocabulary.embedding[vocabulary.searchable, :2], vocabulary.fingerprint, 15, 0.1, 0)
store.fit_map = fit
print("reads", len(store.load_map(vocabulary, lambda said: print(said, flush=True)).xy))
"""


def test_what_another_process_fits_is_waited_for_and_what_a_killed_one_began_is_fitted_again(tmp_path):
    root = Path(__file__).resolve().parent.parent
    environment = os.environ | {"XDG_CACHE_HOME": str(tmp_path)}

    def started(seconds: str) -> subprocess.Popen:
        return subprocess.Popen(
            [sys.executable, "-c", FIT_SLOWLY, seconds],
            stdout=subprocess.PIPE,
            text=True,
            cwd=root,
            env=environment,
        )

    with started("1000") as killed:
        assert killed.stdout.readline() == "fits\n"
        with started("0") as waits:
            assert (
                waits.stdout.readline()
                == f"waiting for process {killed.pid}, which fits the map of planted\n"
            )
            killed.kill()
            assert waits.stdout.read().splitlines() == ["fits", "reads 395"], "the first one never ended"
    with started("1000") as third:
        assert third.stdout.read().splitlines() == ["reads 395"]
    assert [path.suffix for path in (tmp_path / "soft-prompt-explorer" / "maps").iterdir()] == [".npz"]


def test_a_prompt_its_labels_and_its_trajectory_on_the_map(vocabulary):
    ids = vocabulary.searchable_ids[::20]
    xy = np.random.default_rng(5).standard_normal((len(ids), 2)).astype(np.float32)
    drawn = VocabularyMap(ids, xy, vocabulary.fingerprint, 15, 0.1, 0)
    initial, final = vocabulary.embedding[ids[[3, 8]]], vocabulary.embedding[ids[[3, 9]]]
    prompt = planted.trained(initial, final)
    placed = place_prompt(prompt, vocabulary, drawn)
    np.testing.assert_array_equal(placed.xy, xy[[3, 9]])
    assert placed.names == (vocabulary.pieces[ids[3]], vocabulary.pieces[ids[9]])
    before = place_initial(prompt, vocabulary, drawn)
    np.testing.assert_array_equal(before.xy, xy[[3, 8]])
    assert (before.kind, before.prompt) == ("initial", prompt.name)
    steps, path = place_trajectory(prompt, vocabulary, drawn)
    assert steps.tolist() == [0, 100]
    np.testing.assert_array_equal(path, [xy[[3, 8]], xy[[3, 9]]])
    assert "before training" in map_figure(drawn, vocabulary, [before]).data[-1].hovertemplate
    begun = replace(prompt, trajectory=replace(prompt.trajectory, from_start=False))
    since = place_initial(begun, vocabulary, drawn)
    told = [trace.hovertemplate or "" for trace in map_figure(drawn, vocabulary, [since]).data]
    assert any("at step 0" in text for text in told)
    assert not any("before training" in text for text in told)
    assert "was nearest at step 0" in neighbor_changes(begun, vocabulary).conclusion
    assert "began" not in neighbor_changes(begun, vocabulary).conclusion
    assert "began nearest to" in neighbor_changes(prompt, vocabulary).conclusion
    labels = place_labels(["negative", "positive"], vocabulary, drawn)
    assert labels.names == ("negative", "positive")
    frame = labels.to_frame()
    assert list(frame.columns) == ["prompt", "kind", "position", "name", "x", "y", "trust", "group"]
    assert frame["kind"].unique().tolist() == ["label"]


def test_what_bad_calls_say(small, fitted):
    with pytest.raises(PromptError, match="vectors of width 3"):
        place(np.ones((2, 3)), small, fitted)
    with pytest.raises(ExplorerError, match="the map belongs to another vocabulary than planted"):
        place(np.ones((2, 24)), planted.vocabulary(width=24), fitted)
    with pytest.raises(
        PromptError, match=r"planted/prompt has no saved trajectory; expected trajectory.safetensors"
    ):
        place_trajectory(planted.prompt(np.ones((2, 24))), small, fitted)
    with pytest.raises(PromptError, match="no labels to place"):
        place_labels([], small, fitted)


def test_placing_imports_no_umap():
    program = (
        "import sys, numpy as np; sys.path.insert(0, 'tests'); import planted; from "
        "explorer.analysis.map.place import *;"
        "v = planted.vocabulary(); m = VocabularyMap(v.searchable_ids, v.embedding[v.searchable, "
        ":2], v.fingerprint, 15, 0.1, 0);"
        "place_prompt(planted.prompt(v.embedding[:3]), v, m); print([n for n in ('umap', 'numba', "
        "'sklearn', 'torch') if n in sys.modules])"
    )
    root = Path(__file__).resolve().parent.parent
    result = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, cwd=root
    )
    assert result.stdout.strip() == "[]"


def test_large_vocabularies_are_reduced_without_losing_their_neighbors(vocabulary):
    """Neighbors among the principal components are those of the whole space, most of them."""
    ids = vocabulary.searchable_ids[:2000]
    whole = unit(vocabulary.embedding[ids])
    _, true = nearest_among(whole, 15)
    reduced = principal(vocabulary, ids, 128)
    np.testing.assert_allclose(np.linalg.norm(reduced, axis=1), 1, rtol=1e-5)
    _, found = nearest_among(reduced, 15)
    recall = np.mean([np.isin(one, other).mean() for one, other in zip(true, found, strict=True)])
    assert recall > 0.7
    full = principal(vocabulary, ids, vocabulary.dimension)
    np.testing.assert_allclose(full @ full.T, whole @ whole.T, atol=1e-4)


def test_candidates_among_components_hold_the_neighbors(vocabulary, monkeypatch):
    """The neighbors of a large table are sought in two steps; nearly all are found, their distances are
    exact.
    """
    rows = unit(vocabulary.embedding[vocabulary.searchable_ids[:3000]])
    true_distances, true = nearest_among(rows, 15)
    monkeypatch.setattr(fit, "LARGEST_COMPARED", 1000)
    distances, found = nearest_among(rows, 15)
    assert np.mean([np.isin(one, other).mean() for one, other in zip(true, found, strict=True)]) > 0.97
    assert (found[:, 0] == np.arange(len(rows))).mean() > 0.999
    np.testing.assert_allclose(distances, 1 - np.einsum("nh,nkh->nk", rows, rows[found]), atol=2e-6)
    assert (distances >= true_distances - 2e-6).all()


def test_a_reduced_vocabulary_is_mapped_the_same_way(monkeypatch):
    rows = np.random.default_rng(0).standard_normal((300, 32)).astype(np.float32)
    rows[7] = rows[3]
    small = planted.from_rows(rows)
    monkeypatch.setattr(fit, "LARGEST_WHOLE", 100)
    monkeypatch.setattr(fit, "COMPONENTS", 8)
    said = []
    fitted = fit_map(small, n_neighbors=5, progress=said.append)
    assert "8 principal components" in said[0]
    assert len(fitted.token_ids) == len(small.searchable_ids) - 1


def test_forces_are_the_slopes_of_memberships_in_the_plane():
    """Pulling: the slope of log(1 / (1 + a d^2b)); pushing: that of log(1 - that), as UMAP's objective has
    them.
    """
    a, b = 1.577, 0.895
    pull, push = layout.forces(a, b)
    bins = np.arange(len(pull)) + ((127 + layout.SMALLEST_POWER) << layout.BINS_A_POWER)
    edges = (bins.astype(np.int32) << (23 - layout.BINS_A_POWER)).view(np.float32).astype(float)
    middle = np.sqrt(edges[:-1] * edges[1:])
    usual = (middle > 0.01) & (middle < 1e4)
    distance, small = np.sqrt(middle[usual]), 1e-6
    near = lambda d: 1 / (1 + a * d ** (2 * b))  # noqa: E731
    slope = (np.log(near(distance + small)) - np.log(near(distance - small))) / (2 * small)
    np.testing.assert_allclose(pull[:-1][usual] * distance, slope, rtol=0.01)
    apart = (np.log(1 - near(distance + small)) - np.log(1 - near(distance - small))) / (2 * small)
    np.testing.assert_allclose(
        push[:-1][usual] * distance * (0.001 + distance**2) / distance**2, apart, rtol=0.01
    )
