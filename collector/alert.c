/* SPDX-License-Identifier: Apache-2.0
 *
 * See alert.h. A correlation in full flood triggers at every event, and all those triggers are one alert: so matches are
 * kept by id, a later one replaces what an earlier one noted, and the event itself is only put into text once, when
 * the batch is done (settle).
 */
#include "collector/alert.h"

#include "collector/store.h"
#include "common/time.h"

#include <errno.h>
#include <sodium.h>

#define ENTRIES_MIN      256 /* a power of two, as every size they grow to */
#define JSON_MAX         (4 * MIB)
#define RULE_CACHE       64
#define COLUMN_TEXT      256 /* host, user, addresses: longer text is cut in the list, never in the event */
#define SOURCE_SCRATCH   32
#define GROUP_FIELDS_MAX 8

enum column { HOST, USER, SOURCE_IP, DESTINATION_IP, N_COLUMNS };

struct pending {
    char id[ALERT_ID_LEN];
    char agent[ID_TEXT_LEN];
    const struct rule *rule;
    bool is_demo, is_settled;
    bool has_event;     /* a correlation decided later has none at hand: the row keeps the one it had */
    struct event event; /* borrowed until settled */
    struct str batch_host;
    uint64_t count;
    int64_t first_ns, last_ns;
    struct buf matched_json, group_json, event_json, columns[N_COLUMNS];
    struct event_ref refs[MATCH_REFS_MAX];
    size_t n_refs;
};

struct rule_text {
    const struct rule *rule;
    struct buf json;
};

enum { UPSERT, CLEAR_EVENTS, ADD_EVENT, N_SQL };
static const char *const sql[N_SQL] = {
    [UPSERT] =
        "INSERT INTO alerts (id, change, rule_id, rule_title, rule_title_vi, rule_json, kind, level, is_demo, agent,"
        " host, user, source_ip, destination_ip, group_json, event_json, matched_json, count, first_ns, last_ns,"
        " created_ns, updated_ns) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17,"
        " ?18, ?19, ?20, ?21, ?21)"
        " ON CONFLICT (id) DO UPDATE SET change = excluded.change, count = max(count, excluded.count),"
        " first_ns = min(first_ns, excluded.first_ns), last_ns = max(last_ns, excluded.last_ns),"
        " agent = iif(?22, excluded.agent, agent), host = iif(?22, excluded.host, host),"
        " user = iif(?22, excluded.user, user), source_ip = iif(?22, excluded.source_ip, source_ip),"
        " destination_ip = iif(?22, excluded.destination_ip, destination_ip),"
        " event_json = iif(?22, excluded.event_json, event_json),"
        " matched_json = iif(?22, excluded.matched_json, matched_json), updated_ns = excluded.updated_ns"
        " WHERE excluded.count > count OR excluded.first_ns < first_ns OR excluded.last_ns > last_ns"
        " RETURNING created_ns = ?21",
    [CLEAR_EVENTS] = "DELETE FROM alert_events WHERE alert_id = ?",
    [ADD_EVENT] = "INSERT OR IGNORE INTO alert_events (alert_id, pos, line) VALUES (?, ?, ?)",
};

struct alerts {
    sqlite3 *db;
    const struct names *names;
    sqlite3_stmt *s[N_SQL];
    struct pending *pending; /* n of cap; ALERTS_MAX is when to write, but what one event matches must still fit */
    uint32_t *slots;         /* 2 * cap: open addressing by id, index + 1 into pending; 0 free */
    size_t n, cap, unsettled, bytes;
    struct rule_text rules[RULE_CACHE];
};

/* ---- ids ---- */

static void hash_bytes(crypto_hash_sha256_state *h, const void *p, size_t len)
{
    crypto_hash_sha256_update(h, p, len);
}

static void hash_u64(crypto_hash_sha256_state *h, uint64_t v)
{
    uint8_t le[8];
    put_u64(le, v);
    hash_bytes(h, le, sizeof(le));
}

static void hash_str(crypto_hash_sha256_state *h, struct str s)
{
    uint8_t le[4];
    put_u32(le, (uint32_t)s.len);
    hash_bytes(h, le, sizeof(le));
    if (s.len)
        hash_bytes(h, s.p, s.len);
}

static void hash_end(crypto_hash_sha256_state *h, char ret[static ALERT_ID_LEN])
{
    uint8_t digest[crypto_hash_sha256_BYTES];
    crypto_hash_sha256_final(h, digest);
    sodium_bin2hex(ret, ALERT_ID_LEN, digest, (ALERT_ID_LEN - 1) / 2);
}

