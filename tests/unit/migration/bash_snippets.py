"""Scripts whose command gets the same words from us as from bash; `RUN` stands for the training program.

A line is a script; one of several lines stands between blank lines, each with a bar before it.
"""

SNIPPETS = r"""
RUN --a 1 --b two

| RUN --a \
|    1 \
|    --b

RUN --a 'x  y' --b "p  q"
RUN --a 'it is $X' --c it\ is
RUN --a "" --b ''
RUN --a x"y"'z' --b=3
RUN --a "say \"hi\" \$X \\ end \x"
RUN --json '{"min_pixels": 4}' --json2 "{\"max\": 5}"
RUN --a 1 # --b 2
RUN --a x#y --b #c
RUN --a 1 2>/dev/null
RUN --a 1 > log.txt --b 2
RUN > log.txt 2>&1 --a 1
RUN --a 1 &> log.txt
RUN --a 1; true
RUN --a 1 && true
RUN --a 1 | tee log
RUN --a 1 2>&1 | tee -a log > /dev/null
RUN --a 1 &
RUN --a -1 --b -10 10
RUN --a {token} --b {} --c a{b}c
RUN --a \{x,y\} --b '*' --c "?" --d \*
RUN --a ünï --b "Ω ≈" --c 中文
RUN --a a=b --b --c=d=e --d =
RUN --a --b\=c --c !x --d x! --e @y --f %z --g a:b,c+d-e_f/g.h
RUN --a ~ --b ~/x --c "~" --d x~ --e --f=~/y
RUN '--a' "--b" -"-c" \--d

| RUN --a 1 \
| # --b 2 \
|   --c 3

| RUN --a 1 \
|   --b 2 \
|
|   --c 3

X=value; RUN --a $X --b ${X}/y --c "$X y" --d '$X' --e \$X --f $X$X --g $X-$X
X="one  two"; RUN --a $X --b "$X" --c "${X}" --d pre$X
X=; RUN --a $X --b "$X" --c
X=a Y=b; RUN --a $X$Y

| X=a
| Y=$X/b Z="$X c"
| RUN --a $Y --b "$Z"

X='a b' ; Y=$X ; RUN --a $Y --b "$Y"
X=1; X=2; RUN --a $X
X=1; Y=$X; X=2; RUN --a $Y --b $X
X=a; X+=b; X+=" c"; RUN --a "$X"
export X=1 Y=2; RUN --a $X --b $Y
export X; X=3; RUN --a $X
declare X=1; typeset Y=2; readonly Z=3; RUN --a $X --b $Y --c $Z
export "X=a b"; RUN --a "$X"
X=~/data; Y=~; RUN --a $X --b $Y
X=a:~/b; RUN --a $X
X="~/data"; RUN --a $X
X=1; unset X; RUN --a ${X:-gone}

| X=5; Y=6
| true
| RUN --a $X --b $Y

| X=5
| Y="a b"
| RUN --a $X --b "$Y"

X=1 true; RUN --a ${X:-none}
X=inside RUN --a ${X:-none}
X='*'; RUN --a "$X"
X='a  b' Y=c; RUN $X$Y --z "$X"$Y $X"$Y"
IFS=,; X=a,b,,c; RUN --a $X --b "$X"
IFS=:; X=" a : b "; RUN $X
IFS=", "; X="a , b,c d,,e"; RUN $X
X=--a\ 1\ --b; RUN $X 2

| X="--a 1
| --b 2"; RUN $X

X='--a "1 2"'; RUN $X
X='$HOME'; RUN --a $X
_x9=1; RUN --a $_x9.$_x9
X=1; RUN --a "${X}"'$X'"$X"
X=$'a\nb'; RUN --a $X --b "$X"
X=a\ b; RUN --a "$X"

| X="a
| b"; RUN --a "$X"

| X="a \
| b"; RUN --a "$X"

RUN --a ${X:-d} --b ${X-d} --c "${X:-a b}" --d ${X:-a b} --e ${X:-"a b"} --f ${X:-'a b'}
X=; RUN --a ${X:-d} --b "${X-d}" --c ${X:+y} --d "${X+y}"
X=v; RUN --a ${X:-d} --b ${X:+y} --c ${X+y z} --d "${X:+"y z"}"
RUN --a ${X:=d} --b $X
RUN --a ${X=d}; RUN --b
Y=in; RUN --a ${X:-${Y:-8}} --b ${X:-${Z:-8}} --c ${X:-$Y/x} --d "${X:-${Z:-"q r"}}"
RUN --a ${A:-${B:-${C:-deep}}}
X=${X:-"models/Q-3B"} Y=${Y:-'d t.jsonl'}; RUN --a $X --b "$Y"
RUN --a ${X:-$((2 * 3))} --b ${X:-$(echo hi)} --c ${X:-`echo ho`}
: ${X:=set} ${Y:=also}; RUN --a $X$Y
: "${X:=a b}"; RUN --a "$X"
RUN --a ${1:-none} --b ${2:-${1:-y}x} --c "$#" --d "$@" --e "$*"
RUN --a ${X:-} --b "${X:-}" --c
RUN ${X:+--flag} --a 1 ${Y:---y 2}
X=on; RUN ${X:+--flag $X} --a 1
X=abc; RUN --a ${X:?no} --b ${X?no}
RUN --a ${X:-\$5} --b ${X:-a\ b} --c "${X:-a\"b}"
X=models/Q/; RUN --a ${X%/} --b ${X%%/*} --c ${X#*/} --d ${X##*/} --e ${X%/*}
X=a,b,c; RUN --a ${X%%,*} --b ${X%,*} --c ${X#*,} --d ${X##*,}
X=a.tar.gz; RUN --a ${X%.*} --b ${X%%.*} --c ${X%.zip} --d "${X##*.}"
X=hello; RUN --a ${X/l/L} --b ${X//l/L} --c ${X/#h/H} --d ${X/%o/O} --e ${X//l} --f ${X/l}
X=a/b/c; RUN --a ${X//\//_} --b ${X////-} --c ${X/\/b/} --d "${X//[\/]/.}"
X="a b c"; RUN --a "${X// /,}" --b ${X// /-} --c "${X//[ab]/x}"
X=aXbXc P=X; RUN --a ${X//$P/-} --b ${X#a$P} --c ${X%"$P"c}
X='a*b*c'; RUN --a "${X%\**}" --b "${X//\*/+}" --c "${X#*'*'}"
X=hello; RUN --a ${X^} --b ${X^^}
X=HELLO; RUN --a ${X,} --b ${X,,}
X=abcdef N=2; RUN --a ${X:N} --b ${X:N:1} --c ${X:N+1:N} --d "${X:10}"
X=abc; RUN --a ${#X}; Z="ünï"; RUN --c
X=ünïcode; RUN --a ${#X} --b ${X:1:2} --c ${X/ï/i}
X=path/to/file.txt; N=${X##*/}; RUN --a ${N%.*} --b ${X%"$N"}
X=aaa; RUN --a ${X#a} --b ${X##a*} --c ${X%%a} --d "${X%%*}"
X=Qwen2.5-VL-3B; RUN --a ${X//./_} --b ${X##*-} --c ${X/-VL-/ } --d "${X/-VL-/ }"
X=7B; RUN --a ${X%B} --b ${X%[A-Z]} --c ${X//[!0-9]/} --d ${X//[^0-9]/n}
X=3.14; RUN --a ${X%.*} --b ${X#*.} --c ${X/.}
X="  pad  "; RUN --a "${X// /}" --b "${X#"${X%%[! ]*}"}"
a=(--x 1 --y "2 3"); RUN "${a[@]}"
a=(--x 1 --y "2 3"); RUN ${a[@]} --n ${#a[@]}
a=(--x 1 --y "2 3"); RUN "${a[*]}" ${a[*]}

| a=(
|    --x 1
| #   --y 2
|    --z 3 # why
| )
| RUN ${a[@]}

a=(--x 1); a+=(--y 2); a+=(--z "3 4"); RUN "${a[@]}"
a=(); RUN "${a[@]}" ${a[@]} --n ${#a[@]} "x${a[@]}y"
a=(p q r); RUN --a "${#a[@]}" "${#a[0]}" ${!a[@]}
a=(p q r); i=1; RUN ${a[i]} ${a[$i]} ${a[i+1]} ${a[$((i - 1))]}
a[0]=x; a[2]=z; RUN "${a[@]}" ${#a[@]} ${!a[@]}
a=([2]=c [0]=a d); RUN "${a[@]}" ${!a[@]}
a=(p q); a[1]=Q; a[0]+=P; RUN "${a[@]}"
a=(one.txt two.txt); RUN "${a[@]%.txt}" "${a[@]/o/0}" ${a[@]^} "${a[@]#*.}"
X="1 2 3"; a=($X); RUN ${#a[@]} "${a[@]}"; b=("$X")
X="1 2 3"; a=("$X" $X); RUN ${#a[@]} "${a[0]}"
IFS=,; a=(x y z); RUN "${a[*]}"
a=(x y z); IFS=,; RUN "${a[*]}"
a=(x y); RUN "pre ${a[@]} post"
declare -A m=([k]=v ["x y"]=z); RUN ${m[k]} "${m[x y]}" ${#m[@]}
declare -A m; m[lr]=1e-6; m[bs]=4; m[bs]+=8; k=lr; RUN ${m[$k]} ${m["bs"]} "${m[none]:-d}"
declare -a a=(1 2); RUN "${a[@]}"
local_args=(--a 1); RUN "${local_args[@]}" "${undefined_array[@]}" --z
a=("--x=1" '--y=$2' --z\ 3); RUN "${a[@]}"
a=(x "" y); RUN "${a[@]}" ${#a[@]}
a=(x "" y); RUN ${a[@]}
a=(1 2 3); unset a; RUN ${#a[@]}
a=(1 2 3); a=(4); RUN "${a[@]}"
s=text; s+=(more); RUN "${s[@]}"
set -- p "q r" s; RUN "$@" $# $1 "$2" ${@:2} "${@:2:1}" ${*: -1}
set -- p "q r"; RUN "$*" $* "x$@y"
set -- a b c; shift; RUN $1 $#; shift 2
set -- a b c d; shift 2; RUN "$@"
set --; RUN "$@" $#
N=8; RUN --a $((N*2)) --b $(($N + 1)) --c $((N / 3)) --d $((N % 3)) --e $((2 ** 3)) --f $(( -7 / 2 )) --g $((-7 % 3))
N=8; ((N++)); ((N += 2)); RUN --a $N
A=2 B=A; RUN --a $((B + 1)) --b $(( (A + 1) * 3 ))
G=8 N=2; TOTAL=$((G * N)); BS=$((TOTAL * 4)); RUN --a $BS --b $((BS/TOTAL))
X=" 7 "; RUN --a $((X + 1))
N=3; RUN --a $((N<2||N>2)) --b $((1-1-1)) --c $((2**3**2))
S=7B; if [ "$S" = "7B" ]; then L=1; T=2; else L=3; T=4; fi; RUN --a $L --b $T
S=3B; if [ "$S" == "7B" ]; then L=1; elif [ $S = 3B ]; then L=2; else L=3; fi; RUN --a $L
S=3B; if [[ $S == 7* || $S == 3? ]]; then L=yes; else L=no; fi; RUN --a $L
S=3B; if [[ "$S" != 7* && -n $S ]]; then L=yes; fi; RUN --a $L
N=4; if [ $N -gt 3 ] && [ $N -le 4 ]; then RUN --a 1; else RUN --b 2; fi
N=4; if (( N > 3 && N < 5 )); then X=in; else X=out; fi; RUN --a $X
N=4; [ $N -eq 4 ] && X=yes || X=no; RUN --a $X
N=4; [[ $N -lt 2 ]] && X=yes; RUN --a ${X:-no}
if [ -z "$UNSET" ]; then X=empty; fi; RUN --a $X
X=1; if [ -n "$X" -a "$X" != 2 ]; then Y=ok; fi; RUN --a $Y
X=1; if [ "$X" = 2 -o "$X" = 1 ]; then Y=ok; fi; RUN --a $Y
X=1; if [ ! "$X" = 2 ]; then Y=ok; fi; RUN --a $Y
X=1; if ! [ "$X" = 2 ]; then Y=ok; fi; RUN --a $Y
X=1; if test "$X" = 1; then Y=ok; else Y=ko; fi; RUN --a $Y
M=qwen-vl; case $M in llama*) T=a;; qwen*|phi*) T=b;; *) T=c;; esac; RUN --a $T
M=other; case "$M" in (x) T=a;; (*) T=c; esac; RUN --a $T
M='a b'; case $M in "a b") T=quoted;; a*) T=pattern;; esac; RUN --a $T
M=7; case $M in [0-9]) T=digit ;; esac; RUN --a $T
M=none; case $M in x) T=a;; esac; RUN --a ${T:-unset}
if true; then X=1; fi; if false; then X=2; fi; RUN --a $X
true && X=1; false && X=2; false || Y=3; true || Y=4; RUN --a $X --b $Y
[[ a < b ]] && X=1; [[ -z "" ]] && Y=2; RUN --a $X$Y
X=10; [[ $X -ge 9 ]] && Y=num; [[ $X < 9 ]] && Z=text; RUN --a $Y$Z
X="a b"; if [[ $X = "a b" ]]; then RUN --a same; fi
X='a*'; [[ abc == $X ]] && P=pattern; [[ abc == "$X" ]] || Q=text; RUN --a $P$Q
if [[ ${1} != "slurm" ]]; then RUN --a plain; else RUN --a slurm; fi
N=; if [ "$N" ]; then Y=1; else Y=2; fi; RUN --a $Y
A=1; if [ $A -eq 1 ]; then if [ "$B" = x ]; then C=1; else C=2; fi; fi; RUN --a $C
X=1; { X=2; Y=3; }; ( X=4 ); RUN --a $X --b $Y
X=1; (X=2; RUN --a $X)

| if [ 1 -eq 1 ]
| then
|   X=1
| else
|   X=2
| fi
| RUN --a $X

DEBUG=0; if [ "$DEBUG" -eq 1 ]; then EXTRA="--debug"; fi; RUN --a 1 ${EXTRA:-}
for x in 1 2 "3 4"; do a+=(--x "$x"); done; RUN "${a[@]}"
s=; X="p q"; for x in $X r; do s="$s,$x"; done; RUN --a "$s${UNDEFINED:-}"
s=; for x in a b c; do [ $x = b ] && continue; s+=$x; done; RUN --a $s
s=; for x in a b c; do if [ $x = c ]; then break; fi; s+=$x; done; RUN --a $s
s=; i=0; while [ $i -lt 3 ]; do s+=$i; i=$((i + 1)); done; RUN --a $s
s=; i=3; until ((i == 0)); do s+=$i; ((i--)); done; RUN --a $s
a=(p q); s=; for x in "${a[@]}"; do s+="[$x]"; done; RUN --a "$s"
s=; for i in "${!a[@]}"; do s+=$i; done; RUN --a "$s"
for lr in 1e-6 5e-7; do RUN --lr $lr; done
set -- a b; for x; do s+=$x-; done; RUN --a $s
s=; while true; do s+=x; [ ${#s} -ge 3 ] && break; done; RUN --a $s
X=1; for x in 1; do false; done && X=2; for x in 1; do false; break; done && Y=3; RUN --a $X --b $Y
while [[ $# -gt 0 ]]; do shift; done; RUN --a $#
f() { RUN --a "$1" --b $2 --n $#; }; f "x y" z
f() { RUN "$@"; }; f --a "1 2" --b
function f { local x=$1; Y=$x; x=5; }; x=0; f 3; RUN --a $x --b $Y
f() { X=1; return 0; X=2; }; f; RUN --a $X
f() { return 1; }; if f; then X=1; else X=2; fi; RUN --a $X
f() { echo "got $1"; }; Y=$(f a); RUN --a "$Y"
f() { shift; RUN --a $1; }; f p q r
f() { g "$@" z; }; g() { RUN "$*"; }; f x y
main() { local args=(--a 1); args+=("$@"); RUN "${args[@]}"; }; main "$@"
f() { if [ "$1" = stop ]; then return; fi; X+=$1; f stop; }; f go; RUN --a $X
f() { local i; for i in 1 2; do s+=$i; done; }; i=9; f; RUN --a $s --b $i
f() { local A=1; g; }; g() { A=2; B=$A; }; A=0; f; RUN --a $A --b $B
f() ( X=2 ); X=1; f; RUN --a $X
add() { ARGS+=("$@"); }; ARGS=(); add --a 1; add --b "2 3"; RUN "${ARGS[@]}"
f() { declare v=in; declare -g w=out; }; f; RUN --a ${v:-no} --b $w
set -- s1 s2; f() { RUN "$1" "$#" "${FUNCNAME_NONE:-x}"; }; f inner; RUN "$1"
get() { case $1 in a) echo 1;; *) echo 2;; esac; }; RUN --a $(get a) --b $(get z)
X=$(echo a b); RUN --a $X --b "$X" --c $(echo c  d) --d "$(echo "e  f")"
X=`echo a`; RUN --a $X --b "`echo b c`"
RUN --a $(basename /x/y.txt .txt) --b $(dirname /x/y) --c $(basename a/b/) --d $(dirname x) --e $(dirname a/b/c)

n=0; while true; do n=$((n + 1)); if [ $n = 2 ]; then break; fi; done; RUN --a $n
f() { for i in 1 2 3; do if [ $i = 2 ]; then return 1; fi; done; }; f || X=$i; RUN --a $X
A=; if [[ "$A" == "$UNSET" ]]; then X=same; fi; case "$UNSET" in "$A") Y=same;; esac; RUN --a $X --b $Y
if [ "$UNSET" = x ]; then X=1; elif [ $UNSET = x ]; then X=2; else X=3; fi; RUN --a $X
set -- "a b" c; f() { RUN $# "$2" "$@"; }; f x "$@"

| X=$(cat <<END
| --a 1
| --b "2"
| END
| ); RUN $X

| X=$(cat <<'END'
| $HOME
| END
| ); RUN --a "$X"

| read -r -d '' X <<EOF
| --a 1 \
| --b $((1 + 1))
| EOF
| RUN $X

read -r A <<< " 1 2 "; RUN --a "$A"
IFS=',' read -ra L <<< "a,b,c"; RUN --a ${#L[@]} "${L[@]}"

X=$(echo x; echo y); RUN --a "$X" --b $X
X=$(Y=1; echo $Y${Z:-0}); RUN --a $X --b ${Y:-none}

| X=$(echo "a
| "); RUN --a "$X"

RUN --a "$(echo "${X:-q}")" --b "$(echo $(echo n))"
X=$( (echo s) ); RUN --a $X
X=$(true && echo yes || echo no); RUN --a $X
X=$(echo hidden > /dev/null); RUN --a "$X"
X=$(echo e >&2; echo o); RUN --a $X

| cat > notes.txt <<EOF
| RUN --not me
| EOF
| RUN --a 1

| : <<'COMMENT'
| RUN --not me
| COMMENT
| RUN --a 2

X="$(echo "it's")"; RUN --a "$X"
eval "X=5"; RUN --a $X
cmd="RUN --a 1"; $cmd --b 2
cmd="RUN --a '1 2'"; eval $cmd
cmd="RUN"; cmd="$cmd --a 1"; cmd+=" --b 2"; eval "$cmd"
N=X; eval "$N=7"; RUN --a $X
eval "RUN --a \$HOME"
bash -c "RUN --a 1 --b '2 3'"
X=v; bash -c "RUN --a $X --b \"$X y\""
export X=v; bash -c 'RUN --a $X'
X=v bash -c 'RUN --a $X'
bash -c 'RUN --a "$1" --b $0' zero one
nohup RUN --a 1 > log 2>&1 &
env A=1 RUN --a 1
FOO=bar BAZ="q r" RUN --a 1
time RUN --a 1
exec RUN --a 1
command RUN --a 1
(RUN --a 1) &
{ RUN --a 1; } 2>&1 | cat
set -euo pipefail; X=1; RUN --a $X

| set -x
| RUN --a 1

trap 'echo bye' EXIT; RUN --a 1
X=1; readonly X; RUN --a $X
! false && RUN --a 1

| true; RUN --a "$(
|   echo deep
| )"

RUN --a 1 || exit 1
cd / && RUN --a 1
mkdir -p here && RUN --a 1
X=1;RUN --a $X;X=2
if ! command -v no_such_program_here > /dev/null 2>&1; then true; fi; RUN --a 1
echo "RUN --a 0"; RUN --a 1

| echo RUN --a 0
| RUN --a 1

pgrep -f train_ppo_ray > /dev/null; RUN --a 1
printf 'RUN %s\n' x > /dev/null; RUN --a 1
sleep 0 & RUN --a 1
X="a;b|c&d"; RUN --a $X
X='>f'; RUN --a $X
X='$(echo no)'; RUN --a "$X"
X='`echo no`'; RUN --a "$X"
X="a#b"; RUN --a $X --b a#b
declare -p HOME > /dev/null; RUN --a 1

| #!/bin/bash
| set -euo pipefail
| ROOT=${ROOT:-/data}
| export MODEL_NAME="Q2.5-VL-3B" STAGE=fre
| export WANDB_MODE=offline
| if [[ "${STAGE}" == "fre" ]]; then
|     DATA="${ROOT}/text.jsonl"
|     LR=4e-7
| elif [[ "${STAGE}" == "mgt" ]]; then
|     DATA="${ROOT}/geo.jsonl"; LR=1e-6
| fi
| case "${MODEL_NAME,,}" in
|   *3b*) NODES=1; TP=1 ;;
|   *7b*) NODES=1; TP=2 ;;
|   *)    echo "unknown size" >&2; exit 1 ;;
| esac
| GPUS=8
| BATCH=$((GPUS * NODES * 16))
| NAME=${MODEL_NAME//./_}-${STAGE}-lr${LR}
| mkdir -p "out/${NAME}" 2>/dev/null || true
| cleanup() { echo done; }
| trap cleanup EXIT
| common=(
|     --pretrain "models/${MODEL_NAME}"   # the policy
|     --save_path "out/${NAME}"
|     # --load_checkpoint
| )
| gen=(--temperature 1.0 --n_samples_per_prompt 16)
| [[ $TP -gt 1 ]] && gen+=(--vllm_tensor_parallel_size "$TP")
| nohup RUN "${common[@]}" \
|     --prompt_data "$DATA" --actor_learning_rate ${LR} \
|     --train_batch_size $BATCH --rollout_batch_size $((BATCH / 2)) \
|     "${gen[@]}" ${DEBUG:+--seed 1} "$@" > out.log 2>&1 &
| wait

| read -r -d '' training_commands <<EOF
| openrlhf.cli.train_ppo_ray \
|    --pretrain ${BASE:-models/base} \
|    --save_path ./checkpoint/$(basename ${BASE:-models/base}) \
|    --prompt_data a.jsonl,b.jsonl \
|    --prompt_data_probs 0.5,0.5 \
|    --bf16 \
|    --adam_betas 0.9 0.95
| EOF
|      # --wandb [WANDB_TOKENS]
|
| if [[ ${1:-} != "slurm" ]]; then
|     python3 -m $training_commands
| fi

| main() {
|   local size="$1" steps=$2; shift 2
|   local -a extra=("$@")
|   local name="run_${size}"
|   declare -A lr=([3b]=1e-6 [7b]=5e-7)
|   local args="--pretrain models/$size --save_path out/$name"
|   args+=" --actor_learning_rate ${lr[$size]}"
|   for flag in bf16 flash_attn; do args="$args --$flag"; done
|   RUN $args --max_global_steps "$steps" "${extra[@]}"
| }
| SIZES="7b 3b"
| for s in $SIZES; do
|   [ "$s" = 3b ] || continue
|   main $s 20 --freeze_prefix visual lm_head
| done

| #!/usr/bin/env bash
| while [[ $# -gt 0 ]]; do
|   case "$1" in
|     --model) MODEL="$2"; shift 2 ;;
|     *) shift ;;
|   esac
| done
| : "${MODEL:=models/default}"
| HOSTS=(node1 node2 node3)
| MASTER=${HOSTS[0]}; WORLD=${#HOSTS[@]}
| IFS=',' read -ra FILES <<< "a.jsonl,b.jsonl"
| DATA=$(printf '%s,' "${FILES[@]}"); DATA=${DATA%,}
| LOG_DIR=$(dirname "logs/${MODEL##*/}/x"); i=0
| until (( i >= 2 )); do i=$((i + 1)); done
| PYTHONPATH=. RUN --pretrain $MODEL --prompt_data "$DATA" --actor_num_nodes $WORLD \
|   --ckpt_path "$LOG_DIR" --wandb_group "${MASTER}-$i" --processor_kwargs '{"min_pixels": 3136, "max_pixels": 602112}' || exit 1

RUN --a $'x\ty\'z'
X=abcdef; RUN --a ${X:1} --b ${X:1:2} --c ${X: -2} --d ${X:(-3):2}
X=a-b_c; RUN --a ${X//[-_]/+}
a=(p q r s); RUN ${a[0]} ${a[1]} $a ${a[@]:1:2} ${a[@]:2} "${a[@]: -1}"
N=8; RUN --a $((N > 4)) --b $((N == 8 && N != 7)) --c $((!N)) --d $((N / 3 * 3))
RUN --a $((2+3*4-1)) --b $((X = 5)) --c $X
X=$(printf '%s-%s' q 3); RUN --a $X --b $(printf "%s," a b)
export X=seen; bash -c 'RUN --a ${X:-none}'
RUN() { :; }; true; RUN --a 1
f() { local x=${x:-5}; RUN $x; }; x=3; f
s=; for x in 1 2 3; do for y in a b; do s+=$x$y; done; done; RUN --a $s
a=(3 4); RUN --b $((${a[1]} * 2)) --c $((${#a[@]} * 5))
N=8; M=$((N++)); RUN --a $N --b $M --d $((N--)) --e $N
for x in 1 2; do for y in 1 2; do [ $y = 1 ] && continue; s+=$x$y,; done; done; RUN --a $s
s=; for i in "${!a[@]}"; do s+=i; done; RUN --a "$s"
"""

