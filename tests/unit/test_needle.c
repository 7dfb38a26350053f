/* SPDX-License-Identifier: Apache-2.0 */
#include "rules/needle.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

struct bench {
    struct arena *arena, *scratch;
    struct match_env env;
};

static int setup(void **state)
{
    struct bench *b = calloc(1, sizeof(*b));
    b->arena = arena_new(16 * MIB);
    b->scratch = arena_new(16 * MIB);
    assert_int_equal(match_env_init(&b->env, b->scratch), 0);
    *state = b;
    return 0;
}

static int teardown(void **state)
{
    struct bench *b = *state;
    match_env_clear(&b->env);
    arena_free(b->arena);
    arena_free(b->scratch);
    free(b);
    return 0;
}

static struct needle needle_of(struct bench *b, const char *pattern, bool is_cased)
{
    struct sigma_string s;
    struct needle n;
    assert_int_equal(sigma_string_parse(str_of(pattern), b->arena, &s), 0);
    assert_int_equal(needle_of_string(&s, is_cased, b->arena, &n), 0);
    return n;
}

static bool matches_cased(struct bench *b, const char *pattern, struct str text, bool is_cased)
{
    struct needle n = needle_of(b, pattern, is_cased);
    struct value v;
    value_of_text(text, &v);
    return needle_match(&n, &v, &b->env);
}

static bool matches(struct bench *b, const char *pattern, const char *text)
{
    return matches_cased(b, pattern, str_of(text), false);
}

static void test_wildcards(void **state)
{
    struct bench *b = *state;
    assert_true(matches(b, "abc", "ABC"));
    assert_false(matches(b, "abc", "abcd"));
    assert_false(matches(b, "abc", "xabc"));
    assert_true(matches(b, "", ""));
    assert_false(matches(b, "", "x"));
    assert_true(matches(b, "*", ""));
    assert_true(matches(b, "**", "x"));
    assert_true(matches(b, "a*", "a"));
    assert_true(matches(b, "*a", "xxa"));
    assert_true(matches(b, "*a*", "xax"));
    assert_true(matches(b, "a*b*c", "a--b--b--c"));
    assert_false(matches(b, "a*b*c", "a--c--b"));
    assert_true(matches(b, "a*a", "aa"));
    assert_false(matches(b, "a*a", "a"));
    assert_true(matches(b, "*a*b", "abab"));
    assert_true(matches(b, "prog?.exe", "progA.exe"));
    assert_false(matches(b, "prog?.exe", "prog.exe"));
    assert_false(matches(b, "prog?.exe", "progAB.exe"));
    assert_true(matches(b, "?", "ệ")); /* one character, three bytes */
    assert_false(matches(b, "?", ""));
    assert_true(matches(b, "*?", "x"));
    assert_false(matches(b, "*?", ""));
    assert_true(matches(b, "*b?", "abbệ"));
    assert_true(matches(b, "??*", "ab"));
    assert_true(matches(b, "*a?c*", "xxabcxabc"));
    assert_true(matches(b, "*ab?*de", "ababxdexde"));
    assert_true(matches_cased(b, "a*c", (struct str){"a\n\0c", 4}, false));
}

static void test_escapes(void **state)
{
    struct bench *b = *state;
    assert_true(matches(b, "a\\*b", "a*b"));
    assert_false(matches(b, "a\\*b", "axb"));
    assert_true(matches(b, "a\\?", "a?"));
    assert_false(matches(b, "a\\?", "ab"));
    assert_true(matches(b, "C:\\Windows\\cmd.exe", "c:\\windows\\CMD.exe")); /* plain backslashes */
    assert_true(matches(b, "C:\\\\Windows", "C:\\Windows"));                 /* escaped: the same */
    assert_true(matches(b, "\\\\*", "\\anything"));                          /* backslash, then wildcard */
    assert_false(matches(b, "\\\\*", "anything"));
    assert_true(matches(b, "\\\\\\*", "\\*")); /* both plain */
    assert_false(matches(b, "\\\\\\*", "\\x"));
    assert_true(matches(b, "\\\\\\\\srv", "\\\\srv")); /* four: two */
    assert_true(matches(b, "\\\\\\srv", "\\\\srv"));   /* three: two */
    assert_true(matches(b, "tail\\", "tail\\"));
}

