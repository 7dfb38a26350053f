/* SPDX-License-Identifier: Apache-2.0
 *
 * See push.h. Two habits of TAXII servers shape this file. Some call an object that they hold already a failure
 * (medallion does), so failures are checked against the manifest before they count. And the lists of a status resource
 * are optional, so a complete one without them speaks for every object of its part.
 */
#include "collector/push.h"

#include "collector/sql.h"
#include "common/log.h"
#include "common/time.h"

#include <errno.h>
#include <sodium.h>
#include <stdio.h>

#define ENVELOPE_HEAD "{\"objects\":["
#define ENVELOPE_TAIL "]}"
#define POLL_MIN_NS   (5 * NS_PER_S)

struct push {
    sqlite3 *db;
    struct taxii *taxii;
    const char *destination;
    struct delivery *d;
    struct push_result *ret;
    struct taxii_result answer; /* the last one */
};

int64_t push_backoff(int64_t n)
{
    int64_t wait = PUSH_BACKOFF_MIN_NS;
    for (int64_t i = 1; i < n && wait < PUSH_BACKOFF_MAX_NS; i++)
        wait *= 2;
    wait = MIN(wait, PUSH_BACKOFF_MAX_NS);
    int64_t fifth = wait / 5;
    return wait - fifth + (int64_t)randombytes_uniform((uint32_t)(2 * fifth / NS_PER_MS)) * NS_PER_MS;
}

static const char *id_of(const json_t *object)
{
    const char *id = json_string_value(json_object_get(object, "id"));
    return id ? id : "";
}

static const char *version_of(const json_t *object)
{
    const char *version = json_string_value(json_object_get(object, "modified"));
    return version ? version : "";
}

static bool is_held(const struct push *p, const json_t *object)
{
    return delivery_is_held(p->db, p->destination, id_of(object), version_of(object));
}

static const json_t *object_by_id(const struct push *p, const char *id)
{
    size_t i;
    json_t *object;
    json_array_foreach(p->d->objects, i, object)
    {
        if (strcmp(id_of(object), id) == 0)
            return object;
    }
    return NULL;
}

/* Runs between begin and commit; a failure is kept for the caller's log. */
static void fail_db(struct push *p, int r)
{
    if (r < 0 && p->ret->db_error == 0)
        p->ret->db_error = r;
}

static void save(struct push *p)
{
    int r = store_begin(p->db, &p->ret->diag);
    if (r == 0) {
        r = delivery_save(p->db, p->d, p->destination, &p->ret->diag);
        if (r == 0)
            r = store_commit(p->db, &p->ret->diag);
        else
            store_rollback(p->db);
    }
    fail_db(p, r);
}

static void set_error(struct push *p, const char *text)
{
    snprintf(p->d->last_error, sizeof(p->d->last_error), "%s", text);
}

/* --- what a status resource says about the objects of its part --- */

static int64_t count_listed(const json_t *status, enum taxii_verdict verdict)
{
    struct taxii_entry e;
    size_t index = 0;
    int64_t n = 0;
    while (taxii_status_entry(status, &index, &e))
        n += e.verdict == verdict;
    return n;
}

static bool is_listed(const json_t *status, const char *id, enum taxii_verdict verdict)
{
    struct taxii_entry e;
    size_t index = 0;
    while (taxii_status_entry(status, &index, &e)) {
        if (e.verdict == verdict && strcmp(e.id, id) == 0)
            return true;
    }
    return false;
}

static bool is_complete(const json_t *status)
{
    const char *state = json_string_value(json_object_get(status, "status"));
    return state && strcmp(state, "complete") == 0;
}

static enum taxii_verdict verdict_of(const json_t *status, const char *id)
{
    if (is_listed(status, id, TAXII_SUCCESS))
        return TAXII_SUCCESS;
    if (is_listed(status, id, TAXII_FAILURE))
        return TAXII_FAILURE;
    if (!is_complete(status))
        return TAXII_PENDING;
    /* Not named: it was taken, unless the peer refused more than it named. */
    int64_t failures = json_integer_value(json_object_get(status, "failure_count"));
    return failures <= count_listed(status, TAXII_FAILURE) ? TAXII_SUCCESS : TAXII_FAILURE;
}

