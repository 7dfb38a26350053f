/* SPDX-License-Identifier: Apache-2.0
 * See agents.h. */
#include "collector/agents.h"

#include "collector/store.h"
#include "common/time.h"

#include <errno.h>
#include <sodium.h>
#include <stdio.h>

static void hash_secret(struct str secret, uint8_t ret[static crypto_hash_sha256_BYTES])
{
    crypto_hash_sha256(ret, (const unsigned char *)secret.p, secret.len);
}

int agents_token_new(sqlite3 *db, int64_t ttl_ns, int64_t uses, struct str note, struct str by,
                     uint8_t ret_secret[static FRAME_TOKEN_LEN], struct diag *diag)
{
    const char *const sql[] = {
        "INSERT INTO tokens (hash, created_ns, expires_ns, uses_left, note) VALUES (?, ?, ?, ?, ?)"};
    if (note.len > AGENTS_NOTE_MAX)
        return diag_set(diag, -EINVAL, "the note is longer than %d bytes", AGENTS_NOTE_MAX);
    randombytes_buf(ret_secret, FRAME_TOKEN_LEN);
    uint8_t hash[crypto_hash_sha256_BYTES];
    hash_secret((struct str){(const char *)ret_secret, FRAME_TOKEN_LEN}, hash);
    int64_t now_ns = time_now_ns();

    sqlite3_stmt *s = NULL;
    int r = store_begin(db, diag);
    if (r < 0)
        return r;
    r = store_prepare(db, sql, 1, &s, diag);
    if (r == 0) {
        store_bind_blob(s, 1, hash, sizeof(hash));
        store_bind_int(s, 2, now_ns);
        store_bind_int(s, 3, now_ns + ttl_ns);
        store_bind_int(s, 4, uses);
        store_bind_str(s, 5, note.p ? note : STR(""));
        r = store_run(s, diag);
        sqlite3_finalize(s);
    }
    char id[17], detail[96];
    sodium_bin2hex(id, sizeof(id), hash, 8); /* names the token without telling anything of it */
    snprintf(detail, sizeof(detail), "{\"ttl_s\": %lld, \"uses\": %lld}", (long long)(ttl_ns / NS_PER_S),
             (long long)uses);
    if (r == 0)
        r = store_audit(db, by, "agent.token", str_of(id), detail, diag);
    if (r == 0)
        return store_commit(db, diag);
    store_rollback(db);
    return r;
}

int agents_token_check(sqlite3 *db, struct str secret, int64_t now_ns, struct diag *diag)
{
    const char *const sql[] = {"SELECT 1 FROM tokens WHERE hash = ? AND uses_left > 0 AND expires_ns > ?"};
    uint8_t hash[crypto_hash_sha256_BYTES];
    hash_secret(secret, hash);
    sqlite3_stmt *s = NULL;
    int r = store_prepare(db, sql, 1, &s, diag);
    if (r < 0)
        return r;
    store_bind_blob(s, 1, hash, sizeof(hash));
    store_bind_int(s, 2, now_ns);
    r = store_row(s, diag);
    sqlite3_finalize(s);
    return r == 1 ? 0 : r == 0 ? -EACCES : r;
}

static int use_token(sqlite3 *db, struct str secret, int64_t now_ns, struct diag *diag)
{
    const char *const sql[] = {
        "UPDATE tokens SET uses_left = uses_left - 1 WHERE hash = ? AND uses_left > 0 AND expires_ns > ?"};
    uint8_t hash[crypto_hash_sha256_BYTES];
    hash_secret(secret, hash);
    sqlite3_stmt *s = NULL;
    int r = store_prepare(db, sql, 1, &s, diag);
    if (r < 0)
        return r;
    store_bind_blob(s, 1, hash, sizeof(hash));
    store_bind_int(s, 2, now_ns);
    r = store_run(s, diag);
    sqlite3_finalize(s);
    if (r == 0 && sqlite3_changes(db) != 1)
        r = diag_set(diag, -EACCES, "token unknown, used up or expired");
    return r;
}