static void test_case(void **state)
{
    struct bench *b = *state;
    assert_true(matches(b, "*ĐĂNG NHẬP*", "lỗi đăng nhập lần 3"));
    assert_true(matches(b, "*đăng nhập*", "LỖI ĐĂNG NHẬP"));
    assert_false(matches_cased(b, "*ABC*", STR("xabcx"), true));
    assert_true(matches_cased(b, "*ABC*", STR("xABCx"), true));
    assert_false(matches_cased(b, "A?C", STR("abc"), true));
}

static struct str shown(struct bench *b, const char *pattern)
{
    return needle_of(b, pattern, false).shown;
}

static void test_ops_and_text_for_people(void **state)
{
    struct bench *b = *state;
    assert_int_equal(needle_of(b, "ab", false).op, NEEDLE_EQUAL);
    assert_int_equal(needle_of(b, "ab*", false).op, NEEDLE_PREFIX);
    assert_int_equal(needle_of(b, "*ab", false).op, NEEDLE_SUFFIX);
    assert_int_equal(needle_of(b, "*ab*", false).op, NEEDLE_CONTAINS);
    assert_int_equal(needle_of(b, "a*b", false).op, NEEDLE_WILD);
    assert_int_equal(needle_of(b, "*", false).op, NEEDLE_ANY);
    assert_true(str_eq(shown(b, "*Union Select*"), STR("*Union Select*")));
    assert_true(str_eq(shown(b, "a\\*b?"), STR("a\\*b?")));
}

static bool contains_form(struct bench *b, struct sigma_string s, const char *text)
{
    struct needle n;
    struct value v;
    assert_int_equal(sigma_string_surround(&s, true, true, b->arena), 0);
    assert_int_equal(needle_of_string(&s, true, b->arena, &n), 0);
    value_of_text(str_of(text), &v);
    return needle_match(&n, &v, &b->env);
}

static void test_base64(void **state)
{
    struct bench *b = *state;
    struct sigma_string s;
    static const struct {
        const char *plain, *coded;
    } cases[] = {{"f", "Zg=="}, {"fo", "Zm8="}, {"foo", "Zm9v"}, {"foob", "Zm9vYg=="}, {"foobar", "Zm9vYmFy"}};
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) { /* RFC 4648 section 10 */
        assert_int_equal(sigma_string_parse(str_of(cases[i].plain), b->arena, &s), 0);
        assert_int_equal(sigma_string_base64(&s, b->arena), 0);
        assert_true(str_eq(s.tokens[0].text, str_of(cases[i].coded)));
    }
    assert_int_equal(sigma_string_parse(STR("a*"), b->arena, &s), 0);
    assert_int_equal(sigma_string_base64(&s, b->arena), -EINVAL);
}

static void test_base64offset(void **state)
{
    struct bench *b = *state;
    /* "http://" at every offset of a group of three, coded with what stands around it (python3 -m base64) */
    static const char *const coded[] = {
        "aHR0cDovL2E=",
        "eGh0dHA6Ly9i",
        "eHhodHRwOi8vYmM=",
        "eHh4aHR0cDovLw==",
    };
    for (size_t i = 0; i < ARRAY_LEN(coded); i++) {
        bool is_found = false;
        for (unsigned offset = 0; offset < 3; offset++) {
            struct sigma_string s, part;
            assert_int_equal(sigma_string_parse(STR("http://"), b->arena, &s), 0);
            assert_int_equal(sigma_string_base64offset(&s, offset, b->arena, &part), 0);
            bool hit = contains_form(b, part, coded[i]);
            assert_int_equal(hit, offset == i % 3);
            is_found |= hit;
        }
        assert_true(is_found);
    }
}

static void test_utf16(void **state)
{
    struct bench *b = *state;
    struct sigma_string s;
    assert_int_equal(sigma_string_parse(STR("cmđ"), b->arena, &s), 0);
    assert_int_equal(sigma_string_utf16(&s, UTF16_LE, b->arena), 0);
    assert_memory_equal(s.tokens[0].text.p, "c\0m\0\x11\x01", 6);
    assert_int_equal(sigma_string_parse(STR("a"), b->arena, &s), 0);
    assert_int_equal(sigma_string_utf16(&s, UTF16_BE, b->arena), 0);
    assert_memory_equal(s.tokens[0].text.p, "\0a", 2);
    assert_int_equal(sigma_string_parse(STR("a"), b->arena, &s), 0);
    assert_int_equal(sigma_string_utf16(&s, UTF16_BOM, b->arena), 0);
    assert_int_equal(s.tokens[0].text.len, 4);
    assert_memory_equal(s.tokens[0].text.p,
                        "\xff\xfe"
                        "a\0",
                        4);
    assert_int_equal(sigma_string_parse(STR("\xf0\x90\x90\x80"), b->arena, &s), 0);
    assert_int_equal(sigma_string_utf16(&s, UTF16_LE, b->arena), 0);
    assert_memory_equal(s.tokens[0].text.p, "\x01\xd8\x00\xdc", 4); /* surrogate pair */
}

