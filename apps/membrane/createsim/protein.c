/* protein.c - see protein.h. Heights are over the bilayer's middle; heads of the starting lipids end at 2.35 nm. */
#include "protein.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define SPACING 0.5             /* nm, lattice of a globule: the density of a folded chain, one bead a residue */
#define HEADS 2.35
#define CYSTEINE 2.40           /* the anchored residue's backbone */
#define COIL_BOTTOM 2.75
#define COIL_RISE 0.75
#define COIL_RADIUS 0.9
#define STEP 0.35               /* backbone bond */
#define GAP 0.45
#define DOMAIN_TYPE "P4"

void createsim_protein_fini (struct createsim_protein *protein)
{
    free (protein->beads);
    free (protein->bonds);
    free (protein->angles);
    memset (protein, 0, sizeof *protein);
}

/* Each array grows by doubling: it is full at every power of two. */
static void *grow (void *array, size_t count, size_t size)
{
    if ((count & (count - 1)) != 0)
        return array;
    return realloc (array, (count == 0 ? 1 : 2 * count) * size);
}

static struct protein_bead *add_bead (struct createsim_protein *protein)
{
    struct protein_bead *beads = grow (protein->beads, protein->nbeads, sizeof *beads);

    if (beads == NULL)
        return NULL;
    protein->beads = beads;
    return memset (&beads[protein->nbeads++], 0, sizeof *beads);
}

static int add_bond (struct createsim_protein *protein, size_t a, size_t b, double length, double force)
{
    struct protein_bond *bonds = grow (protein->bonds, protein->nbonds, sizeof *bonds);

    if (bonds == NULL)
        return -1;
    protein->bonds = bonds;
    bonds[protein->nbonds++] = (struct protein_bond) { a, b, length, force };
    return 0;
}

static int add_angle (struct createsim_protein *protein, size_t a, size_t b, size_t c, double degrees, double force)
{
    struct protein_angle *angles = grow (protein->angles, protein->nangles, sizeof *angles);

    if (angles == NULL)
        return -1;
    protein->angles = angles;
    angles[protein->nangles++] = (struct protein_angle) { a, b, c, degrees, force };
    return 0;
}

/* ---- globules ---- */

struct lattice_point {
    int i, j, k;
    double distance2;
};

static int by_distance (const void *a, const void *b)
{
    const struct lattice_point *p = a, *q = b;

    return p->distance2 < q->distance2 ? -1 : p->distance2 > q->distance2;
}

/* The chain's way: layers from the top, rows to and fro, so that neighbours in sequence are neighbours in space. */
static int by_chain (const void *a, const void *b)
{
    const struct lattice_point *p = a, *q = b;

    if (p->k != q->k)
        return p->k > q->k ? -1 : 1;
    if (p->j != q->j)
        return (p->j < q->j ? -1 : 1) * (p->k % 2 != 0 ? -1 : 1);
    return (p->i < q->i ? -1 : p->i > q->i) * ((p->j + p->k) % 2 != 0 ? -1 : 1);
}

static double globule_radius (size_t n)
{
    return cbrt ((double) n * 3 / (4 * M_PI)) * SPACING;
}

static const char *residue_name (const struct forcefield *forcefield, char letter)
{
    const struct forcefield_residue *residue = forcefield_residue (forcefield, letter);

    return residue != NULL ? residue->name : letter == 'W' ? "TRP" : "XXX";
}

/* Adds the beads of a domain as a ball about (0, 0, 0), the chain's end turned to azimuth `end`. */
static int add_globule (const struct forcefield *forcefield, const struct forcefield_sequence *domain,
                        enum protein_part part, double end, struct createsim_protein *protein)
{
    const int reach = (int) ceil (globule_radius (domain->length) / SPACING) + 1, edge = 2 * reach + 1;
    const double surface = globule_radius (domain->length) - 0.55;
    struct lattice_point *points = malloc ((size_t) (edge * edge * edge) * sizeof *points);
    size_t n = 0;

