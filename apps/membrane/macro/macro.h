/* macro.h - the continuum model of the membrane: its state and what the other files do with it.
 *
 * Two leaflets of a flat membrane on one periodic grid, each lipid species a number density n_i(r) [1/nm^2], moved by
 * dynamic density functional theory; RAS and RAS-RAF particles on the inner leaflet move by Brownian dynamics and act
 * on the lipids through radial potentials V [kT] that the feedback service's RDFs correct while the model runs.
 * Equations, units and sources: README.md beside this file. Energies are in kT, lengths in nm, times in ns.
 *
 *   kernels.c    the direct correlation data and what follows from it       ddft.c       fields, energy, one step
 *   fft.c        density -> sum_j c_ij * n_j, by FFT                        protein.c    motion, states, forces
 *   potential.c  V(r): the initial one, from RDFs, stamped on the grid      report.c     watching and reading reports
 *   checkpoint.c all state to disk and back                                 snapshot.c   GridSim2D snapshots
 *   publish.c    the client library: snapshots and uptakes                  run.c        the loop of the program
 *   options.c    the command line
 *
 * The same seed gives the same bits with any number of threads: work is split so that no sum depends on the split, and
 * every random number is a hash of (seed, step, what it is for), so a restart needs no generator state.
 */
#ifndef MACRO_H
#define MACRO_H

#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "strata_error.h"

#define MACRO_LIPIDS 14
#define MACRO_INNER 8            /* species 0..7 stand in the inner leaflet, 8..13 in the outer */
#define MACRO_KINDS 8            /* POPC PAPC POPE DIPE DPSM PAPS PAP6 CHOL */
#define MACRO_RDF_ROWS 600       /* a zero row, then 599 bins of 0.01..12 nm */
#define MACRO_RDF_BIN_NM ((12.0 - 0.01) / 599)

/* Protein states, in the order of the RDF tensor's first nine. */
enum macro_state {
    MACRO_RAS_A, MACRO_RAS_B, MACRO_RAS_C,      /* RAS alone */
    MACRO_MRAS_A, MACRO_MRAS_B, MACRO_ZRAS_A,   /* RAS in a complex with RAF */
    MACRO_MRAF_A, MACRO_MRAF_B, MACRO_ZRAF_A,   /* the RAF of such a complex */
    MACRO_STATES
};
extern const char *const macro_state_names[MACRO_STATES];   /* RASa RASb RASc mRASa mRASb zRASa mRAFa mRAFb zRAFa */
extern const char *const macro_kind_names[MACRO_KINDS];

/* ---- kernels.c ---- */
struct macro_kind {
    double area_nm2;             /* area a lipid takes */
    double diffusion;            /* nm^2/ns */
    double inner, outer;         /* mole fraction in each leaflet */
};
extern const struct macro_kind macro_kinds[MACRO_KINDS];
/* c_ij(k) = repulsion[i][j] exp (-k^2 s0^2 / 2) + pair[i][j] exp (-k^2 s1^2 / 2), nm^2, for kinds i, j. */
struct macro_kernels {
    double repulsion[MACRO_KINDS][MACRO_KINDS];
    double pair[MACRO_KINDS][MACRO_KINDS];
    double sigma_repulsion_nm, sigma_pair_nm;
};
void macro_kernels_init (struct macro_kernels *self);
size_t macro_kind_of (size_t lipid);                 /* species 0..13 -> kind 0..7 */
double macro_mean_density (size_t lipid);            /* 1/nm^2; area fractions of a leaflet sum to 1 */
/* The fastest and (relative to an ideal mixture) softest mode of the uniform reference mixture of both leaflets:
 * *fastest = max over k of the eigenvalues of D k^2 (1 - n c(k)) [1/ns] with the grid's own k^2, *softest = min of
 * the eigenvalues of 1 - n c(k); above 0 the mixture is stable. NULL kernels: the ideal mixture. */
void macro_spectrum (const struct macro_kernels *kernels, double spacing_nm, double *fastest, double *softest);

/* ---- fft.c ---- */
struct macro_fft;
struct macro_fft *macro_fft_new (size_t nx, size_t ny, double spacing_nm, const struct macro_kernels *kernels,
                                 int threads, struct strata_error *error);
