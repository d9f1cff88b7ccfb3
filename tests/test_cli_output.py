"""Tables follow the terminal, keep names whole in a pipe, and cut names where they do not differ."""

import pandas as pd
import pytest

from explorer.cli import output
from explorer.cli.output import shortened, table, width_of

SWEEP = [f"runs/a-long-name-of-a-sweep/lr{lr}-{'x' * 20}/seed{seed}" for lr in (0.1, 0.3) for seed in (0, 1)]


@pytest.mark.parametrize(
    "names",
    [
        SWEEP,
        [f"{'sentiment' * 4}{n}" for n in range(12)],
        [f"{n}{'sentiment' * 4}" for n in range(12)],
        [f"{'before' * 5}{n}{'after' * 6}" for n in range(10)],
        ["電影評論" * 8 + str(n) for n in range(3)],
    ],
    ids=["both", "end", "beginning", "middle", "wide"],
)
def test_names_that_share_a_part_stay_different(names):
    cut = shortened(names, 24)
    assert len(set(cut)) == len(names)
    assert max(map(width_of, cut)) <= 24
    assert all("…" in name for name in cut)


def test_names_that_fit_stay():
    assert shortened(["short", *SWEEP], 24)[0] == "short"
    assert shortened(["short", "names"], 5) == ["short", "names"]


@pytest.fixture
def frame() -> pd.DataFrame:
    """A sweep with figures, and a list of words."""
    return pd.DataFrame(
        {"prompt": SWEEP, "accuracy_on_the_dev_set": [0.5] * 4, "words": ["fine, great, " * 20] * 4}
    )


@pytest.mark.parametrize("columns", [80, 100, 143, 200])
def test_a_table_is_as_wide_as_the_terminal(columns, frame, monkeypatch):
    monkeypatch.setattr(output, "screen", lambda: columns)
    lines = table(frame, lists=["words"]).splitlines()
    assert columns - 12 <= max(map(width_of, lines)) <= columns
    assert len({line.split()[0] for line in lines[1:]}) == 4


def test_into_a_pipe_names_are_whole(frame):
    text = table(frame, lists=["words"])
    assert all(name in text for name in SWEEP)
    assert "…" in text
    assert "fine, great, fine, great" not in text, "lists are cut in a pipe too"


def test_a_terminal_is_asked_for_its_width_within_bounds(monkeypatch):
    monkeypatch.setattr(output.sys.stdout, "isatty", lambda: True, raising=False)
    for columns, expected in ((40, 80), (132, 132), (400, 200)):
        monkeypatch.setenv("COLUMNS", str(columns))
        assert output.screen() == expected
    monkeypatch.setattr(output.sys.stdout, "isatty", lambda: False, raising=False)
    assert output.screen() is None
