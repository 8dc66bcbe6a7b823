#!/bin/bash
# The trainer of {{ run }}.  By hand:  pjsub {{ script }}
# It may start before or after the simulator, and elsewhere: the two share the run folder alone.
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
{% if account %}
#PJM -g {{ account }}
{% endif %}
#PJM -j
#PJM -o {{ output }}/%n.%j.out
{% for option in options %}
#PJM {{ option }}
{% endfor %}
{% include "train_body.sh" %}