void macro_fft_free (struct macro_fft **self);
size_t macro_fft_stride (const struct macro_fft *self);  /* doubles from a row of a work field to the next, >= nx + 2 */
/* In place: work[i] (rows of stride doubles, nx used), holding densities of the kinds kind[i], becomes
 * sum over j < count of (c_ij * n_j), count <= 8. */
void macro_fft_convolve (struct macro_fft *self, size_t count, const size_t *kind, double *const *work);

/* ---- state ---- */
struct macro_protein {
    bool present;
    enum macro_state state;
    double x, y;                 /* nm, 0 <= x < lx */
    double fx, fy;               /* force of the last step, kT/nm */
};

/* V(r) of each state and inner lipid: [kT] at the rows' radii; 0 beyond the last row. Linear between rows. */
struct macro_potential {
    double v[MACRO_STATES][MACRO_KINDS][MACRO_RDF_ROWS];
    double cutoff_nm[MACRO_STATES];                  /* V = 0 from there on, for all lipids */
};

struct macro_options {
    size_t nx, ny;
    double spacing_nm;
    size_t ras;
    double bound_fraction;       /* of the RAS that start in a complex */
    double noise;                /* amplitude relative to full thermal noise; 0 = none */
    double perturbation;         /* relative amplitude of the initial waves; 0 = uniform */
    uint64_t seed;
    int threads;
    bool ideal;                  /* no correlations: an ideal mixture (tests) */
    bool freeze_proteins;        /* they neither move nor switch (tests) */
    double mix;                  /* weight of a new report's potential against the one in force, 0..1 */
    double min_count;            /* counts that a state and lipid must have for its potential to change */
};

struct macro {
    struct macro_options options;
    size_t nx, ny;
    double lx, ly;               /* nm */
    double dt_max;               /* ns */
    double dt;                   /* of the last step */
    uint64_t step;
    double time_ns;
    double energy;               /* free energy [kT] at the start of the last step, if that was asked for */

    double *n[MACRO_LIPIDS];     /* [ny][nx] 1/nm^2 */
    double *spare;               /* where a step writes the next field; takes turns with n[i] */
    double *work[MACRO_LIPIDS];  /* [ny][stride], one block; after macro_excess: psi_i = V_i - sum_j c_ij * n_j [kT] */
    double *v[MACRO_INNER];      /* [ny][nx] kT */
    size_t stride;
    double *row_sums;            /* [14][ny]: sums by row, added in one order whatever the threads */
    double *scratch;             /* [threads][3][nx] */
    struct macro_fft *fft;
    struct macro_kernels kernels;

    size_t nras;
    struct macro_protein *proteins;  /* [2 nras]: k = a RAS, nras + k = its RAF (present while bound); id = index + 1 */
    struct macro_potential potential;
    uint64_t round;              /* of the report in force; 0 = the initial potential */
    uint64_t round_step;         /* the first step taken with it */
};

/* Allocates and sets the initial state from options.seed. NULL: sizes out of range, out of memory. */
struct macro *macro_new (const struct macro_options *options, struct strata_error *error);
void macro_free (struct macro **self);
/* 2400 x 2400 or 480 x 480 points of 1000/2400 nm and the other defaults; threads 1. */
void macro_options_paper (struct macro_options *self);
void macro_options_quick (struct macro_options *self);

/* ---- ddft.c ---- */
/* One step of lipids and proteins. want_energy: sets self->energy, which costs a logarithm a cell. */
void macro_step (struct macro *self, bool want_energy);
void macro_excess (struct macro *self);              /* work <- psi of the densities and potentials as they are now */
double macro_energy (struct macro *self);            /* F [kT] of now; calls macro_excess */
double macro_mass (const struct macro *self, size_t lipid);  /* number of lipids of that species */

/* ---- protein.c ---- */
void macro_protein_place (struct macro *self);       /* initial positions and states, from the seed */
void macro_protein_forces (struct macro *self);      /* fx, fy from lipids, other proteins and bonds */
void macro_protein_move (struct macro *self, double dt_ns);
/* The difference d of two coordinates, periodic: -length/2..length/2. */
double macro_nearest (double d, double length);

