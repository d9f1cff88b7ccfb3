"""What the documents tell people to type exists and prints what they show; what exists is documented; the
help says what the code does.
"""

import contextlib
import importlib.util
import io
import os
import re
import shlex
import subprocess
import sys
from dataclasses import fields
from pathlib import Path
from typing import get_args

import pytest
import typer
import typer.exceptions
import typer.main
from typer.core import TyperCommand, TyperGroup, TyperOption
from typer.testing import CliRunner

from explorer.choices import INITIALIZATIONS, METRICS, PromptFormat
from explorer.cli import COMMANDS, app
from explorer.tuning.settings import TuningConfig
from research.pretraining.__main__ import main as pretrain
from research.pretraining.preparation import PretrainingConfig

ROOT = Path(__file__).resolve().parent.parent
README = ROOT / "README.md"
DOCUMENTS = sorted(
    [*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), *ROOT.glob("checkpoints/*.md"), *ROOT.glob("examples/*.md")]
)
START = re.compile(r"(?<![\w-])(?:prompt-explorer|-m explorer|-m research\.pretraining)(?![\w\[-])")
FILES = re.compile(
    r"(?<![\w/.<-])(?:explorer|research|benchmarks|examples|tests|docs|checkpoints|\.ci|\.streamlit)/[\w./*-]*\w/?"
)


@pytest.fixture(scope="module")
def cli() -> TyperGroup:
    """All commands."""
    return typer.main.get_command(app)


@pytest.fixture(scope="module")
def pretraining() -> TyperCommand:
    """`python -m research.pretraining`."""
    made = typer.Typer()
    made.command()(pretrain)
    return typer.main.get_command(made)


def _commands(text: str) -> list[tuple[str, str]]:
    """Everything a document says to type, from code blocks and from `code` in a line: the program, and what
    follows it.
    """
    joined = re.sub(r"\s*\\\n\s*", " ", text)
    blocks = [
        content
        for language, content in re.findall(r"```([^\n]*)\n(.*?)```", joined, re.DOTALL)
        if language != "python"
    ]
    inline = re.findall(r"(?<!`)`([^`\n]+)`(?!`)", re.sub(r"```.*?```", "", joined, flags=re.DOTALL))
    lines = [re.sub(r"(^|\s)#\s.*", "", line) for block in blocks for line in block.splitlines()] + inline
    return [
        (match[0], line[match.end() :].strip()) for line in lines for match in [START.search(line)] if match
    ]


def _words(command: str) -> list[str]:
    """A command line cut into words, without comments, pipes and what follows them."""
    words = shlex.split(command.replace("…", " "), comments=True)
    ends = [n for n, word in enumerate(words) if word in ("|", ">", ">>", "&&", ";", "&", "||", "2>")]
    return words[: ends[0]] if ends else words


def _complaint(program: str, command: str, cli: TyperGroup, pretraining: TyperCommand) -> str | None:
    """What the command line's own parser says against a command, if anything. A command that is only named is
    not parsed.
    """
    words = _words(command)
    if "pretraining" in program:
        return _parsed(pretraining, "pretraining", words) if words else None
    if not words or words[0].startswith("--version") or re.fullmatch(r"[A-Z]+", words[0]):
        return None
    if words[0] not in cli.commands:
        return f"there is no command {words[0]}"
    return _parsed(cli.commands[words[0]], words[0], words[1:]) if words[1:] else None


def _parsed(command: TyperCommand, name: str, words: list[str]) -> str | None:
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            command.make_context(name, list(words))
    except typer.Exit:  # --help
        return None
    except typer.exceptions.TyperException as error:
        return str(error)
    return None


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_command_line_in_the_documents_is_understood(document, cli, pretraining):
    commands = _commands(document.read_text(encoding="utf-8"))
    wrong = [
        f"{command!r}: {complaint}"
        for program, command in commands
        if (complaint := _complaint(program, command, cli, pretraining))
    ]
    assert not wrong


