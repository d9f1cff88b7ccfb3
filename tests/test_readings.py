"""What is declared of readings holds: methods, computations, figures, the command list of the documents."""

import inspect
from dataclasses import fields
from pathlib import Path

import pytest

from explorer import figures
from explorer.readings import READINGS
from explorer.readings.made import On
from explorer.readings.reading import NAMES, REQUIRED, TEXTS
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


@pytest.mark.parametrize("reading", READINGS, ids=names)
def test_a_method_of_a_session_has_the_declared_parameters(reading):
    takes = dict(inspect.signature(getattr(Session, reading.called)).parameters)
    del takes["self"]
    takes.pop("share", None)
    if reading.name == "labels":
        del takes["labels"]  # a setting, which people name here
    assert list(takes) == [parameter.name for parameter in reading.parameters]
    for parameter in reading.parameters:
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
