#!/bin/bash
# The trainer of {{ run }}.  By hand:  qsub {{ script }}
# It may start before or after the simulator, and elsewhere: the two share the run folder alone.
#PBS -N {{ name }}
{% if select %}
#PBS -l select={{ select }}
{% else %}
#PBS -l select={{ nodes }}:ncpus={{ cores_per_node }}:mpiprocs={{ ranks_per_node }}{{ ":ngpus=%d" % gpus if gpus else "" }}{{ ":mem=" ~ memory if memory else "" }}
{% endif %}
{% if walltime %}
#PBS -l walltime={{ walltime }}
{% endif %}
{% if queue %}
#PBS -q {{ queue }}
{% endif %}
{% if account %}
#PBS -A {{ account }}
{% endif %}
#PBS -j oe
#PBS -o {{ output }}/
#PBS -r y
{% for option in options %}
#PBS {{ option }}
{% endfor %}
{% include "train_body.sh" %}
