"""What is declared of readings holds: methods, computations, figures, the command list of the documents."""

import inspect
import json
import re
from dataclasses import dataclass, fields
from pathlib import Path

import pandas as pd
import planted
import pytest
import typer
from typer.testing import CliRunner

from explorer import figures, readings
from explorer.cli import COMMANDS
from explorer.cli.reading import Command, command
from explorer.formats import find_prompts, read_prompt
from explorer.readings import LABELS, READINGS
from explorer.readings.made import On
from explorer.readings.reading import NAMES, REQUIRED, TEXTS, Parameter, Reading, Table, whole
from explorer.report.bundle import recipe
from explorer.report.tables import reported
from explorer.results import Result
from explorer.session import Session
from explorer.settings import Settings

ROOT = Path(__file__).resolve().parent.parent


def names(reading):
    return reading.name


def test_names_tables_and_methods_are_there_once():
    for values in (
        [reading.name for reading in READINGS],
        [table.name for reading in READINGS for table in reading.tables],
        [reading.called for reading in READINGS],
    ):
        assert sorted(values) == sorted(set(values))


@pytest.mark.parametrize("reading", READINGS, ids=names)
def test_a_computation_takes_what_is_declared_and_nothing_else(reading):
    """Else a result would be remembered by less than it depends on."""
    takes = list(inspect.signature(reading.compute).parameters)
    declared = [parameter.name for parameter in reading.parameters] + list(reading.settings)
    if "labels" in reading.needs and any(one.type == TEXTS for one in reading.parameters):
        declared = [*dict.fromkeys([*declared, "labels"])]
    assert takes[0] == "on"
    assert set(takes[1:]) == set(declared)
    assert set(reading.settings) <= {field.name for field in fields(Settings)}
    assert not {name for name in vars(On) if name.startswith("setting")}


def test_a_reading_within_another_is_given_every_setting_it_depends_on():
    """Else the outer one would be remembered by less than it depends on: compare by labels, not by template."""
    on = On(Session([planted.prompt([[1.0, 0.0]])]).context)
    with pytest.raises(TypeError, match="template"):
        on.read(LABELS, labels=None, nulls=20, seed=0)


@pytest.mark.parametrize("reading", READINGS, ids=names)
def test_a_method_of_a_session_has_the_declared_parameters(reading):
    if not reading.called:
        return
    takes = inspect.signature(getattr(Session, reading.called)).parameters
    for parameter in reading.parameters:
        if parameter.name not in takes:  # such as answers, which come with labelled texts
            assert reading.called in ("cues", "text_cues", "layers")
            continue
        default = takes[parameter.name].default
        if parameter.default is REQUIRED:
            assert default is inspect.Parameter.empty
        else:
            assert default == (None if parameter.type == TEXTS else parameter.default)


@pytest.mark.parametrize("reading", READINGS, ids=names)
def test_a_figure_that_is_named_is_there(reading):
    assert reading.figure is None or callable(getattr(figures, reading.figure))


def test_parameters_say_what_they_do():
    for reading in READINGS:
        for parameter in reading.parameters:
            assert parameter.help.endswith("."), f"{reading.name}: {parameter.name}"
            assert parameter.type != NAMES or parameter.default is REQUIRED or parameter.default == ()


def test_the_documents_list_every_command_with_its_question():
    """docs/index.md says what is declared, and README how many commands there are beside those it shows."""
    text = (ROOT / "docs" / "index.md").read_text(encoding="utf-8")
    rows = dict(re.findall(r"^\| `prompt-explorer (\S+)[^`]*` \| (.*) \|$", text, re.MULTILINE))
    assert set(rows) == set(COMMANDS)
    declared = {reading.name: reading.question for reading in READINGS if reading.shown_by == reading.name}
    assert {name: rows[name] for name in declared} == declared
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    shown = set(re.findall(r"^\$ prompt-explorer (\S+)", readme, re.MULTILINE))
    assert f"There are [{COUNTS[len(COMMANDS) - len(shown)]} more]" in readme


COUNTS = {16: "sixteen", 17: "seventeen", 18: "eighteen", 19: "nineteen", 20: "twenty"}


def test_a_reading_is_a_command_method_table_and_json_by_declaring_it(monkeypatch, tiny_prompts):
    """All that a new reading needs beside its computation: a declaration."""
    planted = Reading(
        name="planted",
        question="How many tokens has it?",
        about="Count tokens.",
        compute=lambda on, least: Counted(on.prompt.name, max(least, on.prompt.length)),
        parameters=(Parameter("least", "Fewest that are told.", default=1, minimum=1),),
        tables=(Table("planted", "tokens", whole),),
    )
    monkeypatch.setattr(readings, "READINGS", (*READINGS, planted))
    prompt = str(next(path for path, _ in find_prompts(tiny_prompts)))
    app = typer.Typer()
    app.command()(command(Command(planted)))
    assert "Count tokens." in CliRunner().invoke(app, ["--help"]).output
    shown = CliRunner().invoke(app, [prompt]).stdout
    assert "6 tokens." in shown
    found = json.loads(CliRunner().invoke(app, [prompt, "--least", "9", "--json"]).stdout)
    assert [row["tokens"] for row in found] == [9]
    assert CliRunner().invoke(app, [prompt, "--csv", "-"]).stdout.splitlines()[0] == "prompt,tokens"
    session = Session([read_prompt(prompt)])
    assert session.read(planted)[0] is session.read(planted, least=1)[0] is not session.read(planted, least=2)
    made = {table.name: recipe(reading, table).command for reading, table, _ in reported(session, False)}
    assert made["planted"] == "planted"


@dataclass(frozen=True, repr=False)
class Counted(Result):
    """A result of its own."""

    prompt: str
    tokens: int
    conclusion: str = "6 tokens."

    def to_frame(self):
        """One row."""
        return pd.DataFrame({"prompt": [self.prompt], "tokens": [self.tokens]})
