"""Write docs/configuration.md, the page of all settings, from the docstrings of `config/`.

python tools/write_configuration_page.py
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from lmm_r1_mega.config import Config

PAGE = Path(__file__).resolve().parents[1] / "docs" / "configuration.md"
OPENING = """\
# Settings

Written by `tools/write_configuration_page.py` from the docstrings of `lmm_r1_mega/config`; change them there and run it again.

A configuration is a YAML file with these sections, an option is the dotted name of a setting. Files come first, options after
them, and what comes later wins:

    lmm-r1-mega train first.yaml second.yaml --algorithm.name rloo --rollout.temperature 0.9

A list takes its values one after the other (`--data.train a.jsonl b.jsonl`), names take theirs in turn
(`--reward.weights format 0.5 accuracy 1.0`), a boolean is `True` or `False`, and `None` empties a setting that may be left out.
A value out of range or an unknown name is an error before anything starts, and the nearest right name is given. A run writes the
resolved settings to `config.yaml` in its folder. `lmm-r1-mega train --help` prints this page in the terminal."""
BOUNDS = {"minimum": "at least", "exclusiveMinimum": "above", "maximum": "at most", "exclusiveMaximum": "below"}
NAMES = {"string": "text"}


def render() -> str:
    """The whole page: a table for each section, in the order of `config/`."""
    return "\n\n".join([OPENING, *_sections(Config, "")]) + "\n"


def _sections(model: type[BaseModel], prefix: str) -> Iterator[str]:
    """A section's table, then those of the sections inside it."""
    schemas = model.model_json_schema()["properties"]
    inner = {name: field.annotation for name, field in model.model_fields.items() if _is_section(field.annotation)}
    rows = [_row(prefix + name, field, schemas[name]) for name, field in model.model_fields.items() if name not in inner]
    if rows:
        title = f"## {prefix.rstrip('.')}\n\n{(model.__doc__ or '').strip()}"
        yield "\n".join([title, "", "| setting | takes | default | meaning |", "|---|---|---|---|", *rows])
    for name, section in inner.items():
        yield from _sections(section, f"{prefix}{name}.")


def _is_section(annotation: Any) -> bool:
    return isinstance(annotation, type) and issubclass(annotation, BaseModel)


def _row(name: str, field: FieldInfo, schema: dict[str, Any]) -> str:
    return f"| `{name}` | {takes(schema)} | {_default(field.default)} | {field.description} |"


def takes(schema: dict[str, Any]) -> str:
    """What a setting accepts, in words, from its JSON schema.

    Example: {"type": "integer", "minimum": 1} -> "integer, at least 1"
    """
    if "anyOf" in schema:
        return " or ".join("nothing" if one.get("type") == "null" else takes(one) for one in schema["anyOf"])
    if "enum" in schema or "const" in schema:
        return ", ".join(f"`{one}`" for one in schema.get("enum", [schema.get("const")]))
    if schema["type"] == "object":
        return f"names, each with: {takes(schema['additionalProperties'])}"
    if schema["type"] == "array":
        return f"{len(schema['prefixItems'])} numbers" if "prefixItems" in schema else f"list of: {takes(schema['items'])}"
    kind = "path" if schema.get("format") == "path" else NAMES.get(schema["type"], schema["type"])
    return ", ".join([kind, *(f"{words} {schema[bound]:g}" for bound, words in BOUNDS.items() if bound in schema)])


def _default(value: Any) -> str:
    """The default as YAML has it."""
    if value is None:
        return "none"
    plain = str(value) if isinstance(value, Path) else value
    return f"`{plain if isinstance(plain, str) else json.dumps(plain)}`"


if __name__ == "__main__":
    PAGE.write_text(render(), encoding="utf-8")
    print(f"written: {PAGE}")
