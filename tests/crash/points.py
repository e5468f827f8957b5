#!/usr/bin/python3
"""points.py - kills one process exactly at each named place of the code (common/core/crash_point.h), and proves each time that
nothing was lost and nothing ran twice.

    tests/crash/points.py [--short] [--only PATTERN] [--jobs N] [--seed N]      $STRATA_BIN: programs built with CRASH_POINTS=1

First a campaign in which every place is counted; a place in the code that nothing passed is a failure. Then for
each (program, place) a campaign of its own: the process dies there at the first passing, and at up to three later ones that
the seed draws, each time with all that its recovery does in between; more jobs must be finished after the last death; the campaign is
drained and goes down; `strata audit` and `crash-load recount` must find nothing. --short: the places that tell most (SHORT).
"""
import argparse
import concurrent.futures
import fnmatch
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import threading
import time

from mesh import Mesh
from watch import SLOW, Failure, Watch

HERE = os.path.dirname(os.path.abspath(__file__))
# Short jobs, so that a campaign of seconds passes every place.
CHANGES = [('--pace-ms, "2000"', '--pace-ms, "400"'), ('--pace-ms, "50"', '--pace-ms, "10"'), ('--pace-ms, "30"', '--pace-ms, "10"'),
           ('--frames, "20"', '--frames, "4"'), ("frames: 200", "frames: 12"), ("seconds: 10", "seconds: 1"), ("grace: 3", "grace: 1"),
           ('"4"]\n    cores: 0\n    walltime: 60', '"0"]\n    cores: 0\n    walltime: 60'), ('--fail-percent, "8"', '--fail-percent, "0"')]
# Not a service's: the command line's and ask_in_vain's own questions, and what each status query and heartbeat does again.
LEFT_OUT = ["crash-load!*STREAM_READ", "strata!send.*", "strata!sent.*", "strata!client.*", "status!send.*", "status!sent.*"]
# Of the commit path: a batch on disk whose messages have not left, a message that left, a file not yet in its place, a job
# launched whose launch is not on disk, a report that stands but is not noted, an answer that its asker did not note.
SHORT = ["stage!commit.written", "select!sent.CONFIRM_REPLY", "schedule!launch.after", "shepherd!shepherd.started",
         "feedback!report.linked", "stage!settle.renamed", "crash-load!client.answered-STREAM_APPEND", "patch!patch.put"]


# What a campaign doesn't pass by itself: pattern of places, and the death or halt that leads there. ask: again and again
# somebody asks for what the service must refuse.
STOPPED_S = 5   # longer than mesh.lease
PROVOKED = [("stage!handover.*", "scale"), ("stage!takeover.*", "scale"), ("stage!sen[dt].TAKE_OVER*", "scale"),
            ("stage!sen[dt].OBJECT_ADOPT*", "scale"), ("strata!supervisor.ended", "kill"), ("*!lease.taken", "stop"),
            ("*!lease.*", "kill"), ("*!generation.*", "stop"), ("*!sen[dt].REFUSAL", "ask")]
REFUSE = ["stage", "select", "schedule", "feedback"]    # those that can be asked for a stream