def test_the_check_of_documents_finds_what_is_wrong(cli, pretraining):
    text = (
        "```bash\n$ python -m explorer neighbors a \\\n   --metric cosine -k 5 | head  # --nonsense\n```\n"
        "or `prompt-explorer evaluat a`, `prompt-explorer map a --svg`, `python -m explorer convert "
        "a b --to=colour` (`python -m explorer …`), "
        "`prompt-explorer evaluate a`, `accelerate launch -m explorer train --steps few`, `pip "
        "install soft-prompt-explorer[t5x]`, "
        "`python -m research.pretraining --corpus a --size 3`"
    )
    commands = _commands(text)
    assert commands[0] == ("-m explorer", "neighbors a --metric cosine -k 5 | head")
    complaints = [_complaint(*command, cli, pretraining) for command in commands]
    expected = (
        None,
        "no command evaluat",
        "--svg",
        "'colour' is not one of",
        None,
        "data",
        "valid integer",
        "--size",
    )
    for complaint, part in zip(complaints, expected, strict=True):
        assert (complaint is None) if part is None else (complaint is not None and part in complaint), (
            complaint,
            part,
        )


def test_the_documents_name_every_command():
    text = "\n".join(path.read_text(encoding="utf-8") for path in DOCUMENTS if path.name != "CHANGELOG.md")
    typed = {
        words[0]
        for program, command in _commands(text)
        if "pretraining" not in program and (words := _words(command))
    }
    assert set(COMMANDS) <= typed


