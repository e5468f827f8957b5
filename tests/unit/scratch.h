/* scratch.h - where a unit test keeps its files: in memory where the machine has room for that, else in /tmp.
 *
 * Tests that replay hundreds of crashes, or write thousands of small files, sync each to disk: on a busy disk that is
 * nearly all of their time, and what they prove does not depend on the disk. (test_store, test_backend, test_mesh and
 * the services' own tests stay on disk: there the syncs are part of the matter.) */
#ifndef STRATA_TESTS_SCRATCH_H
#define STRATA_TESTS_SCRATCH_H

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/statvfs.h>
#include <unistd.h>

#define SCRATCH_ROOM (512ull << 20) /* bytes that must be free in memory */

/* Makes a new folder and writes its path to `dir`, `size` at least 32. False: none can be made. */
static inline bool scratch_new (char *dir, size_t size)
{
    struct statvfs fs;
    bool memory = access ("/dev/shm", W_OK | X_OK) == 0 && statvfs ("/dev/shm", &fs) == 0
                  && (unsigned long long)fs.f_bavail * fs.f_bsize >= SCRATCH_ROOM;
    return (size_t)snprintf (dir, size, "%s/strata-test-XXXXXX", memory ? "/dev/shm" : "/tmp") < size && mkdtemp (dir);
}

#endif
