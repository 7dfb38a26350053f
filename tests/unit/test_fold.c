/* SPDX-License-Identifier: Apache-2.0 */
#include "rules/fold.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static void check(const char *from, const char *to)
{
    char out[200];
    assert_true(FOLD_MAX(strlen(from)) <= sizeof(out));
    size_t n = fold(str_of(from), out);
    assert_int_equal(n, strlen(to));
    assert_memory_equal(out, to, n);
}

static void test_letters(void **state)
{
    (void)state;
    check("", "");
    check("Union SELECT 1", "union select 1");
    check("@[`{", "@[`{");
    check("TRUY CẬP TRÁI PHÉP: ĐĂNG NHẬP", "truy cập trái phép: đăng nhập");
    check("ỨNG PHÓ SỰ CỐ Ở HUYỆN", "ứng phó sự cố ở huyện");
    check("ΑΒΓΣ ς", "αβγσ σ");
    check("ДОСТУП ЗАПРЕЩЁН", "доступ запрещён");
    check("ＡＢＣ", "ａｂｃ");
    check("ẞ", "ß");
    check("K", "k");   /* Kelvin sign, three bytes to one */
    check("ȺȾ", "ⱥⱦ"); /* two bytes to three */
    check("日本", "日本");
    check("𐐀", "𐐨");
}

static void test_bytes_that_are_no_utf8_stay(void **state)
{
    (void)state;
    check("A\xff"
          "B",
          "a\xff"
          "b");
    check("\xc3", "\xc3");
    check("\xe1\xba", "\xe1\xba");
    check("\xc0\x80", "\xc0\x80");         /* over-long */
    check("\xed\xa0\x80", "\xed\xa0\x80"); /* surrogate */
    check("\xf4\x90\x80\x80", "\xf4\x90\x80\x80");
}

static void test_every_code_point_round_trips_and_fits(void **state)
{
    (void)state;
    for (uint32_t cp = 0; cp <= 0x10ffff; cp++) {
        if (cp >= 0xd800 && cp <= 0xdfff)
            continue;
        char in[4], once[6], twice[9];
        size_t len = utf8_put(cp, in);
        uint32_t back;
        assert_int_equal(utf8_next((struct str){in, len}, &back), len);
        assert_int_equal(back, cp);
        size_t n = fold((struct str){in, len}, once);
        assert_true(n <= FOLD_MAX(len));
        assert_int_equal(fold((struct str){once, n}, twice), n);
        assert_memory_equal(once, twice, n); /* folding twice is folding once */
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_letters),
        cmocka_unit_test(test_bytes_that_are_no_utf8_stay),
        cmocka_unit_test(test_every_code_point_round_trips_and_fits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
