"""What a digest of the code looks at, in a copy of the package that a test may change."""

from __future__ import annotations

import ast
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

import pipeline
import schemas
from pipeline.code_digest import (
    DECIDES_NOTHING,
    SPARK_SESSION,
    Sources,
    code_digest,
    deciding_modules,
    imported_modules,
)

PACKAGE, CONTRACTS = Path(pipeline.__path__[0]), Path(schemas.__path__[0])
ACTS = ("pipeline.histories.acts.build_acts", SPARK_SESSION)
CATALOGUE = ("pipeline.histories.catalogue.build_catalogue", SPARK_SESSION)
ATTRIBUTES = ("pipeline.histories.build_user_attributes", SPARK_SESSION)
PASTS = ("pipeline.histories.build_histories", SPARK_SESSION)
PHRASES = ("pipeline.reviews.phrase_rows", SPARK_SESSION)
PROFILES = ("pipeline.validation.profiles", SPARK_SESSION)
LISTS, SHARDS = ("pipeline.generation.inputs",), ("pipeline.generation.night",)
TRAINING = ("pipeline.training.fine_tune",)
BY_SPARK = (ACTS, CATALOGUE, ATTRIBUTES, PASTS, PHRASES, PROFILES)
EVERYBODY = (*BY_SPARK, LISTS, SHARDS, TRAINING)

Changed = Callable[[str, str], None]


@pytest.fixture
def sources(tmp_path: Path) -> Sources:
    """A copy of the code and the contracts."""
    code = shutil.ignore_patterns("__pycache__", "*.jar")
    shutil.copytree(PACKAGE, tmp_path / "pipeline", ignore=code)
    shutil.copytree(CONTRACTS, tmp_path / "schemas", ignore=code)
    return Sources(tmp_path / "pipeline", tmp_path / "schemas")


def append(sources: Sources, file: str, text: str) -> None:
    path = Path(str(sources.package)).parent / file
    path.write_text(path.read_text("utf-8") + text, "utf-8")


def differing(sources: Sources) -> set[tuple[str, ...]]:
    """Whose digest is another than that of the installed code."""
    return {who for who in EVERYBODY if code_digest(*who, sources=sources) != code_digest(*who)}


def test_a_copy_has_the_same_digest_wherever_it_lies(sources: Sources) -> None:
    assert differing(sources) == set()
    assert len({code_digest(*who) for who in EVERYBODY}) == len(EVERYBODY)


@pytest.mark.parametrize(
    ("file", "whose"),
    [
        # What the lists kept by hand had left out.
        ("pipeline/contracts/spark.py", set(BY_SPARK)),
        ("pipeline/spark_session.py", {*BY_SPARK, SHARDS}),
        ("pipeline/histories/catalogue/build_catalogue.py", {CATALOGUE}),
        ("pipeline/histories/build_user_attributes.py", {ATTRIBUTES}),
        ("pipeline/histories/past.py", {ACTS, CATALOGUE, ATTRIBUTES, PASTS}),
        ("pipeline/contracts/row_checks.py", set(BY_SPARK)),
        ("pipeline/reviews/stop_words.py", {PHRASES}),
        ("pipeline/language_tag.py", {PHRASES, SHARDS, LISTS, TRAINING}),
        ("pipeline/ranking/baselines.py", {SHARDS, LISTS}),
        ("pipeline/engine/kv_cache.py", {SHARDS, LISTS}),
        ("pipeline/generation/recommendation_rows.py", {SHARDS}),
        ("pipeline/training/loop/stepper.py", {TRAINING}),
        ("pipeline/validation/measuring.py", {PROFILES}),
        ("pipeline/report/charts.py", set()),
        ("pipeline/lake.py", set()),
        # It says what may be continued, and so decides.
        ("pipeline/lineage.py", {ACTS, CATALOGUE, ATTRIBUTES, PASTS, PROFILES, LISTS, SHARDS}),
        ("schemas/acts.v1.yaml", {ACTS, CATALOGUE, ATTRIBUTES, PASTS}),
        ("schemas/user_attributes.v1.yaml", {ACTS, CATALOGUE, ATTRIBUTES, PASTS}),
        ("schemas/review_phrases.v1.yaml", {PHRASES}),
        ("schemas/profiles.v1.yaml", {PROFILES}),
        ("schemas/metrics.v1.yaml", set()),
    ],
)
def test_a_change_changes_the_digest_of_whatever_it_decides(
    sources: Sources, file: str, whose: set[tuple[str, ...]]
) -> None:
    append(sources, file, "\n# changed\n")
    assert differing(sources) == whose


@pytest.mark.parametrize(
    "text",
    [
        "\nfrom pipeline.reviews import unfair\n",
        "\nfrom pipeline.reviews.unfair import UNFAIR_RULE\n",
        "\nimport pipeline.reviews.unfair\n",
        "\ndef later() -> None:\n    from pipeline.reviews.unfair import UNFAIR_RULE as rule\n    print(rule)\n",
    ],
)
def test_an_import_that_is_added_is_followed(sources: Sources, text: str) -> None:
    root = "pipeline.histories.user_attributes"
    append(sources, "pipeline/histories/user_attributes.py", text)
    before = code_digest(root, sources=sources)
    assert before != code_digest(root)
    assert "pipeline.reviews.unfair" in deciding_modules(root, sources=sources)
    # From now on a change over there is a change here, and one of what that one imports.
    append(sources, "pipeline/reviews/unfair.py", "\nfrom pipeline.reviews import stop_words\n")
    then = code_digest(root, sources=sources)
    assert then != before
    append(sources, "pipeline/reviews/stop_words.py", "\nX = 1\n")
    assert code_digest(root, sources=sources) != then


def test_a_contract_that_is_named_is_followed(sources: Sources) -> None:
    root = "pipeline.histories.user_attributes"
    append(sources, "schemas/metrics.v1.yaml", "\n# changed\n")
    assert code_digest(root, sources=sources) == code_digest(root)
    append(sources, "pipeline/histories/user_attributes.py", '\nMORE = "metrics"\n')
    before = code_digest(root, sources=sources)
    append(sources, "schemas/metrics.v1.yaml", "\n# changed again\n")
    assert code_digest(root, sources=sources) != before


def test_what_is_left_out_exists_and_imports_nothing_that_decides() -> None:
    for module in DECIDES_NOTHING:
        assert deciding_modules(*imported_modules(module)) in ([], ["pipeline"]), module


def test_a_module_that_is_not_there_is_said() -> None:
    with pytest.raises(ValueError, match=r"there is no module pipeline\.histories\.nothing"):
        code_digest("pipeline.histories.nothing")


@pytest.mark.parametrize("root", ["pipeline.histories.sorted_files", "pipeline.model.prompt"])
def test_what_python_imports_is_found(root: str) -> None:
    """What is loaded by importing the root for real is among what was read from the source."""
    script = f"import sys, {root}; print(*(m for m in sys.modules if m.startswith('pipeline')))"
    found = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    loaded = set(found.stdout.split())
    assert root in loaded
    read = {*deciding_modules(root)}
    # Packages above a module that decides nothing are loaded with it.
    assert loaded - read - DECIDES_NOTHING.keys() <= {"pipeline", root.rpartition(".")[0]}


def test_packages_hold_no_code_that_could_decide() -> None:
    for file in PACKAGE.rglob("__init__.py"):
        statements = ast.parse(file.read_bytes()).body
        assert all(isinstance(statement, ast.Expr) for statement in statements), file
