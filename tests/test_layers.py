"""The floors of the house: who may import whom, read from the source without running it."""

import ast
import re
import sys
from collections import defaultdict
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
FLOORS = (
    ("errors", "choices", "words"),
    ("system", "results"),
    ("prompt", "texts", "models"),
    ("vocabulary", "settings"),
    ("cached",),
    ("formats", "analysis", "context"),
    ("tuning", "evaluation"),
    ("readings", "figures"),
    ("session",),
    ("report",),
    ("cli", "dashboard"),
)
"""from the ground up; a module imports from its own floor and those below"""
FLOOR_OF = {part: floor for floor, parts in enumerate(FLOORS) for part in parts}
OUTSIDE = ("__init__", "__main__")
"""the public API and the entry point stand outside the floors"""
ACROSS = {
    ("explorer/cli/app.py", "dashboard"): "the command starts the pages",
    ("explorer/dashboard/panels/download.py", "cli"): "a bundle says the shell line that makes it again",
}
"""command line and dashboard know nothing of each other, but for these"""
LOADERS = ("explorer/context.py", "explorer/dashboard/cache.py")
"""where a loader is: nobody else decides which model reads a prompt"""
SUBJECTS = {
    *(
        "neighbors",
        "clusters",
        "decomposition",
        "labels",
        "map",
        "findings",
        "compare",
        "prompts",
        "words",
        "training",
    ),
    *("attribution", "domain_shift", "ensemble", "faithfulness", "predict", "shift"),
    *("report", "session", "settings", "tables", "errors"),
}
"""what a module may be named after in more than one part: a reading, a command, or what every part has of its
own
"""
HEAVY = {
    "torch",
    "transformers",
    "umap",
    "sklearn",
    "streamlit",
    "plotly",
    "datasets",
    "peft",
    "accelerate",
    "tokenizers",
    "huggingface_hub",
    "numba",
}
FLAG = re.compile(r"[\"'`( ]--[a-z]")
SHELL_LINE = re.compile(r"python -m explorer|prompt-explorer [a-z]")


def _sources() -> dict[str, Path]:
    """Part of the house (`analysis`, `cli`, …) and file of every module below `explorer`."""
    return {str(path.relative_to(ROOT)): path for path in sorted((ROOT / "explorer").rglob("*.py"))}


def _part(path: Path) -> str:
    """The first name below `explorer`: a package or a module."""
    return path.relative_to(ROOT / "explorer").with_suffix("").parts[0]


class _Imports(ast.NodeVisitor):
    """Every import of a module with whether it runs when the module is imported."""

    def __init__(self, path: Path):
        self.package = list(path.relative_to(ROOT).with_suffix("").parts[:-1])
        self.depth = 0
        self.found: list[tuple[str, bool, int]] = []
        """(dotted name, at module level, line)"""
        self.visit(ast.parse(path.read_text(encoding="utf-8")))

    def visit_FunctionDef(self, node: ast.FunctionDef) -> None:
        self.depth += 1
        self.generic_visit(node)
        self.depth -= 1

    visit_AsyncFunctionDef = visit_FunctionDef

    def visit_If(self, node: ast.If) -> None:
        if ast.unparse(node.test).endswith("TYPE_CHECKING"):  # for readers and checkers, never run
            for statement in node.orelse:
                self.visit(statement)
            return
        self.generic_visit(node)

    def visit_Import(self, node: ast.Import) -> None:
        self.found += [(alias.name, self.depth == 0, node.lineno) for alias in node.names]

    def visit_ImportFrom(self, node: ast.ImportFrom) -> None:
        base = self.package[: len(self.package) - node.level + 1] if node.level else []
        stem = ".".join([*base, *([node.module] if node.module else [])])
        self.found.append((stem, self.depth == 0, node.lineno))
        if stem == "explorer" or stem.startswith("explorer."):
            self.found += [(f"{stem}.{alias.name}", self.depth == 0, node.lineno) for alias in node.names]

    def visit_Call(self, node: ast.Call) -> None:
        """`import_module("…")` and `__import__("…")` with a plain name count as imports."""
        name = ast.unparse(node.func).split(".")[-1]
        if name in ("import_module", "__import__") and node.args and isinstance(node.args[0], ast.Constant):
            self.found.append((str(node.args[0].value), self.depth == 0, node.lineno))
        self.generic_visit(node)


def _imports(path: Path) -> list[tuple[str, bool, int]]:
    return _Imports(path).found


