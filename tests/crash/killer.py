#!/usr/bin/python3
"""killer.py - runs a campaign of small programs, makes seeded faults, and proves that nothing was lost and nothing ran twice.

    tests/crash/killer.py [--faults 1000] [--seed N] [--overlap S] [--short] [--keep FOLDER]      $STRATA_BIN: the programs

The seed fixes which faults come in which order, and the campaign's random numbers; what each fault interrupts is up to the
machine. The next fault comes when the mesh has recovered from the last one, or after at most --overlap seconds (random up to
it), so that faults also meet recoveries. At the end the jobs are held, what they handed in is read by all, the campaign goes
down; `strata audit` and `crash-load recount` (a second opinion from the jobs' folders) must find nothing, and work must have
gone on after the last fault. Exit code 0 only then.

Where the machine allows it (root, iproute2) the replicas are on two nodes, network namespaces with a cable between them, and the
cable is cut and spoilt too; the workspace's file system stays reachable for both.
"""
import argparse
import collections
import os
import random
import signal
import subprocess
import sys
import time

from mesh import PLAN, Mesh
from watch import SLOW, Failure, Watch

KINDS = {  # weight in the schedule
    "kill-service": 34, "kill-pair": 6, "kill-job": 14, "kill-shepherd": 10, "stop-service": 10, "halt-service": 6, "kill-supervisor": 7, "full-disk": 5, "kill-all": 8, "cut-link": 10, "bad-link": 4,
}
NETWORK = ("cut-link", "bad-link")
DEATHS, DEATHS_S = 8, 62    # the supervisor gives up at 10 deaths of one replica within 60 s: that is its promise, not ours to test
LEASE_S = 3     # mesh.lease: without a sign of life for so long a holder loses its shard
RECOVERY_LIMIT_S = 90 * SLOW


class Fault:
    def __init__(self, number, kind, text, since):
        self.number, self.kind, self.text, self.since = number, kind, text, since
        self.serves = self.works = None     # seconds until all serve again, until more jobs are finished
        self.finished = None


def schedule(seed, count, kinds, short):
    """The faults, each with a generator of its own: (kind, Random)."""
    rng = random.Random(seed)
    names = [k for k in KINDS if k in kinds]
    # Every kind comes, however few faults there are.
    faults = names[:count] + rng.choices(names, [KINDS[k] for k in names], k=max(0, count - len(names)))
    if short:  # kinds that take long come less often
        slow = [i for i, k in enumerate(faults) if k in ("kill-all", "full-disk", "kill-supervisor", "cut-link", "bad-link", "halt-service")]
        for i in slow[9:]:
            faults[i] = "kill-service"
    rng.shuffle(faults)
    return [(kind, random.Random(rng.getrandbits(64))) for kind in faults]


