/* SPDX-License-Identifier: Apache-2.0
 *
 * Certificates and keys as files: read whole, written so that a key is never readable by others, forgotten properly.
 */
#pragma once

#include "common/diag.h"

/* Reads a PEM file of at most 64 KiB as NUL-terminated text. 0 or negative errno; the reason names the file. */
int pem_read(const char *path, char **ret, struct diag *diag);
char *pem_free(char *pem); /* overwrites it first: it may be a key. NULL is fine; always returns NULL */

/* Writes key (0600) and then certificate (0644), each atomically, making folders (0750) where they are missing. */
int pem_write_pair(const char *cert_path, const char *cert_pem, const char *key_path, const char *key_pem,
                   struct diag *diag);
