"""Mutation tests: plants one small fault after the other, and counts those that the default suite sees.

Faults are those of cosmic-ray (another operator, another comparison, a number more or less, a condition
turned round, a loop left out, …), one for each of a seeded sample of places in the code that numbers come
from. For each the test files that import the faulty module run, as `pytest` runs them; so the share that is
killed is a lower bound for the whole suite. A fault is killed by a failure, an error or a test that does not
end.
"""

import argparse
import ast
import os
import random
import re
import shutil
import signal
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
TARGETS = (
    "explorer/analysis/**/*.py",
    "explorer/evaluation/**/*.py",
    "explorer/formats/peft.py",
    "explorer/tuning/loop.py",
    "explorer/models/label_pieces.py",
    "explorer/cli/output.py",
    "explorer/dashboard/tables.py",
)
LEFT_BEHIND = (".git", "__pycache__", "checkpoints", "out", "site", ".mypy_cache", ".ruff_cache", ".venv")
ABOUT_EVERYTHING = ("test_layers", "test_dashboard")
LONGEST = 300
"""seconds of processor time after which a run of tests does not end"""


@dataclass(frozen=True, order=True)
class Place:
    """Where a kind of fault can be planted."""

    file: str
    line: int
    column: int
    kind: str


@dataclass(frozen=True)
class Mutant:
    """One fault: the operator of cosmic-ray, and to which of its occurrences in the file it is applied."""

    place: Place
    operator: str
    occurrence: int


def found_mutants(file: Path) -> Iterator[Mutant]:
    """Every fault that can be planted in a file; annotations are no code."""
    from cosmic_ray.ast import ast_nodes, get_ast_from_path
    from cosmic_ray.plugins import get_operator, operator_names

    nodes, unread = list(ast_nodes(get_ast_from_path(file))), _annotations(file)
    name = str(file.relative_to(ROOT))
    for operator in operator_names():
        if get_operator(operator).arguments():
            continue
        plants = get_operator(operator)()
        positions = (start for node in nodes for start, _ in plants.mutation_positions(node))
        for occurrence, (line, column) in enumerate(positions):
            if not any(start <= (line, column) < end for start, end in unread):
                kind = operator.rpartition("/")[2].partition("_")[0]
                yield Mutant(Place(name, line, column, kind), operator, occurrence)


def _annotations(file: Path) -> list[tuple[tuple[int, int], tuple[int, int]]]:
    """From where to where annotations, and what only the type checker imports, stand."""
    spans: list[ast.AST] = []
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        parts = getattr(node, "annotation", None), getattr(node, "returns", None)
        spans += [part for part in parts if part]
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            spans.append(node)
    return [((span.lineno, span.col_offset), (span.end_lineno, span.end_col_offset)) for span in spans]


def sampled(count: int, seed: int, only: str) -> list[Mutant]:
    """Faults at as many places, drawn by a seed: each place once, whatever number of faults it can hold."""
    at: dict[Place, list[Mutant]] = {}
    for pattern in TARGETS:
        for file in sorted(ROOT.glob(pattern)):
            if re.search(only, str(file)):
                for mutant in found_mutants(file):
                    at.setdefault(mutant.place, []).append(mutant)
    draw = random.Random(seed)
    places = draw.sample(sorted(at), min(count, len(at)))
    print(f"{len(places)} of {len(at):,} places, seed {seed}", flush=True)
    return [draw.choice(at[place]) for place in places]


def tests_of(file: str) -> tuple[str, ...]:
    """The test files that import a module, its own and small ones first: the first failure ends a run."""
    module = file.removesuffix(".py").removesuffix("/__init__").replace("/", ".")
    package, _, name = module.rpartition(".")
    named = re.compile(rf"{re.escape(module)}\b|from {re.escape(package)} import [^\n]*\b{name}\b")
    tests = sorted(
        (ROOT / "tests").glob("test_*.py"), key=lambda path: (name not in path.stem, path.stat().st_size)
    )
    return tuple(
        str(path.relative_to(ROOT))
        for path in tests
        if path.stem not in ("test_layers", "test_dashboard")
        and named.search(path.read_text(encoding="utf-8"))
    ) or ("tests/test_session.py",)


