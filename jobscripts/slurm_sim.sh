#!/bin/bash
# The simulator on a CPU partition:  sbatch jobscripts/slurm_sim.sh runs/quartz
# Submit it again to go on from the last step; it needs no trainer to start.
#SBATCH --job-name=renkei-sim
#SBATCH --nodes=1
#SBATCH --ntasks=32              # MPI ranks; beads and walkers are spread over them
#SBATCH --cpus-per-task=1
#SBATCH --time=24:00:00
#SBATCH --output=%x-%j.out
#SBATCH --open-mode=append       # a requeued job keeps what it wrote

set -eu
RUN=$1
LIMIT=1425min                    # a little less than --time: the simulator saves and ends by itself

# module load ... ; or the environment that `make` made:
source .venv/bin/activate
export OMP_NUM_THREADS=1         # one thread a rank

rm -f "$RUN"/control/STOP
# mpirun of the mpich wheel; with a site's MPI: `srun python -m sim_daemon ...`
exec mpirun -n "$SLURM_NTASKS" python -m sim_daemon "$RUN" --for "$LIMIT"
