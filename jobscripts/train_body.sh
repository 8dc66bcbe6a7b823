
set -eu
{% if walltime_s %}
export RENKEI_JOB_END=$(( $(date +%s) + {{ walltime_s }} ))   # where the scheduler does not tell how long is left
{% endif %}
cd {{ folder }}
{% for line in setup %}
{{ line }}
{% endfor %}

if [ -e {{ run }}/control/STOP ] || [ -e {{ run }}/control/STOP-train ]; then echo "control/STOP is there: nothing is started"; exit 0; fi
if python -m renkei status {{ run }} --finished all; then exit 0; fi
# it ends by itself when every simulator has completed its production
{% if gpus > 1 %}
exec torchrun --standalone --nproc-per-node {{ gpus }} -m train_daemon {{ run }}
{% else %}
exec python -m train_daemon {{ run }}
{% endif %}
