/* standalone.c - feeds files to a fuzz target without a fuzzer: build/fuzz/<target> FILE|FOLDER...
 *
 * So `make test` keeps the promise of each parser on its corpus and on every input that once broke it, with any
 * compiler. An input that takes longer than its limit is a failure too.
 */
#include <dirent.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fuzz.h"

#define LIMIT_S 20

static char current[4096];

static void on_alarm (int number)
{
    static const char text[] = ": still being parsed after 20 s\n";
    if (write (STDERR_FILENO, current, strlen (current)) < 0 || write (STDERR_FILENO, text, sizeof (text) - 1) < 0)
        _exit (3);
    _exit (1);
}

/* The bytes lie at the very end of their memory, so that a sanitizer sees one read too far. */
static int feed_file (const char *path)
{
    FILE *f = fopen (path, "rb");
    struct stat st;
    if (!f || fstat (fileno (f), &st) < 0) {
        perror (path);
        exit (2);
    }
    size_t size = (size_t)st.st_size;
    uint8_t *data = malloc (size ? size : 1);
    if (!data || fread (data, 1, size, f) != size) {
        fprintf (stderr, "%s: can't be read\n", path);
        exit (2);
    }
    fclose (f);
    snprintf (current, sizeof (current), "%s", path);
    printf ("%s\n", path);
    fflush (stdout);
    alarm (LIMIT_S);
    LLVMFuzzerTestOneInput (data, size);
    alarm (0);
    free (data);
    return 1;
}

static int feed (const char *path)
{
    char inner[4096];
    int fed = 0;
    DIR *dir = opendir (path);
    if (!dir)
        return feed_file (path);
    for (struct dirent *entry; (entry = readdir (dir));) {
        if (entry->d_name[0] == '.')
            continue;
        snprintf (inner, sizeof (inner), "%s/%s", path, entry->d_name);
        fed += feed_file (inner);
    }
    closedir (dir);
    return fed;
}

int main (int argc, char **argv)
{
    int fed = 0;
    if (argc < 2 || argv[1][0] == '-') {
        fprintf (stderr, "usage: %s FILE|FOLDER...   feeds each file to the parser\n", argv[0]);
        return 2;
    }
    signal (SIGALRM, on_alarm);
    for (int i = 1; i < argc; i++)
        fed += feed (argv[i]);
    printf ("%d inputs\n", fed);
    return fed > 0 ? 0 : 1;
}
