/* resources.c - see resources.h */
#include "resources.h"

#include <stdlib.h>
#include <string.h>

#define WORDS_MAX (MACHINE_CORES_MAX / 64)
#define LEVELS_MAX 6            /* of a tree of bits: 64^6 nodes */

/* ---- bits under a tree: a bit of level n + 1 says whether a word of level n has one ---- */

struct bits {
    uint64_t *level[LEVELS_MAX];
    int levels;
    size_t count;               /* set ones */
};

static bool bits_init (struct bits *self, size_t size)
{
    do {
        size = (size + 63) / 64;
        self->level[self->levels] = calloc (size ? size : 1, sizeof (uint64_t));
        if (!self->level[self->levels++])
            return false;
    } while (size > 1 && self->levels < LEVELS_MAX);
    return true;
}

static void bits_fini (struct bits *self)
{
    while (self->levels)
        free (self->level[--self->levels]);
}

static void bits_assign (struct bits *self, size_t i, bool value)
{
    bool was = self->level[0][i / 64] >> (i % 64) & 1;
    if (was == value)
        return;
    self->count += value ? 1 : (size_t)-1;
    for (int n = 0; n < self->levels; n++, i /= 64) {
        uint64_t *word = &self->level[n][i / 64], before = *word;
        *word = value ? before | UINT64_C (1) << (i % 64) : before & ~(UINT64_C (1) << (i % 64));
        if ((before != 0) == (*word != 0))
            return;
    }
}

/* The first set bit from `from` on; there is one, so no index goes past a level's end. */
static size_t bits_next (const struct bits *self, size_t from)
{
    int n = 0;
    uint64_t word;
    while (!(word = self->level[n][from / 64] & UINT64_MAX << (from % 64))) {
        from = from / 64 + 1;
        n++;
    }
    size_t at = from / 64 * 64 + (size_t)__builtin_ctzll (word);
    while (n-- > 0)
        at = at * 64 + (size_t)__builtin_ctzll (self->level[n][at]);
    return at;
}

/* ---- the machine, in masks ---- */

/* Cores that have a cache or a socket in common. */
struct set {
    uint64_t mask[WORDS_MAX];
};

struct kind {
    const struct machine_group *group;
    struct set *sets[MACHINE_LEVELS];
    unsigned sets_count[MACHINE_LEVELS];
    uint64_t *socket_gpus;      /* [sockets] */
    uint32_t *index_of;         /* core by the node's own number of it; UINT32_MAX: none */
    size_t ids;
};

struct node {
    uint64_t gpus;              /* free ones */
    uint64_t memory_mb;         /* free */
    uint32_t kind;
    uint16_t cores_free;
    uint8_t state;
};

struct request {
    struct resources_request asked;
    unsigned cores, gpus;
    unsigned keep;              /* cores left to each free GPU */
    bool possible;
    struct bits fits;           /* [nodes] */
};

struct resources {
    struct kind *kinds;
    size_t kinds_count;
    struct node *nodes;
    uint64_t *free;             /* [nodes][words]: free cores */
    size_t nodes_count, words;
    struct request *requests;
    size_t requests_count;
    struct resources_figures figures;
};

static bool kind_init (struct kind *self, const struct machine_group *group)
{
    self->group = group;
    for (int level = 0; level < MACHINE_LEVELS; level++) {
        unsigned count = 1;
        for (unsigned i = 0; i < group->cores; i++)
            count = group->level[level][i] >= count ? group->level[level][i] + 1u : count;
        self->sets[level] = calloc (count, sizeof (struct set));
        self->sets_count[level] = count;
        if (!self->sets[level])
            return false;
        for (unsigned i = 0; i < group->cores; i++)
            self->sets[level][group->level[level][i]].mask[i / 64] |= UINT64_C (1) << (i % 64);
    }
    for (unsigned i = 0; i < group->cores; i++)
        self->ids = group->ids[i] >= self->ids ? group->ids[i] + (size_t)1 : self->ids;
    self->index_of = malloc ((self->ids + 1) * sizeof (*self->index_of));
    self->socket_gpus = calloc (self->sets_count[MACHINE_SOCKET] + 1, sizeof (uint64_t));
    if (!self->index_of || !self->socket_gpus)
        return false;
    memset (self->index_of, 0xff, (self->ids + 1) * sizeof (*self->index_of));
    for (unsigned i = 0; i < group->cores; i++)
        self->index_of[group->ids[i]] = i;
    for (unsigned i = 0; i < group->gpus; i++)
        if (group->gpu_socket[i] < self->sets_count[MACHINE_SOCKET])
            self->socket_gpus[group->gpu_socket[i]] |= UINT64_C (1) << i;
    return true;
}

