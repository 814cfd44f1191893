"""Commands of bash itself that change what a script's words are."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Callable, Mapping
from pathlib import Path, PurePosixPath

from lmm_r1_mega.migration.bash.commands import DECLARATIONS, Call
from lmm_r1_mega.migration.bash.conditions import test
from lmm_r1_mega.migration.bash.state import Leave, Truth, Variable
from lmm_r1_mega.migration.bash.tree import parse
from lmm_r1_mega.migration.bash.unknown import Unknown, as_split, first_letter, is_split, readable
from lmm_r1_mega.migration.bash.words import Piece, split

_ENVIRONMENTS = re.compile(
    r"(.*/)?activate|.*/(\.?bashrc|\.?bash_profile|\.?profile|conda\.sh|modules?\.sh|set_env\.sh|setvars\.sh)|/etc/.*"
)
"""Files that set paths of programs, and nothing that a training command is made of."""
_HOOKS = re.compile(r"\$\(\S*(conda|mamba|micromamba|pyenv|ssh-agent|direnv|modulecmd|lmod)\b")
_WITHOUT_EFFECT = (":", "true", "trap", "wait", "ulimit", "umask", "hash", "jobs", "disown", "alias", "enable", "kill")
_NOT_FOLLOWED = (*DECLARATIONS, "mapfile", "readarray", "getopts", "pushd", "popd", "let", "shopt", "builtin")


def _unset(call: Call) -> Truth:
    for name in call.words[1:]:
        if not name.isidentifier() or name in call.shell.functions:
            raise ValueError("unset is followed for variables alone: name them")
        call.shell.store(name, Variable(None))
    return True


def _set(call: Call) -> Truth:
    """`set -- a b`; options such as -e and -x change no word."""
    words = call.words[1:]
    while words and re.fullmatch(r"[-+](?!-)[a-zA-Z]+", words[0]):
        del words[: 1 + (words[0][-1] == "o")]
    if words and re.match(r"[-+].", words[0]) and words[0] != "--":
        raise ValueError("write -- before arguments")
    if words:
        call.shell.set_arguments(tuple(words[1:] if words[0] in ("--", "-") else words))
    return True


def _shift(call: Call) -> Truth:
    shell, count = call.shell, call.words[1] if call.words[1:] else "1"
    if not count.isdigit():
        raise ValueError("how far `shift` goes is not known here: write the arguments")
    if unsure := first_letter(next(filter(is_split, shell.arguments), "")):
        shell.set_arguments((as_split(unsure),))
        return Unknown(f"`shift` ({call.position}) ends as only a run can tell")
    if int(count) > len(shell.arguments):
        return False
    shell.set_arguments(shell.arguments[int(count) :])
    return True


def _cd(call: Call) -> Truth:
    shell, words = call.shell, [word for word in call.words[1:] if word not in ("--", "-P", "-L")]
    if words[:1] == ["-"]:
        raise ValueError("name the folder")
    target = words[0] if words else "".join(call.expander.look_up("HOME", call.start).values)
    path = str(PurePosixPath(shell.folder) / target)
    shell.folder = shell.doubt or first_letter(path) or path
    shell.variables["PWD"] = Variable(shell.folder, is_exported=True)
    return True


def _echo(call: Call) -> Truth:
    words, options = call.words[1:], ""
    while words and re.fullmatch(r"-[neE]+", words[0]):
        options += words.pop(0)
    text = " ".join(words) + ("" if "n" in options else "\n")
    return call.shell.print(_unread(call) if "e" in options and "\\" in text else text)


def _printf(call: Call) -> Truth:
    """`printf` with %s alone."""
    form, *values = [*call.words[1:], ""]
    count = form.count("%s")
    if form.startswith("-"):
        raise ValueError("printf is followed without options: write the variable's value")
    if re.search(r"%[^s]|%$|\\(?!n)|[{}]", form) or first_letter(form) or is_split("".join(values)) or not count:
        return call.shell.print(_unread(call))
    padded = [*values[: max(len(values) - 1, 1)], *[""] * count]
    rounds = range(0, len(padded) - count, count)
    text = form.replace("\\n", "\n").replace("%s", "{}")
    return call.shell.print("".join(text.format(*padded[start : start + count]) for start in rounds))


def _unread(call: Call) -> str:
    return call.shell.unknown(f"what `{call.words[0]}` prints ({call.position}) is not read here: write it")


def _cat(call: Call) -> Truth:
    return call.start_program() if call.stdin is None or len(call.words) > 1 else call.shell.print(call.stdin)


def _of_path(call: Call) -> Truth:
    """`dirname` and `basename`."""
    name, path, *suffixes = [*call.words, ""]
    path = path.rstrip("/")
    if not path or path.startswith("-") or len(call.words) > (3 if name == "basename" else 2):
        return call.start_program()
    last = posixpath.basename(path)
    changed = posixpath.dirname(path) or "." if name == "dirname" else last.removesuffix(suffixes[0] if suffixes else "") or last
    return call.shell.print((first_letter("".join(call.words)) or changed) + "\n")


def _read(call: Call) -> Truth:
    """`read -r -d '' text <<EOF` and `IFS=, read -ra list <<< text`; read from elsewhere, variables are unknown."""
    *options, name = call.words[1:] or ["REPLY"]
    if call.stdin is None:
        why = call.shell.unknown(f"what `{' '.join(call.words)}` reads ({call.position}) is not in the script: write it")
        for variable in filter(str.isidentifier, [*options, name, "REPLY"]):
            call.shell.store(variable, Variable(why))
        return Unknown(f"`read` ({call.position}) ends as only a run can tell")
    separators, blanks = call.expander.separators, "".join(set(call.expander.separators) & set(" \t\n"))
    line = call.stdin.split("\n")[0]
    match options:
        case ["-r", "-d", ""] | ["-rd", ""] | ["-d", "", "-r"]:
            call.shell.set(name, call.stdin.strip(blanks))
            return False
        case ["-r"]:
            call.shell.set(name, line.strip(blanks))
        case ["-ra"] | ["-r", "-a"]:
            call.shell.store(name, Variable(dict(enumerate(word.text for word in split([Piece(line, "expanded")], separators)))))
        case _:
            raise ValueError("read is followed with one name and the options -r, -a and -d '' alone: write the variables' values")
    return True


def _leave(call: Call) -> Truth:
    name, number = [*call.words, ""][:2]
    if name in ("break", "continue") and number not in ("", "1"):
        raise ValueError("only the innermost loop can be left: use a variable")
    why = Unknown(f"the status of `{name}` ({call.position}) is known only while the script runs")
    raise Leave(name, why if not number.isdigit() else number == "0")


def _eval(call: Call) -> Truth:
    """`eval` of a text that is known."""
    text = " ".join(call.words[1:])
    is_hook = _HOOKS.search(call.source.text, call.start, call.start + 200)
    if not is_hook and (not text or readable(text).strip(". ")):
        return call.interpreter.run_text(parse(text, inside=call.position), call.shell)
    if not is_hook:
        call.shell.forget_all(f"what `eval` runs ({call.position}) is not in the script")
    return Unknown(f"`eval` ({call.position}) ends as only a run can tell")


def _source(call: Call) -> Truth:
    """A file whose statements are the script's own."""
    name, *arguments = call.words[1:] or [""]
    path, is_environment = Path(call.shell.folder) / name, _ENVIRONMENTS.fullmatch(readable(name))
    if not is_environment and not first_letter(str(path)) and path.is_file():
        source = parse(path.read_text(encoding="utf-8"), name=name)
        own = tuple(arguments) or call.shell.arguments
        return call.interpreter.until_return(call.shell, own, lambda: call.interpreter.run_text(source, call.shell))
    if not is_environment:
        call.shell.forget_all(f"{readable(name)}, which the script reads ({call.position}), is no file here, and may set this")
    return Unknown(f"`source` ({call.position}) ends as only a run can tell")


def _not_followed(call: Call) -> Truth:
    raise ValueError(f"{call.words[0]} is not followed: write the script without it")


BUILTINS: Mapping[str, Callable[[Call], Truth]] = {
    **dict.fromkeys(_WITHOUT_EFFECT, lambda call: True),
    **dict.fromkeys(_NOT_FOLLOWED, _not_followed),
    **dict.fromkeys(("break", "continue", "exit", "return"), _leave),
    **dict.fromkeys(("source", "."), _source),
    **dict.fromkeys(("dirname", "basename"), _of_path),
    "false": lambda call: False,
    "unset": _unset,
    "set": _set,
    "shift": _shift,
    "cd": _cd,
    "echo": _echo,
    "printf": _printf,
    "cat": _cat,
    "pwd": lambda call: call.shell.print(call.shell.folder + "\n"),
    "read": _read,
    "test": lambda call: test(call.words[1:], call.shell, call.position),
    "eval": _eval,
}
