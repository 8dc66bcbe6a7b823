#!/bin/bash
# The simulator {{ simulator }} of {{ run }}.  By hand:  bash {{ script }}
# Submitted again it goes on from the last step; it needs no trainer to start.
{% include "sim_body.sh" %}
