/* SPDX-License-Identifier: Apache-2.0
 *
 * Text from logs and the database into jansson: it may hold bytes that are no UTF-8, which jansson would refuse only
 * when the whole document is written. They become U+FFFD here, so that one odd byte never costs an answer.
 */
#pragma once

#include "common/base.h"

#include <jansson.h>

json_t *to_json_text(struct str s);                    /* NULL: out of memory */
json_t *to_json_text_or_null(struct str s);            /* JSON null for {NULL, 0} */
json_t *to_json_time(int64_t ts_ns);                   /* RFC 3339, UTC, nine decimals */
json_t *to_json_time_or_null(int64_t ts_ns, bool has); /* JSON null unless has */
json_t *from_json(struct str s);                       /* any JSON value; NULL where it is none */