unsigned resources_cores (const struct resources_request *request)
{
    unsigned cores = 0;
    for (size_t i = 0; i < request->parts_count; i++)
        cores += request->parts[i].cores;
    return cores;
}

unsigned resources_gpus (const struct resources_request *request)
{
    unsigned gpus = 0;
    for (size_t i = 0; i < request->parts_count; i++)
        gpus += request->parts[i].gpus;
    return gpus;
}

static bool fits_empty (const struct request *request, const struct machine_group *group, unsigned keep)
{
    return request->cores + keep * group->gpus <= group->cores && request->gpus <= group->gpus
           && (!group->memory_mb || request->asked.memory_mb <= group->memory_mb);
}

static size_t nodes_that_fit (const struct resources *self, const struct request *request, unsigned keep)
{
    size_t nodes = 0;
    for (size_t i = 0; i < self->kinds_count; i++)
        nodes += fits_empty (request, self->kinds[i].group, keep) ? self->kinds[i].group->nodes : 0;
    return nodes;
}

static bool fits_node (const struct resources *self, const struct request *request, size_t n)
{
    const struct node *node = &self->nodes[n];
    unsigned gpus = (unsigned)__builtin_popcountll (node->gpus);
    return node->state == RESOURCES_UP && gpus >= request->gpus && node->cores_free >= request->cores + request->keep * gpus
           && (!self->kinds[node->kind].group->memory_mb || node->memory_mb >= request->asked.memory_mb);
}

static void touch (struct resources *self, size_t n)
{
    for (size_t i = 0; i < self->requests_count; i++)
        bits_assign (&self->requests[i].fits, n, fits_node (self, &self->requests[i], n));
}

static void fill_node (struct resources *self, size_t n)
{
    struct node *node = &self->nodes[n];
    const struct machine_group *group = self->kinds[node->kind].group;
    node->cores_free = (uint16_t)group->cores;
    node->gpus = group->gpus == 64 ? UINT64_MAX : (UINT64_C (1) << group->gpus) - 1;
    node->memory_mb = group->memory_mb;
    uint64_t *free_cores = self->free + n * self->words;
    for (unsigned i = 0; i < group->cores; i++)
        free_cores[i / 64] |= UINT64_C (1) << (i % 64);
    self->figures.cores += group->cores;
    self->figures.gpus += group->gpus;
}

static bool make_requests (struct resources *self, const struct resources_request *requests)
{
    unsigned per_gpu = 0;
    for (size_t i = 0; i < self->requests_count; i++) {
        struct request *request = &self->requests[i];
        request->asked = requests[i];
        request->cores = resources_cores (&requests[i]);
        request->gpus = resources_gpus (&requests[i]);
        unsigned each = request->gpus ? (request->cores + request->gpus - 1) / request->gpus : 0;
        per_gpu = each > per_gpu ? each : per_gpu;
        if (!bits_init (&request->fits, self->nodes_count))
            return false;
    }
    for (size_t i = 0; i < self->requests_count; i++) {
        struct request *request = &self->requests[i];
        bool leaves = request->gpus == 0 && nodes_that_fit (self, request, per_gpu) >= request->asked.nodes;
        request->keep = leaves ? per_gpu : 0;
        request->possible = nodes_that_fit (self, request, request->keep) >= request->asked.nodes;
    }
    return true;
}

