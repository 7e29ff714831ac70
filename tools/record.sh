#!/bin/sh
# usage: tools/record.sh [RUN]   Types a session into the prompt of build/vbl, in a terminal of tmux, and writes what the terminal showed as
# docs/terminal.svg (tools/ansi_svg.lua). RUN: a finished run of experiments/pretrain_all.lua (the newest of runs/).
set -eu
cd "$(dirname "$0")/.."
run=${1:-$(ls -d runs/*-pretrain_all | tail -1)}
command -v tmux >/dev/null || { echo "record: needs tmux (apt-get install tmux)" >&2; exit 1; }
folder=$(mktemp -d)
mkdir "$folder/runs"
cp -r "$run" "$folder/runs/pretrain_all"
tmux="tmux -L vbl-record-$$ -f /dev/null"
trap '$tmux kill-server 2>/dev/null; rm -rf "$folder"' EXIT

$tmux new-session -d -x 104 -y 200 -c "$folder" \
  "env -u NO_COLOR PS1='$ ' TERM=tmux-256color COLORTERM=truecolor HOME=$folder XDG_STATE_HOME=$folder PATH=$PWD/build:$PATH sh"

# Waits until the last line is that prompt, typed at or not.
wait_for() {
  for i in $(seq 600); do
    if [ "$($tmux capture-pane -p | grep -v '^$' | tail -1 | sed 's/ *$//')" = "$1" ]; then return; fi
    sleep 0.1
  done
  echo "record: no prompt '$1' within a minute; the screen:" >&2
  $tmux capture-pane -p >&2
  exit 1
}
type_line() { $tmux send-keys -l "$1" && $tmux send-keys Enter; }

wait_for '$'
type_line vbl
n=1
while read -r line; do
  wait_for "$n>"
  type_line "$line"
  n=$((n + 1))
done <<'SESSION'
job = vbl.train.open "runs/pretrain_all"
job.model
f = vbl.analysis.features(job.model, job.test, {samples = 256})
x, y = f:get("mismatched", 4, "text"), f:get("mismatched", 4, "vision")
vbl.measure.report(x, y, {"cka", "mknn", "svcca"})
vbl.analysis.matrices(f, "cka", {partners = {"mismatched"}, blocks = {"text - vision"}})
?vbl.measure.cka
SESSION
wait_for "$n>"
$tmux capture-pane -N -e -p | sed "/^$n> *$/d" >"$folder/screen"
build/vbl tools/ansi_svg.lua "vbl: a model, a measure, its chance level, its layers" <"$folder/screen" >docs/terminal.svg
wc -c docs/terminal.svg