EXOTIC = [
    ('RUN --a $\'x\\ty\\\'z\' --b $"q r"', 'simplify $"q r"'),
    ("RUN --a a{b,c}d --b {1..3} --c {01..03} --d {a..e..2} --e {3..1} --f {1..5..+2} --g {-1..1}", "has braces: write its words"),
    ('RUN --a {x,y}{1,2} --b "{x,y}" --c {,z} --d {a,{b,c}}', "has braces: write its words"),
    ("set -f; X='a*'; RUN $X", "is a pattern, for which bash puts the files"),
    ("X=abcdef; RUN --a ${X:1} --b ${X:1:2} --c ${X: -2} --d ${X:0:-1} --e ${X:2:-1} --f ${X:(-3):2}", "write the value in its place"),
    ('X=Y Y=z; RUN --a ${!X} --b "${!X}"', "write the value in place of ${!X}"),
    ("X=a-b_c; RUN --a ${X//[-_]/+} --b ${X//[[:punct:]]/}", "patterns such as @(a|b) and [[:digit:]] are not read here"),
    ("X=x1y22; RUN --a ${X//[[:digit:]]/#} --b ${X%%[[:digit:]]*}", "patterns such as @(a|b) and [[:digit:]] are not read here"),
    ('a=(p q r s); RUN ${a[0]} ${a[1]} ${a[-1]} $a ${a[@]:1:2} ${a[@]:2} "${a[@]: -1}"', "count the elements from the first one on"),
    ('a=(a{1,2}); b=("${a[@]}" c); RUN "${b[@]}"', "has braces: write its words"),
    ("N=8; RUN --a $((N > 4)) --b $((N == 8 && N != 7)) --c $((N > 4 ? 1 : 2)) --d $((!N)) --e $((~N))", "is no arithmetic that is read"),
    ('N=8; let N=N*2; let "N = N + 1"; RUN --a $N', "let is not followed: write the script without it"),
    ("N=8; M=$((N++)); RUN --a $N --b $M --c $((++N)) --d $((N--))", "is no arithmetic that is read"),
    ("RUN --a $((0x1f)) --b $((010)) --c $((2#101)) --d $((1 << 4)) --e $((6 & 3 | 8 ^ 1))", "is no arithmetic that is read"),
    ("a=(3 4); RUN --a $((a[0] + a[1])) --b $((${a[1]} * 2)) --c $((${#a[@]} * 5))", "is no arithmetic that is read"),
    ("RUN --a $((1 , 2)) --b $((X = 5)) --c $X --d $((2+3*4-1))", "is no arithmetic that is read"),
    ("RUN --a $[1+2]", "simplify $[1+2]"),
    ("X=abc123; if [[ $X =~ ^[a-z]+([0-9]+)$ ]]; then RUN --a ${BASH_REMATCH[1]}; fi", "is known only while the script runs"),
    ("[[ -v X ]] || Y=no; X=1; [[ -v X ]] && Z=yes; RUN --a $Y$Z", "depends on the files where the script runs"),
    ("s=; for ((i = 0; i < 3; i++)); do s+=$i; done; RUN --a $s --b $i", "is not worked out: write it with"),
    ("s=; for x in {1..3}; do for y in a b; do s+=$x$y; done; done; RUN --a $s", "has braces: write its words"),
    ("s=; for i in $(seq 1 3); do s+=$i; done; RUN --a $s", "is known only where the script runs"),
    ("for x in 1 2; do for y in 1 2; do s+=$x$y,; [ $y = 1 ] && continue 2; done; done; RUN --a $s", "only the innermost loop can be left"),
    ("X=$(printf '%s-%d' q 3); RUN --a $X --b $(printf \"%s,\" a b)", "what `printf` prints"),
    ("printf -v X '%s/%s' a b; RUN --a $X", "printf is followed without options: write the variable's value"),
    ("X=$(seq 3); RUN $X", "is known only where the script runs"),
    ("X=hidden; bash -c 'RUN --a ${X:-none}'", "what the script of line 1 gets is not known"),
    ("RUN() { :; }; unset -f RUN; true; RUN --a 1", "unset is followed for variables alone: name them"),
]  # fmt: skip
"""Scripts with bash that no launch script has: they are not followed, or a value is not known, each with its reason."""

