/* SPDX-License-Identifier: Apache-2.0
 *
 * Which decoder gets which line. The administrator's word (type, then path) goes first, then the program that the
 * syslog header names, then decoders that look at content only; the first pattern that matches wins. Three things keep
 * the cost of a line near a microsecond: programs are hashed, a message's first byte and a literal prefix rule out most
 * patterns before any regex runs, and constants are copied as one array. A regex that reaches its match limit counts
 * as no match. Called by the collector for every line, by `vonggac decode`, and by rule tests.
 */
#include "rules/decoder.h"

#include "rules/decoder_impl.h"

#include <errno.h>

/* ---- the set ---- */

struct decoders *decoders_new(struct names *names)
{
    struct decoders *ds = calloc(1, sizeof(*ds));
    if (!ds)
        return NULL;
    ds->names = names;
    ds->arena = arena_new(DECODERS_MEMORY_MAX);
    ds->cap = DECODERS_MAX;
    ds->v = calloc(ds->cap, sizeof(*ds->v));
    if (!ds->arena || !ds->v || names_intern(names, STR("vonggac.repeated"), &ds->repeated) < 0)
        return decoders_free(ds);
    return ds;
}

struct decoders *decoders_free(struct decoders *ds)
{
    if (!ds)
        return NULL;
    for (size_t i = 0; i < ds->n; i++)
        decoder_clear(ds->v[i]);
    free(ds->v);
    arena_free(ds->arena);
    free(ds);
    return NULL;
}

int decoders_add(struct decoders *ds, struct str text, const char *file, struct diags *diags)
{
    struct diag diag = {0};
    struct yaml **docs;
    size_t n;
    int r = yaml_parse(text, ds->arena, &docs, &n, &diag), left_out = 0;
    if (r == -ENOMEM)
        return r;
    if (r < 0) {
        diags_add(diags, file, false, &diag);
        return 1;
    }
    for (size_t i = 0; i < n; i++) {
        if (!docs[i] || yaml_is_null(docs[i]))
            continue;
        diag = (struct diag){0};
        r = decoder_load(ds, docs[i], file, &diag);
        if (r == -ENOMEM)
            return r;
        if (r < 0) {
            diags_add(diags, file, false, &diag);
            left_out++;
        }
    }
    return left_out;
}

size_t decoders_count(const struct decoders *ds)
{
    return ds->n;
}

size_t decoders_sample_count(const struct decoders *ds)
{
    return ds->n_samples;
}

const struct decoder_sample *decoders_sample(const struct decoders *ds, size_t i)
{
    return i < ds->n_samples ? &ds->samples[i] : NULL;
}

/* ---- dispatch ---- */

static size_t hash(struct str s)
{
    uint64_t h = 14695981039346656037u; /* FNV-1a */
    for (size_t i = 0; i < s.len; i++)
        h = (h ^ (uint8_t)s.p[i]) * 1099511628211u;
    return (size_t)(h ^ h >> 32);
}

static bool strs_has(const struct strs *list, struct str s)
{
    for (size_t i = 0; i < list->n; i++) {
        if (str_eq(list->v[i], s))
            return true;
    }
    return false;
}

static struct program *find_program(const struct decoders *ds, struct str name)
{
    size_t i = hash(name) & (ds->n_slots - 1);
    while (ds->programs[i].name.p && !str_eq(ds->programs[i].name, name))
        i = (i + 1) & (ds->n_slots - 1);
    return &ds->programs[i];
}

static bool has_selector(const struct decoder *d)
{
    return d->programs.n || d->types.n || d->paths.n;
}

