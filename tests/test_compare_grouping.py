"""Prompts of a sweep are grouped by any recorded field, by several, or by a part of their names."""

from pathlib import Path

import numpy as np
import planted
import pytest

from explorer.analysis.compare.grouping import groups_by
from explorer.errors import ExplorerError


def sweep() -> list:
    """Two learning rates and two seeds; the last prompt records nothing."""
    prompts = [
        planted.prompt(
            np.ones((3, 4)),
            f"sweep/lr{lr}-seed{seed}",
            seed=seed,
            hyperparameters={"learning_rate": lr, "schedule": "linear"},
            data={"train": {"name": f"part{seed}.tsv"}},
            path=Path(f"/runs/night{seed}/adapter"),
        )
        for lr in (0.1, 0.3)
        for seed in (0, 1)
    ]
    return [*prompts, planted.prompt(np.ones((5, 4)), "alone")]


@pytest.mark.parametrize(
    ("by", "groups"),
    [
        ("lr", ["0.1", "0.1", "0.3", "0.3", "unknown"]),
        ("learning_rate", ["0.1", "0.1", "0.3", "0.3", "unknown"]),
        ("seed", ["0", "1", "0", "1", "unknown"]),
        ("length", ["3", "3", "3", "3", "5"]),
        ("data", ["part0.tsv", "part1.tsv", "part0.tsv", "part1.tsv", "unknown"]),
        ("run", ["night0", "night1", "night0", "night1", "unknown"]),
        ("seed, lr", ["0, 0.1", "1, 0.1", "0, 0.3", "1, 0.3", "unknown, unknown"]),
        ("name:lr([0-9.]+)", ["0.1", "0.1", "0.3", "0.3", "unknown"]),
        ("name:seed[01]", ["seed0", "seed1", "seed0", "seed1", "unknown"]),
        ("length,name:seed([0-9]{1,2})", ["3, 0", "3, 1", "3, 0", "3, 1", "5, unknown"]),
        ("task", ["unknown"] * 5),
    ],
)
def test_what_puts_prompts_into_one_group(by, groups):
    assert groups_by(sweep(), by) == groups


@pytest.mark.parametrize(
    ("by", "message"),
    [
        (
            "colour",
            r"found the grouping 'colour'; expected one of initialization, task, .*learning_rate.*, or a part",
        ),
        ("", "found the grouping ''; expected a field, or name: and an expression"),
        ("name:[", r"found the expression '\[' \(unterminated character set"),
        ("name:rank", "found no part of a name that fits 'rank'; the first of 5 is sweep/lr0.1-seed0"),
    ],
)
def test_groupings_that_are_none_are_refused(by, message):
    with pytest.raises(ExplorerError, match=message) as caught:
        groups_by(sweep(), by)
    assert caught.value.setting == "by"
