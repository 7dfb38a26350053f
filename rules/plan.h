/* SPDX-License-Identifier: Apache-2.0
 *
 * What a rule set is inside: the structs that loading (detection.c, condition.c, correlation_rule.c, mapping.c, ruleset.c) builds
 * and matching (matcher.c, correlate.c) reads. All of it lives in the rule set's arena and is immutable once compiled.
 *
 *     YAML -> rule_entry { expr tree of leaves }        detection.c, condition.c
 *     logsource + mappings -> source, plan              mapping.c, ruleset.c: one plan a rule and source
 *     correlation -> correlation, edges to it           correlation_rule.c, ruleset.c
 *
 * A leaf names the field as the rule's author did; the plan's source says which field of the event that is.
 */
#pragma once

#include "rules/fixed.h"
#include "rules/needle.h"
#include "rules/ruleset.h"

#define CONDITION_BYTES_MAX   8192
#define CONDITION_DEPTH_MAX   48
#define CONDITION_NODES_MAX   4096
#define RULE_NEEDLES_MAX      65536 /* after expanding placeholders */
#define CORRELATION_RULES_MAX 64    /* rules that one correlation refers to: bits of a mask */
#define CORRELATION_DEPTH_MAX 8     /* correlations over correlations */
#define GROUP_BY_MAX          8
#define VALUE_FIELDS_MAX      8
#define TERMS_MAX             64 /* of a boolean condition in disjunctive form */
#define CORRELATIONS_MAX      4096
#define TREE_MAX              1024 /* ways up from one rule through correlations */

/* ---- detection ---- */

enum expr_kind { EXPR_AND, EXPR_OR, EXPR_NOT, EXPR_LEAF };

struct expr {
    enum expr_kind kind;
    size_t n;
    const struct expr **kids; /* AND, OR: n of them; NOT: one */
    struct leaf *leaf;
};

struct leaf {      /* field has one of these values */
    name_id field; /* as the author wrote it; F_NONE: a keyword, looked for in event.original */
    struct str field_name, selection;
    struct needle *needles;
    size_t n;
    const struct pending *pending; /* values with placeholders: needles come at compile time */
    struct leaf *next;             /* of the same rule */
    int line, col;                 /* of the field's name */
};

struct selection {
    struct str name;
    const struct expr *expr;
};

/* ---- correlation ---- */

enum correlation_type {
    CORRELATION_EVENT_COUNT,
    CORRELATION_VALUE_COUNT,
    CORRELATION_VALUE_SUM,
    CORRELATION_VALUE_AVG,
    CORRELATION_VALUE_PERCENTILE, /* and value_median: the 50th */
    CORRELATION_TEMPORAL,
    CORRELATION_TEMPORAL_ORDERED,
};

enum bound_op { BOUND_LT, BOUND_LTE, BOUND_GT, BOUND_GTE, BOUND_EQ, BOUND_NEQ, BOUND_OPS };

struct term { /* of a boolean condition in disjunctive form: bits of the correlation's rules */
    uint64_t need, absent;
};

struct correlation {
    enum correlation_type type;
    uint32_t index;     /* among the rule set's correlations */
    bool is_deferred;   /* more events could take a trigger back: decided by the watermark */
    uint32_t threshold; /* not deferred: counts at least so much */
    struct bound {
        enum bound_op op;
        fixed value;
    } bounds[BOUND_OPS]; /* all must hold */
    size_t n_bounds;
    const struct term *terms; /* temporal with a boolean condition, and every temporal_ordered: one must hold */
    size_t n_terms;
    uint32_t percentile;
    uint64_t digest; /* of the definition and of all that it stands on or that stands on it */
    int64_t timespan_ns, period_ns;
    int64_t reach_ns; /* how far before a trigger the events lie that made it one */
    const struct rule_entry *entry;
    struct str *rule_names; /* as referred to */
    struct rule_entry **rules;
    size_t n_rules;
    const struct yaml *rule_places; /* n_rules of them, of which only line and col count; NULL: they stand in words */
    struct str *group_by;           /* as written: a field, or an alias */
    name_id *group_names;           /* what names it in a match */
    size_t n_group;
    struct str *value_fields; /* value_*: as written, likewise */
    size_t n_values;
    struct alias {
        struct str name, rule, field;
    } * aliases;
    size_t n_aliases;
    bool is_generating;
    int line, col;
};

