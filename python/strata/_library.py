"""Finds libstrata.so and declares what strata.h and strata_npz.h say.

Looked for: $STRATA_LIBRARY; beside this file (pip install puts it there); build/ of the source tree; the system's libraries.
"""
import ctypes
import os
from ctypes import POINTER, c_bool, c_char, c_char_p, c_double, c_int, c_size_t, c_uint32, c_uint64, c_void_p

_here = os.path.dirname(os.path.abspath(__file__))


def _find():
    given = os.environ.get("STRATA_LIBRARY")
    if given:
        return given
    for path in (os.path.join(_here, "libstrata.so"), os.path.join(_here, "..", "..", "build", "libstrata.so")):
        if os.path.exists(path):
            return path
    return "libstrata.so"


try:
    library = ctypes.CDLL(_find(), use_errno=True)
except OSError as error:
    raise ImportError(f"libstrata.so can't be loaded ({error}); `make all` builds it, STRATA_LIBRARY names it") from None


class Error(ctypes.Structure):
    _fields_ = [("text", c_char * 512)]


class Info(ctypes.Structure):
    _fields_ = [("size", c_uint64), ("crc32c", c_uint32), ("generation", c_uint64), ("mtime_us", ctypes.c_int64)]

    def as_tuple(self, of):
        return of(self.size, self.crc32c, self.generation, self.mtime_us)


class Npy(ctypes.Structure):
    _fields_ = [("kind", c_int), ("ndim", c_int), ("shape", c_size_t * 4), ("count", c_size_t), ("width", c_size_t),
                ("data", c_void_p)]


class Mapping(ctypes.Structure):
    _fields_ = [("data", c_void_p), ("size", c_size_t), ("info", Info), ("mapped", c_bool), ("fd", c_int)]


library.Error, library.Info, library.Mapping = Error, Info, Mapping
library.each_f = ctypes.CFUNCTYPE(c_int, c_char_p, POINTER(Info), c_void_p)

_p, _s, _n, _u64, _e = c_void_p, c_char_p, c_size_t, c_uint64, POINTER(Error)
_names, _bytes, _size, _number, _flag = POINTER(c_char_p), POINTER(c_void_p), POINTER(c_size_t), POINTER(c_uint64), POINTER(c_bool)
_codes = POINTER(c_int)

_declarations = {
    "free": (None, [_p]),
    "strata_open": (_p, [_s, _s, c_int, _e]),
    "strata_close": (None, [_bytes]),
    "strata_set_timeout": (None, [_p, c_int]),
    "strata_put": (c_int, [_p, _s, _s, _p, _n, _e]),
    "strata_put_new": (c_int, [_p, _s, _s, _p, _n, _e]),
    "strata_get": (c_int, [_p, _s, _s, _bytes, _size, _e]),
    "strata_get_wait": (c_int, [_p, _s, _s, _bytes, _size, _e]),
    "strata_get_range": (c_int, [_p, _s, _s, _u64, _u64, _bytes, _size, _e]),
    "strata_map": (c_int, [_p, _s, _s, c_bool, POINTER(Mapping), _e]),
    "strata_unmap": (None, [POINTER(Mapping)]),
    "strata_exists": (c_int, [_p, _s, _s, _e]),
    "strata_move": (c_int, [_p, _s, _s, _s, _s, _e]),
    "strata_delete": (c_int, [_p, _s, _s, _e]),
    "strata_list": (c_int, [_p, _s, _s, library.each_f, _p, _e]),
    "strata_glob": (c_int, [_p, _s, _s, _s, _n, library.each_f, _p, _flag, _e]),
    "strata_put_many": (c_int, [_p, _s, _names, _bytes, _size, _n, _codes, _e]),
    "strata_get_many": (c_int, [_p, _s, _names, _n, _bytes, _size, _codes, _e]),
    "strata_get_range_many": (c_int, [_p, _s, _names, _number, _number, _n, _bytes, _size, _codes, _e]),
    "strata_exists_many": (c_int, [_p, _s, _names, _n, _flag, _e]),
    "strata_stat_many": (c_int, [_p, _s, _names, _n, POINTER(Info), _codes, _e]),
    "strata_move_many": (c_int, [_p, _s, _names, _s, _names, _n, _codes, _e]),
    "strata_delete_many": (c_int, [_p, _s, _names, _n, _codes, _e]),
    "strata_save_npz": (c_int, [_p, _s, _s, _p, _e]),
    "strata_load_npz": (_p, [_p, _s, _s, _e]),
    "strata_checkpoint": (c_int, [_p, _s, _s, _p, _n, ctypes.c_uint, _number, _e]),
    "strata_restore": (c_int, [_p, _s, _s, _bytes, _size, _number, _e]),
    "strata_signal": (c_int, [_p, _s, _s, _e]),
    "strata_clear": (c_int, [_p, _s, _e]),
    "strata_append": (c_int, [_p, _s, _s, _u64, _p, _n, _flag, _e]),
    "strata_last_sequence": (c_int, [_p, _s, _s, _number, _e]),
    "strata_append_histogram": (c_int, [_p, _s, _s, _u64, _s, _n, _n, _p, _flag, _e]),
    "strata_sum_histogram": (c_int, [_p, _s, _s, _u64, _s, _n, _n, _p, _flag, _e]),
    "strata_flush": (c_int, [_p, _number, _e]),
    "strata_append_frame": (c_int, [_p, _s, _s, _u64, c_double, _n, _p, _p, _n, _flag, _e]),
    "strata_append_structure": (c_int, [_p, _s, _s, _u64, _s, _p, _n, _flag, _e]),
    "strata_append_snapshot": (c_int, [_p, _s, _s, _u64, _s, c_double, _flag, _e]),
    "strata_append_uptake": (c_int, [_p, _s, _s, _u64, _u64, _flag, _e]),
    "npz_writer_new": (_p, []),
    "npz_writer_free": (None, [_bytes]),
    "npz_add": (c_int, [_p, _s, c_int, c_int, _size, _p]),
    "npz_add_strings": (c_int, [_p, _s, _names, _n, c_int]),
    "npz_count": (_n, [_p]),
    "npz_name": (_s, [_p, _n]),
    "npz_get": (POINTER(Npy), [_p, _s, _e]),
    "npz_close": (None, [_bytes]),
}
for _name, (_result, _arguments) in _declarations.items():
    _function = getattr(library, _name)
    _function.restype, _function.argtypes = _result, _arguments


def check(rc, code, why):
    """Raises the OSError that errno stands for."""
    if rc < 0:
        raise OSError(code, why.text.decode(errors="replace"))
