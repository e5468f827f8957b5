/* logs.c - see logs.h */
#include "logs.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

void logs_path (const char *workspace, const char *name, char *path, size_t size)
{
    snprintf (path, size, "%s/log/%s.log", workspace, name);
}

FILE *logs_open (const char *workspace, const char *name)
{
    char path[4300];
    logs_path (workspace, name, path, sizeof (path));
    return fopen (path, "ae");
}

int logs_redirect (const char *workspace, const char *name)
{
    char path[4300];
    logs_path (workspace, name, path, sizeof (path));
    int in = open ("/dev/null", O_RDONLY), out = open (path, O_WRONLY | O_CREAT | O_APPEND, 0666);
    if (in < 0 || out < 0 || dup2 (in, 0) < 0 || dup2 (out, 1) < 0 || dup2 (out, 2) < 0)
        return -1;
    if (in > 2)
        close (in);
    if (out > 2)
        close (out);
    return 0;
}

static int copy (int in, int out)
{
    char buffer[65536];
    for (ssize_t n; (n = read (in, buffer, sizeof (buffer))) != 0;) {
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return -1;
        for (ssize_t done = 0, k; done < n; done += k)
            if ((k = write (out, buffer + done, (size_t)(n - done))) < 0)
                return -1;
    }
    return 0;
}

int logs_bound (const char *workspace, const char *name)
{
    char path[4300], kept[4310], temp[4320];
    struct stat st;
    logs_path (workspace, name, path, sizeof (path));
    if (stat (path, &st) < 0 || st.st_size < LOGS_BOUND_BYTES)
        return 0;
    snprintf (kept, sizeof (kept), "%s.1", path);
    snprintf (temp, sizeof (temp), "%s.1.tmp", path);
    int in = open (path, O_RDWR | O_CLOEXEC), saved = 0;
    int out = in < 0 ? -1 : open (temp, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
    if (in < 0)
        return 0;
    if (out < 0 || copy (in, out) < 0 || rename (temp, kept) < 0) {
        saved = errno;
        unlink (temp);
    }
    /* Lines that came between the last read and this are lost: a log is for people, its bound is for the disk. */
    if (ftruncate (in, 0) < 0)
        saved = errno;
    if (out >= 0)
        close (out);
    close (in);
    errno = saved;
    return saved ? -1 : 0;
}