    if (points == NULL)
        return -1;
    for (int i = -reach; i <= reach; i++)
        for (int j = -reach; j <= reach; j++)
            for (int k = -reach; k <= reach; k++) {
                /* the centre off the lattice: no two points equally far, so the ball is the same everywhere */
                double x = i + 0.11, y = j + 0.07, z = k + 0.03;

                points[n++] = (struct lattice_point) { i, j, k, x * x + y * y + z * z };
            }
    qsort (points, n, sizeof *points, by_distance);
    qsort (points, domain->length, sizeof *points, by_chain);
    const struct lattice_point *last = &points[domain->length - 1];
    double turn = end - atan2 (last->j, last->i);
    for (size_t r = 0; r < domain->length; r++) {
        struct protein_bead *bead = add_bead (protein);
        double x = points[r].i * SPACING, y = points[r].j * SPACING;
        char letter = domain->letters[r];

        if (bead == NULL) {
            free (points);
            return -1;
        }
        snprintf (bead->name, FF_NAME, "BB");
        snprintf (bead->residue, FF_NAME, "%s", residue_name (forcefield, letter));
        snprintf (bead->type, FF_NAME, DOMAIN_TYPE);
        if (sqrt (points[r].distance2) * SPACING > surface && strchr ("DEKR", letter) != NULL) {
            bead->charge = letter == 'D' || letter == 'E' ? -1 : 1;
            snprintf (bead->type, FF_NAME, bead->charge < 0 ? "Qa" : "Qd");
        }
        bead->number = domain->first + (int) r;
        bead->mass = 72;
        bead->part = part;
        bead->x[0] = x * cos (turn) - y * sin (turn);
        bead->x[1] = x * sin (turn) + y * cos (turn);
        bead->x[2] = points[r].k * SPACING;
    }
    free (points);
    return 0;
}

static void shift (struct createsim_protein *protein, size_t first, double x, double y, double z)
{
    for (size_t i = first; i < protein->nbeads; i++) {
        protein->beads[i].x[0] += x;
        protein->beads[i].x[1] += y;
        protein->beads[i].x[2] += z;
    }
}

/* Bonds all globule beads nearer than the cutoff. */
static int add_network (const struct forcefield *forcefield, size_t nglobule, struct createsim_protein *protein)
{
    for (size_t a = 0; a < nglobule; a++)
        for (size_t b = a + 1; b < nglobule; b++) {
            const double *p = protein->beads[a].x, *q = protein->beads[b].x;
            double d =
                sqrt ((p[0] - q[0]) * (p[0] - q[0]) + (p[1] - q[1]) * (p[1] - q[1]) + (p[2] - q[2]) * (p[2] - q[2]));

            if (d < forcefield->elastic_cutoff && add_bond (protein, a, b, d, forcefield->elastic_force) < 0)
                return -1;
        }
    return 0;
}

/* ---- tail ---- */

/* A bead of this residue by name, searched from its backbone bead on. */
static size_t find_bead (const struct createsim_protein *protein, size_t backbone, const char *name)
{
    for (size_t i = backbone; i < protein->nbeads; i++)
        if (strcmp (protein->beads[i].name, name) == 0)
            return i;
    return backbone;
}

/* Hangs beads of a side chain or an anchor on the residue at `backbone`, in direction d (unit length). */
static int add_side (const struct forcefield_residue *side, size_t backbone, const double d[3],
                     struct createsim_protein *protein)
{
    for (size_t k = 0; k < side->nbeads; k++) {
        const struct forcefield_side_bead *from = &side->beads[k];
        size_t parent = find_bead (protein, backbone, from->parent);
        /* ring beads spread to both sides of the line, 30 degrees each */
        double turn = side->nrings == 0 || k == 0 ? 0 : (k == 1 ? 1 : -1) * M_PI / 6;
        struct protein_bead *bead = add_bead (protein);

        if (bead == NULL || add_bond (protein, parent, protein->nbeads - 1, from->length, from->force) < 0)
            return -1;
        snprintf (bead->name, FF_NAME, "%s", from->name);
        snprintf (bead->type, FF_NAME, "%s", from->type);
        snprintf (bead->residue, FF_NAME, "%s", protein->beads[backbone].residue);
        bead->number = protein->beads[backbone].number;
        bead->charge = from->charge;
        bead->mass = from->mass;
        bead->part = PROTEIN_TAIL;
        bead->x[0] = protein->beads[parent].x[0] + from->length * (d[0] * cos (turn) - d[1] * sin (turn));
        bead->x[1] = protein->beads[parent].x[1] + from->length * (d[0] * sin (turn) + d[1] * cos (turn));
        bead->x[2] = protein->beads[parent].x[2] + from->length * d[2];
    }
    for (size_t k = 0; k < side->nrings; k++)
        if (add_bond (protein, find_bead (protein, backbone, side->rings[k].name),
                      find_bead (protein, backbone, side->rings[k].parent), side->rings[k].length, 0) < 0)
            return -1;
    for (size_t k = 0; k < side->nangles; k++)
        if (add_angle (protein, find_bead (protein, backbone, side->angles[k].a),
                       find_bead (protein, backbone, side->angles[k].b),
                       find_bead (protein, backbone, side->angles[k].c), side->angles[k].degrees, side->angles[k].force)
            < 0)
            return -1;
    return 0;
}

