/* system.c - see system.h. */
#include "system.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "placing.h"

#define HEAD_NM 2.35            /* heads of the starting lipids end here, over and under the middle */
#define BELOW_NM 2.8            /* the box's bottom to the bilayer's middle */
#define WATER_NM 5.0            /* water between the leaflets of a membrane without proteins */
#define OVER_PROTEIN_NM 0.9     /* water between a protein's top and the next image's heads */
#define WATER_SPACING 0.495     /* lattice of W: 8.2 to the nm^3, liquid density of Martini water */
#define WATER_CLEAR 0.43        /* nm to the next bead */
#define WATER_CORE 1.9          /* no W nearer to the middle */
#define WATERS_NM3 0.12         /* volume of a W */
#define PER_MOLAR_NM3 0.6022    /* particles a nm^3 at 1 mol/l */

void createsim_system_fini (struct createsim_system *system)
{
    for (size_t i = 0; i < system->nproteins; i++)
        createsim_protein_fini (&system->proteins[i]);
    free (system->proteins);
    free (system->atoms);
    memset (system, 0, sizeof *system);
}

static struct system_atom *add_atom (struct createsim_system *system)
{
    if (system->natoms == system->room) {
        size_t room = system->room == 0 ? 4096 : 2 * system->room;
        struct system_atom *atoms = realloc (system->atoms, room * sizeof *atoms);

        if (atoms == NULL)
            return NULL;
        system->atoms = atoms;
        system->room = room;
    }
    struct system_atom *atom = &system->atoms[system->natoms++];
    memset (atom, 0, sizeof *atom);
    atom->reference = -1;
    return atom;
}

static void add_run (struct createsim_system *system, const char *molecule, size_t count)
{
    if (count == 0)
        return;
    snprintf (system->runs[system->nruns].molecule, FF_NAME, "%s", molecule);
    system->runs[system->nruns++].count = count;
}

static int add_proteins (struct createsim_system *system, double (*anchors)[2], int *residue)
{
    char name[FF_NAME];

    for (size_t p = 0; p < system->nproteins; p++) {
        const struct createsim_protein *protein = &system->proteins[p];
        int offset = *residue, highest = 0;

        for (size_t i = 0; i < protein->nbeads; i++) {
            const struct protein_bead *bead = &protein->beads[i];
            struct system_atom *atom = add_atom (system);

            if (atom == NULL)
                return -1;
            atom->residue = offset + bead->number + (bead->part == PROTEIN_RAF ? 1000 : 0);
            highest = atom->residue > highest ? atom->residue : highest;
            snprintf (atom->residue_name, FF_NAME, "%s", bead->residue);
            snprintf (atom->name, FF_NAME, "%s", bead->name);
            atom->x[0] = bead->x[0] + anchors[p][0] + system->box[0] / 2;
            atom->x[1] = bead->x[1] + anchors[p][1] + system->box[1] / 2;
            atom->x[2] = bead->x[2] + BELOW_NM;
            atom->charge = bead->charge;
            atom->group = GROUP_PROTEIN;
            atom->gdomain = p == 0 && bead->part == PROTEIN_GDOMAIN;
            atom->anchor = p == 0 && i == protein->anchor;
        }
        *residue = highest;
        snprintf (name, sizeof name, "PROT%u", (unsigned) (p + 1) % 1000);
        add_run (system, name, 1);
    }
    return 0;
}

