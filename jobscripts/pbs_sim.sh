#!/bin/bash
# The simulator on CPU nodes:  qsub -v RUN=runs/quartz jobscripts/pbs_sim.sh
# Submit it again to go on from the last step; it needs no trainer to start.
#PBS -N renkei-sim
#PBS -l select=1:ncpus=32:mpiprocs=32
#PBS -l walltime=24:00:00
#PBS -j oe

set -eu
cd "$PBS_O_WORKDIR"
RANKS=32                         # mpiprocs of all nodes; beads and walkers are spread over them
LIMIT=1425min                    # a little less than walltime: the simulator saves and ends by itself

# module load ... ; or the environment that `make` made:
source .venv/bin/activate
export OMP_NUM_THREADS=1         # one thread a rank

rm -f "$RUN"/control/STOP
# mpirun of the mpich wheel; with a site's MPI: its own mpirun or mpiexec
exec mpirun -n "$RANKS" python -m sim_daemon "$RUN" --for "$LIMIT"