class Killer(Watch):
    def __init__(self, mesh, args):
        super().__init__(mesh)
        self.args = args
        self.open, self.done = [], []
        self.deaths = collections.defaultdict(list)
        self.started = time.monotonic()
        self.told = 0.0
        self.skipped = collections.Counter()
        self.continuum_too = False

    # ---- looking ----

    def look(self):
        known = self.last_status
        healthy = super().look()
        now = time.monotonic()
        # A status that did not answer tells nothing of the jobs.
        finished = self.mesh.finished(self.last_status) if self.last_status is not known else None
        for fault in list(self.open):
            if healthy and fault.serves is None:
                fault.serves = now - fault.since
            if finished is not None and fault.finished is None:
                fault.finished = finished   # what was finished before the fault may become known only now
            elif finished is not None and finished > fault.finished and fault.works is None:
                fault.works = now - fault.since
            if fault.serves is not None and fault.works is not None:
                self.open.remove(fault)
                self.done.append(fault)
            elif now - fault.since > RECOVERY_LIMIT_S:
                raise Failure(f"{RECOVERY_LIMIT_S:.0f} s after fault {fault.number} ({fault.text}): "
                              + ("all serve, but no more jobs are finished" if fault.serves else "not every replica serves: " + self.who()))
        if now - self.told >= 10:
            self.told = now
            self.progress(now)
        return healthy

    def progress(self, now):
        m = lambda service, name: self.mesh.metric(self.last_status, service, name)  # noqa: E731
        print(f"  {now - self.started:5.0f} s  {len(self.done) + len(self.open)} faults ({len(self.open)} not over), {self.finished} jobs "
              f"finished, {m('schedule', 'jobs_running')} running, {m('feedback', 'frames')} frames, "
              f"{m('select', 'candidates_waiting')} candidates wait", flush=True)

    # ---- faults: each returns what it did, or None when there was nothing to do it to ----

    def may_die(self, name):
        now = time.monotonic()
        self.deaths[name] = [t for t in self.deaths[name] if now - t < DEATHS_S]
        return len(self.deaths[name]) < DEATHS

    def kill_replica(self, process):
        if not self.mesh.signal(process, signal.SIGKILL):
            return False
        self.deaths[process.name].append(time.monotonic())
        return True

    def kill_service(self, rng, count=1):
        victims = [p for p in self.mesh.processes("service") if self.may_die(p.name)]
        victims = rng.sample(victims, min(count, len(victims)))
        killed = [p.name for p in victims if self.kill_replica(p)]
        return "SIGKILL of " + " and ".join(killed) if killed else None

    def kill_pair(self, rng):
        return self.kill_service(rng, 2)

    def kill_of(self, kind, rng):
        # Few of them the continuum's: after each death it waits longer to start again (up to 30 s), and all wait for it.
        victims = [p for p in self.mesh.processes(kind) if self.continuum_too or not self.mesh.is_continuum(p)]
        if not victims:
            return None
        victim = rng.choice(victims)
        return f"SIGKILL of {victim.kind} {victim.name} {victim.pid}" if self.mesh.signal(victim, signal.SIGKILL) else None

    def kill_job(self, rng):
        return self.kill_of("job", rng)

    def kill_shepherd(self, rng):
        return self.kill_of("shepherd", rng)

    def stop(self, rng, seconds):
        victims = self.mesh.processes("service")
        if not victims:
            return None
        victim = rng.choice(victims)
        if not self.mesh.signal(victim, signal.SIGSTOP):
            return None
        try:
            time.sleep(seconds)
        finally:
            self.mesh.signal(victim, signal.SIGCONT)
        if seconds > LEASE_S:   # a holder that finds its shard taken ends
            self.deaths[victim.name].append(time.monotonic())
        return f"SIGSTOP of {victim.name} for {seconds:.1f} s"

    def stop_service(self, rng):
        return self.stop(rng, rng.uniform(0.5, 1.5 if self.args.short else 2.5))

    def halt_service(self, rng):
        return self.stop(rng, rng.uniform(LEASE_S + 1, LEASE_S + (2 if self.args.short else 6)))

    def skew(self, rng):
        """Holds some replicas back at their start, so that they come in another order."""
        late = rng.sample(PLAN, rng.randint(1, 5))
        until = {name: time.monotonic() + rng.uniform(0.3, 2.0) for name in late}
        held = {}
        end = time.monotonic() + 3
        while until and time.monotonic() < end:
            for p in self.mesh.processes("service"):
                if p.name in until and p.name not in held and self.mesh.signal(p, signal.SIGSTOP):
                    held[p.name] = p
            for name in [n for n, t in until.items() if time.monotonic() >= t]:
                del until[name]
                if name in held:
                    self.mesh.signal(held[name], signal.SIGCONT)
            time.sleep(0.01)
        for p in held.values():
            self.mesh.signal(p, signal.SIGCONT)

    def kill_supervisor(self, rng):
        victim = self.mesh.supervisor()
        if not victim or not self.mesh.signal(victim, signal.SIGKILL):
            return None
        self.deaths.clear()
        self.since = time.monotonic()
        time.sleep(rng.choice([0, 0, 0.05, 0.3, 1]))
        self.up()
        return "SIGKILL of the supervisor, strata up"

    def kill_all(self, rng):
        everyone = self.mesh.processes()
        rng.shuffle(everyone)
        for p in everyone:
            self.mesh.signal(p, signal.SIGKILL)
        # What was being started just then.
        for p in self.mesh.processes():
            self.mesh.signal(p, signal.SIGKILL)
        self.deaths.clear()
        self.since = time.monotonic()
        self.up(meanwhile=lambda: self.skew(rng))
        return f"SIGKILL of all {len(everyone)} processes, strata up in another order"

    def full_disk(self, rng):
        seconds = rng.uniform(2, 3 if self.args.short else 5)
        if not self.mesh.fill_disk():
            return None
        try:
            end = time.monotonic() + seconds
            while time.monotonic() < end:
                time.sleep(0.2)
                self.mesh.fill_rest()
        finally:
            self.mesh.empty_disk()
        return f"disk full for {seconds:.1f} s"

    def cut_link(self, rng):
        way = rng.choice(["cable", "both", "both", "from a", "from b"])
        seconds = rng.uniform(0.5, 2 if self.args.short else 8)
        self.mesh.link.cut(way)
        try:
            time.sleep(seconds)
        finally:
            self.mesh.link.heal()
        return f"network cut ({way}) for {seconds:.1f} s"

    def bad_link(self, rng):
        seconds = rng.uniform(1, 2 if self.args.short else 6)
        return f"bad network for {seconds:.1f} s: {self.mesh.link.spoil(rng, seconds)}"

    # ---- the run ----

    def inject(self, number, kind, rng):
        self.since = None
        text = getattr(self, kind.replace("-", "_"))(rng)
        if not text:
            self.skipped[kind] += 1
            return False
        fault = Fault(number, kind, text, self.since or time.monotonic())
        self.open.append(fault)
        if self.args.verbose:
            print(f"  {time.monotonic() - self.started:7.1f} s  fault {number}: {text}", flush=True)
        return True

    def faults(self, plan):
        for number, (kind, rng) in enumerate(plan, 1):
            if self.args.seconds and time.monotonic() - self.started > self.args.seconds:
                print(f"  {self.args.seconds:.0f} s are over: no more faults after {number - 1}", flush=True)
                break
            patience = time.monotonic() + rng.uniform(0.2, self.args.overlap)
            while time.monotonic() < patience:
                self.look()
                if not self.open:
                    break
                time.sleep(0.1)
            self.continuum_too = rng.random() < 0.1
            for _ in range(900):
                if self.inject(number, kind, rng):
                    break
                self.look()
                time.sleep(0.1)
            else:
                raise Failure(f"for fault {number}, {kind}, there is no process in {900 * 0.1:.0f} s: {self.who()}")

    def recover(self):
        end = time.monotonic() + RECOVERY_LIMIT_S
        while self.open and time.monotonic() < end:
            self.look()
            time.sleep(0.1)
        before = self.finished
        self.wait(90, "four more jobs are finished after the last fault", lambda: self.look() and self.finished >= before + 4)
        return self.finished - before