static bool windash(struct bench *b, const char *pattern, const char *text)
{
    struct sigma_string s;
    struct needle n;
    struct value v;
    assert_int_equal(sigma_string_parse(str_of(pattern), b->arena, &s), 0);
    assert_int_equal(sigma_string_windash(&s, b->arena), 0);
    assert_int_equal(sigma_string_surround(&s, true, true, b->arena), 0);
    assert_int_equal(needle_of_string(&s, false, b->arena, &n), 0);
    value_of_text(str_of(text), &v);
    return needle_match(&n, &v, &b->env);
}

static void test_windash(void **state)
{
    struct bench *b = *state;
    assert_true(windash(b, " -p ", "x -P y"));
    assert_true(windash(b, " -p ", "x /p y"));
    assert_true(windash(b, " /p ", "x -p y"));
    assert_true(windash(b, "-p -q", "/p –q"));
    assert_true(windash(b, "-p", "—p"));
    assert_true(windash(b, "–p", "―p"));
    assert_false(windash(b, "-p", "+p"));
    assert_false(windash(b, "a-b", "a/b")); /* no flag: a hyphen within a word */
    assert_true(windash(b, "*-enc *", "powershell /enc xx"));
}

static void test_cidr(void **state)
{
    (void)state;
    struct cidr c;
    assert_int_equal(cidr_parse(STR("10.0.0.0/8"), &c), 0);
    assert_int_equal(cidr_parse(STR("10.0.0.1"), &c), 0);
    assert_int_equal(cidr_parse(STR("2001:db8::/32"), &c), 0);
    assert_int_equal(cidr_parse(STR("::1"), &c), 0);
    assert_int_equal(cidr_parse(STR("10.0.0.0/33"), &c), -EINVAL);
    assert_int_equal(cidr_parse(STR("10.0.0/8"), &c), -EINVAL);
    assert_int_equal(cidr_parse(STR("10.0.0.0/"), &c), -EINVAL);
    assert_int_equal(cidr_parse(STR("/8"), &c), -EINVAL);
    assert_int_equal(cidr_parse(STR(""), &c), -EINVAL);
    assert_int_equal(cidr_parse(STR("host"), &c), -EINVAL);
}

static bool in_cidr(struct bench *b, const char *net, const char *addr)
{
    struct needle n = {.op = NEEDLE_CIDR};
    struct value v;
    assert_int_equal(cidr_parse(str_of(net), &n.cidr), 0);
    value_of_text(str_of(addr), &v);
    return needle_match(&n, &v, &b->env);
}

static void test_cidr_match(void **state)
{
    struct bench *b = *state;
    assert_true(in_cidr(b, "10.0.0.0/8", "10.255.0.1"));
    assert_false(in_cidr(b, "10.0.0.0/8", "11.0.0.1"));
    assert_true(in_cidr(b, "192.168.4.0/22", "192.168.7.255"));
    assert_false(in_cidr(b, "192.168.4.0/22", "192.168.8.0"));
    assert_true(in_cidr(b, "0.0.0.0/0", "8.8.8.8"));
    assert_false(in_cidr(b, "0.0.0.0/0", "2001:db8::1"));
    assert_true(in_cidr(b, "10.1.1.1", "10.1.1.1"));
    assert_true(in_cidr(b, "10.1.1.0/24", "::ffff:10.1.1.9"));
    assert_true(in_cidr(b, "2001:db8::/33", "2001:db8:7fff::1"));
    assert_false(in_cidr(b, "2001:db8::/33", "2001:db8:8000::1"));
    assert_false(in_cidr(b, "10.0.0.0/8", "10.0.0.1:22"));
    assert_false(in_cidr(b, "10.0.0.0/8", ""));
}

static bool regex(struct bench *b, const char *pattern, unsigned flags, struct str text)
{
    struct needle n = {.op = NEEDLE_REGEX};
    struct value v;
    struct diag d = {0};
    assert_int_equal(regex_compile(str_of(pattern), flags, &n.regex, &d), 0);
    value_of_text(text, &v);
    bool hit = needle_match(&n, &v, &b->env);
    pcre2_code_free(n.regex);
    return hit;
}