struct resources *resources_new (const struct machine *machine, const struct resources_request *requests, size_t count)
{
    struct resources *self = calloc (1, sizeof (*self));
    if (!self)
        return NULL;
    self->nodes_count = machine_nodes (machine);
    for (size_t i = 0; i < machine->count; i++)
        if (self->words < (machine->groups[i].cores + 63) / 64)
            self->words = (machine->groups[i].cores + 63) / 64;
    self->kinds = calloc (machine->count + 1, sizeof (*self->kinds));
    self->nodes = calloc (self->nodes_count + 1, sizeof (*self->nodes));
    self->free = calloc (self->nodes_count * self->words + 1, sizeof (*self->free));
    self->requests = calloc (count + 1, sizeof (*self->requests));
    bool ok = self->kinds && self->nodes && self->free && self->requests;
    for (size_t i = 0, n = 0; ok && i < machine->count; i++) {
        self->kinds_count++;
        ok = kind_init (&self->kinds[i], &machine->groups[i]);
        for (size_t j = 0; ok && j < machine->groups[i].nodes; j++, n++) {
            self->nodes[n].kind = (uint32_t)i;
            fill_node (self, n);
        }
    }
    self->requests_count = ok ? count : 0;
    self->figures.nodes = self->nodes_count;
    if (!ok || !make_requests (self, requests)) {
        resources_free (&self);
        return NULL;
    }
    for (size_t n = 0; n < self->nodes_count; n++)
        touch (self, n);
    return self;
}

void resources_free (struct resources **self_p)
{
    struct resources *self = *self_p;
    if (!self)
        return;
    for (size_t i = 0; i < self->requests_count; i++)
        bits_fini (&self->requests[i].fits);
    for (size_t i = 0; i < self->kinds_count; i++) {
        for (int level = 0; level < MACHINE_LEVELS; level++)
            free (self->kinds[i].sets[level]);
        free (self->kinds[i].socket_gpus);
        free (self->kinds[i].index_of);
    }
    free (self->requests);
    free (self->kinds);
    free (self->nodes);
    free (self->free);
    free (self);
    *self_p = NULL;
}

bool resources_possible (const struct resources *self, size_t i)
{
    return self->requests[i].possible;
}

bool resources_fits (const struct resources *self, size_t i)
{
    return self->requests[i].fits.count >= self->requests[i].asked.nodes;
}

bool resources_leaves_gpus_theirs (const struct resources *self, size_t i)
{
    return self->requests[i].keep > 0;
}

/* ---- choosing on a node ---- */

static unsigned count_common (const uint64_t *free_cores, const uint64_t *mask, size_t words)
{
    unsigned n = 0;
    for (size_t i = 0; i < words; i++)
        n += (unsigned)__builtin_popcountll (free_cores[i] & mask[i]);
    return n;
}

/* What is left to choose from while a job's parts are bound on one node. */
struct choice {
    const struct kind *kind;
    const struct request *request;
    uint64_t *free_cores;       /* the node's: what is chosen is taken off */
    uint64_t free_gpus;         /* before the job's own were taken */
    size_t words;
    uint32_t *cores;            /* numbers are put here */
    size_t cores_count;
};

static void take_core (struct choice *self, unsigned core)
{
    self->free_cores[core / 64] &= ~(UINT64_C (1) << (core % 64));
    self->cores[self->cores_count++] = self->kind->group->ids[core];
}

static bool is_free (const struct choice *self, const uint64_t *mask, unsigned core)
{
    return self->free_cores[core / 64] & mask[core / 64] & UINT64_C (1) << (core % 64);
}

/* Of the free cores in mask, of which there are enough: a run of neighbours if there is one, else the first. */
static void take_from (struct choice *self, const uint64_t *mask, unsigned need)
{
    unsigned run = 0, first = 0;
    for (unsigned i = 0; i < self->kind->group->cores && run < need; i++) {
        run = is_free (self, mask, i) ? run + 1 : 0;
        first = run == need ? i + 1 - need : 0;
    }
    for (unsigned i = first, n = 0; n < need; i++)
        if (is_free (self, mask, i)) {
            take_core (self, i);
            n++;
        }
}

