#!/usr/bin/env bash
# Trains on the GPUs of one machine. Run again, after whatever happened, it goes on from the last checkpoint.
#
#   examples/launch/one_node.sh runs/shoes train-stylegan --data shoes.zip --resolution 256
#   NPROC=2 examples/launch/one_node.sh runs/painter train-spade --data shoes.zip
#
# The run folder comes first, then any training command of shoegen and its options, without --out.
# Ctrl-C and SIGTERM save before they end it.
#
# NPROC     processes, by default one for each GPU; without a GPU say how many share the processor
# RESTARTS  how often all start anew from the last checkpoint when one has died (3)
set -euo pipefail

usage="usage: $0 RUN_FOLDER COMMAND [OPTIONS], such as: $0 runs/shoes train-stylegan --data shoes.zip --resolution 256"
run=${1:?$usage} command=${2:?$usage}
shift 2
if [[ -e $run/config.json ]]; then
    set -- --resume # it keeps the options that it was started with
fi
exec torchrun --standalone --nproc-per-node "${NPROC:-gpu}" --max-restarts "${RESTARTS:-3}" \
    -m shoegen "$command" "$@" --out "$run"
