"""Where the command line finds the plug-ins of each kind."""

from __future__ import annotations

from protocol.channels import base as channels
from protocol.settings import Plugins
from renkei.schedulers import base as schedulers
from sim_daemon.engines import base as engines
from sim_daemon.samplers import base as samplers
from train_daemon.learners import base as learners

PLUGINS: Plugins = {
    "engine": engines.load,
    "sampler": samplers.load,
    "learner": learners.load,
    "channel": channels.load,
    "scheduler": schedulers.load,
}
