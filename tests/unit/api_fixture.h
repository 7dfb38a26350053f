/* SPDX-License-Identifier: Apache-2.0
 *
 * A real API on a temporary Unix socket, its state in a temporary folder, and a client for it (libcurl). The detector is
 * played by the test, which writes alerts into the database.
 */
#pragma once

#include "collector/api.h"
#include "collector/archive.h"
#include "collector/collector.h"
#include "collector/content.h"
#include "collector/sql.h"
#include "collector/users.h"
#include "common/file.h"
#include "common/log.h"
#include "common/time.h"

#include "tests/unit/test.h"

#include <curl/curl.h>
#include <jansson.h>
#include <sodium.h>

#define PASSWORD "Mat-khau-dung-14"
#define T0       (INT64_C(1795450000) * NS_PER_S)

struct fixture {
    char dir[64];
    struct collector c;
    sqlite3 *db; /* the test's own connection */
};

struct client {
    const struct fixture *f;
    char cookie[128], csrf[64];
    const char *address; /* X-Real-IP */
    const char *extra;   /* one more header, or NULL */
};

struct answer {
    long status;
    json_t *body; /* NULL: none */
    char headers[4096];
    char cookie[128];
    double seconds;
};

/* --- the server --- */

static inline int write_config(struct fixture *f, char *path, size_t size)
{
    const char *source = getenv("VONGGAC_SOURCE");
    char text[4096];
    snprintf(path, size, "%s/collector.yml", f->dir);
    snprintf(text, sizeof(text),
             "state_dir: %s/state\nrules: [%s/rules/mappings]\nmappings: [%s/rules/mappings]\ndecoders: "
             "[%s/rules/decoders]\n"
             "api: {socket: %s/api.sock}\nsoc: {name: Test SOC}\n",
             f->dir, source ? source : ".", source ? source : ".", source ? source : ".", f->dir);
    return file_write_atomic(path, str_of(text), 0600);
}

static inline int fixture_open(void **state)
{
    static struct fixture fixture;
    struct fixture *f = &fixture;
    char path[128];
    struct diag diag = {0};
    *f = (struct fixture){.dir = "/tmp/vonggac-api-XXXXXX"};
    log_init("test_api", LOG_LEVEL_ERROR);
    signal(SIGPIPE, SIG_IGN); /* as the collector does */
    if (sodium_init() < 0 || !mkdtemp(f->dir) || write_config(f, path, sizeof(path)) < 0 ||
        collector_config_load(path, &f->c.config, NULL) < 0 || collector_init(&f->c) < 0 ||
        file_mkdirs(f->c.config.archive_dir, 0700) < 0 || content_load(&f->c.config, &f->c.content, &diag) < 0) {
        fprintf(stderr, "fixture: %s\n", diag.msg);
        return -1;
    }
    f->c.started_ns = time_now_ns();
    if (store_open(f->c.config.db_path, STORE_DERIVED, &f->db, &diag) < 0 || api_start(&f->c) < 0)
        return -1;
    *state = f;
    return 0;
}

static inline int fixture_close(void **state)
{
    struct fixture *f = *state;
    api_stop(&f->c);
    store_close(f->db);
    collector_clear(&f->c);
    nftw(f->dir, tmp_dir_remove_, 16, FTW_DEPTH | FTW_PHYS);
    return 0;
}

static inline int64_t number(struct fixture *f, const char *sql)
{
    int64_t n = -1;
    assert_int_equal(sql_int(f->db, &n, NULL, sql, ""), 0);
    return n;
}

static inline void add_user(struct fixture *f, const char *name, bool must_change)
{
    static char hash[PASSWORD_HASH_MAX]; /* made once: it takes a while */
    struct user u = {.must_change = must_change};
    if (!hash[0])
        assert_int_equal(password_hash(STR(PASSWORD), hash), 0);
    snprintf(u.name, sizeof(u.name), "%s", name);
    snprintf(u.display_name, sizeof(u.display_name), "Chị %s", name);
    memcpy(u.password, hash, sizeof(hash));
    assert_int_equal(user_add(f->db, &u, STR("cli:0"), NULL), 0);
}