static int add_lipid (struct createsim_system *system, const struct forcefield_lipid *lipid, int kind,
                      const struct createsim_place *place, double side, double turn, int residue)
{
    for (size_t b = 0; b < lipid->nbeads; b++) {
        const struct forcefield_bead *bead = &lipid->beads[b];
        struct system_atom *atom = add_atom (system);

        if (atom == NULL)
            return -1;
        atom->residue = residue;
        snprintf (atom->residue_name, FF_NAME, "%s", lipid->name);
        snprintf (atom->name, FF_NAME, "%s", bead->name);
        /* the lower leaflet by half a turn about x, not by a mirror: chirality stays */
        double y = side * bead->shape[1];
        atom->x[0] = place->x + bead->shape[0] * cos (turn) - y * sin (turn) + system->box[0] / 2;
        atom->x[1] = place->y + bead->shape[0] * sin (turn) + y * cos (turn) + system->box[1] / 2;
        atom->x[2] = BELOW_NM + side * bead->shape[2];
        atom->charge = bead->charge;
        atom->group = GROUP_MEMBRANE;
        atom->reference = (signed char) (b == lipid->reference ? kind : -1);
    }
    return 0;
}

static int add_leaflet (struct createsim_system *system, const struct forcefield *forcefield,
                        const struct createsim_place *places, size_t nplaces, enum createsim_leaflet leaflet,
                        struct createsim_random *random, int *residue)
{
    int first = leaflet == CREATESIM_LEAFLET_INNER ? 0 : CREATESIM_INNER;
    int last = leaflet == CREATESIM_LEAFLET_INNER ? CREATESIM_INNER : CREATESIM_LIPIDS;

    for (int kind = first; kind < last; kind++) {
        const struct forcefield_lipid *lipid = forcefield_lipid (forcefield, createsim_lipid_names[kind]);

        for (size_t i = 0; i < nplaces; i++)
            if (places[i].lipid == kind
                && add_lipid (system, lipid, kind, &places[i], leaflet == CREATESIM_LEAFLET_INNER ? 1 : -1,
                              2 * M_PI * createsim_random_real (random), ++*residue) < 0)
                return -1;
        add_run (system, lipid->name, system->composition.count[kind]);
    }
    return 0;
}

/* ---- water ---- */

/* Cells at least WATER_CLEAR wide, periodic; each holds a linked list of atoms. */
struct cells {
    size_t n[3];
    int *head, *next;
};

static size_t cell_of (const struct cells *cells, const struct createsim_system *system, const double *x, int di,
                       int dj, int dk)
{
    const int shift[3] = { di, dj, dk };
    size_t index = 0;

    for (int d = 0; d < 3; d++) {
        double w = x[d] - system->box[d] * floor (x[d] / system->box[d]);
        long n = (long) cells->n[d], i = (long) (w / system->box[d] * (double) n) + shift[d];

        index = index * cells->n[d] + (size_t) (((i % n) + n) % n);
    }
    return index;
}

static int cells_init (struct cells *cells, const struct createsim_system *system)
{
    for (int d = 0; d < 3; d++)
        cells->n[d] = (size_t) fmax (1, floor (system->box[d] / WATER_CLEAR));
    cells->head = malloc (cells->n[0] * cells->n[1] * cells->n[2] * sizeof *cells->head);
    cells->next = malloc ((system->natoms + 1) * sizeof *cells->next);
    if (cells->head == NULL || cells->next == NULL)
        return -1;
    memset (cells->head, -1, cells->n[0] * cells->n[1] * cells->n[2] * sizeof *cells->head);
    for (size_t i = 0; i < system->natoms; i++) {
        size_t cell = cell_of (cells, system, system->atoms[i].x, 0, 0, 0);

        cells->next[i] = cells->head[cell];
        cells->head[cell] = (int) i;
    }
    return 0;
}

static int is_clear (const struct cells *cells, const struct createsim_system *system, const double *x)
{
    for (int n = 0; n < 27; n++)
        for (int i = cells->head[cell_of (cells, system, x, n % 3 - 1, n / 3 % 3 - 1, n / 9 - 1)]; i >= 0;
             i = cells->next[i]) {
            double d2 = 0;

            for (int d = 0; d < 3; d++) {
                double r = remainder (x[d] - system->atoms[i].x[d], system->box[d]);
                d2 += r * r;
            }
            if (d2 < WATER_CLEAR * WATER_CLEAR)
                return 0;
        }
    return 1;
}

