
set -eu
{% if walltime_s %}
export RENKEI_JOB_END=$(( $(date +%s) + {{ walltime_s }} ))   # where the scheduler does not tell how long is left
{% endif %}
cd {{ folder }}
{% for line in setup %}
{{ line }}
{% endfor %}

if [ -e {{ run }}/control/STOP ] || [ -e {{ run }}/control/STOP-{{ simulator }} ]; then echo "control/STOP is there: nothing is started"; exit 0; fi
if python -m renkei status {{ run }} --finished {{ simulator }}; then exit 0; fi
# exec: the signals of the scheduler reach the launcher, which passes them on; the simulator saves and ends by itself
exec {{ launcher }} python -m sim_daemon {{ run }} --name {{ simulator }}