/* Residue r of the tail: backbone, side chain, lipid. centre: of the coil, which ends at (0, 0). */
static int add_tail_residue (const struct forcefield *forcefield, const struct forcefield_sequence *tail, size_t r,
                             const double centre[2], double start, struct createsim_protein *protein)
{
    const struct forcefield_residue *residue = forcefield_residue (forcefield, tail->letters[r]);
    const size_t behind = tail->length - 1 - r; /* residues to the end */
    const int number = tail->first + (int) r;
    const double phi = start + (double) behind * STEP / COIL_RADIUS;
    const char *lipid = NULL;
    size_t backbone = protein->nbeads;
    double d[3] = { cos (phi) * 0.98, sin (phi) * 0.98, r % 2 ? 0.2 : -0.2 };
    struct protein_bead *bead = add_bead (protein);

    if (bead == NULL)
        return -1;
    for (size_t k = 0; k < forcefield->nanchors; k++)
        if (strcmp (forcefield->anchors[k].tail, tail->name) == 0 && forcefield->anchors[k].residue == number)
            lipid = forcefield->anchors[k].lipid;
    snprintf (bead->name, FF_NAME, "BB");
    snprintf (bead->type, FF_NAME, behind == 0 ? "Na" : "P5"); /* the end is a methyl ester: no charge */
    snprintf (bead->residue, FF_NAME, "%s", residue->name);
    bead->number = number;
    bead->mass = 72;
    bead->part = PROTEIN_TAIL;
    bead->x[0] = centre[0] + COIL_RADIUS * cos (phi);
    bead->x[1] = centre[1] + COIL_RADIUS * sin (phi);
    bead->x[2] = behind == 0 ? CYSTEINE : COIL_BOTTOM + COIL_RISE * (double) behind / (double) (tail->length - 1);
    if (lipid != NULL) {
        if (protein->nfootprints < PROTEIN_FOOTPRINTS) {
            /* the last residue's place comes first: it is where the protein stands */
            size_t k = behind == 0 ? 0 : protein->nfootprints + 1;

            if (k < PROTEIN_FOOTPRINTS) {
                protein->footprints[k][0] = bead->x[0];
                protein->footprints[k][1] = bead->x[1];
                protein->nfootprints++;
            }
        }
        d[0] = d[1] = 0;
        d[2] = -1;
    }
    if (add_side (residue, backbone, d, protein) < 0)
        return -1;
    return lipid == NULL ? 0 : add_side (forcefield_lipid_anchor (forcefield, lipid), backbone, d, protein);
}

static int add_tail (const struct forcefield *forcefield, const struct forcefield_sequence *tail, size_t gdomain_end,
                     const double centre[2], double start, struct createsim_protein *protein)
{
    size_t before[2] = { gdomain_end, gdomain_end }; /* the last two backbone beads */

    for (size_t r = 0; r < tail->length; r++) {
        size_t backbone = protein->nbeads;

        if (add_tail_residue (forcefield, tail, r, centre, start, protein) < 0
            || add_bond (protein, before[1], backbone, STEP, 1250) < 0)
            return -1;
        if (r >= 2 && add_angle (protein, before[0], before[1], backbone, 127, 25) < 0)
            return -1;
        if (r >= 1 && find_bead (protein, backbone, "SC1") != backbone
            && add_angle (protein, before[1], backbone, find_bead (protein, backbone, "SC1"), 100, 25) < 0)
            return -1;
        before[0] = before[1];
        before[1] = backbone;
    }
    return 0;
}

/* ---- whole ---- */

static int add_raf (const struct forcefield *forcefield, const double centre[3], double direction,
                    struct createsim_protein *protein)
{
    const struct forcefield_sequence *rbd = forcefield_domain (forcefield, "rbd"),
                                     *crd = forcefield_domain (forcefield, "crd");
    const double contact =
        globule_radius (forcefield_domain (forcefield, "gdomain")->length) + globule_radius (rbd->length);
    const double crd_z = HEADS + GAP + globule_radius (crd->length) - SPACING / 2;
    const double rbd_z = crd_z + globule_radius (crd->length) + globule_radius (rbd->length);
    const double rise = rbd_z - centre[2], reach = sqrt (fmax (contact * contact - rise * rise, 1));
    const double x = centre[0] + reach * cos (direction), y = centre[1] + reach * sin (direction);
    size_t first = protein->nbeads;

