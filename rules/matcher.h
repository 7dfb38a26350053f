/* SPDX-License-Identifier: Apache-2.0
 *
 * Events in, matches out. A matcher holds the correlation state of one thread over one compiled rule set.
 *
 * Correlations run on event time and are a pure function of the *set* of events, whatever their order or batching:
 *   - An event is a *trigger* of a correlation when it hits one of the correlation's rules and the condition holds for the window
 *     (t - timespan, t] of its group, t being the event's time: all hits of equal time are in. (temporal_ordered: when it hits
 *     the last rule of a sequence whose times do not decrease.)
 *   - A trigger is reported as soon as it is certain. Lower bounds of counts and plain temporal rules are certain at once: a late
 *     event can add triggers, never take one away. What more events can take back (lt, lte, eq, neq, ranges, `not`, sums,
 *     averages, percentiles) is decided when the *watermark* has passed the trigger: the newest event's time, or the clock
 *     (matcher_advance), minus the lateness bound. At the end of input all is decided (matcher_flush).
 *     An event whose time is ahead of its ingestion (ingested_ns, where it is known) is as new as that: a wrong clock, or a line
 *     made up with a time to come, makes no other event late.
 *   - A hit that comes later than the bound does not count for correlations of the second kind: stats.late_hits.
 *   - Triggers are alerted by *period*: event time divided into equal parts of max(timespan, 1 h), aligned to the epoch.
 *     One (rule, group, period) is one alert; more triggers in the same period update it (count, first, last). Activity that
 *     goes on fires again in the next period. So alert ids need no memory, and replaying events changes nothing
 *     as long as the replay starts a horizon (ruleset_horizon_ns) back.
 *   - Events are told apart by time and reference: the same event given twice counts once. Every event needs a `ref` of its own
 *     (pos below 2^58, line below 2^20).
 *   - An event with vonggac.repeated N counts as N (rsyslog folds equal lines into one).
 *   - A correlation's trigger is itself a hit for correlations that refer to that correlation.
 * Memory is bounded. A group is let go when its time is over (options.keep_ns); when memory is short, groups whose time is over
 * go first, then those of the correlation that holds most, the least recently touched first; stats.evicted_live counts what
 * was still within its window.
 */
#pragma once

#include "common/event.h"
#include "rules/ruleset.h"

struct matcher;

struct matched {           /* why: one satisfied test. Borrowed from event and rule set, valid during the callback */
    name_id field;         /* F_NONE for a keyword: it matched in event.original */
    struct str field_name; /* the name the rule's author wrote (before mapping), empty for a keyword */
    struct str value;      /* the event's text that matched */
    struct str pattern;    /* as the rule has it, e.g. "*union select*" */
    struct str selection;  /* e.g. "selection_sqli" */
};

#define MATCHED_MAX    32 /* further tests of one match are left out */
#define MATCH_REFS_MAX 64 /* events of a correlation that are named */

struct match {
    const struct rule *rule;
    const struct event *event;     /* NULL: a correlation whose trigger is not the event being evaluated */
    const struct matched *matched; /* of the detection; for a correlation, of its trigger's hit when event is given */
    size_t n_matched;
    const struct event_ref
        *trigger; /* the event this is about. NULL: a correlation's alert has changed, by no new trigger */
    /* Correlations only: */
    const struct field *group; /* in the order of rule->group_by */
    size_t n_group;
    int64_t period_start_ns, first_ns, last_ns; /* the alert's identity, first and last event so far */
    uint64_t count;                             /* events in the triggered windows of this period so far */
    const struct event_ref *refs;               /* the newest of those events, oldest first */
    size_t n_refs;
};

typedef void (*match_fn)(const struct match *m, void *ctx);

struct matcher_stats {
    uint64_t events, matches, correlation_hits;          /* of detections; triggers */
    uint64_t late_hits;                                  /* left out: they came after the watermark */
    uint64_t rules_tried;                                /* looked at because something that they need was there */
    uint64_t groups, group_bytes, evicted, evicted_live; /* live: its window was still open */
    uint64_t dropped_hits;                               /* the oldest of a group with more hits than it may hold */
    uint64_t regex_gave_up; /* regex matches that reached PCRE2's limits: taken as no match */
};

#define MATCHER_LATENESS_NS (300 * NS_PER_S)
#define MATCHER_KEEP_NS     (86400 * NS_PER_S)

struct matcher_options {
    size_t memory_max;   /* bytes for correlation state */
    int64_t lateness_ns; /* how far behind the newest event others may come; at least 0 */
    int64_t keep_ns; /* how long groups stay, counted in event time, when all their windows and periods are over: until
                            then even an event later than the lateness bound finds what it belongs to. At least lateness_ns. */
    bool without_refs; /* match.refs is not asked for */
};

/* memory_max: bytes for correlation state; the other options as the macros above say. NULL: out of memory. Borrows rs. */
struct matcher *matcher_new(const struct ruleset *rs, size_t memory_max);
struct matcher *matcher_new_with(const struct ruleset *rs, const struct matcher_options *options);
struct matcher *matcher_free(struct matcher *m); /* NULL is fine; always returns NULL */

/* Calls on_match for every detection and correlation this event completes, except silent ones (rule->is_silent). A
 * correlation is reported again each time its period's alert changes, and a late event can change two periods: what was
 * reported last for a (rule, group, period) is the alert. 0 or -ENOMEM (the event was evaluated as far as memory went).
 * Never blocks. on_match must not use the matcher. */
int matcher_eval(struct matcher *m, const struct event *ev, match_fn on_match, void *ctx);

/* Time goes on without events: now_ns by the clock. Reports what is certain by now, as matcher_eval does. */
int matcher_advance(struct matcher *m, int64_t now_ns, match_fn on_match, void *ctx);
int matcher_flush(struct matcher *m, match_fn on_match, void *ctx); /* no event will follow */

/* As correlator_adopt: m must not have evaluated anything yet. */
int matcher_adopt(struct matcher *m, struct matcher *from);

void matcher_stats(const struct matcher *m, struct matcher_stats *ret);