def _anchors(text: str) -> set[str]:
    """What headings can be linked by."""
    headings = re.findall(r"^#+ (.+)$", re.sub(r"```.*?```", "", text, flags=re.DOTALL), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_what_the_documents_link_to_exists(document):
    missing = []
    for link in re.findall(r"\]\(([^)\s]+)\)", document.read_text(encoding="utf-8")):
        path, _, anchor = link.partition("#")
        target = document.parent / path if path else document
        if "://" not in link and not (
            target.exists() and (not anchor or anchor in _anchors(target.read_text(encoding="utf-8")))
        ):
            missing.append(link)
    assert not missing


@pytest.mark.parametrize(
    "document",
    [path for path in DOCUMENTS if path.name != "CHANGELOG.md"],
    ids=lambda path: str(path.relative_to(ROOT)),
)
def test_the_documents_name_no_missing_file(document):
    """A path is looked for at the repository root, in the installed package, and beside the document."""
    text = document.read_text(encoding="utf-8")
    named = {match.rstrip("/.") for match in FILES.findall(text)}
    named -= {"explorer/bundled"}  # in the wheel only
    missing = [name for name in sorted(named) if not [*ROOT.glob(name), *document.parent.glob(name)]]
    assert not missing


@pytest.mark.parametrize("document", ["ARCHITECTURE.md", "docs/method.md"])
def test_modules_that_are_named_without_the_package_exist(document):
    text = (ROOT / document).read_text(encoding="utf-8")
    parts = {path.name for path in (ROOT / "explorer").iterdir() if path.is_dir()}
    named = {name for name in re.findall(r"`([a-z_]+/[\w/]*(?:\.py)?)`", text) if name.split("/")[0] in parts}
    assert len(named) > 10
    assert not [name for name in sorted(named) if not (ROOT / "explorer" / name).exists()]


def test_readme_is_short_and_shows_the_two_commands():
    text = README.read_text(encoding="utf-8")
    assert len(text.splitlines()) <= 120
    for command in (
        "pip install -r requirements.txt && streamlit run app.py",
        "pip install -r requirements-dev.txt && pytest",
    ):
        assert f"\n{command}\n" in text
    assert len((ROOT / "ARCHITECTURE.md").read_text(encoding="utf-8").splitlines()) <= 120


def test_the_first_lines_a_peft_user_sees_are_theirs():
    first = next(
        block for block in re.findall(r"```sh\n(.*?)```", README.read_text(encoding="utf-8"), re.DOTALL)
    )
    assert "my-adapter --model" in first
    assert "--labels" in first
    assert len(first.splitlines()) == 3


def _outputs():
    """The script that makes README's outputs again, which is not part of a package."""
    spec = importlib.util.spec_from_file_location("outputs", ROOT / "docs" / "outputs.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.slow
def test_readme_shows_what_its_commands_print(monkeypatch):
    """The same words; the same numbers to two hundredths, since processors round differently."""
    outputs, text = _outputs(), README.read_text(encoding="utf-8")
    monkeypatch.chdir(ROOT)
    monkeypatch.setenv("COLUMNS", str(outputs.WIDTH))
    shown, made = (
        outputs.BLOCK.findall(one)[0][1]
        for one in (text, outputs.remade(text, lambda arguments: CliRunner().invoke(app, arguments).stdout))
    )
    number = re.compile(r"-?\d+\.\d+")
    assert number.sub("0", re.sub(r" +", " ", shown)) == number.sub("0", re.sub(r" +", " ", made)), (
        "python docs/outputs.py makes the outputs again"
    )
    assert [float(value) for value in number.findall(shown)] == pytest.approx(
        [float(value) for value in number.findall(made)], abs=0.02
    )
    assert max(len(line) for line in made.splitlines() if not line.startswith(("#", "$"))) <= outputs.WIDTH


def test_the_site_is_built_without_a_warning_or_the_network(tmp_path):
    command = [sys.executable, "-m", "mkdocs", "build", "--quiet", "--strict", "--site-dir", str(tmp_path)]
    done = subprocess.run(
        command,
        capture_output=True,
        text=True,
        cwd=ROOT,
        timeout=120,
        env={**os.environ, "NO_MKDOCS_2_WARNING": "1"},
    )
    assert done.returncode == 0, done.stderr[-2000:]
    pages = sorted(tmp_path.glob("*.html"))
    assert {page.stem for page in pages} >= {path.stem for path in ROOT.glob("docs/*.md")}
    loaded = {
        link
        for page in pages
        for link in re.findall(
            r'<(?:script|img|link)[^>]+(?:src|href)="(https?://[^"]+)"', page.read_text(encoding="utf-8")
        )
    }
    assert not loaded, "a page loads something from elsewhere"


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_and_option_says_what_it_does(name, cli):
    command = cli.commands[name]
    assert (command.help or "").strip().endswith(".")
    silent = [
        parameter.opts
        for parameter in command.params
        if parameter.name != "help" and not (getattr(parameter, "help", None) or "").strip().endswith(".")
    ]
    assert not silent


def _option(command: TyperCommand, name: str) -> TyperOption:
    return next(parameter for parameter in command.params if name in parameter.opts)


@pytest.mark.parametrize(
    ("line", "choices"),
    [
        ("neighbors a --metric", METRICS),
        ("convert a b --to", get_args(PromptFormat)),
    ],
)
def test_choices_of_the_command_line_are_those_of_the_code(line, choices, cli):
    name, *words = line.split()
    assert [_parsed(cli.commands[name], name, [*words, choice]) for choice in choices] == [None] * len(
        choices
    )
    refused = _parsed(cli.commands[name], name, [*words, "nonsense"])
    assert all(f"'{choice}'" in refused for choice in choices), refused


def test_the_help_names_every_initialization(cli):
    assert all(name in _option(cli.commands["train"], "--init").help for name in INITIALIZATIONS)


@pytest.mark.parametrize(
    "field", ["steps", "schedule", "patience", "saved_points", "batch_size", "evaluate_every", "dev_examples"]
)
def test_train_has_the_defaults_of_the_code(field, cli):
    assert (
        _option(cli.commands["train"], "--" + field.replace("_", "-")).default
        == {f.name: f.default for f in fields(TuningConfig)}[field]
    )


def test_train_has_the_usual_length_and_rate_of_the_code(cli):
    assert _option(cli.commands["train"], "--length").default == str(TuningConfig.length)
    assert f"Default: {TuningConfig.learning_rate}," in _option(cli.commands["train"], "--lr").help


def test_pretraining_has_the_defaults_of_the_code(pretraining):
    defaults = {field.name: field.default for field in fields(PretrainingConfig)}
    found = {
        parameter.name: parameter.default for parameter in pretraining.params if parameter.name in defaults
    }
    assert len(found) > 10
    assert {
        name: default for name, default in found.items() if name not in ("probe", "trial", "supervised")
    } == {name: defaults[name] for name in found if name not in ("probe", "trial", "supervised")}


def test_tables_in_documents_are_what_was_measured():
    from research import tables
    from research.documents import TABLE, filled

    shown = (ROOT / "checkpoints" / "README.md").read_text()
    assert filled(shown, lambda module: {"research.tables": tables.tables()}[module]) == shown
    assert {name for _, module, name, *_ in TABLE.findall(shown) if module == "research.tables"} >= {
        "prompts",
        "ensembles",
        "domain shift",
    }


def test_a_marked_table_is_replaced_and_nothing_else():
    from research.documents import filled

    text = "before\n\n<!-- research.tables: prompts -->\n\nold\ntable\n\n<!-- end -->\n\nafter\n"
    assert filled(text, lambda module: {"prompts": f"new of {module}"}) == text.replace(
        "old\ntable", "new of research.tables"
    )
    with pytest.raises(KeyError):
        filled(text, lambda module: {})