static int insert_agent(sqlite3 *db, const char *id, struct str host, const struct agent_certificate *cert,
                        int64_t now_ns, struct diag *diag)
{
    const char *const sql[] = {
        "INSERT INTO agents (id, host, enrolled_ns, serial, not_after_ns) VALUES (?, ?, ?, ?, ?)"};
    sqlite3_stmt *s = NULL;
    int r = store_prepare(db, sql, 1, &s, diag);
    if (r < 0)
        return r;
    store_bind_z(s, 1, id);
    store_bind_str(s, 2, host.p ? host : STR(""));
    store_bind_int(s, 3, now_ns);
    store_bind_z(s, 4, cert->serial_hex);
    store_bind_int(s, 5, cert->not_after_ns);
    r = store_run(s, diag);
    sqlite3_finalize(s);
    return r;
}

int agents_enrol(sqlite3 *db, struct str secret, const uint8_t id[static ID_LEN], struct str host,
                 const struct agent_certificate *cert, int64_t now_ns, struct diag *diag)
{
    char id_text[ID_TEXT_LEN];
    id_format(id, id_text);
    struct buf detail = BUF_INIT(4 * KIB);
    const char *detail_z = NULL;
    int r = buf_append_z(&detail, "{\"host\": ");
    if (r == 0)
        r = buf_append_json(&detail, host);
    if (r == 0)
        r = buf_append_z(&detail, "}");
    if (r == 0)
        r = buf_z(&detail, &detail_z);
    if (r == 0)
        r = store_begin(db, diag);
    if (r == 0)
        r = use_token(db, secret, now_ns, diag);
    if (r == 0)
        r = insert_agent(db, id_text, host, cert, now_ns, diag);
    if (r == 0)
        r = store_audit(db, STR("system"), "agent.enrol", str_of(id_text), detail_z, diag);
    if (r == 0)
        r = store_commit(db, diag);
    if (r < 0)
        store_rollback(db);
    buf_clear(&detail);
    return r;
}

int agents_lookup(sqlite3 *db, const uint8_t id[static ID_LEN], struct diag *diag)
{
    const char *const sql[] = {"SELECT revoked_ns IS NOT NULL FROM agents WHERE id = ?"};
    char id_text[ID_TEXT_LEN];
    id_format(id, id_text);
    sqlite3_stmt *s = NULL;
    int r = store_prepare(db, sql, 1, &s, diag);
    if (r < 0)
        return r;
    store_bind_z(s, 1, id_text);
    r = store_row(s, diag);
    if (r == 1)
        r = store_col_int(s, 0) ? diag_set(diag, -EKEYREVOKED, "agent %s is revoked", id_text) : 0;
    else if (r == 0)
        r = diag_set(diag, -ENOENT, "agent %s is not known here", id_text);
    sqlite3_finalize(s);
    return r;
}

int agents_renew(sqlite3 *db, const uint8_t id[static ID_LEN], const struct agent_certificate *cert, struct diag *diag)
{
    const char *const sql[] = {"UPDATE agents SET serial = ?, not_after_ns = ? WHERE id = ? AND revoked_ns IS NULL"};
    char id_text[ID_TEXT_LEN];
    id_format(id, id_text);
    sqlite3_stmt *s = NULL;
    int r = store_prepare(db, sql, 1, &s, diag);
    if (r < 0)
        return r;
    store_bind_z(s, 1, cert->serial_hex);
    store_bind_int(s, 2, cert->not_after_ns);
    store_bind_z(s, 3, id_text);
    r = store_run(s, diag);
    sqlite3_finalize(s);
    if (r == 0 && sqlite3_changes(db) != 1) {
        r = agents_lookup(db, id, diag);
        return r == 0 ? -EIO : r;
    }
    return r;
}

int agents_revoke(sqlite3 *db, const uint8_t id[static ID_LEN], struct str by, int64_t now_ns, struct diag *diag)
{
    const char *const sql[] = {"UPDATE agents SET revoked_ns = ? WHERE id = ? AND revoked_ns IS NULL"};
    char id_text[ID_TEXT_LEN];
    id_format(id, id_text);
    sqlite3_stmt *s = NULL;
    int r = store_begin(db, diag);
    if (r < 0)
        return r;
    r = agents_lookup(db, id, diag);
    if (r == -EKEYREVOKED)
        r = -EALREADY;
    if (r == 0)
        r = store_prepare(db, sql, 1, &s, diag);
    if (r == 0) {
        store_bind_int(s, 1, now_ns);
        store_bind_z(s, 2, id_text);
        r = store_run(s, diag);
        sqlite3_finalize(s);
    }
    if (r == 0)
        r = store_audit(db, by, "agent.revoke", str_of(id_text), NULL, diag);
    if (r == 0)
        return store_commit(db, diag);
    store_rollback(db);
    return r;
}