/* Free lattice points of water, shuffled: *points malloc'ed. */
static size_t water_points (const struct createsim_system *system, const struct cells *cells,
                            struct createsim_random *random, double (**points)[3])
{
    size_t n[3], count = 0;

    for (int d = 0; d < 3; d++)
        n[d] = (size_t) floor (system->box[d] / WATER_SPACING);
    *points = malloc ((n[0] * n[1] * n[2] + 1) * sizeof **points);
    if (*points == NULL)
        return 0;
    for (size_t i = 0; i < n[0] * n[1] * n[2]; i++) {
        const size_t at[3] = { i % n[0], i / n[0] % n[1], i / n[0] / n[1] };
        double x[3];

        for (int d = 0; d < 3; d++)
            x[d] = ((double) at[d] + 0.5) * system->box[d] / (double) n[d];
        if (fabs (remainder (x[2] - BELOW_NM, system->box[2])) > WATER_CORE && is_clear (cells, system, x))
            memcpy ((*points)[count++], x, sizeof x);
    }
    for (size_t i = count; i > 1; i--) {
        size_t j = createsim_random_below (random, i);
        double swap[3];

        memcpy (swap, (*points)[i - 1], sizeof swap);
        memcpy ((*points)[i - 1], (*points)[j], sizeof swap);
        memcpy ((*points)[j], swap, sizeof swap);
    }
    return count;
}

static int add_solvent_kind (struct createsim_system *system, const char *molecule, const char *residue_name,
                             double charge, double (*points)[3], size_t count, int *residue)
{
    for (size_t i = 0; i < count; i++) {
        struct system_atom *atom = add_atom (system);

        if (atom == NULL)
            return -1;
        atom->residue = ++*residue;
        snprintf (atom->residue_name, FF_NAME, "%s", residue_name);
        snprintf (atom->name, FF_NAME, "%s", molecule);
        memcpy (atom->x, points[i], sizeof atom->x);
        atom->charge = charge;
        atom->group = GROUP_SOLVENT;
    }
    add_run (system, molecule, count);
    return 0;
}

/* Water on the free lattice points; of those, ions for neutrality and salt, and the antifreeze. */
static int add_solvent (struct createsim_system *system, const struct createsim_options *options,
                        struct createsim_random *random, int *residue, struct strata_error *error)
{
    struct cells cells = { .head = NULL };
    double (*points)[3] = NULL;
    double charge = 0;
    int rc = -1;

    for (size_t i = 0; i < system->natoms; i++)
        charge += system->atoms[i].charge;
    if (cells_init (&cells, system) < 0) {
        strata_fail (error, "out of memory for the water");
        goto done;
    }
    size_t n = water_points (system, &cells, random, &points);
    if (points == NULL) {
        strata_fail (error, "out of memory for the water");
        goto done;
    }
    long excess = lround (charge);
    size_t pairs = (size_t) llround (options->salt_molar * PER_MOLAR_NM3 * WATERS_NM3 * (double) n);
    size_t sodium = pairs + (size_t) (excess < 0 ? -excess : 0), chloride = pairs + (size_t) (excess > 0 ? excess : 0);
    if (sodium + chloride > n / 2) {
        strata_fail (
            error,
            "%zu ions are needed but there is room for %zu waters only; the membrane's charge of %ld is too high",
            sodium + chloride, n, excess);
        goto done;
    }
    size_t water = n - sodium - chloride, frozen = (size_t) llround (options->antifreeze * (double) water);
    rc = 0;
    if (add_solvent_kind (system, "W", "W", 0, points, water - frozen, residue) < 0
        || add_solvent_kind (system, "WF", "WF", 0, points + water - frozen, frozen, residue) < 0
        || add_solvent_kind (system, "NA+", "ION", 1, points + water, sodium, residue) < 0
        || add_solvent_kind (system, "CL-", "ION", -1, points + water + sodium, chloride, residue) < 0)
        rc = strata_fail (error, "out of memory for the water");
done:
    free (cells.head);
    free (cells.next);
    free (points);
    return rc;
}

