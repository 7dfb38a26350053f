/* SPDX-License-Identifier: Apache-2.0
 *
 * One pattern of a decoder: a PCRE2 regex in which `%{ecs.field:type}` stands for a piece of the line that becomes a
 * field. Anchored at both ends. Inside rules/ only; decoder.h is the door.
 */
#pragma once

#define PCRE2_CODE_UNIT_WIDTH 8

#include "common/diag.h"
#include "common/event.h"

#include <pcre2.h>

#define PATTERN_TEXT_MAX     2048
#define PATTERN_CAPTURES_MAX 32

enum capture_type {
    CAPTURE_TEXT,  /* word, token, name, path, quoted, text, rest: as it is; left out when empty */
    CAPTURE_USER,  /* like text, but kept when empty */
    CAPTURE_IP,    /* must be an address; P.ip gets it clean, P.address as written */
    CAPTURE_HOST,  /* name or address; P.address gets it, and P.ip when it is an address */
    CAPTURE_PORT,  /* 0 to 65535 */
    CAPTURE_INT,   /* signed 64 bits */
    CAPTURE_LOWER, /* text in lower case */
    CAPTURE_MAC,   /* Ethernet address, written as ECS has it: 00-00-5E-00-53-23 */
    CAPTURE_FLAG,  /* kv only: the key itself is the value */
    CAPTURE_MACS,  /* kv only: netfilter's MAC=, destination and source in one */
    CAPTURE_KV,    /* the rest, read as key=value pairs by the decoder's kv map */
};

struct capture {
    name_id key, twin; /* twin: P.address of P.ip and the other way round; F_NONE without one */
    uint8_t type;      /* enum capture_type */
    uint8_t group;     /* of the regex; `%{a,b:type}` gives one group to two fields */
};

struct pattern {
    pcre2_code *re; /* owned */
    bool has_jit;
    struct str prefix; /* what every match begins with */
    struct capture *captures;
    size_t n_captures;
    struct field *consts; /* of the decoder and the pattern, merged */
    size_t n_consts;
    const char *text; /* as written */
    int line;
};

/* Compiles text; slices and captures live in arena. 0, -EINVAL with the reason in diag, -ENOSPC, -ENOMEM. */
int pattern_compile(struct pattern *p, struct str text, struct names *names, struct arena *arena, struct diag *diag);
void pattern_clear(struct pattern *p);

/* Reads "ecs.field:type" as kv maps write it. 0, -EINVAL, -ENOSPC, -ENOMEM. */
int capture_parse(struct str spec, struct names *names, struct capture *ret, struct diag *diag);

/* Adds the field or fields for `text`. 0, -EINVAL (not what the type says: the pattern does not match), -ENOMEM. */
int capture_add(const struct capture *c, struct str text, struct event *ev);
