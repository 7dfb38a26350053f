/* SPDX-License-Identifier: Apache-2.0
 *
 * What is odd about a regular expression.
 */
#pragma once

#include "rules/needle.h"

/* One sentence, or NULL where nothing is odd. `code` is `text`, compiled. */
const char *regex_oddity(struct str text, const pcre2_code *code);