# ---- afterwards ----

def percentile(values, share):
    values = sorted(values)
    return values[min(len(values) - 1, int(share * len(values)))]


def print_recovery(faults):
    print("recovery in seconds   until all serve again       until more jobs are finished")
    print(f"  {'kind':16s} {'n':>4s}   {'median':>6s} {'p99':>6s} {'max':>6s}       {'median':>6s} {'p99':>6s} {'max':>6s}")
    for kind in [k for k in KINDS if any(f.kind == k for f in faults)] + ["all"]:
        of = [f for f in faults if kind in (f.kind, "all")]
        print(f"  {kind:16s} {len(of):4d}  " + "      ".join(
            " ".join(f"{percentile(v, s):6.2f}" for s in (0.5, 0.99, 1)) for v in ([f.serves for f in of], [f.works for f in of])))


def print_work(figures, status):
    f = figures
    print(f"work done: {f['snapshots_cut']} snapshots cut ({f['snapshots_aside']} set aside), {f['candidates']} candidates, "
          f"{f['candidates_selected']} selected, {f['frames']} frames of {f['simulations']} simulations, {f['reports_written']} reports, "
          f"{f['reports_taken']} taken up")
    for name, jobs in f["jobs"].items():
        print(f"  {name}: " + ", ".join(f"{n} {state}" for state, n in jobs.items()))
    records = {}
    for r in (status or {}).get("replicas", []):
        for s in r["streams"]:
            key = f"{r['service']}/{s['stream']}"
            records[key] = max(records.get(key, 0), s["next"] - 1)
    print(f"  {sum(records.values())} records in streams: " + ", ".join(f"{n} {k}" for k, n in sorted(records.items()) if n))