def _breaches(
    forbidden: set[str], inside: tuple[str, ...] | None = None, outside: tuple[str, ...] = ()
) -> list[str]:
    """Places that import a forbidden package, in the parts `inside` (all, if None) but not in the parts
    `outside`.
    """
    return [
        f"{name}:{line} imports {module}"
        for name, path in _sources().items()
        if (inside is None or _part(path) in inside) and _part(path) not in outside
        for module, _, line in _imports(path)
        if module.split(".")[0] in forbidden
    ]


def test_every_part_has_a_floor():
    unknown = {_part(path) for path in _sources().values()} - set(FLOOR_OF) - {*OUTSIDE}
    assert not unknown, f"give {unknown} a floor in FLOORS (and in ARCHITECTURE.md)"


def test_no_arrow_runs_back_up():
    above = [
        f"{name}:{line}: {_part(path)} imports {pieces[1]}, which is a floor above"
        for name, path in _sources().items()
        if _part(path) not in OUTSIDE
        for module, _, line in _imports(path)
        if (pieces := module.split("."))[0] == "explorer" and len(pieces) > 1 and pieces[1] in FLOOR_OF
        if FLOOR_OF[pieces[1]] > FLOOR_OF[_part(path)]
    ]
    assert not above


def _needed() -> dict[str, set[str]]:
    """By module of `explorer`: those it imports, early or late. A package that is only named on the way to a
    module of it is not counted.
    """
    known = {
        name.removesuffix(".py").replace("/", ".").removesuffix(".__init__"): path
        for name, path in _sources().items()
    }
    needed = {}
    for module, path in known.items():
        imports = [(name, line) for name, _, line in _imports(path) if name in known and name != module]
        needed[module] = {
            name
            for name, line in imports
            if not any(other.startswith(f"{name}.") and line == there for other, there in imports)
        }
    return needed


def test_no_circle_of_imports():
    """Not even by an import inside a function: what needs another is above it."""
    needed, done = _needed(), set()

    def follow(module: str, way: tuple[str, ...]) -> None:
        assert module not in way, f"a circle: {' → '.join((*way[way.index(module) :], module))}"
        if module not in done:
            for other in sorted(needed[module]):
                follow(other, (*way, module))
            done.add(module)

    for module in sorted(needed):
        follow(module, ())


def test_few_modules_lie_loose():
    loose = sorted(path.name for path in (ROOT / "explorer").glob("*.py"))
    assert len(loose) <= 10, f"find a room for some of {', '.join(loose)}"


def test_analysis_knows_no_model_and_no_screen():
    assert not _breaches({"torch", "transformers", "streamlit", "plotly", "peft"}, inside=("analysis",))


def test_streamlit_lives_in_the_dashboard_only():
    assert not _breaches({"streamlit"}, outside=("dashboard",))


def test_plotly_lives_in_figures_only():
    assert not _breaches({"plotly"}, outside=("figures",))


def test_of_analysis_only_kept_maps_know_files():
    for name, path in _sources().items():
        if _part(path) == "analysis" and name != "explorer/analysis/map/store.py":
            assert not any(module.startswith("explorer.system.files") for module, _, _ in _imports(path)), (
                f"{name} imports explorer.system.files"
            )
            assert "open(" not in path.read_text(encoding="utf-8"), f"{name} opens a file"


def test_nothing_imports_the_command_line_or_the_dashboard():
    for name, path in _sources().items():
        for module, _, line in _imports(path):
            pieces = module.split(".")
            if pieces[0] == "explorer" and len(pieces) > 1 and pieces[1] in ("cli", "dashboard"):
                assert _part(path) in (pieces[1], "__main__") or (name, pieces[1]) in ACROSS, (
                    f"{name}:{line} imports {module}"
                )


def _told(pattern: re.Pattern, outside: tuple[str, ...]) -> list[str]:
    """Lines that match, of modules that are not in the parts `outside`."""
    return [
        f"{name}:{number}: {line.strip()[:100]}"
        for name, path in _sources().items()
        if _part(path) not in outside
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1)
        if pattern.search(line)
    ]


def test_no_flag_is_known_outside_the_command_line():
    """A message says what to do in words that fit page, shell and Python; the command line adds its flag."""
    assert not _told(FLAG, outside=("cli",))


def test_no_shell_line_is_written_below_the_command_line():
    assert not _told(SHELL_LINE, outside=("cli", "dashboard", "__main__"))


