#!/bin/bash
# The trainer on a GPU node:  qsub -v RUN=runs/quartz jobscripts/pbs_train.sh
# It may start before or after the simulator, and in another queue: the two share the run folder alone.
#PBS -N renkei-train
#PBS -q gpu
#PBS -l select=1:ncpus=8:ngpus=1
#PBS -l walltime=24:00:00
#PBS -j oe

set -eu
cd "$PBS_O_WORKDIR"
LIMIT=1425min                    # a little less than walltime

# module load ... ; or the environment that `make` made, with the CUDA build of torch:
source .venv/bin/activate

# `renkei stop RUN` asks both jobs to end; the trainer does not end by itself when the simulator is done
exec python -m train_daemon "$RUN" --for "$LIMIT"
