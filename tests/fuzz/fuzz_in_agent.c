/* SPDX-License-Identifier: Apache-2.0
 *
 * Everything an agent or a stranger can say on the agents' port, with TLS cut away: this file stands in for peer.c, so the
 * bytes go straight into the frame state machine, ingest, enrolment and a real writer, archive and state.db (in a
 * temporary folder, made once). The first byte chooses who speaks and whether batches get a right checksum; the rest is
 * what is said.
 */
#include "collector/agents.h"
#include "collector/archive.h"
#include "collector/in_agent_impl.h"
#include "collector/store.h"
#include "collector/writer.h"
#include "common/file.h"
#include "common/log.h"
#include "common/time.h"

#include <errno.h>
#include <event2/event.h>
#include <ftw.h>
#include <stdio.h>
#include <zlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { BY_AGENT = 1, FIX_CHECKSUM = 2 };

static struct collector c;
static char dir[] = "/tmp/vonggac-fuzz-XXXXXX";
static const uint8_t agent_id[ID_LEN] = {1, 2, 3};
static bool is_agent;

/* ---- instead of peer.c ---- */

struct peer {
    const struct peer_ops *ops;
    void *ctx;
    bool is_closed;
    struct buf out;
};

int peer_new(struct event_base *loop, SSL_CTX *tls, int fd, const struct peer_ops *ops, void *ctx, struct peer **ret)
{
    (void)loop, (void)tls, (void)fd;
    struct peer *p = calloc(1, sizeof(*p));
    if (!p)
        return -ENOMEM;
    p->ops = ops;
    p->ctx = ctx;
    p->out = (struct buf)BUF_INIT(PEER_OUT_MAX);
    *ret = p;
    return 0;
}

struct peer *peer_free(struct peer *p)
{
    if (p)
        buf_clear(&p->out);
    free(p);
    return NULL;
}

int peer_identity(struct peer *p, uint8_t ret_agent[static ID_LEN], char ret_serial_hex[static CERT_SERIAL_HEX])
{
    (void)p;
    memcpy(ret_agent, agent_id, ID_LEN);
    snprintf(ret_serial_hex, CERT_SERIAL_HEX, "ab");
    return is_agent ? 0 : -ENOENT;
}

void peer_send(struct peer *p, const struct frame *f)
{
    struct frame again;
    size_t before = p->out.len;
    if (frame_encode(f, &p->out) == 0 && /* what we say must be right whatever we are told */
        frame_decode((struct str){(char *)p->out.data + before, p->out.len - before}, &again, NULL) < 0)
        abort();
}

void peer_bye(struct peer *p, enum bye_code code, const char *reason)
{
    struct frame f = {.type = FRAME_BYE, .bye = {.code = (uint16_t)code, .reason = str_of(reason)}};
    peer_send(p, &f);
    p->is_closed = true;
}

void peer_resume(struct peer *p)
{
    (void)p;
}

void peer_stop(struct peer *p)
{
    p->is_closed = true;
}

/* ---- the rest is real ---- */

static int remove_one(const char *path, const struct stat *st, int kind, struct FTW *at)
{
    (void)st, (void)kind, (void)at;
    return remove(path);
}

