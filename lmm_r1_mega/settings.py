"""From YAML files and command-line options to one `Config`; an unknown key is an error that names the nearest right one."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import tyro
import yaml
from pydantic import BaseModel, ValidationError

from lmm_r1_mega.config import Config


def read_config(arguments: list[str], *, prog: str) -> Config:
    """Settings from `[FILE.yaml ...] [--section.field value ...]`; later ones win.

    Raises:
        ValueError: a file is missing or not a mapping, or a setting is unknown or out of range.
        SystemExit: tyro printed the help (0) or explained a wrong option (2).
    """
    files = list(_leading_files(arguments))
    tree: dict[str, Any] = {}
    for name in files:
        tree = merge(tree, _read_yaml(Path(name)))
    config = parse_tree(tree, source=", ".join(files) or "the defaults")
    return _override(config, arguments[len(files) :], prog=prog)


def parse_tree(tree: Mapping[str, Any], *, source: str) -> Config:
    """Validate a nested mapping; every wrong key or value is named with its place."""
    try:
        return Config.model_validate(tree)
    except ValidationError as error:
        raise ValueError(f"{source}: " + "; ".join(_explain(problem) for problem in error.errors())) from None


def merge(under: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """Two nested mappings as one; where both have a value, `over` wins.

    Example: {a: {x: 1, y: 2}} and {a: {y: 3}} -> {a: {x: 1, y: 3}}
    """
    result = dict(under)
    for key, value in over.items():
        both = isinstance(value, Mapping) and isinstance(result.get(key), Mapping)
        result[key] = merge(result[key], value) if both else value
    return result


def setting_names(model: type[BaseModel] = Config, prefix: str = "") -> Iterator[str]:
    """Dotted names of all settings."""
    for name, field in model.model_fields.items():
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            yield from setting_names(field.annotation, f"{prefix}{name}.")
        else:
            yield prefix + name


def to_yaml(config: Config) -> str:
    """The tree as YAML that `read_config` reads back to an equal one."""
    return yaml.safe_dump(config.model_dump(mode="json"), sort_keys=False)


def _leading_files(arguments: list[str]) -> Iterator[str]:
    for argument in arguments:
        if argument.startswith("-"):
            return
        yield argument


def _read_yaml(path: Path) -> dict[str, Any]:
    if not path.is_file():
        raise ValueError(f"no configuration file {path}: give a YAML file, or an option as --section.field value")
    try:
        tree = yaml.safe_load(path.read_text(encoding="utf-8"))
    except yaml.YAMLError as error:
        raise ValueError(f"{path} is not YAML: {error}") from None
    if not isinstance(tree, dict):
        raise ValueError(f"{path} holds {type(tree).__name__}, not sections with settings such as `model: {{path: ...}}`")
    return tree


def _override(config: Config, options: list[str], *, prog: str) -> Config:
    known = {*setting_names(), "help"}
    for name in map(_option_name, options):
        if name is not None and name not in known:
            raise ValueError(_unknown(name))
    return tyro.cli(tyro.conf.FlagConversionOff[Config], prog=prog, args=options, default=config, config=(tyro.conf.AvoidSubcommands,))


def _option_name(option: str) -> str | None:
    """`--layout.row-tokens=4` -> `layout.row_tokens`; None for a value."""
    if not option.startswith("--"):
        return None
    return option[2:].split("=", 1)[0].replace("-", "_")


def _explain(problem: Mapping[str, Any]) -> str:
    name = ".".join(str(part) for part in problem["loc"])
    if problem["type"] == "extra_forbidden":
        return _unknown(name)
    if problem["type"] == "value_error":
        return str(problem["ctx"]["error"])
    return f"{name} = {problem['input']!r}: {problem['msg']}"


def _unknown(name: str) -> str:
    names = list(setting_names())
    same_field = [known for known in names if known.rsplit(".", 1)[-1] == name.rsplit(".", 1)[-1]]
    near = same_field or difflib.get_close_matches(name, names, n=1, cutoff=0.6)
    hint = f"did you mean {' or '.join(near)}?" if near else f"sections are {', '.join(Config.model_fields)}"
    return f"unknown setting {name}: {hint}"
