"""The map of a vocabulary beside umap-learn: fitting it, and placing 100 prompt tokens on a map that lies on
the disk.

Both run in turn, each in a process of its own, so that a busy machine slows both; the ratio of each pair is
what counts. umap-learn fits with cosine and a seed (so on one core, as its documents say; `--unseeded` lets
it use all) and places with `transform` from a pickled fit. Quality is taken on one sample: scikit-learn's
trustworthiness, the share of a row's 15 nearest that are among its 15 nearest on the map, and the same share
of the placed tokens. Usage: python benchmarks/map.py [--large] [--unseeded] [--repeat 3]
"""

import argparse
import json
import os
import pickle
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
LARGE = 32_128, 768
"""T5 base's shape"""
SAMPLE, NEAREST, TOKENS, LONGEST_FIT, SLOWEST_WARM = 4000, 15, 100, 0.6, 0.1
OURS, PEER = "explorer", "umap-learn"


def fit(who: str, folder: Path) -> None:
    """Fit twice in this process and print the seconds of each, imports in the first; keep the map, and
    umap-learn's fit as a pickle.
    """
    seconds = []
    for _ in range(2):
        started = time.perf_counter()
        if who == OURS:
            drawn = _fitted(folder)
        else:
            import numpy as np
            from umap import UMAP

            seed = None if (folder / "unseeded").exists() else 0
            drawn = UMAP(metric="cosine", random_state=seed).fit(np.load(folder / "rows.npy"))
        seconds.append(time.perf_counter() - started)
    if who == OURS:
        from explorer.analysis.map.store import save_map

        save_map(drawn, folder / "map.npz")
    else:
        import numpy as np

        np.save(folder / "umap.npy", drawn.embedding_)
        (folder / "umap.pickle").write_bytes(pickle.dumps(drawn))
    print(json.dumps(seconds))


def _fitted(folder: Path):
    from explorer.analysis.map.fit import fit_map

    return fit_map(_vocabulary(folder))


def _vocabulary(folder: Path):
    import numpy as np

    from explorer.vocabulary import Vocabulary

    rows = np.load(folder / "rows.npy")
    return Vocabulary(rows, tuple(map(str, range(len(rows)))), np.ones(len(rows), bool), "rows")


def put(who: str, folder: Path) -> None:
    """Place the tokens twice on the map that lies in the folder; print the seconds of the second time and
    keep the places.
    """
    import numpy as np

    tokens = np.load(folder / "tokens.npy")
    if who == OURS:
        from explorer.analysis.map.place import place
        from explorer.analysis.map.store import read_map

        vocabulary, drawn = _vocabulary(folder), read_map(folder / "map.npz")

        def placed() -> np.ndarray:
            return place(tokens, vocabulary, drawn).xy

    else:
        fitted = pickle.loads((folder / "umap.pickle").read_bytes())

        def placed() -> np.ndarray:
            return fitted.transform(tokens)

    xy = placed()
    if (folder / "first only").exists():
        return
    started = time.perf_counter()
    placed()
    print(json.dumps(time.perf_counter() - started))
    np.save(folder / f"{who}-placed.npy", xy)


def run(what: str, who: str, folder: Path) -> tuple[float, object]:
    """Seconds of one fresh process that does that, and what it printed. Raises CalledProcessError when it
    fails.
    """
    environment = os.environ | {"PYTHONPATH": str(ROOT), "PYTHONWARNINGS": "ignore"}
    started = time.perf_counter()
    done = subprocess.run(
        [sys.executable, __file__, "--child", what, who, str(folder)],
        check=True,
        capture_output=True,
        text=True,
        env=environment,
    )
    return time.perf_counter() - started, json.loads(done.stdout) if done.stdout else None


def prepare(folder: Path, large: bool) -> None:
    """The bundled vocabulary's rows of text; or a stand-in of T5 base's shape: its rows drawn again, jittered
    by half their spread, turned into the larger space, with a little noise there. Tokens are rows of it moved
    by their own spread.
    """
    import numpy as np

    from explorer.vocabulary import Vocabulary

    vocabulary, generator = Vocabulary.load(), np.random.default_rng(0)
    rows = vocabulary.embedding[vocabulary.searchable_ids]
    if large:
        count, width = LARGE
        spread = rows.std()
        rows = rows[generator.integers(0, len(rows), count)]
        rows = rows + 0.5 * spread * generator.standard_normal(rows.shape)
        turned = np.linalg.qr(generator.standard_normal((width, rows.shape[1])))[0].T
        rows = rows @ turned + 0.2 * spread * generator.standard_normal((count, width))
    rows = rows.astype(np.float32)
    near = rows[generator.choice(len(rows), TOKENS, replace=False)]
    np.save(folder / "rows.npy", np.unique(rows, axis=0))
    np.save(
        folder / "tokens.npy", (near + rows.std() * generator.standard_normal(near.shape)).astype(np.float32)
    )


