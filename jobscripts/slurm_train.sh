#!/bin/bash
# The trainer on a GPU partition:  sbatch jobscripts/slurm_train.sh runs/quartz
# It may start before or after the simulator, and on another partition: the two share the run folder alone.
#SBATCH --job-name=renkei-train
#SBATCH --partition=gpu
#SBATCH --nodes=1
#SBATCH --ntasks=1
#SBATCH --cpus-per-task=8
#SBATCH --gres=gpu:1
#SBATCH --time=24:00:00
#SBATCH --output=%x-%j.out
#SBATCH --open-mode=append

set -eu
RUN=$1
LIMIT=1425min                    # a little less than --time

# module load ... ; or the environment that `make` made, with the CUDA build of torch:
source .venv/bin/activate

# `renkei stop RUN` asks both jobs to end; the trainer does not end by itself when the simulator is done
exec python -m train_daemon "$RUN" --for "$LIMIT"
