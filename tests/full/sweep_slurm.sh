#!/bin/sh
# A sweep through a real Slurm: one node, this machine, set up in a folder of its own and ended again. A development check, not part of a tier:
# needs root and the packages slurm-wlm and munge.
#   tests/full/sweep_slurm.sh [VBL]
# An array of two workers is submitted; one element is cancelled (scancel), then all; `vbl sweep resume` submits a new array. At the end every
# trial is finished, the cancelled ones went on from their checkpoints, and no run ended twice.
set -eu
vbl=$(realpath "${1:-build/vbl}")
folder=$(mktemp -d /tmp/vbl-slurm-XXXXXX)
cd "$folder"
mkdir state spool bin
for name in sh sbatch; do ln -s "$(command -v $name)" bin/$name; done # the trials find no gnuplot: drawing takes longer than they do

cat >slurm.conf <<END
ClusterName=vbl
SlurmctldHost=$(hostname -s)
AuthType=auth/munge
SlurmUser=root
SlurmdUser=root
StateSaveLocation=$folder/state
SlurmdSpoolDir=$folder/spool
SlurmctldPidFile=$folder/slurmctld.pid
SlurmdPidFile=$folder/slurmd.pid
SlurmctldLogFile=$folder/slurmctld.log
SlurmdLogFile=$folder/slurmd.log
SlurmctldPort=16817
SlurmdPort=16818
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
ReturnToService=2
NodeName=$(hostname -s) NodeAddr=127.0.0.1 CPUs=2 State=UNKNOWN
PartitionName=local Nodes=$(hostname -s) Default=YES MaxTime=INFINITE State=UP
END
export SLURM_CONF="$folder/slurm.conf"
munged_own=
finish() {
  for file in slurmd slurmctld; do kill "$(cat $file.pid)" 2>/dev/null || true; done
  sleep 1
  if [ -n "$munged_own" ]; then kill "$(cat /run/munge/munged.pid)" 2>/dev/null || true; fi
  rm -rf "$folder"
}
trap finish EXIT
if ! munge -n >/dev/null 2>&1; then
  mkdir -p /run/munge && chown munge:munge /run/munge
  su munge -s /bin/sh -c /usr/sbin/munged
  munged_own=1
fi
slurmctld -i
slurmd
sleep 3
sinfo

cat >micro.lua <<'END'
local config = vbl.config({
  scenes = {train = 64, test = 32},
  model = {preset = "tiny", dim = 16, layers = 2, attention_heads = 2, mlp = 32, patch = 16, dropout = 0.1, init = "fan_in"},
  tasks = {mlm = {}, ap = {contrastive = {weight = 1}}}, epochs = 12, batch = 16, test_samples = 16, probe_samples = 0, checkpoint_every = 2,
}, vbl.train.schemas())
vbl.train.pretrain(config)
END
cat >sweep.lua <<'END'
local sweep = vbl.sweep
vbl.sweep {
  name = "slurm", experiment = "micro.lua", space = {lr = sweep.log(1e-4, 1e-2), ["model.fusion"] = sweep.choice {"stacked", "interleaved"}},
  objective = "min test.loss.mlm", method = "tpe", trials = 14, startup = 3, slurm = {jobs = 2},
}
END
submit() { PATH="$folder/bin" "$vbl" "$@" | tee answer.txt; sed -n 's/^submitted: Slurm job \([0-9]*\),.*/\1/p' answer.txt >job; }
wait_for() { for _ in $(seq 100); do "$vbl" sweep status runs/slurm | grep -q "$1" && return; sleep 0.5; done; echo "never: $1"; exit 1; }

submit sweep.lua
wait_for '^[2-9] finished.* running'
echo "cancel one element"; scancel "$(cat job)_1"; sleep 2; squeue; "$vbl" sweep status runs/slurm | sed -n 2p
wait_for '^[5-9] finished'
echo "cancel the array"; scancel "$(cat job)"; sleep 2; squeue; "$vbl" sweep status runs/slurm | sed -n 2p
submit sweep resume runs/slurm
wait_for '^14 finished'
sleep 2
"$vbl" sweep status runs/slurm
ends=$(cat runs/slurm/journal/* | grep '"status":"finished"' | sed 's/.*"trial":\([0-9]*\),.*/\1/' | sort -n | uniq | wc -l)
all=$(cat runs/slurm/journal/* | grep -c '"status":"finished"')
resumed=$(cat runs/slurm/journal/* | grep '"type":"start"' | grep -c '"resume"' || true)
echo "14 trials: $ends with an end, $all ends, $resumed starts from a checkpoint"
[ "$ends" = 14 ] && [ "$all" = 14 ] && [ "$resumed" -ge 1 ] && [ -z "$(squeue -h)" ] && echo ok