def quality(folder: Path) -> dict[str, tuple[float, float, float]]:
    """For each: trustworthiness and the share of neighbors kept, of a sample of rows, and the share of the
    placed tokens' neighbors.
    """
    import faiss
    import numpy as np
    from sklearn.manifold import trustworthiness

    from explorer.analysis.vectors import unit

    rows, tokens = unit(np.load(folder / "rows.npy")), unit(np.load(folder / "tokens.npy"))
    sample = np.random.default_rng(0).choice(len(rows), SAMPLE, replace=False)
    with np.load(folder / "map.npz") as ours:
        maps = {OURS: ours["xy"], PEER: np.load(folder / "umap.npy")}

    def nearest(queries: np.ndarray, table: np.ndarray, index: faiss.Index, k: int) -> np.ndarray:
        index.add(np.ascontiguousarray(table))
        return index.search(np.ascontiguousarray(queries), k)[1]

    def share(queries: np.ndarray, drawn: np.ndarray, places: np.ndarray, own: int) -> float:
        true = nearest(queries, rows, faiss.IndexFlatIP(rows.shape[1]), NEAREST + own)[:, own:]
        center = places.mean(axis=0)
        found = nearest(drawn - center, places - center, faiss.IndexFlatL2(2), NEAREST + own)
        return float(np.mean([np.isin(one, other).mean() for one, other in zip(true, found, strict=True)]))

    return {
        who: (
            trustworthiness(rows[sample], xy[sample], n_neighbors=NEAREST, metric="cosine"),
            share(rows[sample], xy[sample], xy, 1),
            share(tokens, np.load(folder / f"{who}-placed.npy"), xy, 0),
        )
        for who, xy in maps.items()
    }


def told(name: str, ours: list[float], peer: list[float], upside_down: bool = False) -> float:
    """Print both medians and the ratio's median and range; return that median."""
    ratios = [theirs / own if upside_down else own / theirs for own, theirs in zip(ours, peer, strict=True)]
    ratio = statistics.median(ratios)
    print(
        f"{name}: {statistics.median(ours):.2f} s, {PEER} {statistics.median(peer):.2f} s; "
        f"{'times faster' if upside_down else 'ratio'} {ratio:.2f} ({min(ratios):.2f} to "
        f"{max(ratios):.2f}, {len(ratios)} pairs)"
    )
    return ratio


def recall(folder: Path) -> tuple[float, float]:
    """Share of the 15 nearest rows that are found by comparing candidates, as larger vocabularies are (T5
    base's is), and by comparing principal components alone, as the largest are (T5 XXL's is not, mT5 XXL's
    is).
    """
    import numpy as np

    from explorer.analysis.map import fit
    from explorer.analysis.vectors import unit

    vocabulary = _vocabulary(folder)
    rows, reduced = (
        unit(vocabulary.embedding),
        fit.principal(vocabulary, vocabulary.searchable_ids, fit.COMPONENTS),
    )

    def found(table: np.ndarray, largest_compared: int) -> np.ndarray:
        fit.LARGEST_COMPARED = largest_compared
        return fit.nearest_among(table, NEAREST + 1)[1][:, 1:]

    true, candidates, components = found(rows, 2**62), found(rows, 0), found(reduced, 2**62)
    return tuple(
        float(np.mean([np.isin(one, other).mean() for one, other in zip(true, some, strict=True)]))
        for some in (candidates, components)
    )


def main() -> None:
    """Measure and print; exit with 1 when a figure is worse than asked for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--large", action="store_true", help=f"rows of T5 base's shape, {LARGE[0]:,} x {LARGE[1]}"
    )
    parser.add_argument("--unseeded", action="store_true", help="umap-learn without a seed, on all cores")
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--child", nargs=3, help=argparse.SUPPRESS)
    options = parser.parse_args()
    sys.path.insert(0, str(ROOT))
    if options.child:
        what, who, folder = options.child
        return {"fit": fit, "put": put}[what](who, Path(folder))
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        prepare(folder, options.large)
        if options.unseeded:
            (folder / "unseeded").touch()
        fits = [(run("fit", OURS, folder)[1], run("fit", PEER, folder)[1]) for _ in range(options.repeat)]
        puts = [(run("put", OURS, folder)[1], run("put", PEER, folder)[1]) for _ in range(options.repeat)]
        (folder / "first only").touch()
        fresh = [
            (run("put", OURS, folder)[0], run("put", PEER, folder)[0]) for _ in range(options.repeat + 1)
        ][1:]
        marks, found = quality(folder), recall(folder)
        sizes = {path: (folder / path).stat().st_size / 2**20 for path in ("map.npz", "umap.pickle")}
    ratios = [
        told(
            f"fit, {('fresh process', 'again in it')[turn]}",
            *([pair[who][turn] for pair in fits] for who in (0, 1)),
        )
        for turn in (0, 1)
    ]
    faster = told(
        f"{TOKENS} tokens placed, fresh process",
        *([pair[who] for pair in fresh] for who in (0, 1)),
        upside_down=True,
    )
    told(f"{TOKENS} tokens placed, again in it", *([pair[who] for pair in puts] for who in (0, 1)))
    for who, (trust, kept, placed) in marks.items():
        print(
            f"{who}: trustworthiness {trust:.4f}; of the true {NEAREST} nearest, {kept:.3f} are near "
            f"on the map, {placed:.3f} for placed tokens"
        )
    print(f"on the disk: map.npz {sizes['map.npz']:.2f} MB, umap.pickle {sizes['umap.pickle']:.0f} MB")
    print(
        f"of the true {NEAREST} nearest rows, {found[0]:.4f} are found by comparing candidates, "
        f"{found[1]:.4f} on principal components alone"
    )
    worse = (
        max(ratios) > LONGEST_FIT or faster < 6 or statistics.median(pair[0] for pair in puts) > SLOWEST_WARM
    )
    sys.exit(worse or any(own < theirs - 0.005 for own, theirs in zip(marks[OURS], marks[PEER], strict=True)))


if __name__ == "__main__":
    main()
