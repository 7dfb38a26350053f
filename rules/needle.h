/* SPDX-License-Identifier: Apache-2.0
 *
 * One value of a rule, ready to be compared with one value of an event. Sigma strings (wildcards, escapes, the
 * transforming modifiers) become a list of tokens, and that list becomes the cheapest comparison that does the job:
 * equal, prefix, suffix, contains, or a general wildcard match without backtracking between stars.
 *
 * Strings are compared on folded text (fold.h), made once per event value. Patterns live in the rule set's arena and are
 * immutable; values belong to one matcher. index.h says how all the needles of a rule set are looked for at once.
 */
#pragma once

#include "common/arena.h"
#include "common/diag.h"
#include "common/event.h"
#include "rules/date_part.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

/* ---- Sigma strings as tokens ---- */

enum token_kind {
    TOKEN_TEXT,
    TOKEN_ANY,  /* '*': any run of bytes */
    TOKEN_ONE,  /* '?': one character */
    TOKEN_DASH, /* one of - / U+2013 U+2014 U+2015 (windash) */
};

struct token {
    enum token_kind kind;
    struct str text;
};

struct sigma_string {
    struct token *tokens;
    size_t n;
};

/* All return 0 or -ENOMEM unless told otherwise; results live in the arena. */
int sigma_string_parse(struct str text, struct arena *arena, struct sigma_string *ret); /* wildcards and escapes */
int sigma_string_plain(struct str text, struct arena *arena, struct sigma_string *ret); /* no wildcards at all */
int sigma_string_surround(struct sigma_string *s, bool before, bool after, struct arena *arena); /* adds '*' */
int sigma_string_windash(struct sigma_string *s, struct arena *arena);

/* The string with its first TOKEN_DASH replaced by the i-th of WINDASH_FORMS dashes: 0, -ENOENT when it has none, -ENOMEM. */
#define WINDASH_FORMS 5
int sigma_string_with_dash(const struct sigma_string *s, size_t i, struct arena *arena, struct sigma_string *ret);

enum utf16_form { UTF16_LE, UTF16_BE, UTF16_BOM };
int sigma_string_utf16(struct sigma_string *s, enum utf16_form form, struct arena *arena); /* -EINVAL: not UTF-8 */

/* -EINVAL where the string has wildcards. base64offset: the part that is the same whatever stands around it, when the
 * string starts at that offset (0 to 2) of a group of three; -ERANGE when nothing of it is. */
int sigma_string_base64(struct sigma_string *s, struct arena *arena);
int sigma_string_base64offset(const struct sigma_string *s, unsigned offset, struct arena *arena,
                              struct sigma_string *ret);

/* ---- needles ---- */

enum needle_op {
    NEEDLE_NULL, /* field absent or null; never given to needle_match */
    NEEDLE_EXISTS,
    NEEDLE_MISSING,
    NEEDLE_FIELD, /* compare with another field of the event: likewise */
    NEEDLE_ANY,   /* '*' */
    NEEDLE_EQUAL,
    NEEDLE_PREFIX,
    NEEDLE_SUFFIX,
    NEEDLE_CONTAINS,
    NEEDLE_WILD,
    NEEDLE_REGEX,
    NEEDLE_CIDR,
    NEEDLE_LT,
    NEEDLE_LTE,
    NEEDLE_GT,
    NEEDLE_GTE,
    NEEDLE_PART, /* a part of a date is this number */
};

struct cidr {
    uint8_t addr[16], bits; /* IPv4 as ::ffff:a.b.c.d; bits of the 128 */
    bool is_v4;             /* a network of IPv6 has no address that is written as IPv4 */
};

struct needle {
    enum needle_op op;
    bool is_cased;
    uint8_t part;     /* enum date_part, with LT to GTE and PART: of the field's date */
    struct str text;  /* needle: folded unless cased */
    struct str shown; /* as a person would write it */
    union {
        struct sigma_string wild;
        pcre2_code *regex; /* owned by the rule set */
        struct cidr cidr;
        double number;               /* of LT to GTE and PART */
        struct {                     /* NEEDLE_FIELD */
            uint16_t other;          /* index of the other field's name */
            enum needle_op relation; /* EQUAL, PREFIX, SUFFIX or CONTAINS */
        };
    };
};

int needle_of_string(const struct sigma_string *s, bool is_cased, struct arena *arena, struct needle *ret);
int cidr_parse(struct str s, struct cidr *ret); /* "10.0.0.0/8", "2001:db8::/32", or an address. 0 or -EINVAL */

bool cidr_has_v4(const struct cidr *c); /* whether addresses ::ffff:a.b.c.d lie in it */

#define REGEX_I     1u
#define REGEX_M     2u
#define REGEX_S     4u
#define REGEX_START 8u  /* must match at the value's start */
#define REGEX_END   16u /* must match up to the value's end */
/* -EINVAL with PCRE2's reason and its offset (diag->col - 1), -ENOMEM. *ret is freed by the caller with pcre2_code_free. */
int regex_compile(struct str text, unsigned flags, pcre2_code **ret, struct diag *diag);

/* ---- values of an event ---- */

struct value {
    struct str text;
    enum value_type type;
    const struct field *field; /* NULL for event.original */
    bool is_folded;
    struct str folded; /* framed (grams.h) */
    char scratch[32];
};

struct match_env {       /* what matching needs, one a matcher */
    struct arena *arena; /* reset by the owner for each event */
    char *folded;        /* where folded text goes first: of match_env_begin's event */
    size_t n_folded;
    pcre2_match_data *data;
    pcre2_match_context *context;
    pcre2_jit_stack *stack;
    uint64_t regex_gave_up; /* matches that hit PCRE2's limits, taken as "no" */
    bool is_out_of_memory;
};

int match_env_init(struct match_env *env, struct arena *arena);
void match_env_begin(struct match_env *env); /* the next event: values of the one before are gone */
void match_env_clear(struct match_env *env);

void value_of_field(const struct field *f, struct value *ret);
void value_of_text(struct str text, struct value *ret);

/* Makes v->folded. When memory runs out it is empty, and env says so. */
void value_fold(struct value *v, struct match_env *env);

int address_parse(struct str s, uint8_t ret[static 16], bool *ret_is_v4); /* IPv4 as ::ffff:a.b.c.d. 0 or -EINVAL */

bool needle_match(const struct needle *p, struct value *v, struct match_env *env);
/* For NEEDLE_FIELD: v is the field's value, other that of the field it is compared with. */
bool value_relates(const struct needle *p, struct value *v, struct value *other, struct match_env *env);
