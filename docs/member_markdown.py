"""One class or function as Markdown: its signature, docstring, attributes and methods."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import griffe

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

_WIDE = 88


def markdown(member: griffe.Object, imported_as: str) -> Iterator[str]:
    """The paragraphs about ``member``, which a caller imports as the dotted name ``imported_as``."""
    yield f"### `{member.name}`"
    home, _, name = imported_as.rpartition(".")
    yield f"`from {home} import {name}`"
    if isinstance(member, griffe.Function):
        yield from _function(member)
    elif isinstance(member, griffe.Class):
        yield from _class(member)


def _class(cls: griffe.Class) -> Iterator[str]:
    init = cls.members.get("__init__")
    if isinstance(init, griffe.Function) and _describes_arguments(cls):
        yield _signature(init, cls.name)
    elif cls.bases and cls.name.endswith("Error"):
        yield f"Subclass of {' and '.join(f'`{base}`' for base in cls.bases)}."
    yield from _docstring(cls)
    if fields := [field for field in cls.attributes.values() if _is_shown(field)]:
        yield _table(fields)
    for method in cls.members.values():
        if isinstance(method, griffe.Function) and is_public(method):
            yield f"#### `{cls.name}.{method.name}`"
            yield from _function(method)


def is_public(member: griffe.Object | griffe.Alias) -> bool:
    """Whether ``member`` is documented, defined here, and not private."""
    return not (member.is_alias or member.name.startswith("_") or member.docstring is None)


def _is_shown(field: griffe.Attribute) -> bool:
    """A documented one, and each field of a dataclass."""
    is_field = "dataclass" in (field.parent.labels if field.parent else ())
    is_declared = field.annotation is not None and not field.name.startswith("_")
    return is_public(field) or (is_field and is_declared)


def _describes_arguments(cls: griffe.Class) -> bool:
    sections = cls.docstring.parsed if cls.docstring else []
    return any(each.kind is griffe.DocstringSectionKind.parameters for each in sections)


def _function(function: griffe.Function) -> Iterator[str]:
    yield _signature(function, function.name)
    yield from _docstring(function)


def _signature(function: griffe.Function, name: str) -> str:
    marks = "".join(
        f"@{label}\n" for label in ("classmethod", "staticmethod") if label in function.labels
    )
    given = list(_arguments(function.parameters))
    returned = "" if function.returns is None or name[0].isupper() else f" -> {function.returns}"
    start = name if name[0].isupper() else f"def {name}"
    line = f"{start}({', '.join(given)}){returned}"
    if len(line) > _WIDE:
        line = "\n".join([f"{start}(", *[f"    {each}," for each in given], f"){returned}"])
    return f"```python\n{marks}{line}\n```"


def _arguments(parameters: griffe.Parameters) -> Iterator[str]:
    starred = False
    for each in parameters:
        if each.name in ("self", "cls"):
            continue
        is_named = each.kind is griffe.ParameterKind.keyword_only
        if is_named and not starred:
            yield "*"
        starred = starred or is_named
        star = "**" if each.kind is griffe.ParameterKind.var_keyword else ""
        kind = "" if each.annotation is None else f": {each.annotation}"
        default = "" if each.default is None or star else f" = {each.default}"
        yield f"{star}{each.name}{kind}{default}"


def _docstring(member: griffe.Object) -> Iterator[str]:
    for section in member.docstring.parsed if member.docstring else []:
        match section:
            case griffe.DocstringSectionText():
                yield _prose(section.value)
            case griffe.DocstringSectionParameters():
                yield _items(
                    "Arguments", [(f"`{it.name}`", it.description) for it in section.value]
                )
            case griffe.DocstringSectionRaises():
                yield _items(
                    "Raises", [(f"`{it.annotation}`", it.description) for it in section.value]
                )
            case griffe.DocstringSectionReturns():
                yield _items("Returns", [("", it.description) for it in section.value])
            case griffe.DocstringSectionYields():
                yield _items("Yields", [("", it.description) for it in section.value])


def _items(title: str, items: Sequence[tuple[str, str]]) -> str:
    lines = [
        f"- {name}: {one_line(text)}" if name else f"- {one_line(text)}" for name, text in items
    ]
    return "\n".join([f"**{title}**", "", *lines])


def _table(fields: Sequence[griffe.Attribute]) -> str:
    rows = [
        f"| `{it.name}` | {kind(it)} | {default(it)} | {_cell(it.docstring)} |" for it in fields
    ]
    return "\n".join(["| name | type | default | meaning |", "|---|---|---|---|", *rows])


def kind(field: griffe.Attribute) -> str:
    """The type of ``field``, and the bounds that pydantic checks."""
    if field.annotation is None:
        return ""
    text, bounds = _bounds(_resolved(field))
    return " ".join([f"`{text}`".replace("|", r"\|"), *bounds])


def _resolved(field: griffe.Attribute) -> str:
    """The annotation, with an alias that its module has or imports (``Count``) in full."""
    words = re.split(r"(\w+)", str(field.annotation))
    return "".join(_alias(field.module, word) or word for word in words)


def _alias(module: griffe.Module, name: str) -> str | None:
    member = module.members.get(name)
    if isinstance(member, griffe.Alias) and member.target_path.startswith("kvtransfer."):
        member = member.final_target
    text = str(member.value) if isinstance(member, griffe.Attribute) else ""
    return text if text.startswith("Annotated[") else None


def _bounds(annotation: str) -> tuple[str, list[str]]:
    found = re.match(r"Annotated\[(.*), (?:Field|BeforeValidator)\((.*)\)\](.*)", annotation)
    if found is None:
        return annotation, []
    kind, checks, rest = found.groups()
    inner, bounds = _bounds(kind)
    signs = {"ge": "≥", "gt": ">", "le": "≤"}
    limits = re.findall(r"\b(ge|gt|le)=([\d.]+)", checks)
    return inner + rest, [*bounds, *[f"{signs[name]} {value}" for name, value in limits]]


def default(field: griffe.Attribute) -> str:
    """The default of a setting or a field as code; empty for what ``__init__`` assigns."""
    if field.value is None or "class-attribute" not in field.labels:
        return ""
    made = re.fullmatch(r"field\(default_factory=(.*)\)", str(field.value))
    return f"`{made[1]}()`" if made else f"`{field.value}`"


def _prose(text: str) -> str:
    """Paragraphs on one line each, as far as they are no list; roles of Sphinx as plain code."""
    return "\n\n".join(one_line(part) for part in text.split("\n\n"))


def _cell(docstring: griffe.Docstring | None) -> str:
    return one_line(docstring.value if docstring else "").replace("|", r"\|")


def one_line(text: str) -> str:
    """``text`` of a docstring as Markdown on one line; roles of Sphinx become plain code."""
    words = " ".join(text.split())
    roles = re.sub(r":(?:class|func|meth|mod):`[.~]*(?:\w+\.)*(\w+)`", r"``\1``", words)
    return roles.replace("``", "`")
