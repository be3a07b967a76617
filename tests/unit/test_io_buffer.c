#include "io/buffer.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

static void appends_grow(void **state)
{
    struct buffer b = {0};
    for (int i = 0; i < 10000; i++) {
        uint8_t byte = (uint8_t)i;
        buffer_append(&b, &byte, 1);
    }
    assert_int_equal(b.len, 10000);
    assert_true(b.cap >= b.len);
    for (int i = 0; i < 10000; i++) {
        assert_int_equal(b.data[i], (uint8_t)i);
    }
    buffer_append(&b, NULL, 0);
    assert_int_equal(b.len, 10000);
    buffer_free(&b);
    assert_null(b.data);
    assert_int_equal(b.len + b.cap, 0);
}

static void prints(void **state)
{
    struct buffer b = {0};
    buffer_printf(&b, "$%d\r\n", 5);
    buffer_printf(&b, "%s", "hello");
    buffer_printf(&b, "%s", "");
    assert_int_equal(b.len, 9);
    assert_memory_equal(b.data, "$5\r\nhello", 9);
    /* Exactly as much as fits, and one more. */
    char text[512];
    for (size_t len = 240; len < 260; len++) {
        memset(text, 'x', len);
        text[len] = '\0';
        struct buffer c = {0};
        buffer_printf(&c, "%s", text);
        assert_int_equal(c.len, len);
        assert_memory_equal(c.data, text, len);
        buffer_free(&c);
    }
    buffer_free(&b);
}

static void reserve_is_in_place(void **state)
{
    struct buffer b = {0};
    buffer_append(&b, "ab", 2);
    uint8_t *at = buffer_reserve(&b, 1000);
    memset(at, 'c', 1000);
    b.len += 1000;
    assert_memory_equal(b.data, "abc", 3);
    assert_int_equal(b.data[1001], 'c');
    assert_ptr_equal(buffer_reserve(&b, 0), b.data + b.len);
    buffer_free(&b);
}

static void consume_and_clear(void **state)
{
    struct buffer b = {0};
    buffer_append(&b, "0123456789", 10);
    buffer_consume(&b, 4);
    assert_int_equal(b.len, 6);
    assert_memory_equal(b.data, "456789", 6);
    buffer_consume(&b, 0);
    assert_int_equal(b.len, 6);
    buffer_consume(&b, 6);
    assert_int_equal(b.len, 0);
    buffer_append(&b, "x", 1);
    buffer_clear(&b, b.cap);
    assert_non_null(b.data); /* small enough to keep */
    buffer_append(&b, "x", 1);
    buffer_clear(&b, b.cap - 1);
    assert_null(b.data);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(appends_grow),
        cmocka_unit_test(prints),
        cmocka_unit_test(reserve_is_in_place),
        cmocka_unit_test(consume_and_clear),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
