/* SPDX-License-Identifier: Apache-2.0
 *
 * With VONGGAC_STIX_OUT set to a folder, every envelope built here is also written there, for the outside validator
 * (tests/e2e/test_stix.py).
 */
#include "collector/stix.h"

#include "collector/tags.h"
#include "common/buf.h"
#include "common/file.h"
#include "common/time.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#define T0 (INT64_C(1795450000) * NS_PER_S)

static void write_out(const char *name, json_t *envelope)
{
    const char *dir = getenv("VONGGAC_STIX_OUT");
    if (!dir)
        return;
    char path[4096];
    snprintf(path, sizeof(path), "%s/%s.json", dir, name);
    char *text = json_dumps(envelope, JSON_INDENT(1));
    assert_non_null(text);
    assert_int_equal(file_write_atomic(path, str_of(text), 0600), 0);
    free(text);
}

static json_t *find(const json_t *envelope, const char *type, size_t nth)
{
    size_t i;
    json_t *o;
    json_array_foreach(json_object_get(envelope, "objects"), i, o)
    {
        if (strcmp(json_string_value(json_object_get(o, "type")), type) == 0 && nth-- == 0)
            return o;
    }
    return NULL;
}

static size_t count(const json_t *envelope, const char *type)
{
    size_t n = 0;
    while (find(envelope, type, n))
        n++;
    return n;
}

static const char *member(const json_t *o, const char *key)
{
    const char *z = json_string_value(json_object_get(o, key));
    return z ? z : "";
}

static struct stix_alert alert_of(const char *id, const char *source, const char *destination, json_t *tags)
{
    return (struct stix_alert){
        .id = id,
        .rule_id = "5013ab74-7b3a-4d0a-9b6e-3b0b0a9b8f11",
        .host = STR("web01"),
        .source_ip = str_of(source),
        .destination_ip = str_of(destination),
        .tags = tags,
        .sentence_vi = (char *)"Dò mật khẩu SSH: 12 lần trong 2 phút từ địa chỉ 203.0.113.7.",
        .sentence_en = (char *)"SSH brute force: 12 times in 2 minutes from 203.0.113.7.",
        .count = 12,
        .first_ns = T0,
        .last_ns = T0 + 120 * NS_PER_S + 5,
    };
}

static struct stix_incident incident_of(const struct stix_alert *alerts, size_t n)
{
    return (struct stix_incident){
        .id = "7f7a3b4e-54b5-4c7e-9a1f-9b1d6c1f2a3b",
        .title = "Dò mật khẩu vào cổng dịch vụ công",
        .note = "Đã chặn địa chỉ nguồn.",
        .status = "open",
        .soc_name = "SOC tỉnh",
        .number = 7,
        .severity = 3,
        .created_ns = T0 + 600 * NS_PER_S,
        .updated_ns = T0 + 600 * NS_PER_S,
        .alerts = alerts,
        .n_alerts = n,
    };
}

