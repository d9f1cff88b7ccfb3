"""What the documents tell people to type exists; what exists is documented; the help says what the code does."""

import re
import shlex
from dataclasses import fields
from functools import cache
from pathlib import Path
from typing import Literal, get_args, get_origin, get_type_hints

import pytest
import typer.main

from explorer.cli import COMMANDS, app, making, options

ROOT = Path(__file__).resolve().parent.parent
DOCUMENTS = [path for path in [*sorted(ROOT.glob("*.md")), ROOT / "checkpoints" / "README.md", ROOT / "examples" / "README.md"] if path.is_file()]
START = re.compile(r"python3? -m explorer\b")


@cache
def _cli() -> dict[str, dict[str, object]]:
    """Command -> option as typed (`--metric`, `-k`) -> parameter."""
    group = typer.main.get_command(app)
    return {name: {text: p for p in command.params for text in [*p.opts, *p.secondary_opts]} for name, command in group.commands.items()}


def _commands(text: str) -> list[str]:
    """Everything a document says to type after `python -m explorer`, from code blocks and from `code` in a line."""
    joined = re.sub(r"\s*\\\n\s*", " ", text)
    blocks = re.findall(r"```[^\n]*\n(.*?)```", joined, re.DOTALL)
    inline = re.findall(r"(?<!`)`([^`\n]+)`(?!`)", re.sub(r"```.*?```", "", joined, flags=re.DOTALL))
    lines = [line for block in blocks for line in block.splitlines()] + inline
    return [line[match.end() :].strip() for line in lines for match in [START.search(line)] if match]


def _words(command: str) -> list[str]:
    """A command line cut into words, without comments, pipes and what follows them."""
    words = shlex.split(command.replace("…", " "), comments=True)
    ends = [n for n, word in enumerate(words) if word in ("|", ">", ">>", "&&", ";", "&", "||", "2>")]
    return words[: ends[0]] if ends else words


def _complaint(command: str) -> str | None:
    """What is wrong with a command line, if anything."""
    words = _words(command)
    if not words or not re.match(r"\w", words[0]):
        return None
    if words[0] not in _cli():
        return f"there is no command {words[0]}"
    known = _cli()[words[0]]
    for n, word in enumerate(words[1:], start=1):
        name, _, value = word.partition("=")
        if not re.fullmatch(r"--?[a-zA-Z][\w-]*", name):
            continue
        if name not in {*known, "--help", "-h"}:
            return f"{words[0]} has no option {name}"
        kind = get_type_hints(COMMANDS[words[0]]).get(known[name].name) if name in known else None
        choices = get_args(kind) if get_origin(kind) is Literal else ()
        given = value or (words[n + 1] if n + 1 < len(words) else "")
        if choices and given not in choices and "|" not in given:
            return f"{words[0]} {name} takes {', '.join(map(str, choices))}, not {given}"
    return None


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_command_line_in_the_documents_exists(document):
    wrong = [f"{command!r}: {complaint}" for command in _commands(document.read_text(encoding="utf-8")) if (complaint := _complaint(command))]
    assert not wrong


def test_the_check_of_documents_finds_what_is_wrong():
    text = (
        "```bash\n$ python -m explorer neighbors a \\\n   --metric cosine -k 5 | head  # --nonsense\n```\n"
        "or `python -m explorer evaluat a`, `python -m explorer map a --svg`, `python -m explorer compare a b --by=colour` (`python -m explorer …`)"
    )
    commands = _commands(text)
    assert commands[0] == "neighbors a --metric cosine -k 5 | head  # --nonsense"
    assert [_complaint(command) for command in commands] == [
        None,
        "there is no command evaluat",
        "map has no option --svg",
        "compare --by takes initialization, task, length, prompt, not colour",
        None,
    ]


@pytest.mark.skipif(not (ROOT / "README.md").is_file(), reason="README.md is not there yet")
def test_the_documents_name_every_command():
    text = "\n".join(path.read_text(encoding="utf-8") for path in DOCUMENTS if path.name != "CHANGELOG.md")
    typed = {words[0] for command in _commands(text) if (words := _words(command))}
    missing = set(COMMANDS) - typed
    assert not missing


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_what_the_documents_link_to_exists(document):
    links = re.findall(r"\]\(([^)\s]+)\)", document.read_text(encoding="utf-8"))
    missing = [link for link in links if "://" not in link and not (document.parent / link.partition("#")[0]).exists()]
    assert not missing


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_and_option_says_what_it_does(name):
    command = typer.main.get_command(app).commands[name]
    assert (command.help or "").strip().endswith(".")
    silent = [parameter.opts for parameter in command.params if parameter.name != "help" and not (getattr(parameter, "help", None) or "").strip().endswith(".")]
    assert not silent


def _default(command: str, option: str) -> object:
    return _cli()[command][option].default


def test_choices_in_the_help_are_those_of_the_code():
    from explorer.choices import INITIALIZATIONS, METRICS

    assert get_args(options.Metric) == METRICS
    assert get_args(making.Initialization) == INITIALIZATIONS
    assert all(name in _cli()["train"]["--init"].help for name in INITIALIZATIONS)


@pytest.mark.parametrize(
    ("option", "field"),
    [
        ("--steps", "steps"),
        ("--schedule", "schedule"),
        ("--patience", "patience"),
        ("--saved-points", "saved_points"),
        ("--batch-size", "batch_size"),
        ("--evaluate-every", "evaluate_every"),
        ("--dev-examples", "dev_examples"),
    ],
)
def test_train_has_the_defaults_of_the_code(option, field):
    from explorer.tuning.settings import TuningConfig

    assert _default("train", option) == {f.name: f.default for f in fields(TuningConfig)}[field]


def test_train_has_the_usual_length_and_rate_of_the_code():
    from explorer.choices import Schedule
    from explorer.tuning.settings import TuningConfig

    assert _default("train", "--length") == str(TuningConfig.length)
    assert f"Default: {TuningConfig.learning_rate}," in _cli()["train"]["--lr"].help
    assert get_args(get_args(get_type_hints(COMMANDS["train"], include_extras=True)["schedule"])[0]) == get_args(Schedule)


def test_pretrain_has_every_setting_of_the_code_with_its_default():
    from research.pretraining.pipeline import PretrainingConfig

    renamed = {"learning_rate": "--lr", "embedding_learning_rate": "--embedding-lr", "corpora": "--corpus", "probe": "--probe-train"}
    for field in fields(PretrainingConfig):
        option = renamed.get(field.name, "--" + field.name.replace("_", "-"))
        assert option in _cli()["pretrain"], f"pretrain lacks {field.name}"
        if field.name not in ("corpora", "probe"):
            assert _default("pretrain", option) == field.default, option
