"""Commands of bash itself that change what a script's words are."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path, PurePosixPath

from lmm_r1_mega.migration.bash.commands import Call, assign
from lmm_r1_mega.migration.bash.conditions import Conditions, Truth
from lmm_r1_mega.migration.bash.interpreter import Leaves
from lmm_r1_mega.migration.bash.parameters import Parameters
from lmm_r1_mega.migration.bash.scan import Unreadable
from lmm_r1_mega.migration.bash.state import Variable
from lmm_r1_mega.migration.bash.tree import parse
from lmm_r1_mega.migration.bash.unknown import Unknown, first_letter, is_split, readable
from lmm_r1_mega.migration.bash.words import Piece, split

_ENVIRONMENTS = re.compile(
    r"(.*/)?activate|.*/(\.?bashrc|\.?bash_profile|\.?profile|conda\.sh|modules?\.sh|set_env\.sh|setvars\.sh)|/etc/.*"
)
"""Files that set paths of programs, and nothing that a training command is made of."""
_HOOKS = re.compile(r"\$\(\S*(conda|mamba|micromamba|pyenv|ssh-agent|direnv|modulecmd|lmod)\b")
_SHORT_OPTIONS = {"a": "allexport", "f": "noglob", "u": "nounset", "e": "errexit"}
_DECLARING = ("export", "declare", "typeset", "local", "readonly")
_TEXT = re.compile(r"([A-Za-z_]\w*)(\+?=)(.*)", re.DOTALL)


def _declare(call: Call) -> Truth:
    """`export`, `declare`, `typeset`, `local` and `readonly`."""
    name, *_ = call.words
    options = "".join(word[1:] for word in call.words[1:] if re.fullmatch(r"[-+][a-zA-Z]+", word))
    if "n" in options and name != "export":
        raise Unreadable(f"{call.place}: {name} -n is not read here: use the variable itself")
    is_local = name == "local" or (name in ("declare", "typeset") and "g" not in options)
    seen = set()
    for field in call.fields[1:]:
        if re.fullmatch(r"[-+][a-zA-Z]+", field.text) or (field.span is not None and field.span in seen):
            continue
        if first_letter(field.text) and field.span is None and _TEXT.match(field.text) is None:
            _forget_all(call, f"what {name} {readable(field.text)} sets ({call.place}) is not in the script")
            continue
        seen.add(field.span)
        base = re.match(r"\w*", field.text)
        assert base is not None
        if is_local:
            call.shell.hide(base[0])
        before = call.shell.get(base[0])
        call.shell.variables[base[0]] = replace(
            before,
            is_named=before.is_named or "A" in options,
            is_integer=before.is_integer or "i" in options,
            is_exported=before.is_exported or name == "export" or "x" in options,
        )
        if field.span is not None:
            assign(call.interpreter, call.source, *field.span, call.shell)
        elif (match := _TEXT.fullmatch(field.text)) is not None:
            call.shell.set(match[1], (call.shell.get(match[1]).elements.get(0, "") if match[2] == "+=" else "") + match[3])
    return True


def _unset(call: Call) -> Truth:
    for name in call.words[1:]:
        if name.startswith("-"):
            continue
        base, bracket, key = name.partition("[")
        variable = call.shell.get(base)
        if bracket:
            elements = variable.elements
            elements.pop(key[:-1] if variable.is_named else call.shell.index(key[:-1], variable), None)
            call.shell.variables[base] = replace(variable, value=elements)
        elif call.words[1] != "-f" and (name in call.shell.variables or name not in call.shell.functions):
            call.shell.variables[name] = Variable(None)
        else:
            call.shell.functions.pop(name, None)
    return True


def _set(call: Call) -> Truth:
    """`set -- a b` and `set -f`."""
    words = call.words[1:]
    options = set(call.shell.options)
    while words and re.fullmatch(r"[-+](?!-)[a-zA-Z]+", words[0]):
        sign, letters = words[0][0], words[0][1:]
        names = {_SHORT_OPTIONS[letter] for letter in letters if letter in _SHORT_OPTIONS}
        if letters.endswith("o") and words[1:]:
            names.add(words.pop(1))
        options = options | names if sign == "-" else options - names
        del words[0]
    call.shell.options = frozenset(options)
    if words and re.match(r"[-+].", words[0]) and words[0] != "--":
        raise Unreadable(f"{call.place}: set {words[0]} is not read here: write -- before arguments")
    if words:
        call.shell.arguments = tuple(words[1:] if words[0] in ("--", "-") else words)
    return True


def _shift(call: Call) -> Truth:
    count = call.words[1] if call.words[1:] else "1"
    if not count.isdigit() or any(is_split(word) for word in call.shell.arguments[: int(count)]):
        raise Unreadable(f"{call.place}: how far `shift` goes is not known here: write the arguments")
    if int(count) > len(call.shell.arguments):
        return False
    call.shell.arguments = call.shell.arguments[int(count) :]
    return True


def _cd(call: Call) -> Truth:
    words = [word for word in call.words[1:] if word not in ("--", "-P", "-L")]
    if words[:1] == ["-"] or call.words[0] != "cd":
        raise Unreadable(f"{call.place}: {' '.join(call.words)} is not read here: name the folder with cd")
    target = words[0] if words else "".join(Parameters(call.shell).look_up("HOME", call.place).values)
    if first_letter(target):
        call.shell.folder = first_letter(target)
    elif not first_letter(call.shell.folder) or target.startswith("/"):
        call.shell.folder = str(PurePosixPath(call.shell.folder) / target)
    call.shell.variables["PWD"] = Variable(call.shell.folder, is_exported=True)
    return True


def _echo(call: Call) -> Truth:
    words = call.words[1:]
    ends = "\n"
    while words and re.fullmatch(r"-[neE]+", words[0]):
        if "e" in words[0] and any("\\" in word for word in words):
            return _print(call, call.shell.unknown(f"what echo -e prints ({call.place}) is not read here: write it"))
        ends = "" if "n" in words[0] else ends
        del words[0]
    return _print(call, " ".join(words) + ends)


def _printf(call: Call) -> Truth:
    """`printf` with %s and %d alone."""
    words = call.words[1:]
    target = words[1] if words[:1] == ["-v"] else None
    form, *values = words[2:] if target else words
    text = call.shell.unknown(f"what printf prints ({call.place}) is not read here: write it")
    if not re.search(r"%(?![sd%])|\\(?![nt\\])", form) and not first_letter(form):
        text = ""
        count = len(re.findall(r"%[sd]", form))
        rounds = max(1, -(-len(values) // count)) if count else 1
        values = [*values, *[""] * (rounds * count - len(values))]
        for _ in range(rounds):
            text += re.sub(r"%[sd%]", lambda match: "%" if match[0] == "%%" else values.pop(0) or ("0" if match[0] == "%d" else ""), form)
        text = text.replace("\\n", "\n").replace("\\t", "\t").replace("\\\\", "\\")
    if target:
        call.shell.set(target, text)
        return True
    return _print(call, text)


def _print(call: Call, text: str) -> Truth:
    if call.shell.output is not None:
        call.shell.output.append(text)
    return True


def _cat(call: Call) -> Truth:
    if call.given.text is not None and len(call.fields) == 1:
        return _print(call, call.given.text)
    return call.start_program()


def _pwd(call: Call) -> Truth:
    return _print(call, call.shell.folder + "\n")


def _dirname(call: Call) -> Truth:
    return _of_path(
        call, lambda text: re.sub(r"/+$", "", re.sub(r"[^/]*$", "", text.rstrip("/"))) or ("/" if text.startswith("/") else ".")
    )


def _basename(call: Call) -> Truth:
    if len(call.words) == 3:
        suffix = call.words[2]
        return _of_path(call, lambda text: _last(text).removesuffix(suffix) or _last(text))
    return _of_path(call, _last)


def _last(path: str) -> str:
    return path.rstrip("/").rpartition("/")[2] or "/"


def _of_path(call: Call, change: Callable[[str], str]) -> Truth:
    words = [word for word in call.words[1:] if word != "--"]
    if len(words) not in (1, 2) or words[0].startswith("-"):
        return call.start_program()
    letter = first_letter("".join(words))
    return _print(call, (letter or change(words[0])) + "\n")


def _seq(call: Call) -> Truth:
    words = call.words[1:]
    if not 1 <= len(words) <= 3 or not all(re.fullmatch(r"-?\d+", word) for word in words):
        return call.start_program()
    first, step, last = {1: ("1", "1", words[-1]), 2: (words[0], "1", words[-1]), 3: (words[0], words[1 % len(words)], words[-1])}[
        len(words)
    ]
    stride = int(step)
    numbers = range(int(first), int(last) + (1 if stride > 0 else -1), stride) if stride else []
    return _print(call, "".join(f"{number}\n" for number in numbers))


def _read(call: Call) -> Truth:
    """`read` from a here-document or a here-string; from elsewhere its variables are unknown."""
    options, names = _options(call.words[1:], with_value="dnNptu")
    names = names or ["REPLY"]
    if call.given.text is None:
        why = call.shell.unknown(f"what `{' '.join(call.words)}` reads ({call.place}) is not in the script: write it")
        for name in names:
            call.shell.variables[options.get("a", name)] = Variable(why)
        return Unknown(f"`read` ({call.place}) ends as only a run can tell")
    end = options.get("d", "\n")
    text = call.given.text.split(end)[0] if end else call.given.text
    if "r" not in options and "\\" in text:
        raise Unreadable(f"{call.place}: `read` without -r is not read here where the text has a backslash: write -r")
    separators = call.shell.get("IFS").value
    blanks = separators if isinstance(separators, str) else " \t\n"
    if "a" in options:
        call.shell.variables[options["a"]] = Variable(dict(enumerate(word.text for word in split([Piece(text, "expanded")], blanks))))
        return end != ""
    rest = text.strip("".join(sign for sign in blanks if sign in " \t\n"))
    for name in names[:-1]:
        first = split([Piece(rest, "expanded")], blanks)[:1]
        call.shell.set(name, first[0].text if first else "")
        rest = re.sub(f"^[{re.escape(blanks)}]+", "", rest[len(first[0].text) if first else 0 :]) if blanks else ""
    last = split([Piece(rest, "expanded")], blanks)
    call.shell.set(names[-1], last[0].text if len(last) == 1 else rest)
    return end != ""


def _mapfile(call: Call) -> Truth:
    """`mapfile -t lines <<< text`"""
    options, names = _options(call.words[1:], with_value="dnOsuCc")
    name = names[0] if names else "MAPFILE"
    if call.given.text is None or "t" not in options or len(options) > 1:
        call.shell.variables[name] = Variable(
            call.shell.unknown(f"what `{call.words[0]}` reads ({call.place}) is not in the script: write it")
        )
        return True
    call.shell.variables[name] = Variable(dict(enumerate(call.given.text.splitlines())))
    return True


def _options(words: list[str], *, with_value: str) -> tuple[dict[str, str], list[str]]:
    """Options with their values, and what follows them; the value of `-a` is a name."""
    found: dict[str, str] = {}
    rest = list(words)
    while rest and re.match(r"-[a-zA-Z]", rest[0]):
        letters = rest.pop(0)[1:]
        while letters:
            letter, letters = letters[0], letters[1:]
            has_value = letter in with_value + "a"
            found[letter] = (letters or (rest.pop(0) if rest else "")) if has_value else ""
            letters = "" if has_value else letters
    return found, rest


def _getopts(call: Call) -> Truth:
    if not call.shell.arguments:
        return False
    raise Unreadable(f"{call.place}: getopts is not read here: set the variables of the options in the environment or the script")


def _let(call: Call) -> Truth:
    expander = call.interpreter.expander(call.source, call.shell)
    values = [expander.computed(word, call.start) for word in call.words[1:]]
    letter = first_letter(values[-1])
    return bool(int(values[-1])) if not letter else Unknown(f"`let` ({call.place}) is not known here")


def _test(call: Call) -> Truth:
    return Conditions(call.shell, call.place).test(call.words[1:])


def _leave(call: Call) -> Truth:
    name, *rest = call.words
    number = rest[0] if rest else ""
    if name in ("break", "continue"):
        raise Leaves(name, int(number) if number.isdigit() else 1)
    truth: Truth = number in ("", "0")
    if not number.isdigit():
        truth = Unknown(f"the status of `{name}` ({call.place}) is known only while the script runs")
    raise Leaves(name, truth=truth)


def _eval(call: Call) -> Truth:
    """`eval` of a text that is known."""
    text = " ".join(call.words[1:])
    if (text and not readable(text).strip(". ")) or _HOOKS.search(call.source.text, call.start, call.start + 200):
        if not _HOOKS.search(call.source.text, call.start, call.start + 200):
            _forget_all(call, f"what `eval` runs ({call.place}) is not in the script")
        return Unknown(f"`eval` ({call.place}) ends as only a run can tell")
    return call.interpreter.run_text(parse(text, inside=call.place), call.shell)


def _source(call: Call) -> Truth:
    """A file whose statements are the script's own."""
    name, *arguments = call.words[1:] or [""]
    if _ENVIRONMENTS.fullmatch(readable(name)) or name == "activate":
        return Unknown(f"`source` ({call.place}) ends as only a run can tell")
    path = Path(call.shell.folder) / name
    if first_letter(str(path)) or not path.is_file():
        shown = readable(name)
        _forget_all(call, f"{shown}, which the script reads ({call.place}), is no file here, and may set this")
        return Unknown(f"`source` ({call.place}) ends as only a run can tell")
    before = call.shell.arguments
    call.shell.arguments = tuple(arguments) or before
    try:
        return call.interpreter.run_text(parse(path.read_text(encoding="utf-8"), name=name), call.shell)
    except Leaves as leaves:
        if leaves.kind != "return":
            raise
        return leaves.truth
    finally:
        call.shell.arguments = before


