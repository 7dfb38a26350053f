/* SPDX-License-Identifier: Apache-2.0
 *
 * Field names as small integers. A table starts with every name of ecs.def at a fixed id, so code can say
 * F_SOURCE_IP; rules and decoders add theirs while they load. After loading the table is only read: then any number
 * of threads may share it. At most NAMES_MAX names; further ones are refused with -ENOSPC.
 */
#pragma once

#include "common/base.h"

#define NAMES_MAX 32768

enum ecs_field {
    F_NONE = 0,
#define ECS(id, name) F_##id,
#include "common/ecs.def"
#undef ECS
    F_ECS_COUNT
};

typedef uint16_t name_id;

struct names;

struct names *names_new(void);             /* NULL: out of memory */
struct names *names_free(struct names *n); /* NULL is fine; always returns NULL */
int names_intern(struct names *n, struct str name,
                 name_id *ret);                             /* 0, -ENOMEM, -ENOSPC, -EINVAL (empty, > 256 bytes) */
name_id names_find(const struct names *n, struct str name); /* F_NONE where unknown */
name_id names_next(const struct names *n); /* the id that the next new name gets: those below are taken */
struct str names_text(const struct names *n, name_id id); /* borrows, NUL-terminated; lives as long as n */
