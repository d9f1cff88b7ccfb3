"""What readings are made with: one set of settings for all of them."""

from dataclasses import dataclass, fields, replace
from operator import index
from typing import Any, Self, SupportsIndex

from explorer.choices import LONGEST_INPUT, METRIC_CHOICES, SHORTEST_INPUT, MetricChoice
from explorer.errors import ExplorerError
from explorer.words.arguments import different_names


@dataclass(frozen=True)
class Settings:
    """What readings are made with. Raises ExplorerError for numbers out of range, DataError for labels that
    are not a list.
    """

    k: int = 10
    """neighbors of a token"""
    metric: MetricChoice = "auto"
    """of the neighbor table, see analysis.metric; coherence, labels and the map always use cosine"""
    nulls: int = 1000
    """random vectors of each null distribution; 0: neighbors are compared with none"""
    seed: int = 0
    labels: tuple[str, ...] | None = None
    """class labels; None: those the prompts record"""
    include_special: bool = False
    """search control pieces, sentinels and padding rows too"""
    merge_variants: bool = False
    """leave out a neighbor that is a nearer one but for case or leading space"""
    max_length: int = LONGEST_INPUT
    """pieces of a text that the model reads, its end among them; longer texts are cut"""
    template: str | None = None
    """what the model reads in place of a text, `{text}` in it, or `chat`; None: what the prompts record, else
    that of the model's family
    """

    def __post_init__(self) -> None:
        for name, least in (("k", 1), ("nulls", 0), ("seed", 0), ("max_length", SHORTEST_INPUT)):
            value = getattr(self, name)
            if not isinstance(value, SupportsIndex) or index(value) < least:
                raise ExplorerError(
                    f"found {name} = {value!r}; expected a whole number, {least} or more", name
                )
            object.__setattr__(self, name, index(value))
        if self.metric not in METRIC_CHOICES:
            raise ExplorerError(
                f"found the metric {self.metric!r}; expected one of {', '.join(METRIC_CHOICES)}", "metric"
            )
        if self.template is not None:
            from explorer.models.templates import CHAT, check_template

            if self.template != CHAT:
                check_template(str(self.template))
        if self.labels is not None:
            object.__setattr__(self, "labels", different_names(self.labels, "labels", "labels"))

    def changed(self, **settings: Any) -> Self:
        """The same with other values. Raises ExplorerError for a setting that does not exist."""
        known = [field.name for field in fields(self)]
        if unknown := [name for name in settings if name not in known]:
            raise ExplorerError(f"found the setting {unknown[0]!r}; expected one of {', '.join(known)}")
        return replace(self, **settings)
