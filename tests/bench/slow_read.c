/* slow_read.c - loaded before a program (LD_PRELOAD), lets reading snapshots take as long as a shared file system does.
 *
 * pread of a file in a folder snapshot.* sleeps bytes / $SLOW_READ_MBPS after it has read. Files of other folders are as
 * fast as ever. The process sleeps as it does in real I/O: it needs no core meanwhile.
 */
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

ssize_t pread (int fd, void *data, size_t size, off_t offset)
{
    static ssize_t (*real) (int, void *, size_t, off_t);
    char link[64], path[4096];
    const char *rate = getenv ("SLOW_READ_MBPS");
    if (!real)
        *(void **)&real = dlsym (RTLD_NEXT, "pread");
    ssize_t done = real (fd, data, size, offset);
    snprintf (link, sizeof (link), "/proc/self/fd/%d", fd);
    ssize_t n = readlink (link, path, sizeof (path) - 1);
    path[n > 0 ? n : 0] = '\0';
    if (done > 0 && rate && strstr (path, "/snapshot.")) {
        double seconds = (double)done / (1e6 * strtod (rate, NULL));
        struct timespec pause = { (time_t)seconds, (long)((seconds - (double)(time_t)seconds) * 1e9) };
        nanosleep (&pause, NULL);
    }
    return done;
}
