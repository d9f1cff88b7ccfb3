"""`compare`: prompts side by side, in groups."""

from typing import TYPE_CHECKING, Annotated

import typer

from explorer.choices import Grouping
from explorer.cli.options import Csv, Html, Json, K, Model, Nulls, Overwrite, Prompts, Revision, Seed, Wide
from explorer.cli.output import Output, cell, paragraph, records, table
from explorer.cli.session import open_session
from explorer.words.wording import count

if TYPE_CHECKING:
    import pandas as pd

MAIN = ("dev_accuracy", "significant_share", "label_persistence", "norm_ratio")
"""measures that the narrow table shows"""


def compare(
    prompts: Prompts,
    by: Annotated[
        Grouping, typer.Option("--by", help="What puts prompts into one group.")
    ] = "initialization",
    k: K = 10,
    nulls: Nulls = 1000,
    seed: Seed = 0,
    model: Model = None,
    revision: Revision = None,
    wide: Wide = False,
    as_json: Json = False,
    csv: Csv = None,
    html: Html = None,
    overwrite: Overwrite = False,
) -> None:
    """Compare groups of prompts, such as initializations.

    Means over each group with 95 % t intervals, permutation tests between groups, and similarity of every two
    prompts.
    """
    if len(prompts) < 2:
        raise typer.BadParameter("found one prompt; expected at least two to compare", param_hint="PROMPT")
    output = Output(as_json, csv, html, overwrite)
    session = open_session(prompts, model, k=k, nulls=nulls, seed=seed, revision=revision)
    from explorer.analysis.compare.differences import differences

    comparison = session.compare(by)
    rows, summary, tests = comparison.to_frame(), comparison.summary(), differences(comparison)

    def page() -> str:
        from explorer.figures import comparison_figure
        from explorer.report.html import html_page

        return html_page(
            "Soft prompts compared",
            [comparison_figure(comparison, measure) for measure in dict.fromkeys(summary["measure"])],
        )

    def pairs() -> "pd.DataFrame":
        session.progress("matching the tokens of every two prompts")
        return session.pairs()

    def text() -> str:
        said, tested = paragraph(comparison.conclusion), paragraph(_tested(rows, tests))
        if not wide:
            return f"{said}\n\nmeans of each group\n{table(_means(rows))}\n\n{tested}"
        from explorer.analysis.compare.matching import alike_in_words

        matched = pairs()
        return "\n\n".join(
            [
                *(table(one, wide) for one in (rows, summary, tests, matched)),
                said,
                tested,
                paragraph(alike_in_words(matched)),
            ]
        )

    def content() -> dict[str, object]:
        return {
            "conclusion": comparison.conclusion,
            "prompts": records(rows),
            "summary": records(summary),
            "tests": records(tests),
            "pairs": records(pairs()),
        }

    output.write(content, lambda: rows, text, page)


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
