/* SPDX-License-Identifier: Apache-2.0
 *
 * See stix.h. jansson takes NULL as a sign of an earlier failure and passes it on, so objects are built without a check at
 * each step, and the sink remembers that one was missing.
 */
#include "collector/stix.h"

#include "collector/public_address.h"
#include "collector/tags.h"
#include "collector/to_json.h"
#include "common/buf.h"
#include "common/time.h"

#include <errno.h>
#include <openssl/evp.h>
#include <stdio.h>

#define EXTENSION_ID  "extension-definition--d0a9a720-c051-4012-8601-799281721388"
#define PRODUCT_ID    "identity--631d5f7d-f803-4a02-9ac9-8f6503ab5a64"
#define FIXED_TIME    "2026-11-01T00:00:00.000Z" /* of objects that never change */
#define COUNT_MAX     INT64_C(999999999)         /* STIX 2.1 sections 4.14 and 5.2 */
#define SENTENCES_MAX 20
#define HOSTS_MAX     50
#define CLAUSES_MAX   50

const char *const level_names[5] = {"informational", "low", "medium", "high", "critical"};

static const char extension_schema[] =
    "Adds to the STIX incident what a security operations centre decided about it. extension_type: "
    "\"property-extension\". "
    "number (integer): running number at the reporting centre. status (string): open or closed. severity (string): "
    "informational, low, medium, high or critical. severity_level (integer): 0 to 4, the same. first_seen, last_seen "
    "(timestamp): earliest and latest event. alert_count, event_count (integer). rule_ids (list of string): Sigma "
    "rules "
    "that fired. hosts (list of string): names of the machines concerned. clauses (list of string): requirements "
    "concerned, as standard and clause. internal_addresses_omitted (integer): internal addresses that were left out.";

static void uuid_text(uint8_t b[static 16], int version, char ret[static 37])
{
    b[6] = (uint8_t)((b[6] & 0x0f) | version << 4);
    b[8] = (uint8_t)((b[8] & 0x3f) | 0x80);
    snprintf(ret, 37, "%02x%02x%02x%02x-%02x%02x-%02x%02x-%02x%02x-%02x%02x%02x%02x%02x%02x", b[0], b[1], b[2], b[3],
             b[4], b[5], b[6], b[7], b[8], b[9], b[10], b[11], b[12], b[13], b[14], b[15]);
}

static void digest_id(const EVP_MD *md, int version, const char *type, const void *space, size_t space_len,
                      const char *what, char ret[static STIX_ID_MAX])
{
    uint8_t hash[EVP_MAX_MD_SIZE] = {0};
    char uuid[37];
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    if (ctx && EVP_DigestInit_ex(ctx, md, NULL) == 1) {
        EVP_DigestUpdate(ctx, space, space_len);
        EVP_DigestUpdate(ctx, what, strlen(what));
        EVP_DigestFinal_ex(ctx, hash, NULL);
    }
    EVP_MD_CTX_free(ctx);
    uuid_text(hash, version, uuid);
    snprintf(ret, STIX_ID_MAX, "%s--%s", type, uuid);
}

void stix_id(const char *type, const char *what, char ret[static STIX_ID_MAX])
{
    char space[64];
    int len = snprintf(space, sizeof(space), "vonggac/stix/%s/", type);
    digest_id(EVP_sha256(), 4, type, space, (size_t)len, what, ret);
}

/* STIX 2.1 section 2.9: UUIDv5 over the canonical JSON of the id contributing properties, here {"value": "..."}. */
static void address_id(const char *type, const char *value, char ret[static STIX_ID_MAX])
{
    static const uint8_t space[16] = {0x00, 0xab, 0xed, 0xb4, 0xaa, 0x42, 0x46, 0x6c,
                                      0x9c, 0x01, 0xfe, 0xd2, 0x33, 0x15, 0xa9, 0xb7};
    char canonical[80];
    snprintf(canonical, sizeof(canonical), "{\"value\":\"%s\"}", value);
    digest_id(EVP_sha1(), 5, type, space, sizeof(space), canonical, ret);
}

/* What is being built. `seen` keeps an object of one id from being added twice. */
struct sink {
    const struct stix_incident *incident;
    json_t *objects, *seen;
    char incident_id[STIX_ID_MAX], soc_id[STIX_ID_MAX], created[TIME_RFC3339_LEN];
    size_t internal_addresses;
    bool is_broken;
};

static void sink_add(struct sink *s, const char *id, json_t *object)
{
    if (json_object_get(s->seen, id)) {
        json_decref(object);
        return;
    }
    if (json_object_set_new(s->seen, id, json_true()) < 0 || json_array_append_new(s->objects, object) < 0)
        s->is_broken = true;
}

static json_t *text(const char *z)
{
    return to_json_text(str_of(z));
}

