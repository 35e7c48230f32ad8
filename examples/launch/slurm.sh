#!/usr/bin/env bash
# Trains under Slurm, on one node or several, for as long as it takes: two minutes before the time is up it saves and puts
# itself back into the queue, and when its turn comes it goes on. So it does after a node has failed, too.
#
#   sbatch examples/launch/slurm.sh /shared/runs/shoes train-stylegan --data /shared/shoes.zip --resolution 1024
#   sbatch --nodes 1 --time 1-0 examples/launch/slurm.sh …       # options of sbatch win over those below
#
# The run folder comes first, then any training command of shoegen and its options, without --out. Activate your
# environment before, or here. `scancel` saves and ends it for good; `sbatch` with the same folder goes on later.
#
#SBATCH --job-name=shoegen
#SBATCH --nodes=2
#SBATCH --ntasks-per-node=8
#SBATCH --gpus-per-node=8
#SBATCH --cpus-per-task=8
#SBATCH --time=04:00:00
#SBATCH --signal=B:USR1@120
#SBATCH --requeue
#SBATCH --open-mode=append
set -euo pipefail

usage="usage: sbatch $0 RUN_FOLDER COMMAND [OPTIONS]"
run=${1:?$usage} command=${2:?$usage}
shift 2
if [[ -e $run/config.json ]]; then
    set -- --resume # it keeps the options that it was started with
fi
export SRUN_CPUS_PER_TASK=${SLURM_CPUS_PER_TASK:-1} # which srun does not take over by itself
export OMP_NUM_THREADS=$SRUN_CPUS_PER_TASK

srun --kill-on-bad-exit=1 shoegen "$command" "$@" --out "$run" &
step=$!
stopped=no
# To the tasks, which save, and not to srun, which would kill them.
trap 'stopped=yes; scancel --signal=TERM "$SLURM_JOB_ID" || true' USR1

status=0
wait "$step" || status=$?
while kill -0 "$step" 2>/dev/null; do # a signal ends a wait
    status=0
    wait "$step" || status=$?
done
if [[ $stopped == yes && $status == 0 ]]; then
    scontrol requeue "$SLURM_JOB_ID"
fi
exit "$status"