/* ---- potential.c ---- */
double macro_rdf_radius (size_t row);                /* nm: 0 for row 0, else the centre of bin row - 1 */
void macro_potential_initial (struct macro_potential *self);
void macro_potential_set_cutoffs (struct macro_potential *self);
/* V and dV/dr [kT, kT/nm] at r. */
double macro_potential_at (const struct macro_potential *self, size_t state, size_t kind, double r, double *slope);
void macro_potential_stamp (struct macro *self);     /* self->v <- sum over proteins of V(|r - r_p|) */

/* Counts of one state as read from rdf_<STATE>.txt. */
struct macro_rdf {
    double counts[MACRO_KINDS][MACRO_RDF_ROWS];
};
/* Reads one such file. Refused, with its path, line and reason: a wrong header, not 600 rows, a first row that is not
 * zero, radii that are not the bins', counts that are no integers of at least 0. */
int macro_rdf_read (const char *path, struct macro_rdf *rdf, struct strata_error *error);
/* Sets v[kind][row] from -ln g for each kind with at least min_count counts and used[kind] = true; others are left.
 * Returns how many it set. */
size_t macro_rdf_potential (const struct macro_rdf *rdf, double min_count, double v[MACRO_KINDS][MACRO_RDF_ROWS],
                            bool used[MACRO_KINDS]);

/* ---- report.c ---- */
struct macro_uptake {
    uint64_t round;
    size_t states, lipids;       /* states and (state, lipid) pairs whose potential changed */
    double max_change;           /* kT */
};
/* The round that <dir>/current points to; 0 when there is none or it points elsewhere than to round.<digits>. */
uint64_t macro_report_round (const char *dir);
/* Reads round `round` whole, then takes it up: the potentials change, self->round and round_step are set. On failure
 * nothing changes. */
int macro_report_take (struct macro *self, const char *dir, uint64_t round, struct macro_uptake *uptake,
                       struct strata_error *error);

/* ---- checkpoint.c ---- */
/* Writes <dir>/checkpoint.<step>, synced, by rename; keeps the newest two. */
int macro_checkpoint_write (const struct macro *self, const char *dir, struct strata_error *error);
/* Restores the newest sound checkpoint of dir into a state made with the same options: 1, 0 when there is none, -1 when
 * all are broken or another run's. `refused` (may be NULL) is called with one sentence for each that was refused. */
int macro_checkpoint_load (struct macro *self, const char *dir, void (*refused) (const char *why, void *arg), void *arg,
                           struct strata_error *error);

/* ---- snapshot.c ---- */
/* Writes <dir>/snapshot.<step> unless it is there already. Uses self->work as a buffer. */
int macro_snapshot_write (struct macro *self, const char *dir, struct strata_error *error);
/* Indices of the snapshots that stand in dir, ascending; *indices is malloc'ed. */
int macro_snapshot_list (const char *dir, uint64_t **indices, size_t *count, struct strata_error *error);

/* ---- publish.c ---- */
struct macro_publisher;
/* queue: name of the campaign's queue of snapshots; dir: the folder they stand in. NULL on failure. */
struct macro_publisher *macro_publisher_new (const char *queue, const char *dir, struct strata_error *error);
void macro_publisher_free (struct macro_publisher **self);
/* Appends every snapshot of the folder that the queue does not have yet, in order. */
int macro_publish_snapshots (struct macro_publisher *self, struct strata_error *error);
int macro_publish_uptake (struct macro_publisher *self, uint64_t round, uint64_t step, struct strata_error *error);

/* ---- options.c, run.c ---- */
struct macro_settings {
    struct macro_options model;
    const char *out, *report, *queue;
    uint64_t steps;              /* stop at this step; 0 = run until stopped */
    uint64_t snapshot_every, checkpoint_every;       /* steps */
    uint64_t max_snapshots;      /* stop after so many; 0 = no limit */
    double pace_s;               /* wall time between snapshots at the least */
    int nice;
    bool mesh;
    bool help;
};
/* Fills settings from argv. -1: the sentence says which argument is wrong. */
int macro_settings_parse (struct macro_settings *self, int argc, char *const argv[], struct strata_error *error);
extern const char macro_usage[];
/* Runs until done or *stop. Returns the exit code. */
int macro_run (const struct macro_settings *settings, const volatile sig_atomic_t *stop);

#endif
