/* slow_sync.c - preloaded into services: fdatasync and fsync of the program SLOW_SYNC_IN take SLOW_SYNC_MS more, as on a file
 * system of another machine. */
#include <dlfcn.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static void pause_if_meant (void)
{
    static long ms = -1;
    if (ms < 0) {
        const char *of = getenv ("SLOW_SYNC_IN"), *text = getenv ("SLOW_SYNC_MS");
        ms = of && text && strcmp (program_invocation_short_name, of) == 0 ? atol (text) : 0;
    }
    struct timespec wait = { ms / 1000, ms % 1000 * 1000000 };
    if (ms)
        nanosleep (&wait, NULL);
}

int fdatasync (int fd)
{
    static int (*real) (int);
    if (!real)
        real = (int (*) (int))dlsym (RTLD_NEXT, "fdatasync");
    pause_if_meant ();
    return real (fd);
}

int fsync (int fd)
{
    static int (*real) (int);
    if (!real)
        real = (int (*) (int))dlsym (RTLD_NEXT, "fsync");
    pause_if_meant ();
    return real (fd);
}
