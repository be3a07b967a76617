/* Texts packed against a template come back byte for byte. */
#include "io/text_pack.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static size_t round_trip(const char *template, size_t template_len, const char *text, size_t len)
{
    struct text_template t;
    struct buffer packed = {0}, back = {0};
    text_template_init(&t, template, template_len);
    text_pack(&t, text, len, &packed);
    assert_true(text_unpack(&t, packed.data, packed.len, &back));
    assert_int_equal(back.len, len);
    if (len > 0) {
        assert_memory_equal(back.data, text, len);
    }
    size_t size = packed.len;
    buffer_free(&packed);
    buffer_free(&back);
    text_template_free(&t);
    return size;
}

static size_t both(const char *template, const char *text)
{
    return round_trip(template, strlen(template), text, strlen(text));
}

static void lines_of_every_kind(void **state)
{
    (void)state;
    static const char info[] = "# Server\r\nredis_version:7.0.15\r\nuptime:12\r\n\r\n# Memory\r\n";
    assert_int_equal(both(info, info), 1);
    assert_true(both(info, "# Server\r\nredis_version:7.0.15\r\nuptime:13\r\n\r\n# Memory\r\n") <
                12);
    /* a line less, a line more, the last one without its end, nothing, nothing in common */
    assert_true(both(info, "# Server\r\nuptime:12\r\n\r\n# Memory\r\n") < 12);
    both(info, "# Server\r\nnew:1\r\nredis_version:7.0.15\r\nuptime:12");
    both(info, "");
    both("", info);
    both("", "");
    both(info, "x");
    both(info, "\n\n\n");
    both("\n\n\n", "\n\n\n\n\n");
}

static void long_lines_and_many(void **state)
{
    (void)state;
    static char text[70000], other[70000];
    memset(text, 'a', sizeof text);
    memset(other, 'a', sizeof other);
    other[600] = 'b';
    round_trip(text, sizeof text, text, sizeof text);
    round_trip(text, sizeof text, other, sizeof other);
    round_trip(text, 300, text, 300);
    round_trip(text, 255, text, 254);
    memset(text, '\n', sizeof text);
    assert_true(round_trip(text, 1000, text, 1000) < 10);
    round_trip(text, 100, text, 1000);
}

static void random_texts(void **state)
{
    (void)state;
    static const char letters[] = "ab:\n";
    unsigned seed = 1;
    for (int round = 0; round < 20000; round++) {
        char template[80], text[80];
        size_t template_len = (size_t)rand_r(&seed) % sizeof template;
        size_t len = (size_t)rand_r(&seed) % sizeof text;
        for (size_t i = 0; i < sizeof text; i++) {
            template[i] = letters[(unsigned)rand_r(&seed) % 4];
            text[i] = rand_r(&seed) % 8 == 0 ? letters[(unsigned)rand_r(&seed) % 4] : template[i];
        }
        round_trip(template, template_len, text, len);
    }
}

/* What was not packed with this template is refused or gives some text: never a read outside. */
static void other_bytes(void **state)
{
    (void)state;
    struct text_template t;
    unsigned seed = 2;
    text_template_init(&t, "a:1\nb:2\nc:3\n", 12);
    for (int round = 0; round < 20000; round++) {
        struct buffer back = {0};
        size_t len = (size_t)rand_r(&seed) % 12;
        uint8_t *packed = malloc(len + 1);
        assert_non_null(packed);
        for (size_t i = 0; i < len; i++) {
            packed[i] = (uint8_t)rand_r(&seed);
        }
        (void)text_unpack(&t, packed, len, &back);
        free(packed);
        buffer_free(&back);
    }
    text_template_free(&t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lines_of_every_kind),
        cmocka_unit_test(long_lines_and_many),
        cmocka_unit_test(random_texts),
        cmocka_unit_test(other_bytes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
