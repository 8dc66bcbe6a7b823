"""The learner that a configuration names, in a process of its own or shared by those that torchrun started."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from protocol.errors import EnvironmentFailed, Exit
from train_daemon.learners import base as learners
from train_daemon.learners.base import Learner, LearnerContext


def with_learner(science: Any, trainer: Any, lead: Callable[[Learner], int]) -> int:
    """What `lead` returns for the learner of `science` on the machine of `trainer`, both sections of the configuration.

    Only the first of several processes leads; the others share its fits until it is done.
    Raises EnvironmentFailed if torch is absent or the device is.
    """
    try:
        from train_daemon.group import join, leave
        from train_daemon.team import Team, assist

        group = join()
        where = trainer.device, trainer.threads, science.seed, trainer.scratch, group
        learner = learners.load(science.learner.name).build(science.learner, LearnerContext(*where))
    except ModuleNotFoundError as error:
        if error.name != "torch":
            raise
        raise EnvironmentFailed("training needs torch, which is not installed", next="pip install 'renkei[trainer]'") from error
    if group.size == 1:
        return lead(learner)
    if group.rank > 0:
        assist(learner, group)
        leave()
        return Exit.DONE
    team = Team(learner, group)
    try:
        return lead(team)
    finally:
        team.dismiss()
        leave()
