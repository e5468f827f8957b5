/* protein.c - RAS and RAS-RAF particles: where they are, what pushes them, how they switch.
 *
 * Brownian dynamics: dr = D F dt + sqrt (2 D dt) xi, F in kT/nm from (1) the lipids, F = -sum_i integral n_i grad_p V,
 * the exact derivative of the free energy's n V term, (2) a soft repulsion between particles that are no pair,
 * U = E (1 - r/s)^2 for r < s, and (3) a harmonic bond of 2 nm between a RAS and its RAF.
 * States switch as a Markov chain with the rates below; RAF binds from the cytosol to a RAS in state a and leaves from
 * mRASa, so RAF particles come and go with their complex; a RAF's state follows its RAS's.
 *
 * Assumed numbers: D = 0.005 nm^2/ns = 5 um^2/s, the order of single-particle tracking of RAS (slower ones are its
 * clusters); rates of about one a microsecond, chosen so that each state is seen in a short campaign. The papers took
 * theirs from a hidden Markov model of measured tracks, which is not public.
 */
#include "macro.h"
#include "random.h"

#include <math.h>
#include <stdlib.h>

#define DIFFUSION_NM2_NS 0.005
#define REPULSION_KT 10.0
#define REPULSION_NM 3.0
#define BOND_NM 2.0
#define BOND_KT_NM2 5.0
#define LARGEST_MOVE_NM 0.3   /* a step's, from forces: a bound, never reached in the ordinary run */
#define PLACE_TRIES 2000

const char *const macro_state_names[MACRO_STATES] = {"RASa",  "RASb",  "RASc",  "mRASa", "mRASb",
                                                     "zRASa", "mRAFa", "mRAFb", "zRAFa"};

struct rate {
    enum macro_state from, to;
    double per_us;
};

static const struct rate rates[] = {
    {MACRO_RAS_A, MACRO_RAS_B, 1.0},   {MACRO_RAS_B, MACRO_RAS_A, 1.0},   {MACRO_RAS_B, MACRO_RAS_C, 0.5},
    {MACRO_RAS_C, MACRO_RAS_B, 0.7},   {MACRO_RAS_A, MACRO_RAS_C, 0.2},   {MACRO_RAS_C, MACRO_RAS_A, 0.3},
    {MACRO_MRAS_A, MACRO_MRAS_B, 0.8}, {MACRO_MRAS_B, MACRO_MRAS_A, 0.8}, {MACRO_MRAS_A, MACRO_ZRAS_A, 0.4},
    {MACRO_ZRAS_A, MACRO_MRAS_A, 0.6},
    {MACRO_RAS_A, MACRO_MRAS_A, 0.4},  /* RAF binds */
    {MACRO_MRAS_A, MACRO_RAS_A, 0.3},  /* RAF leaves */
};

double macro_nearest (double d, double length)
{
    return d - length * round (d / length);
}

static double wrap (double x, double length)
{
    x -= length * floor (x / length);
    return x < length ? x : 0;   /* rounding of a tiny negative x gives length itself */
}

static void add_raf (struct macro *self, size_t ras, uint64_t key)
{
    double angle = 2 * MACRO_PI * random_unit (random_mix (key));
    struct macro_protein *p = &self->proteins[ras], *raf = &self->proteins[self->nras + ras];
    *raf = (struct macro_protein){.present = true,
                                  .x = wrap (p->x + BOND_NM * cos (angle), self->lx),
                                  .y = wrap (p->y + BOND_NM * sin (angle), self->ly)};
}

/* Sets the RAS's state; its RAF appears, follows or goes. */
static void set_state (struct macro *self, size_t ras, enum macro_state state, uint64_t key)
{
    struct macro_protein *raf = &self->proteins[self->nras + ras];
    self->proteins[ras].state = state;
    if (state <= MACRO_RAS_C) {
        *raf = (struct macro_protein){0};
        return;
    }
    if (!raf->present)
        add_raf (self, ras, key);
    raf->state = MACRO_MRAF_A + (state - MACRO_MRAS_A);
}

/* Uniform, but of many tries the first that keeps 6 nm from those before, else the one with the most room. */
static void place_one (struct macro *self, size_t ras)
{
    double best = -1;
    for (uint64_t t = 0; t < PLACE_TRIES && best < 6; t++) {
        uint64_t key = random_key (self->options.seed, t, RANDOM_PLACE, ras);
        double x = self->lx * random_unit (key), y = self->ly * random_unit (random_mix (key)), room = 1e9;
        for (size_t o = 0; o < ras; o++)
            room = fmin (room, hypot (macro_nearest (x - self->proteins[o].x, self->lx),
                                      macro_nearest (y - self->proteins[o].y, self->ly)));
        if (room > best) {
            best = room;
            self->proteins[ras].x = x;
            self->proteins[ras].y = y;
        }
    }
}

