/* Runs a fuzz target over the files of folders, for compilers without libFuzzer: every file, and
 * of small ones every beginning. Exit 0: all went through; 1: a folder is empty or unreadable. A
 * crash is a crash.
 *
 * Usage: fuzz_replay_<target> FOLDER…
 */
#include <dirent.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FILE_BYTES     ((size_t)16 * 1024 * 1024) /* more of a file is not read */
#define TRUNCATE_BYTES ((size_t)8192)             /* of larger files only the whole is run */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* From memory of exactly this size, so that the sanitizers see a read beyond the end. */
static void run(const uint8_t *data, size_t size)
{
    uint8_t *exact = malloc(size > 0 ? size : 1);
    if (exact == NULL)
        abort();
    memcpy(exact, data, size);
    LLVMFuzzerTestOneInput(exact, size);
    free(exact);
}

static bool replay_file(const char *path)
{
    FILE *file = fopen(path, "rb");
    if (file == NULL) {
        perror(path);
        return false;
    }
    uint8_t *data = malloc(FILE_BYTES);
    if (data == NULL)
        abort();
    const size_t size = fread(data, 1, FILE_BYTES, file);
    const bool ok = ferror(file) == 0;
    fclose(file);
    if (ok) {
        if (size <= TRUNCATE_BYTES) {
            for (size_t len = 0; len < size; len++)
                run(data, len);
        }
        run(data, size);
    }
    free(data);
    return ok;
}

static int replay_folder(const char *folder)
{
    DIR *dir = opendir(folder);
    if (dir == NULL) {
        perror(folder);
        return 0;
    }
    int files = 0;
    for (struct dirent *entry = readdir(dir); entry != NULL; entry = readdir(dir)) {
        if (entry->d_name[0] == '.')
            continue;
        char path[4096];
        snprintf(path, sizeof(path), "%s/%s", folder, entry->d_name);
        printf("%s\n", path); /* said before: it is the last word when the target crashes */
        fflush(stdout);
        if (!replay_file(path)) {
            files = 0;
            break;
        }
        files++;
    }
    closedir(dir);
    return files;
}

int main(int argc, char **argv)
{
    if (argc < 2) {
        fprintf(stderr, "usage: %s FOLDER...\n", argv[0]);
        return 1;
    }
    for (int i = 1; i < argc; i++) {
        const int files = replay_folder(argv[i]);
        if (files == 0) {
            fprintf(stderr, "%s: nothing was replayed\n", argv[i]);
            return 1;
        }
        printf("%s: %d files went through\n", argv[i], files);
    }
    return 0;
}
