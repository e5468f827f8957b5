"""The Python binding against a real stage: what it puts, C's rules keep; arrays come and go without being copied on this side.
Run by python_binding.sh, which starts the stage."""
import gc
import os
import threading
import time
import unittest

import numpy as np

import strata


class Binding(unittest.TestCase):
    def setUp(self):
        self.s = strata.Client(name="test", timeout=60)

    def tearDown(self):
        self.s.close()

    def test_bytes_and_arrays_come_back(self):
        for data in (b"", b"abc", bytearray(b"xyz"), np.arange(5.0), np.arange(12).reshape(3, 4)[:, ::2]):
            self.s.put("py", "a/b", data)
            self.assertEqual(bytes(self.s.get("py", "a/b")), np.ascontiguousarray(data).tobytes() if isinstance(data, np.ndarray) else bytes(data))
        self.assertEqual(self.s.stat("py", "a/b").generation, 5)
        with self.assertRaises(TypeError):
            self.s.put("py", "text", "not bytes")

    def test_an_array_is_a_view_of_what_came(self):
        sent = np.random.default_rng(1).random((1000, 300))
        self.s.put("py", "large", sent)
        view = self.s.get("py", "large")
        array = np.frombuffer(view).reshape(sent.shape)
        self.assertFalse(array.flags.owndata)
        address = np.frombuffer(view, np.uint8).ctypes.data
        self.assertEqual(array.ctypes.data, address)
        del view
        gc.collect()  # the bytes live as long as the array
        np.testing.assert_array_equal(array, sent)

    def test_memory_is_given_back(self):
        def resident():
            with open("/proc/self/statm") as f:
                return int(f.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")

        self.s.put("py", "mb", np.zeros(1 << 20, np.uint8))
        self.s.save_npz("py", "mb.npz", a=np.zeros(1 << 17))
        for _ in range(10):
            self.s.get("py", "mb"), self.s.load_npz("py", "mb.npz")["a"].sum()
        before = resident()
        for _ in range(100):
            self.s.get("py", "mb"), self.s.load_npz("py", "mb.npz")["a"].sum()
        self.assertLess(resident() - before, 30 << 20)

    def test_an_array_is_mapped_from_the_nodes_cache_without_a_copy(self):
        array = np.arange(1 << 17, dtype=np.float64)
        self.s.put("py", "mapped", array)
        first, second = (np.frombuffer(self.s.map("py", "mapped")) for _ in range(2))
        np.testing.assert_array_equal(first, array)
        address = first.ctypes.data
        with open("/proc/self/maps") as f:
            where = next(line for line in f if int(line.split("-")[0], 16) <= address < int(line.split("-")[1].split()[0], 16))
        self.assertIn(os.environ["STRATA_TEST_CACHE"], where)
        with self.assertRaises(ValueError):
            first[0] = 1  # others have the same bytes
        self.s.put("py", "mapped", array + 1)
        np.testing.assert_array_equal(first, array)
        np.testing.assert_array_equal(np.frombuffer(self.s.map("py", "mapped", wait=True)), array + 1)
        del first, second
        gc.collect()
        with open("/proc/self/maps") as f:
            self.assertNotIn(os.environ["STRATA_TEST_CACHE"], f.read())
        self.assertEqual(len(self.s.map("py", "empty", wait=True)) if self.s.put("py", "empty", b"") is None else 1, 0)
        with self.assertRaises(FileNotFoundError):
            self.s.map("py", "nothing")

    def test_failures_are_what_python_calls_them(self):
        with self.assertRaisesRegex(FileNotFoundError, "there is no object py/nothing"):
            self.s.get("py", "nothing")
        self.s.put("py", "there", b"1")
        with self.assertRaisesRegex(FileExistsError, "py/there is there already"):
            self.s.put("py", "there", b"2", new=True)
        with self.assertRaisesRegex(OSError, "is not 1-200 of"):
            self.s.put("p/y", "there", b"2")
        self.s.timeout = 0.3
        with self.assertRaisesRegex(TimeoutError, "py/never was not put in time"):
            self.s.get("py", "never", wait=True)
        with self.assertRaises(ValueError):
            closed = strata.Client()
            closed.close()
            closed.get("py", "there")
        with self.assertRaises(OSError):
            strata.Client(workspace="/nowhere/at/all")

    def test_ranges_lists_moves(self):
        self.s.put("py2", "r", b"0123456789")
        self.assertEqual(bytes(self.s.get_range("py2", "r", 3, 4)), b"3456")
        self.s.put_many("py2", {f"k/{i}": bytes([i]) for i in range(20)})
        self.assertEqual([k for k, _ in self.s.list("py2", "k/1")], ["k/1"] + [f"k/{i}" for i in range(10, 20)])
        found, more = self.s.glob("py2", "k/?", max=3)
        self.assertEqual(([k for k, _ in found], more), (["k/0", "k/1", "k/2"], True))
        got = self.s.get_many("py2", ["k/3", "k/4"])
        self.assertEqual({k: bytes(v) for k, v in got.items()}, {"k/3": b"\3", "k/4": b"\4"})
        self.assertEqual([bytes(v) for v in self.s.get_range_many("py2", [("r", 8, 9), ("r", 0, 2), ("k/7", 0, 1)])], [b"89", b"01", b"\7"])
        self.assertEqual(self.s.get_range_many("py2", []), [])
        self.assertEqual(self.s.exists_many("py2", ["k/3", "gone"]), {"k/3": True, "gone": False})
        with self.assertRaises(FileNotFoundError) as raised:
            self.s.stat_many("py2", ["k/3", "gone"])
        self.assertEqual(sorted(raised.exception.codes.values()), [0, 2])
        self.s.move("py2", "r", "py2", "r2")
        self.s.move_many("py2", {"k/3": "m/3", "k/4": "m/4"}, "py3")
        self.assertFalse(self.s.exists("py2", "r"))
        self.assertTrue(self.s.exists("py3", "m/4"))
        self.s.delete("py2", "r2")
        self.s.delete_many("py3", ["m/3", "m/4"])
        self.assertEqual(self.s.list("py3"), [])

    def test_npz_is_numpys(self):
        arrays = {"f4": np.float32([[1, 2], [3, 4]]), "f8": np.float64(2.5), "i8": np.arange(3), "u2": np.uint16([7]),
                  "names": np.array(["RASa", "zRAFa"]), "id": np.array("p-1"), "none": np.empty((0, 3))}
        self.s.save_npz("py", "a.npz", **arrays)
        with open("a.npz", "wb") as f:
            f.write(self.s.get("py", "a.npz"))
        with np.load("a.npz") as numpys:
            self.assertEqual(sorted(numpys), sorted(arrays))
            for name, value in arrays.items():
                np.testing.assert_array_equal(numpys[name], value)
        loaded = self.s.load_npz("py", "a.npz")
        self.assertEqual(sorted(loaded.keys()), sorted(arrays))
        f4 = loaded["f4"]
        for name, value in arrays.items():
            self.assertEqual(loaded[name].dtype, np.asarray(value).dtype)
            np.testing.assert_array_equal(loaded[name], value)
        with self.assertRaises(KeyError):
            loaded["absent"]
        del loaded
        gc.collect()
        np.testing.assert_array_equal(f4, arrays["f4"])
        with self.assertRaises(TypeError):
            self.s.save_npz("py", "b.npz", a=np.array([1j]))
        np.savez("mine.npz", x=np.arange(6).reshape(2, 3))
        with open("mine.npz", "rb") as f:
            self.s.put("py", "mine.npz", f.read())
        np.testing.assert_array_equal(self.s.load_npz("py", "mine.npz")["x"], np.arange(6).reshape(2, 3))

    def test_checkpoints_and_signals(self):
        for step in range(4):
            self.assertEqual(self.s.checkpoint("py", "run/state", np.full(3, step), keep=2), step + 1)
        data, number = self.s.restore("py", "run/state")
        self.assertEqual((np.frombuffer(data, int).tolist(), number), ([3, 3, 3], 4))
        self.assertEqual(len(self.s.list("py", "run/state/")), 2)
        seen = []

        def waits():
            with strata.Client(name="waits", timeout=60) as other:
                seen.append(other.wait("go"))

        thread = threading.Thread(target=waits)
        thread.start()
        time.sleep(0.7)
        self.s.signal("go", "now")
        thread.join(60)
        self.assertEqual(seen, ["now"])
        self.s.clear("go")
        self.s.clear("go")

    def test_records_stand_once(self):
        self.assertTrue(self.s.append("notes", "me", 1, b"one"))
        self.assertTrue(self.s.append("notes", "me", 2, np.arange(3)))
        self.assertFalse(self.s.append("notes", "me", 2, b"again"))
        self.assertEqual(self.s.last_sequence("notes", "me"), 2)
        self.assertEqual(self.s.last_sequence("notes", "nobody"), 0)
        self.assertTrue(self.s.append_histogram("rdfs", "sim", 1, "RASa", np.ones((1, 20), int)))
        self.assertTrue(self.s.append_frame("frames", "sim", 1, 500.0, [0.1, 0.2, 0.3], b"blob"))
        self.assertTrue(self.s.append_snapshot("snapshots", "macro", 0, "/somewhere"))
        self.assertFalse(self.s.append_snapshot("snapshots", "macro", 0, "/somewhere"))
        self.assertTrue(self.s.append_uptake("uptakes", "macro", 1, 10))
        for frame in (2, 3, 5):
            self.assertTrue(self.s.sum_histogram("rdfs", "sim", frame, "RASa", np.ones((1, 20), int)))
        self.assertFalse(self.s.sum_histogram("rdfs", "sim", 5, "RASa", np.ones((1, 20), int)))
        self.s.flush()
        self.assertEqual(self.s.last_sequence("rdfs", "sim"), 5)
        with self.assertRaises(ValueError):
            self.s.append_histogram("rdfs", "sim", 2, "RASa", np.ones(20, int))


if __name__ == "__main__":
    unittest.main(verbosity=2)