static void one_alert(void **state)
{
    (void)state;
    json_t *tags = json_pack("[s,s,s,s]", "attack.credential_access", "attack.t1110.001", "tcvn14423.5-6-2-3",
                             "tcvn11930.7-2-2-3");
    struct stix_alert a = alert_of("a1", "203.0.113.7", "10.0.0.5", tags);
    struct stix_incident in = incident_of(&a, 1);
    json_t *e = stix_envelope(&in);
    assert_non_null(e);
    write_out("one_alert", e);

    json_t *i = find(e, "incident", 0);
    assert_string_equal(member(i, "id"), "incident--7f7a3b4e-54b5-4c7e-9a1f-9b1d6c1f2a3b");
    assert_string_equal(member(i, "name"), in.title);
    assert_string_equal(member(i, "description"), in.note);
    assert_string_equal(json_string_value(json_array_get(json_object_get(i, "object_marking_refs"), 0)),
                        STIX_TLP_AMBER);
    json_t *x = json_object_get(json_object_get(i, "extensions"), member(find(e, "extension-definition", 0), "id"));
    assert_string_equal(member(x, "extension_type"), "property-extension");
    assert_string_equal(member(x, "severity"), "high");
    assert_int_equal(json_integer_value(json_object_get(x, "event_count")), 12);
    assert_int_equal(json_integer_value(json_object_get(x, "internal_addresses_omitted")), 1);
    assert_string_equal(json_string_value(json_array_get(json_object_get(x, "clauses"), 0)), "tcvn14423 5.6.2.3");
    assert_string_equal(json_string_value(json_array_get(json_object_get(x, "hosts"), 0)), "web01");

    /* Computed by the Python library stix2 3.0.2: stix2.IPv4Address(value="203.0.113.7").id */
    assert_string_equal(member(find(e, "ipv4-addr", 0), "id"), "ipv4-addr--9ddd739e-87b1-587d-83f2-62ef1130af2f");
    assert_int_equal(count(e, "ipv4-addr"), 1);
    assert_int_equal(count(e, "observed-data"), 1);
    assert_int_equal(count(e, "sighting"), 1);
    assert_string_equal(member(find(e, "sighting", 0), "sighting_of_ref"), member(find(e, "attack-pattern", 0), "id"));
    assert_string_equal(member(find(e, "attack-pattern", 0), "name"), "Brute Force: Password Guessing");
    assert_string_equal(member(find(e, "relationship", 0), "source_ref"), member(i, "id"));
    char *text = json_dumps(e, 0);
    assert_null(strstr(text, "10.0.0.5"));
    free(text);
    json_decref(e);
    json_decref(tags);
}

static void the_same_twice_is_the_same(void **state)
{
    (void)state;
    json_t *tags = json_pack("[s]", "attack.t1190");
    struct stix_alert a = alert_of("a1", "2001:db8::7", "", tags);
    struct stix_incident in = incident_of(&a, 1);
    json_t *first = stix_envelope(&in), *second = stix_envelope(&in);
    assert_true(json_equal(first, second));
    write_out("ipv6", first);
    assert_int_equal(count(first, "ipv6-addr"), 1);

    /* Another incident has other objects of its own, but the same address and technique. */
    struct stix_incident other = in;
    other.id = "11111111-54b5-4c7e-9a1f-9b1d6c1f2a3b";
    json_t *third = stix_envelope(&other);
    assert_string_equal(member(find(first, "ipv6-addr", 0), "id"), member(find(third, "ipv6-addr", 0), "id"));
    assert_true(json_equal(find(first, "attack-pattern", 0), find(third, "attack-pattern", 0)));
    assert_true(json_equal(find(first, "identity", 1), find(third, "identity", 1)));
    static const char *const own[] = {"incident", "observed-data", "sighting", "relationship", "note"};
    for (size_t i = 0; i < ARRAY_LEN(own); i++)
        assert_string_not_equal(member(find(first, own[i], 0), "id"), member(find(third, own[i], 0), "id"));
    json_decref(first);
    json_decref(second);
    json_decref(third);
    json_decref(tags);
}

static void nothing_public_still_makes_a_report(void **state)
{
    (void)state;
    json_t *tags = json_pack("[s,s]", "attack.t9999", "attack.persistence");
    struct stix_alert a = alert_of("a1", "10.1.2.3", "fe80::1", tags);
    a.host = STR("192.168.7.7"); /* a machine named by its internal address */
    struct stix_incident in = incident_of(&a, 1);
    in.note = "";
    in.is_demo = true;
    json_t *e = stix_envelope(&in);
    write_out("nothing_public", e);
    assert_int_equal(count(e, "observed-data"), 0);
    assert_int_equal(count(e, "ipv4-addr"), 0);
    assert_int_equal(count(e, "sighting"), 1);
    assert_null(json_object_get(find(e, "sighting", 0), "observed_data_refs"));
    assert_string_equal(member(find(e, "attack-pattern", 0), "name"), "T9999");
    assert_null(json_object_get(find(e, "incident", 0), "description"));
    assert_string_equal(json_string_value(json_array_get(json_object_get(find(e, "incident", 0), "labels"), 0)),
                        "demonstration");
    char *text = json_dumps(e, 0);
    assert_null(strstr(text, "192.168"));
    assert_non_null(strstr(text, "2 internal addresses"));
    free(text);
    json_decref(e);
    json_decref(tags);
}

