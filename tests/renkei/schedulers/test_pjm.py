"""Tables of pjstat, read."""

import pytest

from renkei.schedulers.base import State
from renkei.schedulers.pjm import parse

VENDOR = """
  ACCEPT QUEUED  STGIN  READY RUNING RUNOUT STGOUT   HOLD  ERROR   TOTAL
       0      1      0      0      1      0      0      0      0       2
JOB_ID     JOB_NAME   MD ST  USER     START_DATE      ELAPSE_LIM NODE_REQUIRE
123        rk-0a1b2c* ST RUN u00001   11/21 15:00:00  0024:00:00 4
123_0      rk-0a1b2c* ST RUN u00001   11/21 15:00:00  0024:00:00 4
123_1      rk-3d4e5f* ST QUE u00001   -               0024:00:00 4
"""
SITE = """Wisteria/BDEC-01 scheduled stop time: 2026/11/27(Fri) 09:00:00

 JOB_ID       JOB_NAME      STATUS  PROJECT    RSCGROUP          START_DATE        ELAPSE           TOKEN           NODE    GPU
 124_0        rk-77aa11-tr  RUNNING my-group   share             11/21 15:00:01<   00:00:05             -              -      1
 125          other         QUEUED  my-group   share             ---               00:00:00             -              -      1
"""


@pytest.mark.parametrize(
    ("table", "want"),
    [
        (VENDOR, {"123_0": ("rk-0a1b2c", State.RUNNING), "123_1": ("rk-3d4e5f", State.QUEUED)}),
        (SITE, {"124_0": ("rk-77aa11-tr", State.RUNNING), "125": ("other", State.QUEUED)}),
        ("No jobs\n", {}),
    ],
)
def test_tables_of_the_vendor_and_of_a_site(table, want):
    assert {job.id: (job.name, job.state) for job in parse(table)} == want
