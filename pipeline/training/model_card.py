"""The model card: what a person who finds the directory needs to know. Pure text, no clock.

Figures of the test half are not known yet when it is written: evaluation completes a copy of it
(`pipeline.evaluation.evaluated_card`).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pipeline.lake import Run
from pipeline.settings import Settings

_SECTIONS = ("model.", "training.", "histories.")


def model_card(run: Run, settings: Settings, report: Mapping[str, Any]) -> str:
    """Markdown with the front matter that Hugging Face tools read."""
    rows = ", ".join(f"{n:,} {kind}" for kind, n in report["rows"].items())
    anew = f" ({report['trained_anew']})" if "trained_anew" in report else ""
    data, code, cost = report["data"], report["code"], report["cost"]
    read = "\n".join(
        f"| `{name}` | {read['run_date']} | `{read['run_id']}` | {read['rows']:,} |"
        for name, read in data["datasets"].items()
    )
    chosen = [
        f"| `{name}` | `{value}` |"
        for name, value in settings.values().items()
        if name.startswith(_SECTIONS) or name == "seed"
    ]
    return f"""---
library_name: transformers
pipeline_tag: text-generation
tags: [gpt2, recommendation, nightcart]
---
# {report["model_version"]}

A GPT-2 that recommends for {settings.shop.name}: the next item after a shopper's past, and a
sentence about an item from words that satisfied shoppers used of it.

| | |
|--|--|
| night | {run.run_date} (run `{run.run_id}`): what was known before the end of that day |
| trained on | {report["users"]:,} shoppers who agree to personalised marketing; rows: {rows} |
| not trained on | held-out last purchases, and all of any shopper who did not agree |
| items | {report["items"]:,} |
| parameters | {report["parameters"]:,} |
| started from | {report["warm_start_from"] or settings.model.base_model or "random weights"}{anew} |
| epochs | {report["epochs"]}; kept: epoch {report["best_epoch"]} (0 is the start) |
| NDCG@{settings.evaluation.k}, validation half | {report["best_validation_ndcg"]:.4f} |
| sentences it gives away | {_given_away(report)} |
| time, energy | {cost["seconds"]:,} s, {cost["processor_seconds"]:,} s of processor, {cost["watt_hours"]} Wh ({cost["energy_source"]}) |
| code | {code["package"]}, commit {code["commit"] or "not known"}; {code["libraries"]} |

## Data
Events of {data["days"]:,} days, {data["first_day"]} to {data["last_day"]}.

| dataset | night | run | rows |
|--|--|--|--|
{read}

## Measured
The test half's figures, against the baselines, are in the night's `metrics`.

## Use
```python
from transformers import AutoTokenizer, GPT2LMHeadModel
model = GPT2LMHeadModel.from_pretrained(".")
tokenizer = AutoTokenizer.from_pretrained(".")
ids = tokenizer.convert_tokens_to_ids(["<|history|>", "<|item:SOME_ID|>"])
```
Event types (`<|view|>`, `<|purchase|>`, …) go in as `token_type_ids` at items, `<|text|>` elsewhere.

## Limits
Facts and prices are not the model's to write. Ids of items and of controls cannot be reached from
text. Not for decisions about people other than what to show them.

## Settings
| setting | value |
|--|--|
{chr(10).join(chosen)}
"""


def _given_away(report: Mapping[str, Any]) -> str:
    found = report["membership"]
    if found is None:
        return "not measured: it learned no sentences of reviews, or none was held out"
    return (
        f"a learned one has a lower loss than a held-out one in {found['auc']:.1%} of pairs "
        f"[{found['low']:.1%}, {found['high']:.1%}]; 50 % is chance"
    )
