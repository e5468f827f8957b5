"""Strata's client library: what a simulation, an analysis or a training script calls.

    import numpy as np, strata

    with strata.Client(name="analysis") as s:          # STRATA_WORKSPACE says where, in a job of a campaign
        s.put("sim-1", "restart", np.arange(10.0))      # bytes of anything with a buffer, not copied on this side
        positions = np.frombuffer(s.get("sim-1", "restart"))   # a view of the bytes that came, not a copy
        s.save_npz("patches", "p.npz", values=np.eye(3), names=np.array(["POPC", "CHOL"]))
        values = s.load_npz("patches", "p.npz")["values"]

It is common/include/strata.h by ctypes: the comments there hold here too. Every call blocks until its effect is on the
stage's disk, tries again through a restart of the stage, and raises after the client's timeout. Failures are OSErrors with
errno and one sentence: FileNotFoundError (no such object), FileExistsError (the name is taken), TimeoutError (no answer in
time: it may or may not have happened), and OSError else (EINVAL, ENOSPC, EBADMSG ...).

A client does one call at a time; threads that share one wait for each other. After os.fork a child opens its own.
"""
import ctypes
import errno
import threading
import time
import weakref
from collections import namedtuple

import numpy as np

from ._library import check, library as _c

__all__ = ["Client", "ObjectInfo", "Npz"]

#: size in bytes, CRC-32C, generation (1 for the first put of a key, then 2 ...), time of the put (UTC microseconds).
ObjectInfo = namedtuple("ObjectInfo", "size crc32c generation mtime_us")

_SLICE_MS = 500  # a wait is asked for in slices, so that Ctrl-C is heard
_KINDS = {"<f4": 0, "<f8": 1, "<i4": 2, "<i8": 3, "<u2": 4, "<u4": 5}
_DTYPES = {number: dtype for dtype, number in _KINDS.items()}
_UNICODE = 6


def _text(name):
    return name.encode() if isinstance(name, str) else name


def _buffer(data):
    """Address and length of data's bytes, and what has to live as long as they are used."""
    if isinstance(data, str):
        raise TypeError("bytes or an array are put, not str: encode it")
    array = np.ascontiguousarray(data) if isinstance(data, np.ndarray) else np.frombuffer(data, np.uint8)
    if array.dtype.hasobject:
        raise TypeError("an array of Python objects has no bytes of its own")
    return array.ctypes.data, array.nbytes, array


def _take(address, size):
    """A memoryview of malloc'ed bytes that frees them when nobody looks at them any more."""
    if not address:
        return memoryview(b"")
    owner = (ctypes.c_ubyte * size).from_address(address)
    weakref.finalize(owner, _c.free, address)
    return memoryview(owner).cast("B")


def _names(keys):
    return (ctypes.c_char_p * len(keys))(*[_text(k) for k in keys])


class Npz:
    """Arrays of a .npz object by name, as views of its bytes: they keep it in memory as long as one of them lives."""

    def __init__(self, handle):
        self._handle = handle
        weakref.finalize(self, _close_npz, handle)
        self._names = []
        for i in range(_c.npz_count(handle)):
            name = _c.npz_name(handle, i)
            self._names.append(name.decode())

    def keys(self):
        return list(self._names)

    def __iter__(self):
        return iter(self._names)

    def __len__(self):
        return len(self._names)

    def __contains__(self, name):
        return name in self._names

    def __getitem__(self, name):
        why = _c.Error()
        array = _c.npz_get(self._handle, _text(name), ctypes.byref(why))
        if not array:
            raise KeyError(why.text.decode(errors="replace"))
        a = array.contents
        dtype = np.dtype(f"<U{a.width // 4}" if a.kind == _UNICODE else _DTYPES[a.kind])
        if a.count == 0:
            return np.empty(a.shape[: a.ndim], dtype)
        owner = (ctypes.c_ubyte * (a.count * a.width)).from_address(a.data)
        owner.npz = self  # the bytes are the archive's
        return np.frombuffer(owner, dtype).reshape(a.shape[: a.ndim])


def _close_npz(handle):
    _c.npz_close(ctypes.byref(ctypes.c_void_p(handle)))