/* Notes the answer for the objects named in part["objects"], replacing an earlier answer for the same part. */
static void record(struct push *p, json_t *part, json_t *status)
{
    json_object_set(part, "status", status);
    int r = store_begin(p->db, &p->ret->diag);
    size_t i;
    json_t *id;
    json_array_foreach(json_object_get(part, "objects"), i, id)
    {
        const json_t *object = object_by_id(p, json_string_value(id));
        if (r == 0 && object && verdict_of(status, id_of(object)) == TAXII_SUCCESS)
            r = delivery_hold(p->db, p->d, p->destination, id_of(object), version_of(object), &p->ret->diag);
    }
    if (r == 0)
        r = delivery_save(p->db, p->d, p->destination, &p->ret->diag);
    if (r == 0)
        r = store_commit(p->db, &p->ret->diag);
    else
        store_rollback(p->db);
    fail_db(p, r);
}

/* --- objects that the peer refused, though it holds them --- */

static bool same_version(const char *ours, const char *theirs)
{
    int64_t a = 0, b = 0;
    bool has_zone;
    size_t len;
    if (!ours[0])
        return true; /* an object without versions is either there or not */
    return time_parse_rfc3339(str_of(ours), &a, &has_zone, &len) == 0 &&
           time_parse_rfc3339(str_of(theirs), &b, &has_zone, &len) == 0 && a == b;
}

static void hold_what_is_there(struct push *p, const json_t *manifest)
{
    int r = store_begin(p->db, &p->ret->diag);
    size_t i;
    json_t *entry;
    json_array_foreach((json_t *)manifest, i, entry)
    {
        const char *version = json_string_value(json_object_get(entry, "version"));
        const json_t *object = object_by_id(p, id_of(entry));
        if (r == 0 && object && same_version(version_of(object), version ? version : ""))
            r = delivery_hold(p->db, p->d, p->destination, id_of(object), version_of(object), &p->ret->diag);
    }
    if (r == 0)
        r = store_commit(p->db, &p->ret->diag);
    else
        store_rollback(p->db);
    fail_db(p, r);
}

/* Verdict on an object over all parts; success only when held. */
static enum taxii_verdict verdict_now(const struct push *p, const json_t *object)
{
    if (is_held(p, object))
        return TAXII_SUCCESS;
    enum taxii_verdict verdict = TAXII_FAILURE;
    size_t i;
    json_t *part;
    json_array_foreach(p->d->parts, i, part)
    {
        size_t k;
        json_t *id;
        json_array_foreach(json_object_get(part, "objects"), k, id)
        {
            if (strcmp(json_string_value(id), id_of(object)) == 0)
                verdict = verdict_of(json_object_get(part, "status"), id_of(object));
        }
    }
    return verdict;
}

static void check_failures(struct push *p)
{
    size_t n = 0, i;
    json_t *object, *manifest = json_array();
    const char **ids = calloc(json_array_size(p->d->objects) + 1, sizeof(*ids));
    if (ids && manifest) {
        json_array_foreach(p->d->objects, i, object)
        {
            if (verdict_now(p, object) == TAXII_FAILURE)
                ids[n++] = id_of(object);
        }
        if (n > 0)
            taxii_held(p->taxii, ids, n, manifest); /* what cannot be known stays a failure */
        hold_what_is_there(p, manifest);
    }
    free(ids);
    json_decref(manifest);
}

/* --- the end of a round --- */

static const char *first_message(const struct push *p)
{
    size_t i;
    json_t *part;
    json_array_foreach(p->d->parts, i, part)
    {
        struct taxii_entry e;
        size_t index = 0;
        while (taxii_status_entry(json_object_get(part, "status"), &index, &e)) {
            if (e.verdict == TAXII_FAILURE && e.message[0])
                return e.message;
        }
    }
    return "no reason given";
}