/* Decoders for messages of that program: those that name it, then those that name nothing. */
static int fill_program(struct decoders *ds, struct program *p, struct str name)
{
    p->name = name;
    p->list = arena_array(ds->arena, ds->n + 1, sizeof(*p->list));
    if (!p->list)
        return -ENOMEM;
    for (size_t i = 0; i < ds->n; i++) {
        if (name.len && strs_has(&ds->v[i]->programs, name))
            p->list[p->n++] = (uint16_t)i;
    }
    p->n_selected = p->n;
    for (size_t i = 0; i < ds->n; i++) {
        if (!has_selector(ds->v[i]) && !ds->v[i]->is_bare)
            p->list[p->n++] = (uint16_t)i;
    }
    return 0;
}

int decoders_compile(struct decoders *ds, struct diags *diags)
{
    (void)diags; /* every problem of a decoder is seen when it is added */
    size_t n = 0;
    for (size_t i = 0; i < ds->n; i++)
        n += ds->v[i]->programs.n;
    ds->n_slots = 16;
    while (ds->n_slots < n * 2)
        ds->n_slots *= 2;
    ds->programs = arena_array(ds->arena, ds->n_slots, sizeof(*ds->programs));
    ds->bare = arena_array(ds->arena, ds->n + 1, sizeof(*ds->bare));
    if (!ds->programs || !ds->bare || fill_program(ds, &ds->others, STR("")) < 0)
        return -ENOMEM;
    for (size_t i = 0; i < ds->n; i++) {
        const struct decoder *d = ds->v[i];
        ds->has_routes |= d->types.n || d->paths.n;
        if (d->is_bare)
            ds->bare[ds->n_bare++] = (uint16_t)i;
        for (size_t k = 0; k < d->programs.n; k++) {
            struct program *p = find_program(ds, d->programs.v[k]);
            if (!p->name.p && fill_program(ds, p, d->programs.v[k]) < 0)
                return -ENOMEM;
        }
    }
    return 0;
}

static bool path_selects(const struct decoder *d, struct str path)
{
    for (size_t i = 0; i < d->paths.n; i++) {
        if (str_glob(d->paths.v[i], path))
            return true;
    }
    return false;
}

/* Decoders selected by type and path. The answer is kept for the lines that follow. */
static void find_route(struct decode_ctx *c, const struct decode_input *in)
{
    const struct decoders *ds = c->ds;
    if (c->route.is_set && str_eq(c->route.type_s, in->type) && str_eq(c->route.path_s, in->path))
        return;
    c->route.n = 0;
    for (size_t i = 0; i < ds->n && in->type.len; i++) {
        if (strs_has(&ds->v[i]->types, in->type))
            c->route.list[c->route.n++] = (uint16_t)i;
    }
    size_t n_by_type = c->route.n;
    for (size_t i = 0; i < ds->n && in->path.len && !n_by_type; i++) {
        if (path_selects(ds->v[i], in->path))
            c->route.list[c->route.n++] = (uint16_t)i;
    }
    c->route.is_set = in->type.len <= sizeof(c->route.type) && in->path.len <= sizeof(c->route.path);
    if (!c->route.is_set)
        return;
    if (in->type.len)
        memcpy(c->route.type, in->type.p, in->type.len);
    if (in->path.len)
        memcpy(c->route.path, in->path.p, in->path.len);
    c->route.type_s = (struct str){c->route.type, in->type.len};
    c->route.path_s = (struct str){c->route.path, in->path.len};
}

/* ---- one decoder ---- */

static const struct kv_row *find_kv(const struct decoder *d, struct str key)
{
    for (size_t slot = kv_hash(key); d->kv_slots[slot]; slot = (slot + 1) & (KV_SLOTS - 1)) {
        const struct kv_row *row = &d->kv[d->kv_slots[slot] - 1];
        if (str_eq(row->key, key))
            return row;
    }
    return NULL;
}

/* "IN=eth0 OUT= SRC=192.0.2.1 ... SYN": pairs and bare words. The first of a key counts, and '[' ends the list: an ICMP error
 * quotes the packet it is about, in brackets. A pair whose value is not what the map says is left out. */
