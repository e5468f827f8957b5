"""link.py - two nodes on one machine: network namespaces with a virtual cable between them that can be cut and healed.

Needs root and iproute2. A cut one way is silent, as on a real network: the frames go to a hardware address that nobody has, and
nobody is told. A cut of the cable itself is told to both ends (no route). Loss and delay come from tc netem where the kernel
has it; where it doesn't, a bad cable is one that is cut silently for tens of milliseconds again and again.
"""
import os
import random
import subprocess
import time

DEVICE = "strata0"
NOWHERE = "02:00:00:00:00:ff"


def ip(*words, quiet=False):
    return subprocess.run(["ip", *words], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL if quiet else None, text=True,
                          stdin=subprocess.DEVNULL)


class Link:
    def __init__(self):
        """Raises OSError when this machine does not allow it."""
        self.names = [f"strata-{os.getpid()}-{side}" for side in "ab"]
        self.address = ["10.77.0.1", "10.77.0.2"]
        self.hardware = ["02:00:00:00:00:0a", "02:00:00:00:00:0b"]
        try:
            for name in self.names:
                self.must("netns", "add", name)
                self.must("-n", name, "link", "set", "lo", "up")
            self.must("-n", self.names[0], "link", "add", DEVICE, "address", self.hardware[0], "type", "veth",
                      "peer", "name", DEVICE, "address", self.hardware[1], "netns", self.names[1])
            for side in (0, 1):
                self.must("-n", self.names[side], "address", "add", self.address[side] + "/24", "dev", DEVICE)
                self.must("-n", self.names[side], "link", "set", DEVICE, "up")
            self.heal()
            self.netem = self.tc(0, "add", "delay", "0ms") and self.tc(0, "del")
        except OSError:
            self.remove()
            raise

    def must(self, *words):
        try:
            done = ip(*words, quiet=True)
        except FileNotFoundError:
            raise OSError("ip (iproute2) is not installed")
        if done.returncode != 0:
            raise OSError(f"ip {' '.join(words)} failed: no network namespaces here")

    def tc(self, side, verb, *what):
        words = ["tc", "qdisc", verb, "dev", DEVICE, "root"] + (["netem", *what] if verb != "del" else [])
        try:
            return subprocess.run(["ip", "netns", "exec", self.names[side], *words], stdout=subprocess.DEVNULL,
                                  stderr=subprocess.DEVNULL, stdin=subprocess.DEVNULL).returncode == 0
        except FileNotFoundError:
            return False

    def on(self, side, words):
        """The command line that runs `words` on node 0 or 1. Node 1 has a host name of its own."""
        enter = ["nsenter", f"--net=/run/netns/{self.names[side]}"]
        return enter + (["unshare", "--uts", "sh", "-c", 'hostname node-b && exec "$@"', "sh"] if side else []) + list(words)

    # ---- faults ----

    def speaks(self, side, heard):
        """Whether the other side hears what this one says."""
        other = 1 - side
        self.must("-n", self.names[side], "neighbour", "replace", self.address[other], "lladdr", self.hardware[other] if heard else NOWHERE,
                  "dev", DEVICE, "nud", "permanent")

    def cut(self, way):
        """way: 'cable', 'both', 'from a', 'from b'."""
        if way == "cable":
            self.must("-n", self.names[0], "link", "set", DEVICE, "down")
            return
        for side in (0, 1):
            if way in ("both", "from " + "ab"[side]):
                self.speaks(side, False)

    def heal(self):
        for side in (0, 1):
            self.must("-n", self.names[side], "link", "set", DEVICE, "up")
        for side in (0, 1):     # a cable that is cut takes the addresses of neighbours with it
            self.speaks(side, True)

    def spoil(self, rng, seconds):
        """A bad cable for so long; says what was bad."""
        if self.netem:
            loss, delay = rng.choice([5, 15, 30]), rng.choice([1, 20, 80])
            for side in (0, 1):
                self.tc(side, "add", "loss", f"{loss}%", "delay", f"{delay}ms", f"{delay // 2}ms")
            time.sleep(seconds)
            for side in (0, 1):
                self.tc(side, "del")
            return f"{loss} % loss, {delay} ms delay"
        end, cuts = time.monotonic() + seconds, 0
        while time.monotonic() < end:
            self.cut(rng.choice(["both", "from a", "from b"]))
            time.sleep(rng.uniform(0.01, 0.2))
            self.heal()
            time.sleep(rng.uniform(0.01, 0.2))
            cuts += 1
        return f"{cuts} cuts of milliseconds"

    def remove(self):
        for name in self.names:
            ip("netns", "delete", name, quiet=True)
