/* SPDX-License-Identifier: Apache-2.0
 *
 * See alert_json.h. A row's JSON texts were written by our own detector; should one not parse, the member is empty and
 * the alert is still shown.
 */
#include "collector/alert_json.h"

#include "collector/sql.h"
#include "collector/stix.h"
#include "collector/tags.h"
#include "collector/to_json.h"

#include <errno.h>

#define GROUP_MAX 32

static json_t *parsed(sqlite3_stmt *st, int column, json_type type)
{
    json_t *v = from_json(store_col_str(st, column));
    if (v && json_typeof(v) == type)
        return v;
    json_decref(v);
    return type == JSON_ARRAY ? json_array() : json_object();
}

/* Copies a member, or sets null. */
static void copy(json_t *to, const char *key, const json_t *from)
{
    json_t *v = json_object_get(from, key);
    if (v)
        json_object_set(to, key, v);
    else
        json_object_set_new(to, key, json_null());
}

static json_t *rule_head(sqlite3_stmt *st, const json_t *rule)
{
    int64_t level = store_col_int(st, ALERT_LEVEL);
    json_t *o = json_object();
    json_object_set_new(o, "id", to_json_text(store_col_str(st, ALERT_RULE_ID)));
    json_object_set_new(o, "title", to_json_text(store_col_str(st, ALERT_RULE_TITLE)));
    json_object_set_new(o, "title_vi", to_json_text_or_null(store_col_str(st, ALERT_RULE_TITLE_VI)));
    copy(o, "author", rule);
    json_object_set_new(o, "level", json_integer(level));
    json_object_set_new(o, "level_name", json_string(level >= 0 && level < 5 ? level_names[level] : "unknown"));
    json_t *tags = json_object_get(rule, "tags");
    if (json_is_array(tags))
        json_object_set(o, "tags", tags);
    else
        json_object_set_new(o, "tags", json_array());
    return o;
}

static json_t *row_json(sqlite3_stmt *st, const json_t *rule)
{
    static const struct {
        const char *key;
        enum alert_column column;
    } texts[] = {
        {"id", ALERT_ID},
        {"change", ALERT_CHANGE}, /* as text: it may pass 2^53 */
        {"kind", ALERT_KIND},
        {"status", ALERT_STATUS},
        {"close_reason", ALERT_CLOSE_REASON},
        {"owner", ALERT_OWNER},
        {"agent", ALERT_AGENT},
        {"host", ALERT_HOST},
        {"user", ALERT_USER},
        {"source_ip", ALERT_SOURCE_IP},
        {"destination_ip", ALERT_DESTINATION_IP},
        {"incident_id", ALERT_INCIDENT_ID},
    };
    static const struct {
        const char *key;
        enum alert_column column;
    } times[] = {{"first", ALERT_FIRST}, {"last", ALERT_LAST}, {"created", ALERT_CREATED}, {"updated", ALERT_UPDATED}};
    json_t *o = json_object();
    for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
        struct str text = store_col_str(st, (int)texts[i].column);
        json_object_set_new(o, texts[i].key, text.len ? to_json_text(text) : json_null());
    }
    for (size_t i = 0; i < ARRAY_LEN(times); i++)
        json_object_set_new(o, times[i].key, to_json_time(store_col_int(st, (int)times[i].column)));
    json_object_set_new(o, "rule", rule_head(st, rule));
    json_object_set_new(o, "demo", json_boolean(store_col_int(st, ALERT_IS_DEMO)));
    json_object_set_new(o, "group", parsed(st, ALERT_GROUP_JSON, JSON_OBJECT));
    json_object_set_new(o, "count", json_integer(store_col_int(st, ALERT_COUNT)));
    return o;
}

json_t *alert_json(sqlite3_stmt *st)
{
    json_t *rule = parsed(st, ALERT_RULE_JSON, JSON_OBJECT);
    json_t *o = row_json(st, rule);
    json_decref(rule);
    return o;
}

/* Techniques and clauses that the rule's tags name. */
static void add_meanings(json_t *o, const json_t *tags)
{
    json_t *names = json_array(), *clauses = json_array(), *tag;
    size_t i;
    json_array_foreach((json_t *)tags, i, tag)
    {
        char technique[TECHNIQUE_LEN], clause[CLAUSE_MAX];
        struct str standard, text = {json_string_value(tag), json_string_length(tag)};
        if (!json_is_string(tag))
            continue;
        if (tag_technique(text, technique))
            json_array_append_new(names, json_string(technique));
        else if (tag_clause(text, &standard, clause))
            json_array_append_new(clauses, json_pack("{s:o, s:o}", "standard", to_json_text(standard), "clause",
                                                     to_json_text(str_of(clause))));
    }
    json_object_set_new(o, "techniques", names);
    json_object_set_new(o, "clauses", clauses);
}

