/* dssp.c - see dssp.h. Section numbers are those of the paper. */
#include "dssp.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define NONE ((size_t)-1)
#define PEPTIDE_BOND_MAX 2.5f   /* Angstrom; a longer way from C to the next N is a gap in the chain */
#define NEAR_CA 9.0f            /* Angstrom between alpha carbons: farther residues have no hydrogen bond */
#define TOO_NEAR 0.5f           /* Angstrom between atoms: the energy has no meaning */
#define ENERGY_MIN (-9.9)       /* kcal/mol */
#define ENERGY_BOND (-0.5)      /* kcal/mol: a hydrogen bond has less (section "Hydrogen bonds") */
#define COUPLING 27.888         /* q1 q2 f = 0.42 e * 0.20 e * 332 kcal Angstrom / (mol e^2) */
#define BEND_DEGREES 70.0f

/* What a residue's N-H is bonded to: its two best acceptors. */
struct acceptor {
    size_t residue;
    double energy;
};

/* Consecutive bridges of one kind: residue i[k] pairs with j[k] (parallel), or with the k-th of j from its end. */
struct ladder {
    bool parallel;
    size_t i_first, i_last, j_first, j_last;
    size_t bridges;
};

struct dssp {
    const struct dssp_residue *residues;
    size_t count;
    char *structure;
    size_t *place; /* [count] consecutive along a chain without gaps, else with a jump */
    float (*h)[3]; /* [count] the amide hydrogen */
    struct acceptor (*acceptors)[2];
    bool (*turns)[3]; /* [count] a turn of 3, 4, 5 residues starts here */
    struct ladder *ladders;
    size_t ladders_count, ladders_room;
};

/* ---- geometry ---- */

static float dot (const float a[3], const float b[3])
{
    return a[0] * b[0] + a[1] * b[1] + a[2] * b[2];
}

static void minus (const float a[3], const float b[3], float out[3])
{
    for (int k = 0; k < 3; k++)
        out[k] = a[k] - b[k];
}

static void cross (const float a[3], const float b[3], float out[3])
{
    out[0] = a[1] * b[2] - b[1] * a[2];
    out[1] = a[2] * b[0] - b[2] * a[0];
    out[2] = a[0] * b[1] - b[0] * a[1];
}

static float distance (const float a[3], const float b[3])
{
    float d[3];
    minus (a, b, d);
    return sqrtf (dot (d, d));
}

/* Degrees, -180..180; 360 when the points don't define it. */
static float dihedral (const float a[3], const float b[3], const float c[3], const float d[3])
{
    float ab[3], axis[3], cd[3], p[3], x[3], y[3];
    minus (a, b, ab);
    minus (b, c, axis);
    minus (d, c, cd);
    cross (axis, ab, p);
    cross (axis, cd, x);
    cross (axis, x, y);
    float u = dot (x, x), v = dot (y, y);
    if (u <= 0 || v <= 0)
        return 360;
    u = dot (p, x) / sqrtf (u);
    v = dot (p, y) / sqrtf (v);
    return u != 0 || v != 0 ? atan2f (v, u) * 180.f / (float)M_PI : 360;
}

/* ---- the chain ---- */

static bool unbroken (const struct dssp *self, size_t from, size_t to)
{
    return self->residues[from].chain == self->residues[to].chain && self->place[to] - self->place[from] == to - from;
}

static void find_gaps (struct dssp *self)
{
    for (size_t i = 1; i < self->count; i++)
        self->place[i] = self->place[i - 1] + (distance (self->residues[i - 1].c, self->residues[i].n) > PEPTIDE_BOND_MAX ? 2 : 1);
}

/* 1 Angstrom from N, opposite to the C=O of the residue before; as in mkdssp, also when that is of another chain. */
static void place_hydrogens (struct dssp *self)
{
    for (size_t i = 0; i < self->count; i++) {
        const struct dssp_residue *r = &self->residues[i];
        memcpy (self->h[i], r->n, sizeof (r->n));
        if (i == 0 || r->proline)
            continue;
        float length = distance (r[-1].c, r[-1].o);
        for (int k = 0; k < 3; k++)
            self->h[i][k] += (r[-1].c[k] - r[-1].o[k]) / length;
    }
}

/* ---- hydrogen bonds ---- */

static void bond (struct dssp *self, size_t donor, size_t acceptor)
{
    const struct dssp_residue *d = &self->residues[donor], *a = &self->residues[acceptor];
    struct acceptor *best = self->acceptors[donor];
    double energy = 0;
    if (!d->proline) {
        float ho = distance (self->h[donor], a->o), hc = distance (self->h[donor], a->c);
        float nc = distance (d->n, a->c), no = distance (d->n, a->o);
        if (ho < TOO_NEAR || hc < TOO_NEAR || nc < TOO_NEAR || no < TOO_NEAR)
            energy = ENERGY_MIN;
        else
            energy = COUPLING * (1.0 / hc - 1.0 / ho + 1.0 / no - 1.0 / nc);
        energy = round (energy * 1000) / 1000;
        if (energy < ENERGY_MIN)
            energy = ENERGY_MIN;
    }
    if (energy < best[0].energy) {
        best[1] = best[0];
        best[0] = (struct acceptor){ acceptor, energy };
    } else if (energy < best[1].energy)
        best[1] = (struct acceptor){ acceptor, energy };
}