void alert_id_detection(const char *rule_id, const struct alert_place *place, char ret[static ALERT_ID_LEN])
{
    crypto_hash_sha256_state h;
    crypto_hash_sha256_init(&h);
    hash_str(&h, STR("vonggac/detection"));
    hash_str(&h, str_of(rule_id));
    hash_bytes(&h, place->batch->agent, ID_LEN);
    hash_bytes(&h, place->batch->stream, ID_LEN);
    hash_u64(&h, place->position);
    hash_end(&h, ret);
}

void alert_id_correlation(const struct names *names, const struct match *m, char ret[static ALERT_ID_LEN])
{
    crypto_hash_sha256_state h;
    crypto_hash_sha256_init(&h);
    hash_str(&h, STR("vonggac/correlation"));
    hash_str(&h, str_of(m->rule->id));
    hash_u64(&h, (uint64_t)m->period_start_ns);
    uint8_t le[4];
    put_u32(le, (uint32_t)m->n_group);
    hash_bytes(&h, le, sizeof(le));
    for (size_t i = 0; i < m->n_group; i++) {
        char scratch[SOURCE_SCRATCH];
        hash_str(&h, names_text(names, m->group[i].key));
        hash_str(&h, field_text(&m->group[i], scratch));
    }
    hash_end(&h, ret);
}

/* ---- life ---- */

static void pending_init(struct pending *p, const char *id)
{
    *p = (struct pending){.is_settled = true}; /* nothing borrowed yet */
    memcpy(p->id, id, ALERT_ID_LEN);
    p->matched_json = p->group_json = p->event_json = (struct buf)BUF_INIT(JSON_MAX);
    for (size_t i = 0; i < N_COLUMNS; i++)
        p->columns[i] = (struct buf)BUF_INIT(COLUMN_TEXT);
}

static void pending_clear(struct pending *p)
{
    buf_clear(&p->matched_json);
    buf_clear(&p->group_json);
    buf_clear(&p->event_json);
    for (size_t i = 0; i < N_COLUMNS; i++)
        buf_clear(&p->columns[i]);
}

int alerts_new(sqlite3 *db, const struct names *names, struct alerts **ret, struct diag *diag)
{
    struct alerts *a = calloc(1, sizeof(*a));
    if (!a)
        return diag_set(diag, -ENOMEM, "out of memory");
    a->db = db;
    a->names = names;
    int r = store_prepare(db, sql, N_SQL, a->s, diag);
    if (r < 0) {
        alerts_free(a);
        return r;
    }
    *ret = a;
    return 0;
}

struct alerts *alerts_free(struct alerts *a)
{
    if (!a)
        return NULL;
    alerts_clear(a);
    for (size_t i = 0; i < RULE_CACHE; i++)
        buf_clear(&a->rules[i].json);
    store_finalize(a->s, N_SQL);
    free(a->pending);
    free(a->slots);
    free(a);
    return NULL;
}

void alerts_clear(struct alerts *a)
{
    for (size_t i = 0; i < a->n; i++)
        pending_clear(&a->pending[i]);
    if (a->slots)
        memset(a->slots, 0, a->cap * 2 * sizeof(*a->slots));
    a->n = a->unsettled = a->bytes = 0;
}

bool alerts_is_full(const struct alerts *a)
{
    return a->n >= ALERTS_MAX || a->bytes >= ALERTS_BYTES_MAX;
}

bool alerts_is_unsettled(const struct alerts *a)
{
    return a->unsettled > 0;
}

size_t alerts_count(const struct alerts *a)
{
    return a->n;
}

/* ---- collecting ---- */

/* The slot of that id, or the free one where it belongs. */
static uint32_t *find_slot(const struct alerts *a, const char *id)
{
    uint64_t hash;
    memcpy(&hash, id, sizeof(hash)); /* hex digits of a hash: spread by one multiplication */
    size_t i = (size_t)((hash * UINT64_C(0x9e3779b97f4a7c15)) >> 32) & (a->cap * 2 - 1);
    while (a->slots[i] && memcmp(a->pending[a->slots[i] - 1].id, id, ALERT_ID_LEN) != 0)
        i = (i + 1) & (a->cap * 2 - 1);
    return &a->slots[i];
}

static int grow(struct alerts *a)
{
    size_t cap = a->cap ? a->cap * 2 : ENTRIES_MIN;
    struct pending *pending = reallocarray(a->pending, cap, sizeof(*pending));
    if (!pending)
        return -ENOMEM;
    a->pending = pending;
    uint32_t *slots = calloc(cap * 2, sizeof(*slots));
    if (!slots)
        return -ENOMEM;
    free(a->slots);
    a->slots = slots;
    a->cap = cap;
    for (size_t i = 0; i < a->n; i++)
        *find_slot(a, pending[i].id) = (uint32_t)i + 1;
    return 0;
}

