"""The command of a script: found where it stands, with what the environment gives; what is not known says so with its line."""

import shlex

import pytest

from lmm_r1_mega.migration.source import TrainingCommand, training_command
from lmm_r1_mega.migration.values import read_values

PROGRAM = "python3 -m openrlhf.cli.train_ppo_ray"


def words_of(script: str, *arguments: str, **environment: str) -> list[str]:
    return shown(training_command(script, environment, arguments=arguments))


def shown(command: TrainingCommand) -> list[str]:
    """The words; `?` for one that is not known."""
    return ["?" if command.unknowns.first(word) else word for word in command.words]


def test_variables_of_the_script_win_over_the_environment():
    script = f"A=script\nB=\"$A/x\" # why\nC=  \nexport D='$A'\n{PROGRAM} $A $B ${{C}} $D $E $F"
    assert words_of(script, A="outside", E="outside") == ["script", "script/x", "$A", "outside", "?"]


def test_folders_and_other_substitutions():
    script = f'W=$(pwd)\nT=$(date +%Y%m%d)\n{PROGRAM} $W/data --b "${{W}}" --c $T --d $(echo a b) > >(tee x) 2>&1 &'
    assert words_of(script) == ["./data", "--b", ".", "--c", "?", "--d", "a", "b"]


def test_a_command_submitted_to_ray_and_one_inside_another_commands_text():
    job = '{\\"working_dir\\": \\"/x\\"}'
    submitted = (
        f'ray job submit --address="http://127.0.0.1:8265" \\\n --env="{job}" \\\n -- {PROGRAM} \\\n --a 1 \\\n --b "2 3"\necho done'
    )
    assert words_of(submitted) == ["--a", "1", "--b", "2 3"]
    inside = (
        f'srun bash -c \\\n"pip x \\\n&& ray job submit --env=\'{job}\' \\\n -- {PROGRAM} \\\n --a 1 --b {{token}}" &>> log\necho "end"'
    )
    assert words_of(inside) == ["--a", "1", "--b", "{token}"]


def test_a_comment_inside_a_command_cuts_it():
    command = training_command(f"{PROGRAM} --a 1 \\\n  # --b 2 \\\n  --c 3\n", {})
    assert command.words == ("--a", "1")
    assert command.notes == (
        "line 3 is not part of the command: a comment or a missing \\ ends it before, and bash does not pass what follows",
    )
    assert "line 2 is not part" in training_command(f"{PROGRAM} --a 1\n  --c 3\n", {}).notes[0]
    assert not training_command(f"{PROGRAM} --a 1 # why\necho --c\n", {}).notes


def test_a_command_in_a_comment_is_none():
    assert words_of(f"# {PROGRAM} --a 1\n{PROGRAM} --a 2\n") == ["--a", "2"]
    for script in ("echo hello", f"#   {PROGRAM} --a 1", "deepspeed --module openrlhf.cli.train_sft --a 1"):
        with pytest.raises(ValueError, match="no train_ppo_ray command"):
            words_of(script)


def test_windows_lines_and_the_file_form():
    assert words_of("python openrlhf/cli/train_ppo_ray.py \\\r\n  --a 1\r\n") == ["--a", "1"]
    assert shlex.split("--a 1") == words_of(f"{PROGRAM} --a 1")