static int add_pairs(const struct decoder *d, struct str s, struct event *ev)
{
    uint64_t seen = 0;
    for (size_t i = 0; i < s.len;) {
        while (i < s.len && s.p[i] == ' ')
            i++;
        if (i >= s.len || s.p[i] == '[')
            break;
        size_t start = i, eq = 0;
        for (; i < s.len && s.p[i] != ' '; i++) {
            if (s.p[i] == '=' && !eq)
                eq = i;
        }
        struct str key = {s.p + start, (eq ? eq : i) - start};
        const struct kv_row *row = key.len ? find_kv(d, key) : NULL;
        uint64_t bit = row ? UINT64_C(1) << (row - d->kv) : 0;
        if (!row || (seen & bit) || (row->capture.type == CAPTURE_FLAG) != !eq)
            continue;
        seen |= bit;
        struct str value = eq ? (struct str){s.p + eq + 1, i - eq - 1} : key;
        if (value.len && capture_add(&row->capture, value, ev) == -ENOMEM)
            return -ENOMEM;
    }
    return 0;
}

static int add_captures(struct decode_ctx *c, const struct decoder *d, const struct pattern *p, struct str msg,
                        struct event *ev)
{
    const PCRE2_SIZE *ov = pcre2_get_ovector_pointer(c->match);
    int r = event_put_consts(ev, p->consts, p->n_consts);
    for (size_t i = 0; i < p->n_captures && r == 0; i++) {
        const struct capture *cap = &p->captures[i];
        PCRE2_SIZE from = ov[2 * cap->group], to = ov[2 * cap->group + 1];
        if (from == PCRE2_UNSET || to < from)
            continue;
        struct str text = {msg.p + from, to - from};
        r = cap->type == CAPTURE_KV ? add_pairs(d, text, ev) : capture_add(cap, text, ev);
    }
    return r;
}

static bool regex_matches(struct decode_ctx *c, const struct pattern *p, struct str msg)
{
    int rc = p->has_jit ? pcre2_jit_match(p->re, (PCRE2_SPTR)msg.p, msg.len, 0, 0, c->match, c->match_context)
                        : pcre2_match(p->re, (PCRE2_SPTR)msg.p, msg.len, 0, 0, c->match, c->match_context);
    if (rc < 0 && rc != PCRE2_ERROR_NOMATCH)
        c->stats.limit_hits++;
    if (rc < 0)
        return false;
    PCRE2_SIZE *ov = pcre2_get_ovector_pointer(c->match); /* groups behind the last one set are not written */
    for (size_t i = (size_t)rc; i <= p->n_captures; i++)
        ov[2 * i] = ov[2 * i + 1] = PCRE2_UNSET;
    return true;
}

static struct str strip(const struct decoder *d, struct str msg)
{
    for (size_t i = 0; i < d->strip_start.n; i++) {
        if (str_starts(msg, d->strip_start.v[i]))
            msg = (struct str){msg.p + d->strip_start.v[i].len, msg.len - d->strip_start.v[i].len};
    }
    for (size_t i = 0; i < d->strip_end.n; i++) {
        if (str_ends(msg, d->strip_end.v[i]))
            msg.len -= d->strip_end.v[i].len;
    }
    return msg;
}

static int try_patterns(struct decode_ctx *c, const struct decoder *d, struct str msg, struct event *ev)
{
    msg = strip(d, msg);
    if (!d->n_patterns || msg.len == 0)
        return 0;
    uint8_t first = (uint8_t)msg.p[0];
    for (uint32_t i = d->offsets[first]; i < d->offsets[first + 1]; i++) {
        const struct pattern *p = &d->patterns[d->by_byte[i]];
        if (!str_starts(msg, p->prefix) || !regex_matches(c, p, msg))
            continue;
        uint16_t n = ev->n;
        int r = add_captures(c, d, p, msg, ev);
        if (r == -ENOMEM)
            return r;
        if (r == 0) {
            c->winner_pattern = p;
            return 1;
        }
        ev->n = n; /* a capture was not what its type says */
    }
    return 0;
}