DOUBTFUL = r"""
X=1; if coin; then X=2; fi; RUN $X
X=1; coin && X=2; RUN $X
X=1; coin || X=2; RUN $X
X=1; if coin; then Y=2; fi; RUN $X
if coin; then X=1; else X=2; fi; RUN ${X:-3}
coin && cd /; RUN $PWD
set -- a b; coin && shift; RUN $1
set -- a b; coin && set -- c; RUN "$@"
f() { X=1; }; if coin; then f() { X=2; }; fi; f; RUN $X
f() { X=1; }; coin && unset -f f; f; RUN $X
X=1; coin && unset X; RUN ${X:-2}
X=1; coin && export X; bash -c 'RUN ${X:-2}'
a=(1 2); coin && a+=(3); RUN "${a[@]}"
a=(1 2); coin && a[0]=3; RUN "${a[0]}" ${#a[@]}
X=1; coin && ((X++)); RUN $X
X=1; coin && : $((X = 5)); RUN $X
X=1; coin && Y=${Z:=3}; RUN $X ${Z:-4}
X=1; f() { coin && return; X=2; }; f; RUN $X
X=1; f() { coin && return; Y=2; }; f; X=3; RUN $X
X=1; f() { for i in 1 2; do coin && return; done; X=2; }; f; RUN $X
X=1; for i in 1 2 3; do coin && break; X=$i; done; RUN $X
X=1; for i in 1 2 3; do coin && continue; X=$i; done; RUN $X
for i in 1 2 3; do coin && break; done; RUN $i
for i in 1 2 3; do coin && break; done; X=1; RUN $X
X=1; while coin; do X=2; done; RUN $X
X=1; until coin; do X=2; done; RUN $X
X=0; Y=0; while coin; do [ $X = 1 ] && Y=5; X=1; done; RUN $Y
X=0; Y=0; Z=0; while coin; do Z=$Y; Y=$X; X=1; done; RUN $Z
X=0; while true; do coin && break; X=$((X + 1)); [ $X -gt 3 ] && break; done; RUN $X
while true; do coin && break; done; RUN 1
while true; do if coin; then break; fi; sleep 0; done; X=2; RUN $X
if coin; then exit 0; fi; RUN 1
if coin; then X=1; exit 0; fi; RUN ${X:-2}
if coin; then RUN 1; exit; fi; RUN 2
if coin; then RUN 1; else RUN 2; fi
if coin; then RUN 1; else RUN 1; fi
coin && RUN 1 || RUN 2
f() { RUN $1; }; if coin; then f 1; else f 2; fi
X=$(coin && echo 1 || echo 2); RUN "$X"
X=$(if coin; then echo 1; fi); RUN "$X" 3
X=$(coin; echo 1); RUN $X
X=$(coin > log && echo 1 || echo 2); RUN "$X"
X=$(if [ -d log ]; then echo 1; fi); RUN "$X"
(coin && X=1); RUN ${X:-2}
X=1; { coin && X=2; } > log; RUN $X
X=1; if ! coin; then X=2; fi; RUN $X
X=1; if coin && true; then X=2; fi; RUN $X
X=1; if true && coin; then :; else X=2; fi; RUN $X
X=1; if false && coin; then X=2; fi; RUN $X
X=1; f() { coin; }; f && X=2; RUN $X
X=1; f() { coin; return; }; f && X=2; RUN $X
X=1; f() { coin; return $?; }; if f; then X=2; fi; RUN $X
f() { local X; coin && X=2; Y=$X; }; X=1; f; RUN $X
f() { local X; coin && X=2; Y=$X; }; X=1; f; RUN ${Y:-3}
X=1; coin && eval "X=2"; RUN $X
coin && IFS=,; X=a,b; RUN $X
X=1; coin && printf -v X 2; RUN $X
X=1; coin && read -r X <<< 2; RUN $X
X=1; for i in 1 2; do for j in 1 2; do coin && break; X=$i$j; done; done; RUN $X
X=1; for i in 1 2; do for j in 1 2; do coin && break; done; X=$i; done; RUN $X
X=1; coin && for X in 2 3; do :; done; RUN $X
X=1; if coin; then if coin; then X=2; fi; fi; RUN $X
coin && set -f; X='a*b'; RUN "$X" $X
if coin; then A=1; RUN $A; fi
mkdir -p here && coin && RUN 1
X=a; case $X in a) coin && X=b;; esac; RUN $X
X=1; coin | X=2; RUN $X
coin & RUN 1
X=1; [ -d /nowhere ] && X=2; RUN $X
X=1; [[ -f x || $X = 1 ]] && X=3; RUN $X
X=1; [[ -f x && $X = 2 ]] && X=3; RUN $X
X=1; coin; [ $? = 0 ] && X=2; RUN $X
X=1; coin; case $? in 0) X=2;; esac; RUN $X
X=1; Y=$(coin) && X=2; RUN $X
X=1; coin && declare X=2; RUN $X
f() { coin && declare -g X=2; }; X=1; f; RUN $X
X=1 Y=1; coin && X=2 Y=3 true; RUN $X $Y
s=; for i in 1 2; do coin && continue; s+=x; done; RUN "a$s"
f() { coin && return 1; return 0; }; X=1; f && X=2; RUN $X
f() { for i in 1 2; do coin && return 1; done; return 0; }; X=1; f || X=2; RUN $X
X=1; (coin && exit 1; true) && X=2; RUN $X
X=$(coin && exit; echo 1); RUN "$X"
X=$(f() { coin && exit; }; f; echo 1); RUN "$X"
X=$(for i in 1 2; do coin && exit; echo $i; done); RUN "$X"
X=1; for i in 1 2; do coin; done && X=2; RUN $X
X=1; bash -c 'coin && exit 1; true' && X=2; RUN $X
X=1; while coin; do return 1 2> x; done; X=2; RUN $X
f() { coin && return; g; }; g() { return 1; }; X=1; f && X=2; RUN $X
f() { g; return 1; }; g() { coin && return; true; }; X=1; f && X=2; RUN $X
f() { coin && return; g && RUN 1 || RUN 2; }; g() { coin && return 1; return 0; }; f; RUN 3
for i in 1 2; do coin && break; for j in 1 2; do coin && break; X=1; done; Y=2; done; RUN ${X:-3} $Y
for i in 1 2; do coin && break; while true; do coin && break; done; done; RUN 1
f() { for i in 1 2; do coin && return; done; for j in 1 2; do coin && break; X=$j; done; }; f; RUN "$X"
f() { for i in 1 2; do coin && return; done; Y=2; }; Y=1; for k in 1 2; do f; done; RUN $Y $k
"""