@pytest.mark.parametrize(
    ("script", "message"),
    [
        ("N=$(nproc)\nRUN --seed $N", r"--seed: \$\(nproc\) \(line 1\) is known only where the script runs: write its value in its place"),
        ("\n\nRUN --seed `date +%s`", r"--seed: `date \+%s` \(line 3\)"),
        ("A=$(f)\nB=x${A%/}y\nC=(1 $B)\nRUN --seed ${C[1]:1:3}", r"--seed: \$\(f\) \(line 1\)"),
        ("RUN --seed $SEED", r"--seed: SEED \(line 1\) is set neither in the script nor in the environment: SEED=VALUE lmm-r1-mega"),
        ("RUN --seed $((N * 2))", r"--seed: N \(line 1\) is set neither"),
        ("RUN --bf16 $EXTRA", r"--bf16: EXTRA \(line 1\) is set neither"),
        ("RUN $EXTRA", r"EXTRA \(line 1\) is set neither"),
        ("RUN --seed $1", r"--seed: the script was given no argument \$1 \(line 1\)"),
        ("if [ -d ckpt ]; then S=1; else S=2; fi\nRUN --seed $S", r"--seed: `-d ckpt` \(line 1\) depends on the files"),
        ("if grep -q x f; then S=1; fi\nRUN --seed ${S:-2}", r"--seed: `grep -q x f` \(line 1\) ends as only a run can tell"),
        ("S=1; grep -q x f && S=2\nRUN --seed $S", r"--seed: `grep"),
        ("case $(hostname) in a) S=1;; *) S=2;; esac\nRUN --seed $S", r"--seed: \$\(hostname\) \(line 1\)"),
        ("S=1\nwhile read -r l; do S=$l; done < f\nRUN --seed $S", r"--seed: `read` \(line 2\)"),
        ("S=1\nfor f in *.txt; do S=2; done\nRUN --seed $S", r"--seed: \*\.txt \(line 2\) is a pattern, for which bash puts the files"),
        ("S=1\nf() { if ls x; then return; fi; S=2; }\nf\nRUN --seed $S", r"--seed: `ls x"),
        ("S=1\nfor i in 1 2; do if ls $i; then break; fi; S=$i; done\nRUN --seed $S", r"--seed: `ls"),
        ("S=1\nsource gone.sh\nRUN --seed $S", r"--seed: gone\.sh, which the script reads \(line 2\), is no file here"),
        ("source gone.sh\nRUN --seed ${S:-1}", r"--seed: gone\.sh"),
        ("S=1\nexport $(cat .env | xargs)\nRUN --seed $S", r"--seed: what export \.\.\. sets \(line 2\)"),
        ("S=1\neval \"$(cat f)\"\nRUN --seed $S", r"--seed: what `eval` runs \(line 2\)"),
        ("RUN --freeze_prefix vis*", r"--freeze_prefix: vis\* \(line 1\) is a pattern"),
        ("if ls; then S=1; else S=1; fi\nRUN --seed $S", r"--seed: `ls` \(line 1\) ends as only a run can tell"),
        ("S=1\nX=0; for f in *; do if [ $X = 1 ]; then S=2; fi; X=1; done\nRUN --seed $S", r"--seed: \*"),
        ("S=1\nwhile true; do if ls; then break; fi; S=2; done\nRUN --seed $S", r"--seed: `ls`"),
        ("S=1\nf() { for i in 1 2; do ls $i && return; done; S=2; }\nf\nRUN --seed $S", r"--seed: `ls 1`"),
        ("set -- 1 2\nls && shift\nRUN --seed $1", r"--seed: `ls`"),
        ("S=$(if ls; then echo 1; else echo 2; fi)\nRUN --seed $S", r"--seed: "),
        ("S=1; ls && export S\nbash -c 'RUN --seed $S'", r"--seed: `ls`"),
        ("f() { RUN --seed $2; }\nf $(ls) 1", r"--seed: \$\(ls\)"),
        ("read S\nRUN --seed $S", r"--seed: what `read S` reads \(line 1\)"),
        ("N=3; ((N += $(nproc)))\nRUN --seed $N", r"--seed: \$\(nproc\)"),
        ("RUN --seed $RANDOM", r"--seed: \$RANDOM \(line 1\) is known only while the script runs"),
        ("RUN --seed <(echo 1)", r"--seed: <\(echo 1\) \(line 1\) is a file that a run makes"),
        ("RUN --lora_rank $R", r"--lora_rank: R \(line 1\)"),
        ("RUN --seed ${HOSTNAME:-3}", r"--seed: \$HOSTNAME \(line 1\) is known only while the script runs"),
        ("declare -A m=([a]=1 [b]=2)\nRUN --freeze_prefix ${m[@]}", r"--freeze_prefix: the order of m \(line 2\) is bash's own"),
        ("RUN --use_wandb $KEY", r"--use_wandb: KEY \(line 1\)"),
    ],
)  # fmt: skip
def test_a_value_that_the_text_does_not_tell_is_an_error_with_its_line(script, message):
    command = training_command(script.replace("RUN", PROGRAM), {})
    with pytest.raises(ValueError, match=message):
        read_values(command.words, command.unknowns)