/* Every object but addresses starts so. */
static json_t *base_object(const char *type, const char *id, const char *created, const char *modified,
                           const char *creator)
{
    json_t *o = json_pack("{s:s, s:s, s:s, s:s, s:s}", "type", type, "spec_version", "2.1", "id", id, "created",
                          created, "modified", modified);
    if (creator)
        json_object_set_new(o, "created_by_ref", text(creator));
    return o;
}

/* ... and every one that speaks of the incident is marked. */
static json_t *incident_object(struct sink *s, const char *type, const char *id)
{
    json_t *o = base_object(type, id, s->created, s->created, s->soc_id);
    json_object_set_new(o, "object_marking_refs", json_pack("[s]", STIX_TLP_AMBER));
    if (s->incident->is_demo)
        json_object_set_new(o, "labels", json_pack("[s]", "demonstration"));
    return o;
}

static void add_fixed(struct sink *s)
{
    json_t *o = base_object("identity", PRODUCT_ID, FIXED_TIME, FIXED_TIME, NULL);
    json_object_set_new(o, "name", text("Vọng Gác"));
    json_object_set_new(o, "identity_class", text("system"));
    json_object_set_new(o, "description", text("Security operations system; author of the definitions it sends."));
    sink_add(s, PRODUCT_ID, o);

    o = base_object("identity", s->soc_id, FIXED_TIME, FIXED_TIME, NULL);
    json_object_set_new(o, "name", text(s->incident->soc_name));
    json_object_set_new(o, "identity_class", text("organization"));
    sink_add(s, s->soc_id, o);

    o = base_object("extension-definition", EXTENSION_ID, FIXED_TIME, FIXED_TIME, PRODUCT_ID);
    json_object_set_new(o, "name", text("Security operations centre's incident"));
    json_object_set_new(o, "description",
                        text("Status, severity and scope of an incident as the reporting centre sees them."));
    json_object_set_new(o, "schema", text(extension_schema));
    /* A date and not "1.0.0": medallion, OASIS's own TAXII server, takes this member for the object's version as a time, and
     * fails every later read of a collection where it is none. */
    json_object_set_new(o, "version", text(FIXED_TIME));
    json_object_set_new(o, "extension_types", json_pack("[s]", "property-extension"));
    sink_add(s, EXTENSION_ID, o);
}

/* Adds the address's own object and its id to refs; an internal one is only counted. */
static void add_address(struct sink *s, struct str address, json_t *refs)
{
    char value[INET6_ADDRSTRLEN], id[STIX_ID_MAX];
    bool is_ipv6;
    int r = public_address(address, value, &is_ipv6);
    if (r < 0) {
        if (r == -ENOENT && !json_object_get(s->seen, value)) {
            s->internal_addresses++;
            json_object_set_new(s->seen, value, json_true());
        }
        return;
    }
    const char *type = is_ipv6 ? "ipv6-addr" : "ipv4-addr";
    address_id(type, value, id);
    sink_add(s, id, json_pack("{s:s, s:s, s:s, s:s}", "type", type, "spec_version", "2.1", "id", id, "value", value));
    for (size_t i = 0; i < json_array_size(refs); i++) {
        if (strcmp(json_string_value(json_array_get(refs, i)), id) == 0)
            return;
    }
    json_array_append_new(refs, text(id));
}

static void set_time(json_t *o, const char *key, int64_t ts_ns)
{
    char z[TIME_RFC3339_LEN];
    time_format_stix(ts_ns, z);
    json_object_set_new(o, key, text(z));
}

/* One for each alert that names a public address: STIX wants at least one observable in it. Returns its id in ret. */
static bool add_observed(struct sink *s, const struct stix_alert *a, char ret[static STIX_ID_MAX])
{
    json_t *refs = json_array();
    add_address(s, a->source_ip, refs);
    add_address(s, a->destination_ip, refs);
    if (json_array_size(refs) == 0) {
        json_decref(refs);
        return false;
    }
    char what[160];
    snprintf(what, sizeof(what), "%s/%s", s->incident->id, a->id);
    stix_id("observed-data", what, ret);
    json_t *o = incident_object(s, "observed-data", ret);
    set_time(o, "first_observed", a->first_ns);
    set_time(o, "last_observed", MAX(a->first_ns, a->last_ns));
    json_object_set_new(o, "number_observed", json_integer(MIN(MAX(a->count, 1), COUNT_MAX)));
    json_object_set_new(o, "object_refs", refs);
    sink_add(s, ret, o);
    return true;
}

/* What is known of one technique over all alerts. */
struct technique {
    char id[TECHNIQUE_LEN];
    json_t *observed; /* ids of observed-data; owned */
    int64_t count, first_ns, last_ns;
};

struct techniques {
    struct technique items[64]; /* more say nothing to anybody */
    size_t n;
};

