/* main.c - membrane-dssp: the secondary structure of the protein in a PDB file. */
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>

#include "pdb.h"
#include "serve.h"

static const char usage[] =
    "membrane-dssp [--json] FILE.pdb ...    (-: standard input)\n"
    "membrane-dssp --serve\n"
    "\n"
    "Prints a line for each residue with a whole backbone: chain, number, name, and one letter for its secondary structure by\n"
    "Kabsch and Sander: H alpha helix, G 3-10 helix, I pi helix, P polyproline II helix, E strand, B bridge, T turn, S bend,\n"
    "- none of them. --json: an object for each file with the letters of each chain.\n"
    "--serve: a worker of feedback.patterns, which gives it frame after frame.\n"
    "Exit: 0, 1 a file can't be read, 2 usage.\n";

static char shown (char letter)
{
    return letter == ' ' ? '-' : letter;
}

static void print_lines (const struct pdb *pdb, const char *structure)
{
    for (size_t i = 0; i < pdb->count; i++) {
        const struct pdb_name *name = &pdb->names[i];
        char insertion[2] = { name->insertion == ' ' ? '\0' : name->insertion, '\0' };
        printf ("%c %d%s %s %c\n", name->chain == ' ' ? '-' : name->chain, name->number, insertion, name->residue, shown (structure[i]));
    }
}

static void print_json (const char *path, const struct pdb *pdb, const char *structure)
{
    printf ("{\"file\": \"");
    for (const char *p = path; *p; p++)
        printf (*p == '"' || *p == '\\' ? "\\%c" : (unsigned char)*p < ' ' ? "?" : "%c", *p);
    printf ("\", \"residues\": %zu, \"incomplete\": %zu, \"chains\": {", pdb->count, pdb->incomplete);
    for (size_t i = 0; i < pdb->count; i++) {
        char chain = pdb->names[i].chain;
        if (i == 0 || pdb->names[i - 1].chain != chain)
            printf ("%s\"%c\": \"", i ? "\", " : "", chain == '"' || chain == '\\' || chain < ' ' ? '?' : chain);
        putchar (shown (structure[i]));
    }
    printf ("\"}}\n");
}

static int run (const char *path, bool json)
{
    struct strata_error error;
    struct pdb pdb;
    if (pdb_read (&pdb, path, &error) < 0) {
        fprintf (stderr, "membrane-dssp: %s\n", error.text);
        return -1;
    }
    char *structure = malloc (pdb.count + 1);
    int rc = structure ? dssp_assign (pdb.residues, pdb.count, structure, &error) : strata_fail (&error, "out of memory");
    if (rc < 0)
        fprintf (stderr, "membrane-dssp: %s: %s\n", path, error.text);
    else if (json)
        print_json (path, &pdb, structure);
    else
        print_lines (&pdb, structure);
    free (structure);
    pdb_fini (&pdb);
    return rc;
}

int main (int argc, char **argv)
{
    static const struct option longs[] = { { "json", no_argument, NULL, 'j' }, { "serve", no_argument, NULL, 's' }, { "help", no_argument, NULL, 'h' }, { 0 } };
    bool json = false, serves = false;
    struct strata_error error;
    int option, rc = 0;
    while ((option = getopt_long (argc, argv, "h", longs, NULL)) != -1)
        switch (option) {
        case 'j': json = true; break;
        case 's': serves = true; break;
        case 'h': fputs (usage, stdout); return 0;
        default: fputs (usage, stderr); return 2;
        }
    if (serves && optind == argc) {
        if (serve (stdin, stdout, &error) == 0)
            return 0;
        fprintf (stderr, "membrane-dssp: %s\n", error.text);
        return 1;
    }
    if (optind == argc || serves) {
        fputs (usage, stderr);
        return 2;
    }
    for (; optind < argc; optind++)
        rc |= run (argv[optind], json);
    return rc < 0 ? 1 : 0;
}
