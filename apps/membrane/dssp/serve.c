/* serve.c - see serve.h */
#include "serve.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "pdb.h"

#define GAP_MAX 100000 /* residue numbers of a chain from the first to the last */

/* Letters of the chain that begins with residue `from`, from its first number on; '?' for numbers that no residue has. A second
 * residue with a number (an insertion) is left out. NULL: the numbers are too far apart. */
static json_t *chain_letters (const struct pdb *pdb, const char *structure, char chain)
{
    int first = 0, last = 0;
    bool any = false;
    for (size_t i = 0; i < pdb->count; i++) {
        if (pdb->names[i].chain != chain)
            continue;
        int number = pdb->names[i].number;
        first = any && first < number ? first : number;
        last = any && last > number ? last : number;
        any = true;
    }
    if ((long)last - first >= GAP_MAX)
        return NULL;
    size_t count = (size_t)((long)last - first) + 1;
    char *letters = malloc (count + 1);
    if (!letters)
        return NULL;
    memset (letters, '?', count);
    letters[count] = '\0';
    for (size_t i = 0; i < pdb->count; i++) {
        char *at = letters + (pdb->names[i].number - first);
        if (pdb->names[i].chain == chain && *at == '?')
            *at = structure[i] == ' ' ? '-' : structure[i];
    }
    json_t *out = json_pack ("{s:i, s:s}", "first", first, "letters", letters);
    free (letters);
    return out;
}

static json_t *look_at (void *bytes, size_t size, const char *name)
{
    struct strata_error error = { "out of memory" };
    struct pdb pdb = { .count = 0 };
    json_t *chains = json_object ();
    char *structure = NULL;
    FILE *file = size ? fmemopen (bytes, size, "r") : NULL;
    int rc = file ? pdb_read_from (&pdb, file, name, &error) : strata_fail (&error, "%s: there is nothing in it", name);
    if (rc == 0)
        rc = (structure = malloc (pdb.count + 1)) ? dssp_assign (pdb.residues, pdb.count, structure, &error) : -1;
    for (size_t i = 0; rc == 0 && i < pdb.count; i++) {
        char chain[2] = { pdb.names[i].chain == ' ' ? '-' : pdb.names[i].chain, '\0' };
        if (json_object_get (chains, chain))
            continue;
        json_t *letters = chain_letters (&pdb, structure, pdb.names[i].chain);
        if (!letters || json_object_set_new (chains, chain, letters) < 0)
            rc = strata_fail (&error, "%s: chain %s: its residues' numbers are too far apart", name, chain);
    }
    if (file)
        fclose (file);
    free (structure);
    pdb_fini (&pdb);
    if (rc == 0)
        return json_pack ("{s:o}", "chains", chains);
    json_decref (chains);
    return json_pack ("{s:s}", "error", error.text);
}

/* One frame: its header's line is read. */
static int frame (FILE *in, FILE *out, const char *line, struct strata_error *error)
{
    json_error_t where;
    json_t *header = json_loads (line, 0, &where);
    json_int_t size = json_integer_value (json_object_get (header, "bytes"));
    const char *simulation = json_string_value (json_object_get (header, "simulation"));
    char name[120];
    snprintf (name, sizeof (name), "frame %lld of %.64s", (long long)json_integer_value (json_object_get (header, "frame")),
              simulation ? simulation : "?");
    bool good = json_is_integer (json_object_get (header, "bytes")) && size >= 0 && size <= SERVE_BYTES_MAX;
    json_decref (header);
    if (!good)
        return strata_fail (error, "a frame's first line is no JSON object with its bytes (at most %d): %.200s", SERVE_BYTES_MAX, line);
    void *bytes = malloc ((size_t)size + 1);
    if (!bytes)
        return strata_fail (error, "%s: out of memory for %lld bytes", name, (long long)size);
    int rc = fread (bytes, 1, (size_t)size, in) == (size_t)size ? 0 : strata_fail (error, "%s: the input ends in the middle of it", name);
    json_t *answer = rc == 0 ? look_at (bytes, (size_t)size, name) : NULL;
    free (bytes);
    if (rc < 0)
        return -1;
    rc = answer && json_dumpf (answer, out, JSON_COMPACT) == 0 && fputc ('\n', out) != EOF && fflush (out) == 0
             ? 0
             : strata_fail (error, "%s: its answer can't be written", name);
    json_decref (answer);
    return rc;
}

int serve (FILE *in, FILE *out, struct strata_error *error)
{
    char *line = NULL;
    size_t room = 0;
    int rc = 0;
    fputs ("{\"ready\": true}\n", out);
    fflush (out);
    while (rc == 0 && getline (&line, &room, in) > 0)
        rc = frame (in, out, line, error);
    free (line);
    return rc;
}