static bool holds_one(const struct strs *list, struct str msg, bool at_start)
{
    for (size_t i = 0; i < list->n; i++) {
        if (at_start ? str_starts(msg, list->v[i]) : memmem(msg.p, msg.len, list->v[i].p, list->v[i].len) != NULL)
            return true;
    }
    return list->n == 0;
}

static bool guards_hold(const struct decoder *d, struct str msg)
{
    return msg.len && holds_one(&d->starts, msg, true) && holds_one(&d->contains, msg, false);
}

static int try_list(struct decode_ctx *c, const uint16_t *list, size_t n, struct str msg, struct event *ev)
{
    for (size_t i = 0; i < n; i++) {
        const struct decoder *d = c->ds->v[list[i]];
        if (!guards_hold(d, msg))
            continue;
        int r = d->parser == PARSER_ACCESS ? decode_access(d, msg, ev) : try_patterns(c, d, msg, ev);
        if (r != 0) {
            c->winner = d;
            return r;
        }
    }
    return 0;
}

/* ---- one line ---- */

int decode_common_fields(const struct decode_input *in, struct str host, struct event *ev)
{
    int r = event_put_str(ev, F_HOST_NAME, host.len ? host : in->host);
    if (r == 0)
        r = event_put_str(ev, F_AGENT_ID, str_of(in->agent_id));
    if (r == 0)
        r = event_put_str(ev, F_AGENT_NAME, in->agent_name);
    if (r == 0)
        r = event_put_str(ev, F_VONGGAC_SOURCE_NAME, in->source);
    return r == 0 ? event_put_str(ev, F_LOG_FILE_PATH, in->path) : r;
}

/* Nobody knew the message: at least say what kind of line it is, so that rules by program and keywords work. */
static int add_fallback(struct decode_ctx *c, const struct program *p, struct str msg, struct event *ev)
{
    for (size_t i = 0; i < p->n_selected; i++) {
        const struct decoder *d = c->ds->v[p->list[i]];
        if (guards_hold(d, msg) && d->parser == PARSER_PATTERNS)
            return event_put_consts(ev, d->consts, d->n_consts);
    }
    int r = event_put_str(ev, F_EVENT_KIND, STR("event"));
    return r == 0 ? event_put_str(ev, F_EVENT_DATASET, STR("system.syslog")) : r;
}

int decode_message(struct decode_ctx *c, const struct decode_input *in, const struct message *m, struct event *ev)
{
    struct str msg = m->text;
    int64_t times = -1;
    if (syslog_repeated(msg, &times, &msg))
        ev->ts_is_guessed = true; /* the time of the last repetition at best */
    int r = decode_common_fields(in, m->host, ev);
    if (r == 0)
        r = event_put_str(ev, F_MESSAGE, msg);
    if (r == 0)
        r = event_put_str(ev, F_PROCESS_NAME, m->program);
    if (r == 0)
        r = event_put_str(ev, F_LOG_SYSLOG_APPNAME, m->program);
    if (r == 0)
        r = event_put_int(ev, F_PROCESS_PID, m->pid);
    if (r == 0)
        r = event_put_str(ev, F_LOG_LEVEL, syslog_severity(m->severity));
    if (r == 0 && times > 0)
        r = event_put_int(ev, c->ds->repeated, times);
    if (r < 0)
        return r;

    const struct program *p = m->program.len ? find_program(c->ds, m->program) : &c->ds->others;
    if (!p->name.p)
        p = &c->ds->others;
    r = try_list(c, c->route.list, c->route.n, msg, ev);
    if (r == 0)
        r = try_list(c, p->list, p->n, msg, ev);
    return r == 0 ? add_fallback(c, p, msg, ev) : r;
}

static struct str trim_end(struct str s)
{
    while (s.len && (s.p[s.len - 1] == ' ' || s.p[s.len - 1] == '\r' || s.p[s.len - 1] == '\n'))
        s.len--;
    return s;
}