static void find_bonds (struct dssp *self)
{
    for (size_t i = 0; i < self->count; i++)
        self->acceptors[i][0] = self->acceptors[i][1] = (struct acceptor){ NONE, 0 };
    for (size_t i = 0; i < self->count; i++)
        for (size_t j = i + 1; j < self->count; j++)
            if (distance (self->residues[i].ca, self->residues[j].ca) < NEAR_CA) {
                bond (self, i, j);
                if (j != i + 1)
                    bond (self, j, i);
            }
}

/* N-H of `donor` to O=C of `acceptor`. */
static bool bonded (const struct dssp *self, size_t donor, size_t acceptor)
{
    const struct acceptor *best = self->acceptors[donor];
    return (best[0].residue == acceptor && best[0].energy < ENERGY_BOND)
           || (best[1].residue == acceptor && best[1].energy < ENERGY_BOND);
}

/* ---- bridges, ladders, bulges ---- */

/* 'p' parallel, 'a' antiparallel, 0 none (section "Bridges"). */
static char bridge_of (const struct dssp *self, size_t i, size_t j)
{
    if (!unbroken (self, i - 1, i + 1) || !unbroken (self, j - 1, j + 1))
        return 0;
    if ((bonded (self, i + 1, j) && bonded (self, j, i - 1)) || (bonded (self, j + 1, i) && bonded (self, i, j - 1)))
        return 'p';
    if ((bonded (self, i + 1, j - 1) && bonded (self, j + 1, i - 1)) || (bonded (self, j, i) && bonded (self, i, j)))
        return 'a';
    return 0;
}

static int add_bridge (struct dssp *self, bool parallel, size_t i, size_t j)
{
    for (size_t k = 0; k < self->ladders_count; k++) {
        struct ladder *ladder = &self->ladders[k];
        if (ladder->parallel != parallel || i != ladder->i_last + 1 || j != (parallel ? ladder->j_last + 1 : ladder->j_first - 1))
            continue;
        ladder->i_last = i;
        *(parallel ? &ladder->j_last : &ladder->j_first) = j;
        ladder->bridges++;
        return 0;
    }
    if (self->ladders_count == self->ladders_room) {
        size_t room = self->ladders_room ? 2 * self->ladders_room : 64;
        struct ladder *grown = realloc (self->ladders, room * sizeof (*grown));
        if (!grown)
            return -1;
        self->ladders = grown;
        self->ladders_room = room;
    }
    self->ladders[self->ladders_count++] = (struct ladder){ parallel, i, i, j, j, 1 };
    return 0;
}

static size_t least (size_t a, size_t b)
{
    return a < b ? a : b;
}

static size_t most (size_t a, size_t b)
{
    return a > b ? a : b;
}

/* Whether `b`, which begins behind `a`, goes on with it over a bulge: at most one residue more on one strand, four on the
 * other (section "Bulges"). */
static bool over_a_bulge (const struct dssp *self, const struct ladder *a, const struct ladder *b)
{
    if (a->parallel != b->parallel || b->i_first <= a->i_last || b->i_first - a->i_last >= 6
        || !unbroken (self, least (a->i_first, b->i_first), most (a->i_last, b->i_last))
        || !unbroken (self, least (a->j_first, b->j_first), most (a->j_last, b->j_last)))
        return false;
    size_t before = a->parallel ? a->j_last : b->j_last, behind = a->parallel ? b->j_first : a->j_first;
    if (behind < before)
        return false;
    return (behind - before < 6 && b->i_first - a->i_last < 3) || behind - before < 3;
}

static void join_ladders (struct dssp *self)
{
    /* Already in the order of i_first: bridges were found so. */
    for (size_t a = 0; a < self->ladders_count; a++)
        for (size_t b = a + 1; b < self->ladders_count;) {
            struct ladder *first = &self->ladders[a], *second = &self->ladders[b];
            if (!over_a_bulge (self, first, second)) {
                b++;
                continue;
            }
            first->i_last = second->i_last;
            *(first->parallel ? &first->j_last : &first->j_first) = first->parallel ? second->j_last : second->j_first;
            first->bridges += second->bridges;
            memmove (second, second + 1, (self->ladders_count - b - 1) * sizeof (*second));
            self->ladders_count--;
        }
}

static void mark (struct dssp *self, size_t first, size_t last, char letter)
{
    for (size_t i = first; i <= last; i++)
        if (self->structure[i] != 'E')
            self->structure[i] = letter;
}