/* The entry of that id, or a fresh one. NULL without memory. */
static struct pending *entry_of(struct alerts *a, const char *id)
{
    if (a->n == a->cap && grow(a) < 0)
        return NULL;
    uint32_t *slot = find_slot(a, id);
    if (*slot)
        return &a->pending[*slot - 1];
    struct pending *p = &a->pending[a->n++];
    pending_init(p, id);
    *slot = (uint32_t)a->n;
    return p;
}

static int add_member(struct buf *out, const char *separator, const char *name, struct str value)
{
    int r = buf_printf(out, "%s\"%s\":", separator, name);
    return r < 0 ? r : buf_append_json(out, value);
}

static int write_matched(struct alerts *a, const struct match *m, struct buf *out)
{
    buf_reset(out);
    int r = buf_append_z(out, "[");
    for (size_t i = 0; r == 0 && i < m->n_matched; i++) {
        const struct matched *x = &m->matched[i];
        r = buf_append_z(out, i ? "," : "");
        if (r == 0)
            r = add_member(out, "{", "field", x->field ? names_text(a->names, x->field) : STR("event.original"));
        if (r == 0)
            r = add_member(out, ",", "name", x->field_name);
        if (r == 0)
            r = add_member(out, ",", "value", x->value);
        if (r == 0)
            r = add_member(out, ",", "pattern", x->pattern);
        if (r == 0)
            r = add_member(out, ",", "selection", x->selection);
        if (r == 0)
            r = buf_append_z(out, "}");
    }
    return r < 0 ? r : buf_append_z(out, "]");
}

static int write_group(struct alerts *a, const struct match *m, struct buf *out)
{
    buf_reset(out);
    int r = buf_append_z(out, "{");
    for (size_t i = 0; r == 0 && i < m->n_group; i++) {
        char scratch[SOURCE_SCRATCH];
        r = buf_append_z(out, i ? "," : "");
        if (r == 0)
            r = buf_append_json(out, names_text(a->names, m->group[i].key));
        if (r == 0)
            r = buf_append_z(out, ":");
        if (r == 0)
            r = buf_append_json(out, field_text(&m->group[i], scratch));
    }
    return r < 0 ? r : buf_append_z(out, "}");
}

static size_t entry_bytes(const struct pending *p)
{
    return p->matched_json.cap + p->group_json.cap + p->event_json.cap;
}

/* The event's text for a column of the list; what does not fit is cut at a character's border. */
static int settle_column(struct buf *out, const struct event *ev, name_id key, struct str otherwise)
{
    struct str s = event_get_str(ev, key);
    if (s.len == 0)
        s = otherwise;
    if (s.len > COLUMN_TEXT) {
        s.len = COLUMN_TEXT;
        while (s.len > 0 && ((unsigned char)s.p[s.len] & 0xc0) == 0x80)
            s.len--;
    }
    buf_reset(out);
    return buf_append_str(out, s);
}

static int settle(struct alerts *a, struct pending *p)
{
    const struct event *ev = &p->event;
    buf_reset(&p->event_json);
    int r = event_to_json(ev, a->names, &p->event_json);
    if (r == -ENOBUFS) { /* the archive has it whole, and alert_events says where */
        buf_reset(&p->event_json);
        r = buf_append_z(&p->event_json, "{\"message\":\"(too large to show)\"}");
    }
    if (r == 0)
        r = settle_column(&p->columns[HOST], ev, F_HOST_NAME, p->batch_host);
    if (r == 0)
        r = settle_column(&p->columns[USER], ev, F_USER_NAME, (struct str){0});
    if (r == 0)
        r = settle_column(&p->columns[SOURCE_IP], ev, F_SOURCE_IP, (struct str){0});
    if (r == 0)
        r = settle_column(&p->columns[DESTINATION_IP], ev, F_DESTINATION_IP, (struct str){0});
    struct str agent = event_get_str(ev, F_AGENT_ID); /* our own events speak of another agent */
    if (agent.len == sizeof(p->agent) - 1)
        memcpy(p->agent, agent.p, agent.len);
    return r;
}