@pytest.mark.parametrize(
    ("script", "message"),
    [
        ("if [ -d c ]; then\nRUN --a 1\nelse\nRUN --a 2\nfi", r"which train_ppo_ray command runs, that of line 2 or that of line 4"),
        ("if [ -d c ]; then\nRUN --a 1\nexit; fi\nRUN --a 2", r"that of line 2 or that of line 4"),
        ("ssh h 'RUN --a 1'\nRUN --a 2", r"line 1: .* what ssh does with this text is not known: give a script with the command itself"),
        ("tmux send-keys -t 0 'RUN --a 1' Enter", r"line 1: .* what tmux does with this text"),
        ("set --p q\nRUN $1", r"line 1: `set --p q` is not followed: write -- before arguments"),
        ("X=1\nRUN --a $X\"", r"line 2: .* is no bash that can be read here: is a quote or a bracket open\?"),
        ("X=1\nRUN --a ${X:-a(}", r"line 2: "),
        ("X=1\nRUN --a ${X##@(1)}", r"line 2: .*patterns such as @\(a\|b\) and"),
        ("X=1\nRUN --a ${X//[[:digt:]]/}", r"line 2: .*patterns such as @\(a\|b\) and \[\[:digit:\]\] are not read here"),
        ("if [ 1 = 1\n]; then X=1; fi\nRUN --a $X", r"line 1: .* `\[` has no ` \]` on its line"),
        ("exit 0\nRUN --a 1", r"line 2: the train_ppo_ray command is not reached"),
        ("f() { RUN --a 1; }", r"line 1: the train_ppo_ray command is not reached"),
        ("echo hi\nX=${Y:?}\nRUN", r"line 2: `X=\$\{Y:\?\}` is not followed: the script stops if Y is not set: Y=VALUE lmm-r1-mega"),
        ("echo 'open\nRUN --a 1", r"quote|not reached|no bash"),
        ("\nif true\nRUN --a 1", r"line \d: .* is no bash that can be read here"),
        ("X=$((1 / 0))\nRUN", r"line 1: `X=\$\(\(1 / 0\)\)` is not followed: division by 0"),
        ("\nX=$((1 +))\nRUN", r"line 2: "),
        ("while true; do :; done\nRUN", r"line 1: .* 20000 commands without the one that is looked for"),
        ("f() { f; }\nf\nRUN", r"line 1: .* functions call each other without end"),
        ("declare -n r=x\nRUN", r"line 1: .* only -A, -a, -g, -p, -r and -x are read here"),
        ("declare -i N=2+3; RUN --a $N", r"line 1: .* only -A, -a"),
        ("X=a; RUN --a ${X@U}", r"line 1: .* write the value in place of \$\{X@U\}"),
        ("X=abc; RUN --a ${X^^[ab]}", r"line 1: .* write the value in its place"),
        ("\nread -r A B <<< '1 2'; RUN --a $A", r"line 2: .* read is followed with one name"),
        ("mapfile -t L <<< a; RUN ${L[@]}", r"line 1: .* mapfile is not followed"),
        ("X=1; RUN --a $((X > 0 && X++))", r"line 1: .* X > 0 && X\+\+ is no arithmetic that is read here"),
        ("X=1; readonly X; X=2; RUN --a $X", r"line 1: `X=2` is not followed: X is readonly"),
        ("declare v=in -g; RUN --a $v", r"line 1: .* only -A, -a"),
        ("N=4; [$N -eq 4 ] && X=yes; RUN --a $X", r"line 1: .* blanks inside of both"),
        ("shopt -s nocasematch; RUN --a 1", r"line 1: .* shopt is not followed"),
        ("select x in a b; do :; done; RUN", r"line 1: .* select asks whoever runs the script"),
        ("a=(1 2); unset 'a[0]'; RUN", r"line 1: .* unset is followed for variables alone: name them"),
        ("for i in 1 2; do for j in 1 2; do if ls; then break 2; fi; done; done; RUN", r"line 1: .* only the innermost loop can be left"),
        ("if ls; then f() { :; }; fi\nf; RUN --a 1", r"line 2: .* which function this is depends"),
        ("X=abc; RUN ${X/b/&}", r"line 1: .* versions of bash differ in what & means"),
        ("\nwhile getopts a: o; do :; done; RUN", r"line 2: .* getopts is not followed"),
    ],
)  # fmt: skip
def test_what_cannot_be_followed_is_an_error_with_its_line(script, message):
    with pytest.raises(ValueError, match=message):
        training_command(script.replace("RUN", PROGRAM), {}, arguments=["-a", "1"])


