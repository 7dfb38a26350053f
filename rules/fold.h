/* SPDX-License-Identifier: Apache-2.0
 *
 * Simple case folding of UTF-8 (Unicode 14, CaseFolding.txt statuses C and S): what "case-insensitive" means for Sigma
 * strings, for Vietnamese, Greek and Cyrillic as for ASCII. Bytes that are not UTF-8 stay as they are, so any log line
 * can be folded. No normalisation: a precomposed letter and its decomposed form stay different. Thread-safe.
 */
#pragma once

#include "common/base.h"

/* A folded string can be longer than the original (a two-byte letter may fold to a three-byte one). */
#define FOLD_MAX(len) ((len) + (len) / 2)

/* Writes the folded form to out, which has room for FOLD_MAX(s.len) bytes; returns its length. */
size_t fold(struct str s, char *out);

/* The code point at the start of s (s.len > 0). Returns its length in bytes; for a byte that starts no valid sequence 1,
 * with *ret_cp UINT32_MAX. */
size_t utf8_next(struct str s, uint32_t *ret_cp);
size_t utf8_put(uint32_t cp, char out[static 4]);