/* No event is at hand: what its group says of all of them stands for it. The archive has them (refs). */
static int note_group(struct alerts *a, struct pending *p, const struct match *m)
{
    struct field fields[GROUP_FIELDS_MAX];
    uint16_t n = (uint16_t)MIN(m->n_group, (size_t)GROUP_FIELDS_MAX);
    if (n)
        memcpy(fields, m->group, n * sizeof(fields[0]));
    p->event = (struct event){.fields = fields, .n = n, .cap = n, .ts_ns = m->last_ns};
    p->batch_host = (struct str){0};
    int r = settle(a, p);
    p->event = (struct event){.n = 0};
    return r;
}

static int note(struct alerts *a, struct pending *p, const struct match *m, const struct alert_place *place)
{
    bool is_correlation = m->rule->kind == RULE_CORRELATION;
    int r = m->event || p->matched_json.len == 0 ? write_matched(a, m, &p->matched_json) : 0;
    if (r == 0 && p->group_json.len == 0)
        r = write_group(a, m, &p->group_json);
    if (r < 0)
        return r;
    p->rule = m->rule;
    if (m->event) {
        p->has_event = true;
        p->is_demo = place->batch->flags & BATCH_DEMO;
        p->event = *m->event;
        p->batch_host = place->batch->host;
        memcpy(p->agent, place->agent_id, sizeof(p->agent));
    } else if (!p->has_event && (r = note_group(a, p, m)) < 0) {
        return r;
    }
    int64_t first_ns = is_correlation ? m->first_ns : m->event->ts_ns;
    int64_t last_ns = is_correlation ? m->last_ns : m->event->ts_ns;
    p->first_ns = p->count ? MIN(p->first_ns, first_ns) : first_ns;
    p->last_ns = p->count ? MAX(p->last_ns, last_ns) : last_ns;
    p->count = MAX(p->count, is_correlation ? m->count : 1);
    if (is_correlation) {
        p->n_refs = MIN(m->n_refs, (size_t)MATCH_REFS_MAX);
        memcpy(p->refs, m->refs + (m->n_refs - p->n_refs), p->n_refs * sizeof(p->refs[0]));
    } else {
        p->refs[0] = m->event->ref;
        p->n_refs = 1;
    }
    return 0;
}

int alerts_collect(struct alerts *a, const struct match *m, const struct alert_place *place)
{
    char id[ALERT_ID_LEN];
    if (m->rule->kind == RULE_CORRELATION)
        alert_id_correlation(a->names, m, id);
    else
        alert_id_detection(m->rule->id, place, id);
    struct pending *p = entry_of(a, id);
    if (!p)
        return -ENOMEM;
    size_t before = entry_bytes(p);
    int r = note(a, p, m, place);
    a->bytes += entry_bytes(p) - before;
    if (r == 0 && p->is_settled && m->event) {
        p->is_settled = false;
        a->unsettled++;
    }
    return r;
}

int alerts_settle(struct alerts *a)
{
    for (size_t i = 0; i < a->n && a->unsettled > 0; i++) {
        struct pending *p = &a->pending[i];
        if (p->is_settled)
            continue;
        size_t before = entry_bytes(p);
        int r = settle(a, p);
        a->bytes += entry_bytes(p) - before;
        if (r < 0)
            return r;
        p->is_settled = true;
        a->unsettled--;
    }
    return 0;
}

/* ---- writing ---- */

static int add_list(struct buf *out, const char *name, const char *const *items, size_t n)
{
    int r = buf_printf(out, ",\"%s\":[", name);
    for (size_t i = 0; r == 0 && i < n; i++) {
        r = buf_append_z(out, i ? "," : "");
        if (r == 0)
            r = buf_append_json(out, str_of(items[i]));
    }
    return r < 0 ? r : buf_append_z(out, "]");
}

static int write_rule(const struct rule *rule, struct buf *out)
{
    static const char *const levels[] = {"informational", "low", "medium", "high", "critical"};
    const struct {
        const char *name, *value;
    } texts[] = {
        {"title_vi", rule->title_vi},
        {"name", rule->name},
        {"description", rule->description},
        {"author", rule->author},
        {"status", rule->status},
        {"date", rule->date},
        {"description_vi", rule->description_vi},
        {"product", rule->product},
        {"category", rule->category},
        {"service", rule->service},
        {"file", rule->file},
    };
    int r = add_member(out, "{", "id", str_of(rule->id));
    if (r == 0)
        r = add_member(out, ",", "title", str_of(rule->title));
    for (size_t i = 0; r == 0 && i < ARRAY_LEN(texts); i++) {
        if (texts[i].value)
            r = add_member(out, ",", texts[i].name, str_of(texts[i].value));
    }
    if (r == 0)
        r = buf_printf(out, ",\"level\":%d,\"level_name\":\"%s\"", (int)rule->level, levels[rule->level]);
    if (r == 0)
        r = add_list(out, "tags", rule->tags, rule->n_tags);
    if (r == 0)
        r = add_list(out, "references", rule->references, rule->n_references);
    if (r == 0)
        r = add_list(out, "falsepositives", rule->falsepositives, rule->n_falsepositives);
    if (r == 0)
        r = add_list(out, "group_by", rule->group_by, rule->n_group_by);
    return r < 0 ? r : buf_printf(out, ",\"timespan_s\":%lld}", (long long)(rule->timespan_ns / NS_PER_S));
}

