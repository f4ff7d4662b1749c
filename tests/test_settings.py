"""Settings: defaults, overrides, refusals, provenance."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from pipeline.errors import SettingsError
from pipeline.settings import Settings, load_settings
from pipeline.settings_ranges import ALLOWED, EVENT_TYPES, allowed_of


def toml(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "shop.toml"
    path.write_text(text, encoding="utf-8")
    return path


def test_the_environment_wins_over_the_file_and_the_file_over_the_default(tmp_path: Path) -> None:
    path = toml(tmp_path, "seed = 7\n[generation]\nk = 5\nshards = 2\n")
    settings = load_settings(path, {"NIGHTCART_GENERATION__K": "20"})
    assert (settings.generation.k, settings.generation.shards, settings.seed) == (20, 2, 7)
    assert settings.generation.batch_users == Settings().generation.batch_users


def test_every_value_knows_where_it_came_from(tmp_path: Path) -> None:
    path = toml(tmp_path, "[generation]\nshards = 2\n")
    settings = load_settings(path, {"NIGHTCART_GENERATION__K": "20"})
    assert settings.origin == {
        "generation.shards": str(path),
        "generation.k": "environment NIGHTCART_GENERATION__K",
    }
    assert set(settings.origin) < set(settings.values())


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("[generation]\nkk = 5\n", "Did you mean 'generation.k'"),
        ("[generaton]\nk = 5\n", "Did you mean 'generation.k'"),
        ("sed = 5\n", "Did you mean 'seed'"),
        ("[generation]\nk = 'ten'\n", "generation.k must be int, found 'ten'"),
        ("[generation]\nk = 2.5\n", "generation.k must be int, found 2.5"),
        ("[generation]\nk = true\n", "generation.k must be int, found True"),
        ("[generation]\nk = 0\n", "generation.k must be at least 1, found 0"),
        ("[shop]\nname = 3\n", "shop.name must be str, found 3"),
        ("[shop]\ntimezone = 'Europe/Londn'\n", "did you mean 'Europe/London'"),
        ("[cleaning]\nmax_quarantined_share = 1.5\n", "between 0 and 1, found 1.5"),
        ("[model]\nn_embd = 65\n", "multiple of n_head"),
        ("[model]\ndropout = 1.0\n", "model.dropout must be at least 0 and below 1, found 1.0"),
        ("[training]\nlearning_rate = nan\n", "must be a number above 0, found nan"),
        ("[training]\nlearning_rate = inf\n", "must be a number above 0, found inf"),
        ("[training]\nlearning_rate = 0\n", "must be a number above 0, found 0.0"),
        ("[training]\nweight_decay = -0.1\n", "must be at least 0, found -0.1"),
        ("[histories]\ntarget_event_types = ['buy']\n", "cart, purchase, return, rating, found"),
        ("[histories]\ntarget_event_types = []\n", "must be some of view, wishlist"),
        ("[spark]\ndriver_memory = 'lots'\n", "must be a size such as '2g', found 'lots'"),
        ("[histories]\ntarget_event_types = 'purchase'\nmax_events = 5000\n", "n_positions"),
        ("[generation\n", "cannot be read as TOML"),
    ],
)
def test_what_cannot_be_meant_is_refused_by_name(tmp_path: Path, text: str, expected: str) -> None:
    path = toml(tmp_path, text)
    with pytest.raises(SettingsError) as refusal:
        load_settings(path)
    assert expected in str(refusal.value)


NUMBERS = [key for key, value in Settings().values().items() if type(value) in (int, float)]


@pytest.mark.parametrize("key", NUMBERS)
def test_every_number_has_a_range_that_refuses_minus_one_and_nan(tmp_path: Path, key: str) -> None:
    assert allowed_of(key) is not None, f"add {key} to pipeline/settings_ranges.py"
    section, _, name = key.rpartition(".")
    is_whole = isinstance(Settings().values()[key], int)
    for wrong in ("-1", *(() if is_whole else ("nan",))):
        header = f"[{section}]\n" if section else ""
        with pytest.raises(SettingsError, match=f"{key} must be"):
            load_settings(toml(tmp_path, f"{header}{name} = {wrong}\n"))


def test_defaults_may_be_and_the_table_names_only_settings_that_there_are() -> None:
    assert load_settings().values()
    assert set(ALLOWED) <= set(Settings().values())


def test_target_event_types_are_those_that_a_model_knows() -> None:
    from pipeline.model import vocabulary

    assert set(EVENT_TYPES) == set(vocabulary.EVENT_TYPES)


@pytest.mark.parametrize(
    ("base_model", "expected"),
    [("./gpt2", "{}/gpt2"), ("../gpt2", "{}/../gpt2"), ("/models/gpt2", "/models/gpt2")],
)
def test_a_base_model_that_is_a_path_is_relative_to_the_file(
    tmp_path: Path, base_model: str, expected: str
) -> None:
    path = toml(tmp_path, f"[model]\nbase_model = '{base_model}'\n")
    found = load_settings(path).model.base_model
    assert found == str(Path(expected.format(tmp_path)).resolve())


@pytest.mark.parametrize("base_model", ["", "distilgpt2", "openai-community/gpt2"])
def test_a_base_model_that_is_a_name_stays_one(tmp_path: Path, base_model: str) -> None:
    path = toml(tmp_path, f"[model]\nbase_model = '{base_model}'\n")
    assert load_settings(path).model.base_model == base_model


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"nowhere\.toml does not exist"):
        load_settings(tmp_path / "nowhere.toml")


def test_an_unknown_environment_override_is_refused() -> None:
    with pytest.raises(SettingsError, match="environment NIGHTCART_MODEL__LAYERS"):
        load_settings(None, {"NIGHTCART_MODEL__LAYERS": "3"})


def test_names_without_a_section_belong_to_others() -> None:
    assert load_settings(None, {"NIGHTCART_CONFIG": "x.toml", "HOME": "/"}).origin == {}


def test_relative_paths_are_relative_to_the_file(tmp_path: Path) -> None:
    path = toml(
        tmp_path, "[paths]\nraw = 'in'\nlake = '/absolute'\n[shop]\nsource = 'maps/a.yaml'\n"
    )
    settings = load_settings(path)
    assert settings.paths.raw == str(tmp_path / "in")
    assert settings.paths.lake == "/absolute"
    assert settings.shop.source == str(tmp_path / "maps/a.yaml")
    assert settings.privacy.key_file == str(tmp_path / ".nightcart/user_id.key")


def test_lists_come_from_toml_and_from_the_environment(tmp_path: Path) -> None:
    path = toml(tmp_path, "[histories]\ntarget_event_types = ['purchase', 'cart']\n")
    assert load_settings(path).histories.target_event_types == ("purchase", "cart")
    given = {"NIGHTCART_HISTORIES__TARGET_EVENT_TYPES": "view, rating"}
    assert load_settings(path, given).histories.target_event_types == ("view", "rating")


def test_settings_cannot_be_changed() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        Settings().seed = 1  # type: ignore[misc]
