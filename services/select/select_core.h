/* select_core.h - which candidates are promoted: states and moves.
 *
 * A candidate:
 *                 picked for a proposal           confirmed
 *   add ---> WAITING -----------------> PROPOSED -----------> SELECTED
 *    |          ^   |   lease ended        |
 *    |          +---|----------------------+
 *    |              +--> DISCARDED  (the queue is at its cap and this one is among the lowest ranks)
 *    |              v
 *    +-----> INVALID  (can't be ranked, or was invalidated; counted, kept with its reason, never picked)
 *
 * A proposal:  propose ---> OPEN ---> CONFIRMED        A name that is CONFIRMED or EXPIRED is never used again.
 *                            |  lease ended
 *                            +------> EXPIRED
 *
 * Select, then confirm: the asker stores the answer, then confirms. Until then the same name gets the same answer; when
 * the asker is gone for longer than the lease the candidates wait again. So a candidate is promoted once, whichever of
 * the two is killed when. Proposed points count as selected while their lease lasts.
 *
 * (state, input, now) -> (changes in the shard's batch, outputs): the core has no clock and no socket. What it holds in
 * memory (points, ranks, open proposals) is built from the shard by select_open and gives the same picks as before.
 *
 * The shard, values in proto/select.proto:
 *   "cand/<id>"            SelectCandidate; every candidate that ever came with a usable id
 *   "prop/<name>"          SelectProposal; every proposal that held at least one candidate
 *   "bad/<index>/<simulation>"  SelectBadSnapshot; index as 8 big-endian bytes
 *   "count/duplicates"     big-endian number: candidates that came again and were not kept
 *   "count/refused"        big-endian number: records that were no candidate with a usable id
 *   stream "history"       SelectEvent, one for each move of each candidate
 * What an audit can recount: every id stands under one key, so in one state. PROPOSED and SELECTED candidates name
 * their proposal, and are listed in it; it is OPEN for the first and CONFIRMED for the second; SELECTED ones that were
 * imported name none. Every selection of a CONFIRMED proposal is SELECTED. Of EXPIRED proposals no candidate bears the
 * name. In the history, for each candidate: added, invalid or imported once, proposed = confirmed + expired + (1 if
 * PROPOSED), confirmed = 1 if SELECTED and not imported, else 0.
 */
#ifndef STRATA_SELECT_CORE_H
#define STRATA_SELECT_CORE_H

#include <stdbool.h>
#include <stdint.h>

#include "core/campaign.h"
#include "mesh.pb-c.h"
#include "patch.pb-c.h"
#include "select.pb-c.h"
#include "store/shard.h"
#include "strata_error.h"

#define SELECT_HISTORY "history"
#define SELECT_COUNT_MAX 10000u             /* candidates that may be asked for */
#define SELECT_TURN_MAX 2000u               /* candidates of one proposal: picked in one turn, well within a lease */
#define SELECT_TURN_WORK 400000000u         /* candidates that wait times those of a proposal: a pick among many takes longer */
#define SELECT_REASON_MAX 500u              /* bytes of a reason that are kept */

struct select_core;

/* Builds the state from the shard. Shard and campaign must outlive it. NULL with an error when they don't fit. */
struct select_core *select_open (struct shard *shard, const struct campaign *campaign, struct strata_error *error);
void select_close (struct select_core **self);

/* kind: "selection-proposed", "selection-confirmed", "selection-expired" (subject: the proposal), "selection-discarded"
 * (subject: the queue), "candidates-invalidated" (subject: the simulation); text: one sentence. */
typedef void select_event_f (const char *kind, const char *subject, const char *text, void *arg);
void select_on_event (struct select_core *self, select_event_f *each, void *arg);
/* A candidate came. Returns what became of it: SELECT_ADDED, SELECT_INVALID, SELECT_DUPLICATE or SELECT_REFUSED. Each
 * is counted and stands in the history. Invalid is what can't be ranked: the producer says so (configuration "invalid"
 * or a reason, unless it has a point and goes to a queue of configuration "invalid" with a quota above 0), the point
 * has another dimension than the campaign's or a coordinate that is not finite, or no queue takes the configuration. */
Strata__SelectEventKind select_add (struct select_core *self, const Strata__Candidate *candidate, int64_t now_us);
/* A record came that is no candidate; why goes to the history. */
void select_refuse (struct select_core *self, const char *why, int64_t now_us);

/* See Propose in select.proto. The caller frees the reply with strata__propose_reply__free_unpacked (reply, NULL).
 * NULL: refused with *code and error. */
Strata__ProposeReply *select_propose (struct select_core *self, const char *name, uint32_t count, int64_t now_us,
                                      Strata__RefusalCode *code, struct strata_error *error);
/* 0, also when it was confirmed before. -1: refused with *code (STALE, NOT_FOUND, INVALID) and error. */
int select_confirm (struct select_core *self, const char *name, int64_t now_us, Strata__RefusalCode *code,
                    struct strata_error *error);
/* Ends the proposals whose lease is over; returns how many. Propose and confirm do that first, so their outcome depends
 * on `now_us` alone and not on how often this is called. */
size_t select_expire (struct select_core *self, int64_t now_us);
/* The same, and a part of the work that invalidations left. True when something changed. */
bool select_tick (struct select_core *self, int64_t now_us);

/* See Invalidate, Weights and Import in select.proto. -1: refused with *code and error. *reply of select_weights is freed
 * with strata__weights_reply__free_unpacked (reply, NULL); the others own nothing. */
int select_invalidate (struct select_core *self, const Strata__Invalidate *request, int64_t now_us,
                       Strata__InvalidateReply *reply, Strata__RefusalCode *code, struct strata_error *error);
int select_weights (struct select_core *self, const Strata__Weights *request, Strata__WeightsReply **reply,
                    Strata__RefusalCode *code, struct strata_error *error);
int select_import (struct select_core *self, const Strata__Import *request, int64_t now_us, Strata__ImportReply *reply,
                   Strata__RefusalCode *code, struct strata_error *error);

struct select_stat {
    uint64_t waiting, proposed, selected, discarded, invalid;
};
/* Of queue i of the campaign; i = queues_count: invalid ones that no queue takes. */
void select_queue_stat (const struct select_core *self, size_t i, struct select_stat *stat);
/* Of all together. */
void select_stat (const struct select_core *self, struct select_stat *stat);
uint64_t select_duplicates (const struct select_core *self);
uint64_t select_refused (const struct select_core *self);
size_t select_open_proposals (const struct select_core *self);
size_t select_bytes (const struct select_core *self);           /* of memory that candidates and selected points take */

/* Recounts the shard and compares it with what is held in memory. -1 with the first difference. (select_verify.c) */
int select_verify (struct select_core *self, struct shard *shard, const struct campaign *campaign,
                   struct strata_error *error);

#endif