static struct technique *technique_of(struct techniques *ts, const char *id)
{
    for (size_t i = 0; i < ts->n; i++) {
        if (strcmp(ts->items[i].id, id) == 0)
            return &ts->items[i];
    }
    if (ts->n == ARRAY_LEN(ts->items))
        return NULL;
    struct technique *t = &ts->items[ts->n++];
    *t = (struct technique){.observed = json_array(), .first_ns = INT64_MAX, .last_ns = INT64_MIN};
    memcpy(t->id, id, sizeof(t->id));
    return t;
}

static void collect_techniques(struct techniques *ts, const struct stix_alert *a, const char *observed_id)
{
    size_t i;
    json_t *tag;
    json_array_foreach((json_t *)a->tags, i, tag)
    {
        char id[TECHNIQUE_LEN];
        if (!json_is_string(tag) || !tag_technique(str_of(json_string_value(tag)), id))
            continue;
        struct technique *t = technique_of(ts, id);
        if (!t)
            continue;
        t->count = MIN(t->count + MAX(a->count, 1), COUNT_MAX);
        t->first_ns = MIN(t->first_ns, a->first_ns);
        t->last_ns = MAX(t->last_ns, MAX(a->first_ns, a->last_ns));
        if (observed_id)
            json_array_append_new(t->observed, text(observed_id));
    }
}

static void add_technique(struct sink *s, const struct technique *t)
{
    char pattern_id[STIX_ID_MAX], id[STIX_ID_MAX], what[160];
    stix_id("attack-pattern", t->id, pattern_id);
    const char *name = technique_name(t->id);
    json_t *o = base_object("attack-pattern", pattern_id, FIXED_TIME, FIXED_TIME, PRODUCT_ID);
    json_object_set_new(o, "name", text(name ? name : t->id));
    /* No URL: the standard wants a hash of what lies behind one. */
    json_object_set_new(o, "external_references",
                        json_pack("[{s:s, s:s}]", "source_name", "mitre-attack", "external_id", t->id));
    sink_add(s, pattern_id, o);

    snprintf(what, sizeof(what), "%s/%s", s->incident->id, t->id);
    stix_id("sighting", what, id);
    o = incident_object(s, "sighting", id);
    json_object_set_new(o, "sighting_of_ref", text(pattern_id));
    set_time(o, "first_seen", t->first_ns);
    set_time(o, "last_seen", t->last_ns);
    json_object_set_new(o, "count", json_integer(t->count));
    json_object_set_new(o, "where_sighted_refs", json_pack("[s]", s->soc_id));
    if (json_array_size(t->observed) > 0)
        json_object_set(o, "observed_data_refs", t->observed);
    sink_add(s, id, o);

    stix_id("relationship", what, id);
    o = incident_object(s, "relationship", id);
    json_object_set_new(o, "relationship_type", text("related-to"));
    json_object_set_new(o, "source_ref", text(s->incident_id));
    json_object_set_new(o, "target_ref", text(pattern_id));
    sink_add(s, id, o);
}

static bool has_text(const json_t *list, const char *z)
{
    size_t i;
    json_t *item;
    json_array_foreach((json_t *)list, i, item)
    {
        if (strcmp(json_string_value(item), z) == 0)
            return true;
    }
    return false;
}

static void add_text_once(json_t *list, const char *z, size_t max)
{
    if (json_array_size(list) < max && !has_text(list, z))
        json_array_append_new(list, text(z));
}

static void add_clauses(json_t *list, const json_t *tags)
{
    size_t i;
    json_t *tag;
    json_array_foreach((json_t *)tags, i, tag)
    {
        struct str standard;
        char clause[CLAUSE_MAX], both[CLAUSE_MAX + 32];
        if (!json_is_string(tag) || !tag_clause(str_of(json_string_value(tag)), &standard, clause))
            continue;
        snprintf(both, sizeof(both), "%.*s %s", (int)MIN(standard.len, (size_t)16), standard.p, clause);
        add_text_once(list, both, CLAUSES_MAX);
    }
}

static void add_host(json_t *list, struct str host)
{
    char z[256], ignored[INET6_ADDRSTRLEN];
    bool is_ipv6;
    if (host.len == 0 || host.len >= sizeof(z) || public_address(host, ignored, &is_ipv6) != -EINVAL)
        return; /* a machine that is named by its address stays unnamed */
    memcpy(z, host.p, host.len);
    z[host.len] = '\0';
    add_text_once(list, z, HOSTS_MAX);
}

