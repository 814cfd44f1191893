"""Commands of bash itself that change what a script's words are."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path, PurePosixPath

from lmm_r1_mega.migration.bash.commands import Call, assign
from lmm_r1_mega.migration.bash.conditions import test
from lmm_r1_mega.migration.bash.parameters import Parameters
from lmm_r1_mega.migration.bash.state import Leaves, Truth, Variable
from lmm_r1_mega.migration.bash.tree import parse
from lmm_r1_mega.migration.bash.unknown import Unknown, as_split, first_letter, is_split, readable
from lmm_r1_mega.migration.bash.words import Piece, split

_ENVIRONMENTS = re.compile(
    r"(.*/)?activate|.*/(\.?bashrc|\.?bash_profile|\.?profile|conda\.sh|modules?\.sh|set_env\.sh|setvars\.sh)|/etc/.*"
)
"""Files that set paths of programs, and nothing that a training command is made of."""
_HOOKS = re.compile(r"\$\(\S*(conda|mamba|micromamba|pyenv|ssh-agent|direnv|modulecmd|lmod)\b")
_OPTIONS = {"a": "allexport", "f": "noglob"}
_TEXT = re.compile(r"([A-Za-z_]\w*)(\+?=)(.*)", re.DOTALL)


def _declare(call: Call) -> Truth:
    """`export`, `declare`, `typeset`, `local` and `readonly`."""
    name, shell = call.words[0], call.shell
    options = "".join(word[1:] for word in call.words[1:] if re.fullmatch(r"[-+][a-zA-Z]+", word))
    if name != "export" and set(options) - set("Aagprx"):
        raise ValueError("only -A, -a, -g, -p, -r and -x are read here: use the variable itself")
    is_local = name == "local" or (name in ("declare", "typeset") and "g" not in options)
    seen = set()
    for field in call.fields[1:]:
        match = _TEXT.fullmatch(field.text)
        if re.fullmatch(r"[-+][a-zA-Z]+", field.text) or (field.span is not None and field.span in seen):
            continue
        if first_letter(field.text) and field.span is None and match is None:
            _forget_all(call, f"what {name} {readable(field.text)} sets ({call.place}) is not in the script")
            continue
        seen.add(field.span)
        base = re.split(r"\W", field.text)[0]
        if is_local:
            shell.hide(base)
        before = shell.get(base)
        exports = before.is_exported or name == "export" or "x" in options
        shell.store(base, replace(before, is_named=before.is_named or "A" in options, is_exported=exports))
        if field.span is not None:
            assign(call.interpreter.expander(call.source, shell), field.span)
        elif match is not None:
            shell.set(base, (before.elements.get(0, "") if match[2] == "+=" else "") + match[3])
    return True


def _unset(call: Call) -> Truth:
    for name in (word for word in call.words[1:] if word[:1] != "-"):
        if "[" in name or first_letter(name):
            raise ValueError("name the variable, not an element of it")
        if call.words[1] != "-f" and (name in call.shell.variables or name not in call.shell.functions):
            call.shell.store(name, Variable(None))
        elif call.shell.doubts and name in call.shell.functions:
            call.shell.functions[name] = replace(call.shell.functions[name], body=None)
        else:
            call.shell.functions.pop(name, None)
    return True


def _set(call: Call) -> Truth:
    """`set -- a b` and `set -f`."""
    words = call.words[1:]
    options = set(call.shell.options)
    while words and re.fullmatch(r"[-+](?!-)[a-zA-Z]+", words[0]):
        sign, letters = words[0][0], words.pop(0)[1:]
        names = {_OPTIONS[letter] for letter in letters if letter in _OPTIONS}
        names |= {words.pop(0)} if letters[-1] == "o" and words else set()
        options = options | names if sign == "-" else options - names
    if call.shell.doubts and options != call.shell.options:
        raise ValueError("whether this is done is not known: give it a line of its own")
    call.shell.options = frozenset(options)
    if words and re.match(r"[-+].", words[0]) and words[0] != "--":
        raise ValueError("write -- before arguments")
    if words:
        call.shell.set_arguments(tuple(words[1:] if words[0] in ("--", "-") else words))
    return True


def _shift(call: Call) -> Truth:
    shell, count = call.shell, call.words[1] if call.words[1:] else "1"
    if not count.isdigit():
        raise ValueError("how far `shift` goes is not known here: write the arguments")
    if unsure := next(filter(is_split, shell.arguments), ""):
        shell.set_arguments((as_split(first_letter(unsure)),))
        return shell.unknowns.behind(first_letter(unsure))
    if int(count) > len(shell.arguments):
        return False
    shell.set_arguments(shell.arguments[int(count) :])
    return True


def _cd(call: Call) -> Truth:
    words = [word for word in call.words[1:] if word not in ("--", "-P", "-L")]
    if words[:1] == ["-"] or call.words[0] != "cd":
        raise ValueError("name the folder with cd")
    target = words[0] if words else "".join(Parameters(call.shell).look_up("HOME", call.place).values)
    is_known = not first_letter(target) and (target.startswith("/") or not first_letter(call.shell.folder))
    call.shell.enter(str(PurePosixPath(call.shell.folder) / target) if is_known else first_letter(target + call.shell.folder))
    return True


def _echo(call: Call) -> Truth:
    words, options = call.words[1:], ""
    while words and re.fullmatch(r"-[neE]+", words[0]):
        options += words.pop(0)
    text = " ".join(words) + ("" if "n" in options else "\n")
    return _print(call, _unread(call) if "e" in options and "\\" in text else text)


def _printf(call: Call) -> Truth:
    """`printf` with %s and %d alone."""
    words = call.words[1:]
    target = words[1] if words[:1] == ["-v"] else None
    form, *values = words[2:] if target else words
    count, text = len(re.findall(r"%[sd]", form.replace("%%", ""))), ""
    rounds = max(1, -(-len(values) // count)) if count else 1
    rest = iter([*values, *[""] * (rounds * count - len(values))])
    for _ in range(rounds):
        line = form.replace("\\n", "\n").replace("\\t", "\t")
        text += re.sub(r"%[sd%]", lambda match: "%" if match[0] == "%%" else next(rest) or "0"[match[0] == "%s" :], line)
    if re.search(r"^-|%(?![sd%])|\\(?![nt])", form) or first_letter(form) or is_split("".join(values)):
        text = _unread(call)
    if target is None:
        return _print(call, text)
    call.shell.set(target, text)
    return True


def _print(call: Call, text: str) -> Truth:
    call.shell.print(text)
    return True


def _unread(call: Call) -> str:
    return call.shell.unknown(f"what `{call.words[0]}` prints ({call.place}) is not read here: write it")


def _cat(call: Call) -> Truth:
    return call.start_program() if call.given is None or len(call.fields) > 1 else _print(call, call.given)


def _of_path(call: Call) -> Truth:
    """`dirname` and `basename`."""
    name, path, *rest = [*(word for word in call.words if word != "--"), ""]
    if path.startswith("-") or len(call.words) > (3 if name == "basename" else 2):
        return call.start_program()
    folder, _, last = path.rstrip("/").rpartition("/")
    root = "/" if path.startswith("/") else "." if name == "dirname" else ""
    changed = (last.removesuffix(rest[0]) or last or root) if name == "basename" else (folder.rstrip("/") or root)
    return _print(call, (first_letter(path + rest[0]) or changed) + "\n")


def _seq(call: Call) -> Truth:
    words = call.words[1:]
    if not 1 <= len(words) <= 2 or not all(re.fullmatch(r"-?\d+", word) for word in words):
        return call.start_program()
    first, last = map(int, ["1", *words][-2:])
    return _print(call, "".join(f"{number}\n" for number in range(first, last + 1)))


def _read(call: Call) -> Truth:
    """`read -r -d '' text <<EOF` and `IFS=, read -ra list <<< text`; read from elsewhere, variables are unknown."""
    words = call.words[1:]
    if call.given is None:
        why = call.shell.unknown(f"what `{' '.join(call.words)}` reads ({call.place}) is not in the script: write it")
        for name in filter(str.isidentifier, [*words, "REPLY"]):
            call.shell.store(name, Variable(why))
        return Unknown(f"`read` ({call.place}) ends as only a run can tell")
    options, names = "".join(words[:-1]), words[-1:]
    has_end = "d" in options
    if not re.fullmatch("(-r|-r?d|-r?a$)*", options) or has_end != ("" in words[:-1]) or ("r" not in options and "\\" in call.given):
        raise ValueError("read is followed with one name and the options -r, -a and -d '' alone: write the variables' values")
    separators = call.interpreter.expander(call.source, call.shell).separators
    text = call.given if has_end else call.given.split("\n")[0]
    fields = [word.text for word in split([Piece(text, "expanded")], separators)]
    if "a" in options:
        call.shell.store(names[0], Variable(dict(enumerate(fields))))
    else:
        call.shell.set(names[0], text.strip("".join(sign for sign in separators if sign in " \t\n")))
    return not has_end


def _let(call: Call) -> Truth:
    expander = call.interpreter.expander(call.source, call.shell)
    value = [expander.computed(word, call.start) for word in call.words[1:]][-1]
    return call.shell.unknowns.first(value) or int(value) != 0


def _leave(call: Call) -> Truth:
    name, number = [*call.words, ""][:2]
    if name in ("break", "continue"):
        raise Leaves(name, int(number or 1))
    why = Unknown(f"the status of `{name}` ({call.place}) is known only while the script runs")
    raise Leaves(name, truth=why if not number.isdigit() else number == "0")


def _eval(call: Call) -> Truth:
    """`eval` of a text that is known."""
    text = " ".join(call.words[1:])
    is_hook = _HOOKS.search(call.source.text, call.start, call.start + 200)
    if not is_hook and (not text or readable(text).strip(". ")):
        return call.interpreter.run_text(parse(text, inside=call.place), call.shell)
    if not is_hook:
        _forget_all(call, f"what `eval` runs ({call.place}) is not in the script")
    return Unknown(f"`eval` ({call.place}) ends as only a run can tell")


def _source(call: Call) -> Truth:
    """A file whose statements are the script's own."""
    name, *arguments = call.words[1:] or [""]
    path = Path(call.shell.folder) / name
    if _ENVIRONMENTS.fullmatch(readable(name)):
        return Unknown(f"`source` ({call.place}) ends as only a run can tell")
    if first_letter(str(path)) or not path.is_file():
        _forget_all(call, f"{readable(name)}, which the script reads ({call.place}), is no file here, and may set this")
        return Unknown(f"`source` ({call.place}) ends as only a run can tell")
    found = parse(path.read_text(encoding="utf-8"), name=name)
    given = tuple(arguments) or call.shell.arguments
    return call.interpreter.until_return(call.shell, given, lambda: call.interpreter.run_text(found, call.shell))


