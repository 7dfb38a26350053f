/* SPDX-License-Identifier: Apache-2.0
 *
 * What a text must hold so that a regular expression can match it at all: looking for that is far cheaper than trying.
 */
#pragma once

#include "common/base.h"

#define REGEX_LITERAL_MAX 64

/* The longest run of ASCII characters that every match contains (in any case, if the expression is caseless), unescaped.
 * Returns its length, at most REGEX_LITERAL_MAX; 0 where none is certain: what is not understood counts as optional. */
size_t regex_literal(struct str pattern, char ret[static REGEX_LITERAL_MAX]);