class Client:
    """A connection to a campaign's stages.

    workspace: the campaign's folder (default: STRATA_WORKSPACE); name: who this is in logs; timeout: seconds for each call.
    """

    def __init__(self, workspace=None, name="python", timeout=120.0):
        why = _c.Error()
        self._lock = threading.RLock()
        self._self = ctypes.c_void_p(_c.strata_open(_text(workspace), _text(name), max(1, int(timeout * 1000)), ctypes.byref(why)))
        self._timeout = timeout
        if not self._self:
            raise OSError(errno.EINVAL, why.text.decode(errors="replace"))

    def close(self):
        """Ends the connection; again is harmless."""
        with self._lock:
            if self._self:
                _c.strata_close(ctypes.byref(self._self))

    def __enter__(self):
        return self

    def __exit__(self, *ignored):
        self.close()

    def __del__(self):
        if getattr(self, "_self", None):
            self.close()

    @property
    def timeout(self):
        """Seconds that each call may take."""
        return self._timeout

    @timeout.setter
    def timeout(self, seconds):
        with self._lock:
            self._timeout = seconds
            _c.strata_set_timeout(self._self, max(1, int(seconds * 1000)))

    def _call(self, function, *arguments):
        why = _c.Error()
        with self._lock:
            if not self._self:
                raise ValueError("the client is closed")
            rc = function(self._self, *arguments, ctypes.byref(why))
            check(rc, ctypes.get_errno(), why)
        return rc

    # ---- objects ----

    def put(self, ns, key, data, new=False):
        """Puts data (bytes, an array, anything with a buffer) under ns/key; new: only when there is none of that name."""
        address, size, keep = _buffer(data)
        self._call(_c.strata_put_new if new else _c.strata_put, _text(ns), _text(key), address, size)
        del keep

    def get(self, ns, key, wait=False):
        """The object's bytes as a memoryview: np.frombuffer makes an array of it without a copy, bytes() copies.

        wait: until the object has been put, for as long as the timeout.
        """
        arguments = _text(ns), _text(key)
        return self._waiting(self._get, _c.strata_get_wait, *arguments) if wait else self._get(_c.strata_get, *arguments)

    def get_range(self, ns, key, offset, length):
        """At most length bytes from offset on."""
        return self._get(_c.strata_get_range, _text(ns), _text(key), offset, length)

    def map(self, ns, key, wait=False):
        """The object's bytes as a read-only memoryview of a file of this node's cache: not copied, by however many of its
        programs (a copy where the node has no cache). They hold their place in the cache as long as somebody looks at them.
        """
        return self._waiting(self._map, ns, key, True) if wait else self._map(ns, key, False)

    def _map(self, ns, key, wait):
        mapping = _c.Mapping()
        self._call(_c.strata_map, _text(ns), _text(key), wait, ctypes.byref(mapping))
        if not mapping.size:
            _c.strata_unmap(ctypes.byref(mapping))
            return memoryview(b"")
        owner = (ctypes.c_ubyte * mapping.size).from_address(mapping.data)
        weakref.finalize(owner, _c.strata_unmap, mapping)
        return memoryview(owner).cast("B").toreadonly()

    def _get(self, function, *arguments):
        data, size = ctypes.c_void_p(), ctypes.c_size_t()
        self._call(function, *arguments, ctypes.byref(data), ctypes.byref(size))
        return _take(data.value, size.value)

    def _waiting(self, ask, *arguments):
        end = time.monotonic() + self._timeout
        while True:
            left_ms = int((end - time.monotonic()) * 1000)
            try:
                with self._lock:
                    _c.strata_set_timeout(self._self, max(1, min(left_ms, _SLICE_MS)))
                    try:
                        return ask(*arguments)
                    finally:
                        _c.strata_set_timeout(self._self, max(1, int(self._timeout * 1000)))
            except TimeoutError:
                if left_ms <= _SLICE_MS:
                    raise

    def stat(self, ns, key):
        """An ObjectInfo."""
        return self.stat_many(ns, [key])[key]

    def exists(self, ns, key):
        return self._call(_c.strata_exists, _text(ns), _text(key)) == 1

    def move(self, ns, key, to_ns, to_key):
        """To a name that is free."""
        self._call(_c.strata_move, _text(ns), _text(key), _text(to_ns), _text(to_key))

    def delete(self, ns, key):
        self._call(_c.strata_delete, _text(ns), _text(key))

    def list(self, ns, prefix=""):
        """Keys with the prefix, in byte order, with their ObjectInfo: [(key, info), ...]"""
        found = []
        self._call(_c.strata_list, _text(ns), _text(prefix), _collect(found), None)
        return found

    def glob(self, ns, pattern, after="", max=1000):
        """A page of keys that match the pattern (* ? [...], also across '/'), from behind `after` on: ([(key, info)], more)"""
        found, more = [], ctypes.c_bool()
        self._call(_c.strata_glob, _text(ns), _text(pattern), _text(after), max, _collect(found), None, ctypes.byref(more))
        return found, more.value

    # ---- in bulk: the requests are under way together ----

    def put_many(self, ns, objects):
        """Puts {key: data}. Raises when one of them failed (its `codes`: {key: errno}); the others have happened."""
        keys = list(objects)
        buffers = [_buffer(objects[k]) for k in keys]
        data = (ctypes.c_void_p * len(keys))(*[b[0] for b in buffers])
        sizes = (ctypes.c_size_t * len(keys))(*[b[1] for b in buffers])
        self._many(_c.strata_put_many, keys, _text(ns), _names(keys), data, sizes, len(keys))

    def get_many(self, ns, keys):
        """{key: memoryview}. Raises when one of them failed."""
        keys = list(keys)
        return dict(zip(keys, self._get_many(_c.strata_get_many, keys, _text(ns), _names(keys), len(keys))))

    def get_range_many(self, ns, ranges):
        """[memoryview] for [(key, offset, length)]. Raises when one of them failed."""
        keys, offsets, lengths = map(list, zip(*ranges)) if ranges else ([], [], [])
        return self._get_many(_c.strata_get_range_many, keys, _text(ns), _names(keys), (ctypes.c_uint64 * len(keys))(*offsets),
                              (ctypes.c_uint64 * len(keys))(*lengths), len(keys))

    def _get_many(self, function, keys, *arguments):
        data, sizes = (ctypes.c_void_p * len(keys))(), (ctypes.c_size_t * len(keys))()
        try:
            self._many(function, keys, *arguments, data, sizes)
        finally:
            taken = [_take(data[i], sizes[i]) for i in range(len(keys))]
        return taken

    def exists_many(self, ns, keys):
        """{key: whether it is there}. Raises when nobody could say of one of them."""
        keys = list(keys)
        there = (ctypes.c_bool * len(keys))()
        self._call(_c.strata_exists_many, _text(ns), _names(keys), len(keys), there)
        return dict(zip(keys, there))

    def stat_many(self, ns, keys):
        """{key: ObjectInfo}. Raises when one of them failed."""
        keys = list(keys)
        infos = (_c.Info * len(keys))()
        self._many(_c.strata_stat_many, keys, _text(ns), _names(keys), len(keys), infos)
        return {k: infos[i].as_tuple(ObjectInfo) for i, k in enumerate(keys)}

    def move_many(self, ns, names, to_ns):
        """Moves {key: to_key}."""
        keys = list(names)
        self._many(_c.strata_move_many, keys, _text(ns), _names(keys), _text(to_ns), _names(list(names.values())), len(keys))

    def delete_many(self, ns, keys):
        keys = list(keys)
        self._many(_c.strata_delete_many, keys, _text(ns), _names(keys), len(keys))

    def _many(self, function, keys, *arguments):
        codes = (ctypes.c_int * len(keys))()
        try:
            self._call(function, *arguments, codes)
        except OSError as error:
            error.codes = dict(zip(keys, codes))
            raise

    # ---- arrays, checkpoints, signals ----

    def save_npz(self, ns, key, **arrays):
        """Arrays as numpy.savez writes them, as one object: float32/64, int32/64, uint16/32 and text, up to 4 dimensions."""
        writer = ctypes.c_void_p(_c.npz_writer_new())
        try:
            for name, value in arrays.items():
                _add_array(writer, name, np.asarray(value))
            self._call(_c.strata_save_npz, _text(ns), _text(key), writer)
        finally:
            _c.npz_writer_free(ctypes.byref(writer))

    def load_npz(self, ns, key):
        """An Npz: arrays by name, without a copy."""
        why = _c.Error()
        with self._lock:
            handle = _c.strata_load_npz(self._self, _text(ns), _text(key), ctypes.byref(why))
            check(0 if handle else -1, ctypes.get_errno(), why)
        return Npz(handle)

    def checkpoint(self, ns, name, data, keep=2):
        """Puts the next version of name, whole or not at all; the last `keep` stay. Its number."""
        address, size, keep_alive = _buffer(data)
        number = ctypes.c_uint64()
        self._call(_c.strata_checkpoint, _text(ns), _text(name), address, size, keep, ctypes.byref(number))
        del keep_alive
        return number.value

    def restore(self, ns, name):
        """The newest version that is whole: (memoryview, number)."""
        data, size, number = ctypes.c_void_p(), ctypes.c_size_t(), ctypes.c_uint64()
        self._call(_c.strata_restore, _text(ns), _text(name), ctypes.byref(data), ctypes.byref(size), ctypes.byref(number))
        return _take(data.value, size.value), number.value

    def signal(self, name, text=""):
        """Sets a flag that others wait for; it stays until it is cleared."""
        self._call(_c.strata_signal, _text(name), _text(text))

    def wait(self, name):
        """Until the flag is set, for as long as the timeout; its text."""
        return bytes(self._waiting(self._get, _c.strata_get_wait, _text("strata.signals"), _text(name))).decode()

    def clear(self, name):
        self._call(_c.strata_clear, _text(name))

    # ---- records ----

    def append(self, stream, producer, sequence, record):
        """Appends a record once: False when that producer's sequence was kept before (a repeat)."""
        address, size, keep = _buffer(record)
        return self._append(_c.strata_append, _text(stream), _text(producer), sequence, address, size, keep=keep)

    def last_sequence(self, stream, producer):
        """The last sequence kept of producer on stream; 0: none."""
        last = ctypes.c_uint64()
        self._call(_c.strata_last_sequence, _text(stream), _text(producer), ctypes.byref(last))
        return last.value

    def append_histogram(self, stream, simulation, frame, state, counts):
        """counts: int64 [rows][bins] of one frame, for one state of the campaign's feedback."""
        return self._histogram(_c.strata_append_histogram, stream, simulation, frame, state, counts)

    def sum_histogram(self, stream, simulation, frame, state, counts):
        """The same for many frames a second: added up here and sent as sums; kept when flush returns. False for a repeat."""
        return self._histogram(_c.strata_sum_histogram, stream, simulation, frame, state, counts)

    def flush(self):
        """Returns when all summed frames are on the stage's disk. When it fails, those since the last flush are to be added again."""
        self._call(_c.strata_flush, None)

    def _histogram(self, call, stream, simulation, frame, state, counts):
        counts = np.ascontiguousarray(counts, np.int64)
        if counts.ndim != 2:
            raise ValueError(f"counts have 2 dimensions, rows and bins, not {counts.ndim}")
        return self._append(call, _text(stream), _text(simulation), frame, _text(state),
                            counts.shape[0], counts.shape[1], counts.ctypes.data, keep=counts)

    def append_frame(self, stream, simulation, frame, time_ps, coordinates, blob=b""):
        """A frame candidate: coordinates in the selector's space, blob for the next scale."""
        coordinates = np.ascontiguousarray(coordinates, np.float64).ravel()
        address, size, keep = _buffer(blob)
        return self._append(_c.strata_append_frame, _text(stream), _text(simulation), frame, time_ps, coordinates.size,
                            coordinates.ctypes.data, address, size, keep=(coordinates, keep))

    def append_structure(self, stream, simulation, frame, protein, atoms):
        """A frame for the workers of feedback.patterns: atoms is what they read, e.g. the bytes of a PDB file."""
        address, size, keep = _buffer(atoms)
        return self._append(_c.strata_append_structure, _text(stream), _text(simulation), frame, _text(protein), address, size,
                            keep=keep)

    def append_snapshot(self, queue, simulation, index, path, time_us=0.0):
        """Hands a continuum snapshot folder to the queue of the patch service."""
        return self._append(_c.strata_append_snapshot, _text(queue), _text(simulation), index, _text(str(path)), time_us)

    def append_uptake(self, stream, model, round, step):
        """Tells feedback that report `round` is in force in the receiving model from its own step `step` on."""
        return self._append(_c.strata_append_uptake, _text(stream), _text(model), round, step)

    def _append(self, function, *arguments, keep=None):
        duplicate = ctypes.c_bool()
        self._call(function, *arguments, ctypes.byref(duplicate))
        del keep  # the bytes were needed until here
        return not duplicate.value


def _collect(found):
    def each(key, info, arg):
        found.append((key.decode(), info.contents.as_tuple(ObjectInfo)))
        return 0

    return _c.each_f(each)


def _add_array(writer, name, array):
    if array.ndim > 4:
        raise TypeError(f"array {name} has {array.ndim} dimensions; at most 4 are kept")
    if array.dtype.kind == "U" and array.ndim <= 1:
        words = [str(w).encode() for w in np.atleast_1d(array)]
        rc = _c.npz_add_strings(writer, _text(name), (ctypes.c_char_p * len(words))(*words), len(words), array.ndim == 0)
    else:
        array = np.asarray(array, array.dtype.newbyteorder("<"), order="C")
        kind = _KINDS.get(array.dtype.str)
        if kind is None:
            raise TypeError(f"array {name} is of {array.dtype}; kept are float32, float64, int32, int64, uint16, uint32, and text "
                            "in one dimension")
        shape = (ctypes.c_size_t * max(1, array.ndim))(*array.shape)
        rc = _c.npz_add(writer, _text(name), kind, array.ndim, shape, array.ctypes.data)
    if rc < 0:
        raise MemoryError(f"array {name} can't be added")
