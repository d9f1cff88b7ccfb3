"""`compare`: prompts side by side, in groups."""

from typing import TYPE_CHECKING

import typer

from explorer.cli.output import cell, paragraph, table
from explorer.cli.reading import Asked, Command, command
from explorer.readings import COMPARE, PAIRS
from explorer.words.wording import count

if TYPE_CHECKING:
    import pandas as pd

MAIN = ("dev_accuracy", "significant_share", "label_persistence", "norm_ratio")
"""measures that the narrow table shows"""


def _begin(asked: Asked) -> None:
    if len(asked.typed["prompts"]) < COMPARE.fewest:
        raise typer.BadParameter("found one prompt; expected at least two to compare", param_hint="PROMPT")


def _page(asked: Asked) -> str:
    from explorer.figures import comparison_figure
    from explorer.report.html import html_page

    measures = dict.fromkeys(asked.result.summary()["measure"])
    figures = [comparison_figure(asked.result, measure) for measure in measures]
    return html_page("Soft prompts compared", figures)


def _all(asked: Asked) -> str:
    rows, summary, tests = (one.frame(asked.result) for one in COMPARE.tables)
    said, tested = paragraph(asked.result.conclusion), paragraph(_tested(rows, tests))
    if not asked.wide:
        return f"{said}\n\nmeans of each group\n{table(_means(rows))}\n\n{tested}"
    pairs = asked.of(PAIRS)
    shown = [table(frame, True) for frame in (rows, summary, tests, pairs)]
    return "\n\n".join([*shown, said, tested, paragraph(PAIRS.conclusion(pairs))])


def _means(rows: "pd.DataFrame") -> "pd.DataFrame":
    """One row a group: how many prompts, and the means of the main measures."""
    groups = rows.groupby("group", sort=False)
    means = groups[list(MAIN)].mean()
    means.insert(0, "prompts", groups.size())
    return means.reset_index()


def _tested(rows: "pd.DataFrame", tests: "pd.DataFrame") -> str:
    """Which differences between groups are significant."""
    from explorer.analysis.nulls import SIGNIFICANT_AT

    groups = rows["group"].unique()
    if len(groups) == 1:
        both = "both" if len(rows) == 2 else f"all {count(len(rows), 'prompt')}"
        return f"{both} are in one group, {groups[0]}; nothing to compare: choose another grouping (--by)"
    found = tests[tests["q"] <= SIGNIFICANT_AT].sort_values("q")
    if len(found):
        pairs = [
            f"{row.group_a} and {row.group_b} in {row.measure} (by {row.difference:+.3f}, q {cell(row.q)})"
            for row in found.head(5).itertuples()
        ]
        more = f", and {len(found) - 5} more" if len(found) > 5 else ""
        return f"Significant differences (permutation test, FDR 5 %): {'; '.join(pairs)}{more}."
    if tests["p"].isna().all():
        return "No tests: they need two prompts in each of two groups."
    return (
        "No difference is significant at FDR 5 %; the smallest p that these numbers of prompts allow "
        f"is {cell(float(tests['least_p'].min()))}."
    )


compare = command(Command(COMPARE, _all, _page, begin=_begin))