def outcome(folder: Path, tests: tuple[str, ...]) -> str:
    """What pytest says of some files, in a process of its own that has the libraries already."""
    if (child := os.fork()) == 0:
        try:
            os._exit(_run(folder, tests))
        finally:  # nothing of this process is the child's to tidy up
            traceback.print_exc()
            os._exit(3)
    begun = time.monotonic()
    while True:
        ended, status = os.waitpid(child, os.WNOHANG)
        if ended:
            code = os.waitstatus_to_exitcode(status)
            return {0: "survived", 5: "no tests"}.get(code, "killed" if code > 0 else "did not end")
        if time.monotonic() - begun > 10 * LONGEST:  # it waits for something
            os.killpg(child, signal.SIGKILL)
        time.sleep(0.05)


def _run(folder: Path, tests: tuple[str, ...]) -> int:
    import resource

    import pytest

    os.setsid()
    resource.setrlimit(resource.RLIMIT_CPU, (LONGEST, LONGEST))
    os.chdir(folder)
    sys.path.insert(0, str(folder))
    with open(folder.parent / "said", "w") as said:
        os.dup2(said.fileno(), 1)
        os.dup2(said.fileno(), 2)
        quiet = "ignore::pytest.PytestAssertRewriteWarning"  # of libraries that are here already
        return int(pytest.main(["-x", "-n", "0", "-p", "no:cacheprovider", "-W", quiet, *tests]))


def libraries() -> None:
    """What every run of tests imports; the project itself is imported by each run anew."""
    import faiss  # noqa: F401
    import pandas  # noqa: F401
    import plotly.graph_objects  # noqa: F401
    import scipy.stats  # noqa: F401
    import sklearn.metrics  # noqa: F401
    import streamlit.testing.v1  # noqa: F401
    import torch  # noqa: F401
    import transformers  # noqa: F401


def main() -> None:
    """Prints each fault with what became of it, and the share that was killed."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--count", type=int, default=300)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", default="", help="part of a path: faults in these files alone")
    asked = parser.parse_args()
    mutants = sampled(asked.count, asked.seed, asked.only)
    os.nice(10)
    sys.dont_write_bytecode = True
    libraries()
    counted: Counter[str] = Counter()
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch) / "tree"
        shutil.copytree(ROOT, folder, ignore=shutil.ignore_patterns(*LEFT_BEHIND))
        (folder / "checkpoints").symlink_to(ROOT / "checkpoints")
        sound: dict[tuple[str, ...], str] = {}
        for number, mutant in enumerate(mutants, start=1):
            tests = tests_of(mutant.place.file)
            if tests not in sound:
                sound[tests] = outcome(folder, tests)
            if sound[tests] != "survived":
                said = (Path(scratch) / "said").read_text(encoding="utf-8", errors="replace")
                raise SystemExit(f"{said[-2000:]}\n{' '.join(tests)}: {sound[tests]} without any fault")
            became = planted(folder, mutant, tests)
            counted[became] += 1
            print(f"{number:4} {became:11} {_said(mutant)}", flush=True)
    killed = len(mutants) - counted["survived"]
    print(f"{killed} of {len(mutants)} killed ({killed / len(mutants):.0%}), seed {asked.seed}")


def planted(folder: Path, mutant: Mutant, tests: tuple[str, ...]) -> str:
    """What the tests say of a tree with this fault."""
    from cosmic_ray.mutating import mutate_code
    from cosmic_ray.plugins import get_operator

    file = folder / mutant.place.file
    whole = file.read_text(encoding="utf-8")
    faulty = mutate_code(whole, get_operator(mutant.operator)(), mutant.occurrence)
    try:
        file.write_text(faulty, encoding="utf-8")
        return outcome(folder, tests)
    finally:
        file.write_text(whole, encoding="utf-8")


def _said(mutant: Mutant) -> str:
    line = (ROOT / mutant.place.file).read_text(encoding="utf-8").splitlines()[mutant.place.line - 1]
    where = f"{mutant.place.file}:{mutant.place.line}:{mutant.place.column}"
    return f"{where} {mutant.operator.removeprefix('core/')} | {line.strip()}"


if __name__ == "__main__":
    main()
