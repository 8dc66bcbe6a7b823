#!/bin/bash
# The trainer of {{ run }}.  By hand:  bash {{ script }}
# It may start before or after the simulator, and elsewhere: the two share the run folder alone.
{% include "train_body.sh" %}