static int decode_bare(struct decode_ctx *c, const struct decode_input *in, struct str line, struct event *ev)
{
    int r = decode_common_fields(in, (struct str){0}, ev);
    if (r == 0)
        r = try_list(c, c->route.list, c->route.n, line, ev);
    if (r == 0)
        r = try_list(c, c->ds->bare, c->ds->n_bare, line, ev);
    if (r != 0)
        return r;
    r = event_put_str(ev, F_EVENT_KIND, STR("event"));
    if (r == 0)
        r = event_put_str(ev, F_EVENT_DATASET, in->type);
    return r == 0 ? event_put_str(ev, F_MESSAGE, line) : r;
}

static int decode_text(struct decode_ctx *c, const struct decode_input *in, struct event *ev)
{
    struct str line = trim_end(in->line);
    struct syslog h;
    if (!syslog_parse(line, in->read_ns, in->tz_offset_s, &h))
        return decode_bare(c, in, line, ev);
    if (h.has_ts) {
        ev->ts_ns = h.ts_ns;
        ev->ts_is_guessed = h.ts_is_guessed;
    }
    struct message m = {
        .host = h.host,
        .program = h.program,
        .text = h.msg,
        .pid = h.pid,
        .severity = h.pri < 0 ? -1 : h.pri % 8,
    };
    return decode_message(c, in, &m, ev);
}

int decode_line(struct decode_ctx *c, const struct decode_input *in, struct arena *arena, struct event *ev)
{
    int r = event_init(ev, arena);
    if (r < 0)
        return r;
    ev->raw = in->line;
    ev->ts_ns = ev->created_ns = in->read_ns;
    ev->ingested_ns = in->ingested_ns;
    ev->ts_is_guessed = true;
    c->winner = NULL;
    c->winner_pattern = NULL;
    c->stats.lines++;
    if (c->ds->has_routes)
        find_route(c, in);
    r = in->encoding == BATCH_JOURNAL ? decode_journal(c, in, ev)
        : in->encoding == BATCH_ECS   ? decode_ecs(c, in, ev)
                                      : decode_text(c, in, ev);
    c->stats.known += r == 1;
    return r;
}

/* ---- context ---- */

struct decode_ctx *decode_ctx_new(const struct decoders *ds)
{
    struct decode_ctx *c = calloc(1, sizeof(*c));
    if (!c)
        return NULL;
    c->ds = ds;
    c->match = pcre2_match_data_create(PATTERN_CAPTURES_MAX + 1, NULL);
    c->match_context = pcre2_match_context_create(NULL);
    c->stack = pcre2_jit_stack_create(32 * KIB, DECODER_JIT_STACK_MAX, NULL);
    if (!c->match || !c->match_context || !c->stack)
        return decode_ctx_free(c);
    pcre2_set_match_limit(c->match_context, DECODER_MATCH_LIMIT);
    pcre2_set_heap_limit(c->match_context, 4096); /* KiB; the interpreter only */
    pcre2_jit_stack_assign(c->match_context, NULL, c->stack);
    return c;
}

struct decode_ctx *decode_ctx_free(struct decode_ctx *c)
{
    if (!c)
        return NULL;
    pcre2_match_data_free(c->match);
    pcre2_match_context_free(c->match_context);
    pcre2_jit_stack_free(c->stack);
    free(c);
    return NULL;
}

const char *decode_winner(const struct decode_ctx *c)
{
    return c->winner ? c->winner->name : NULL;
}

bool decode_explain(const struct decode_ctx *c, struct decode_why *ret)
{
    const struct decoder *d = c->winner;
    const struct pattern *p = c->winner_pattern;
    if (!d)
        return false;
    *ret = (struct decode_why){
        .decoder = d->name,
        .file = d->file,
        .pattern = p ? p->text : "",
        .line = p ? p->line : d->line,
    };
    return true;
}

void decode_stats(const struct decode_ctx *c, struct decode_stats *ret)
{
    *ret = c->stats;
}