static void test_regex(void **state)
{
    struct bench *b = *state;
    assert_true(regex(b, "b+c", 0, STR("abbcd")));
    assert_false(regex(b, "B+c", 0, STR("abbcd")));
    assert_true(regex(b, "B+c", REGEX_I, STR("abbcd")));
    assert_true(regex(b, "ĐĂNG", REGEX_I, STR("đăng nhập")));
    assert_false(regex(b, "^b", 0, STR("a\nb")));
    assert_true(regex(b, "^b", REGEX_M, STR("a\nb")));
    assert_false(regex(b, "a.b", 0, STR("a\nb")));
    assert_true(regex(b, "a.b", REGEX_S, STR("a\nb")));
    assert_true(regex(b, "(?i)ABC", 0, STR("abc")));
    assert_true(regex(b, "b$", 0, STR("\xff\xfe ab"))); /* bytes that are no UTF-8 do not hide the rest */
    assert_true(regex(b, "^.$", 0, STR("ệ")));
    assert_true(regex(b, "^$", 0, (struct str){0}));
}

static void test_regex_limits_and_errors(void **state)
{
    struct bench *b = *state;
    char many[64];
    memset(many, 'a', sizeof(many));
    assert_false(regex(b, "^(a+)+$b", 0, (struct str){many, sizeof(many)}));
    uint64_t before = b->env.regex_gave_up;
    many[63] = '!';
    assert_false(regex(b, "^(([a-z])+.)+[A-Z]([a-z])+$", 0, (struct str){many, sizeof(many)}));
    assert_int_equal(b->env.regex_gave_up, before + 1);
    pcre2_code *code;
    struct diag d = {0};
    assert_int_equal(regex_compile(STR("a(b"), 0, &code, &d), -EINVAL);
    assert_non_null(strstr(d.msg, "parenthesis"));
    assert_int_equal(regex_compile(STR("a\\Cb"), 0, &code, &d), -EINVAL);
}

/* The wildcard match agrees with the plain definition of it, on small strings of a small alphabet. */
static bool by_definition(const char *p, const char *s)
{
    if (*p == 0)
        return *s == 0;
    if (*p == '*')
        return by_definition(p + 1, s) || (*s && by_definition(p, s + 1));
    return *s && (*p == '?' || *p == *s) && by_definition(p + 1, s + 1);
}

static void test_wildcards_by_definition(void **state)
{
    struct bench *b = *state;
    unsigned seed = 7;
    for (int round = 0; round < 20000; round++) {
        char p[9] = "", s[11] = "";
        size_t np = (seed = seed * 1103515245 + 12345) >> 16 & 7, ns = (seed = seed * 1103515245 + 12345) >> 16 & 7;
        for (size_t i = 0; i < np; i++)
            p[i] = "ab*?*a"[((seed = seed * 1103515245 + 12345) >> 16) % 6];
        for (size_t i = 0; i < ns; i++)
            s[i] = "ab"[(seed = seed * 1103515245 + 12345) >> 20 & 1];
        if (matches(b, p, s) != by_definition(p, s))
            fail_msg("pattern '%s' text '%s'", p, s);
        if (round % 1000 == 0) {
            arena_reset(b->arena);
            arena_reset(b->scratch);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_wildcards, setup, teardown),
        cmocka_unit_test_setup_teardown(test_escapes, setup, teardown),
        cmocka_unit_test_setup_teardown(test_case, setup, teardown),
        cmocka_unit_test_setup_teardown(test_ops_and_text_for_people, setup, teardown),
        cmocka_unit_test_setup_teardown(test_base64, setup, teardown),
        cmocka_unit_test_setup_teardown(test_base64offset, setup, teardown),
        cmocka_unit_test_setup_teardown(test_utf16, setup, teardown),
        cmocka_unit_test_setup_teardown(test_windash, setup, teardown),
        cmocka_unit_test(test_cidr),
        cmocka_unit_test_setup_teardown(test_cidr_match, setup, teardown),
        cmocka_unit_test_setup_teardown(test_regex, setup, teardown),
        cmocka_unit_test_setup_teardown(test_regex_limits_and_errors, setup, teardown),
        cmocka_unit_test_setup_teardown(test_wildcards_by_definition, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
