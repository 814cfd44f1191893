"""Names say what things are, settings are few and explained, test files can be told apart."""

from collections import Counter

from convention_rules import ROOT, package_modules, vague_names
from pydantic import BaseModel, ConfigDict

from lmm_r1_mega.config import Config

MAX_SETTINGS = 120


def leaves(model: type[BaseModel], path: str = ""):
    """(dotted name, description) of every setting."""
    for name, field in model.model_fields.items():
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            yield from leaves(field.annotation, f"{path}{name}.")
        else:
            yield path + name, field.description or ""


def undocumented(model: type[BaseModel]):
    """Settings without a sentence."""
    return [name for name, description in leaves(model) if not description.endswith(".")]


def test_files_are_named_after_what_they_hold():
    assert list(vague_names(module.name for module in package_modules())) == []


def test_settings_are_few():
    assert len(list(leaves(Config))) <= MAX_SETTINGS


def test_every_setting_is_explained():
    assert undocumented(Config) == []


def test_every_section_is_frozen_and_refuses_unknown_keys():
    sections = [Config, *(field.annotation for field in Config.model_fields.values() if issubclass(field.annotation, BaseModel))]
    assert all(section.model_config["frozen"] and section.model_config["extra"] == "forbid" for section in sections)


def test_test_files_have_names_of_their_own():
    counts = Counter(path.name for path in (ROOT / "tests").rglob("test_*.py"))
    assert [name for name, count in counts.items() if count > 1] == []


def test_a_vague_name_is_found():
    assert len(list(vague_names(["data.utils", "common", "training.base", "rollout.memory_manager", "a.string_helpers"]))) == 5
    assert list(vague_names(["training.baseline", "commons", "data.packing"])) == []


def test_a_setting_without_a_sentence_is_found():
    class Inner(BaseModel):
        model_config = ConfigDict(use_attribute_docstrings=True)
        explained: int = 1
        """What it does."""
        bare: int = 2

    class Outer(BaseModel):
        inner: Inner = Inner()

    assert undocumented(Outer) == ["inner.bare"]