static int add_sentence(json_t *o, const char *key, sqlite3_stmt *st, const json_t *matched,
                        enum sentence_language language)
{
    CLEANUP(free_ptr) char *text = NULL;
    int r = alert_sentence(st, o, matched, language, false, &text);
    if (r == 0)
        json_object_set_new(o, key, to_json_text(str_of(text)));
    return r;
}

json_t *alert_detail_json(sqlite3_stmt *st)
{
    json_t *rule = parsed(st, ALERT_RULE_JSON, JSON_OBJECT);
    json_t *o = row_json(st, rule);
    json_t *shown = json_object_get(o, "rule");
    static const char *const more[] = {"description", "description_vi", "references", "falsepositives", "file",
                                       "line",        "status",         "date",       "group_by",       "timespan_s"};
    for (size_t i = 0; i < ARRAY_LEN(more); i++)
        copy(shown, more[i], rule);
    json_decref(rule);
    add_meanings(o, json_object_get(shown, "tags"));
    json_object_set_new(o, "matched", parsed(st, ALERT_MATCHED_JSON, JSON_ARRAY));
    json_t *event = parsed(st, ALERT_EVENT_JSON, JSON_OBJECT);
    copy(o, "raw", NULL);
    json_t *raw = json_object_get(event, "event.original");
    if (raw)
        json_object_set(o, "raw", raw);
    json_object_set_new(o, "event", event);
    json_t *matched = json_object_get(o, "matched");
    if (!matched || add_sentence(o, "sentence_vi", st, matched, SENTENCE_VI) < 0 ||
        add_sentence(o, "sentence_en", st, matched, SENTENCE_EN) < 0) {
        json_decref(o);
        return NULL;
    }
    return o;
}

static struct str text_of(const json_t *o, const char *key)
{
    const json_t *v = json_object_get(o, key);
    return (struct str){json_string_value(v), json_string_length(v)};
}

/* A group's value as text; numbers use scratch. */
static struct str value_text(const json_t *v, char *scratch, size_t size)
{
    if (json_is_string(v))
        return (struct str){json_string_value(v), json_string_length(v)};
    if (json_is_integer(v)) {
        int n = snprintf(scratch, size, "%" JSON_INTEGER_FORMAT, json_integer_value(v));
        return (struct str){scratch, (size_t)n};
    }
    return (struct str){0};
}

int alert_sentence(sqlite3_stmt *st, const json_t *row, const json_t *matched, enum sentence_language language,
                   bool is_public, char **ret)
{
    struct sentence_group group[GROUP_MAX];
    char scratch[GROUP_MAX][24];
    size_t n = 0;
    const char *key;
    json_t *value;
    json_object_foreach(json_object_get(row, "group"), key, value)
    {
        if (n < GROUP_MAX) {
            group[n] = (struct sentence_group){str_of(key), value_text(value, scratch[n], sizeof(scratch[n]))};
            n++;
        }
    }
    const json_t *first = json_array_get(matched, 0);
    struct str title_vi = store_col_str(st, ALERT_RULE_TITLE_VI);
    struct sentence_facts f = {
        .is_correlation = strcmp(sql_z(st, ALERT_KIND), "correlation") == 0,
        .title = language == SENTENCE_VI && title_vi.len ? title_vi : store_col_str(st, ALERT_RULE_TITLE),
        .host = store_col_str(st, ALERT_HOST),
        .user = store_col_str(st, ALERT_USER),
        .source_ip = store_col_str(st, ALERT_SOURCE_IP),
        .destination_ip = store_col_str(st, ALERT_DESTINATION_IP),
        .group = group,
        .n_group = n,
        .count = store_col_int(st, ALERT_COUNT),
        .first_ns = store_col_int(st, ALERT_FIRST),
        .last_ns = store_col_int(st, ALERT_LAST),
        .matched_field = text_of(first, "field"),
        .matched_value = text_of(first, "value"),
        .is_public = is_public,
    };
    struct buf out = BUF_INIT(64 * KIB);
    const char *z;
    int r = sentence_write(&f, language, &out);
    if (r == 0)
        r = buf_z(&out, &z);
    if (r < 0) {
        buf_clear(&out);
        return -ENOMEM;
    }
    *ret = (char *)out.data; /* NUL-terminated, and the caller's from here */
    return 0;
}