class Campaign:
    """One campaign whose processes pass counted places; `at`: who dies where, see crash_point.h."""
    running = set()

    def __init__(self, args, at=""):
        self.mesh = Mesh(args.bin)
        self.counts = os.path.join(self.mesh.work, "points")
        os.mkdir(self.counts)
        self.mesh.env["STRATA_CRASH_DIR"] = self.counts
        if at:
            self.mesh.env["STRATA_CRASH_AT"] = at
        self.watch = Watch(self.mesh)
        self.watch.still_s = 1
        Campaign.running.add(self)
        self.mesh.prepare(args.seed, CHANGES)

    def passed(self, place):
        try:
            with open(os.path.join(self.counts, place)) as f:
                return int(f.read() or 0)
        except (FileNotFoundError, ValueError):
            return 0

    def all_passed(self):
        return {place: self.passed(place) for place in os.listdir(self.counts)}

    def stay_up(self):
        """The supervisor too is killed: everything dies with it, and a person says strata up."""
        if not self.mesh.supervisor():
            self.watch.up()
        return True

    def work(self, more, text):
        before = self.watch.finished

        def done():
            return (self.stay_up() and self.watch.look() and self.watch.finished >= before + more
                    and (self.mesh.metric(self.watch.last_status, "feedback", "frames") or 0) > 0)
        self.watch.wait(60, text, done, 0.25)

    def provoke(self, how, program="feedback"):
        """kill: the holder of the service's shard dies. stop: it is stopped until a standby has taken the shard by force. scale: a
        second stage comes, gets names and records, and is taken away: what it has is handed over, whoever dies meanwhile."""
        if how == "scale":
            self.scale_stage(2)
            self.work(3, "more jobs are finished with two stages")
            self.scale_stage(1)
            return
        services = self.mesh.processes("service")
        service = program if any(p.name.startswith(program + "-") for p in services) else "feedback"
        holder = next(p for p in services if p.name == self.mesh.active(self.watch.last_status, service))
        self.mesh.signal(holder, signal.SIGKILL if how == "kill" else signal.SIGSTOP)
        if how == "stop":
            time.sleep(STOPPED_S)
            self.mesh.signal(holder, signal.SIGCONT)

    def ask_in_vain(self, service):
        """Asks the service what it must refuse. A death while it refuses is no failure: the client asks the next holder."""
        asked = subprocess.run([os.path.join(self.mesh.bin, "crash-load"), "refused", "--peer", service], env=self.mesh.env,
                               stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        if asked.returncode != 0:
            raise Failure(f"{service} was asked what it must refuse: {asked.stdout.strip()}")

    def scale_stage(self, count):
        said = self.mesh.strata("scale", "stage", str(count), "--timeout", str(int(60 * SLOW)))
        if said.returncode:
            raise Failure(f"strata scale stage {count}: {said.stdout}")

    def die_at(self, place, numbers):
        """The first death must come. Later ones may be more than this campaign passes without the deaths of the counted one."""
        service = place.split("!")[0] if how_provoked(place) == "ask" else None

        def passed(least):
            self.stay_up()
            if service:
                self.ask_in_vain(service)
            return self.passed(place) >= least
        self.watch.wait(30, f"{place} is passed", lambda: passed(1), 0.25)
        end = time.monotonic() + 15 * SLOW
        while not passed(numbers[-1]) and time.monotonic() < end:
            time.sleep(0.25)

    def end(self):
        self.watch.drain()
        self.watch.down()
        while self.mesh.processes():    # killed while it stopped the others: what it left is taken over, and stopped again
            self.watch.up()
            self.watch.down()

    def close(self, keep=None):
        self.mesh.remove(keep)
        Campaign.running.discard(self)


def how_provoked(place):
    return next((how for pattern, how in PROVOKED if fnmatch.fnmatch(place, pattern)), None)


def count_all(args):
    """How often each (program, place) is passed in a campaign of some jobs, with a service that dies and one that is stopped."""
    campaign = Campaign(args)
    keep = args.keep
    try:
        campaign.watch.up()
        campaign.work(12, "jobs are finished")
        campaign.provoke("kill")
        campaign.work(1, "more jobs are finished")
        campaign.provoke("scale")
        campaign.work(1, "more jobs are finished")
        campaign.provoke("stop")
        campaign.watch.wait(60, "reports are written", lambda: campaign.passed("feedback!report.linked") >= 2)
        for service in REFUSE:
            campaign.ask_in_vain(service)
        campaign.work(6, "more jobs are finished")
        campaign.end()
        campaign.watch.judge()
        keep = None
        return campaign.all_passed()
    finally:
        campaign.close(keep)


def places_in_code():
    """The names in the sources; a %s stands for any word."""
    text = subprocess.run(["grep", "-rhoE", r'crash_point \("[^"]+"', *(os.path.join(HERE, "../..", d) for d in ("common", "services"))],
                          stdout=subprocess.PIPE, text=True, check=True).stdout
    return sorted({re.search(r'"(.*)"', line).group(1).replace("%s", "*").replace("%d", "*") for line in text.splitlines()})


def passings(rng, place, total):
    """The first, and up to three later ones that a short campaign comes to."""
    if how_provoked(place) == "ask":
        return [1, 2, rng.randint(3, 9)]
    if how_provoked(place):
        return [1]
    if place.startswith("strata!"):     # the supervisor starts ten replicas each time, and stops six kinds of them
        return [1, rng.randint(2, 6)]
    later = {rng.randint(2, max(2, min(most, total))) for most in (12, 40, 120)} if total > 2 else set()
    return [1] + sorted(later)


def kill_at(args, place, numbers):
    begin = time.monotonic()
    campaign = Campaign(args, f"{place}:{','.join(map(str, numbers))}")
    keep = os.path.join(args.keep, place.replace("!", "-"))
    program = place.split("!")[0]
    try:
        try:
            campaign.watch.up(tries=1 + len(numbers))
            how = how_provoked(place)
            if how:
                campaign.work(1, "jobs are finished")
            if how and how != "ask":
                campaign.provoke(how, program)
            if not place.startswith("strata!supervisor.stopping"):  # that one is passed at the end only
                campaign.die_at(place, numbers)
            campaign.work(3, "more jobs are finished after the last death")
            campaign.end()
            document = campaign.watch.judge()
            keep = None
            jobs = sum(sum(states.values()) for states in document["figures"]["jobs"].values())
            return None, campaign.passed(place), jobs, time.monotonic() - begin
        except (Failure, subprocess.SubprocessError, OSError) as why:
            return str(why), campaign.passed(place), 0, time.monotonic() - begin
    finally:
        campaign.close(keep)


def options():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--short", action="store_true", help="only the places that tell most")
    parser.add_argument("--only", default="*", help="pattern of PROGRAM!PLACE")
    # A campaign of seconds computes for about 4 s and waits for twice as long, for heartbeats, leases and its own pace.
    parser.add_argument("--jobs", type=int, default=max(3, (os.cpu_count() or 1) * 5 // 2), help="campaigns at the same time")
    parser.add_argument("--seed", type=int, default=2026)
    parser.add_argument("--keep", default="build/points-failed", help="folder for logs and stores of what fails")
    args = parser.parse_args()
    args.bin = os.environ.get("STRATA_BIN", "build-points/bin")
    return args


def interrupted(signum, frame):
    raise KeyboardInterrupt


def run(args):
    begin = time.monotonic()
    failures, deaths = [], 0
    if args.short:
        counted = {place: 20 for place in SHORT}
    else:
        counted = count_all(args)
        names = {place.split("!", 1)[1] for place in counted}
        for pattern in places_in_code():
            if not fnmatch.filter(names, pattern):
                failures.append(f"{pattern}: in the code, but nothing passed it")
        print(f"{len(counted)} places passed {sum(counted.values())} times in a campaign with one death and one halt, {time.monotonic() - begin:.0f} s", flush=True)
    places = [p for p in sorted(counted) if fnmatch.fnmatch(p, args.only) and not any(fnmatch.fnmatch(p, left) for left in LEFT_OUT)]
    rng = random.Random(args.seed)
    plan = [(place, passings(rng, place, counted[place])) for place in places]
    with concurrent.futures.ThreadPoolExecutor(args.jobs) as pool:
        runs = {pool.submit(kill_at, args, place, numbers): (place, numbers) for place, numbers in plan}
        try:
            for done in concurrent.futures.as_completed(runs):
                place, numbers = runs[done]
                wrong, passed, jobs, seconds = done.result()
                numbers = [n for n in numbers if n <= passed]
                deaths += len(numbers)
                print(f"  {'FAILED' if wrong else 'ok    '} {place:44s} died at passing {', '.join(map(str, numbers)):14s} of {passed:5d}"
                      f"  {jobs:4d} jobs  {seconds:5.1f} s", flush=True)
                if wrong:
                    failures.append(f"{place}: {wrong}")
                    print(f"         {wrong}", flush=True)
        except KeyboardInterrupt:
            for one in runs:
                one.cancel()
            for campaign in list(Campaign.running):     # their threads end at the next thing they ask
                campaign.mesh.remove()
            raise
    print(f"{len(plan)} places, {deaths} deaths, {time.monotonic() - begin:.0f} s: "
          + (f"{len(failures)} FAILED (kept in {args.keep})" if failures else "nothing lost, nothing twice"))
    for text in failures:
        print("  ! " + text.split("\n")[0])
    return 1 if failures or not plan else 0


def main():
    args = options()
    for signum in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(signum, interrupted)
    shutil.rmtree(args.keep, ignore_errors=True)
    try:
        return run(args)
    except Failure as why:
        print(f"FAILED: {why}")
        return 1
    except KeyboardInterrupt:
        print("interrupted")
        return 130
    finally:
        for thread in threading.enumerate():
            if thread is not threading.current_thread():
                thread.join(60)


if __name__ == "__main__":
    sys.exit(main())