static void count_verdicts(struct push *p)
{
    p->d->success = p->d->failure = p->d->pending = 0;
    size_t i;
    json_t *object;
    json_array_foreach(p->d->objects, i, object)
    {
        switch (verdict_now(p, object)) {
        case TAXII_SUCCESS:
            p->d->success++;
            break;
        case TAXII_PENDING:
            p->d->pending++;
            break;
        case TAXII_FAILURE:
            p->d->failure++;
            break;
        }
    }
}

/* Everything has been sent: acknowledged, rejected, or wait for the peer to finish. */
static void conclude(struct push *p)
{
    struct delivery *d = p->d;
    count_verdicts(p);
    if (d->failure > 0) {
        check_failures(p);
        count_verdicts(p);
    }
    int64_t now = time_now_ns();
    d->last_error[0] = '\0';
    if (d->pending > 0) {
        snprintf(d->state, sizeof(d->state), "sent");
        d->next_try_ns = now + MIN(MAX((now - d->sent_ns) / 12, POLL_MIN_NS), PUSH_BACKOFF_MAX_NS);
    } else if (d->failure > 0) {
        char text[256];
        snprintf(text, sizeof(text), "the peer refused %lld of %zu objects: %.180s", (long long)d->failure,
                 json_array_size(d->objects), first_message(p));
        set_error(p, text);
        snprintf(d->state, sizeof(d->state), "rejected");
    } else {
        snprintf(d->state, sizeof(d->state), "acknowledged");
        d->acknowledged_ns = now;
    }
    save(p);
}

static void reject(struct push *p, const char *why)
{
    count_verdicts(p);
    set_error(p, why);
    snprintf(p->d->state, sizeof(p->d->state), "rejected");
    save(p);
}

/* It did not work now, for a reason that may pass. */
static void put_off(struct push *p)
{
    struct delivery *d = p->d;
    int64_t wait = push_backoff(d->attempts);
    if (p->answer.outcome == TAXII_STOPPED)
        wait = 0; /* the next start goes on at once */
    else
        set_error(p, p->answer.error);
    if (p->answer.retry_after_s > 0) {
        p->ret->retry_after_s = p->answer.retry_after_s;
        wait = MAX(wait, p->answer.retry_after_s * NS_PER_S);
    }
    p->ret->is_peer_down = p->answer.outcome == TAXII_PEER_DOWN;
    d->next_try_ns = time_now_ns() + wait;
    save(p);
}

/* --- pushing --- */

/* The largest run of objects from `from` that fits into max bytes, at least one. Writes the envelope. */
static int pack(const json_t *objects, size_t from, size_t max, struct buf *out, size_t *ret_to)
{
    buf_reset(out);
    int r = buf_append_z(out, ENVELOPE_HEAD);
    size_t to = from;
    for (; to < json_array_size(objects) && r == 0; to++) {
        CLEANUP(free_ptr) char *text = json_dumps(json_array_get(objects, to), JSON_COMPACT);
        if (!text)
            return -ENOMEM;
        if (to > from && out->len + 1 + strlen(text) + strlen(ENVELOPE_TAIL) > max)
            break;
        if (to > from)
            r = buf_append_z(out, ",");
        if (r == 0)
            r = buf_append_z(out, text);
    }
    if (r == 0)
        r = buf_append_z(out, ENVELOPE_TAIL);
    *ret_to = to;
    return r;
}

static json_t *part_of(const json_t *objects, size_t from, size_t to)
{
    json_t *ids = json_array();
    for (size_t i = from; i < to; i++)
        json_array_append_new(ids, json_string(id_of(json_array_get(objects, i))));
    return json_pack("{s:o}", "objects", ids);
}

static void reject_too_large(struct push *p, const json_t *object)
{
    char text[256];
    snprintf(text, sizeof(text), "%.100s alone is larger than the peer accepts", id_of(object));
    reject(p, text);
}

/* What may be sent at once: what the peer said, and less once it has called something too large all the same. */
struct sizes {
    size_t said, tried;
};