static int find_ladders (struct dssp *self)
{
    for (size_t i = 1; i + 4 < self->count; i++)
        for (size_t j = i + 3; j + 1 < self->count; j++) {
            char bridge = bridge_of (self, i, j);
            if (bridge && add_bridge (self, bridge == 'p', i, j) < 0)
                return -1;
        }
    join_ladders (self);
    for (size_t k = 0; k < self->ladders_count; k++) {
        const struct ladder *ladder = &self->ladders[k];
        mark (self, ladder->i_first, ladder->i_last, ladder->bridges > 1 ? 'E' : 'B');
        mark (self, ladder->j_first, ladder->j_last, ladder->bridges > 1 ? 'E' : 'B');
    }
    return 0;
}

/* ---- turns and helices ---- */

static void find_turns (struct dssp *self)
{
    for (size_t n = 3; n <= 5; n++)
        for (size_t i = 0; i + n < self->count; i++)
            if (unbroken (self, i, i + n) && bonded (self, i + n, i))
                self->turns[i][n - 3] = true;
}

/* Two turns in a row make a helix of the residues between their ends; it takes what stands in `over`. */
static void mark_helices (struct dssp *self, size_t n, char letter, const char *over)
{
    for (size_t i = 1; i + n < self->count; i++) {
        if (!self->turns[i][n - 3] || !self->turns[i - 1][n - 3])
            continue;
        bool takes = true;
        for (size_t k = i; takes && over && k < i + n; k++)
            takes = strchr (over, self->structure[k]) != NULL;
        if (takes)
            memset (self->structure + i, letter, n);
    }
}

static bool in_turn (const struct dssp *self, size_t i)
{
    for (size_t n = 3; n <= 5; n++)
        for (size_t k = 1; k < n && k <= i; k++)
            if (self->turns[i - k][n - 3])
                return true;
    return false;
}

/* The chain's direction changes by more than 70 degrees over five residues. */
static bool is_bend (const struct dssp *self, size_t i)
{
    float before[3], behind[3];
    if (i < 2 || i + 2 >= self->count || !unbroken (self, i - 2, i + 2))
        return false;
    minus (self->residues[i].ca, self->residues[i - 2].ca, before);
    minus (self->residues[i + 2].ca, self->residues[i].ca, behind);
    float x = dot (before, before) * dot (behind, behind);
    float cosine = x > 0 ? dot (before, behind) / sqrtf (x) : 0;
    return atan2f (sqrtf (1 - cosine * cosine), cosine) * (float)(180 / M_PI) > BEND_DEGREES;
}

static void mark_turns_and_bends (struct dssp *self)
{
    for (size_t i = 1; i + 1 < self->count; i++)
        if (self->structure[i] == ' ')
            self->structure[i] = in_turn (self, i) ? 'T' : is_bend (self, i) ? 'S' : ' ';
}

/* phi = -75 and psi = 145 degrees, both +-29, three times in a row. */
static bool is_polyproline (const struct dssp *self, size_t i)
{
    const struct dssp_residue *r = &self->residues[i];
    if (!unbroken (self, i - 1, i) || !unbroken (self, i, i + 1))
        return false;
    float phi = dihedral (r[-1].c, r->n, r->ca, r->c), psi = dihedral (r->n, r->ca, r->c, r[1].n);
    return phi >= -104 && phi <= -46 && psi >= 116 && psi <= 174;
}

static void mark_polyproline (struct dssp *self)
{
    for (size_t i = 1; i + 3 < self->count; i++)
        for (size_t k = i; k < i + 3 && is_polyproline (self, i) && is_polyproline (self, i + 1) && is_polyproline (self, i + 2); k++)
            if (self->structure[k] == ' ')
                self->structure[k] = 'P';
}

int dssp_assign (const struct dssp_residue *residues, size_t count, char *structure, struct strata_error *error)
{
    struct dssp self = { .residues = residues, .count = count, .structure = structure };
    self.place = calloc (count + 1, sizeof (*self.place));
    self.h = calloc (count + 1, sizeof (*self.h));
    self.acceptors = calloc (count + 1, sizeof (*self.acceptors));
    self.turns = calloc (count + 1, sizeof (*self.turns));
    int rc = self.place && self.h && self.acceptors && self.turns ? 0 : -1;
    if (rc == 0) {
        memset (structure, ' ', count);
        find_gaps (&self);
        place_hydrogens (&self);
        find_bonds (&self);
        rc = find_ladders (&self);
    }
    if (rc == 0) {
        find_turns (&self);
        mark_helices (&self, 4, 'H', NULL);
        mark_helices (&self, 3, 'G', " G");
        mark_helices (&self, 5, 'I', " IH");
        mark_turns_and_bends (&self);
        mark_polyproline (&self);
    } else
        strata_fail (error, "out of memory for the structure of %zu residues", count);
    free (self.place);
    free (self.h);
    free (self.acceptors);
    free (self.turns);
    free (self.ladders);
    return rc;
}