void macro_protein_place (struct macro *self)
{
    size_t bound = (size_t)(self->options.bound_fraction * (double)self->nras + 0.5);
    for (size_t k = 0; k < self->nras; k++) {
        self->proteins[k].present = true;
        place_one (self, k);
        enum macro_state state = k < bound ? MACRO_MRAS_A + k % 3 : MACRO_RAS_A + (k - bound) % 3;
        set_state (self, k, state, random_key (self->options.seed, 0, RANDOM_PLACE, 1000000 + k));
    }
}

/* -sum_i integral n_i dV_i/dr_p over the cells within the potential's reach. */
static void lipid_force (const struct macro *self, struct macro_protein *p)
{
    double h = self->options.spacing_nm, reach = self->potential.cutoff_nm[p->state];
    reach = fmin (reach, fmin (self->lx, self->ly) / 2 - h);
    long steps = (long)(reach / h) + 1, cx = lround (p->x / h), cy = lround (p->y / h);
    long nx = (long)self->nx, ny = (long)self->ny;
    for (long iy = cy - steps; iy <= cy + steps; iy++)
        for (long ix = cx - steps; ix <= cx + steps; ix++) {
            double dx = p->x - (double)ix * h, dy = p->y - (double)iy * h, r = hypot (dx, dy), sum = 0;
            if (r >= reach || r < 1e-9)
                continue;
            size_t cell = (size_t)((iy % ny + ny) % ny * nx + (ix % nx + nx) % nx);
            for (size_t i = 0; i < MACRO_INNER; i++) {
                double slope;
                macro_potential_at (&self->potential, p->state, i, r, &slope);
                sum += self->n[i][cell] * slope;
            }
            p->fx -= h * h * sum * dx / r;
            p->fy -= h * h * sum * dy / r;
        }
}

static void protein_force (const struct macro *self, size_t k, struct macro_protein *p)
{
    for (size_t o = 0; o < 2 * self->nras; o++) {
        const struct macro_protein *q = &self->proteins[o];
        if (o == k || !q->present)
            continue;
        double dx = macro_nearest (p->x - q->x, self->lx), dy = macro_nearest (p->y - q->y, self->ly);
        double r = fmax (hypot (dx, dy), 1e-6), f = 0;
        if (o == k + self->nras || k == o + self->nras)
            f = -BOND_KT_NM2 * (r - BOND_NM);
        else if (r < REPULSION_NM)
            f = 2 * REPULSION_KT / REPULSION_NM * (1 - r / REPULSION_NM);
        p->fx += f * dx / r;
        p->fy += f * dy / r;
    }
}

void macro_protein_forces (struct macro *self)
{
#pragma omp parallel for num_threads(self->options.threads) schedule(dynamic, 1)
    for (size_t k = 0; k < 2 * self->nras; k++) {
        struct macro_protein *p = &self->proteins[k];
        p->fx = p->fy = 0;
        if (!p->present)
            continue;
        lipid_force (self, p);
        protein_force (self, k, p);
    }
}

static void switch_state (struct macro *self, size_t ras, double dt_ns)
{
    uint64_t key = random_key (self->options.seed, self->step, RANDOM_SWITCH, ras);
    double u = random_unit (key);
    for (size_t i = 0; i < sizeof (rates) / sizeof (rates[0]); i++) {
        if (rates[i].from != self->proteins[ras].state)
            continue;
        u -= rates[i].per_us * 1e-3 * dt_ns;
        if (u < 0) {
            set_state (self, ras, rates[i].to, key);
            return;
        }
    }
}

void macro_protein_move (struct macro *self, double dt_ns)
{
    for (size_t k = 0; k < 2 * self->nras; k++) {
        struct macro_protein *p = &self->proteins[k];
        if (!p->present)
            continue;
        double a, b, drift = DIFFUSION_NM2_NS * dt_ns, width = sqrt (2 * drift);
        random_normal2 (random_key (self->options.seed, self->step, RANDOM_MOVE, k), &a, &b);
        double pull = hypot (p->fx, p->fy) * drift, bound = pull > LARGEST_MOVE_NM ? LARGEST_MOVE_NM / pull : 1;
        p->x = wrap (p->x + bound * drift * p->fx + width * a, self->lx);
        p->y = wrap (p->y + bound * drift * p->fy + width * b, self->ly);
    }
    for (size_t k = 0; k < self->nras; k++)
        switch_state (self, k, dt_ns);
}
