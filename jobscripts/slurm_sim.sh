#!/bin/bash
# The simulator {{ simulator }} of {{ run }}.  By hand:  sbatch {{ script }}
# Submitted again it goes on from the last step; it needs no trainer to start.
#SBATCH --job-name={{ name }}
#SBATCH --nodes={{ nodes }}
#SBATCH --ntasks={{ ranks }}
#SBATCH --cpus-per-task={{ cores_per_rank }}
{% if gpus %}
#SBATCH --gres=gpu:{{ gpus }}
{% endif %}
{% if memory %}
#SBATCH --mem={{ memory }}
{% endif %}
{% if queue %}
#SBATCH --partition={{ queue }}
{% endif %}
{% if account %}
#SBATCH --account={{ account }}
{% endif %}
{% if walltime %}
#SBATCH --time={{ walltime }}
{% endif %}
#SBATCH --output={{ output }}/%x-%j.out
#SBATCH --open-mode=append
#SBATCH --requeue
{% for option in options %}
#SBATCH {{ option }}
{% endfor %}
{% include "sim_body.sh" %}