@pytest.mark.parametrize(
    "script",
    [
        "T=$(date +%s)\nRUN --a 1 --wandb_run_name x_$T",
        "if [ ! -d out ]; then mkdir out; fi\nRUN --a 1",
        "if command -v nvidia-smi; then echo gpu; else echo none; exit 1; fi\nRUN --a 1",
        "pip install x || exit 1\nRUN --a 1",
        "pip install x && cd . && RUN --a 1",
        "until curl -s localhost; do sleep 1; done\nRUN --a 1",
        "source ~/.bashrc; . venv/bin/activate; eval \"$(conda shell.bash hook)\"; conda activate x\nA=1\nRUN --a $A",
        "if ls; then RUN --a 1; fi",
        "if ls; then RUN --a 1; else RUN --a 1; fi",
        "for f in *; do rm -f $f; done; X=1\nRUN --a $X",
        "ray start --head --num-gpus $(nproc)\nray job submit --runtime-env-json='{\"a\": \"/x\"}' -- RUN --a 1",
        "srun --nodes 1 -w $(hostname) bash -c \"cd /x && RUN --a 1\"",
        "while true; do if curl -s localhost; then break; fi; sleep 1; done\nRUN --a 1",
        "f() { ls && return; echo; }; f; X=1; RUN --a $X",
        "for i in 1 2 3; do curl x && break; done; X=1; RUN --a $X",
        "P=python3; $P -m openrlhf.cli.train_ppo_ray --a 1",
        "python3 -u openrlhf/cli/train_ppo_ray.py --a 1",
        "torchrun --nproc_per_node $(nproc) -m openrlhf.cli.train_ppo_ray --a 1",
        "deepspeed --module openrlhf.cli.train_ppo_ray --a 1",
    ],
)  # fmt: skip
def test_what_is_not_known_and_does_not_matter_is_no_error(script):
    command = training_command(script.replace("RUN", PROGRAM), {"HOME": "/root"})
    assert command.words[:2] == ("--a", "1")


def test_decisions_about_what_is_not_set_are_told():
    command = training_command(f'if [ "$DEBUG" = 1 ]; then X=1; fi\n{PROGRAM} --a ${{N:-8}} --b ${{X:-2}}', {})
    assert command.words == ("--a", "8", "--b", "2")
    assert [note.split(" is not set")[0] for note in command.notes] == ["DEBUG", "N", "X"]
    assert training_command(f"{PROGRAM} --a ${{N:-8}}", {"N": "2"}).words == ("--a", "2")


def test_other_commands_loops_and_folders_are_told():
    notes = training_command(f"cd /data/run\nfor lr in 1 2; do {PROGRAM} --lr $lr; done\n{PROGRAM} --b", {}).notes
    assert notes == (
        "the command stands in a loop (line 2): this is its first round",
        "the command runs in the folder /data/run: paths that are not absolute begin there",
        "the script has another train_ppo_ray command in line 3: this is the one of line 2",
    )


def test_a_command_of_several_lines_is_no_other_one():
    assert training_command(f"ray job submit \\\n  -- \\\n  {PROGRAM} \\\n  --a 1\necho done\n", {}).notes == ()


def test_a_file_that_the_script_reads_is_read(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "env.sh").write_text("S=5\nT=$(nproc)\n")
    (tmp_path / "inner.sh").write_text(f'{PROGRAM} --a $1 --b "$V" --c ${{W:-no}}\n')
    assert words_of(f"S=1; source env.sh; {PROGRAM} --a $S") == ["--a", "5"]
    assert words_of("export V=v; W=w; bash inner.sh 3") == ["--a", "3", "--b", "v", "--c", "?"], "W may be exported elsewhere"
    assert words_of("export V=v; bash inner.sh 3") == ["--a", "3", "--b", "v", "--c", "no"]
    command = training_command(f". ./env.sh; {PROGRAM} --seed $T", {})
    with pytest.raises(ValueError, match=r"\(\./env\.sh, line 2\)"):
        read_values(command.words, command.unknowns)
