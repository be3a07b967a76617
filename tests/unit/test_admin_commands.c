/* COMMAND DOCS: every command has a document, and each is a well-formed reply. Names in any case,
 * CLIENT TRACKING. */
#include "admin/docs.h"
#include "admin_fake.h"

#include <ctype.h>

/* --- COMMAND DOCS ---------------------------------------------------------------------------- */

/* Behind the value that begins here. */
static const char *skip_value(const char *text)
{
    long count = strtol(text + 1, NULL, 10);
    char type = *text;

    text = strstr(text, "\r\n");
    assert_non_null(text);
    text += 2;
    switch (type) {
    case '+':
        return text;
    case '$':
        assert_memory_equal(text + count, "\r\n", 2);
        return text + count + 2;
    case '%':
        count *= 2;
        break;
    case '*':
    case '~':
        break;
    default:
        fail_msg("type %c", type);
    }
    for (; count > 0; count--) {
        text = skip_value(text);
    }
    return text;
}

static void check_document(const struct command *c)
{
    for (int proto = 2; proto <= 3; proto++) {
        struct buffer out = {0};
        struct reply r = {&out, proto};
        docs_put(&r, c, 0);
        buffer_append(&out, "", 1);
        const char *text = (const char *)out.data;
        assert_int_equal(*text, proto == 2 ? '*' : '%');
        assert_string_equal(skip_value(text), "");
        assert_non_null(strstr(text, "$7\r\nsummary\r\n"));
        buffer_free(&out);
    }
}

static void every_command_has_a_document(void **state)
{
    for (size_t i = 0; i < command_count; i++) {
        const struct command *c = &command_table[i];
        check_document(c);
        for (size_t j = 0; j < command_subcommands_of(c); j++) {
            if (!(c->subcommands[j].flags & COMMAND_HIDDEN)) {
                check_document(&c->subcommands[j]);
            }
        }
    }
}

static void documented_arguments(void **state)
{
    static const char expected[] =
        "%5\r\n$7\r\nsummary\r\n$28\r\nAnswers PONG, or the message\r\n"
        "$5\r\nsince\r\n$5\r\n1.0.0\r\n$5\r\ngroup\r\n$10\r\nconnection\r\n"
        "$10\r\ncomplexity\r\n$4\r\nO(1)\r\n$9\r\narguments\r\n*1\r\n%3\r\n$4\r\nname\r\n"
        "$7\r\nmessage\r\n$4\r\ntype\r\n$6\r\nstring\r\n$5\r\nflags\r\n~1\r\n+optional\r\n";
    struct buffer out = {0};
    struct reply r = {&out, 3};

    docs_put(&r, command_find("ping", 4, NULL, 0), 0);
    buffer_append(&out, "", 1);
    assert_string_equal((const char *)out.data, expected);
    buffer_free(&out);
}

/* Capital letters of ASCII are small ones in a name, wherever they stand; no other byte is. */
static void case_of_names(void **state)
{
    const struct command *ping = command_find("ping", 4, NULL, 0);
    const struct command *get =
        command_find("sentinel", 8, "get-master-addr-by-name", strlen("get-master-addr-by-name"));

    assert_non_null(ping);
    assert_non_null(get);
    assert_ptr_equal(command_find("PiNG", 4, NULL, 0), ping);
    assert_ptr_equal(command_find("SENTINEL", 8, "GET-master-ADDR-by-NAME", 23), get);
    for (int at = 0; at < 23; at++) {
        for (int byte = 0; byte < 256; byte++) {
            char name[] = "get-master-addr-by-name";
            bool same = byte == name[at] || (isalpha(name[at]) && byte == name[at] - 32);
            name[at] = (char)byte;
            assert_ptr_equal(command_find("sentinel", 8, name, 23), same ? get : NULL);
        }
    }
    for (int byte = 0; byte < 256; byte++) {
        char name[] = {'p', (char)byte, 'n', 'g'};
        assert_ptr_equal(command_find(name, 4, NULL, 0), byte == 'i' || byte == 'I' ? ping : NULL);
    }
}

/* --- CLIENT TRACKING -------------------------------------------------------------------------- */

/* The client that CLIENT TRACKING names may be another shard's. */
static void tracking_redirect(void **state)
{
    int fd = fake_connect(0), other = fake_connect(1);

    ask(fd, "client tracking on redirect 2 optin\r\nping\r\nclient getredir\r\n",
        "+OK\r\n+PONG\r\n:2\r\n");
    ask(fd, "client caching yes\r\nclient trackinginfo\r\nping\r\n",
        "+OK\r\n*6\r\n$5\r\nflags\r\n*3\r\n$2\r\non\r\n$5\r\noptin\r\n$11\r\ncaching-yes\r\n"
        "$8\r\nredirect\r\n:2\r\n$8\r\nprefixes\r\n*0\r\n+PONG\r\n");
    ask(fd, "client trackinginfo\r\n",
        "*6\r\n$5\r\nflags\r\n*2\r\n$2\r\non\r\n$5\r\noptin\r\n"
        "$8\r\nredirect\r\n:2\r\n$8\r\nprefixes\r\n*0\r\n");
    ask(fd, "client tracking on redirect 77 optin\r\n",
        "-ERR The client ID you want redirect to does not exist\r\n");
    ask(fd, "client tracking on redirect 2 redirect 2\r\n",
        "-ERR A client can only redirect to a single other client\r\n");
    ask(fd, "client tracking off\r\nclient getredir\r\n", "+OK\r\n:-1\r\n");
    close(other);
    close(fd);
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, fake_setup, fake_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(case_of_names),
        TEST(every_command_has_a_document),
        TEST(documented_arguments),
        TEST(tracking_redirect),
    };
    return run_on_both(tests);
}