struct seed {
    const char *id, *rule, *title, *title_vi, *host, *user, *source, *event;
    int level;
    bool is_demo;
    int64_t last_ns;
};

static inline void add_alert(struct fixture *f, const struct seed *s)
{
    struct diag diag = {0};
    int64_t change = 0;
    assert_int_equal(store_begin(f->db, &diag), 0);
    assert_int_equal(store_next_change(f->db, &change, &diag), 0);
    int r =
        sql_run(f->db, &diag,
                "INSERT INTO alerts (id, change, rule_id, rule_title, rule_title_vi, rule_json, kind, level, is_demo, "
                "agent, host,"
                " user, source_ip, event_json, matched_json, count, first_ns, last_ns, created_ns, updated_ns)"
                " VALUES (?, ?, ?, ?, ?, ?, 'detection', ?, ?, '00000000-0000-4000-8000-000000000000', ?, ?, ?, ?, ?, "
                "3, ?, ?, ?, ?)",
                "sisssSiisssssiiii", s->id, change, s->rule ? s->rule : "rule-1",
                s->title ? s->title : "Failed sign-in", s->title_vi,
                STR("{\"author\":\"Tác giả\",\"tags\":[\"attack.t1110\",\"tcvn14423.5-6-2-3\"],\"file\":\"a.yml\"}"),
                (int64_t)s->level, (int64_t)s->is_demo, s->host ? s->host : "web01", s->user, s->source,
                s->event ? s->event : "{\"message\":\"nothing\",\"event.original\":\"raw line\"}",
                "[{\"field\":\"message\",\"name\":\"Message\",\"value\":\"nothing\",\"pattern\":\"noth*\","
                "\"selection\":\"sel\"}]",
                s->last_ns - 60 * NS_PER_S, s->last_ns, s->last_ns, s->last_ns);
    if (r < 0)
        fail_msg("%s", diag.msg);
    assert_int_equal(store_commit(f->db, &diag), 0);
    notify_raise(&f->c.alerts_changed);
}

static inline void add_alerts(struct fixture *f, int n, int64_t from_ns)
{
    static char ids[4096][16];
    assert_int_equal(store_exec(f->db, "PRAGMA synchronous = OFF", NULL), 0);
    for (int i = 0; i < n; i++) {
        snprintf(ids[i], sizeof(ids[i]), "alert-%05d", i);
        add_alert(f, &(struct seed){.id = ids[i], .level = i % 5, .last_ns = from_ns + i * NS_PER_S});
    }
}

/* --- the client --- */

static inline size_t on_body(char *p, size_t size, size_t n, void *ctx)
{
    return buf_append(ctx, p, size * n) == 0 ? size * n : 0;
}

static inline size_t on_header(char *p, size_t size, size_t n, void *ctx)
{
    struct answer *a = ctx;
    struct str line = {p, size * n}, name = STR("Set-Cookie: ");
    size_t used = strlen(a->headers);
    snprintf(a->headers + used, sizeof(a->headers) - used, "%.*s", (int)line.len, line.p);
    if (str_starts(line, name))
        snprintf(a->cookie, sizeof(a->cookie), "%.*s", (int)strcspn(p + name.len, ";\r\n"), p + name.len);
    return size * n;
}

static inline struct curl_slist *headers_of(const struct client *cl, bool has_body)
{
    char text[256];
    struct curl_slist *list = curl_slist_append(NULL, "Expect:");
    snprintf(text, sizeof(text), "Cookie: %s", cl->cookie);
    if (cl->cookie[0])
        list = curl_slist_append(list, text);
    snprintf(text, sizeof(text), "X-CSRF-Token: %s", cl->csrf);
    if (cl->csrf[0])
        list = curl_slist_append(list, text);
    snprintf(text, sizeof(text), "X-Real-IP: %s", cl->address ? cl->address : "192.0.2.1");
    list = curl_slist_append(list, text);
    if (has_body)
        list = curl_slist_append(list, "Content-Type: application/json");
    if (cl->extra)
        list = curl_slist_append(list, cl->extra);
    return list;
}