static int rule_text(struct alerts *a, const struct rule *rule, struct str *ret)
{
    struct rule_text *t = &a->rules[((uintptr_t)rule / sizeof(*rule)) % RULE_CACHE];
    if (t->rule != rule) {
        t->rule = NULL;
        buf_clear(&t->json);
        t->json = BUF_INIT(JSON_MAX);
        int r = write_rule(rule, &t->json);
        if (r < 0)
            return r;
        t->rule = rule;
    }
    *ret = buf_str(&t->json);
    return 0;
}

static struct str column(const struct pending *p, enum column c)
{
    struct str s = buf_str(&p->columns[c]);
    return s.len ? s : (struct str){0};
}

/* 1: the row is new or has changed, and is counted; 0: it was so already. */
static int upsert(struct alerts *a, const struct pending *p, int64_t change, int64_t now_ns,
                  struct alerts_written *written, struct diag *diag)
{
    sqlite3_stmt *s = a->s[UPSERT];
    struct str rule_json, host = column(p, HOST);
    int r = rule_text(a, p->rule, &rule_json);
    if (r < 0)
        return diag_set(diag, r, "out of memory");
    store_bind_z(s, 1, p->id);
    store_bind_int(s, 2, change);
    store_bind_z(s, 3, p->rule->id);
    store_bind_z(s, 4, p->rule->title);
    store_bind_z(s, 5, p->rule->title_vi);
    store_bind_str(s, 6, rule_json);
    store_bind_z(s, 7, p->rule->kind == RULE_CORRELATION ? "correlation" : "detection");
    store_bind_int(s, 8, p->rule->level);
    store_bind_int(s, 9, p->is_demo);
    store_bind_z(s, 10, p->agent);
    store_bind_str(s, 11, host.p ? host : STR(""));
    store_bind_str(s, 12, column(p, USER));
    store_bind_str(s, 13, column(p, SOURCE_IP));
    store_bind_str(s, 14, column(p, DESTINATION_IP));
    store_bind_str(s, 15, buf_str(&p->group_json));
    store_bind_str(s, 16, buf_str(&p->event_json));
    store_bind_str(s, 17, buf_str(&p->matched_json));
    store_bind_int(s, 18, (int64_t)p->count);
    store_bind_int(s, 19, p->first_ns);
    store_bind_int(s, 20, p->last_ns);
    store_bind_int(s, 21, now_ns);
    store_bind_int(s, 22, p->has_event);
    r = store_row(s, diag);
    if (r <= 0)
        return r;
    if (store_col_int(s, 0))
        written->added++;
    else
        written->updated++;
    r = store_run(s, diag);
    return r < 0 ? r : 1;
}

static int write_refs(struct alerts *a, const struct pending *p, struct diag *diag)
{
    store_bind_z(a->s[CLEAR_EVENTS], 1, p->id);
    int r = store_run(a->s[CLEAR_EVENTS], diag);
    for (size_t i = 0; r == 0 && i < p->n_refs; i++) {
        store_bind_z(a->s[ADD_EVENT], 1, p->id);
        store_bind_int(a->s[ADD_EVENT], 2, (int64_t)p->refs[i].pos);
        store_bind_int(a->s[ADD_EVENT], 3, p->refs[i].line);
        r = store_run(a->s[ADD_EVENT], diag);
    }
    return r;
}

int alerts_write(struct alerts *a, int64_t now_ns, struct alerts_written *ret, struct diag *diag)
{
    *ret = (struct alerts_written){0};
    if (a->n == 0)
        return 0;
    int64_t change;
    int r = store_next_change(a->db, &change, diag);
    for (size_t i = 0; r == 0 && i < a->n; i++) {
        r = upsert(a, &a->pending[i], change, now_ns, ret, diag);
        if (r == 1) {
            change++;
            r = write_refs(a, &a->pending[i], diag);
        }
    }
    return r;
}