/* A way from a rule up to a correlation that refers to it. A rule's tree lists all its ways in preorder: each edge is
 * followed by the edges that lead on from its correlation, `size` edges in all. */
struct edge {
    const struct correlation *to;
    uint32_t rule;         /* which of to->rules */
    uint32_t size;         /* of this subtree */
    const name_id *fields; /* group-by, then value fields: as the author wrote them, mapped by the detection's source */
};

/* ---- rules ---- */

enum entry_kind { ENTRY_DETECTION, ENTRY_CORRELATION, ENTRY_FILTER };

struct rule_entry {
    struct rule pub;
    enum entry_kind kind;
    bool is_left_out, is_ecs; /* is_ecs: taxonomy ecs, fields are not mapped */
    bool is_generated;        /* a correlation that refers to it says so */
    uint8_t height;           /* of a correlation: 1 over detections only, and so on */
    int line, col;
    size_t loaded;   /* place among the rules that stayed */
    uint64_t digest; /* of what it does: its document without title and the like */
    const struct expr *expr;
    struct leaf *leaves;
    size_t n_needles;
    struct str *targets; /* filter: rules it applies to */
    size_t n_targets;
    bool is_for_all; /* filter: for every rule of its log source (draft 2.2) */
    struct correlation *correlation;
    struct parent { /* a correlation that refers to this rule */
        const struct correlation *correlation;
        uint32_t rule;
        struct parent *next;
    } * parents;
    const struct edge *edges;
    size_t n_edges;
};

/* ---- log sources ---- */

struct when {
    name_id field;
    struct str *values;
    size_t n;
};

struct mapping {
    struct str product, category, service; /* empty: not given */
    struct when *when;
    size_t n_when;
    struct mapped_field {
        struct str from, to;
    } * fields;
    size_t n_fields;
    struct source *source; /* compiled, once a rule uses it */
    struct mapping *next;
};

struct source {       /* events of one log source */
    bool is_declared; /* without mapping: `when` is what the event declares itself, and what is absent fits */
    uint32_t place;   /* in ruleset.sources */
    const struct when *when;
    size_t n_when;
    const name_id *map; /* author's field -> field of the event */
};

struct plan { /* a rule for the events of one source */
    const struct rule_entry *entry;
    const name_id *map;
    uint32_t source;            /* place in ruleset.sources */
    const uint32_t *program;    /* index.h */
    const struct leaf **leaves; /* of the program */
};

/* ---- the whole ---- */

struct placeholder {
    struct str name;
    struct str *values;
    size_t n, cap;
    struct placeholder *next;
};

struct regex {
    pcre2_code *code;
    struct regex *next;
};

struct ruleset {
    struct names *names; /* borrowed */
    struct arena *arena;
    struct arena *scratch; /* YAML of the file being added; handed over to `kept` when a rule needs it later */
    struct arena **kept;
    size_t n_kept, cap_kept;
    struct placeholder *placeholders;
    struct mapping *mappings, **mappings_end;
    struct regex *regexes;
    struct rule_entry **entries; /* in the order of loading */
    size_t n_entries, cap_entries, n_correlations_added;
    struct key_slot { /* id or name to rule: open addressing, cap_keys a power of two */
        struct str key;
        struct rule_entry *entry;
    } * keys;
    size_t n_keys, cap_keys;
    bool is_compiled;
    bool is_without_mapping;
    bool is_linting;
    name_id lint_known;               /* fields below this were known before any rule */
    name_id declared[3];              /* without mapping: product, category, service */
    const struct rule_entry **loaded; /* after compile: detections and correlations that stayed */
    size_t n_loaded;
    struct source **sources;
    size_t n_sources, cap_sources;
    struct plan *plans; /* by rule, in the order of loading */
    size_t n_plans, cap_plans;
    struct index *index;
    struct correlation **correlations; /* ascending by height */
    size_t n_correlations;
    int64_t horizon_ns;
    uint64_t digest; /* of what changes many rules at once: mappings, placeholders, filters */
};