    if (add_globule (forcefield, rbd, PROTEIN_RAF, direction, protein) < 0)
        return -1;
    shift (protein, first, x, y, rbd_z);
    first = protein->nbeads;
    if (add_globule (forcefield, crd, PROTEIN_RAF, direction, protein) < 0)
        return -1;
    shift (protein, first, x, y, crd_z);
    protein->discs[1].x = x;
    protein->discs[1].y = y;
    protein->discs[1].radius = globule_radius (rbd->length) + 0.2;
    protein->ndiscs = 2;
    return 0;
}

int createsim_protein_build (const struct forcefield *forcefield, int is_4a, int has_raf, double direction,
                             struct createsim_protein *protein, struct strata_error *error)
{
    const struct forcefield_sequence *gdomain = forcefield_domain (forcefield, "gdomain");
    const struct forcefield_sequence *tail = forcefield_tail (forcefield, is_4a ? "4a" : "4b");
    /* the coil's axis, from the anchor; the coil starts (residue 0) at azimuth `top` of it and ends at the anchor */
    const double centre[3] = { COIL_RADIUS * cos (direction), COIL_RADIUS * sin (direction),
                               COIL_BOTTOM + COIL_RISE + GAP + globule_radius (gdomain->length) - SPACING / 2 };
    const double start = direction + M_PI, top = start + (double) (tail->length - 1) * STEP / COIL_RADIUS;
    size_t nglobule;

    memset (protein, 0, sizeof *protein);
    if (add_globule (forcefield, gdomain, PROTEIN_GDOMAIN, top, protein) < 0)
        goto nomem;
    shift (protein, 0, centre[0], centre[1], centre[2]);
    protein->ndiscs = 1;
    protein->discs[0].x = centre[0];
    protein->discs[0].y = centre[1];
    protein->discs[0].radius = globule_radius (gdomain->length) + 0.2;
    if (has_raf && add_raf (forcefield, centre, direction, protein) < 0)
        goto nomem;
    nglobule = protein->nbeads;
    if (add_network (forcefield, nglobule, protein) < 0
        || add_tail (forcefield, tail, gdomain->length - 1, centre, start, protein) < 0)
        goto nomem;
    for (size_t i = 0; i < protein->nbeads; i++) {
        protein->top = fmax (protein->top, protein->beads[i].x[2]);
        if (strcmp (protein->beads[i].name, "F1") == 0)
            protein->anchor = i;
    }
    return 0;
nomem:
    createsim_protein_fini (protein);
    return strata_fail (error, "out of memory for a protein");
}

void createsim_protein_write_itp (const struct createsim_protein *protein, const char *name, FILE *file)
{
    size_t constraints = 0;

    fprintf (file, "\n[ moleculetype ]\n%s  1\n\n[ atoms ]\n; nr type resnr residue bead cgnr charge mass\n", name);
    for (size_t i = 0; i < protein->nbeads; i++) {
        const struct protein_bead *bead = &protein->beads[i];

        fprintf (file, "%zu %s %d %s %s %zu %.1f %.1f\n", i + 1, bead->type, bead->number, bead->residue, bead->name,
                 i + 1, bead->charge, bead->mass);
    }
    fprintf (file, "\n[ bonds ]\n; chain, side chains, and the elastic network of the domains\n");
    for (size_t i = 0; i < protein->nbonds; i++) {
        if (protein->bonds[i].force > 0)
            fprintf (file, "%zu %zu 1 %.4f %.0f\n", protein->bonds[i].a + 1, protein->bonds[i].b + 1,
                     protein->bonds[i].length, protein->bonds[i].force);
        else
            constraints++;
    }
    if (constraints > 0)
        fprintf (file, "\n[ constraints ]\n");
    for (size_t i = 0; i < protein->nbonds; i++)
        if (protein->bonds[i].force <= 0)
            fprintf (file, "%zu %zu 1 %.4f\n", protein->bonds[i].a + 1, protein->bonds[i].b + 1,
                     protein->bonds[i].length);
    fprintf (file, "\n[ angles ]\n");
    for (size_t i = 0; i < protein->nangles; i++)
        fprintf (file, "%zu %zu %zu 2 %.1f %.1f\n", protein->angles[i].a + 1, protein->angles[i].b + 1,
                 protein->angles[i].c + 1, protein->angles[i].degrees, protein->angles[i].force);
}