def print_checks(document):
    for check in document["checks"]:
        print(f"  {'FAIL' if check['violations_count'] else 'ok  '} {check['check']}: {check['counted']}")


def options():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--faults", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=None)
    parser.add_argument("--overlap", type=float, default=6.0, help="seconds after which the next fault comes even if the last is not over")
    parser.add_argument("--seconds", type=float, default=0, help="no more faults after this time")
    parser.add_argument("--only", default="", help="kinds of faults, with commas")
    parser.add_argument("--one-node", action="store_true", help="no network between the replicas, and no faults of it")
    parser.add_argument("--short", action="store_true", help="short faults, fewer of those that take long")
    parser.add_argument("--keep", help="folder for logs and stores when it fails", default="build/crash-failed")
    parser.add_argument("--verbose", action="store_true")
    args = parser.parse_args()
    if args.faults < 1 or set(filter(None, args.only.split(","))) - set(KINDS):
        parser.error(f"--faults: at least 1; --only: of {', '.join(KINDS)}")
    if args.seed is None:
        args.seed = random.SystemRandom().randrange(1 << 31)
    return args


def interrupted(signum, frame):
    raise KeyboardInterrupt


def main():
    args = options()
    for signum in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):  # also where a shell had them ignored
        signal.signal(signum, interrupted)
    mesh = Mesh(os.environ.get("STRATA_BIN", "build/bin"))
    killer = Killer(mesh, args)
    code, keep = 1, args.keep
    try:
        kinds = set(filter(None, args.only.split(","))) or set(KINDS)
        if args.one_node:
            kinds -= set(NETWORK)
        elif kinds & set(NETWORK):
            try:
                mesh.make_link()
            except OSError as why:
                print(f"  {why}: all on one node, no faults of the network")
                kinds -= set(NETWORK)
        mesh.prepare(args.seed)
        if not mesh.mounted and "full-disk" in kinds:
            print("  no file system can be mounted here: no full disks among the faults")
            kinds.discard("full-disk")
        plan = schedule(args.seed, args.faults, kinds, args.short)
        print(f"seed {args.seed}: {len(plan)} faults ({', '.join(f'{n} {k}' for k, n in collections.Counter(k for k, _ in plan).items())}); "
              + (f"two nodes, {'loss and delay by netem' if mesh.link.netem else 'no netem in this kernel: loss by cuts of milliseconds'}"
                 if mesh.link else "one node"), flush=True)
        killer.up()
        killer.wait(60, "jobs are finished", lambda: killer.look() and killer.finished >= 3)
        begin = time.monotonic()
        try:
            killer.faults(plan)
        finally:
            wall = time.monotonic() - begin
        after = killer.recover()
        killer.drain()
        print(f"seed {args.seed}: {len(killer.done)} faults in {wall:.0f} s; {after} jobs finished after the last one is over")
        killer.down()
        document = killer.judge()
        print_work(document["figures"], killer.last_status)
        print_checks(document)
        print("  " + killer.recounted.replace("\n", "\n  "))
        print_recovery(killer.done)
        for text in killer.failing_up:
            print(f"  a strata up failed and was tried again: {text}")
        print(f"nothing lost, nothing twice: seed {args.seed}, {len(killer.done)} faults, {time.monotonic() - killer.started:.0f} s in all")
        code, keep = 0, None
    except (Failure, subprocess.SubprocessError, OSError) as why:
        print(f"FAILED (seed {args.seed}): {why}")
        for fault in (killer.done + killer.open)[-5:]:
            print(f"  fault {fault.number}: {fault.text}")
        print(f"  logs and stores are kept in {args.keep}; again: make crash FAULTS={args.faults} SEED={args.seed}")
    except KeyboardInterrupt:
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        print(f"\ninterrupted after {len(killer.done) + len(killer.open)} faults; the seed was {args.seed}")
        code, keep = 130, None
    finally:
        mesh.remove(keep)
    return code


if __name__ == "__main__":
    sys.exit(main())
