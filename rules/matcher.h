/* SPDX-License-Identifier: Apache-2.0
 *
 * Events in, matches out. A matcher holds the correlation state of one thread over one compiled rule set.
 *
 * Correlations run on event time and are a pure function of the *set* of events, whatever their order or batching:
 *   - An event is a *trigger* of an event_count rule when the window (t - timespan, t] that ends with it holds at least
 *     the wanted number of events of its group. A late event can only add triggers, never take one away.
 *   - Triggers are reported by *period*: event time divided into equal parts of max(timespan, 1 h), aligned to the epoch.
 *     One (rule, group, period) is one alert; more triggers in the same period update it (count, first, last). Activity that
 *     goes on fires again in the next period. So alert ids need no memory, and replaying events changes nothing
 *     as long as the replay starts a horizon (ruleset_horizon_ns) back.
 *   - An event with vonggac.repeated N counts as N (rsyslog folds equal lines into one).
 *   - A correlation's trigger is itself a hit for correlations that refer to that correlation.
 * Memory is bounded: the least recently touched group goes first, and is counted when it was still within its window.
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
    const struct event *event;     /* the event that was being evaluated */
    const struct matched *matched; /* of the detection; for a correlation, of the hit that led to it */
    size_t n_matched;
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
    uint64_t events, matches, correlation_hits;
    uint64_t groups, group_bytes, evicted, evicted_live; /* live: its window was still open */
    uint64_t dropped_hits;                               /* the oldest of a group with more hits than it may hold */
    uint64_t regex_gave_up; /* regex matches that reached PCRE2's limits: taken as no match */
};

/* memory_max: bytes for correlation state. NULL: out of memory. Borrows rs. */
struct matcher *matcher_new(const struct ruleset *rs, size_t memory_max);
struct matcher *matcher_free(struct matcher *m); /* NULL is fine; always returns NULL */

/* Calls on_match for every detection and correlation this event completes, except silent ones (rule->is_silent). A
 * correlation is reported again each time its period's alert changes, and a late event can change two periods: what was
 * reported last for a (rule, group, period) is the alert. 0 or -ENOMEM (the event was evaluated as far as memory went).
 * Never blocks. on_match must not use the matcher. */
int matcher_eval(struct matcher *m, const struct event *ev, match_fn on_match, void *ctx);

void matcher_stats(const struct matcher *m, struct matcher_stats *ret);