/* One request. False: the round is over and everything has been said. */
static bool push_part(struct push *p, const json_t *objects, size_t *from, struct sizes *max, struct buf *envelope)
{
    size_t to = 0;
    if (pack(objects, *from, max->tried, envelope, &to) < 0) {
        p->answer = (struct taxii_result){.outcome = TAXII_TRY_LATER, .error = "out of memory"};
        put_off(p);
        return false;
    }
    if (envelope->len > max->said) { /* a single one, or pack would have stopped */
        reject_too_large(p, json_array_get(objects, *from));
        return false;
    }
    taxii_push(p->taxii, buf_str(envelope), &p->answer);
    switch (p->answer.outcome) {
    case TAXII_ACCEPTED: {
        json_t *part = part_of(objects, *from, to);
        json_array_append(p->d->parts, part);
        record(p, part, p->answer.status.doc);
        json_decref(part);
        taxii_status_clear(&p->answer.status);
        *from = to;
        return p->ret->db_error == 0;
    }
    case TAXII_TOO_LARGE:
        if (to - *from == 1) {
            reject_too_large(p, json_array_get(objects, *from));
            return false;
        }
        max->tried = envelope->len / 2;
        return true;
    case TAXII_REFUSED:
        reject(p, p->answer.error);
        return false;
    default:
        put_off(p);
        return false;
    }
}

static json_t *not_held(const struct push *p)
{
    json_t *objects = json_array();
    size_t i;
    json_t *object;
    json_array_foreach(p->d->objects, i, object)
    {
        if (!is_held(p, object))
            json_array_append(objects, object);
    }
    return objects;
}

static void push_queued(struct push *p)
{
    struct delivery *d = p->d;
    /* Written before anything is sent: a program that dies here comes back later, not at once and for ever. */
    d->attempts++;
    d->sent_ns = time_now_ns();
    d->next_try_ns = d->sent_ns + push_backoff(d->attempts);
    json_array_clear(d->parts);
    save(p);
    if (p->ret->db_error < 0)
        return;
    uint64_t content_max = 0;
    taxii_content_max(p->taxii, &content_max, &p->answer);
    if (p->answer.outcome != TAXII_ACCEPTED) {
        put_off(p);
        return;
    }
    struct buf envelope = BUF_INIT(TAXII_CONTENT_LIMIT);
    json_t *objects = not_held(p);
    struct sizes max = {(size_t)content_max, (size_t)content_max};
    size_t from = 0;
    bool goes_on = true;
    while (goes_on && from < json_array_size(objects))
        goes_on = push_part(p, objects, &from, &max, &envelope);
    json_decref(objects);
    buf_clear(&envelope);
    if (goes_on)
        conclude(p);
}

/* The peer had not finished: how far is it? */
static void poll_sent(struct push *p)
{
    size_t i;
    json_t *part;
    json_array_foreach(p->d->parts, i, part)
    {
        json_t *status = json_object_get(part, "status");
        const char *id = json_string_value(json_object_get(status, "id"));
        if (is_complete(status) || !id)
            continue;
        taxii_poll(p->taxii, id, &p->answer);
        if (p->answer.outcome == TAXII_ACCEPTED) {
            record(p, part, p->answer.status.doc);
            taxii_status_clear(&p->answer.status);
            if (p->ret->db_error < 0)
                return;
            continue;
        }
        if (p->answer.http == 404 || p->answer.outcome == TAXII_REFUSED) {
            /* The peer has forgotten: what it does not hold is pushed again. */
            snprintf(p->d->state, sizeof(p->d->state), "queued");
            p->answer.outcome = TAXII_TRY_LATER;
        }
        put_off(p);
        return;
    }
    conclude(p);
}

void push_delivery(sqlite3 *db, struct taxii *taxii, const char *destination, struct delivery *d,
                   struct push_result *ret)
{
    *ret = (struct push_result){0};
    struct push p = {.db = db, .taxii = taxii, .destination = destination, .d = d, .ret = ret};
    if (d->is_damaged)
        reject(&p, "this row cannot be read");
    else if (strcmp(d->state, "sent") == 0)
        poll_sent(&p);
    else
        push_queued(&p);
}
