#!/bin/bash
# The simulator {{ simulator }} of {{ run }}.  By hand:  qsub {{ script }}
# Submitted again it goes on from the last step; it needs no trainer to start.
#PBS -N {{ name }}
#PBS -l nodes={{ nodes }}:ppn={{ cores_per_node }}{{ ":gpus=%d" % gpus if gpus else "" }}
{% if memory %}
#PBS -l mem={{ memory }}
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
{% include "sim_body.sh" %}
