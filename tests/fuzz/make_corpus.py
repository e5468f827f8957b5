#!/usr/bin/env python3
"""Writes the seeds of the fuzz targets into tests/fuzz/corpus/<target>/: python3 tests/fuzz/make_corpus.py

Small, whole inputs of each kind, made from scratch or from files of this repository; equal runs give equal bytes.
Inputs that once broke a parser are kept apart, in tests/fuzz/regressions, and so are the seeds of targets that are not here (pdb:
other people's files). Needs numpy and protoc.
"""
import io
import json
import os
import re
import shutil
import struct
import subprocess
import tarfile
import zipfile

import numpy as np

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
MARK = b"=====\n"  # between the files of one input; see fuzz_split


begun = set()


def put(target, name, data):
    folder = os.path.join(HERE, "corpus", target)
    if target not in begun:
        shutil.rmtree(folder, ignore_errors=True)
        begun.add(target)
    os.makedirs(folder, exist_ok=True)
    with open(os.path.join(folder, name), "wb") as f:
        f.write(data.encode() if isinstance(data, str) else data)


def parts(*files):
    return MARK.join(f.encode() if isinstance(f, str) else f for f in files)


def source(path):
    with open(os.path.join(ROOT, path), "rb") as f:
        return f.read()


# ---- messages ----

def encode(message, text):
    protos = sorted(os.path.join(ROOT, "proto", f) for f in os.listdir(os.path.join(ROOT, "proto")))
    command = ["protoc", "--proto_path=" + os.path.join(ROOT, "proto"), "--encode=strata." + message]
    return subprocess.run(command + protos, input=text.encode(), stdout=subprocess.PIPE, check=True).stdout


def fields(message, protos):
    """[(name, type, repeated)] of a message, from the text of the proto files."""
    body = re.search(r"^message %s \{([^}]*)\}" % message, protos, re.M)
    body = body.group(1) if body else ""
    return [(m.group(3), m.group(2), bool(m.group(1)))
            for m in re.finditer(r"^\s*(repeated )?([A-Za-z0-9_]+) ([a-z0-9_]+) = \d+;", body, re.M)]


def example(message, protos, depth=0):
    """Every field set, in protoc's text format."""
    text = ""
    for name, kind, repeated in fields(message, protos):
        if re.search(r"^enum %s \{" % kind, protos, re.M):
            value = ": 1"
        elif kind in ("string", "bytes"):
            value = ': "a-1"'
        elif kind == "bool":
            value = ": true"
        elif kind in ("double", "float"):
            value = ": 0.5"
        elif kind.endswith(("32", "64")):
            value = ": 7"
        elif depth < 4:
            value = " { %s }" % example(kind, protos, depth + 1)
        else:
            continue
        text += "%s%s " % (name, value) * (2 if repeated else 1)
    return text


def wire():
    texts = [(f[:-6], source("proto/" + f).decode()) for f in sorted(os.listdir(os.path.join(ROOT, "proto")))]
    protos = "\n".join(text for _, text in texts)
    protos = re.sub(r"//[^\n]*", "", protos)
    protos = re.sub(r"oneof [a-z_]+ \{([^}]*)\}", r"\1", protos)
    header = encode("Header", 'version: 1 type: 10 sender: "a-1" boot: 1 epoch: 2 request: 3 settled: 3 '
                              "deadline_us: 4 trace: 5")
    names = re.findall(r"^message ([A-Za-z]+) \{", protos, re.M)  # the order of fuzz_bodies.h: by file, then as written
    for i, name in enumerate(names):
        body = encode(name, example(name, protos))
        put("wire", name, struct.pack("<BH", i | (0x80 if i % 2 else 0), len(header)) + header + body)
    put("wire", "other-version", struct.pack("<BH", 0, 2) + b"\x08\x02")
    put("wire", "no-frames", struct.pack("<BH", 0, 65535))


# ---- snapshots, trajectories, archives ----

LIPIDS = ("nInner_POPC nInner_PAPC nInner_POPE nInner_DIPE nInner_DPSM nInner_PAPS nInner_PAP6 nInner_CHOL "
          "nOuter_POPC nOuter_PAPC nOuter_POPE nOuter_DIPE nOuter_DPSM nOuter_CHOL")