static void the_largest_incident(void **state)
{
    (void)state;
    enum { N = 500 };
    static struct stix_alert alerts[N];
    static char ids[N][16], addresses[N][16];
    json_t *tags = json_pack("[s,s]", "attack.t1595.002", "attack.t1190");
    for (int i = 0; i < N; i++) {
        snprintf(ids[i], sizeof(ids[i]), "alert-%d", i);
        snprintf(addresses[i], sizeof(addresses[i]), "198.51.100.%d", i % 250 + 1);
        alerts[i] = alert_of(ids[i], addresses[i], "203.0.113.200", tags);
        alerts[i].count = i == 0 ? INT64_C(5000000000) : 1; /* over what STIX can say */
    }
    struct stix_incident in = incident_of(alerts, N);
    json_t *e = stix_envelope(&in);
    write_out("largest", e);
    assert_int_equal(count(e, "observed-data"), N);
    assert_int_equal(count(e, "ipv4-addr"), 251);
    assert_int_equal(json_integer_value(json_object_get(find(e, "observed-data", 0), "number_observed")), 999999999);
    assert_int_equal(json_integer_value(json_object_get(find(e, "sighting", 1), "count")), 999999999);
    json_decref(e);
    json_decref(tags);
}

static void odd_bytes_do_not_stop_a_report(void **state)
{
    (void)state;
    json_t *tags = json_pack("[s]", "attack.t1110");
    struct stix_alert a = alert_of("a1", "203.0.113.7", "", tags);
    a.host = STR("web\xff\xfe"
                 "01");
    a.sentence_vi = (char *)"a\xc3(b\xe2\x82";
    struct stix_incident in = incident_of(&a, 1);
    json_t *e = stix_envelope(&in);
    write_out("odd_bytes", e);
    char *text = json_dumps(e, 0);
    assert_non_null(text);
    assert_non_null(strstr(text, "web\xef\xbf\xbd\xef\xbf\xbd"
                                 "01"));
    free(text);
    json_decref(e);
    json_decref(tags);
}

static void tags_speak(void **state)
{
    (void)state;
    char technique[TECHNIQUE_LEN], clause[CLAUSE_MAX];
    struct str standard;
    assert_true(tag_technique(STR("attack.t1110.001"), technique));
    assert_string_equal(technique, "T1110.001");
    assert_true(tag_technique(STR("attack.T1110"), technique));
    assert_string_equal(technique, "T1110");
    static const char *const not_techniques[] = {"attack.",         "attack.t111",      "attack.t11100",
                                                 "attack.t1110.01", "attack.execution", "t1110",
                                                 "attack.g0001",    "attack.t1110x001"};
    for (size_t i = 0; i < ARRAY_LEN(not_techniques); i++)
        assert_false(tag_technique(str_of(not_techniques[i]), technique));
    assert_true(tag_clause(STR("tcvn14423.5-8-2-1a"), &standard, clause));
    assert_true(str_eq(standard, STR("tcvn14423")));
    assert_string_equal(clause, "5.8.2.1a");
    assert_true(tag_clause(STR("tcvn11930.7-2-2-3"), &standard, clause));
    assert_false(tag_clause(STR("attack.t1110"), &standard, clause));
    assert_false(tag_clause(STR("tcvn14423."), &standard, clause));
    assert_false(tag_clause(STR("tcvn14423"), &standard, clause));
    assert_false(tag_clause(STR("tcvn14423.5-8-2-1a-5-8-2-1a-5-8-2-1a-5-8-2-1a"), &standard, clause));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_alert),
        cmocka_unit_test(the_same_twice_is_the_same),
        cmocka_unit_test(nothing_public_still_makes_a_report),
        cmocka_unit_test(the_largest_incident),
        cmocka_unit_test(odd_bytes_do_not_stop_a_report),
        cmocka_unit_test(tags_speak),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