/* Grows *items so that one more fits. 0 or -ENOMEM. */
int plan_grow(void *items, size_t *cap, size_t n, size_t size);

/* The diag's place in the file is the node's. Returns err. */
int plan_error(struct diag *diag, const struct yaml *at, const char *fmt, ...) PRINTF_LIKE(3, 4); /* -EINVAL */

/* The same, at the byte `offset` of the node's text. */
int plan_error_in(struct diag *diag, const struct yaml *at, size_t offset, const char *fmt, ...) PRINTF_LIKE(4, 5);

/* ---- detection.c ---- */

struct warnings { /* of one document */
    struct diags *diags;
    const char *file;
    size_t *n_errors; /* told so far */
};
void plan_warn(const struct warnings *w, const struct yaml *at, const char *fmt, ...) PRINTF_LIKE(3, 4);

/* So that every error of a document is told in one pass: where `err` is -EINVAL, writes down what diag says, empties it, and
 * returns 0 for "go on". Anything else is returned as it is. The document is left out in the end, whatever it became. */
int plan_note(const struct warnings *w, int err, struct diag *diag);

/* `detection` (or a filter's body): selections and condition. Keys in `skip` are no selections. Fills entry->expr and
 * entry->leaves. Sets *ret_keeps_yaml when nodes must outlive the call. */
int detection_parse(struct ruleset *rs, struct rule_entry *entry, const struct yaml *map, const char *skip,
                    const struct warnings *warnings, bool *ret_keeps_yaml, struct diag *diag);

/* Fills leaves that wait for placeholders. -EINVAL: some have no value, and `diags` names each of them. */
int detection_expand(struct ruleset *rs, struct rule_entry *entry, struct diags *diags);

/* ---- condition.c ---- */

/* Names of no selection are noted (plan_note), all of them; any other error ends it. */
int condition_parse(const struct yaml *node, const struct selection *selections, size_t n, struct arena *arena,
                    const struct warnings *warnings, const struct expr **ret, struct diag *diag);
const struct expr *expr_new(struct arena *arena, enum expr_kind kind, const struct expr **kids, size_t n);

/* ---- correlation_rule.c ---- */

int correlation_parse(struct ruleset *rs, struct rule_entry *entry, const struct yaml *doc,
                      const struct warnings *warnings, struct diag *diag);

/* A scalar or a list of 1 to max scalars, copied, each once. `what` names it in messages. */
int correlation_texts(struct arena *arena, const struct yaml *y, size_t max, struct str **ret, size_t *ret_n,
                      const char *what, struct diag *diag);

/* ---- correlation_condition.c ---- */

/* The condition (NULL: none is given) of a correlation whose type and rule names are known. A boolean condition may name the
 * rules where `rules` is not given. */
int correlation_condition(struct ruleset *rs, struct correlation *c, const struct yaml *map,
                          const struct warnings *warnings, struct diag *diag);

/* ---- correlation_link.c ---- */

/* Everything that follows from references between rules: resolves them, leaves out what cannot be, orders correlations, builds
 * the edges and the horizon. Returns the number of rules left out or -ENOMEM. */
int correlations_link(struct ruleset *rs, struct diags *diags);

/* ---- digest.c: which definitions are the same in two rule sets ---- */

uint64_t digest_bytes(uint64_t digest, struct str s);
uint64_t digest_yaml(uint64_t digest, const struct yaml *y); /* NULL is fine */

/* ---- rule_document.c ---- */

/* Fills the (zeroed) entry. warnings->file must live as long as the rule set. Sets *ret_keeps_yaml when nodes must.
 * -EINVAL: the document cannot be used; where diag->msg is empty all of its errors have been noted. */
int rule_document_parse(struct ruleset *rs, struct rule_entry *entry, const struct yaml *doc,
                        const struct warnings *warnings, bool *ret_keeps_yaml, struct diag *diag);

/* ---- ruleset.c ---- */

void ruleset_leave_out(struct rule_entry *entry, struct diags *diags, const struct diag *why);
struct rule_entry *ruleset_find_key(const struct ruleset *rs, struct str id_or_name); /* of any document, or NULL */
struct rule_entry *ruleset_entry(const struct ruleset *rs, struct str id_or_name);    /* not filters; not left out */