def _forget_all(call: Call, reason: str) -> None:
    """Variables may be anything from here on."""
    why = Unknown(f"{reason}: write its value in its place")
    call.shell.is_open = why
    letter = call.shell.unknowns.letter(why)
    for name in call.shell.variables:
        if name not in ("HOME", "PWD", "PATH", "IFS"):
            call.shell.variables[name] = Variable(letter)


def _next(call: Call) -> Truth:
    """`command`, `builtin`, `time`, `exec` and what follows them."""
    rest = call.fields[1:]
    while rest and rest[0].text.startswith("-"):
        if call.words[0] == "command":  # command -v asks whether a program is there
            return call.start_program()
        rest = rest[1:]
    return replace(call, fields=rest).run() if rest else True


def _shopt(call: Call) -> Truth:
    if {"nullglob", "failglob", "extglob", "nocasematch"} & set(call.words):
        call.shell.notes[f"shopt ({call.place}) is not followed"] = None
    return True


BUILTINS: Mapping[str, Callable[[Call], Truth]] = {
    **dict.fromkeys(_DECLARING, _declare),
    **dict.fromkeys(
        (":", "true", "trap", "wait", "ulimit", "umask", "hash", "jobs", "disown", "alias", "enable", "kill"), lambda call: True
    ),
    **dict.fromkeys(("break", "continue", "exit", "return"), _leave),
    **dict.fromkeys(("command", "builtin", "time", "exec"), _next),
    **dict.fromkeys(("mapfile", "readarray"), _mapfile),
    **dict.fromkeys(("source", "."), _source),
    **dict.fromkeys(("cd", "pushd", "popd"), _cd),
    "false": lambda call: False,
    "unset": _unset,
    "set": _set,
    "shift": _shift,
    "echo": _echo,
    "printf": _printf,
    "cat": _cat,
    "pwd": _pwd,
    "dirname": _dirname,
    "basename": _basename,
    "seq": _seq,
    "read": _read,
    "getopts": _getopts,
    "let": _let,
    "test": _test,
    "eval": _eval,
    "shopt": _shopt,
}
