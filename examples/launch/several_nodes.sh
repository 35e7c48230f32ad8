#!/usr/bin/env bash
# Trains on the GPUs of several machines: the same command on each of them, in any order.
# Run again on all, after whatever happened, it goes on from the last checkpoint.
#
#   NNODES=4 MASTER=node0:29400 examples/launch/several_nodes.sh /shared/runs/shoes train-stylegan \
#       --data /shared/shoes.zip --resolution 1024
#
# The run folder comes first, then any training command of shoegen and its options, without --out. Every machine
# needs the same shoegen, and the data and the run folder at the same path.
#
# NNODES    machines
# MASTER    where they meet: one of them, by a name that all can reach, and a free port
# NPROC     processes on each, by default one for each GPU
# RESTARTS  how often all start anew from the last checkpoint when one has died (3)
# ADDRESS   how the others reach this machine, where its own name does not tell them
set -euo pipefail

usage="usage: NNODES=4 MASTER=node0:29400 $0 RUN_FOLDER COMMAND [OPTIONS]"
run=${1:?$usage} command=${2:?$usage}
: "${NNODES:?$usage}" "${MASTER:?$usage}"
shift 2
if [[ -e $run/config.json ]]; then
    set -- --resume # it keeps the options that it was started with
fi
exec torchrun --nnodes "$NNODES" --nproc-per-node "${NPROC:-gpu}" --max-restarts "${RESTARTS:-3}" \
    --rdzv-backend c10d --rdzv-endpoint "$MASTER" --rdzv-id "shoegen-${run//\//-}" ${ADDRESS:+--local-addr "$ADDRESS"} \
    -m shoegen "$command" "$@" --out "$run"
