/* bench_sink.c - see bench_sink.h */
#include "bench_sink.h"

#include <errno.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>

#include "bench.h"
#include "mesh/service_internal.h"

struct bench_shared *bench_shared;

struct sink {
    uint64_t seen, committed;
    int (*commit) (void *arg);
};

void bench_share (uint64_t records, uint64_t size)
{
    bench_shared = mmap (NULL, sizeof (*bench_shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (bench_shared == MAP_FAILED || records == 0 || size < 8)
        bench_fail ("at least one record of 8 bytes");
    bench_shared->records = records;
    bench_shared->size = size;
    bench_shared->wake = -1;
}

static int take_record (struct service *service, const char *peer, uint64_t sequence, int64_t time_us, const void *record,
                        size_t size, void *arg)
{
    struct sink *self = arg;
    if (size != bench_shared->size)
        bench_fail ("strata: a record is wrong");
    bench_record_check (record, size, self->seen++);
    bench_shared->seen_ns = bench_now_ns ();
    return 0;
}

/* Around the service's own commit: when it is done, the records' cursor is on this process's disk. */
static int commit (void *arg)
{
    struct service *service = arg;
    struct sink *self = service_state (service);
    int rc = self->commit (arg);
    if (rc < 0 || self->seen == self->committed)
        return rc;
    self->committed = self->seen;
    bench_shared->committed_ns = bench_now_ns ();
    __atomic_store_n (&bench_shared->committed, self->committed, __ATOMIC_RELEASE);
    if (bench_shared->wake >= 0 && eventfd_write (bench_shared->wake, 1) < 0)
        bench_fail ("eventfd: %s", strerror (errno));
    if (self->committed == bench_shared->records)
        service_quit (service, 0);
    return rc;
}

static int start (struct service *service, struct strata_error *error)
{
    static struct sink sink;
    service_set_state (service, &sink);
    sink.commit = service->mesh.commit;
    service->mesh.commit = commit;
    service_consume (service, "stage", "bench", take_record, &sink);
    bench_ready ();
    return 0;
}

const struct service_spec bench_sink_spec = { .name = "sink", .about = "consumes", .has_shard = true, .start = start };
