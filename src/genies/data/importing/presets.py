"""Presets for published preference data: how to read its rows, and what to make of it."""

from __future__ import annotations

from dataclasses import dataclass

from genies.data.importing.layouts import Choice, Either, Layout, Pairs, Transcripts

_TIE = ("tie", "tie (bothbad)")


@dataclass(frozen=True, slots=True)
class Preset:
    """A data set that is published in one shape."""

    title: str
    layout: Layout
    citation: str
    license: str
    split_by: str | None = None
    """Column whose values become distributions of their own."""
    test_share: float = 0.2
    """1 for a benchmark, which has no train split."""


PRESETS = {
    "rewardbench_2": Preset(
        "RewardBench 2", Pairs("chosen", "rejected", "prompt", id="id"), "Malik et al. 2025, arXiv 2506.01937",
        "ODC-BY", "subset", 1.0,
    ),
    "rm_bench": Preset(
        "RM-Bench", Pairs("chosen", "rejected", "prompt", styled=True), "Liu et al. 2024, arXiv 2410.16184",
        "as stated by its authors", "domain", 1.0,
    ),
    "rmb": Preset(
        "RMB",
        Either(
            (
                Pairs("bon_best", "loser_list", "conversation_input", field="answer"),
                Pairs("chosen", "reject", "conversation_input", field="answer"),
            )
        ),
        "Zhou et al. 2024, arXiv 2410.09893", "as stated by its authors", "category_path", 1.0,
    ),
    "judgebench": Preset(
        "JudgeBench", Choice("response_A", "response_B", "label", "question", (("A>B",), ("B>A",), ("A=B",))),
        "Tan et al. 2024, arXiv 2410.12784", "MIT", "source", 1.0,
    ),
    "ppe": Preset(
        "PPE human preferences",
        Choice("response_1", "response_2", "winner", "prompt", (("model_a",), ("model_b",), _TIE)),
        "Frick et al. 2024, arXiv 2410.14872", "as stated by its authors", None, 1.0,
    ),
    "hh_rlhf": Preset("HH-RLHF", Transcripts("chosen", "rejected"), "Bai et al. 2022, arXiv 2204.05862", "MIT"),
    "ultrafeedback": Preset(
        "UltraFeedback, binarized",
        Pairs("chosen", "rejected", None, equal_scores=("score_chosen", "score_rejected")),
        "Cui et al. 2023, arXiv 2310.01377", "MIT",
    ),
    "helpsteer3": Preset(
        "HelpSteer3",
        Choice(
            "response1", "response2", "overall_preference", "context", (("-3", "-2", "-1"), ("1", "2", "3"), ("0",))
        ),
        "Wang et al. 2025, arXiv 2505.11475", "CC-BY-4.0",
    ),
    "pku_saferlhf": Preset(
        "PKU-SafeRLHF, the safer response is best",
        Choice("response_0", "response_1", "safer_response_id", "prompt", (("0",), ("1",), ())),
        "Ji et al. 2024, arXiv 2406.15513", "CC-BY-NC-4.0",
    ),
    "skywork": Preset(
        "Skywork preference", Pairs("chosen", "rejected", None), "Liu et al. 2024, arXiv 2410.18451",
        "as stated by its authors",
    ),
}  # fmt: skip
"""By the name of --preset."""


def listed() -> str:
    """All presets as lines of text."""
    lines = []
    for name, preset in PRESETS.items():
        splits = f"; one distribution for each {preset.split_by}" if preset.split_by else ""
        kind = "targets only" if preset.test_share == 1 else "train and test"
        lines.append(f"{name:<14} {preset.title}: {kind}{splits} ({preset.citation}; license: {preset.license})")
    return "\n".join(lines)