/* ---- all ---- */

/* Height of the box: membrane and water, or room for the highest protein. */
static double box_height (const struct createsim_system *system)
{
    double height = 2 * HEAD_NM + WATER_NM;

    for (size_t i = 0; i < system->nproteins; i++)
        height = fmax (height, HEAD_NM + system->proteins[i].top + OVER_PROTEIN_NM);
    return height;
}

static int build_membrane (const struct createsim_patch *patch, const struct forcefield *forcefield,
                           double (*anchors)[2], struct createsim_random *random, struct createsim_system *system,
                           struct strata_error *error)
{
    struct createsim_place *inner = NULL, *outer = NULL;
    size_t ninner, nouter, nreserved = system->nproteins;
    double reserved[CREATESIM_PROTEINS_MAX * PROTEIN_FOOTPRINTS][2];
    int residue = 0, rc = -1;

    for (size_t p = 0; p < system->nproteins; p++) {
        memcpy (reserved[p], anchors[p], sizeof *reserved);
        for (size_t f = 1; f < system->proteins[p].nfootprints; f++, nreserved++)
            for (int d = 0; d < 2; d++)
                reserved[nreserved][d] = anchors[p][d] + system->proteins[p].footprints[f][d];
    }
    if (createsim_composition_compute (patch, forcefield, system->composition.edge_nm,
                                       (double) nreserved * PROTEIN_FOOTPRINT_NM2, &system->composition, error)
            < 0
        || createsim_places_draw (patch, &system->composition, CREATESIM_LEAFLET_INNER, nreserved, reserved, random,
                                  &inner, &ninner, error)
               < 0
        || createsim_places_draw (patch, &system->composition, CREATESIM_LEAFLET_OUTER, 0, NULL, random, &outer,
                                  &nouter, error)
               < 0)
        goto done;
    for (size_t i = 0; i < ninner; i++) /* a protein moves to the place its anchor got: at most half a lattice cell */
        if (inner[i].lipid < 0 && (size_t) (-1 - inner[i].lipid) < system->nproteins) {
            anchors[-1 - inner[i].lipid][0] = inner[i].x;
            anchors[-1 - inner[i].lipid][1] = inner[i].y;
        }
    rc = 0;
    if (add_proteins (system, anchors, &residue) < 0
        || add_leaflet (system, forcefield, inner, ninner, CREATESIM_LEAFLET_INNER, random, &residue) < 0
        || add_leaflet (system, forcefield, outer, nouter, CREATESIM_LEAFLET_OUTER, random, &residue) < 0)
        rc = strata_fail (error, "out of memory for the membrane");
done:
    free (inner);
    free (outer);
    return rc;
}

int createsim_system_build (const struct createsim_patch *patch, const struct forcefield *forcefield,
                            const struct createsim_options *options, struct createsim_system *system,
                            struct strata_error *error)
{
    struct createsim_random random = { .state = options->seed };
    double (*anchors)[2] = NULL;
    int residue, rc;

    memset (system, 0, sizeof *system);
    if (createsim_patch_check (patch, error) < 0)
        return -1;
    system->composition.edge_nm = options->edge_nm;
    rc = createsim_placing_proteins (patch, forcefield, options->edge_nm, &random, &system->proteins,
                                     &system->nproteins, &anchors, error);
    if (rc == 0) {
        system->box[0] = system->box[1] = options->edge_nm;
        system->box[2] = box_height (system);
        rc = build_membrane (patch, forcefield, anchors, &random, system, error);
    }
    if (rc == 0) {
        residue = system->natoms > 0 ? system->atoms[system->natoms - 1].residue : 0;
        rc = add_solvent (system, options, &random, &residue, error);
    }
    free (anchors);
    if (rc < 0)
        createsim_system_fini (system);
    return rc;
}