def test_only_loaders_load_models_and_vocabularies():
    found = [
        f"{name}:{node.lineno}: {ast.unparse(node)}"
        for name, path in _sources().items()
        if name not in LOADERS
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Attribute)
        and node.attr == "load"
        and ast.unparse(node.value).split(".")[-1] in ("Vocabulary", "FrozenT5")
    ]
    assert not found


def test_one_name_has_one_meaning():
    """A module's name in two parts is of one subject; in one part it is there once."""
    places = defaultdict(list)
    for name, path in _sources().items():
        stem = path.parent.name if path.name == "__init__.py" else path.stem
        if path.stem != "__main__" and _part(path) not in ("__init__",):
            places[stem].append(name)
    declared = {path.stem for name, path in _sources().items() if name.startswith("explorer/readings/")}
    found = {
        stem: names for stem, names in places.items() if len(names) > 1 and stem not in SUBJECTS | declared
    }
    assert not found
    unused = {subject for subject in SUBJECTS if len(places[subject]) < 2}
    assert not unused, f"{unused} are names of one module each: take them off the list"


def test_pages_are_never_imported():
    for name, path in _sources().items():
        for module, _, line in _imports(path):
            assert not module.startswith("explorer.dashboard.pages"), f"{name}:{line} imports {module}"


LAZY = (
    *OUTSIDE,
    *(part for floor in FLOORS[:2] for part in floor),
    "prompt",
    "texts",
    "vocabulary",
    "formats",
    "analysis",
    "context",
    "readings",
    "session",
    "report",
    "cli",
)
"""parts that help texts, `neighbors` and the first page import: they come up without anything heavy"""


def test_heavy_imports_happen_where_they_are_needed():
    found = [
        f"{name}:{line} imports {module} at module level"
        for name, path in _sources().items()
        if _part(path) in LAZY
        for module, at_module_level, line in _imports(path)
        if at_module_level and module.split(".")[0] in HEAVY
    ]
    assert not found


def test_the_command_line_imports_only_the_standard_library_typer_and_its_own_at_module_level():
    allowed = (
        "explorer.cli",
        "explorer.errors",
        "explorer.choices",
        "explorer.readings",
        "explorer.settings",
        "explorer.system.files",
        "explorer.words.wording",
    )
    for name, path in _sources().items():
        if _part(path) not in ("cli", "__main__"):
            continue
        for module, at_module_level, line in _imports(path):
            first = module.split(".")[0]
            fine = (
                first in sys.stdlib_module_names
                or first == "typer"
                or module == "explorer"
                or module.startswith(allowed)
            )
            assert fine or not at_module_level, (
                f"{name}:{line} imports {module} at module level: --help would pay for it"
            )


def test_the_rules_find_what_they_are_there_to_find(tmp_path, monkeypatch):
    """The rules above hold because nothing breaks them, not because the walk sees nothing."""
    package = tmp_path / "explorer" / "analysis"
    package.mkdir(parents=True)
    (package / "planted.py").write_text(
        "import torch\n"
        "from typing import TYPE_CHECKING\n"
        "if TYPE_CHECKING:\n    import plotly\n"
        "from ..cli import output\n"
        "from explorer.system import files\n"
        "from explorer.models.encoder_decoder import FrozenT5\n"
        "MESSAGE = 'give it with --model, as in `python -m explorer map`'\n"
        "def late():\n    import umap\n    import_module('streamlit')\n    return FrozenT5.load()\n"
    )
    (package / "formats.py").write_text("")
    (tmp_path / "explorer" / "formats").mkdir()
    (tmp_path / "explorer" / "formats" / "__init__.py").write_text("")
    monkeypatch.setattr(sys.modules[__name__], "ROOT", tmp_path)
    found = {(module, level) for module, level, _ in _imports(package / "planted.py")}
    assert {
        ("torch", True),
        ("umap", False),
        ("streamlit", False),
        ("explorer.cli", True),
        ("explorer.cli.output", True),
    } <= found
    assert not any(module == "plotly" for module, _ in found)
    for rule in (
        test_analysis_knows_no_model_and_no_screen,
        test_streamlit_lives_in_the_dashboard_only,
        test_nothing_imports_the_command_line_or_the_dashboard,
        test_of_analysis_only_kept_maps_know_files,
        test_no_flag_is_known_outside_the_command_line,
        test_no_shell_line_is_written_below_the_command_line,
        test_only_loaders_load_models_and_vocabularies,
        test_one_name_has_one_meaning,
        test_heavy_imports_happen_where_they_are_needed,
    ):
        with pytest.raises(AssertionError):
            rule()
    with pytest.raises(AssertionError, match="a floor above"):
        test_no_arrow_runs_back_up()