def gridsim():
    nx = ny = 2
    head = ("densities FILEHEADER {\n  datatype = FIXRECORDBINARY; nfiles = 1; nrecord = %d; nfields = 17;\n"
            "  lrec = 68; endian_key = 875770417;\n  field_names = ix iy il %s;\n  loop = 5;\n  time = 100 fs;\n"
            "  nx = %d; ny = %d; nl = 1; nLipids = 14;\n  Lx = 2 nm; Ly = 2 nm; delta = 1 nm;\n}\n\n"
            % (nx * ny, LIPIDS, nx, ny)).encode()
    density = [0.1 * k for k in range(14)]
    records = b"".join(struct.pack("<17f", x, y, 0, *density) for y in range(ny) for x in range(nx))
    atoms = ("atoms FILEHEADER {\n  datatype = VARRECORDASCII;\n  nfiles = 1;\n  nrecord = %d;\n  loop = 5;\n"
             "  time = 100 fs;\n  h = 20 0 0 0 20 0 0 0 0 Ang;\n}\n\n")
    bonds = ("bonds FILEHEADER {\n  datatype = VARRECORDASCII;\n  nfiles = 1;\n  nrecord = %d;\n  loop = 5;\n"
             "  time = 100 fs;\n}\n\n")
    two = "1 FREE mRASa free 1.5 2.5 0 0 0 0\n2 FREE mRAFa free 3 19.9 10 0 0 0\n"
    put("gridsim", "whole", parts(head + records, atoms % 2 + two, bonds % 1 + "1 2 8.5\n"))
    put("gridsim", "empty", parts(head + records, atoms % 0, bonds % 0))
    put("gridsim", "infix", parts(head + records, atoms % 1 + "9 FREE mRAS4Aa free 20.0 0 0 0 0 0\n", bonds % 0))


def xtc():
    for name in ("water-3.xtc", "water-12.xtc"):
        put("xtc", name, source("tests/data/" + name))
    put("xtc", "water-639-first", source("tests/data/water-639.xtc")[:3000])


def archive(**arrays):
    """As numpy.savez, but the same bytes on every day."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_STORED) as zip_file:
        for name, array in arrays.items():
            member = io.BytesIO()
            np.lib.format.write_array(member, np.asanyarray(array), version=(1, 0))
            zip_file.writestr(zipfile.ZipInfo(name + ".npy", (1980, 1, 1, 0, 0, 0)), member.getvalue())
    return out.getvalue()


def npz():
    for kind in ("<f4", "<f8", "<i4", "<i8", "<u2", "<u4"):
        put("npz", kind[1:], archive(a=np.arange(6, dtype=kind).reshape(2, 3), mean=np.zeros((), dtype=kind)))
    put("npz", "text", archive(a=np.array(["RASa", "zR\u00e4F", "\U0001f600"]), id=np.array("p")))
    put("npz", "four-dimensions", archive(a=np.zeros((1, 2, 1, 0), dtype="<f4")))
    put("npz", "big-endian", archive(a=np.arange(3, dtype=">f8")))
    deflated = io.BytesIO()
    with zipfile.ZipFile(deflated, "w", zipfile.ZIP_DEFLATED) as zip_file:
        member = io.BytesIO()
        np.lib.format.write_array(member, np.zeros(500), version=(1, 0))
        zip_file.writestr(zipfile.ZipInfo("a.npy", (1980, 1, 1, 0, 0, 0)), member.getvalue(), zipfile.ZIP_DEFLATED)
    put("npz", "deflated", deflated.getvalue())


def patch():
    lipids = np.linspace(0.1, 0.5, 2 * 2 * 14, dtype="<f4").reshape(2, 2, 14)

    def one(configuration, states, pairs):
        n = len(states)
        return archive(id=np.array("s-1"), configuration=np.array(configuration), simulation=np.array("macro-1"),
                       center=np.array([1.0, 2.0]), edge_nm=np.array(30.0), time_fs=np.array(1e6),
                       snapshot=np.array(7, dtype="<i8"), concentrations=lipids, ids=np.arange(n, dtype="<u2"),
                       states=np.array(states, dtype="<U8"), positions=np.full((n, 3), 0.5) * np.arange(n)[:, None],
                       complex_ids=np.array(pairs, dtype="<u2").reshape(-1, 2))

    put("patch", "lipid-only", one("lipid-only", [], []))
    put("patch", "ras", one("ras", ["RASa"], []))
    put("patch", "ras-raf", one("ras-raf", ["4AmRASa", "4AmRAFa"], [[0, 1]]))


def model():
    rows = np.eye(2, 14)
    put("model", "plain", archive(mean=np.full(14, 0.5), components=rows))
    put("model", "scaled", archive(mean=np.zeros(14, "<f4"), components=rows.astype("<f4"), scale=np.ones(14)))


# ---- text ----

SMALL_CAMPAIGN = """strata: 1
campaign: small
workspace: ws
jobs:
  - name: macro
    start: always
    command: ["{bin_dir}/membrane-macro", "--out", "{dir}"]