static void clean_up(void)
{
    in_agent_stop(&c);
    writer_stop(&c);
    archive_close(c.archive);
    event_base_free(c.loop);
    collector_clear(&c);
    nftw(dir, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

static void must(bool ok, const char *what)
{
    if (!ok) {
        fprintf(stderr, "fuzz_in_agent: %s\n", what);
        abort();
    }
}

static void write_file(const char *path, char *pem)
{
    must(file_write_atomic(path, str_of(pem), 0600) == 0, path);
    free(pem);
}

/* A known token that never ends, and one agent. */
static void fill_store(void)
{
    sqlite3 *db = NULL;
    struct diag diag;
    char id[ID_TEXT_LEN], sql[600];
    id_format(agent_id, id);
    must(store_open(c.config.db_path, STORE_DURABLE, &db, &diag) == 0, diag.msg);
    snprintf(
        sql, sizeof(sql),
        "INSERT INTO agents (id, host, enrolled_ns, serial, not_after_ns) VALUES ('%s', 'h', 1, 'ab', 2);"
        "INSERT INTO tokens (hash, created_ns, expires_ns, uses_left) VALUES"
        /* sha256 of 32 zero bytes */
        " (x'66687aadf862bd776c8fc18b8e9f8e20089714856ee233b3902a591d0d5f2925', 1, 9223372036854775807, 1000000000);"
        "PRAGMA synchronous = OFF",
        id);
    must(store_exec(db, sql, &diag) == 0, diag.msg);
    store_close(db);
}

static void start(void)
{
    char path[200], text[200], *ca = NULL, *ca_key = NULL, *cert = NULL, *key = NULL;
    const char *const names[] = {"localhost"};
    struct diags ds;
    struct diag diag;
    must(mkdtemp(dir) != NULL, "no temporary folder");
    log_init("fuzz", LOG_LEVEL_ERROR);
    diags_init(&ds, 10);
    snprintf(path, sizeof(path), "%s/c.yml", dir);
    snprintf(text, sizeof(text), "state_dir: %s\nlisten: {address: 127.0.0.1, port: 0}\n", dir);
    must(file_write_atomic(path, str_of(text), 0600) == 0 && collector_config_load(path, &c.config, &ds) == 0 &&
             collector_init(&c) == 0 && file_mkdirs(c.config.archive_dir, 0700) == 0,
         "configuration");
    diags_clear(&ds);
    snprintf(path, sizeof(path), "%s/pki", dir);
    must(file_mkdirs(path, 0700) == 0 && cert_make_authority("fuzz", &ca, &ca_key, &diag) == 0 &&
             cert_make_server(ca, ca_key, names, 1, 10, &cert, &key, &diag) == 0,
         "certificates");
    write_file(c.config.tls.authority, ca);
    write_file(c.config.tls.authority_key, ca_key);
    write_file(c.config.tls.certificate, cert);
    write_file(c.config.tls.key, key);
    fill_store();
    c.started_ns = time_now_ns();
    c.loop = event_base_new();
    must(archive_open(c.config.archive_dir, 64 * MIB, &c.archive, &diag) == 0, diag.msg);
    must(writer_start(&c) == 0 && in_agent_start(&c) == 0, "start");
    atexit(clean_up);
}

/* Makes a batch pass the checks that random bytes never pass, so that what lies behind them is reached too. */
static void fix_checksum(uint8_t *batch, size_t len)
{
    if (len < BATCH_HEADER_MIN)
        return;
    memcpy(batch, "VGB1", 4);
    memcpy(batch + 16, agent_id, ID_LEN);
    put_u32(batch + 4, (uint32_t)crc32(0, batch + 8, (uInt)(len - 8)));
}

static void speak(struct conn *conn, const uint8_t *data, size_t size, int how)
{
    struct peer *p = conn->peer;
    while (!p->is_closed) {
        ssize_t need = frame_need((struct str){(const char *)data, size});
        if (need == 0)
            return;
        if (need < 0) {
            peer_bye(p, BYE_PROTOCOL, "unknown or oversized frame");
            return;
        }
        if (p->ops->on_head(p, p->ctx, data[4], (size_t)need) < 0 || (size_t)need > size)
            return;
        uint8_t *frame = malloc((size_t)need);
        must(frame != NULL, "out of memory");
        memcpy(frame, data, (size_t)need);
        if (frame[4] == FRAME_BATCH && how & FIX_CHECKSUM)
            fix_checksum(frame + FRAME_HEADER, (size_t)need - FRAME_HEADER);
        p->ops->on_frame(p, p->ctx, frame, (size_t)need);
        data += need;
        size -= (size_t)need;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct sockaddr_in sa = {.sin_family = AF_INET};
    if (!c.loop)
        start();
    if (size == 0)
        return 0;
    is_agent = data[0] & BY_AGENT;
    memset(c.in_agent->enrol.addresses, 0, sizeof(c.in_agent->enrol.addresses));
    must(conn_new(c.in_agent, -1, (struct sockaddr *)&sa, sizeof(sa)) == 0, "out of memory");
    struct conn *conn = conn_find(c.in_agent, c.in_agent->last_id);
    size_t memory = c.in_agent->memory_left;
    conn->peer->ops->on_open(conn->peer, conn);
    speak(conn, data + 1, size - 1, data[0]);
    conn_free(conn);
    event_base_loop(c.loop, EVLOOP_NONBLOCK);
    must(c.in_agent->n_conns == 0 && c.in_agent->n_strangers == 0 && c.in_agent->memory_left == memory,
         "something leaks");
    return 0;
}
