"""How long a visitor waits for an answer that is known while another's null distribution is being made, in
one process as the dashboard is.

One thread asks for neighbors that are cached, again and again, and for their table; another makes the nulls
of coherence with 5,000 draws each, anew with every seed. Answers are asked for until all of these nulls are
there once. Shown is the longest, beside the same without the other thread. Fails beyond 0.3 s. Usage: python
benchmarks/waiting.py [--large] [--answers 50]
"""

import argparse
import os
import statistics
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

os.environ["OMP_WAIT_POLICY"] = "PASSIVE"  # as in the dashboard

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import numpy as np

from explorer.context import LocalLoader, Settings
from explorer.prompt import SoftPrompt
from explorer.session import Session
from explorer.vocabulary import Vocabulary

LARGE = 32_128, 768
"""T5 base's shape"""
DRAWS, TOKENS, K, LONGEST, BETWEEN = 5_000, 20, 10, 0.3, 0.1
"""… and seconds between two questions"""


class Random(LocalLoader):
    """A loader whose one vocabulary is a random table of made-up words, with a common offset and a falling
    spectrum.
    """

    def __init__(self) -> None:
        super().__init__()
        rows, width = LARGE
        spectrum = np.arange(1, width + 1) ** -0.4
        table = (np.random.default_rng(0).standard_normal(LARGE) * spectrum + 0.1).astype(np.float32)
        self._made = Vocabulary(
            table, tuple(f"▁word{number}" for number in range(rows)), np.ones(rows, bool), "random"
        )

    def vocabulary(self, model: str) -> Vocabulary:
        """The random one, whatever is asked for."""
        return self._made


def opened(large: bool) -> Session:
    """A prompt of random tokens with the bundled vocabulary, or with the random one."""
    loader = Random() if large else LocalLoader()
    vocabulary = loader.vocabulary("mini-t5")
    vectors = (
        np.random.default_rng(1).standard_normal((TOKENS, vocabulary.dimension)) * vocabulary.embedding.std()
    )
    return Session([SoftPrompt(vectors, "asked")], "mini-t5", Settings(k=K), loader)


def answers(
    session: Session, count: int, between: float, enough: Callable[[], bool] = lambda: True
) -> list[float]:
    """Seconds of each answer, at least `count` and until it is enough: a new session with the same settings,
    its neighbors and their table.
    """
    found: list[float] = []
    while len(found) < count or not enough():
        time.sleep(between)
        started = time.perf_counter()
        session.change().neighbors().to_frame()
        found.append(time.perf_counter() - started)
    return found


def main() -> None:
    """Measure and print; exit with 1 when an answer took too long."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--large",
        action="store_true",
        help=f"a random vocabulary of T5 base's shape, {LARGE[0]:,} x {LARGE[1]}",
    )
    parser.add_argument("--answers", type=int, default=50)
    options = parser.parse_args()
    session, done, made = opened(options.large), threading.Event(), list[float]()
    session.neighbors(), session.clusters()  # what is made once: the index, the covariance, word groups
    alone = answers(session, options.answers, 0)

    def nulls() -> None:
        seed = 1
        while not done.is_set():
            started = time.perf_counter()
            session.change(nulls=DRAWS, seed=seed).clusters()
            made.append(time.perf_counter() - started)
            seed += 1

    other = threading.Thread(target=nulls)
    other.start()
    beside = answers(session, options.answers, BETWEEN, lambda: bool(made))
    done.set()
    other.join()
    for name, seconds in (("alone", alone), (f"beside nulls of {DRAWS:,} draws", beside)):
        print(
            f"{name}: longest of {len(seconds)} answers {1000 * max(seconds):.0f} ms, median "
            f"{1000 * statistics.median(seconds):.1f} ms"
        )
    print(f"the nulls themselves: {statistics.median(made):.1f} s (median of {len(made)})")
    sys.exit(max(beside) > LONGEST)


if __name__ == "__main__":
    main()
