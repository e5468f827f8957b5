/* test_procs.c - the tree of processes below one: all of it, whatever sessions it makes, and nothing else. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/procs.h"

#define CHILDREN 3 /* each has one child in a session of its own */

struct shared {
    pid_t pids[2 * CHILDREN];
    int started; /* atomically */
};

static void live (struct shared *shared, int i)
{
    shared->pids[i] = getpid ();
    __atomic_add_fetch (&shared->started, 1, __ATOMIC_SEQ_CST);
    for (;;)
        pause ();
}

/* Not from the thread that asks: the kernel lists children a thread. */
static void *start_tree (void *arg)
{
    struct shared *shared = arg;
    for (int i = 0; i < CHILDREN; i++)
        if (fork () == 0) {
            prctl (PR_SET_PDEATHSIG, SIGKILL);
            if (fork () == 0) {
                prctl (PR_SET_PDEATHSIG, SIGKILL);
                setsid ();
                live (shared, 2 * i + 1);
            }
            live (shared, 2 * i);
        }
    pause ();
    return NULL;
}

static bool contains (const pid_t *pids, size_t count, pid_t pid)
{
    for (size_t i = 0; i < count; i++)
        if (pids[i] == pid)
            return true;
    return false;
}

static void wait_for (const int *number, int value)
{
    while (__atomic_load_n (number, __ATOMIC_SEQ_CST) < value)
        usleep (1000);
}

static void all_descendants_are_found_and_no_others (void **state)
{
    struct shared *shared = mmap (NULL, sizeof (*shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    pthread_t thread;
    pid_t pids[16], mine[16];
    assert_int_equal (pthread_create (&thread, NULL, start_tree, shared), 0);
    wait_for (&shared->started, 2 * CHILDREN);
    assert_int_equal (procs_descendants (getpid (), pids, 16), 2 * CHILDREN);
    for (int i = 0; i < 2 * CHILDREN; i++)
        assert_true (contains (pids, 2 * CHILDREN, shared->pids[i]));
    assert_true (procs_descendants_rss_mb (getpid ()) > 0);

    /* One branch alone; and its grandchild is another's once its parent is dead and reaped. */
    assert_int_equal (procs_descendants (shared->pids[0], mine, 16), 1);
    assert_int_equal (mine[0], shared->pids[1]);
    assert_int_equal (procs_descendants (shared->pids[1], mine, 16), 0);
    assert_int_equal (procs_descendants (getpid (), NULL, 0), 2 * CHILDREN);

    /* Zombies are left out. */
    kill (shared->pids[1], SIGKILL);
    while (procs_descendants (getpid (), NULL, 0) > 2 * CHILDREN - 1)
        usleep (1000);
    for (int i = 0; i < 2 * CHILDREN; i++)
        kill (shared->pids[i], SIGKILL);
    while (procs_descendants (getpid (), NULL, 0) > 0)
        usleep (1000);
    pthread_cancel (thread);
    pthread_join (thread, NULL);
    munmap (shared, sizeof (*shared));
}

int main (void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test (all_descendants_are_found_and_no_others) };
    return cmocka_run_group_tests (tests, NULL, NULL);
}
