/* histogram.h - the counts of a Histogram record as bytes: little-endian, all of one width, the narrowest that holds them.
 *
 * A frame is made, sent and added up tens of thousands of times a second; so its counts are neither parsed nor copied one by
 * one. Widths 1, 2 and 4 are unsigned; width 8 is int64, so that a negative count can be named when it is refused.
 */
#ifndef STRATA_HISTOGRAM_H
#define STRATA_HISTOGRAM_H

#include <stddef.h>
#include <stdint.h>

#include "feedback.pb-c.h"
#include "strata_error.h"

/* Sets rows, bins, width and cells of the record. counts: [rows * bins]; room: [rows * bins * 8] bytes, which the record
 * points to afterwards. */
void histogram_set (Strata__Histogram *record, const int64_t *counts, size_t rows, size_t bins, uint8_t *room);

/* Whether the record holds rows x bins counts, as many as it says, none negative, whose sum with `before` stays below 2^63.
 * *total: the sum of the counts. names: [rows], for the sentence. -1 with the sentence, which does not name the record. */
int histogram_check (const Strata__Histogram *record, char *const *names, size_t rows, size_t bins, int64_t before,
                     int64_t *total, struct strata_error *why);

/* Adds counts [first, first + count) of a record that was checked to sums[count]; returns their sum. */
uint64_t histogram_add (const Strata__Histogram *record, size_t first, size_t count, int64_t *sums);

#endif
