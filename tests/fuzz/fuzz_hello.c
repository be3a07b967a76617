/* Hello messages of hostile publishers. */
#include "rules/hello.h"

#include <assert.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct hello hello, again;
    memset(&hello, 0xa5, sizeof(hello));
    if (!hello_parse(&hello, (const char *)data, size, HOST_HEARD))
        return 0;

    assert(size <= LIMIT_HELLO);
    assert(address_known(&hello.sentinel) && address_known(&hello.master));
    assert(strlen(hello.runid.hex) == LIMIT_RUNID);
    assert(hello.name[0] != '\0' && memchr(hello.name, '\0', sizeof(hello.name)) != NULL);
    assert(hello.current_epoch <= LIMIT_EPOCH && hello.config_epoch <= LIMIT_EPOCH);

    /* What is written is read as the same, and written as the same again. */
    char text[LIMIT_HELLO + 1], text_again[LIMIT_HELLO + 1];
    const size_t len = hello_format(&hello, text);
    assert(len == strlen(text));
    assert(hello_parse(&again, text, len, HOST_HEARD));
    assert(address_equal(&again.sentinel, &hello.sentinel));
    assert(address_equal(&again.master, &hello.master));
    assert(runid_equal(&again.runid, &hello.runid));
    assert(again.current_epoch == hello.current_epoch && again.config_epoch == hello.config_epoch);
    assert(strcmp(again.name, hello.name) == 0);
    assert(hello_format(&again, text_again) == len && strcmp(text, text_again) == 0);
    return 0;
}
