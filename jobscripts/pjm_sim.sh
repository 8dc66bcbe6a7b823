#!/bin/bash
# The simulator {{ simulator }} of {{ run }}.  By hand:  pjsub {{ script }}
# Submitted again it goes on from the last step; it needs no trainer to start.
#PJM -N {{ name }}
{% if queue %}
#PJM -L rscgrp={{ queue }}
{% endif %}
{% if nodes_asked %}
#PJM -L node={{ nodes_asked }}
{% endif %}
{% if gpus %}
#PJM -L gpu={{ gpus }}
{% endif %}
{% if memory %}
#PJM -L node-mem={{ memory }}
{% endif %}
{% if walltime %}
#PJM -L elapse={{ walltime }}
{% endif %}
#PJM --mpi proc={{ ranks }}
{% if account %}
#PJM -g {{ account }}
{% endif %}
#PJM -j
#PJM -o {{ output }}/%n.%j.out
{% for option in options %}
#PJM {{ option }}
{% endfor %}
{% include "sim_body.sh" %}