/* body NULL: GET. Path with its query. Thread-safe but for the asserts. */
static inline struct answer ask(const struct client *cl, const char *path, const char *body)
{
    struct answer a = {0};
    char url[2048];
    struct buf text = BUF_INIT(16 * MIB);
    CURL *c = curl_easy_init();
    struct curl_slist *headers = headers_of(cl, body != NULL);
    snprintf(url, sizeof(url), "http://console.example%s", path);
    curl_easy_setopt(c, CURLOPT_UNIX_SOCKET_PATH, cl->f->c.config.api.socket);
    curl_easy_setopt(c, CURLOPT_URL, url);
    curl_easy_setopt(c, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(c, CURLOPT_TIMEOUT, 60L);
    curl_easy_setopt(c, CURLOPT_PROXY, "");
    curl_easy_setopt(c, CURLOPT_PATH_AS_IS, 1L);
    curl_easy_setopt(c, CURLOPT_HTTPHEADER, headers);
    curl_easy_setopt(c, CURLOPT_WRITEFUNCTION, on_body);
    curl_easy_setopt(c, CURLOPT_WRITEDATA, &text);
    curl_easy_setopt(c, CURLOPT_HEADERFUNCTION, on_header);
    curl_easy_setopt(c, CURLOPT_HEADERDATA, &a);
    if (body) {
        curl_easy_setopt(c, CURLOPT_POST, 1L);
        curl_easy_setopt(c, CURLOPT_POSTFIELDS, body);
    }
    CURLcode code = curl_easy_perform(c);
    curl_easy_getinfo(c, CURLINFO_RESPONSE_CODE, &a.status);
    curl_easy_getinfo(c, CURLINFO_TOTAL_TIME, &a.seconds);
    if (code != CURLE_OK)
        a.status = -(long)code;
    a.body = text.len ? json_loadb((const char *)text.data, text.len, 0, NULL) : NULL;
    buf_clear(&text);
    curl_slist_free_all(headers);
    curl_easy_cleanup(c);
    return a;
}

static inline void done(struct answer *a)
{
    json_decref(a->body);
    *a = (struct answer){0};
}

static inline const char *text_at(const json_t *o, const char *a, const char *b)
{
    const json_t *v = json_object_get(o, a);
    const char *z = json_string_value(b ? json_object_get(v, b) : v);
    return z ? z : "";
}

static inline int64_t int_at(const json_t *o, const char *a, const char *b)
{
    const json_t *v = json_object_get(o, a);
    return json_integer_value(b ? json_object_get(v, b) : v);
}

/* Asks, checks the status and the error's code, forgets the answer. */
static inline void expect(const struct client *cl, const char *path, const char *body, long status, const char *code)
{
    struct answer a = ask(cl, path, body);
    if (a.status != status || (code && strcmp(text_at(json_object_get(a.body, "error"), "code", NULL), code) != 0)) {
        char *shown = a.body ? json_dumps(a.body, 0) : NULL;
        fail_msg("%s: %ld %s, wanted %ld %s", path, a.status, shown ? shown : "", status, code ? code : "");
    }
    done(&a);
}

static inline struct answer try_login(struct client *cl, const char *name, const char *password)
{
    char body[2048];
    snprintf(body, sizeof(body), "{\"user\":\"%s\",\"password\":\"%s\"}", name, password);
    struct client anonymous = {.f = cl->f, .address = cl->address};
    return ask(&anonymous, "/api/login", body);
}

static inline void take_session(struct client *cl, struct answer *a)
{
    assert_int_equal(a->status, 200);
    snprintf(cl->cookie, sizeof(cl->cookie), "%s", a->cookie);
    snprintf(cl->csrf, sizeof(cl->csrf), "%s", text_at(a->body, "csrf", NULL));
    done(a);
}

static inline struct client login(struct fixture *f, const char *name)
{
    struct client cl = {.f = f};
    struct answer a = try_login(&cl, name, PASSWORD);
    take_session(&cl, &a);
    return cl;
}