"""


SMALL_STEP = b"""strata: 1
campaign: small
workspace: w
env: {variables: {A: 5}, labels: {B: $(A)/x}}
patch: {snapshots: s, candidates: c, encoder: {model: encoder/pca.npz}}
select: {from: c, queues: [{name: all, configuration: other, quota: 1}]}
feedback: {from: r, uptake: u, states: [a], rows: [b]}
jobs:
  - {name: a, start: selection, command: [a], restart: [a, -c], retry_delay: 3}
  - {name: b, start: after, after: a, run: {cmd: "$(LAUNCHER)[1n, 2p] x $(a.workspace) $(B) ${y} $(date)", restart: $(CANDIDATE),
     procs: 2, cores per task: 3, walltime: '1:00:00', max_retries: 1, retry_delay: 2}}
"""

SMALL_TRACKER = b"""job_type: cg
config: {jobname: a, nnodes: 1, nprocs: 1, cores per task: 3, ngpus: 1, walltime: '04:00:00', use_broker: True, addtl_args: {mpi: x}}
imports: [m]
variables: {simname: null, outpath: '{dir}/{simname}', list: [a, 1], python: {eval: x}}
script: |
  {outpath} {list} ${{x}} {simname} {timestamp} $(LAUNCHER) x
"""

def campaign():
    text = source("apps/membrane/campaign.yaml")
    put("campaign", "membrane", text)
    lean = b"\n".join(line for line in text.split(b"\n") if line.strip() and not line.strip().startswith(b"#"))
    put("campaign", "lean", lean + b"\n")
    put("campaign", "small", SMALL_CAMPAIGN)
    put("campaign", "step", SMALL_STEP)
    put("campaign", "tracker", SMALL_TRACKER)
    put("campaign", "mistakes",
        "strata: 1\nstrata: [1]\ncampain: x\nseed: -1\nreplicas: {patch: 0x10, select: }\njobs: 7\n")
    put("campaign", "anchors", "strata: &a 1\ncampaign: *a\n<<: {seed: *a}\n? [x]\n: !!binary aGk=\n")


CARD = {"replica": "stage-0", "service": "stage", "node": "n", "rpc": "ipc:///tmp/r", "pub": "ipc:///tmp/p", "pid": 12,
        "boot": "00000000000000ff", "epoch": 3, "active": True, "started_us": 1700000000000000}
OUTCOME = {"end": "exit", "code": 1, "reason": "it ended with exit code 1", "stderr_tail": "a\nb", "max_rss_mb": 12.5,
           "started_us": 1700000000000000, "ended_us": 1700000001000000}


def jsons():
    put("cards", "card", json.dumps(CARD))
    put("cards", "tcp", json.dumps(dict(CARD, tcp_rpc="tcp://127.0.0.1:4711", tcp_pub="tcp://127.0.0.1:4712", key="k" * 40, shard=1,
                                        retiring=True)))
    put("cards", "long-name", json.dumps(dict(CARD, replica="r" * 63, node="\u00fc" * 31)))
    put("outcome", "exit", parts(json.dumps(OUTCOME), "line\n" * 25 + "\tlast\r\n\xff"))
    put("outcome", "long", parts(json.dumps(dict(OUTCOME, end="memory", reason="r" * 600, stderr_tail="t" * 20)), "x"))
    sim = {"patch": "s-1", "state": "RASa", "beads": 6}
    gro = "title\n6\n" + "".join("    1POPC   NC3%5d%8.3f%8.3f%8.3f\n" % (i + 1, 1, 2, i) for i in range(6)) + "5 5 5\n"
    ndx = ("[ System ]\n1 2 3 4 5 6 ; all\n[ anchor ]\n1\n[ gdomain ]\n1 2 3 4\n[ inner_POPC ]\n5\n[ outer_CHOL ]\n6\n")
    mdp = "integrator = md\ndt = 0.02 ; ps\nnsteps = 100\nnstxout-compressed = 5\ngen_vel = yes\n"
    run = {"simulation": "s-1", "steps": 50000, "steps_per_frame": 1000, "segment": 1000, "seed": 1, "starts": 2,
           "dt_ps": 0.02}
    done = {"simulation": "s-1", "time_ns": 1.0, "frames": 50, "steps": 50000, "beads": 6, "restarts": 0}
    line = '{"simulation": "s-1", "frame": 1, "counts": [[0]]}\n{"simulation": "s-1", "frame": 2, "cou'
    put("cg", "whole", parts(json.dumps(sim), gro, ndx, mdp, json.dumps(run), json.dumps(done), line))
    put("cg", "membrane", parts(json.dumps(dict(sim, state="")), gro, "[ a ]\n1\n", mdp, "{}", "{}", ""))
    put("createsim", "whole", parts(json.dumps(sim), gro))
    put("createsim", "velocities", parts(json.dumps(sim), "t\n1\n    1POPC   NC3    1   1.000   2.000   3.000  0.1000  "
                                                          "0.2000  0.3000\n   5.00000   5.00000   5.00000\n"))


def rdf():
    lipids = "POPC PAPC POPE DIPE DPSM PAPS PAP6 CHOL"

    def table(count):
        radii = [0.0] + [0.01 + (11.99 / 599) * (i + 0.5) for i in range(599)]
        return "bin %s\n" % lipids + "".join("%.2f%s\n" % (r, (" %d" % (count if i == 9 else min(i, 3))) * 8)
                                             for i, r in enumerate(radii))

    put("rdf", "few", table(2))
    put("rdf", "many", table(1000000000000000))
    put("rdf", "short", table(1)[:500])


def forcefield():
    tables = ["nonbonded.dat", "geometry.dat", "residues.dat", "proteins.dat", "CHOL.itp"]
    put("forcefield", "as-it-is", MARK * 4)
    for i, name in enumerate(tables):
        table = source("apps/membrane/createsim/forcefield/" + name)
        put("forcefield", name.replace(".", "-"), parts(*[table if k == i else b"" for k in range(len(tables))]))


# ---- what stands in a workspace ----

def keys():
    public, secret = "Yne@$w-vo<fVvi]a<NY6T1ed:M$fCG*[IaLV{hID", "D:)Q[IlAW!ahhC2ac:9*A}h:p?([4%wOTJ%JR%cs"     # of RFC 26
    cert = "#   a certificate\nmetadata\n    name = \"service\"\ncurve\n    public-key = \"%s\"\n" % public
    put("keys", "pair", parts(cert, cert + "    secret-key = \"%s\"\n" % secret, cert))
    put("keys", "broken", parts("curve\n  public-key = x", "curve\n\tpublic-key\n", "\"\n \n = #\n"))


def replicas():
    whole = {"format": 1, "nodes": {"*": {"patch": 4}, "n": {"stage": 2}}, "restart": {"replica": "select-0", "pid": 4711}}
    put("replicas", "whole", json.dumps(whole))
    put("replicas", "empty", json.dumps({"format": 1, "nodes": {}, "restart": {}}))
    put("replicas", "mistakes", json.dumps(dict(whole, nodes={"*": {"patch": -1, "nothing": 1e99}})))


def varint(n):
    out = b""
    while n >= 128:
        out += bytes([n % 128 + 128])
        n //= 128
    return out + bytes([n])


def sized(data):
    return varint(len(data)) + data


def claims():
    for name in ("stage-0", "stage-17", "../stage-0", "a\nb", "s" * 64):
        put("claims", name.replace("/", "-").replace("\n", "-")[:20], name)


def zap():
    key = b"the only key that may connect: 1"
    good = [b"1.0", b"7", b"strata", b"127.0.0.1", b"", b"CURVE", key]
    put("zap", "good", parts(*good))
    put("zap", "other-key", parts(*good[:6], key[:31] + b"2"))
    put("zap", "other-domain", parts(*good[:2], b"global", *good[3:]))
    put("zap", "no-curve", parts(*good[:5], b"NULL"))
    put("zap", "plain", parts(*good[:5], b"PLAIN", b"user", b"password"))
    put("zap", "other-version", parts(b"2.0", *good[1:]))
    put("zap", "empty", b"")


def chunks():
    def page(text):
        return encode("StreamReadReply", text)
    put("chunks", "one-size", parts(page("first: 1 next: 4 chunks { first: 1 time_us: 9 count: 3 sizes: 2 }"), b"aabbcc"))
    put("chunks", "sizes", parts(page("first: 1 next: 4 chunks { first: 1 time_us: 9 count: 2 sizes: 2 sizes: 0 } "
                                      "chunks { first: 3 count: 1 sizes: 5 }"), b"aa", b"large"))
    put("chunks", "short", parts(page("chunks { first: 1 count: 2 sizes: 4 }"), b"1234567"))
    put("chunks", "no-bytes", page("chunks { first: 1 count: 1000 sizes: 0 }"))


def cores():
    def told(kind, message="", text=""):
        return kind.encode() + (encode(message, text) if message else b"")

    def histogram(frame, state="RASa", counts=(1, 2, 3, 4, 5, 6), width=1, bins=3):
        cells = b"".join(c.to_bytes(width, "little", signed=width == 8) for c in counts)
        return told("h", "Histogram", 'simulation: "s-1" frame: %d state: "%s" rows: 2 bins: %d width: %d cells: "%s"'
                    % (frame, state, bins, width, "".join("\\%03o" % b for b in cells)))
    partial = told("p", "Partial", "shard: 1 number: 1 frames: 2 simulations: 1 state_frames: 2 state_frames: 0 rows: 0 counts: 1 "
                                   "counts: 2 counts: 3")
    uptake = told("u", "Uptake", 'model: "macro-1" round: 1 step: 5')
    put("feedback", "report", parts(*(histogram(i, width=1 << i % 4) for i in range(1, 5)), b"d", histogram(5), b"w", uptake, histogram(5, "RASb")))
    put("feedback", "held", parts(*(histogram(i) for i in range(1, 5)), b"d", b"H", histogram(5), partial, partial, b"w"))
    put("feedback", "mistakes", parts(histogram(1, "none"), histogram(1, counts=(1, 2)), histogram(1, bins=4000000000),
                                      histogram(7, counts=(-1, 0, 0, 0, 0, 0), width=8), histogram(1, counts=(0,) * 6, width=3),
                                      histogram(1, counts=(2**63 - 1, 1, 0, 0, 0, 0), width=8),
                                      partial.replace(b"\x10\x01", b"\x10\x09"), b"h\xff", b"u\xff"))

    def candidate(name, x, y, configuration="ras", index=1):
        return told("c", "Candidate", 'id: "%s" configuration: "%s" point: %s point: %s simulation: "m" index: %d'
                    % (name, configuration, x, y, index))
    three = [candidate("a", 1, 2), candidate("b", 3, 4, "new"), candidate("c", 5, 6, index=2)]
    propose, confirm = told("p", "Propose", 'proposal: "p-1" count: 2'), told("o", "Confirm", 'proposal: "p-1"')
    weights = told("w", "Weights", 'queue: "one" max: 5')
    put("select", "chain", parts(*three, propose, confirm, weights, propose, b"t", weights))
    put("select", "expires", parts(*three, propose, told("i", "Invalidate", 'simulation: "m" index: 1 candidates: "c" reason: "torn"'),
                                   b"t", confirm, propose))
    put("select", "cap", parts(*(candidate("n%d" % i, i, 0) for i in range(9)), propose))
    imports = ('queue: "one" candidates { id: "x" state: CANDIDATE_SELECTED point: 1 point: 1 rank: 2 } '
               'candidates { id: "y" state: CANDIDATE_WAITING point: 2 point: 1 } candidates { id: "" point: 1 }')
    put("select", "import", parts(told("m", "Import", imports), *three, propose, told("m", "Import", imports), weights))
    put("select", "mistakes", parts(candidate("a", "nan", "inf"), candidate("", 1, 1), told("p", "Propose", "count: 0"),
                                    told("i", "Invalidate", 'simulation: "m"'), told("m", "Import", 'queue: "none"'), b"c\xff"))


def journal():
    def head(base):
        return b"strataJ1" + struct.pack("<7QI", 3, 1, 0, 0, 11, 12, base, 0)   # checksums are made right by the target

    def item(kind, step, a, b, *blobs):
        zigzag = step << 1 if step >= 0 else (-step << 1) - 1
        return bytes([kind]) + varint(zigzag) + varint(a) + varint(b) + varint(len(blobs)) + b"".join(sized(x) for x in blobs)

    def record(turn, *items):
        payload = b"".join(items)
        return struct.pack("<IIQQQ", len(payload), 0, turn, 13, 14) + payload
    start, tick = item(1, 1700000000000000, 7, 0, b"select-0"), item(2, 1000, 0, 0)
    request = item(3, 5, 0, 0, b"header", b"body", b"a blob")
    page = item(5, -500, 1, 3, b"stage-0", b"patches") + item(6, 0, 1, 9, b"record") + item(7, 0, 3, 0)
    put("journal", "whole", head(1) + record(4, start, tick) + record(5, request, page, item(8, 1, 0, 0, b"f"), item(9, 0, 9, 0)))
    put("journal", "torn", (head(0) + record(4, tick) + record(5, request))[:-5])
    put("journal", "wrong-sums", b"\xff" + head(0) + record(4, tick))
    put("journal", "huge", head(0) + struct.pack("<IIQQQ", 0xfffffff0, 0, 4, 13, 14))


def rockslog():
    def log(*records):      # checksums are made right by the target
        return b"".join(struct.pack("<IHB", 0, len(r), 1) + r for r in records)
    batch = struct.pack("<QI", 5, 2) + b"\x01" + sized(b"s/frames") + sized(b"value") + b"\x00" + sized(b"R/gone")
    fresh = varint(1) + sized(b"leveldb.BytewiseComparator") + varint(9) + varint(0)
    edit = varint(2) + varint(7) + varint(3) + varint(9) + varint(4) + varint(4)
    table = b"".join((varint(103), varint(0), varint(3), varint(1000), sized(b"a" * 9), sized(b"b" * 9), varint(1), varint(4),
                      varint(5), sized(b"\x01"), varint(1)))
    put("rockslog", "whole", parts(log(batch, batch), log(fresh, edit, table), b"x" * 48))
    put("rockslog", "pieces", parts(struct.pack("<IHB", 0, 12, 2) + batch[:12] + struct.pack("<IHB", 0, len(batch) - 12, 4) + batch[12:],
                                    log(edit)[:-3], b""))
    put("rockslog", "recycled", parts(struct.pack("<IHBI", 0, len(batch), 5, 7) + batch, log(fresh), b"\x00" * 64))


def tars():
    def archive(kind, *names, end=b""):
        out, lines = b"", ""
        for i, name in enumerate(names):
            info, data = tarfile.TarInfo(name), b"data" * i
            info.size = len(data)
            out += info.tobuf(kind)
            lines += "%s,%d,%d\n" % (re.sub(r"([,\\\n])", r"\\\1", name), len(out), len(data))
            out += data + bytes(-len(data) % 512)
        return parts(out + end, lines)
    long, deep = "n" * 120, "folder/" * 20 + "name"
    for name, kind in (("gnu", tarfile.GNU_FORMAT), ("pax", tarfile.PAX_FORMAT)):
        put("tar", name, archive(kind, "a", "b,\\", deep, long, "new\nline", end=bytes(1024)))
    put("tar", "twice", archive(tarfile.USTAR_FORMAT, "a", "b", "a"))
    whole = archive(tarfile.USTAR_FORMAT, "a", "b", "c").split(MARK)
    put("tar", "torn", parts(whole[0][:-600], whole[1]))
    put("tar", "buried", parts(whole[0][512:1400] + whole[0], whole[1]))
    put("tar", "no-index", whole[0])
    put("tar", "nested", parts(archive(tarfile.USTAR_FORMAT, "a").split(MARK)[0] + whole[0], ""))
    with io.BytesIO() as f:
        with tarfile.open(fileobj=f, mode="w", format=tarfile.PAX_FORMAT) as t:
            for kind, size in ((tarfile.DIRTYPE, 0), (tarfile.SYMTYPE, 0), (tarfile.REGTYPE, 0)):
                info = tarfile.TarInfo("x")
                info.type, info.mtime = kind, 1.5
                t.addfile(info)
        put("tar", "kinds", f.getvalue()[:4096])


if __name__ == "__main__":
    for make in (wire, gridsim, xtc, npz, patch, model, campaign, jsons, rdf, forcefield, keys, replicas, rockslog, claims, zap, chunks, journal,
                 cores, tars):
        make()
