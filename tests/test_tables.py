"""Tables of the dashboard, each in a page of its own: shares are percentages, long ones show their beginning and
say so, and a row stands for the token that it shows.
"""

import json

import numpy as np
import pandas as pd
import planted
import pytest
from streamlit.proto.WidgetStates_pb2 import WidgetStates
from streamlit.testing.v1 import AppTest

from explorer.dashboard import tables
from explorer.dashboard.limits import MOST_ROWS


@pytest.fixture(autouse=True)
def _once(components_sought_once):
    pass


def drawn(draw, **arguments: object) -> AppTest:
    """A page that is nothing but what `draw` draws."""
    app = AppTest.from_function(draw, kwargs=arguments, default_timeout=60).run()
    assert not app.exception
    return app


def choose(app: AppTest, row: int) -> AppTest:
    """The page after a click on a row of its table."""
    states = WidgetStates()
    clicked = states.widgets.add()
    clicked.id = app.dataframe[0].proto.id
    clicked.string_value = json.dumps({"selection": {"rows": [row], "columns": [], "cells": []}})
    return app._run(states)


def shown(frame):
    from explorer.dashboard import tables

    tables.show(frame, "the-table")


def of_tokens(frame, prompt):
    from explorer.dashboard import tables

    tables.tokens(frame, "the-table", prompt)


def of_prompts(frame):
    from explorer.dashboard import tables

    tables.leading(frame, "the-table", {"a"})


def test_shares_are_shown_in_percent_and_everything_else_as_it_is():
    frame = pd.DataFrame({name: [0.25, -0.5] for name in (*tables.SHARES, "accuracy")})
    seen = drawn(shown, frame=frame).dataframe[0].value
    assert seen["accuracy"].tolist() == [0.25, -0.5]
    for name in tables.SHARES:
        assert seen[name].tolist() == [25, -50], name
        assert tables.COLUMNS[name]["type_config"]["format"].endswith("%%"), name
    in_percent = {
        name
        for name, column in tables.COLUMNS.items()
        if str(column["type_config"].get("format")).endswith("%%") and name != "trust"
    }
    assert in_percent <= set(tables.SHARES), "what is written with a percent sign is multiplied"


def test_a_long_table_shows_its_first_rows_and_says_so():
    app = drawn(shown, frame=pd.DataFrame({"position": np.arange(MOST_ROWS + 5)}))
    seen = app.dataframe[0].value["position"]
    assert (len(seen), seen.iloc[0], seen.iloc[-1]) == (MOST_ROWS, 0, MOST_ROWS - 1)
    assert f"The first {MOST_ROWS:,} of {MOST_ROWS + 5:,} rows" in app.caption[0].value
    assert not drawn(shown, frame=pd.DataFrame({"position": np.arange(MOST_ROWS)})).caption


def test_the_row_of_the_token_in_focus_is_marked_and_a_click_puts_its_token_into_focus():
    """The rows stand in an order of their own, as after sorting by p."""
    prompt = planted.prompt(np.ones((6, 4)), "a")
    frame = pd.DataFrame({"position": [5, 2, 4]})
    app = AppTest.from_function(of_tokens, kwargs={"frame": frame, "prompt": prompt}, default_timeout=60)
    app.session_state["prompt"], app.session_state["token"] = "a", "2"
    app.run()
    assert app.session_state[app.dataframe[0].key]["selection"]["rows"] == [1]
    app = choose(app, 2)
    assert not app.exception
    assert app.session_state["token"] == "4"
    assert app.session_state[app.dataframe[0].key]["selection"]["rows"] == [2]


def test_a_row_of_a_prompt_that_is_shown_puts_its_token_into_focus_and_no_other_does():
    app = drawn(of_prompts, frame=pd.DataFrame({"prompt": ["b", "a"], "position": [3, 7]}))
    assert "token" not in choose(app, 0).session_state
    app = choose(app, 1)
    assert (app.session_state["prompt"], app.session_state["token"]) == ("a", "7")