static json_t *extension(struct sink *s)
{
    const struct stix_incident *in = s->incident;
    json_t *rules = json_array(), *hosts = json_array(), *clauses = json_array();
    int64_t first = INT64_MAX, last = INT64_MIN, events = 0;
    for (size_t i = 0; i < in->n_alerts; i++) {
        const struct stix_alert *a = &in->alerts[i];
        add_text_once(rules, a->rule_id, in->n_alerts);
        add_host(hosts, a->host);
        add_clauses(clauses, a->tags);
        first = MIN(first, a->first_ns);
        last = MAX(last, MAX(a->first_ns, a->last_ns));
        events += MAX(a->count, 1);
    }
    json_t *e = json_pack("{s:s, s:I, s:s, s:s, s:i, s:i, s:I, s:i}", "extension_type", "property-extension", "number",
                          (json_int_t)in->number, "status", in->status, "severity", level_names[in->severity],
                          "severity_level", in->severity, "alert_count", (int)in->n_alerts, "event_count",
                          (json_int_t)events, "internal_addresses_omitted", (int)s->internal_addresses);
    if (in->n_alerts > 0) {
        set_time(e, "first_seen", first);
        set_time(e, "last_seen", last);
    }
    /* STIX has no empty lists. */
    const struct {
        const char *key;
        json_t *list;
    } lists[] = {{"rule_ids", rules}, {"hosts", hosts}, {"clauses", clauses}};
    for (size_t i = 0; i < ARRAY_LEN(lists); i++) {
        if (json_array_size(lists[i].list) > 0)
            json_object_set(e, lists[i].key, lists[i].list);
        json_decref(lists[i].list);
    }
    return e;
}

static void add_incident(struct sink *s)
{
    json_t *o = incident_object(s, "incident", s->incident_id);
    char modified[TIME_RFC3339_LEN];
    time_format_stix(MAX(s->incident->created_ns, s->incident->updated_ns), modified);
    json_object_set_new(o, "modified", text(modified));
    json_object_set_new(o, "lang", text("vi"));
    json_object_set_new(o, "name", text(s->incident->title));
    if (s->incident->note[0])
        json_object_set_new(o, "description", text(s->incident->note));
    json_t *e = json_object();
    json_object_set_new(e, EXTENSION_ID, extension(s));
    json_object_set_new(o, "extensions", e);
    sink_add(s, s->incident_id, o);
}

/* The sentences of the first alerts, in both languages, and what was left out. */
static void add_note(struct sink *s)
{
    const struct stix_incident *in = s->incident;
    struct buf b = BUF_INIT(256 * KIB);
    const char *z = NULL;
    size_t shown = MIN(in->n_alerts, (size_t)SENTENCES_MAX);
    int r = 0;
    for (size_t i = 0; i < shown && r == 0; i++)
        r = buf_printf(&b, "- %s\n  (%s)\n", in->alerts[i].sentence_vi, in->alerts[i].sentence_en);
    if (r == 0 && in->n_alerts > shown)
        r = buf_printf(&b, "Còn %zu cảnh báo khác. (%zu more alerts.)\n", in->n_alerts - shown, in->n_alerts - shown);
    if (r == 0 && s->internal_addresses > 0)
        r = buf_printf(&b, "Đã lược bỏ %zu địa chỉ nội bộ. (%zu internal addresses left out.)\n", s->internal_addresses,
                       s->internal_addresses);
    if (r == 0 && b.len > 0)
        r = buf_z(&b, &z);
    if (r < 0)
        s->is_broken = true;
    if (z) {
        char id[STIX_ID_MAX];
        stix_id("note", in->id, id);
        json_t *o = incident_object(s, "note", id);
        json_object_set_new(o, "abstract", text("Vì sao cảnh báo (why the alerts fired)"));
        json_object_set_new(o, "content", text(z));
        json_object_set_new(o, "object_refs", json_pack("[s]", s->incident_id));
        sink_add(s, id, o);
    }
    buf_clear(&b);
}

json_t *stix_envelope(const struct stix_incident *in)
{
    struct sink s = {.incident = in, .objects = json_array(), .seen = json_object()};
    struct techniques ts = {0};
    snprintf(s.incident_id, sizeof(s.incident_id), "incident--%s", in->id);
    stix_id("identity", in->soc_name, s.soc_id);
    time_format_stix(in->created_ns, s.created);
    add_fixed(&s);
    for (size_t i = 0; i < in->n_alerts; i++) {
        char observed[STIX_ID_MAX];
        bool is_observed = add_observed(&s, &in->alerts[i], observed);
        collect_techniques(&ts, &in->alerts[i], is_observed ? observed : NULL);
    }
    add_incident(&s); /* after the addresses: it says how many were left out */
    for (size_t i = 0; i < ts.n; i++) {
        add_technique(&s, &ts.items[i]);
        json_decref(ts.items[i].observed);
    }
    add_note(&s);
    json_decref(s.seen);
    json_t *envelope = json_object();
    if (json_object_set_new(envelope, "objects", s.objects) < 0 || s.is_broken) {
        json_decref(envelope);
        return NULL;
    }
    return envelope;
}
