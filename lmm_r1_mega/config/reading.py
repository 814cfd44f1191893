"""From YAML files and command-line options to one `Config`; an unknown key is an error that names the nearest right one."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping
from itertools import pairwise
from operator import attrgetter
from pathlib import Path
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import yaml
from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo

from lmm_r1_mega.config import RENAMED, Config


def read_config(arguments: list[str], *, of_run: bool = False) -> Config:
    """Settings from `[FILE.yaml ...] [--section.field value ...]`; later ones win.

    Example: `base.yaml --layout.tensor 2 --data.train a.jsonl b.jsonl --reward.weights accuracy 1 format 0.5`

    A model may be given as the folder of a run that exported it. The files of a run (`of_run`) may have the names of an earlier version.

    Raises:
        ValueError: a file is missing or not a mapping, a setting is unknown or out of range, or a run has no exported model.
    """
    files = list(_leading_files(arguments))
    tree: dict[str, Any] = {}
    for name in files:
        tree = merge(tree, with_new_names(read_tree(Path(name))) if of_run else read_tree(Path(name)))
    options = list(_options(arguments[len(files) :]))
    for name, value in options:
        tree = _replaced(tree, name.split("."), value)
    sources = [*files, *(["the command line"] if options else [])]
    return _with_model_folders(parse_tree(tree, source=" and ".join(sources) or "the defaults"))


def parse_tree(tree: Mapping[str, Any], *, source: str) -> Config:
    """Validate a nested mapping; every wrong key or value is named with its place."""
    try:
        return Config.model_validate(tree)
    except ValidationError as error:
        raise ValueError(f"{source}: " + "; ".join(_explain(problem) for problem in error.errors())) from None


def model_folder(path: Path) -> Path:
    """Where a model is: in `path` itself, or in `hf` of the run that exported it.

    Raises: ValueError where the run has not exported one.
    """
    if (path / "config.json").is_file() or not (path / "run.json").is_file():
        return path
    if not (path / "hf" / "config.json").is_file():
        raise ValueError(
            f"{path} is the folder of a run without an exported model (hf): let `lmm-r1-mega resume {path}` finish it, with run.export_hf "
            f"true, or give a Hugging Face folder"
        )
    return path / "hf"


def _with_model_folders(config: Config) -> Config:
    models = {name: model_folder(path) for name, path in config.reward.models.items()}
    sections = {
        "model": config.model.model_copy(update={"path": model_folder(config.model.path)}),
        "critic": config.critic.model_copy(update={"path": config.critic.path and model_folder(config.critic.path)}),
        "reward": config.reward.model_copy(update={"models": models}),
    }
    return config.model_copy(update=sections)


def renamed_in(tree: Mapping[str, Any]) -> dict[str, str]:
    """Settings of an earlier version that a nested mapping has, with their names of today."""
    return {old: new for old, new in RENAMED.items() if _value_at(tree, old.split(".")) is not None}


def with_new_names(tree: Mapping[str, Any]) -> dict[str, Any]:
    """The nested mapping with the settings of an earlier version under their names of today."""
    result = dict(tree)
    for old, new in renamed_in(tree).items():
        value = _value_at(result, old.split("."))
        result = _replaced(_without(result, old.split(".")), new.split("."), value)
    return result


def merge(under: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """Two nested mappings as one; where both have a value, `over` wins.

    Example: {a: {x: 1, y: 2}} and {a: {y: 3}} -> {a: {x: 1, y: 3}}
    """
    result = dict(under)
    for key, value in over.items():
        both = isinstance(value, Mapping) and isinstance(result.get(key), Mapping)
        result[key] = merge(result[key], value) if both else value
    return result


def setting_names(model: type[BaseModel] = Config) -> Iterator[str]:
    """Dotted names of all settings."""
    return (name for name, _ in setting_fields(model))


def setting_fields(model: type[BaseModel] = Config, prefix: str = "") -> Iterator[tuple[str, FieldInfo]]:
    """Dotted names of all settings, and what pydantic knows about each."""
    for name, field in model.model_fields.items():
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            yield from setting_fields(field.annotation, f"{prefix}{name}.")
        else:
            yield prefix + name, field


def to_yaml(config: Config, *, given_only: bool = False) -> str:
    """The tree as YAML that `read_config` reads back to an equal one; `given_only` leaves out what was not set."""
    return yaml.safe_dump(config.model_dump(mode="json", exclude_unset=given_only), sort_keys=False)


def changes(before: Config, after: Config) -> dict[str, str]:
    """Settings with another value by name, as `4 -> 8`."""
    values = {name: (attrgetter(name)(before), attrgetter(name)(after)) for name in setting_names()}
    return {name: f"{_shown(old)} -> {_shown(new)}" for name, (old, new) in values.items() if old != new}


def describe_settings() -> str:
    """Every setting with its kind, default and meaning, for `--help`."""
    return "\n".join(
        f"  --{name} {_placeholder(field.annotation)}  (default: {_shown(field.default)})\n        {field.description}"
        for name, field in setting_fields()
    )


def _leading_files(arguments: list[str]) -> Iterator[str]:
    for argument in arguments:
        if argument.startswith("-"):
            return
        yield argument


def read_tree(path: Path) -> dict[str, Any]:
    """A YAML file as it is, its settings not checked. Errors: ValueError where it is none, or no mapping."""
    if not path.is_file():
        raise ValueError(f"no configuration file {path}: give a YAML file, or an option as --section.field value")
    try:
        with path.open(encoding="utf-8") as file:
            tree = yaml.load(file, _Loader)
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ValueError(f"{path} is not YAML: {error}") from None
    if not isinstance(tree, dict):
        raise ValueError(
            f"{path} holds {'nothing' if tree is None else type(tree).__name__}, not sections with settings such as `model: {{path: ...}}`"
        )
    return tree


class _Loader(yaml.SafeLoader):
    """YAML in which no key stands twice beside itself, as the standard asks for."""

    def compose_mapping_node(self, anchor: Any) -> yaml.MappingNode:
        node = super().compose_mapping_node(anchor)
        lines: dict[str, int] = {}
        for key, _ in node.value:
            name, line = str(key.value), key.start_mark.line + 1
            if name in lines:
                raise ValueError(f"{self.name} has `{name}` on line {lines[name]} and on line {line}: keep one of them")
            lines[name] = line
        return node


def _options(arguments: list[str]) -> Iterator[tuple[str, Any]]:
    """`--layout.max-tokens-per-microbatch=4 --data.train a b` -> (layout.max_tokens_per_microbatch, "4"), (data.train, ["a", "b"])."""
    fields = dict(setting_fields())
    starts = [place for place, argument in enumerate(arguments) if argument.startswith("--")]
    if arguments and 0 not in starts:
        raise ValueError(f"unknown option {arguments[0]}: write --section.field value")
    for start, end in pairwise([*starts, len(arguments)]):
        name, equals, first = arguments[start][2:].partition("=")
        name = name.replace("-", "_")
        if name not in fields:
            raise ValueError(_unknown(name))
        yield name, _value(name, [*([first] if equals else []), *arguments[start + 1 : end]], fields[name].annotation)


def _value(name: str, words: list[str], annotation: Any) -> Any:
    """The words after an option as YAML would give them; pydantic makes numbers of strings."""
    kinds = [get_origin(kind) or kind for kind in _alternatives(annotation)]
    if words == ["None"] and NoneType in kinds:
        return None
    if tuple in kinds:
        return words
    if dict in kinds and len(words) % 2 == 0:
        names = words[0::2]
        if twice := [one for one in names if names.count(one) > 1]:
            raise ValueError(f"--{name} names {twice[0]} twice: keep one of them")
        return dict(zip(words[0::2], words[1::2], strict=True))
    if len(words) != 1 or dict in kinds:
        raise ValueError(f"--{name} takes {_placeholder(annotation)}, got {' '.join(words) or 'nothing'}")
    return words[0]


def _replaced(tree: Mapping[str, Any], names: list[str], value: Any) -> dict[str, Any]:
    """The nested mapping with another value at a place."""
    first, *rest = names
    below = tree.get(first)
    return {**tree, first: _replaced(below if isinstance(below, Mapping) else {}, rest, value) if rest else value}


def _value_at(tree: Any, names: list[str]) -> Any:
    """The value under a dotted name, or None."""
    for name in names:
        tree = tree.get(name) if isinstance(tree, Mapping) else None
    return tree


def _without(tree: Mapping[str, Any], names: list[str]) -> dict[str, Any]:
    """The nested mapping without the setting of that dotted name, which it has."""
    first, *rest = names
    others = {name: value for name, value in tree.items() if name != first}
    return {**others, first: _without(tree[first], rest)} if rest else others


def _alternatives(annotation: Any) -> list[Any]:
    """Example: `Annotated[int, ...] | None` -> [int, NoneType]."""
    members = get_args(annotation) if get_origin(annotation) in (Union, UnionType) else (annotation,)
    return [get_args(member)[0] if get_origin(member) is Annotated else member for member in members]


def _placeholder(annotation: Any) -> str:
    """Example: a choice is `a|b`, a tuple of paths `PATH ...`, a mapping `NAME FLOAT ...`."""
    kind = next(one for one in _alternatives(annotation) if one is not NoneType)
    inner = get_args(kind)
    if get_origin(kind) is Literal:
        return "|".join(map(str, inner))
    if get_origin(kind) is tuple:
        return f"{_placeholder(inner[0])} ..." if inner[-1] is Ellipsis else " ".join(map(_placeholder, inner))
    if get_origin(kind) is dict:
        return f"NAME {_placeholder(inner[1])} ..."
    return kind.__name__.upper()


def _shown(value: Any) -> str:
    if isinstance(value, dict):
        return " ".join(f"{key} {one}" for key, one in value.items()) or "none"
    if isinstance(value, tuple):
        return " ".join(map(str, value)) or "none"
    return str(value)


def _explain(problem: Mapping[str, Any]) -> str:
    name = ".".join(str(part) for part in problem["loc"])
    if problem["type"] == "extra_forbidden":
        return _unknown(name)
    if problem["type"] == "value_error":
        return str(problem["ctx"]["error"])
    return f"{name} = {problem['input']!r}: {problem['msg']}"


def _unknown(name: str) -> str:
    if name in RENAMED:
        return f"setting {name} is now {RENAMED[name]}: rename it"
    names = list(setting_names())
    same_field = [known for known in names if known.rsplit(".", 1)[-1] == name.rsplit(".", 1)[-1]]
    near = same_field or difflib.get_close_matches(name, names, n=1, cutoff=0.6)
    hint = f"did you mean {' or '.join(near)}?" if near else f"sections are {', '.join(Config.model_fields)}"
    return f"unknown setting {name}: {hint}"