/* The set of a level with the fewest free cores that are enough, in `within` alone if that is given. NULL: none has them. */
static const uint64_t *tightest (const struct choice *self, int level, const uint64_t *within, unsigned need)
{
    const uint64_t *best = NULL;
    unsigned best_count = UINT32_MAX;
    for (unsigned i = 0; i < self->kind->sets_count[level]; i++) {
        const uint64_t *mask = self->kind->sets[level][i].mask;
        unsigned count = count_common (self->free_cores, mask, self->words);
        if (count >= need && count < best_count && (!within || count_common (mask, within, self->words))) {
            best = mask;
            best_count = count;
        }
    }
    return best;
}

/* Free cores of a socket less those that its free GPUs need. */
static long surplus (const struct choice *self, unsigned socket)
{
    long count = count_common (self->free_cores, self->kind->sets[MACHINE_SOCKET][socket].mask, self->words);
    return count - (long)self->request->keep * __builtin_popcountll (self->kind->socket_gpus[socket] & self->free_gpus);
}

/* Wherever they are missed least: in the socket with the smallest surplus that is enough, else one by one where it is
 * largest, so that what stays is near the GPUs that need it. */
static void take_anywhere (struct choice *self, unsigned need)
{
    unsigned sockets = self->kind->sets_count[MACHINE_SOCKET], best = sockets;
    long left[MACHINE_CORES_MAX];
    for (unsigned i = 0; i < sockets; i++) {
        left[i] = surplus (self, i);
        if (left[i] >= (long)need && (best == sockets || left[i] < left[best]))
            best = i;
    }
    if (best < sockets) {
        take_from (self, self->kind->sets[MACHINE_SOCKET][best].mask, need);
        return;
    }
    while (need-- > 0) {
        best = sockets;
        for (unsigned i = 0; i < sockets; i++)
            if (count_common (self->free_cores, self->kind->sets[MACHINE_SOCKET][i].mask, self->words)
                && (best == sockets || left[i] > left[best]))
                best = i;
        if (best == sockets)
            return; /* it was looked whether there are so many */
        left[best]--;
        take_from (self, self->kind->sets[MACHINE_SOCKET][best].mask, 1);
    }
}

/* False: its wishes could not be kept. */
static bool take_part (struct choice *self, const struct resources_part *part, const uint64_t *near)
{
    const uint64_t *set = NULL;
    bool kept = true;
    if (!part->cores)
        return true;
    if (part->share < MACHINE_LEVELS)
        set = tightest (self, part->share, near, part->cores);
    kept = set || part->share >= MACHINE_LEVELS;
    if (!set && near && count_common (self->free_cores, near, self->words) >= part->cores)
        set = near;
    if (!set && part->share < MACHINE_LEVELS && near)
        set = tightest (self, part->share, NULL, part->cores);
    if (set)
        take_from (self, set, part->cores);
    else
        take_anywhere (self, part->cores);
    return kept && (!near || (set && count_common (set, near, self->words)));
}

/* The socket where the job's GPUs and the cores that want to be near them are free together; else the first one with a free
 * GPU. */
static unsigned choose_socket (const struct choice *self)
{
    const struct kind *kind = self->kind;
    unsigned sockets = kind->sets_count[MACHINE_SOCKET], first = sockets, need = 0;
    for (size_t i = 0; i < self->request->asked.parts_count; i++)
        need += self->request->asked.parts[i].near_gpu ? self->request->asked.parts[i].cores : 0;
    for (unsigned i = 0; i < sockets; i++) {
        unsigned gpus = (unsigned)__builtin_popcountll (kind->socket_gpus[i] & self->free_gpus);
        first = gpus && first == sockets ? i : first;
        if (gpus >= self->request->gpus
            && count_common (self->free_cores, kind->sets[MACHINE_SOCKET][i].mask, self->words) >= need)
            return i;
    }
    return first;
}

