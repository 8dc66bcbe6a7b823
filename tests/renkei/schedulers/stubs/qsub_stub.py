"""A stub of qsub, qstat, qselect and qdel (and of pjsub, pjstat, pjdel): no server, jobs are rows of a JSON file.

It checks what the real commands check of their options and prints what they print; it starts nothing. STUB_DB names the file, and
STUB_FLAVOUR is pbs, torque or pjm. tests/renkei/schedulers/conftest.py puts it on the PATH under each command's name.
"""

import json
import os
import re
import sys
import time
from pathlib import Path

DB, FLAVOUR = Path(os.environ["STUB_DB"]), os.environ["STUB_FLAVOUR"]
PREFIX = "#PJM" if FLAVOUR == "pjm" else "#PBS"
# options with a value, and without one, that the real commands know (of those that the scripts use)
VALUED = {"pbs": "A e l N o q S W v r j m M P", "torque": "A d e l N o q S t W v r j m M", "pjm": "L N o e g m x"}[
    FLAVOUR
].split()
RESOURCES = {
    "pbs": r"select=\d+(:[a-z]+=[\w]+)*|walltime=\d\d+:\d\d:\d\d|place=\w+",
    "torque": r"nodes=\d+:ppn=\d+(:gpus=\d+)?|walltime=\d\d+:\d\d:\d\d|mem=\w+",
    "pjm": r"rscgrp=[\w-]+|node=\d+(x\d+)*|elapse=\d\d+:\d\d:\d\d|gpu=\d+|node-mem=\w+",
}[FLAVOUR]


def fail(text, code=1):
    print(text, file=sys.stderr)
    raise SystemExit(code)


def load():
    return json.loads(DB.read_text()) if DB.exists() else {"next": 100, "jobs": {}}


def save(db):
    DB.write_text(json.dumps(db))


def directives(script):
    """The options of the script's head, as one list of words; directives after the first command do not count."""
    words = []
    for line in Path(script).read_text().splitlines():
        if line.startswith(PREFIX + " "):
            words += line[len(PREFIX) :].replace('"', "").split()
        elif line and not line.startswith("#"):
            break
    return words


def parse(words):
    """Options -> values; unknown ones and bad resources are refused as by the real command."""
    found, rest = {}, list(words)
    while rest:
        word = rest.pop(0)
        if word in ("-j", "-S", "-s", "-E") and FLAVOUR == "pjm":
            continue
        if word in ("--step",):
            found["step"] = True
        elif word in ("--sparam", "--mpi") and FLAVOUR == "pjm":
            found[word.lstrip("-")] = rest.pop(0)
        elif re.fullmatch(r"-[A-Za-z]", word) and word[1] in VALUED:
            value = rest.pop(0) if rest else fail(f"option requires an argument -- '{word[1]}'", 2)
            if word in ("-l", "-L") and not all(re.fullmatch(RESOURCES, part) for part in re.split(r",(?=\w+=)", value)):
                fail(f"qsub: Unknown resource type or bad value  Resource_List.{value}", 170)
            if word == "-N" and not re.fullmatch(r"[A-Za-z][\w.-]{0,14}", value):
                fail("qsub: illegal -N value", 2)
            found[word[1]] = value
        elif not word.startswith("-") and not rest:
            found["script"] = word
        else:
            fail(f"qsub: invalid option -- '{word}'", 2)
    return found


def submit(words):
    given = parse(words)
    options = parse(directives(given["script"])) | given
    if os.environ.get("STUB_DIE") == "before":
        raise SystemExit(1)
    db = load()
    after = re.fullmatch(r"depend=afterany:(\S+)", options.get("W", ""))
    if after and after[1] not in db["jobs"]:
        fail("qsub: Job has invalid dependency: Unknown Job Id", 1)
    number = f"{db['next']}.stub-server"
    if FLAVOUR == "pjm":
        number = str(db["next"])
        step = re.fullmatch(r"jid=(\d+)", options.get("sparam", ""))
        if step:
            turn = sum(one.startswith(step[1] + "_") for one in db["jobs"])
            if not turn:
                fail(f"[ERR.] PJM 0050 pjsub Specified job {step[1]} does not exist.")
            number = f"{step[1]}_{turn}"
        elif options.get("step"):
            number += "_0"
    db["next"] += 1
    db["jobs"][number] = {"name": options["N"], "state": "H" if after else "Q", "options": options, "unix": time.time()}
    save(db)
    if os.environ.get("STUB_DIE") == "after":
        os.kill(os.getppid(), 9)  # the command that submits dies before it has read the number
    print(f"[INFO] PJM 0000 pjsub Job {number} submitted." if FLAVOUR == "pjm" else number)


def stat(words):
    db = load()
    if FLAVOUR == "pjm":
        print("  ACCEPT QUEUED  STGIN  READY RUNING RUNOUT STGOUT   HOLD  ERROR   TOTAL")
        print("       0      1      0      0      1      0      0      0      0       2")
        print("JOB_ID      JOB_NAME   MD ST  USER     START_DATE      ELAPSE_LIM NODE_REQUIRE")
        letters = {"Q": "QUE", "H": "QUE", "R": "RUN"}
        for number, job in db["jobs"].items():
            if job["state"] in letters:
                mode, word = ("ST" if "_" in number else "NM"), letters[job["state"]]
                print(f"{number:<11} {job['name'][:10]} {mode} {word} u00001   11/21 15:00:00< 0024:00:00 12")
        return
    history = "-x" in words
    wanted = [word for word in words if not word.startswith("-")]
    code = 0
    for number in wanted:
        job = db["jobs"].get(number)
        if job is None or (job["state"] in "FC" and FLAVOUR == "pbs" and not history):
            print(f"qstat: {number if job else 'Unknown Job Id ' + number}{' Job has finished' if job else ''}", file=sys.stderr)
            code = 35 if job else 153
            continue
        print(f"Job Id: {number}\n    Job_Name = {job['name']}\n    Job_Owner = someone@login\n    job_state = {job['state']}")
        print(f"    Output_Path = login:/a/very/long/path/that/qstat/breaks/at/eighty/columns/and/goe\n\ts/on/{number}.out")
        print("    Resource_List.walltime = 24:00:00\n    resources_used.walltime = 01:30:00")
        print("    Exit_status = 0\n" if job["state"] in "FC" else "")
    raise SystemExit(code)


def select(words):
    db, wanted = load(), words[words.index("-N") + 1]
    for number, job in db["jobs"].items():
        if job["name"] == wanted and (job["state"] not in "FC" or "-x" in words):
            print(number)


def delete(words):
    db = load()
    for number in words:
        job = db["jobs"].get(number)
        if job is None:
            fail(
                f"[ERR.] PJM 0110 pjdel Job {number} does not exist." if FLAVOUR == "pjm" else f"qdel: Unknown Job Id {number}",
                153,
            )
        if job["state"] in "FC":
            fail(f"qdel: Job has finished {number}", 35)
        job["state"] = "C" if FLAVOUR == "torque" else "F"
    save(db)


VERBS = {"sub": submit, "stat": stat, "select": select, "del": delete}
VERBS[Path(sys.argv[0]).name.lstrip("q").removeprefix("pj")](sys.argv[1:])
