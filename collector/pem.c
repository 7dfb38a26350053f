/* SPDX-License-Identifier: Apache-2.0
 * See pem.h. */
#include "collector/pem.h"

#include "common/file.h"

#include <errno.h>
#include <sodium.h>

#define PEM_MAX (64 * KIB)

int pem_read(const char *path, char **ret, struct diag *diag)
{
    struct buf text = BUF_INIT(PEM_MAX);
    const char *z;
    int r = file_read(path, &text);
    if (r == 0)
        r = buf_z(&text, &z);
    if (r == 0 && !(*ret = strdup(z)))
        r = -ENOMEM;
    if (text.data)
        sodium_memzero(text.data, text.len);
    buf_clear(&text);
    return r < 0 ? diag_set(diag, r, "cannot read %s: %s", path, strerror(-r)) : 0;
}

char *pem_free(char *pem)
{
    if (pem)
        sodium_memzero(pem, strlen(pem));
    free(pem);
    return NULL;
}

static int write_file(const char *path, const char *pem, unsigned mode, struct diag *diag)
{
    char *folder = strndup(path, (size_t)(strrchr(path, '/') - path)); /* configured paths are absolute */
    int r = folder ? file_mkdirs(folder, 0750) : -ENOMEM;
    if (r == 0)
        r = file_write_atomic(path, str_of(pem), mode);
    free(folder);
    return r < 0 ? diag_set(diag, r, "cannot write %s: %s", path, strerror(-r)) : 0;
}

int pem_write_pair(const char *cert_path, const char *cert_pem, const char *key_path, const char *key_pem,
                   struct diag *diag)
{
    int r = write_file(key_path, key_pem, 0600, diag); /* first: a certificate without its key helps nobody */
    return r < 0 ? r : write_file(cert_path, cert_pem, 0644, diag);
}