static void take_on_node (struct resources *self, const struct request *request, size_t n, struct resources_binding *binding)
{
    struct node *node = &self->nodes[n];
    struct choice choice = { .kind = &self->kinds[node->kind], .request = request, .free_cores = self->free + n * self->words,
                             .free_gpus = node->gpus, .words = self->words, .cores = binding->cores + binding->cores_count };
    const uint64_t *near = NULL;
    if (request->gpus) {
        unsigned socket = choose_socket (&choice);
        near = socket < choice.kind->sets_count[MACHINE_SOCKET] ? choice.kind->sets[MACHINE_SOCKET][socket].mask : NULL;
        uint64_t first = near ? choice.kind->socket_gpus[socket] : 0;
        for (unsigned i = 0; i < request->gpus; i++) {
            uint64_t from = node->gpus & first ? node->gpus & first : node->gpus;
            unsigned gpu = (unsigned)__builtin_ctzll (from);
            node->gpus &= ~(UINT64_C (1) << gpu);
            binding->gpus[binding->gpus_count++] = gpu;
        }
    }
    for (size_t i = 0; i < request->asked.parts_count; i++) {
        const struct resources_part *part = &request->asked.parts[i];
        self->figures.taken++;
        self->figures.misplaced += !take_part (&choice, part, part->near_gpu ? near : NULL);
    }
    binding->cores_count += choice.cores_count;
    binding->nodes[binding->nodes_count++] = (uint32_t)n;
    node->cores_free = (uint16_t)(node->cores_free - request->cores);
    node->memory_mb -= request->asked.memory_mb < node->memory_mb ? request->asked.memory_mb : node->memory_mb;
    self->figures.cores_busy += request->cores;
    self->figures.gpus_busy += request->gpus;
    touch (self, n);
}

bool resources_take (struct resources *self, size_t i, struct resources_binding *binding)
{
    const struct request *request = &self->requests[i];
    binding->nodes_count = binding->cores_count = binding->gpus_count = 0;
    if (!resources_fits (self, i))
        return false;
    for (size_t n = 0; binding->nodes_count < request->asked.nodes; n++) {
        n = bits_next (&request->fits, n);
        take_on_node (self, request, n, binding);
    }
    return true;
}

/* ---- what is known to be held, and giving back ---- */

/* Marks what a binding names on its nodes as free, or as not. */
static void mark (struct resources *self, size_t i, const struct resources_binding *binding, bool release)
{
    uint64_t memory_mb = self->requests[i].asked.memory_mb;
    size_t nodes = binding->nodes_count, each_cores = nodes ? binding->cores_count / nodes : 0,
           each_gpus = nodes ? binding->gpus_count / nodes : 0;
    for (size_t at = 0; at < nodes; at++) {
        size_t n = binding->nodes[at];
        if (n >= self->nodes_count || self->nodes[n].state == RESOURCES_LOST)
            continue;
        struct node *node = &self->nodes[n];
        const struct kind *kind = &self->kinds[node->kind];
        int sign = release ? 1 : -1;
        for (size_t j = at * each_cores; j < (at + 1) * each_cores; j++) {
            uint32_t core = binding->cores[j] < kind->ids ? kind->index_of[binding->cores[j]] : UINT32_MAX;
            if (core >= kind->group->cores)
                continue;
            uint64_t *word = &self->free[n * self->words + core / 64], bit = UINT64_C (1) << (core % 64);
            if (((*word & bit) != 0) == release)
                continue;
            *word ^= bit;
            node->cores_free = (uint16_t)(node->cores_free + sign);
            self->figures.cores_busy -= (uint64_t)(int64_t)sign;
        }
        for (size_t j = at * each_gpus; j < (at + 1) * each_gpus; j++) {
            uint64_t bit = binding->gpus[j] < kind->group->gpus ? UINT64_C (1) << binding->gpus[j] : 0;
            if (!bit || ((node->gpus & bit) != 0) == release)
                continue;
            node->gpus ^= bit;
            self->figures.gpus_busy -= (uint64_t)(int64_t)sign;
        }
        if (release)
            node->memory_mb = node->memory_mb + memory_mb < kind->group->memory_mb ? node->memory_mb + memory_mb
                                                                                   : kind->group->memory_mb;
        else
            node->memory_mb -= memory_mb < node->memory_mb ? memory_mb : node->memory_mb;
        touch (self, n);
    }
}