def _forget_all(call: Call, reason: str) -> None:
    """Variables may be anything from here on."""
    why = Unknown(f"{reason}: write its value in its place")
    call.shell.is_open = why
    for name in call.shell.variables.keys() - {"HOME", "PWD", "PATH", "IFS"}:
        call.shell.variables[name] = Variable(call.shell.unknowns.letter(why))


def _next(call: Call) -> Truth:
    """`command`, `builtin`, `time`, `exec` and what follows them."""
    rest = call.fields[1:]
    if call.words[0] == "command" and rest and rest[0].text.startswith("-"):  # asks whether a program is there
        return call.start_program()
    while rest and rest[0].text.startswith("-"):
        rest = rest[1:]
    return replace(call, fields=rest).run() if rest else True


def _shopt(call: Call) -> Truth:
    if {"nocasematch", "expand_aliases", "lastpipe"} & set(call.words):
        raise ValueError("this option is not followed: write the script without it")
    return True


def _refused(call: Call) -> Truth:
    raise ValueError(f"{call.words[0]} is not followed: write the variables' values")


BUILTINS: Mapping[str, Callable[[Call], Truth]] = {
    **dict.fromkeys(("export", "declare", "typeset", "local", "readonly"), _declare),
    **dict.fromkeys(
        (":", "true", "trap", "wait", "ulimit", "umask", "hash", "jobs", "disown", "alias", "enable", "kill"), lambda call: True
    ),
    **dict.fromkeys(("break", "continue", "exit", "return"), _leave),
    **dict.fromkeys(("command", "builtin", "time", "exec"), _next),
    **dict.fromkeys(("source", "."), _source),
    **dict.fromkeys(("cd", "pushd", "popd"), _cd),
    **dict.fromkeys(("dirname", "basename"), _of_path),
    **dict.fromkeys(("mapfile", "readarray", "getopts"), _refused),
    "false": lambda call: False,
    "unset": _unset,
    "set": _set,
    "shift": _shift,
    "echo": _echo,
    "printf": _printf,
    "cat": _cat,
    "pwd": lambda call: _print(call, call.shell.folder + "\n"),
    "seq": _seq,
    "read": _read,
    "let": _let,
    "test": lambda call: test(call.words[1:], call.shell, call.place),
    "eval": _eval,
    "shopt": _shopt,
}
