#!/bin/bash
# The trainer of {{ run }}.  By hand:  sbatch {{ script }}
# It may start before or after the simulator, and elsewhere: the two share the run folder alone.
#SBATCH --job-name={{ name }}
#SBATCH --nodes={{ nodes }}
#SBATCH --ntasks=1
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
{% include "train_body.sh" %}