void resources_hold (struct resources *self, size_t i, const struct resources_binding *binding)
{
    mark (self, i, binding, false);
}

void resources_release (struct resources *self, size_t i, const struct resources_binding *binding)
{
    mark (self, i, binding, true);
}

/* ---- what is missing ---- */

void resources_lack (const struct resources *self, size_t i, struct resources_lack *lack)
{
    const struct request *request = &self->requests[i];
    size_t nodes = request->asked.nodes, possible = 0, without_keep = 0;
    *lack = (struct resources_lack){ .what = RESOURCES_LACKS_NOTHING };
    for (size_t n = 0; n < self->nodes_count; n++) {
        const struct node *node = &self->nodes[n];
        const struct machine_group *group = self->kinds[node->kind].group;
        unsigned gpus = (unsigned)__builtin_popcountll (node->gpus);
        if (node->state != RESOURCES_UP)
            continue;
        lack->up++;
        possible += fits_empty (request, group, request->keep);
        lack->with_gpus += gpus >= request->gpus;
        lack->with_cores += node->cores_free >= request->cores + request->keep * gpus;
        without_keep += node->cores_free >= request->cores;
        lack->with_memory += !group->memory_mb || node->memory_mb >= request->asked.memory_mb;
    }
    lack->kept = lack->with_cores < nodes && without_keep >= nodes;
    if (!resources_fits (self, i))
        lack->what = possible < nodes            ? RESOURCES_LACKS_NODES
                     : lack->with_gpus < nodes   ? RESOURCES_LACKS_GPUS
                     : lack->with_cores < nodes  ? RESOURCES_LACKS_CORES
                     : lack->with_memory < nodes ? RESOURCES_LACKS_MEMORY
                                                 : RESOURCES_LACKS_TOGETHER;
}

/* ---- nodes ---- */

/* Takes a lost node out of the figures, or an empty one in. */
static void count_node (struct resources *self, size_t n, int sign)
{
    const struct node *node = &self->nodes[n];
    const struct machine_group *group = self->kinds[node->kind].group;
    self->figures.cores += (uint64_t)(int64_t)sign * group->cores;
    self->figures.gpus += (uint64_t)(int64_t)sign * group->gpus;
    self->figures.cores_busy += (uint64_t)(int64_t)sign * (group->cores - node->cores_free);
    self->figures.gpus_busy += (uint64_t)(int64_t)sign * (group->gpus - (unsigned)__builtin_popcountll (node->gpus));
}

int resources_set_node (struct resources *self, size_t n, enum resources_node_state state)
{
    if (n >= self->nodes_count)
        return -1;
    struct node *node = &self->nodes[n];
    enum resources_node_state was = (enum resources_node_state)node->state;
    self->figures.nodes_lost += (state == RESOURCES_LOST) - (was == RESOURCES_LOST);
    self->figures.nodes_drained += (state == RESOURCES_DRAINED) - (was == RESOURCES_DRAINED);
    if (state == RESOURCES_LOST && was != RESOURCES_LOST)
        count_node (self, n, -1);
    else if (was == RESOURCES_LOST && state != RESOURCES_LOST)
        fill_node (self, n); /* whatever ran there ran to no end */
    node->state = (uint8_t)state;
    touch (self, n);
    return 0;
}

enum resources_node_state resources_node (const struct resources *self, size_t n)
{
    return n < self->nodes_count ? (enum resources_node_state)self->nodes[n].state : RESOURCES_LOST;
}

void resources_figures (const struct resources *self, struct resources_figures *figures)
{
    *figures = self->figures;
}
